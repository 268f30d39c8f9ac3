# Who approves where a rule that asks has "approvers", {"who": ["role:finance"], "count": 2}: any of them may, and so
# many have to. Of several such rules whoever may for all of them, and the largest number. Where nobody may for all of
# them the call is denied.
#
# needs data.settings.rules.*.approvers
package agentflow

import rego.v1

approvers := in_common if {
	sets := approving
	count(sets) > 0
	in_common := [who | some who in approvable; count([each | some each in sets; not who in each.who]) == 0]
}

approvers_needed := most(numbers) if {
	numbers := {each.count | some each in approving}
	count(numbers) > 0
}

# Who may approve by the rules that ask, and how many have to.
approving contains {"who": rule.approvers.who, "count": object.get(rule.approvers, "count", 1)} if {
	some name in concerning
	rule := data.settings.rules[name]
	rule.effect == "approve"
	rule.approvers
}

approvable contains who if {
	some each in approving
	some who in each.who
}

objections contains {"code": "approvers_differ", "message": "rules demand approvers who have nobody in common"} if {
	named := approvers
	named == []
}

most(values) := value if {
	some value in values
	not exceeded(value, values)
}

exceeded(value, values) if {
	some other in values
	other > value
}
