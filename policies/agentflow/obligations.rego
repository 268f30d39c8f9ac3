# What the gateway must do along with an allowed call.
package agentflow

import rego.v1

obligations := {
	"redact": data.settings.redact,
	"rehydrate": rehydrate,
	"approval": approval,
	"max_result_bytes": max_result_bytes,
	"cache_ttl": cache_ttl,
	"deep": deep,
	"injection": injection,
}

# Real values for PII tokens go to trusted servers, and where a rule says so. The gateway's own tools never
# need them: what they call in turn gets them by its own decision.
rehydrate contains "*" if {
	input.upstream.trust == "trusted"
	not input.upstream.kind in {"gateway", "flow"}
}

rehydrate contains type if {
	some name in covering
	concerns(data.settings.rules[name])
	some type in data.settings.rules[name].rehydrate
}

# Several reasons to ask make one question, with the shortest time to answer.
default approval := null

approval := {"who": "caller", "ttl": least(times_to_answer), "prompt": concat(" ", sort(prompts))} if {
	count(asks) > 0
}

times_to_answer contains ask.ttl if {
	some ask in asks
}

prompts contains ask.prompt if {
	some ask in asks
	ask.prompt != ""
}

# Where several rules set a bound, the smallest counts.
default max_result_bytes := null

max_result_bytes := least(result_bounds) if count(result_bounds) > 0

result_bounds contains value if {
	some name in covering
	value := data.settings.rules[name].max_result_bytes
	concerns(data.settings.rules[name])
}

default cache_ttl := 0

cache_ttl := least(cache_ttls) if count(cache_ttls) > 0

cache_ttls contains value if {
	some name in covering
	value := data.settings.rules[name].cache_ttl
	concerns(data.settings.rules[name])
}

# The embedded engine's own min() compares numbers as text: of 60 and 300 it takes 300.
least(values) := value if {
	some value in values
	not undercut(value, values)
}

undercut(value, values) if {
	some other in values
	other < value
}
