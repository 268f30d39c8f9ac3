"""What it costs a call to be governed, when all is known already: who calls, the decision, the record.

    python -m benchmarks.governance

CPU microseconds (`process_time`) per call, of the real parts: an `Authenticator` with a static and a stored key, the
stage `decide` over the shipped bundle, and a record of the size that the gateway writes, appended to an audit log.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from functools import lru_cache
from pathlib import Path

from agentflow.audit import record
from agentflow.audit.log import AuditLog
from agentflow.config import Config, PolicyConfig, StoreConfig
from agentflow.config_auth import ApiKey, AuthConfig
from agentflow.identity.authenticate import Authenticator
from agentflow.identity.keys import KeyRing, NewKey
from agentflow.pipeline.call import JSON, Call, Direction, Message, Session, StageRun, UpstreamFacts, Verdict
from agentflow.pipeline.pii import build_matcher
from agentflow.pipeline.stage import Note
from agentflow.pipeline.stages.decide import Decide
from agentflow.policy import document
from agentflow.policy.engine import Engine
from agentflow.store.opened import Store

STAGES = ("limit", "validate", "screen", "label", "trace", "decide", "rate", "approve", "rehydrate", "cache")
BACK = ("limit", "screen", "taint", "redact", "remember")
FACTS = UpstreamFacts("web", "http")
TOOL = {"name": "fetch", "annotations": {"readOnlyHint": True}, "inputSchema": {"type": "object"}}
ROUNDS = 4000
Headers = list[tuple[bytes, bytes]]


def cpu(work: Callable[[int], object], fresh: Callable[[], None], count: int = ROUNDS) -> float:
    """Microseconds of CPU per round, the least of five goes; `fresh` comes before each and is not counted."""
    goes = []
    for _ in range(5):
        fresh()
        before = time.process_time()
        for number in range(count):
            work(number)
        goes.append((time.process_time() - before) / count * 1e6)
    return min(goes)


@contextmanager
def identities(folder: Path) -> Iterator[tuple[Authenticator, dict[str, Headers], Callable[[], None]]]:
    """An authenticator, the headers of a caller of each kind that it knows, and what keeps it up to date."""
    static = ApiKey.model_validate({"id": "bench", "key": "a-static-key-of-32-characters-xx"})
    with closing(Store(folder, StoreConfig())) as store:
        ring = KeyRing(store, lambda: bytes(32), lambda _: None)
        stored = ring.create(NewKey("ci", "agent", ("agent",), "default", (), "", None), "bench").key
        ring.begin(required=False)
        keys = {"static key": "a-static-key-of-32-characters-xx", "stored key": stored}
        headers = {
            name: [
                (b"host", b"localhost:8808"), (b"accept", b"application/json, text/event-stream"),
                (b"content-type", b"application/json"), (b"mcp-protocol-version", b"2026-07-28"),
                (b"authorization", f"Bearer {key}".encode()),
            ]
            for name, key in keys.items()
        }  # fmt: skip
        yield Authenticator(AuthConfig(api_keys=(static,)), ring), headers, lambda: asyncio.run(_followed(ring, stored))


async def _followed(ring: KeyRing, key: str) -> None:
    """What a running gateway does twice a second: a key is known from memory for a moment only."""
    with suppress(TimeoutError):
        await asyncio.wait_for(ring.follow(), 0.1)
    assert await ring.look(key.encode()) is not None


def call_of(authenticator: Authenticator, headers: Headers, number: int) -> Call:
    """A call as the gateway makes it, labelled."""
    principal = authenticator.known(headers)
    assert principal is not None
    arguments: JSON = {"url": f"https://example.com/{number % 50}", "mail": "<EMAIL_1f3a9c2e>"}
    call = Call(
        "tools/call", principal, Session("s", principal), {"name": "web__fetch", "arguments": arguments},
        name="web__fetch", target="fetch", upstream=FACTS, definition=TOOL,
        client={"name": "bench", "version": "1"},
    )  # fmt: skip
    call.labelled = call.params
    return call


def main() -> None:
    mask = lru_cache(maxsize=1024)(build_matcher(Config().guard).mask)
    with ExitStack() as open_:
        folder = Path(open_.enter_context(tempfile.TemporaryDirectory()))
        authenticator, headers, fresh = open_.enter_context(identities(folder))
        engine = open_.enter_context(closing(Engine(PolicyConfig())))
        log = open_.enter_context(closing(AuditLog(folder / "log")))
        decide = Decide(engine, lambda *_: None)
        fresh()
        made = call_of(authenticator, headers["static key"], 0)
        engine.decide(document.for_call(made))

        def decided(call: Call) -> None:
            note = decide(call, Message("tools/call", Direction.INBOUND, call.params))
            assert isinstance(note, Note)

        def recorded(call: Call) -> None:
            call.outcome = "ok"
            call.runs = [StageRun(name, Direction.INBOUND, "tools/call", Verdict.PASS, 9) for name in STAGES]
            call.runs += [StageRun(name, Direction.OUTBOUND, "tools/call", Verdict.PASS, 9) for name in BACK]
            log.append(record.of(call, call.events, mask))

        def governed(number: int) -> None:
            call = call_of(authenticator, headers["stored key"], number)
            decided(call)
            recorded(call)

        for name, presented in headers.items():
            print(f"identity, {name:12} {cpu(lambda _, sent=presented: authenticator.known(sent), fresh):8.1f} us")
        print(f"decision, cached       {cpu(lambda _: decided(made), fresh):8.1f} us")
        print(f"record, written        {cpu(lambda _: recorded(made), fresh):8.1f} us")
        print(f"all of it, and a Call  {cpu(governed, fresh):8.1f} us")


if __name__ == "__main__":
    main()
