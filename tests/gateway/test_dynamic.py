"""Servers added, and switched off, while gateways run: kept in either database, shared by those who share it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from agentflow.config import Config, ServerConfig, StoreConfig
from agentflow.errors import AuditUnavailable, Conflict, InvalidArguments, NotFound
from agentflow.gateway.dynamic import Dynamic
from agentflow.store.opened import Store
from tests.gateway.full_world import until

KEY = bytes(range(32))
FILE = ServerConfig(url="http://file.example/mcp")
ENTRY = ServerConfig(
    url="https://added.example/mcp", credentials={"Authorization": SecretStr("Bearer hush")}, reach="public"
)


@pytest.fixture(params=["sqlite", "postgresql"])
def gateways(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[..., Dynamic]]:
    """Makes what a gateway has of the store; of one store, however often it is called."""
    url = SecretStr(request.getfixturevalue("database")) if request.param == "postgresql" else None
    stores: list[Store] = []

    def make(key: bytes = KEY) -> Dynamic:
        stores.append(Store(tmp_path, StoreConfig(url=url)))
        return Dynamic(stores[-1], lambda: key)

    yield make
    for store in stores:
        store.close()


def nothing() -> None:
    """Recorded."""


def configured(dynamic: Dynamic, **servers: ServerConfig) -> dict[str, ServerConfig]:
    return dict(dynamic.merged(Config(mcp_servers=servers)).mcp_servers)


async def following(dynamic: Dynamic) -> tuple[asyncio.Task[None], list[int]]:
    changes: list[int] = []

    async def changed() -> None:
        changes.append(len(dynamic.known))

    return asyncio.ensure_future(dynamic.follow(changed)), changes


def test_what_is_added_is_laid_over_the_file_and_the_file_wins(gateways: Callable[..., Dynamic]) -> None:
    dynamic = gateways()
    dynamic.add("added", ENTRY, "default/root", nothing)
    assert configured(dynamic, file=FILE) == {"file": FILE, "added": ENTRY}
    assert configured(dynamic, added=FILE) == {"added": FILE}
    with pytest.raises(Conflict):
        dynamic.add("added", ENTRY, "default/root", nothing)
    dynamic.switch("added", False, "default/root", nothing)
    assert configured(dynamic)["added"].disabled
    dynamic.switch("added", True, "default/root", nothing)
    assert configured(dynamic) == {"added": ENTRY}
    dynamic.remove("added", nothing)
    assert configured(dynamic, file=FILE) == {"file": FILE}
    with pytest.raises(NotFound):
        dynamic.remove("added", nothing)


def test_a_server_of_the_file_is_switched_off_and_on(gateways: Callable[..., Dynamic]) -> None:
    dynamic = gateways()
    dynamic.switch("file", False, "default/root", nothing)
    assert configured(dynamic, file=FILE)["file"].disabled
    assert configured(dynamic) == {}  # gone from the file: nothing to switch off
    with pytest.raises(NotFound):
        dynamic.remove("file", nothing)
    dynamic.switch("file", True, "default/root", nothing)
    assert configured(dynamic, file=FILE) == {"file": FILE} and dynamic.known == {}


async def test_another_gateway_follows_and_a_restart_forgets_nothing(gateways: Callable[..., Dynamic]) -> None:
    one, other = gateways(), gateways()
    task, changes = await following(other)
    await asyncio.to_thread(one.add, "added", ENTRY, "default/root", nothing)
    await until(lambda: changes == [1], "the change")
    assert other.known["added"].entry == ENTRY
    await asyncio.to_thread(one.remove, "added", nothing)
    await until(lambda: changes == [1, 0], "the change")
    task.cancel()


def test_an_entry_is_sealed_and_one_of_another_key_is_left_out(
    gateways: Callable[..., Dynamic], tmp_path: Path
) -> None:
    one, other = gateways(), gateways(bytes(32))
    one.add("added", ENTRY, "default/root", nothing)
    one.switch("file", False, "default/root", nothing)
    assert not any(b"hush" in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert set(_read(other).known) == {"file"}


def test_what_cannot_be_recorded_is_not_done(gateways: Callable[..., Dynamic]) -> None:
    def unrecorded() -> None:
        raise AuditUnavailable("The disk is full")

    dynamic = gateways()
    dynamic.add("kept", ENTRY, "default/root", nothing)
    for change in (
        lambda: dynamic.add("added", ENTRY, "default/root", unrecorded),
        lambda: dynamic.remove("kept", unrecorded),
        lambda: dynamic.switch("kept", False, "default/root", unrecorded),
    ):
        with pytest.raises(AuditUnavailable):
            change()
        assert configured(dynamic) == {"kept": ENTRY}
    assert configured(_read(gateways())) == {"kept": ENTRY}


def test_of_two_who_add_at_once_one_is_told(gateways: Callable[..., Dynamic]) -> None:
    refused: list[Exception] = []
    ready = threading.Barrier(4)

    def add(dynamic: Dynamic, number: int) -> None:
        ready.wait()
        try:
            dynamic.add("added", ServerConfig(url=f"https://{number}.example/mcp"), "default/root", nothing)
        except Conflict as error:
            refused.append(error)

    threads = [threading.Thread(target=add, args=(gateways(), number)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(refused) == 3


def test_an_entry_that_is_far_too_large_is_refused(gateways: Callable[..., Dynamic]) -> None:
    aliases = {f"tool-{number}": "x" * 50 for number in range(2_000)}
    with pytest.raises(InvalidArguments):
        gateways().add("large", ServerConfig(url="https://a.example/mcp", aliases=aliases), "default/root", nothing)


def _read(dynamic: Dynamic) -> Dynamic:
    async def read() -> None:
        task, changes = await following(dynamic)
        await until(lambda: bool(changes), "the change")
        task.cancel()

    asyncio.run(read())
    return dynamic
