"""rehydrate: gives the tool the values that tokens stand for, where policy says so and nowhere else.

Without a decision, or without a `rehydrate` obligation, tokens go to the upstream as they are; to a language model they
always do, whatever policy says. Arguments that were
valid for their tokens' sake are checked once more as they are sent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, ClassVar, Literal

from agentflow.config_guard import GuardConfig
from agentflow.guard.rehydration import rehydrate
from agentflow.guard.strategies import Strategies
from agentflow.guard.vault import Vault
from agentflow.pipeline.call import JSON, Call, Direction, Message, Verdict
from agentflow.pipeline.scope import scope_of
from agentflow.pipeline.stage import PASS, SKIPPED, Note


class Rehydrate:
    """The rehydrate stage.

    Args:
        check: raises if the params of a tool call, as they will be sent, do not fit; None to send them anyway.
    """

    name: ClassVar[str] = "rehydrate"
    kind: ClassVar[Literal["validator", "mutator"]] = "mutator"
    directions: ClassVar[frozenset[Direction]] = frozenset({Direction.INBOUND})

    # Its only wait is for the vault's database, which ends it within seconds.
    own_timeout: ClassVar[bool] = True

    def __init__(
        self,
        vault: Vault,
        check: Callable[[Call, JSON], None] | None = None,
        config: GuardConfig | None = None,
    ) -> None:
        config = config or GuardConfig()
        self._vault = vault
        self._check = check
        self._scope = config.vault.scope
        self._stand_ins = Strategies(config.strategies).stand_ins

    def __call__(self, call: Call, message: Message) -> Note | Awaitable[Note]:
        """Replace tokens by values in `message.body`; count them in `call.rehydrated`.

        Raises:
            VaultUnavailable: the vault could not be read.
            InvalidArguments: what the tokens stand for does not fit the tool's schema.
        """
        if call.upstream.kind == "model":
            return SKIPPED
        if self._vault.blocking and _types(call):
            return asyncio.to_thread(self._rehydrated, call, message)
        return self._rehydrated(call, message)

    def _rehydrated(self, call: Call, message: Message) -> Note:
        main = message.surface == call.surface == "tools/call"
        before = message.body
        note = self._restore(call, message, main)
        if main and self._check is not None and (call.excused or message.body is not before):
            self._check(call, message.body)
        return note

    def _restore(self, call: Call, message: Message, main: bool) -> Note:
        types = _types(call)
        if not types:
            return PASS
        schema: Any = call.definition.get("inputSchema") if main and call.definition else None
        scope = scope_of(call, self._scope)
        tenant = call.principal.tenant
        done = rehydrate(self._vault, tenant, message.body, types, schema, scope=scope, stand_ins=self._stand_ins)
        detail: JSON = {}
        if done.kept:
            detail["kept"] = done.kept
        if not done.restored:
            return Note(Verdict.PASS, detail) if detail else PASS
        message.body = done.body
        for kind, count in done.restored.items():
            call.rehydrated[kind] = call.rehydrated.get(kind, 0) + count
        return Note(Verdict.CHANGED, {"rehydrated": done.restored, **detail})


def _types(call: Call) -> tuple[str, ...]:
    return call.decision.obligations.rehydrate if call.decision is not None else ()
