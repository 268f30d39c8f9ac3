# Tests of which answers go through the deep tier, with the helpers of decision_test.rego.
package agentflow_test

import rego.v1

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
