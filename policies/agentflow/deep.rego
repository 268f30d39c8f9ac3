# Which answers are also searched for names, places, organisations and addresses (the deep tier): those of servers,
# tools, prompts and resources that a rule with "deep": true covers, and whatever `settings.deep` adds: "private" for
# all servers with private data, "all" for every server. The gateway's own surfaces never are.
#
# needs data.settings.rules.*.deep
# needs data.settings.deep
package agentflow

import rego.v1

default deep_policy := "rules"

deep_policy := data.settings.deep

deep if {
	some name in concerning
	data.settings.rules[name].deep == true
}

deep if {
	deep_policy == "private"
	input.upstream.sensitivity == "private"
}

deep if {
	deep_policy == "all"
	not input.call.kind == "gateway"
}
