# Flows: what outsiders wrote must not decide where private data goes, or what is done in somebody's name.
#
# The gateway follows text and values of results into later arguments (input.call.flow; there is none where it found
# nothing). What the caller brought himself is fine; so is answering whoever wrote. Each rule has an action in
# data.json under "flows": "deny", "ask" or "allow".
package agentflow

import rego.v1

# (The rules write input.call.flow in full: the embedded compiler copies what a short name stands for into every use of
# it under `with`, and tests of policies are full of that.)

# Nothing below counts where there is no flow to tell of: the rules that collect what is found look at this first.
flowing if {
	input.call.flow
	input.call.phase == "call"
	input.call.kind in {"tool", "resource"}
}

# 1. The call does what a sentence in outsiders' content asked for.
flow_found contains {"rule": "requested", "message": message} if {
	plainly_asked
	not answering
	message := concat("", ["this call does what content from ", concat(", ", input.call.flow.asked.servers), " asks for"])
}

plainly_asked if {
	input.call.flow.asked.match == "value"
	not input.call.flow.sink == "http"
}

plainly_asked if {
	input.call.flow.asked.strength > 1
	not input.call.flow.sink == "http"
}

plainly_asked if {
	input.call.flow.asked.strength == 1
	input.call.flow.sink in {"send", "post", "grant", "pay", "delete", "control", "execute", "change"}
}

# Answering the sender of a message with what that server holds anyway is no surprise, even when he asked for it.
answering if {
	input.call.flow.sink == "send"
	count([to | some to in input.call.flow.destinations; to.sender]) > 0
	count([to | some to in input.call.flow.destinations; to.seen_in == "untrusted"; not to.sender]) == 0
	not "elsewhere" in input.call.flow.carries
	not "abroad" in input.call.flow.carries
	not "bulk" in input.call.flow.carries
}

# 2. Private content goes where outsiders' content points.
flow_found contains {"rule": "exfiltration", "message": message} if {
	some to in input.call.flow.destinations
	to.seen_in == "untrusted"
	not input.call.flow.sink == "read"
	not within(to)
	led_astray(to)
	message := concat("", [
		"private content would go to the ", to.type, " in ", to.path, ", known only from content of ",
		concat(", ", to.servers),
	])
}

led_astray(to) if {
	to.requested
	not answering
	not to.type == "name"
	private_here
}

# What is kept on a server of the caller's own, under some name, goes nowhere.
within(to) if {
	to.type == "name"
	input.call.flow.sink in {"write", "change"}
	input.upstream.trust == "trusted"
	input.upstream.sensitivity == "private"
}

# A plain name is named by chance sooner than an address is: there something has to be carried.
led_astray(to) if {
	to.requested
	not answering
	to.type == "name"
	carries_something
}

carries_something if "private" in input.call.flow.carries

carries_something if "elsewhere" in input.call.flow.carries

led_astray(to) if {
	much
	"elsewhere" in input.call.flow.carries
}

# Of the same server, but to somebody who did not write: a chat's history to a number that a message names.
led_astray(to) if {
	much
	"private" in input.call.flow.carries
	not to.sender
	input.call.flow.sink in {"send", "post", "grant", "http"}
}

much if "bulk" in input.call.flow.carries

much if "encoded" in input.call.flow.carries

private_here if "private" in input.call.flow.carries

private_here if "private" in input.session.taint

private_here if "elsewhere" in input.call.flow.carries

# 2b. After private content was read something goes to whom only outsiders named and who has not written himself; to a
# page, where something of that content is in it.
flow_found contains {"rule": "stranger", "message": message} if {
	some to in input.call.flow.destinations
	to.seen_in == "untrusted"
	not to.sender
	not dealt_with(to)
	input.call.flow.sink in {"send", "post", "grant", "http"}
	far(to)
	private_here
	message := concat("", [
		"after private content was read this would go to the ", to.type, " in ", to.path, ", known only from content of ",
		concat(", ", to.servers),
	])
}

# A participant, a contact, a chat: whom the caller's records name, and nobody's text, may be written to in free words.
dealt_with(to) if {
	object.get(to, "listed", false)
	not "hint" in input.call.flow.carries
	not "private" in input.call.flow.carries
}

far(to) if {
	not to.type in {"url", "host"}
	not input.call.flow.sink == "http"
}

far(_) if "hint" in input.call.flow.carries

# 2c. A password, a token or a code to sign in with goes to whom outsiders named, be it who wrote, or to a server that is
# not trusted. To the caller's own address it may.
flow_found contains {"rule": "credential", "message": "a password, a token or a code to sign in with would be given away"} if {
	"secret" in input.call.flow.carries
	"untrusted" in input.session.taint
	input.call.flow.sink in {"send", "post", "grant", "http", "write", "change", "execute"}
	given_away
}

given_away if {
	some to in input.call.flow.destinations
	to.seen_in == "untrusted"
}

given_away if {
	input.upstream.trust == "untrusted"
	count([to | some to in input.call.flow.destinations; not to.seen_in == "untrusted"]) == 0
}

# A branch, a ticket, a row: names of places in it are no addresses.
given_away if {
	input.upstream.trust == "untrusted"
	input.call.flow.sink in {"write", "change", "post", "execute"}
	count([to | some to in input.call.flow.destinations; not to.type == "name"; not to.seen_in == "untrusted"]) == 0
}

# 3. Private content of another server is published where nobody said to whom, after outsiders' content was read.
flow_found contains {"rule": "publication", "message": "private content would be published after content of outsiders was read"} if {
	input.call.flow.sink == "post"
	"bulk" in input.call.flow.carries
	"abroad" in input.call.flow.carries
	"outside" in input.call.flow.carries
	count([to | some to in input.call.flow.destinations; not to.seen_in == "untrusted"]) == 0
}

# The same where everybody reads: a public repository, a ticket, a form. The caller's own address is no such place.
flow_found contains {"rule": "publication", "message": "private content would be written where outsiders read"} if {
	"bulk" in input.call.flow.carries
	"abroad" in input.call.flow.carries
	"outside" in input.call.flow.carries
	read_by_outsiders
	count([to | some to in input.call.flow.destinations; to.type in {"email", "phone", "url", "account", "handle"}; not to.seen_in == "untrusted"]) == 0
}

# From one part of a server to another, in which outsiders ask for something: a private repository in a public one's issue.
flow_found contains {"rule": "publication", "message": "private content would be written where outsiders have asked for it"} if {
	"across" in input.call.flow.carries
	input.call.flow.sink in {"post", "write", "change", "send", "execute"}
	input.upstream.trust == "untrusted"
}

# Several people's records in an answer, or anything retold in a post: whoever reads it, nobody has named him.
flow_found contains {"rule": "publication", "message": "people's private records would be told where outsiders may read"} if {
	"people" in input.call.flow.carries
	"abroad" in input.call.flow.carries
	"untrusted" in input.session.taint
	input.call.flow.sink in {"post", "send", "write", "change"}
	input.upstream.trust == "untrusted"
	count([to | some to in input.call.flow.destinations; not to.seen_in == "untrusted"]) == 0
}

flow_found contains {"rule": "stranger", "message": "something of private content would be published, after content of outsiders was read"} if {
	input.call.flow.sink == "post"
	"hint" in input.call.flow.carries
	"untrusted" in input.session.taint
	"private" in input.session.taint
	input.upstream.trust == "untrusted"
	count(input.call.flow.destinations) == 0
}

read_by_outsiders if {
	input.call.flow.sink in {"post", "write", "change", "send"}
	"private" in input.session.taint
	input.upstream.trust == "untrusted"
	input.upstream.sensitivity == "public"
}

read_by_outsiders if {
	input.call.flow.sink in {"post", "write", "change"}
	"visible" in input.call.flow.carries
}

# 4. Private content, or something that hides what it is, in an address: asking for it tells its host.
flow_found contains {"rule": "smuggling", "message": "an address in the arguments carries private content"} if {
	"smuggled" in input.call.flow.carries
}

# 7. What cannot be taken back hangs on a value that outsiders alone have shown.
flow_found contains {"rule": "swayed", "message": message} if {
	some what in input.call.flow.swayed
	said := swaying[what]
	message := concat("", [said, " is known only from content of outsiders"])
}

swaying := {
	"payee": "whom this pays",
	"grantee": "who gets access by this",
	"target": "what this deletes or changes",
	"command": "what this runs",
	"protection": "the wish to switch this protection off",
}

# 7b. What is set, or kept as a key, a rule or a memory, only outsiders have named: often honest work, so somebody looks.
flow_found contains {"rule": "setting", "message": "what this sets is known only from content of outsiders"} if {
	"setting" in input.call.flow.swayed
}

# 8. Something is opened to everybody, after outsiders' content was read.
flow_found contains {"rule": "opened", "message": "this gives everybody access, after content of outsiders was read"} if {
	"public" in input.call.flow.swayed
}

# 5. Something in this session read as an injected instruction.
flow_found contains {"rule": "injection", "message": "this session has read what looks like injected instructions"} if {
	"injection" in input.session.taint
	input.call.flow.sink in {"send", "post", "grant", "pay", "delete", "control", "execute"}
}

# 6. The session is too long to know where a destination comes from.
flow_found contains {"rule": "incomplete", "message": "this session has read too much to know where this leads"} if {
	input.call.flow.incomplete
	"bulk" in input.call.flow.carries
	"abroad" in input.call.flow.carries
	input.call.flow.sink in {"send", "post", "grant", "http"}
}

# Rules that settings written for an earlier version do not name.
later_rules := {"stranger": "ask", "credential": "deny", "setting": "ask"}

flow_action(rule) := object.get(data.settings.flows, rule, object.get(later_rules, rule, "allow"))

objections contains {"code": concat("", ["flow_", found.rule]), "message": found.message} if {
	flowing
	some found in flow_found
	flow_action(found.rule) == "deny"
}

asks contains {"ttl": data.settings.approval_ttl, "prompt": concat("", ["Careful: ", found.message, "."])} if {
	flowing
	some found in flow_found
	flow_action(found.rule) == "ask"
}

# Hosts: with a list under "egress", arguments may name no other. An entry covers its subdomains.
objections contains {"code": "egress", "message": concat("", ["the arguments name a host that is not allowed: ", host])} if {
	count(data.settings.egress.allow) > 0
	flowing
	some host in input.call.flow.hosts
	not allowed_host(host)
}

allowed_host(host) if {
	some entry in data.settings.egress.allow
	host == entry
}

allowed_host(host) if {
	some entry in data.settings.egress.allow
	endswith(host, concat("", [".", entry]))
}

# The strict rule, off by default: a session that has read untrusted content and private data must not write to the
# outside at all, whatever it writes.
toxic_flow if {
	input.call.phase == "call"
	"untrusted" in input.session.taint
	"private" in input.session.taint
	input.call.kind == "tool"
	not read_only
	outward
}

outward if not input.upstream.trust == "trusted"

outward if input.call.annotations.openWorldHint == true

objections contains {
	"code": "toxic_flow",
	"message": "this session has read untrusted content and private data, so it may not write to the outside",
} if {
	data.settings.toxic_flow == "deny"
	toxic_flow
}

asks contains {
	"ttl": data.settings.approval_ttl,
	"prompt": "This session has read untrusted content and private data, and now wants to write to the outside.",
} if {
	data.settings.toxic_flow == "ask"
	toxic_flow
}
