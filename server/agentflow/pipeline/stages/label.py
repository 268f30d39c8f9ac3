"""label: what the arguments look like without PII, for everyone who may look at them.

It sets `call.labelled` (the arguments with each clear value replaced by its token; tokens already there stay) and
`call.pii`. It does not alter the message: what the client typed itself goes on as typed, if policy lets it.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from agentflow.config_guard import GuardConfig
from agentflow.guard import tokens
from agentflow.guard.pii.matcher import PiiMatcher
from agentflow.guard.redaction import Tokeniser, serialised
from agentflow.guard.vault import Vault
from agentflow.guard.walk import leaves
from agentflow.pipeline.call import JSON, Call, Direction, Message, Verdict
from agentflow.pipeline.stage import PASS, SKIPPED, Note


class Label:
    """The PII label stage. It registers the tokens it shows, so that they mean something when they come back."""

    name: ClassVar[str] = "label"
    kind: ClassVar[Literal["validator", "mutator"]] = "mutator"
    directions: ClassVar[frozenset[Direction]] = frozenset({Direction.INBOUND})

    def __init__(self, matcher: PiiMatcher, vault: Vault, config: GuardConfig) -> None:
        self._tokeniser = Tokeniser(matcher, vault, config.token_format)

    def __call__(self, call: Call, message: Message) -> Note:
        """Label a request, or merge what an answer in the middle of the call holds into `call.pii`.

        Raises:
            VaultUnavailable: a value could not be given a token, so nobody may see the arguments.
        """
        redaction = self._tokeniser.redact(call.principal.tenant, message.body, numbers=False)
        if call.labelled is None and message.surface == call.surface:
            call.labelled = redaction.body
        if not message.body:
            return SKIPPED
        pii = call.pii
        pii.tokens += _count_tokens(message.body)
        if not redaction.counts:
            return PASS
        for kind, count in redaction.counts.items():
            pii.counts[kind] = pii.counts.get(kind, 0) + count
        pii.paths.extend(redaction.paths)
        return Note(Verdict.PASS, {"pii": redaction.counts})


def _count_tokens(body: JSON) -> int:
    data = serialised(body)
    if data is not None and not tokens.suspect(data):
        return 0
    texts = (leaf.value for leaf in leaves(body) if isinstance(leaf.value, str))
    return sum(not span.name.isdigit() for text in texts for span in tokens.find(text))
