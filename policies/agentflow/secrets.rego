# Secrets stay in the house: a key, a password or a token in clear does not go to a server that is not trusted.
# Tokens in their place do, and stay tokens; models are never given anything else. data.json says what happens: "deny", "ask" or "allow".
package agentflow

import rego.v1

secret_types := {"API_KEY", "CLOUD_KEY", "PRIVATE_KEY", "JWT", "URL_CREDENTIALS", "PASSWORD", "SECRET"}

default secrets_policy := "deny"

secrets_policy := data.settings.secrets.untrusted

secrets_leaving contains type if {
	input.call.phase == "call"
	input.upstream.trust != "trusted"
	not input.upstream.kind in {"gateway", "flow", "model"}
	some type in input.call.pii.types
	type in secret_types
}

secrets_message := concat("", [
	"the call would hand a secret (", concat(", ", sort(secrets_leaving)), ") to a server that is not trusted",
])

objections contains {"code": "secret_to_untrusted", "message": secrets_message} if {
	count(secrets_leaving) > 0
	not secrets_policy in {"ask", "allow"}
}

asks contains {"ttl": data.settings.approval_ttl, "prompt": "It hands a secret to a server that is not trusted."} if {
	count(secrets_leaving) > 0
	secrets_policy == "ask"
}
