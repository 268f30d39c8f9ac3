# Personal data stays with trusted servers, tokens included.
package agentflow

import rego.v1

objections contains {"code": "pii_to_untrusted", "message": "personal data does not go to this server"} if {
	input.call.phase == "call"
	input.upstream.trust != "trusted"
	count(input.call.pii.types) > 0
}
