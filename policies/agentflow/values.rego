# Which tokens become real values on their way to a server, by rules with "rehydrate".
#
# needs data.settings.rules.*.rehydrate
package agentflow

import rego.v1

rehydrate contains type if {
	some name in concerning
	some type in data.settings.rules[name].rehydrate
}
