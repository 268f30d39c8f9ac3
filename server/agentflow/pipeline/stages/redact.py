"""redact: nothing leaves towards the client with a clear PII value in it.

It replaces each value by its token in whatever goes out: results and their structured twin, errors, prompts,
resources, listings, progress, log messages, questions to the person. Without a decision every type is redacted.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from agentflow.config_guard import GuardConfig
from agentflow.guard.pii.matcher import PiiMatcher
from agentflow.guard.redaction import Tokeniser
from agentflow.guard.vault import Vault
from agentflow.pipeline.call import Call, Direction, Message, Verdict
from agentflow.pipeline.stage import PASS, Note

_EVERYTHING = ("*",)


class Redact:
    """The redact stage."""

    name: ClassVar[str] = "redact"
    kind: ClassVar[Literal["validator", "mutator"]] = "mutator"
    directions: ClassVar[frozenset[Direction]] = frozenset({Direction.OUTBOUND})

    def __init__(self, matcher: PiiMatcher, vault: Vault, config: GuardConfig) -> None:
        self._tokeniser = Tokeniser(matcher, vault, config.token_format)

    def __call__(self, call: Call, message: Message) -> Note:
        """Replace values by tokens in `message.body`; count them in `call.redacted`.

        Raises:
            VaultUnavailable: a token could not be kept, so the message must not leave.
        """
        types = call.decision.obligations.redact if call.decision is not None else _EVERYTHING
        schema: Any = None
        if call.definition and "structuredContent" in message.body:
            schema = call.definition.get("outputSchema")
        done = self._tokeniser.redact(call.principal.tenant, message.body, types, output_schema=schema)
        if not done.counts:
            return PASS
        message.body = done.body
        for kind, count in done.counts.items():
            call.redacted[kind] = call.redacted.get(kind, 0) + count
        return Note(Verdict.CHANGED, {"redacted": done.counts})
