# Calls that the gateway's log has a line about, by rules with "log_level"; of several the most serious counts.
#
# needs data.settings.rules.*.log_level
package agentflow

import rego.v1

levels := ["error", "warning", "info", "debug"]

log_level := levels[least(places)] if {
	places := levels_named
	count(places) > 0
}

levels_named contains place if {
	some name in concerning
	some place, level in levels
	level == data.settings.rules[name].log_level
}
