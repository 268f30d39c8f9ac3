"""label: what the arguments look like without PII, for everyone who may look at them.

It sets `call.labelled` (the arguments with each clear value replaced by its token; tokens already there stay) and
`call.pii`. It does not alter the message: what the client typed itself goes on as typed, if policy lets it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from functools import partial
from typing import ClassVar, Literal

from agentflow.config_guard import GuardConfig
from agentflow.guard import tokens
from agentflow.guard.deep.beside import LISTINGS, Deep
from agentflow.guard.deep.tier import DeepTier
from agentflow.guard.redaction import Tokeniser
from agentflow.guard.spans import Matcher
from agentflow.guard.vault import Vault
from agentflow.guard.walk import leaves
from agentflow.pipeline.call import JSON, Call, Direction, Message, Pii, Verdict
from agentflow.pipeline.scope import scope_of
from agentflow.pipeline.stage import PASS, SKIPPED, Note


class Label:
    """The PII label stage. It registers the tokens it shows, so that they mean something when they come back."""

    name: ClassVar[str] = "label"
    kind: ClassVar[Literal["validator", "mutator"]] = "mutator"
    directions: ClassVar[frozenset[Direction]] = frozenset({Direction.INBOUND})

    own_timeout: ClassVar[bool] = True  # only the deep tier waits, and no longer than guard.deep.timeout

    def __init__(self, matcher: Matcher, vault: Vault, config: GuardConfig, tier: DeepTier | None = None) -> None:
        self._tokeniser = Tokeniser(matcher, vault, config.token_format)
        self._deep = Deep(matcher, tier, config)
        self._vault, self._scope = vault, config.vault.scope

    def __call__(self, call: Call, message: Message) -> Note | Awaitable[Note]:
        """Label a request, or merge what an answer in the middle of the call holds into `call.pii`.

        Where `guard.deep.mode` is `always`, names, places and the like in tools' arguments are labelled too.

        Raises:
            VaultUnavailable: a value could not be given a token, so nobody may see the arguments.
            DeepTierUnavailable: the deep tier was to look at them and could not.
        """
        if message.body and self._deep.wanted(False) and message.surface not in LISTINGS:
            return self._deeply(call, message)
        if self._vault.blocking and message.body:
            return asyncio.to_thread(self._labelled, call, message, self._tokeniser)
        return self._labelled(call, message, self._tokeniser)

    async def _deeply(self, call: Call, message: Message) -> Note:
        matcher = await self._deep.matcher(message.body)
        tokeniser = self._tokeniser.seeing(matcher)
        if self._vault.blocking:
            return await asyncio.to_thread(self._labelled, call, message, tokeniser)
        return self._labelled(call, message, tokeniser)

    async def found(self, call: Call, message: Message) -> Pii:
        """What personal data a message holds, for policy; it is not altered.

        Raises:
            VaultUnavailable: a value in it could not be given a token.
        """
        tenant, scope = call.principal.tenant, scope_of(call, self._scope)
        data, digest = message.data, message.digest
        look = partial(self._tokeniser.redact, tenant, message.body, scope=scope, data=data, digest=digest)
        done = await asyncio.to_thread(look) if self._vault.blocking else look()
        return Pii(dict(done.counts), list(done.paths))

    def _labelled(self, call: Call, message: Message, tokeniser: Tokeniser) -> Note:
        scope = scope_of(call, self._scope)
        data = message.data
        redaction = tokeniser.redact(
            call.principal.tenant, message.body, numbers=False, scope=scope, data=data, digest=message.digest
        )
        if call.labelled is None and message.surface == call.surface:
            call.labelled = redaction.body
            call.labelled_deep = tokeniser is not self._tokeniser
        if not message.body:
            return SKIPPED
        pii = call.pii
        pii.tokens += _count_tokens(message.body, data)
        if not redaction.counts:
            return PASS
        for kind, count in redaction.counts.items():
            pii.counts[kind] = pii.counts.get(kind, 0) + count
        pii.paths.extend(redaction.paths)
        return Note(Verdict.PASS, {"pii": redaction.counts})


def _count_tokens(body: JSON, data: bytes | None) -> int:
    if data is not None and not tokens.suspect(data):
        return 0
    texts = (leaf.value for leaf in leaves(body) if isinstance(leaf.value, str))
    return sum(not span.name.isdigit() for text in texts for span in tokens.find(text))
