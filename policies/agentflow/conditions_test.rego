# Tests of conditions on arguments and of hours, with the helpers of helpers_test.rego.
#
# needs data.settings.rules.*.when
# needs data.settings.rules.*.hours
# needs data.settings.rules.*.rehydrate
package agentflow_test

import rego.v1

calling(arguments) := changed(question("agent", "pay", "transfer", {}), {"call": {"arguments": arguments}})

ruled(rule) := changed(settings, {"rules": {"r": rule}})

closed_by_default(rule) := changed(settings, {"default": "deny", "rules": {"r": rule}})

denied_when(condition, arguments) if {
	rules := ruled({"servers": ["pay"], "effect": "deny", "when": [condition]})
	answer_under(calling(arguments), rules).allow == false
}

allowed_when(condition, arguments) if {
	rules := closed_by_default({"servers": ["pay"], "effect": "allow", "when": [condition]})
	answer_under(calling(arguments), rules).allow == true
}

test_a_number_above_the_limit_is_denied if {
	denied_when({"path": "/amount", "above": 1000}, {"amount": 1000.5})
	not denied_when({"path": "/amount", "above": 1000}, {"amount": 1000})
	not denied_when({"path": "/amount", "above": 1000}, {})
}

test_what_cannot_be_judged_is_denied_and_not_allowed if {
	denied_when({"path": "/amount", "above": 1000}, {"amount": "5"})
	not allowed_when({"path": "/amount", "below": 1000}, {"amount": "5"})
	denied_when({"path": "/to", "unlike": ["*@acme.example"]}, {"to": {"name": "x"}})
}

test_an_argument_may_lie_deeper if {
	denied_when({"path": "/order/total", "above": 10}, {"order": {"total": 11}})
	not denied_when({"path": "/order/total", "above": 10}, {"total": 11})
	not denied_when({"path": "/order/total", "above": 10}, {"order": 11})
}

test_one_element_is_enough_to_deny_and_all_are_needed_to_allow if {
	denied_when({"path": "/files", "like": ["/etc/*"]}, {"files": ["/home/x", "/etc/passwd"]})
	not denied_when({"path": "/files", "like": ["/etc/*"]}, {"files": ["/home/x"]})
	allowed_when({"path": "/files", "like": ["/home/*"]}, {"files": ["/home/x", "/home/y"]})
	not allowed_when({"path": "/files", "like": ["/home/*"]}, {"files": ["/home/x", "/etc/passwd"]})
	not allowed_when({"path": "/files", "like": ["/home/*"]}, {"files": []})
}

test_values_are_compared_as_they_are if {
	denied_when({"path": "/force", "equals": [true]}, {"force": true})
	not denied_when({"path": "/force", "equals": [true]}, {"force": "true"})
	denied_when({"path": "/force", "present": true}, {"force": false})
	denied_when({"path": "/reason", "present": false}, {"force": false})
	not denied_when({"path": "/reason", "present": false}, {"reason": "x"})
}

test_all_conditions_must_hold if {
	rules := ruled({"effect": "deny", "when": [{"path": "/amount", "above": 10}, {"path": "/to", "unlike": ["ours-*"]}]})
	answer_under(calling({"amount": 20, "to": "theirs"}), rules).allow == false
	answer_under(calling({"amount": 20, "to": "ours-1"}), rules).allow == true
	answer_under(calling({"amount": 5, "to": "theirs"}), rules).allow == true
}

test_a_rule_with_conditions_can_ask if {
	rules := ruled({"effect": "approve", "ttl": 60, "when": [{"path": "/amount", "above": 10}]})
	answer_under(calling({"amount": 20}), rules).obligations.approval.ttl == 60
	answer_under(calling({"amount": 5}), rules).obligations.approval == null
}

test_what_is_owed_under_a_condition_is_owed_only_then if {
	rules := ruled({"servers": ["pay"], "rehydrate": ["IBAN"], "when": [{"path": "/to", "like": ["DE*"]}]})
	answer_under(calling({"to": "DE1"}), rules).obligations.rehydrate == {"IBAN"}
	answer_under(calling({"to": "FR1"}), rules).obligations.rehydrate == set()
}

test_a_listing_shows_what_some_call_may_do if {
	listed := changed(question("agent", "pay", "transfer", {}), {"call": {"phase": "list"}})
	denying := ruled({"effect": "deny", "when": [{"path": "/amount", "above": 10}]})
	allowing := closed_by_default({"effect": "allow", "when": [{"path": "/amount", "below": 10}]})
	answer_under(listed, denying).allow == true
	answer_under(listed, allowing).allow == true
}

at(hour, weekday) := changed(question("agent", "pay", "transfer", {}), {"time": {"hour": hour, "weekday": weekday}})

closed(hours, hour, weekday) if {
	rules := ruled({"effect": "deny", "hours": hours})
	answer_under(at(hour, weekday), rules).allow == false
}

test_a_rule_counts_in_its_hours if {
	closed({"from": 9, "to": 17}, 9, "monday")
	not closed({"from": 9, "to": 17}, 17, "monday")
	not closed({"from": 9, "to": 17}, 8, "monday")
}

test_hours_go_through_midnight if {
	closed({"from": 22, "to": 6}, 23, "monday")
	closed({"from": 22, "to": 6}, 5, "monday")
	not closed({"from": 22, "to": 6}, 6, "monday")
}

test_a_night_belongs_to_the_day_it_begins_on if {
	nights := {"from": 22, "to": 6, "days": ["friday", "saturday"]}
	closed(nights, 22, "friday")
	closed(nights, 5, "saturday")
	closed(nights, 5, "sunday")
	not closed(nights, 5, "friday")
	not closed(nights, 22, "sunday")
}

test_days_alone_are_whole_days if {
	closed({"days": ["saturday", "sunday"]}, 0, "sunday")
	closed({"days": ["saturday", "sunday"]}, 23, "saturday")
	not closed({"days": ["saturday", "sunday"]}, 12, "monday")
}
