# Bounds on answers, and how long one may be used again; where several rules set one, the smallest counts.
#
# needs data.settings.rules.*.max_result_bytes
# needs data.settings.rules.*.cache_ttl
package agentflow

import rego.v1

max_result_bytes := least(bounds) if {
	bounds := {data.settings.rules[name].max_result_bytes | some name in concerning}
	count(bounds) > 0
}

cache_ttl := least(bounds) if {
	bounds := {data.settings.rules[name].cache_ttl | some name in concerning}
	count(bounds) > 0
}
