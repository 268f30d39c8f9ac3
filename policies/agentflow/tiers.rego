# The strongest model that planner, executor, verifier and solver may use, by rules with "model_tier"; of several the
# weakest counts. "offline" is none.
#
# needs data.settings.rules.*.model_tier
package agentflow

import rego.v1

tiers := ["offline", "bronze", "silver", "gold"]

model_tier := tiers[least(places)] if {
	places := tiers_named
	count(places) > 0
}

tiers_named contains place if {
	some name in concerning
	some place, tier in tiers
	tier == data.settings.rules[name].model_tier
}
