# Rules of data.json that count only at certain times: "hours": {"from": 22, "to": 6, "days": ["monday", …]}, by the
# gateway's clock. "to" is the first hour outside; from 22 to 6 goes through midnight.
#
# needs data.settings.rules.*.hours
package agentflow

import rego.v1

off contains name if {
	some name, rule in data.settings.rules
	rule.hours
	not input.time.weekday in object.get(rule.hours, "days", [input.time.weekday])
}

off contains name if {
	some name, rule in data.settings.rules
	rule.hours
	not in_span(object.get(rule.hours, "from", 0), object.get(rule.hours, "to", 24))
}

in_span(first, end) if {
	first < end
	input.time.hour >= first
	input.time.hour < end
}

in_span(first, end) if {
	first > end
	input.time.hour >= first
}

in_span(first, end) if {
	first > end
	input.time.hour < end
}
