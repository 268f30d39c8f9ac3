# Toxic flows: a session that has read untrusted content and private data must not write to the outside.
# Whoever wrote the untrusted content may be steering the agent ("lethal trifecta").
package agentflow

import rego.v1

toxic_flow if {
	input.call.phase == "call"
	"untrusted" in input.session.taint
	"private" in input.session.taint
	kind == "tool"
	not read_only
	outward
}

outward if not input.upstream.trust == "trusted"

outward if input.call.annotations.openWorldHint == true

objections contains {
	"code": "toxic_flow",
	"message": "this session has read untrusted content and private data, so it may not write to the outside",
} if {
	data.settings.toxic_flow == "deny"
	toxic_flow
}

asks contains {
	"ttl": data.settings.approval_ttl,
	"prompt": "This session has read untrusted content and private data, and now wants to write to the outside.",
} if {
	data.settings.toxic_flow == "ask"
	toxic_flow
}
