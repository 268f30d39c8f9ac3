# The class that a call is counted in, beside the caller's own limit: of the classes that rules and the caller's roles
# name, the one that stands first in "rate_classes". How many calls a class has is the configuration's business
# (`limits.classes`).
#
# needs data.settings.rate_classes
package agentflow

import rego.v1

rate_class := data.settings.rate_classes[least(places)] if {
	places := rate_classes_named
	count(places) > 0
}

rate_classes_named contains place if {
	some name in concerning
	some place, class in data.settings.rate_classes
	class == data.settings.rules[name].rate_class
}

# What the gateway itself is asked for, such as a listing, counts in no class.
rate_classes_named contains place if {
	not input.call.kind == "gateway"
	some role in input.principal.roles
	some place, class in data.settings.rate_classes
	class == data.settings.roles[role].rate_class
}
