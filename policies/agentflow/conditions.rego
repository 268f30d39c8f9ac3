# Rules of data.json that look at arguments: all conditions under "when" must hold for the rule to count.
#
# needs data.settings.rules.*.when
# (The gateway leaves this file out of what it compiles where no rule has "when": a policy that looks at arguments
# is asked anew for every call with others.)
#
# A condition names an argument by its JSON pointer; of a list each element is looked at. In rules that deny or ask,
# one element that meets the condition is enough, and so is one that cannot be judged (a text where a number belongs,
# a token in place of an address). Anywhere else, every element must meet it.
package agentflow

import rego.v1

off contains name if {
	results := judged
	some name, rule in data.settings.rules
	rule.effect in {"deny", "approve"}
	some condition in rule.when
	count([result | some result in results; result.condition == condition; result.verdict != "fails"]) == 0
}

off contains name if {
	not input.call.phase == "list"
	results := judged
	some name, rule in data.settings.rules
	not rule.effect in {"deny", "approve"}
	some condition in rule.when
	not every_value_fits(condition, results)
}

every_value_fits(condition, results) if {
	verdicts := {result.verdict | some result in results; result.condition == condition}
	verdicts == {"fits"}
}

# A listing knows no arguments: what some call may do is shown.
off contains name if {
	some name, rule in data.settings.rules
	rule.when
	input.call.phase == "list"
	not rule.effect == "allow"
}

# Each condition with each value that it is about: the elements of a list, or the one value; null where there is none.
judged contains {"condition": condition, "verdict": verdict(condition, value)} if {
	some rule in data.settings.rules
	some condition in rule.when
	found := object.get({"": input.call.arguments}, split(condition.path, "/"), null)
	some value in listed(found)
}

listed(found) := found if is_array(found)

listed(found) := [found] if not is_array(found)

verdict(condition, value) := "fits" if {
	fits(condition, value)
} else := "unclear" if {
	unclear(condition, value)
} else := "fails"

fits(condition, value) if {
	is_number(value)
	value > condition.above
}

fits(condition, value) if {
	is_number(value)
	value < condition.below
}

fits(condition, value) if {
	some known in condition.equals
	value == known
}

fits(condition, value) if {
	is_string(value)
	some pattern in condition.like
	like(pattern, value)
}

fits(condition, value) if {
	is_string(value)
	is_array(condition.unlike)
	count([pattern | some pattern in condition.unlike; like(pattern, value)]) == 0
}

fits(condition, value) if {
	condition.present == true
	value != null
}

fits(condition, value) if {
	condition.present == false
	value == null
}

# A value of the wrong kind: no number where one belongs, no text where one does.
unclear(condition, value) if {
	is_number(object.get(condition, "above", object.get(condition, "below", null)))
	value != null
	not is_number(value)
}

unclear(condition, value) if {
	is_array(object.get(condition, "like", object.get(condition, "unlike", null)))
	value != null
	not is_string(value)
}
