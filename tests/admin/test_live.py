"""Live records: the stream, and the figures and memory behind it."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import httpx2
import pytest
from admin.conftest import Headquarters
from admin.offices import BASE, KEYS
from admin.test_audit import call
from gateway_process import wait_until
from starlette.requests import ClientDisconnect

from agentflow.admin.api import streams
from agentflow.audit import recent
from agentflow.audit.recent import Recent, joined
from agentflow.errors import LimitExceeded

JSON = dict[str, Any]


def record(tenant: str = "default", outcome: str = "ok", micros: int = 1000, name: str = "t", **more: Any) -> JSON:
    who = {"id": "a", "tenant": tenant}
    told = {"server": "s", "surface": "tools/call", "name": name, "outcome": outcome, "micros": micros}
    return {"kind": "call", "id": "x", "principal": who, **told, **more}


@contextmanager
def stream(house: Headquarters, name: str) -> Iterator[Iterator[JSON]]:
    """The events of `/live/stream`."""
    headers = {"authorization": f"Bearer {KEYS[name]}"}
    with (
        httpx2.Client(base_url=house.gateway.base, timeout=60, trust_env=False) as client,
        client.stream("GET", f"{BASE}/live/stream", headers=headers) as answer,
    ):
        assert answer.headers["content-type"].startswith("text/event-stream")
        lines = answer.iter_lines()
        assert next(lines).startswith("retry:")

        def events() -> Iterator[JSON]:
            for line in lines:
                if line.startswith("data:"):
                    yield json.loads(line[5:])

        yield events()


def test_a_call_is_seen_as_it_is_recorded_with_its_stages_by_its_tenant_only(house: Headquarters) -> None:
    with stream(house, "ACME") as acme, stream(house, "ROOT") as root:
        call(house, "OPAL")
        call(house, "ACME")
        told = next(each for each in acme if each["record"]["kind"] == "call")
        assert told["record"]["principal"]["tenant"] == "acme"
        assert {"decide", "redact"} <= {stage[0] for stage in told["record"]["stages"]}
        seen = [next(each for each in root if each["record"]["kind"] == "call") for _ in range(2)]
        assert [each["record"]["principal"]["id"] for each in seen] == ["opal", "acme"]


def test_a_stream_ends_with_the_key_behind_it(yard: Headquarters) -> None:
    office = yard.office("ROOT")
    made = office.good("POST", "/keys", {"principal": "looker", "roles": ["operator"]})
    KEYS["LOOKER"] = made["key"]
    try:
        with stream(yard, "LOOKER") as events:
            office.good("POST", f"/keys/{made['info']['id']}/revoke")
            for _ in events:
                pass  # until the gateway ends it
    finally:
        del KEYS["LOOKER"]


def test_a_stream_does_not_hold_up_the_gateways_end(own: Any) -> None:
    house = own()
    with stream(house, "ROOT") as events:
        thread = threading.Thread(target=house.gateway.stop)
        thread.start()
        with suppress(httpx2.HTTPError):
            list(events)
        thread.join(30)
    assert house.gateway.process.poll() == 0
    wait_until(lambda: not thread.is_alive(), "the end")


async def test_who_reads_too_slowly_misses_the_oldest_and_is_told_how_many() -> None:
    live = Recent()
    follower = live.follow(None)
    for number in range(300):
        live.take(record(name=f"t{number}"))
    first = await follower.next(1)
    assert first is not None and first[0]["name"] == "t44" and first[1] == 44
    second = await follower.next(1)
    assert second is not None and second[1] == 0
    follower.close()
    live.take(record())
    assert live.newest(None, 1)


async def test_a_record_of_another_thread_wakes_the_follower() -> None:
    live = Recent()
    follower = live.follow(frozenset({""}))
    threading.Thread(target=lambda: (live.take(record()), live.take({"kind": "log", "event": "retired"}))).start()
    found = await follower.next(10)
    assert found is not None and found[0]["kind"] == "log"
    with pytest.raises(TimeoutError):
        await follower.next(0.01)
    live.close()
    assert await asyncio.wait_for(follower.next(10), 10) is None


async def test_whoever_leaves_before_the_first_byte_looks_on_no_more() -> None:
    live = Recent()

    async def left() -> JSON:
        return {"type": "http.disconnect"}

    async def gone(message: Any) -> None:
        raise OSError("the connection is closed")

    asked: Any = None
    for version in ("2.3", "2.4"):
        answer = streams.events(asked, live.follow(None))
        with suppress(OSError, BaseExceptionGroup, ClientDisconnect):
            await answer({"type": "http", "asgi": {"spec_version": version}}, left, gone)
    assert live._followers == ()


async def test_only_so_many_look_on() -> None:
    live = Recent()
    for _ in range(64):
        live.follow(None)
    with pytest.raises(LimitExceeded):
        live.follow(None)


def test_percentiles_are_within_an_eighth() -> None:
    live = Recent(lambda: 1000.0)
    for micros in range(1, 10_001):
        live.take(record(micros=micros))
    whole = joined(live.slots(None)[0].places.values())
    for share in (0.5, 0.95, 0.99):
        assert share * 10_000 <= whole.percentile(share) <= share * 10_000 * 1.13
    assert whole.calls == 10_000 and joined([]).percentile(0.5) == 0


def test_whoever_makes_names_up_makes_no_new_places() -> None:
    live = Recent(lambda: 1000.0)
    for number in range(10_000):
        live.take(record(name=f"n{number}", outcome="unknown_name"))
        live.take(record(name=f"n{number}", surface="resources/read"))
        live.take(record(name=f"tool{number}"))
    places = live.slots(None)[0].places
    assert len(places) <= recent._PLACES + 1
    assert joined(places.values()).calls == 30_000


def test_figures_are_kept_for_each_tenant() -> None:
    live = Recent(lambda: 1000.0)
    live.take(record("one"))
    live.take(record("two", outcome="policy_denied"))
    live.take({"kind": "key", "tenant": "two", "event": "created"})
    live.take({"kind": "admin", "by": "two/ada", "event": "x"})
    [slot] = live.slots(frozenset({"two"}))
    assert [key[0] for key in slot.places] == ["two"] and slot.refusals == {("two", "policy_denied"): 1}
    assert len(live.newest(frozenset({"two"}), 100)) == 3
    assert len(live.newest(None, 2)) == 2


def test_the_figures_are_of_the_last_five_minutes() -> None:
    now = [1000.0]
    live = Recent(lambda: now[0])
    for number in range(100):
        now[0] = 1000.0 + 10 * number
        live.take(record())
    assert sum(joined(slot.places.values()).calls for slot in live.slots(None)) in (30, 31)
    now[0] += 400
    assert live.slots(None) == []
