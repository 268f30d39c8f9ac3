# So many calls of a tool in one conversation, by the rate class of the tool.
package agentflow

import rego.v1

objections contains {"code": "too_many_calls", "message": "this conversation has used up its calls of this kind"} if {
	input.call.phase == "call"
	name := concat("/", [input.call.server, input.call.tool])
	some class in data.rate_classes
	name in class.tools
	object.get(input.session.counts, name, 0) >= class.calls
}
