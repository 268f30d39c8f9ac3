"""A real model worker in its own process, for tests that are no coroutines and may share it.

Promises: the gateway's own client (`ModelWorker`) asks it, on an event loop in a thread; usage and budgets are read
from the same database that it writes; nothing of it is left after `close`.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import aclosing, contextmanager
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa
from pydantic import SecretStr

from agentflow.config import Config
from agentflow.models.client import ModelWorker, RequestContext
from agentflow.models.money.budgets import Budgets, NewBudget
from agentflow.store.opened import Store
from agentflow.store.tables import BUDGET_SPENDS, MODEL_USAGE, RESERVATIONS
from tests.gateway_process import wait_until

JSON = dict[str, Any]
T = TypeVar("T")
HELLO: JSON = {"messages": [{"role": "user", "content": "hello"}], "max_tokens": 100}


def text_of(answer: JSON) -> str | None:
    """The text of a whole answer."""
    text: str | None = answer["choices"][0]["message"]["content"]
    return text


def heard(chunks: list[JSON]) -> str:
    """The text of a streamed one."""
    return "".join(c["choices"][0]["delta"].get("content") or "" for c in chunks if c.get("choices"))


class RunningWorker:
    """Asks one model worker. Blocks, and may be used from any thread."""

    def __init__(self, folder: Path, models: Mapping[str, Any], url: str | None = None) -> None:
        store = {} if url is None else {"url": SecretStr(url)}
        self.config = Config.model_validate({"data_dir": folder, "models": models, "store": store})
        self.chunks: list[JSON] = []  # of the last stream
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.client = ModelWorker(self.config)
        self._store = Store(folder, self.config.store)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of a coroutine on the worker's loop."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(120)

    def complete(self, body: JSON | None = None, **context: Any) -> JSON:
        """`ModelWorker.complete`; `context` are members of `RequestContext`."""
        return self.run(self.client.complete(body or HELLO, RequestContext(**{"cache": False, **context})))

    def stream(self, body: JSON | None = None, **context: Any) -> list[JSON]:
        """Every chunk of `ModelWorker.stream`; those that came before an error are in `chunks`."""
        self.chunks = []

        async def all_of_it() -> list[JSON]:
            within = RequestContext(**{"cache": False, **context})
            async with aclosing(self.client.stream(body or HELLO, within)) as parts:
                async for part in parts:
                    self.chunks.append(part)
            return self.chunks

        return self.run(all_of_it())

    def embed(self, texts: list[str], **context: Any) -> JSON:
        """`ModelWorker.embed`."""
        return self.run(self.client.embed({"input": texts}, RequestContext(**{"cache": False, **context})))

    def ask(self, path: str, body: JSON | None = None) -> JSON:
        """`ModelWorker.ask`."""
        return self.run(self.client.ask(path, body))

    def begin_anew(self) -> None:
        """Forget what was learnt of models, and return once none of them rests after a failure."""
        self.ask("reset")
        wait_until(lambda: not self.ask("stats")["cooldowns"], "every model to be rested")

    # Money

    def budget(self, tenant: str, nano: int, **more: Any) -> None:
        """Give a tenant a daily budget."""
        Budgets(self._store).create(NewBudget(**{"tenant": tenant, "period": "daily", "nano": nano, **more}), "test")

    def usage(self, tenant: str, requests: int) -> list[JSON]:
        """The rows of a tenant's requests, once there are so many of them: they are written a moment later."""

        def rows() -> list[JSON]:
            return self._rows(sa.select(MODEL_USAGE).where(MODEL_USAGE.c.tenant == tenant))

        wait_until(lambda: len(rows()) >= requests, f"{requests} rows of usage", 30, lambda: str(rows()))
        found = rows()
        assert len(found) == requests, found
        return found

    def spent(self, tenant: str) -> int:
        """What a tenant's budget has been charged, in nano-dollars; nothing may be promised any more."""

        def settled() -> bool:
            return not self._rows(sa.select(RESERVATIONS)) and not any(s["reserved"] for s in spends())

        def spends() -> list[JSON]:
            return self._rows(sa.select(BUDGET_SPENDS).where(BUDGET_SPENDS.c.tenant == tenant))

        wait_until(settled, "every reservation to be settled", 30)
        return sum(row["spent"] for row in spends())

    def _rows(self, asked: sa.Select[Any]) -> list[JSON]:
        if not self._store.holds("model_usage"):
            return []
        with self._store.database().read() as connection:
            return [dict(row) for row in connection.execute(asked).mappings()]

    def close(self) -> None:
        """End the worker and the thread."""
        self.run(self.client.close())
        self._store.close()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(30)
        self._loop.close()


@contextmanager
def running_worker(folder: Path, models: Mapping[str, Any], url: str | None = None) -> Iterator[RunningWorker]:
    """A worker that is ended in the end; it starts with the first question."""
    worker = RunningWorker(folder, models, url)
    try:
        yield worker
    finally:
        worker.close()


def raised(work: Callable[[], Any], error: type[Exception]) -> Any:
    """The error that `work` raises, which has to be an `error`."""
    try:
        found = work()
    except error as raised_error:
        return raised_error
    raise AssertionError(f"it was answered: {found}")
