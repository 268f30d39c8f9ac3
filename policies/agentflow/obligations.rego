# What the gateway must do along with an allowed call. What no rule of data.json asks for stands here; the files that
# say otherwise (bounds.rego, deep.rego, injection.rego, masks.rego, rates.rego, approvers.rego …) are left out by the
# gateway where data.json has no use for them.
package agentflow

import rego.v1

obligations := {
	"redact": data.settings.redact,
	"rehydrate": rehydrate,
	"mask": mask,
	"approval": approval,
	"rate_class": rate_class,
	"max_result_bytes": max_result_bytes,
	"cache_ttl": cache_ttl,
	"model_tier": model_tier,
	"log_level": log_level,
	"deep": deep,
	"injection": injection,
}

default mask := []

default rate_class := null

default max_result_bytes := null

default cache_ttl := 0

default model_tier := null

default log_level := null

default deep := false

default injection := null

# Real values for PII tokens go to trusted servers, and where a rule says so. The gateway's own tools never
# need them: what they call in turn gets them by its own decision. Models never get any, whatever a rule says.
rehydrate contains "*" if {
	input.upstream.trust == "trusted"
	not input.upstream.kind in {"gateway", "flow", "model"}
}

# Several reasons to ask make one question, with the shortest time to answer.
default approval := null

approval := {"who": approvers, "count": approvers_needed, "ttl": least(times), "prompt": concat(" ", sort(prompts))} if {
	asked := asks
	count(asked) > 0
	times := {ask.ttl | some ask in asked}
	prompts := {ask.prompt | some ask in asked; ask.prompt != ""}
}

# Who may answer: whoever calls, unless a rule says otherwise (approvers.rego).
default approvers := "caller"

default approvers_needed := 1

# The embedded engine's own min() compares numbers as text: of 60 and 300 it takes 300.
least(values) := value if {
	some value in values
	not undercut(value, values)
}

undercut(value, values) if {
	some other in values
	other < value
}
