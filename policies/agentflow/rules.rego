# The rules of data.json: denials, permissions, approvals, and the forbidden list.
package agentflow

import rego.v1

# A forbidden tool is out of reach for everybody, administrators included.
objections contains {"code": "forbidden", "message": "this tool is on the forbidden list"} if {
	count(forbidden_by) > 0
}

objections contains {"code": name, "message": why(rule, "a rule denies this call")} if {
	some name in concerning
	rule := data.settings.rules[name]
	rule.effect == "deny"
}

objections contains {"code": name, "message": why(rule, "only certain roles may do this")} if {
	some name in covering
	rule := data.settings.rules[name]
	rule.only_roles
	not any_role(rule.only_roles)
}

grounds contains {"code": name, "message": why(rule, "a rule allows this call")} if {
	some name in concerning
	rule := data.settings.rules[name]
	rule.effect == "allow"
}

asks contains {"ttl": object.get(rule, "ttl", data.settings.approval_ttl), "prompt": why(rule, "")} if {
	some name in concerning
	rule := data.settings.rules[name]
	rule.effect == "approve"
}

# Tools that say they destroy things, by the trust put in their server: "allow", "ask" or "deny".
destructive_policy := data.settings.destructive[input.upstream.trust] if {
	input.call.kind == "tool"
	destructive
}

objections contains {"code": "destructive", "message": "destructive tools of such servers are denied"} if {
	destructive_policy == "deny"
}

asks contains {"ttl": data.settings.approval_ttl, "prompt": "This tool can destroy data."} if {
	destructive_policy == "ask"
}

# A rule concerns everybody, or the roles it names, save those it excepts.
concerns(rule) if {
	not rule.roles
	not excepted(rule)
}

concerns(rule) if {
	any_role(rule.roles)
	not excepted(rule)
}

excepted(rule) if any_role(rule.except_roles)

any_role(roles) if {
	some role in roles
	role in input.principal.roles
}

why(rule, otherwise) := object.get(rule, "why", otherwise)
