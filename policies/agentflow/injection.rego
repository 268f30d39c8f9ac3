# What is done about instructions that the screen finds in an answer, where a rule with "injection" covers what answered;
# of several rules, the strictest counts. Without one, the configuration says (`guard.injection`).
#
# needs data.settings.rules.*.injection
package agentflow

import rego.v1

injection_by_strictness := ["block", "quarantine", "cut", "spotlight", "annotate"]

injection := injection_by_strictness[least(places)] if {
	places := injections_named
	count(places) > 0
}

injections_named contains place if {
	some name in concerning
	some place, action in injection_by_strictness
	action == data.settings.rules[name].injection
}
