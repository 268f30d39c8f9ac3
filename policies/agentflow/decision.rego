# The decision: what the gateway asks for, once for every call and once for every line of a listing.
#
# A call goes through when at least one ground speaks for it and no objection speaks against it.
# Grounds and objections are collected by the other files of this folder; each carries a code (for machines)
# and a message (for people), and both end up in the audit record.
package agentflow

import rego.v1

default decision := {
	"allow": false,
	"reasons": [{"code": "not_allowed", "message": "no rule allows this call"}],
	"obligations": {},
}

decision := {"allow": false, "reasons": against, "obligations": {}} if {
	against := objections
	count(against) > 0
} else := {"allow": true, "reasons": in_favour, "obligations": obligations} if {
	in_favour := grounds
	count(in_favour) > 0
}

# A document of another version is not read by guesswork.
objections contains {"code": "unknown_version", "message": "this bundle reads documents of version agentflow/1"} if {
	not input.version == "agentflow/1"
}
