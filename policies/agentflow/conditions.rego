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
	some name, rule in data.settings.rules
	rule.effect in {"deny", "approve"}
	some condition in rule.when
	not condition in met_by_one
}

off contains name if {
	some name, rule in data.settings.rules
	not rule.effect in {"deny", "approve"}
	input.call.phase == "call"
	some condition in rule.when
	not condition in met_by_all
}

# A listing knows no arguments: what some call may do is shown.
off contains name if {
	some name, rule in data.settings.rules
	rule.when
	input.call.phase == "list"
	not rule.effect == "allow"
}

# What one value meets, or may meet: it cannot be judged.
met_by_one contains pair.condition if some pair in fitting

met_by_one contains pair.condition if some pair in unclear

# What every value meets.
met_by_all contains pair.condition if {
	some pair in fitting
	not pair.condition in failing
}

failing contains pair.condition if {
	some pair in looked_at
	not pair in fitting
}

# Each condition with each value that it is about: the elements of a list, or the one value; null where there is none.
looked_at contains {"condition": condition, "value": value} if {
	some rule in data.settings.rules
	some condition in rule.when
	found := object.get({"": input.call.arguments}, split(condition.path, "/"), null)
	not is_array(found)
	value := found
}

looked_at contains {"condition": condition, "value": value} if {
	some rule in data.settings.rules
	some condition in rule.when
	found := object.get({"": input.call.arguments}, split(condition.path, "/"), null)
	is_array(found)
	some value in found
}

fitting contains pair if {
	some pair in looked_at
	is_number(pair.value)
	pair.value > pair.condition.above
}

fitting contains pair if {
	some pair in looked_at
	is_number(pair.value)
	pair.value < pair.condition.below
}

fitting contains pair if {
	some pair in looked_at
	some known in pair.condition.equals
	pair.value == known
}

fitting contains pair if {
	some pair in looked_at
	is_string(pair.value)
	some pattern in pair.condition.like
	like(pattern, pair.value)
}

fitting contains pair if {
	some pair in looked_at
	is_string(pair.value)
	is_array(pair.condition.unlike)
	count([pattern | some pattern in pair.condition.unlike; like(pattern, pair.value)]) == 0
}

fitting contains pair if {
	some pair in looked_at
	pair.condition.present == true
	pair.value != null
}

fitting contains pair if {
	some pair in looked_at
	pair.condition.present == false
	pair.value == null
}

# A value of the wrong kind: no number where one belongs, no text where one does.
unclear contains pair if {
	some pair in looked_at
	is_number(object.get(pair.condition, "above", object.get(pair.condition, "below", null)))
	pair.value != null
	not is_number(pair.value)
}

unclear contains pair if {
	some pair in looked_at
	is_array(object.get(pair.condition, "like", object.get(pair.condition, "unlike", null)))
	pair.value != null
	not is_string(pair.value)
}
