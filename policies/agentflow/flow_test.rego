# Tests of flow.rego.
package agentflow_test

import rego.v1

flow_settings := over(settings, {
	"toxic_flow": "off",
	"flows": {
		"requested": "deny", "exfiltration": "deny", "publication": "deny", "smuggling": "deny", "injection": "ask",
		"incomplete": "ask", "swayed": "deny", "opened": "ask",
	},
	"egress": {"allow": []},
})

facts(sink) := {"sink": sink, "destinations": [], "provenance": [], "carries": [], "incomplete": false, "swayed": []}

target(seen_in) := {
	"path": "/arguments/to", "type": "email", "seen_in": seen_in, "requested": false, "sender": false,
	"servers": ["web"],
}

tracing(found) := changed(question("agent", "web", "x", {}), {"call": {"flow": found}})

private(document) := changed(document, {"session": {"taint": ["private"]}})

flow_codes(document) := codes(answer_under(document, flow_settings))

passes(document) if answer_under(document, flow_settings).allow == true

test_a_call_with_nothing_suspicious_passes if passes(tracing(facts("send")))

test_what_outsiders_asked_for_is_denied if {
	asked := {"servers": ["web"], "match": "value", "strength": 1}
	flow_codes(tracing(over(facts("change"), {"asked": asked}))) == {"flow_requested"}
}

test_a_plain_imperative_counts_where_much_is_at_stake if {
	asked := {"servers": ["web"], "match": "words", "strength": 1}
	flow_codes(tracing(over(facts("delete"), {"asked": asked}))) == {"flow_requested"}
	passes(tracing(over(facts("write"), {"asked": asked})))
	plainly := {"servers": ["web"], "match": "words", "strength": 2}
	flow_codes(tracing(over(facts("write"), {"asked": plainly}))) == {"flow_requested"}
}

test_fetching_what_a_page_links_to_is_nothing if {
	asked := {"servers": ["web"], "match": "value", "strength": 2}
	passes(tracing(over(facts("http"), {"asked": asked})))
}

test_answering_the_sender_is_fine_even_if_asked if {
	asked := {"servers": ["mail"], "match": "value", "strength": 2}
	sender := over(target("private"), {"sender": true})
	passes(private(tracing(over(facts("send"), {"asked": asked, "destinations": [sender]}))))
}

test_answering_with_what_other_servers_hold_is_not if {
	asked := {"servers": ["mail"], "match": "value", "strength": 2}
	sender := over(target("private"), {"sender": true})
	document := tracing(over(facts("send"), {"asked": asked, "destinations": [sender], "carries": ["abroad", "private"]}))
	flow_codes(private(document)) == {"flow_requested"}
}

test_private_content_may_not_go_where_outsiders_demanded if {
	to := over(target("untrusted"), {"requested": true})
	flow_codes(private(tracing(over(facts("send"), {"destinations": [to]})))) == {"flow_exfiltration"}
	passes(tracing(over(facts("send"), {"destinations": [to]})))
	passes(private(tracing(over(facts("read"), {"destinations": [to]}))))
}

test_a_plain_name_needs_something_that_is_carried if {
	to := over(target("untrusted"), {"requested": true, "type": "name"})
	passes(private(tracing(over(facts("send"), {"destinations": [to]}))))
	carrying := over(facts("send"), {"destinations": [to], "carries": ["private"]})
	flow_codes(private(tracing(carrying))) == {"flow_exfiltration"}
}

test_a_little_private_content_may_go_to_an_address_of_a_page if {
	little := over(facts("send"), {"destinations": [target("untrusted")], "carries": ["elsewhere", "private"]})
	passes(private(tracing(little)))
	much_of_it := over(facts("send"), {"destinations": [target("untrusted")], "carries": ["bulk", "elsewhere", "private"]})
	flow_codes(private(tracing(much_of_it))) == {"flow_exfiltration"}
	encoded := over(facts("send"), {"destinations": [target("untrusted")], "carries": ["elsewhere", "encoded", "private"]})
	flow_codes(private(tracing(encoded))) == {"flow_exfiltration"}
}

test_private_content_may_go_where_the_caller_says if {
	all_fine(["none", "trusted", "private"])
}

all_fine(kinds) if {
	fine := [kind | some kind in kinds; passes(private(tracing(over(facts("send"), {"destinations": [target(kind)], "carries": ["bulk", "private"]}))))]
	count(fine) == count(kinds)
}

test_publishing_private_content_after_outsiders_is_denied if {
	found := over(facts("post"), {"carries": ["abroad", "bulk", "outside", "private"]})
	flow_codes(tracing(found)) == {"flow_publication"}
	passes(tracing(over(found, {"carries": ["abroad", "bulk", "private"]})))
	passes(tracing(over(found, {"destinations": [target("none")]})))
}

test_addresses_carry_no_private_content if {
	flow_codes(tracing(over(facts("http"), {"carries": ["smuggled"]}))) == {"flow_smuggling"}
}

test_a_session_with_injected_instructions_asks_before_it_acts if {
	document := changed(tracing(facts("pay")), {"session": {"taint": ["injection"]}})
	decision := answer_under(document, flow_settings)
	decision.allow == true
	decision.obligations.approval.ttl == 300
	reading := changed(tracing(facts("read")), {"session": {"taint": ["injection"]}})
	quiet := answer_under(reading, flow_settings)
	quiet.obligations.approval == null
}

test_what_is_not_remembered_whole_asks if {
	found := over(facts("send"), {"incomplete": true, "carries": ["abroad", "bulk", "private"]})
	decision := answer_under(tracing(found), flow_settings)
	decision.allow == true
	decision.obligations.approval.ttl == 300
}

test_each_rule_can_be_switched_off if {
	off := changed(flow_settings, {"flows": {"smuggling": "allow"}})
	decision := answer_under(tracing(over(facts("http"), {"carries": ["smuggled"]})), off)
	decision.allow == true
}

test_only_hosts_on_the_list_may_be_named if {
	listed := over(flow_settings, {"egress": {"allow": ["acme.example"]}})
	inside := over(facts("http"), {"hosts": ["acme.example", "docs.acme.example"]})
	within := answer_under(tracing(inside), listed)
	within.allow == true
	outside := over(facts("http"), {"hosts": ["notacme.example"]})
	without := answer_under(tracing(outside), listed)
	codes(without) == {"egress"}
	free := answer_under(tracing(outside), flow_settings)
	free.allow == true
}

test_a_listing_knows_of_no_flow if {
	document := tracing(over(facts("http"), {"carries": ["smuggled"]}))
	passes(changed(document, {"call": {"phase": "list"}}))
}

test_what_hangs_on_outsiders_alone_is_denied if {
	every_kind := [what | some what in ["payee", "grantee", "target", "command", "protection"]; flow_codes(tracing(over(facts("pay"), {"swayed": [what]}))) == {"flow_swayed"}]
	count(every_kind) == 5
}

test_opening_to_everybody_asks if {
	decision := answer_under(tracing(over(facts("grant"), {"swayed": ["public"]})), flow_settings)
	decision.allow == true
	decision.obligations.approval.ttl == 300
}

test_private_content_where_outsiders_read_is_denied if {
	found := over(facts("write"), {"carries": ["abroad", "bulk", "outside", "private", "visible"], "destinations": [over(target("none"), {"type": "name"})]})
	flow_codes(tracing(found)) == {"flow_publication"}
	passes(tracing(over(found, {"carries": ["abroad", "bulk", "outside", "private"]})))
	passes(tracing(over(found, {"destinations": [target("none")]})))
}

test_private_content_of_the_same_server_may_not_go_to_a_third_party if {
	found := over(facts("send"), {"destinations": [target("untrusted")], "carries": ["bulk", "private"]})
	flow_codes(tracing(found)) == {"flow_exfiltration"}
	passes(tracing(over(found, {"destinations": [over(target("untrusted"), {"sender": true})]})))
}

test_something_goes_to_a_stranger_after_private_content_was_read if {
	stranger := tracing(over(facts("send"), {"destinations": [target("untrusted")]}))
	answer_under(private(stranger), flow_settings).obligations.approval != null
	passes(stranger)
}

test_a_link_is_asked_about_only_if_something_private_is_told if {
	link := over(target("untrusted"), {"type": "url"})
	passes(private(tracing(over(facts("post"), {"destinations": [link]}))))
	hint := tracing(over(facts("post"), {"destinations": [link], "carries": ["hint"]}))
	answer_under(private(hint), flow_settings).obligations.approval != null
}

test_answering_somebody_who_wrote_is_not_asked_about if {
	sender := over(target("untrusted"), {"sender": true})
	passes(private(tracing(over(facts("send"), {"destinations": [sender]}))))
}

credential(destinations, upstream) := changed(
	tracing(over(facts("send"), {"destinations": destinations, "carries": ["secret"]})),
	{"session": {"taint": ["private", "untrusted"]}, "upstream": upstream},
)

test_a_credential_goes_to_nobody_whom_outsiders_named if {
	sender := over(target("untrusted"), {"sender": true})
	flow_codes(credential([sender], {"trust": "trusted"})) == {"flow_credential"}
	flow_codes(credential([], {"trust": "untrusted"})) == {"flow_credential"}
	passes(credential([target("none")], {"trust": "untrusted"}))
}

several(taint) := changed(
	tracing(over(facts("write"), {"carries": ["people", "abroad"]})),
	{"session": {"taint": taint}, "upstream": {"trust": "untrusted"}},
)

test_records_of_several_people_are_not_told_where_outsiders_read if {
	flow_codes(several(["private", "untrusted"])) == {"flow_publication"}
	passes(several(["private"]))
}

test_what_is_kept_under_a_name_in_a_server_of_ones_own_goes_nowhere if {
	named := over(target("untrusted"), {"type": "name"})
	kept := over(facts("write"), {"destinations": [named], "carries": ["bulk", "elsewhere", "private"]})
	inside := {"upstream": {"trust": "trusted", "sensitivity": "private"}}
	passes(changed(private(tracing(kept)), inside))
	flow_codes(changed(private(tracing(kept)), {"upstream": {"trust": "untrusted"}})) == {"flow_exfiltration"}
}

test_what_only_outsiders_named_is_set_when_somebody_agrees if {
	answer_under(tracing(over(facts("change"), {"swayed": ["setting"]})), flow_settings).obligations.approval != null
	passes(tracing(facts("change")))
}

test_somebody_of_the_callers_records_is_written_to_in_free_words if {
	listed := over(target("untrusted"), {"listed": true})
	passes(private(tracing(over(facts("send"), {"destinations": [listed]}))))
	telling := tracing(over(facts("send"), {"destinations": [listed], "carries": ["hint"]}))
	answer_under(private(telling), flow_settings).obligations.approval != null
}

test_a_credential_is_not_written_under_a_name_where_outsiders_read if {
	named := over(target("none"), {"type": "name"})
	row := tracing(over(facts("execute"), {"destinations": [named], "carries": ["secret"]}))
	inside := {"session": {"taint": ["private", "untrusted"]}, "upstream": {"trust": "untrusted"}}
	flow_codes(changed(row, inside)) == {"flow_credential"}
	passes(changed(row, {"session": {"taint": ["private", "untrusted"]}, "upstream": {"trust": "trusted"}}))
}

test_one_part_of_a_server_is_not_told_in_another_where_outsiders_ask if {
	told := tracing(over(facts("write"), {"carries": ["across", "private"]}))
	flow_codes(changed(told, {"upstream": {"trust": "untrusted"}})) == {"flow_publication"}
	passes(changed(told, {"upstream": {"trust": "trusted"}}))
}
