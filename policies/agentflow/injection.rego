# What is done about instructions that the screen finds in an answer, where a rule with "injection" covers what answered;
# of several rules, the strictest counts. Without one, the configuration says (`guard.injection`).
package agentflow

import rego.v1

default injection := null

injection := "block" if injection_actions["block"]

injection := "quarantine" if {
	injection_actions["quarantine"]
	not injection_actions["block"]
}

injection := "cut" if {
	injection_actions["cut"]
	not injection_actions["quarantine"]
	not injection_actions["block"]
}

injection := "spotlight" if {
	injection_actions["spotlight"]
	not injection_actions["cut"]
	not injection_actions["quarantine"]
	not injection_actions["block"]
}

injection := "annotate" if injection_actions == {"annotate"}

injection_actions contains action if {
	some name in covering
	action := data.settings.rules[name].injection
	concerns(data.settings.rules[name])
}
