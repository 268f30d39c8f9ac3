"""Sessions at the page, on SQLite and on PostgreSQL."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from pydantic import SecretStr
from starlette.requests import Request

from agentflow.admin.page import sessions as module
from agentflow.admin.page.sessions import COOKIE, IDLE, LIFETIME, SECURE_COOKIE, Sessions, Throttle
from agentflow.config import StoreConfig
from agentflow.errors import Forbidden, IdentityUnavailable, LimitExceeded, Unauthenticated
from agentflow.identity.principal import Principal
from agentflow.store.opened import Store
from agentflow.store.tables import WEB_SESSIONS

KEY = "ops-key-0123456789abcdef"
OPS = Principal("ops", roles=("admin",), auth="api_key")


class World:
    """A store, who is known, and what time it is."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.known: dict[bytes, Principal] = {b"Bearer " + KEY.encode(): OPS}
        self.now = 1_000_000.0
        self.unavailable = False
        self.sessions = Sessions(store, self.authenticate, lambda: self.now)

    async def authenticate(self, headers: list[tuple[bytes, bytes]]) -> Principal:
        if self.unavailable:
            raise IdentityUnavailable("The issuer's keys cannot be had")
        for name, value in headers:
            if name == b"authorization" and value in self.known:
                return self.known[value]
        raise Unauthenticated("The API key is not known")

    async def begin(self, former: str = "") -> str:
        return (await self.sessions.begin(KEY, "127.0.0.1", former))[0]


@pytest.fixture(params=["sqlite", "postgresql"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    url = request.getfixturevalue("database") if request.param == "postgresql" else None
    store = Store(tmp_path, StoreConfig(url=SecretStr(url) if url else None))
    yield World(store)
    store.close()


def visit(cookie: str, name: str = COOKIE, scheme: str = "http", **headers: str) -> Request:
    sent = {"host": "127.0.0.1:8808", "cookie": f"{name}={cookie}", **headers}
    raw = [(key.replace("_", "-").encode(), value.encode()) for key, value in sent.items()]
    return Request(
        {
            "type": "http",
            "method": "GET",
            "path": "/ui",
            "query_string": b"",
            "scheme": scheme,
            "server": ("127.0.0.1", 8808),
            "headers": raw,
        }
    )


async def test_a_cookie_stands_for_whoever_signed_in(world: World) -> None:
    cookie = await world.begin()
    found = await world.sessions.find(visit(cookie))
    assert found is not None
    assert found.principal == OPS
    assert len(cookie) == 43, "256 bits"


async def test_a_made_up_altered_or_foreign_cookie_stands_for_nobody(world: World) -> None:
    cookie = await world.begin()
    for other in ("", "x", "A" * 43, cookie[:-1] + ("A" if cookie[-1] != "A" else "B"), cookie + "A", f'"{cookie}"x'):
        assert await world.sessions.find(visit(other)) is None
    assert await world.sessions.find(visit(cookie, SECURE_COOKIE)) is None, "the other scheme's name"


async def test_the_store_knows_neither_the_cookie_nor_the_key(world: World) -> None:
    cookie = await world.begin()
    session = await world.sessions.find(visit(cookie))
    assert session is not None
    with world.store.database().read() as db:
        row = db.execute(sa.select(WEB_SESSIONS)).one()
    kept = repr(tuple(row))
    for secret in (cookie, KEY, session.csrf, "ops-key"):
        assert secret not in kept
    assert KEY.encode() not in row.sealed


async def test_a_session_ends_with_the_key_behind_it(world: World) -> None:
    cookie = await world.begin()
    world.known.clear()
    assert await world.sessions.find(visit(cookie)) is None
    world.known[b"Bearer " + KEY.encode()] = OPS
    assert await world.sessions.find(visit(cookie)) is None, "it does not come back"


async def test_a_session_outlasts_the_time_in_which_nobody_can_say_whether_it_counts(world: World) -> None:
    cookie = await world.begin()
    world.unavailable = True
    with pytest.raises(IdentityUnavailable):
        await world.sessions.find(visit(cookie))
    world.unavailable = False
    assert await world.sessions.find(visit(cookie)) is not None


async def test_roles_are_those_of_now_not_of_the_time_of_signing_in(world: World) -> None:
    cookie = await world.begin()
    world.known[b"Bearer " + KEY.encode()] = dataclasses.replace(OPS, roles=("viewer",))
    found = await world.sessions.find(visit(cookie))
    assert found is not None
    assert found.principal.roles == ("viewer",)


async def test_a_session_that_is_not_used_ends(world: World) -> None:
    cookie = await world.begin()
    world.now += IDLE - 1
    assert await world.sessions.find(visit(cookie)) is not None
    world.now += IDLE - 1
    assert await world.sessions.find(visit(cookie)) is not None, "using it kept it"
    world.now += IDLE + 1
    assert await world.sessions.find(visit(cookie)) is None


async def test_what_a_page_asks_for_by_itself_keeps_no_session_alive(world: World) -> None:
    cookie = await world.begin()
    for _ in range(3):
        world.now += IDLE / 3
        await world.sessions.find(visit(cookie), use=False)
    assert await world.sessions.find(visit(cookie)) is None


async def test_a_session_ends_after_its_time_however_it_is_used(world: World) -> None:
    cookie = await world.begin()
    for _ in range(int(LIFETIME / 600)):
        assert await world.sessions.find(visit(cookie)) is not None
        world.now += 600
    assert await world.sessions.find(visit(cookie)) is None


async def test_signing_in_begins_a_new_session_and_ends_the_former(world: World) -> None:
    first = await world.begin()
    second = await world.begin(former=first)
    assert first != second
    assert await world.sessions.find(visit(first)) is None
    assert await world.sessions.find(visit(second)) is not None


async def test_signing_out_ends_one_session_or_all_of_the_principal(world: World) -> None:
    other = Principal("other", roles=("viewer",), auth="api_key")
    world.known[b"Bearer other-key-0123456789abcdef"] = other
    foreign, _ = await world.sessions.begin("other-key-0123456789abcdef", "127.0.0.2")
    one, two, three = [await world.begin() for _ in range(3)]
    session = await world.sessions.find(visit(one))
    assert session is not None
    await world.sessions.end(session)
    assert await world.sessions.find(visit(one)) is None
    assert await world.sessions.find(visit(two)) is not None
    assert await world.sessions.end_all(OPS) == 2
    assert await world.sessions.find(visit(two)) is None
    assert await world.sessions.find(visit(three)) is None
    assert await world.sessions.find(visit(foreign)) is not None


async def test_sessions_survive_a_restart_and_are_shared_by_gateways(world: World, tmp_path: Path) -> None:
    cookie = await world.begin()
    session = await world.sessions.find(visit(cookie))
    again = Sessions(world.store, world.authenticate, lambda: world.now)
    found = await again.find(visit(cookie))
    assert found is not None
    assert session is not None
    assert found.csrf == session.csrf


async def test_a_principal_has_no_endless_number_of_sessions(world: World) -> None:
    first = await world.begin()
    for _ in range(module._LIVE):
        world.now += 1
        await world.begin()
    assert await world.sessions.find(visit(first)) is None
    with world.store.database().read() as db:
        assert db.scalar(sa.select(sa.func.count()).select_from(WEB_SESSIONS)) == module._LIVE


async def test_the_csrf_token_belongs_to_one_session(world: World) -> None:
    one, two = await world.begin(), await world.begin()
    first, second = await world.sessions.find(visit(one)), await world.sessions.find(visit(two))
    assert first is not None
    assert second is not None
    assert first.csrf != second.csrf
    assert world.sessions.proves(visit(one, x_csrf_token=first.csrf))
    assert not world.sessions.proves(visit(one, x_csrf_token=second.csrf))
    assert not world.sessions.proves(visit(one))
    assert not world.sessions.proves(visit(one, x_csrf_token="é"))


async def test_guessing_is_slowed_down_and_signing_in_well_is_not(world: World) -> None:
    for _ in range(20):
        await world.sessions.begin(KEY, "10.0.0.1")
    with pytest.raises(LimitExceeded):  # noqa: PT012 - one of them
        for _ in range(20):
            with pytest.raises(Unauthenticated):
                await world.sessions.begin("wrong-key-0123456789", "10.0.0.1")
    with pytest.raises(LimitExceeded):
        await world.sessions.begin(KEY, "10.0.0.1")
    await world.sessions.begin(KEY, "10.0.0.2")


def test_a_throttle_lets_in_again_after_a_while_and_counts_all_addresses_together() -> None:
    now = [0.0]
    throttle = Throttle(burst=2, every=10, whole=3, clock=lambda: now[0])
    throttle.take("a")
    throttle.take("a")
    with pytest.raises(LimitExceeded):
        throttle.take("a")
    now[0] += 10
    throttle.take("a")
    for number in range(3):
        throttle.take(f"b{number}")
    with pytest.raises(LimitExceeded):  # noqa: PT012 - one of them
        for number in range(3):
            throttle.take(f"c{number}")


@pytest.mark.parametrize("credential", ["with space inside", "line\nbreak", "x" * 9000, "naïve", "nul\0"])
async def test_what_is_no_credential_is_refused_before_anybody_is_asked(world: World, credential: str) -> None:
    with pytest.raises(Unauthenticated):
        await world.sessions.begin(credential, "127.0.0.1")


def test_the_cookie_is_hidden_from_scripts_and_other_sites_and_bound_to_https_where_there_is_any() -> None:
    plain = module.set_cookie(visit("-"), "value")
    assert plain == f"{COOKIE}=value; Path=/; HttpOnly; SameSite=Strict"
    behind = module.set_cookie(visit("-", x_forwarded_proto="https"), "value")
    assert behind == module.set_cookie(visit("-", scheme="https"), "value")
    assert behind == f"{SECURE_COOKIE}=value; Path=/; HttpOnly; SameSite=Strict; Secure"


@pytest.mark.parametrize(
    ("host", "good"),
    [
        ("127.0.0.1:8808", True),
        ("localhost", True),
        ("[::1]:80", True),
        ("gateway.example:8808", False),
        ("127.0.0.1.evil.example", False),
        ("localhost.evil.example:80", False),
    ],
)
def test_nobody_signs_in_over_a_plain_connection_from_another_machine(host: str, good: bool) -> None:
    request = visit("-", host=host)
    if good:
        module.check_transport(request)
    else:
        with pytest.raises(Forbidden):
            module.check_transport(request)
        module.check_transport(visit("-", host=host, x_forwarded_proto="https"))
