# Rules of data.json that count only at certain times: "hours": {"from": 22, "to": 6, "days": ["monday", …]}, by the
# gateway's clock. "to" is the first hour outside; from 22 to 6 goes through midnight, and "days" are then those on which
# such a night begins: the night of a friday ends on saturday.
#
# needs data.settings.rules.*.hours
package agentflow

import rego.v1

off contains name if {
	some name, rule in data.settings.rules
	rule.hours
	not in_hours(rule.hours, object.get(rule.hours, "from", 0), object.get(rule.hours, "to", 24))
}

in_hours(hours, first, end) if {
	first < end
	input.time.hour >= first
	input.time.hour < end
	on_day(hours, input.time.weekday)
}

in_hours(hours, first, end) if {
	first > end
	input.time.hour >= first
	on_day(hours, input.time.weekday)
}

in_hours(hours, first, end) if {
	first > end
	input.time.hour < end
	on_day(hours, day_before[input.time.weekday])
}

on_day(hours, _) if not hours.days

on_day(hours, day) if day in hours.days

day_before := {
	"monday": "sunday", "tuesday": "monday", "wednesday": "tuesday", "thursday": "wednesday", "friday": "thursday",
	"saturday": "friday", "sunday": "saturday",
}
