# A server that belongs to tenants is out of reach for all others.
package agentflow

import rego.v1

owned if {
	some servers in data.tenants
	input.call.server in servers
}

objections contains {"code": "other_tenant", "message": "this server belongs to another tenant"} if {
	owned
	not input.call.server in object.get(data.tenants, input.principal.tenant, [])
}
