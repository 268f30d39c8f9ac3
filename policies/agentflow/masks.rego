# Which types are shown masked (a***@example.com) in place of a token, by rules with "mask": enough to recognise a value
# by. No token stands for it then, so the value cannot be used again.
#
# needs data.settings.rules.*.mask
package agentflow

import rego.v1

mask := [type | some type in masked]

masked contains type if {
	some name in concerning
	some type in data.settings.rules[name].mask
}
