"""The one chain: every message of every surface, in both directions, on every transport, goes through `Pipeline`.

It promises that each stage named in the order has looked at each message (its `StageRun` in the call's record
is the proof), that a stage which crashes or hangs refuses the message unless its fail mode is `open`, and that
the record is on disk before the answer leaves. It refuses to be built with a stage that nobody configured.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Mapping, Sequence
from time import perf_counter_ns
from typing import Any, Protocol

from agentflow.config import StageConfig
from agentflow.errors import (
    AgentFlowError,
    AuditUnavailable,
    ConfigError,
    StageFailed,
    UpstreamError,
    to_rpc,
)
from agentflow.pipeline.call import JSON, OURS, Call, Direction, Message, StageRun, Verdict
from agentflow.pipeline.rounds import Interim
from agentflow.pipeline.stage import Note, Stage

DEFAULT_ORDER = (
    "limit",
    "validate",
    "screen",
    "label",
    "trace",
    "decide",
    "rate",
    "approve",
    "rehydrate",
    "cache",
    "taint",
    "redact",
    "remember",
)

Dispatch = Callable[[Call], Awaitable[JSON]]
_DEFAULT = StageConfig()
_revisions = itertools.count(1)


class Recorder(Protocol):
    """Where finished calls are written."""

    def __call__(self, call: Call) -> None:
        """Write the call's record durably.

        Raises:
            AuditUnavailable: it could not be written.
        """
        ...


class Reuse(Protocol):
    """The answer cache, as the chain uses it."""

    def lookup(self, call: Call) -> JSON | None: ...

    def store(self, call: Call, result: JSON) -> None: ...


class Pipeline:
    """An ordered, immutable chain. Replace it as a whole to reconfigure it; calls in flight keep theirs.

    Args:
        writable: raises `AuditUnavailable` while it is known that nothing can be recorded: what could not be
            accounted for is then refused before it runs.
    """

    def __init__(
        self,
        stages: Sequence[Stage],
        recorder: Recorder,
        settings: Mapping[str, StageConfig] | None = None,
        reuse: Reuse | None = None,
        writable: Callable[[], None] = lambda: None,
    ) -> None:
        self.revision = next(_revisions)
        self._settings = dict(settings or {})
        kept = [stage for stage in stages if self._setting(stage.name).mode != "off"]
        self._chain = {way: tuple((s, self._setting(s.name)) for s in kept if way in s.directions) for way in Direction}
        self._mutators = tuple(pair for pair in self._chain[Direction.OUTBOUND] if pair[0].kind == "mutator")
        self._release = tuple(s.release for s in kept if hasattr(s, "release"))
        self._recorder = recorder
        self._writable = writable
        self._running = 0
        self._idle: asyncio.Event | None = None
        self._reuse = reuse if self._setting("cache").mode != "off" else None

    def _setting(self, name: str) -> StageConfig:
        return self._settings.get(name, _DEFAULT)

    @property
    def stages(self) -> dict[Direction, tuple[str, ...]]:
        """Names of the stages that run, by direction."""
        return {way: tuple(stage.name for stage, _ in chain) for way, chain in self._chain.items()}

    async def handle(self, call: Call, dispatch: Dispatch, ready: JSON | None = None) -> JSON:
        """Take one request through the chain, to its upstream, and back; then record it.

        Args:
            ready: a result that has already been through the outbound stages of this very pipeline for this
                very principal (a remembered listing): served in place of dispatching, after the inbound stages.

        Returns:
            The result object for the client.

        Raises:
            AgentFlowError: refused by a stage, failed at the upstream, or not recordable. Its text has been
                through the outbound mutators, so it holds no clear PII.
        """
        self._writable()
        self.enter()
        try:
            result, waits = await self._exchange(call, dispatch, ready)
            call.outcome = "input_required" if waits else "tool_error" if result.get("isError") else "ok"
        except asyncio.CancelledError:
            call.outcome = "cancelled"
            raise
        except AgentFlowError as error:
            call.outcome, call.error_code = error.kind, to_rpc(error)[0]
            error.data.setdefault("record", call.id)
            raise
        except Exception as error:
            call.outcome, call.error_code = "internal_error", AgentFlowError.code
            raise AgentFlowError("Internal error", record=call.id) from error
        finally:
            for release in self._release:
                release(call)
            try:
                self._record(call)
            finally:
                self.leave()
        return result

    def enter(self) -> None:
        """Count a request as on its way: until `leave`, nothing that it may need of this configuration is closed."""
        self._running += 1

    def leave(self) -> None:
        """End what `enter` began."""
        self._running -= 1
        if not self._running and self._idle:
            self._idle.set()

    async def idle(self) -> None:
        """Wait until no request is on its way through this pipeline (one that was replaced by a reload)."""
        self._idle = self._idle or asyncio.Event()
        while self._running:
            self._idle.clear()
            await self._idle.wait()

    def interim(self, call: Call, outcome: str = "input_required") -> None:
        """Record a call that is not finished, before a question of it leaves as an interim answer, or a first part.

        Raises:
            AuditUnavailable: it could not be recorded.
        """
        call.outcome = outcome
        self._record(call)

    async def _exchange(self, call: Call, dispatch: Dispatch, ready: JSON | None) -> tuple[JSON, bool]:
        """The result for the client, and whether it is one of our own that the call waits behind."""
        try:
            await self.run(call, Message(call.surface, Direction.INBOUND, call.params))
        except Interim as asked:
            return await self._answer(call, asked.result), True
        except AgentFlowError as error:
            raise await self._cleaned(call, error, self._mutators) from None
        if ready is not None:
            call.cached = True
            return ready, False
        try:
            result = self._reuse.lookup(call) if self._reuse else None
            if result is None:
                result = await dispatch(call)
                if self._reuse:
                    self._reuse.store(call, result)
            else:
                call.cached = True
        except AgentFlowError as error:
            raise await self._cleaned(call, error, self._chain[Direction.OUTBOUND]) from None
        return await self._answer(call, result), False

    async def _answer(self, call: Call, result: JSON) -> JSON:
        answer = Message(call.surface, Direction.OUTBOUND, result)
        try:
            await self.run(call, answer)
        except AgentFlowError as error:
            raise await self._cleaned(call, error, self._mutators) from None
        return answer.body

    async def refuse(self, call: Call, error: AgentFlowError) -> JSON:
        """Refuse a request that goes to no upstream (an unknown name): through the chain's limits, and recorded.

        No policy is asked about it, and no person.

        Raises:
            AgentFlowError: always; `error`, cleaned, unless a stage objected first.
        """

        async def refused(_: Call) -> JSON:
            raise error

        call.refused = True
        return await self.handle(call, refused)

    async def run(self, call: Call, message: Message) -> None:
        """Take one message through the stages of its direction, in order.

        Raises:
            AgentFlowError: a stage refused it.
        """
        if message.direction is Direction.OUTBOUND:
            message.body = _unclaimed(message.body)
        await self._walk(call, message, self._chain[message.direction])

    async def relay(self, call: Call, message: Message) -> JSON:
        """Take a message that belongs to no request (an unsolicited notification) through the chain and record it.

        Raises:
            AgentFlowError: a stage refused it, or it could not be recorded.
        """
        try:
            await self.run(call, message)
            call.outcome = "ok"
        except AgentFlowError as error:
            call.outcome, call.error_code = error.kind, to_rpc(error)[0]
            raise
        finally:
            self._record(call)
        return message.body

    async def clean(self, call: Call, body: JSON) -> JSON:
        """Take something that is only kept, not sent (a flow's note for the record), through the outbound mutators."""
        message = Message("record", Direction.OUTBOUND, body)
        await self._walk(call, message, self._mutators)
        return message.body

    async def _walk(self, call: Call, message: Message, chain: tuple[tuple[Stage, StageConfig], ...]) -> None:
        request = message.direction is Direction.INBOUND and message.surface == call.surface
        for stage, setting in chain:
            began = perf_counter_ns()
            before = message.body
            try:
                note = stage(call, message)
                if not isinstance(note, Note):
                    async with asyncio.timeout(None if getattr(stage, "own_timeout", False) else setting.timeout):
                        note = await note
            except AgentFlowError as error:
                self._refused(call, message, stage, setting, error, began)
                continue
            except Exception as error:
                self._crashed(call, message, stage, setting, error, began)
                continue
            if message.body is not before and setting.mode == "audit" and stage.kind == "validator":
                message.body = before  # what it would have left out of a listing is in its note
            if request and message.body is not call.params:
                call.params = message.body
            _log(call, message, stage, note, began)

    @staticmethod
    def _refused(
        call: Call, message: Message, stage: Stage, setting: StageConfig, error: AgentFlowError, began: int
    ) -> None:
        audit = setting.mode == "audit" and stage.kind == "validator"
        verdict = Verdict.FLAGGED if audit else Verdict.REFUSED
        _log(call, message, stage, Note(verdict, {"type": error.kind, **_brief(error)}), began)
        if not audit:
            raise error

    @staticmethod
    def _crashed(
        call: Call, message: Message, stage: Stage, setting: StageConfig, error: Exception, began: int
    ) -> None:
        # The text of an unexpected exception may quote what it choked on; only its type is kept.
        _log(call, message, stage, Note(Verdict.FAILED, {"error": type(error).__name__}), began)
        if setting.fail == "closed":
            what = "timed out" if isinstance(error, TimeoutError) else "failed"
            raise StageFailed(f"The {stage.name} stage {what}; the call was refused", stage=stage.name) from error

    async def _cleaned(
        self, call: Call, error: AgentFlowError, chain: tuple[tuple[Stage, StageConfig], ...]
    ) -> AgentFlowError:
        """The same error with its text and data taken through `chain`; a stage that objects replaces it."""
        data = error.rpc_data if isinstance(error, UpstreamError) else error.data
        body = {"message": error.message, "data": data, **({"fix": error.fix} if error.fix else {})}
        message = Message("error", Direction.OUTBOUND, body)
        try:
            await self._walk(call, message, chain)
        except AgentFlowError as objection:
            # What it quotes is no cleaner than what it objects to.
            return objection if chain is self._mutators else await self._cleaned(call, objection, self._mutators)
        text, data = message.body["message"], message.body["data"]
        if isinstance(error, UpstreamError):
            return UpstreamError(error.rpc_code, text, data)
        error.message, error.args = text, (text,)
        error.data, error.fix = data, message.body.get("fix", "")
        return error

    def _record(self, call: Call) -> None:
        try:
            self._recorder(call)
        except AuditUnavailable:
            raise
        except Exception as error:
            raise AuditUnavailable(
                "The audit record could not be written; the answer is withheld", fix="Check the data directory"
            ) from error


def _brief(error: AgentFlowError) -> JSON:
    return {key: error.data[key] for key in ("rules", "reasons", "path", "stage") if key in error.data}


def _unclaimed(body: JSON) -> JSON:
    """The body of an upstream without what reads as the gateway's own word: `_meta` members that begin `agentflow/`.

    Looked at are the message and its blocks (`content`, `contents`, `messages`), where a client reads such notes.
    """
    for key in ("content", "contents", "messages"):
        blocks = body.get(key)
        if isinstance(blocks, list) and any(map(_claims, blocks)):
            body = {**body, key: [_unsaid(block) if _claims(block) else block for block in blocks]}
    return _unsaid(body) if _claims(body) else body


def _claims(part: Any) -> bool:
    meta = part.get("_meta") if isinstance(part, dict) else None
    return isinstance(meta, dict) and any(name.startswith(OURS) for name in meta)


def _unsaid(part: JSON) -> JSON:
    return {**part, "_meta": {name: value for name, value in part["_meta"].items() if not name.startswith(OURS)}}


def _log(call: Call, message: Message, stage: Stage, note: Note, began: int) -> None:
    micros = (perf_counter_ns() - began) // 1000
    call.runs.append(StageRun(stage.name, message.direction, message.surface, note.verdict, micros, note.detail))


def ordered(stages: Sequence[Stage], order: Sequence[str] = ()) -> list[Stage]:
    """Sort stages into the configured order.

    Raises:
        ConfigError: `order` names a stage that does not exist, or one twice, or leaves one out: a stage is
            switched off by `mode: off`, where everybody sees it, never by omission.
    """
    names = tuple(order) or DEFAULT_ORDER
    known = {stage.name: stage for stage in stages}
    unknown, missing = [n for n in names if n not in known], [n for n in known if n not in names]
    if unknown or missing or len(set(names)) != len(names):
        said = [f"unknown: {', '.join(unknown)}"] if unknown else []
        said += [f"left out: {', '.join(missing)}"] if missing else []
        said += ["a name appears twice"] if len(set(names)) != len(names) else []
        raise ConfigError(
            f"pipeline.order is not usable ({'; '.join(said)})",
            fix=f"Name each of {', '.join(known)} once; to switch one off set pipeline.stages.<name>.mode: off",
        )
    return [known[name] for name in names]
