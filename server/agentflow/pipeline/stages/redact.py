"""redact: nothing leaves towards the client with a clear PII value in it.

It replaces each value by its token in whatever goes out: results and their structured twin, errors, prompts,
resources, listings, progress, log messages, questions to the person. Without a decision every type is redacted.
Where the decision's obligation `deep` says so (or `guard.deep.mode` is `always`), names, places and the like go too;
listings, which describe tools and not people, are left out of that.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, ClassVar, Literal

from agentflow.config_guard import GuardConfig
from agentflow.guard.deep.beside import LISTINGS, Deep
from agentflow.guard.deep.tier import DeepTier
from agentflow.guard.digests import digest
from agentflow.guard.neutralise import rejoined, unjoined
from agentflow.guard.pages import Pages
from agentflow.guard.redaction import Tokeniser
from agentflow.guard.secrets import TYPES
from agentflow.guard.spans import Matcher
from agentflow.guard.strategies import Strategies
from agentflow.guard.vault import Vault
from agentflow.guard.walk import leaves, replace, serialised
from agentflow.pipeline.call import JSON, Call, Direction, Message, Verdict
from agentflow.pipeline.scope import scope_of
from agentflow.pipeline.stage import PASS, Note

_EVERYTHING = ("*",)
_PAGED = frozenset({"tools/call", "resources/read"})
RECORDED = "record"  # the surface of what is only kept (`Pipeline.clean`)


class Redact:
    """The redact stage."""

    name: ClassVar[str] = "redact"
    kind: ClassVar[Literal["validator", "mutator"]] = "mutator"
    directions: ClassVar[frozenset[Direction]] = frozenset({Direction.OUTBOUND})

    own_timeout: ClassVar[bool] = True  # only the deep tier waits, and no longer than guard.deep.timeout

    def __init__(self, matcher: Matcher, vault: Vault, config: GuardConfig, tier: DeepTier | None = None) -> None:
        self._tokeniser = Tokeniser(matcher, vault, config.token_format, Strategies(config.strategies))
        # Nothing clear is recorded, whatever a client is shown.
        self._recording = Tokeniser(matcher, vault, config.token_format)
        self._deep = Deep(matcher, tier, config)
        self._vault, self._scope = vault, config.vault.scope
        self._matcher, self._pages = matcher, Pages()

    def __call__(self, call: Call, message: Message) -> Note | Awaitable[Note]:
        """Replace values by tokens in `message.body`; count them in `call.redacted`.

        Raises:
            VaultUnavailable: a token could not be kept, so the message must not leave.
            DeepTierUnavailable: the deep tier was to look at it and could not.
        """
        return self._unmarked(call, message) if message.marked else self._look(call, message)

    async def _unmarked(self, call: Call, message: Message) -> Note:
        """Look at a message with spotlit passages: what their words say apart, they also say joined."""
        marked, message.body = message.body, _rewritten(message.body, unjoined)
        try:
            note = self._look(call, message)
            if not isinstance(note, Note):
                note = await note
        except BaseException:
            message.body = marked
            raise
        message.body = marked if note is PASS else _rewritten(message.body, rejoined)
        return note

    def _look(self, call: Call, message: Message) -> Note | Awaitable[Note]:
        demanded = call.decision is not None and call.decision.obligations.deep
        if self._deep.wanted(demanded) and message.surface not in LISTINGS:
            return self._deeply(call, message)
        tokeniser = self._of(call, message)
        if self._vault.blocking:
            return asyncio.to_thread(self._redacted, call, message, tokeniser)
        return self._redacted(call, message, tokeniser)

    def _of(self, call: Call, message: Message) -> Tokeniser:
        """What replaces values in this message: as configured, and masked where policy says so."""
        if message.surface == RECORDED:
            return self._recording
        masked = call.decision.obligations.mask if call.decision is not None else ()
        return self._tokeniser.masking(masked) if masked else self._tokeniser

    async def _deeply(self, call: Call, message: Message) -> Note:
        matcher = await self._deep.matcher(message.body, _types(call, message))
        tokeniser = self._of(call, message).seeing(matcher)
        if self._vault.blocking:
            return await asyncio.to_thread(self._redacted, call, message, tokeniser)
        return self._redacted(call, message, tokeniser)

    def _redacted(self, call: Call, message: Message, tokeniser: Tokeniser) -> Note:
        types = _types(call, message)
        schema: Any = None
        if call.definition and "structuredContent" in message.body:
            schema = call.definition.get("outputSchema")
        scope = scope_of(call, self._scope)
        page = message.body
        if message.surface in _PAGED:
            message.body = self._whole(call, page, tokeniser, types)
        done = tokeniser.redact(
            call.principal.tenant,
            message.body,
            types,
            output_schema=schema,
            scope=scope,
            data=message.data,
            digest=message.digest,
        )
        if not done.counts:
            message.body = page
            return PASS
        message.body = done.body
        for kind, count in done.counts.items():
            call.redacted[kind] = call.redacted.get(kind, 0) + count
        return Note(Verdict.CHANGED, {"redacted": done.counts})

    def _whole(self, call: Call, page: JSON, tokeniser: Tokeniser, types: tuple[str, ...]) -> JSON:
        """The page of a longer text with the value that the last page began."""
        tool = call.target if call.surface == "tools/call" else ""
        source = (call.session.id, call.upstream.name, call.surface, tool)
        asked = digest(serialised({name: call.params.get(name) for name in ("arguments", "uri")}))
        matcher = self._matcher.for_tenant(call.principal.tenant)
        return self._pages.whole(source, asked, page, matcher, lambda kind: tokeniser.replaces(kind, types))


def _types(call: Call, message: Message) -> tuple[str, ...]:
    """What is taken out: everything of what is recorded; of an answer what policy names, and always secrets."""
    if message.surface == RECORDED or call.decision is None:
        return _EVERYTHING
    named = (*call.decision.obligations.redact, *call.decision.obligations.mask)
    return _EVERYTHING if "*" in named else (*named, *TYPES)


def _rewritten(body: JSON, change: Callable[[str], str]) -> JSON:
    """The body with every text that `change` alters changed."""
    texts = [(leaf, leaf.value) for leaf in leaves(body, files=True) if isinstance(leaf.value, str)]
    rewritten: JSON = replace(body, [(leaf, new) for leaf, text in texts if (new := change(text)) != text])
    return rewritten
