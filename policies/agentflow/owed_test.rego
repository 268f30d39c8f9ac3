# Tests of what rules demand along with an allowed call, with the helpers of helpers_test.rego.
#
# needs data.settings.rules.*.max_result_bytes
# needs data.settings.rules.*.cache_ttl
# needs data.settings.rules.*.rehydrate
# needs data.settings.rules.*.mask
# needs data.settings.rate_classes
# needs data.settings.rules.*.model_tier
# needs data.settings.rules.*.log_level
# needs data.settings.rules.*.approvers
# needs data.settings.rules.*.injection
# needs data.settings.rules.*.deep
# needs data.settings.deep
package agentflow_test

import rego.v1

owed(rules) := answer_under(question("agent", "web", "fetch", {}), changed(settings, {"rules": rules})).obligations

test_of_several_bounds_the_smallest_counts if {
	bounded := changed(settings, {"rules": {
		"loose": {"servers": ["web"], "effect": "approve", "ttl": 300, "max_result_bytes": 1000, "cache_ttl": 30},
		"tight": {"servers": ["web"], "effect": "approve", "ttl": 60, "max_result_bytes": 200, "cache_ttl": 4},
	}})
	owed := answer_under(question("agent", "web", "fetch", {}), bounded).obligations
	owed.approval == {"who": "caller", "count": 1, "ttl": 60, "prompt": ""}
	owed.max_result_bytes == 200
	owed.cache_ttl == 4
}

test_a_rule_grants_real_values_of_one_type if {
	decision := answer(question("agent", "crm", "read", {}))
	decision.obligations.rehydrate == {"EMAIL"}
	decision.obligations.max_result_bytes == 1000
}

test_types_are_masked_where_a_rule_says_so if {
	owed({"a": {"servers": ["web"], "mask": ["EMAIL"]}, "b": {"tools": ["fetch"], "mask": ["IBAN"]}}).mask == ["EMAIL", "IBAN"]
	owed({"a": {"servers": ["web"], "mask": ["EMAIL"], "roles": ["viewer"]}}).mask == []
}

classed(rules, roles) := changed(settings, {"rate_classes": ["slow", "bulk"], "rules": rules, "roles": roles})

class_of(rules, roles) := answer_under(question("agent", "web", "fetch", {}), classed(rules, roles)).obligations.rate_class

test_a_call_counts_in_the_class_that_a_rule_names if {
	class_of({"a": {"servers": ["web"], "rate_class": "bulk"}}, {}) == "bulk"
	class_of({"a": {"servers": ["mail"], "rate_class": "bulk"}}, {}) == null
}

test_of_several_classes_the_first_counts if {
	class_of({"a": {"servers": ["web"], "rate_class": "bulk"}, "b": {"tools": ["fetch"], "rate_class": "slow"}}, {}) == "slow"
}

test_a_role_has_a_class_of_its_own if {
	class_of({}, {"agent": {"tools": "all", "rate_class": "slow"}}) == "slow"
	class_of({}, {"viewer": {"tools": "all", "rate_class": "slow"}}) == null
}

test_of_several_tiers_the_weakest_counts if {
	owed({"a": {"servers": ["web"], "model_tier": "gold"}, "b": {"tools": ["fetch"], "model_tier": "bronze"}}).model_tier == "bronze"
	owed({"a": {"servers": ["web"], "model_tier": "offline"}}).model_tier == "offline"
	owed({}).model_tier == null
}

test_of_several_levels_the_most_serious_counts if {
	owed({"a": {"servers": ["web"], "log_level": "info"}, "b": {"tools": ["fetch"], "log_level": "warning"}}).log_level == "warning"
	owed({}).log_level == null
}

asking(rules) := answer_under(question("agent", "web", "fetch", {}), changed(settings, {"rules": rules}))

test_a_rule_says_who_approves_and_how_many if {
	asked := asking({"a": {"servers": ["web"], "effect": "approve", "approvers": {"who": ["role:finance", "role:board"], "count": 2}}})
	{who | some who in asked.obligations.approval.who} == {"role:board", "role:finance"}
	asked.obligations.approval.count == 2
}

test_who_is_named_approves_in_place_of_the_caller if {
	asked := asking({
		"a": {"servers": ["web"], "effect": "approve", "approvers": {"who": ["role:finance"]}},
		"b": {"tools": ["fetch"], "effect": "approve", "ttl": 10},
	})
	asked.obligations.approval.who == ["role:finance"]
	asked.obligations.approval.count == 1
	asked.obligations.approval.ttl == 10
}

test_of_several_approvers_those_count_who_may_for_all if {
	asked := asking({
		"a": {"servers": ["web"], "effect": "approve", "approvers": {"who": ["role:finance", "role:board"]}},
		"b": {"tools": ["fetch"], "effect": "approve", "approvers": {"who": ["role:board"], "count": 3}},
	})
	asked.obligations.approval.who == ["role:board"]
	asked.obligations.approval.count == 3
}

test_where_nobody_may_approve_for_all_rules_the_call_is_denied if {
	asked := asking({
		"a": {"servers": ["web"], "effect": "approve", "approvers": {"who": ["role:finance"]}},
		"b": {"tools": ["fetch"], "effect": "approve", "approvers": {"who": ["role:board"]}},
	})
	asked.allow == false
	codes(asked) == {"approvers_differ"}
}

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

people := {"people": {"servers": ["crm"], "tools": ["find_*"], "deep": true}}

deeply(which) := object.union(settings, {"deep": which, "rules": people})

of_server(name, sensitivity) := changed(question("agent", name, "any", {}), {
	"upstream": {"trust": "untrusted", "sensitivity": sensitivity, "kind": "http"},
})

test_a_rule_names_tools_whose_answers_are_searched_deeply if {
	answer_under(question("agent", "crm", "find_customer", {}), deeply("rules")).obligations.deep == true
}

test_other_answers_are_not_searched_deeply if {
	answer_under(question("agent", "crm", "list_tables", {}), deeply("rules")).obligations.deep == false
}

test_nothing_is_searched_deeply_by_default if {
	answer(question("agent", "crm", "find_customer", {})).obligations.deep == false
}

test_private_servers_can_be_searched_deeply_as_a_whole if {
	answer_under(of_server("hr", "private"), deeply("private")).obligations.deep == true
}

test_public_servers_are_not_searched_deeply_then if {
	answer_under(of_server("web", "public"), deeply("private")).obligations.deep == false
}

test_every_server_can_be_searched_deeply if {
	answer_under(of_server("web", "public"), deeply("all")).obligations.deep == true
}
