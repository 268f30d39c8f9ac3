"""trace: where a call's arguments come from and where they lead, for policy to decide by.

Before the decision it compares the arguments, as labelled, with what the conversation has read (`guard/compare.py`)
and leaves the result in `call.flow`; where there is nothing to tell, `call.flow` stays None and the question put to
policy is the same as ever. It changes and refuses nothing.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, ClassVar, Literal

from agentflow.guard.compare import flow_of
from agentflow.guard.conversations import Conversations
from agentflow.guard.sinks import role_of
from agentflow.guard.taint import INJECTION
from agentflow.pipeline.call import Call, Direction, Message, Verdict
from agentflow.pipeline.stage import PASS, SKIPPED, Note

_SURFACES = frozenset({"tools/call", "resources/read", "prompts/get"})


class Trace:
    """The trace stage.

    Args:
        conversations: None switches tracing off.
        lists_hosts: whether the policy in force restricts hosts, so that all of them are to be named.
        trusting: whether the operator trusts some server: what any other shows may be outsiders' then.
    """

    name: ClassVar[str] = "trace"
    kind: ClassVar[Literal["validator", "mutator"]] = "validator"
    directions: ClassVar[frozenset[Direction]] = frozenset({Direction.INBOUND})

    def __init__(
        self,
        conversations: Conversations | None,
        lists_hosts: Callable[[], bool] = lambda: False,
        trusting: bool = False,
    ) -> None:
        self._conversations = conversations
        self._lists_hosts = lists_hosts
        self._trusting = trusting

    def __call__(self, call: Call, message: Message) -> Note | Awaitable[Note]:
        """Trace one request.

        Raises:
            AgentFlowError: what the conversation has read is not at hand.
        """
        if message.surface != call.surface or call.surface not in _SURFACES or call.refused or not self._conversations:
            return SKIPPED
        conversations = self._conversations
        if conversations.blocking:
            return conversations.apart(lambda: self._traced(conversations, call))
        return self._traced(conversations, call)

    def _traced(self, conversations: Conversations, call: Call) -> Note:
        trace = conversations.trace(call.session)
        trace.trusting |= self._trusting or call.upstream.trust == "trusted"
        shown = call.labelled if call.labelled is not None else call.params
        arguments: Any = shown.get("arguments")
        role = "read"
        if call.surface == "resources/read":
            arguments, role = {"uri": shown.get("uri")}, "http"
        elif call.surface == "tools/call":
            hints = (call.definition or {}).get("annotations")
            trusted = call.upstream.trust == "trusted"
            role = role_of(call.target, hints if isinstance(hints, dict) else {}, trusted)
        typed: Any = call.params.get("arguments")
        if call.surface == "resources/read":
            typed = {"uri": call.params.get("uri")}
        flow, own = flow_of(
            trace,
            {"arguments": arguments},
            call.upstream.name,
            call.target,
            role,
            self._lists_hosts(),
            {"arguments": typed},
        )
        if own:
            conversations.keep(call.session, trace.own(own))
        if flow.empty and INJECTION not in call.session.taint:
            return PASS
        call.flow = flow
        if call.labelled is None:
            return PASS  # places in arguments that nobody has labelled may hold personal data
        return Note(Verdict.PASS, {"flow": _summary(flow.document())})


def _summary(facts: dict[str, Any]) -> dict[str, Any]:
    """What the record shows: the traces that say something."""
    seen = [to for to in facts["destinations"] if to["seen_in"] != "none"]
    said = {"sink": facts["sink"], "destinations": seen, "carries": facts["carries"], "asked": facts.get("asked")}
    return {name: value for name, value in said.items() if value}
