"""taint: what a conversation has been exposed to is remembered, for policy to decide later calls by.

Labels of a message on its way to the client: `untrusted` (text of an untrusted upstream), `private` (content of an
upstream declared private, or a trusted upstream's content in which PII was redacted) and `injection` (the screen
found something at the flag threshold or above, in the answer or in the arguments; a definition that is merely flagged
taints nobody, since every conversation begins by listing them). It changes and refuses nothing.

PII alone does not make the content of an untrusted, public upstream private: such an upstream gets tokens back,
never values, and a public page with a contact address would otherwise lock every conversation that reads it.

What a language model writes taints nobody: it is made of what its caller sent, and that was labelled when it was read.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from agentflow.config_guard import GuardConfig
from agentflow.guard.taint import INJECTION, PRIVATE, UNTRUSTED, carries_text
from agentflow.pipeline.call import Call, Direction, Message, Verdict
from agentflow.pipeline.stage import PASS, SKIPPED, Note
from agentflow.pipeline.stages.screen import DEFINING


class Taint:
    """The taint stage."""

    name: ClassVar[str] = "taint"
    # A validator, though it never refuses: mutators also see the gateway's own errors, which taint nobody.
    kind: ClassVar[Literal["validator", "mutator"]] = "validator"
    directions: ClassVar[frozenset[Direction]] = frozenset({Direction.OUTBOUND})

    def __init__(self, config: GuardConfig) -> None:
        self._flag = config.flag_threshold

    def __call__(self, call: Call, message: Message) -> Note:
        """Add this message's labels to the call and its session."""
        if call.upstream.kind == "model":
            return SKIPPED
        labels = set()
        call.clear = message.body
        if call.injection_score >= self._flag and call.surface not in DEFINING:
            labels.add(INJECTION)
        upstream = call.upstream
        if upstream.kind != "gateway" and carries_text(message.body):
            if upstream.trust == "untrusted":
                labels.add(UNTRUSTED)
            if upstream.sensitivity == "private":
                labels.add(PRIVATE)
        if call.flow is not None and carries_text(message.body):  # what is made of such text is no cleaner
            labels |= {label for part in call.flow.provenance if part.kind == "text" for label in part.labels}
        new = labels - call.taint
        if not new:
            return PASS
        _add(call, new)
        return Note(Verdict.PASS, {"taint": sorted(new)})

    def release(self, call: Call) -> None:
        """At the call's end, when it is known what was redacted: PII of a trusted upstream is private."""
        if call.redacted and call.upstream.trust == "trusted" and call.upstream.kind != "gateway":
            _add(call, {PRIVATE})


def _add(call: Call, labels: set[str]) -> None:
    call.taint |= labels
    call.session.taint |= labels
