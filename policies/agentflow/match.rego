# Which entries of data.json speak about this call.
#
# This is the only file that looks at the names of servers and tools; everything else asks it. The gateway
# counts on that: as long as this file is unchanged and no other file reads those names, it can decide a
# listing of ten thousand tools in groups. Change it freely: listings stay right and become slower.
#
# A pattern is a name in which * stands for any run of characters.
package agentflow

import rego.v1

# The names of the rules in data.json that cover this server and this tool, prompt, resource or model.
covering contains name if {
	some name in on_this_server
	covers_name(data.settings.rules[name])
	not name in off
}

on_this_server contains name if {
	some name, rule in data.settings.rules
	some pattern in object.get(rule, "servers", ["*"])
	glob.match(pattern, null, input.call.server)
}

# Of these, the ones that are about the caller: see rules.rego.
concerning contains name if {
	some name in covering
	concerns(data.settings.rules[name])
}

# The rules whose conditions do not hold for this call: see conditions.rego (arguments) and hours.rego (time).
off contains name if some name in []

covers_name(rule) if {
	input.call.kind == "tool"
	some pattern in rule.tools
	glob.match(pattern, null, input.call.tool)
}

covers_name(rule) if {
	input.call.kind == "prompt"
	some pattern in rule.prompts
	glob.match(pattern, null, input.call.tool)
}

covers_name(rule) if {
	input.call.kind == "resource"
	some pattern in rule.resources
	glob.match(pattern, null, input.call.tool)
}

covers_name(rule) if {
	input.call.kind == "model"
	some pattern in rule.models
	glob.match(pattern, null, input.call.tool)
}

# A rule that names neither tools nor prompts nor resources nor models covers everything its servers offer.
covers_name(rule) if {
	not input.call.kind == "gateway"
	not rule.tools
	not rule.prompts
	not rule.resources
	not rule.models
}

# Whether a value is as a pattern says; for conditions on arguments.
like(pattern, value) if glob.match(pattern, null, value)

# The entries of the forbidden list ("server/tool") that cover this call.
forbidden_by contains entry if {
	input.call.kind == "tool"
	some entry in data.settings.forbidden
	glob.match(entry, null, concat("/", [input.call.server, input.call.tool]))
}
