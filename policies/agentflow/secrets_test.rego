# Tests of the rule about secrets, with the helpers of helpers_test.rego.
package agentflow_test

import rego.v1

handing(types, trust, kind) := changed(question("agent", "web", "post", {}), {
	"call": {"pii": {"types": types, "counts": {}, "paths": []}},
	"upstream": {"trust": trust, "sensitivity": "public", "kind": kind},
})

secrets_are(action) := object.union(settings, {"secrets": {"untrusted": action}})

test_a_secret_does_not_go_to_an_untrusted_server if {
	decision := answer(handing(["EMAIL", "PASSWORD"], "untrusted", "http"))
	decision.allow == false
	decision.reasons == {{
		"code": "secret_to_untrusted",
		"message": "the call would hand a secret (PASSWORD) to a server that is not trusted",
	}}
}

test_personal_data_is_no_secret if answer(handing(["EMAIL", "IBAN"], "untrusted", "http")).allow == true

test_a_trusted_server_may_have_a_secret if answer(handing(["API_KEY"], "trusted", "http")).allow == true

test_the_gateway_itself_may_have_a_secret if answer(handing(["API_KEY"], "untrusted", "gateway")).allow == true

test_an_unknown_action_for_secrets_denies if {
	answer_under(handing(["JWT"], "untrusted", "stdio"), secrets_are("perhaps")).allow == false
}

test_handing_over_a_secret_can_be_a_question if {
	decision := answer_under(handing(["SECRET"], "untrusted", "http"), secrets_are("ask"))
	decision.allow == true
	decision.obligations.approval.prompt == "It hands a secret to a server that is not trusted."
}

test_handing_over_a_secret_can_be_allowed if {
	decision := answer_under(handing(["SECRET"], "untrusted", "http"), secrets_are("allow"))
	decision.allow == true
	decision.obligations.approval == null
}
