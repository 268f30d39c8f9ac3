# Tests of what rules demand about injected instructions, with the helpers of decision_test.rego.
package agentflow_test

import rego.v1

suspicious := {
	"web": {"servers": ["web"], "injection": "spotlight"},
	"mail": {"servers": ["web"], "tools": ["read_mail"], "injection": "quarantine"},
	"noted": {"servers": ["notes"], "injection": "annotate"},
	"shut": {"servers": ["shut"], "injection": "block"},
	"trimmed": {"servers": ["trimmed"], "injection": "cut"},
}

injection_of(server, tool) := answer_under(question("agent", server, tool, {}), object.union(settings, {"rules": suspicious})).obligations.injection

test_a_rule_says_what_is_done_about_injected_instructions if {
	injection_of("web", "fetch") == "spotlight"
	injection_of("notes", "read") == "annotate"
	injection_of("shut", "read") == "block"
	injection_of("trimmed", "read") == "cut"
}

test_of_several_rules_the_strictest_counts if injection_of("web", "read_mail") == "quarantine"

test_without_a_rule_the_configuration_says if injection_of("crm", "find") == null
