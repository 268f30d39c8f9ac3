# Tests of the default bundle, with the helpers of helpers_test.rego.
package agentflow_test

import rego.v1

import data.agentflow

test_an_agent_may_call_an_ordinary_tool if {
	decision := answer(question("agent", "web", "fetch", {}))
	decision.allow == true
	codes(decision) == {"role"}
}

test_an_unknown_role_may_nothing if {
	decision := answer(question("stranger", "web", "fetch", {"readOnlyHint": true}))
	decision.allow == false
	codes(decision) == {"not_allowed"}
}

test_a_viewer_may_read if answer(question("viewer", "web", "fetch", {"readOnlyHint": true})).allow == true

test_a_viewer_may_not_write if answer(question("viewer", "web", "fetch", {"readOnlyHint": false})).allow == false

test_a_viewer_may_not_call_a_tool_that_says_nothing if answer(question("viewer", "web", "fetch", {})).allow == false

test_not_destructive_leaves_out_what_destroys if {
	answer(question("careful", "web", "x", {})).allow == true
	answer(question("careful", "web", "x", {"destructiveHint": true})).allow == false
}

test_the_forbidden_list_binds_everybody if {
	decision := answer(question("admin", "crm", "drop_all", {}))
	decision.allow == false
	codes(decision) == {"forbidden"}
}

test_the_forbidden_list_is_about_that_server if answer(question("admin", "other", "drop_all", {})).allow == true

test_a_rule_denies_with_its_reason if {
	decision := answer(question("agent", "pay", "refund_all", {}))
	decision.allow == false
	decision.reasons == {{"code": "no-refunds", "message": "refunds are for administrators"}}
}

test_a_rule_spares_the_roles_it_excepts if answer(question("admin", "pay", "refund_all", {})).allow == true

test_only_roles_shuts_everybody_else_out if {
	answer(question("agent", "vault-eu", "read", {})).allow == false
	answer(question("admin", "vault-eu", "read", {})).allow == true
}

test_a_rule_asks_for_approval if {
	decision := answer(question("agent", "mail", "send", {}))
	decision.allow == true
	decision.obligations.approval == {"who": "caller", "count": 1, "ttl": 60, "prompt": "Mail leaves the house."}
}

test_ordinary_tools_need_no_approval if answer(question("agent", "mail", "list", {})).obligations.approval == null

test_destructive_tools_can_be_made_to_ask if {
	document := question("agent", "web", "wipe", {"destructiveHint": true})
	asking := changed(settings, {"destructive": {"untrusted": "ask"}})
	answer(document).obligations.approval == null
	decision := answer_under(document, asking)
	decision.obligations.approval.ttl == 300
}

test_destructive_tools_can_be_denied if {
	document := question("agent", "web", "wipe", {"destructiveHint": true})
	denying := changed(settings, {"destructive": {"untrusted": "deny"}})
	decision := answer_under(document, denying)
	codes(decision) == {"destructive"}
}

test_untrusted_servers_get_no_real_values if answer(question("agent", "web", "fetch", {})).obligations.rehydrate == set()

test_trusted_servers_get_real_values if {
	document := changed(question("agent", "web", "fetch", {}), {"upstream": {"trust": "trusted"}})
	answer(document).obligations.rehydrate == {"*"}
}

test_the_gateways_own_tools_get_no_real_values if {
	document := changed(question("agent", "", "solver", {}), {"upstream": {"trust": "trusted", "kind": "gateway"}})
	answer(document).obligations.rehydrate == set()
}

test_everything_is_redacted if answer(question("agent", "web", "fetch", {})).obligations.redact == ["*"]

tainted(document) := changed(document, {"session": {"taint": ["private", "untrusted"]}})

test_a_toxic_flow_is_denied if {
	decision := answer(tainted(question("agent", "web", "post", {})))
	decision.allow == false
	codes(decision) == {"toxic_flow"}
}

test_reading_in_a_tainted_session_is_no_toxic_flow if {
	answer(tainted(question("agent", "web", "fetch", {"readOnlyHint": true}))).allow == true
}

test_writing_to_a_trusted_closed_server_is_no_toxic_flow if {
	difference := {"session": {"taint": ["private", "untrusted"]}, "upstream": {"trust": "trusted"}}
	answer(changed(question("agent", "crm", "write", {}), difference)).allow == true
	codes(answer(changed(question("agent", "crm", "write", {"openWorldHint": true}), difference))) == {"toxic_flow"}
}

test_one_taint_alone_is_no_toxic_flow if {
	answer(changed(question("agent", "web", "post", {}), {"session": {"taint": ["private"]}})).allow == true
	answer(changed(question("agent", "web", "post", {}), {"session": {"taint": ["untrusted"]}})).allow == true
}

test_a_listing_does_not_depend_on_the_session if {
	difference := {"session": {"taint": ["private", "untrusted"]}, "call": {"phase": "list"}}
	answer(changed(question("agent", "web", "post", {}), difference)).allow == true
}

test_a_toxic_flow_can_ask_instead if {
	asking := changed(settings, {"toxic_flow": "ask"})
	document := tainted(question("agent", "web", "post", {}))
	decision := answer_under(document, asking)
	decision.allow == true
	decision.obligations.approval.ttl == 300
}

test_deny_by_default_needs_a_rule if {
	closed := changed(settings, {
		"default": "deny",
		"rules": {"web": {"servers": ["web"], "effect": "allow", "roles": ["agent"]}},
	})
	allowed := answer_under(question("agent", "web", "fetch", {}), closed)
	allowed.allow == true
	other := answer_under(question("agent", "crm", "read", {}), closed)
	other.allow == false
	viewer := answer_under(question("viewer", "web", "fetch", {}), closed)
	viewer.allow == false
}

surface(role, name) := changed(question(role, "", "", {}), {"call": {"kind": "gateway", "surface": name}})

test_the_gateways_own_surfaces_are_open_to_every_role if {
	names := ["ping", "logging/setLevel", "server/discover", "tools/list", "prompts/list", "resources/list"]
	count([name | some name in names; answer(surface("viewer", name)).allow == true]) == count(names)
}

test_an_unheard_of_surface_is_denied if answer(surface("admin", "admin/everything")).allow == false

test_prompts_and_resources_follow_the_role if {
	prompt := {"call": {"kind": "prompt", "surface": "prompts/get"}}
	answer(changed(question("viewer", "web", "greet", {}), prompt)).allow == true
	answer(changed(question("careful", "web", "greet", {}), prompt)).allow == false
	resource := {"call": {"kind": "resource", "surface": "resources/read"}}
	answer(changed(question("viewer", "web", "file:///a", {}), resource)).allow == true
	answer(changed(question("careful", "web", "file:///a", {}), resource)).allow == false
}

test_another_version_is_denied if {
	decision := answer(changed(question("admin", "web", "fetch", {}), {"version": "agentflow/2"}))
	codes(decision) == {"unknown_version"}
}
