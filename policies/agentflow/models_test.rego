# Tests of rules about language models, with the helpers of helpers_test.rego.
package agentflow_test

import rego.v1

# The embedded engine wants the document made in one piece where a test changes several members of it.
asking_model(role, model) := changed(question(role, "models", model, {}), {
	"call": {"kind": "model", "surface": "models/chat"},
	"upstream": {"trust": "untrusted", "sensitivity": "public", "kind": "model"},
})

test_a_role_with_models_may_ask_them if answer(asking_model("agent", "m-1")).allow == true

test_a_role_that_does_not_say_so_may_ask_none if {
	answer(asking_model("viewer", "m-1")).allow == false
	answer(asking_model("careful", "m-1")).allow == false
}

test_a_rule_denies_models_by_name if {
	rules := changed(settings, {"rules": {"no-big": {"models": ["big-*"], "effect": "deny"}}})
	answer_under(asking_model("agent", "big-1"), rules).allow == false
	answer_under(asking_model("agent", "small-1"), rules).allow == true
	answer_under(question("agent", "web", "big-1", {}), rules).allow == true
}

test_with_default_deny_a_model_needs_a_rule if {
	rules := changed(settings, {"default": "deny", "rules": {"small": {"models": ["small-*"], "effect": "allow"}}})
	answer_under(asking_model("agent", "small-1"), rules).allow == true
	answer_under(asking_model("agent", "big-1"), rules).allow == false
}

test_a_rule_about_tools_says_nothing_about_models if {
	rules := changed(settings, {"rules": {"no-tools": {"tools": ["*"], "effect": "deny"}}})
	answer_under(asking_model("agent", "m-1"), rules).allow == true
}

test_a_rule_that_names_nothing_is_about_models_too if {
	rules := changed(settings, {"rules": {"closed": {"effect": "deny"}}})
	answer_under(asking_model("agent", "m-1"), rules).allow == false
}

test_models_get_no_real_values if {
	trusted := changed(asking_model("agent", "m-1"), {"upstream": {"trust": "trusted", "sensitivity": "public", "kind": "model"}})
	answer(trusted).obligations.rehydrate == set()
}

test_a_secret_in_a_prompt_is_a_token_and_no_reason_to_refuse if {
	document := changed(asking_model("agent", "m-1"), {"call": {
		"kind": "model", "surface": "models/chat",
		"pii": {"types": ["API_KEY"], "counts": {"API_KEY": 1}, "paths": []},
	}})
	answer(document).allow == true
}

test_models_are_listed if {
	listing := changed(asking_model("viewer", ""), {"call": {"kind": "gateway", "surface": "models/list"}})
	answer(listing).allow == true
}
