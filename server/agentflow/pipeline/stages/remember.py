"""remember: what a conversation gets to read is remembered, as the client gets it, to be recognised in later arguments.

It runs last on the way to the client, so that personal data is tokens here as it will be in what comes back. It keeps
hashes, changes nothing and refuses nothing; without it `trace` has nothing to compare with. What a language model wrote
is no source: its caller acts on it, and what it is made of is remembered from where it was read. Nor are the gateway's
own tools, but for `compute`: what a program makes of outsiders' or private content is that in another form.
"""

from __future__ import annotations

from collections.abc import Awaitable
from typing import ClassVar, Literal

from agentflow.guard.conversations import Conversations
from agentflow.guard.sinks import shows_others_words
from agentflow.guard.taint import PRIVATE, UNTRUSTED
from agentflow.guard.trace import Source
from agentflow.pipeline.call import Call, Direction, Message
from agentflow.pipeline.stage import PASS, SKIPPED, Note

_LISTINGS = frozenset(
    {"tools/list", "prompts/list", "resources/list", "resources/templates/list", "server/instructions", "record"}
)
_COMPUTE = "compute"  # of the gateway's own tools, the one that makes something of what it is given


class Remember:
    """The remember stage. `None` for `conversations` switches it off."""

    name: ClassVar[str] = "remember"
    kind: ClassVar[Literal["validator", "mutator"]] = "validator"
    directions: ClassVar[frozenset[Direction]] = frozenset({Direction.OUTBOUND})

    def __init__(self, conversations: Conversations | None) -> None:
        self._conversations = conversations

    def __call__(self, call: Call, message: Message) -> Note | Awaitable[Note]:
        """Take one message in.

        Raises:
            AgentFlowError: it could not be kept, so the message must not leave.
        """
        conversations = self._conversations
        if not conversations or call.upstream.kind == "model" or message.surface in _LISTINGS:
            return SKIPPED
        if call.upstream.kind == "gateway" and _computed(call) is None:
            return SKIPPED
        if conversations.blocking:
            return conversations.apart(lambda: _remember(conversations, call, message))
        return _remember(conversations, call, message)

    def release(self, call: Call) -> None:
        """At the call's end: labels that the call added are kept."""
        if self._conversations and call.taint:
            self._conversations.keep_soon(call.session)


def _computed(call: Call) -> Source | None:
    """What the result of a computation counts as: the content that its arguments carry; None where they carry none."""
    if call.target != _COMPUTE or call.surface != "tools/call" or call.flow is None or not call.flow.provenance:
        return None
    labels = {label for part in call.flow.provenance for label in part.labels}
    servers = {server for part in call.flow.provenance for server in part.servers}
    others = UNTRUSTED in labels
    server = servers.pop() if len(servers) == 1 else call.upstream.name
    return Source(server, trusted=not others, private=PRIVATE in labels, others=others, kept=not others)


def _remember(conversations: Conversations, call: Call, message: Message) -> Note:
    made = _computed(call) if call.upstream.kind == "gateway" else None
    if made is not None:
        clear = call.clear if call.clear is not message.body else None
        conversations.keep(call.session, conversations.trace(call.session).remember(message.body, made, clear))
        return PASS
    facts = call.upstream
    trusted = facts.trust == "trusted"
    private = facts.sensitivity == "private" or (trusted and bool(call.redacted))
    target = call.origin.target if call.origin is not None else call.target
    written = shows_others_words(target, facts.sensitivity == "private", "" if trusted else facts.name)
    asked = call.labelled.get("arguments") if call.labelled is not None else None
    trace = conversations.trace(call.session)
    clear = call.clear if call.clear is not message.body else None
    source = Source(facts.name, trusted, private, others=written or not trusted, kept=not written)
    delta = trace.remember(message.body, source, clear, asked)
    conversations.keep(call.session, delta)
    return PASS
