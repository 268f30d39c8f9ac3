# Which entries of data.json speak about this call.
#
# This is the only file that looks at the names of servers and tools; everything else asks it. The gateway
# counts on that: as long as this file is unchanged and no other file reads those names, it can decide a
# listing of ten thousand tools in groups. Change it freely: listings stay right and become slower.
#
# A pattern is a name in which * stands for any run of characters.
package agentflow

import rego.v1

# What kind of thing is called: "tool", "prompt", "resource", or "gateway" for the gateway's own surfaces.
kind := input.call.kind

# The names of the rules in data.json that cover this server and this tool, prompt or resource.
covering contains name if {
	some name, rule in data.settings.rules
	covers_server(rule)
	covers_name(rule)
	not name in off
}

# The rules whose conditions do not hold for this call: see conditions.rego (arguments) and hours.rego (time).
off contains name if some name in []

covers_server(rule) if not rule.servers

covers_server(rule) if {
	some pattern in rule.servers
	glob.match(pattern, null, input.call.server)
}

covers_name(rule) if {
	kind == "tool"
	some pattern in rule.tools
	glob.match(pattern, null, input.call.tool)
}

covers_name(rule) if {
	kind == "prompt"
	some pattern in rule.prompts
	glob.match(pattern, null, input.call.tool)
}

covers_name(rule) if {
	kind == "resource"
	some pattern in rule.resources
	glob.match(pattern, null, input.call.tool)
}

# A rule that names neither tools nor prompts nor resources covers everything its servers offer.
covers_name(rule) if {
	not kind == "gateway"
	not rule.tools
	not rule.prompts
	not rule.resources
}

# Whether a value is as a pattern says; for conditions on arguments.
like(pattern, value) if glob.match(pattern, null, value)

# The entries of the forbidden list ("server/tool") that cover this call.
forbidden_by contains entry if {
	kind == "tool"
	some entry in data.settings.forbidden
	glob.match(entry, null, concat("/", [input.call.server, input.call.tool]))
}
