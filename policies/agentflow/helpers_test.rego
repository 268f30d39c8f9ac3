# What the tests share. They bring their own settings, so that editing data.json does not break them.
package agentflow_test

import rego.v1

import data.agentflow

settings := {
	"default": "allow",
	"roles": {
		"admin": {"tools": "all", "prompts": true, "resources": true, "models": true},
		"agent": {"tools": "all", "prompts": true, "resources": true, "models": true},
		"careful": {"tools": "not_destructive", "prompts": false, "resources": false},
		"viewer": {"tools": "read_only", "prompts": true, "resources": true},
	},
	"forbidden": ["crm/drop_*"],
	"rules": {
		"no-refunds": {"servers": ["pay"], "tools": ["refund_*"], "effect": "deny", "except_roles": ["admin"], "why": "refunds are for administrators"},
		"admins-only": {"servers": ["vault*"], "only_roles": ["admin"]},
		"ask-first": {"servers": ["mail"], "tools": ["send"], "effect": "approve", "ttl": 60, "why": "Mail leaves the house."},
		"crm-mail": {"servers": ["crm"], "rehydrate": ["EMAIL"], "max_result_bytes": 1000},
	},
	"destructive": {"trusted": "allow", "untrusted": "allow"},
	"rate_classes": [],
	"toxic_flow": "deny",
	"approval_ttl": 300,
	"redact": ["*"],
}

question(role, server, tool, annotations) := {
	"version": "agentflow/1",
	"principal": {"id": "p", "kind": "agent", "roles": [role], "tenant": "default", "scopes": [], "auth": "local"},
	"call": {
		"kind": "tool", "surface": "tools/call", "phase": "call", "server": server, "tool": tool,
		"annotations": annotations, "arguments": {}, "size": 2, "pii": {"types": [], "counts": {}, "paths": []},
		"injection": {"score": 0},
	},
	"session": {"id": "", "taint": [], "counts": {}, "approvals": {}},
	"budget": {"calls_left": null},
	"upstream": {"trust": "untrusted", "sensitivity": "public", "kind": "http"},
	"time": {"hour": 12, "weekday": "monday"},
}

codes(decision) := {reason.code | some reason in decision.reasons}

answer(document) := answer_under(document, settings)

# Member by member, for the embedded engine's compiler crashes over `with input as …` as a whole.
answer_under(document, rules) := decision if {
	decision := agentflow.decision with input.version as document.version
		with input.principal as document.principal
		with input.call as document.call
		with input.session as document.session
		with input.upstream as document.upstream
		with input.time as document.time
		with data.settings as rules
}

# `document` with the members of `difference` put over it, two levels deep. (The embedded engine's object.union
# and json.patch lose members of objects that a function has made.)
changed(document, difference) := {section: value |
	some section, was in document
	value := over(was, object.get(difference, section, was))
}

over(was, is) := is if not is_object(was)

over(was, is) := merged if {
	is_object(was)
	names := object.keys(was) | object.keys(is)
	merged := {key: value |
		some key in names
		value := object.get(is, key, object.get(was, key, null))
	}
}
