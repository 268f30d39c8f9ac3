# What each role may do, as data.json says under "roles".
package agentflow

import rego.v1

grounds contains {"code": "role", "message": concat(" ", ["the role", role, "may do this"])} if {
	open_by_default
	some role in input.principal.roles
	may(data.settings.roles[role])
}

# With "default": "deny" in data.json a role alone is not enough: a rule with the effect "allow" is needed.
open_by_default if data.settings["default"] == "allow"

open_by_default if housekeeping

may(rights) if housekeeping

may(rights) if {
	input.call.kind == "tool"
	rights.tools == "all"
}

may(rights) if {
	input.call.kind == "tool"
	rights.tools == "read_only"
	read_only
}

may(rights) if {
	input.call.kind == "tool"
	rights.tools == "not_destructive"
	not destructive
}

may(rights) if {
	input.call.kind == "prompt"
	rights.prompts == true
}

may(rights) if {
	input.call.kind == "resource"
	rights.resources == true
}

may(rights) if {
	input.call.kind == "model"
	rights.models == true
}

# What a tool says of itself (MCP tool annotations).
read_only if input.call.annotations.readOnlyHint == true

destructive if {
	input.call.annotations.destructiveHint == true
	not read_only
}

# Surfaces of the gateway itself. They carry no tool; what they list is decided line by line.
housekeeping if {
	input.call.kind == "gateway"
	input.call.surface in {
		"initialize", "server/discover", "ping", "logging/setLevel", "completion/complete",
		"tools/list", "resources/list", "resources/templates/list", "prompts/list", "models/list",
		"subscriptions/listen",
		"notifications/initialized", "notifications/cancelled", "notifications/progress",
		"notifications/roots/list_changed",
	}
}
