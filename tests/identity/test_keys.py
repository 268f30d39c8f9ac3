"""Stored keys: made, found, replaced, ended; by several processes, on both databases, and while one is gone."""

from __future__ import annotations

import asyncio
import json
import math
import os
import sqlite3
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from databases import cut_off
from identity.key_world import HASHING, World, until

from agentflow.audit.events import Event
from agentflow.errors import AuditUnavailable, Conflict, InvalidArguments, NotFound, StoreUnavailable
from agentflow.identity import keys as keys_module
from agentflow.identity.key_format import generate
from agentflow.identity.keys import DAY, KeyRing, NewKey
from agentflow.identity.principal import Principal
from agentflow.store import migrate
from agentflow.store.database import Database
from agentflow.store.tables import API_KEYS

ADA = NewKey("ada", "user", ("operator", "viewer"), "acme", ("tools:read",), "for ci")


async def test_a_key_is_found_by_another_process_and_then_from_memory(world: World) -> None:
    made = world.ring().create(ADA, "default/root")
    async with world.following() as gateway:
        assert gateway.find(made.key.encode()) is None
        found = await gateway.look(made.key.encode())
        assert found == Principal("ada", "user", ("operator", "viewer"), "acme", ("tools:read",), "api_key")
        assert gateway.find(made.key.encode()) is found
    assert world.said() == [("created", made.info.id, "ok"), ("used", made.info.id, "")]
    assert world.events[1].by == "acme/ada" and world.events[1].tenant == "acme"


async def test_only_the_whole_right_key_is_found(world: World) -> None:
    ring = world.ring()
    made, other = ring.create(ADA, "root"), ring.create(ADA, "root")
    async with world.following() as gateway:
        assert await gateway.look(made.key.encode())
        _, forged = generate()
        forged = forged[:3] + made.info.id + forged[15:59]
        forged += keys_module.key_format._checksum(forged.encode())
        assert keys_module.key_format.is_whole(forged.encode())
        for wrong in (
            forged,
            made.key[:-1],
            made.key + "0",
            made.key.upper(),
            made.key[:16] + other.key[16:],
            "",
            "af_",
        ):
            assert gateway.find(wrong.encode()) is None and await gateway.look(wrong.encode()) is None, wrong
        assert gateway.find(b"\x00" * 70_000) is None and await gateway.look(b"af_" + b"\xff" * 65_536) is None
        assert gateway.why(made.key.encode()[:-1]) == "mistyped" and gateway.why(forged.encode()) == ""


async def test_what_is_made_while_a_gateway_runs_counts_at_once_and_what_is_revoked_soon_no_more(world: World) -> None:
    async with world.following() as gateway:
        made = await asyncio.to_thread(world.ring().create, ADA, "root")
        if world.url is None:  # it had nothing to look in when it began
            await until(lambda: gateway.made, "the gateway to notice that there are keys")
        assert await gateway.look(made.key.encode()) and gateway.find(made.key.encode())
        later = await asyncio.to_thread(world.ring().create, ADA, "root")
        assert await gateway.look(later.key.encode())
        await asyncio.to_thread(world.ring().revoke, made.info.id, "root")
        await until(lambda: gateway.find(made.key.encode()) is None, "the revoked key to be refused")
        assert await gateway.look(made.key.encode()) is None and gateway.why(made.key.encode()) == "revoked"
        assert gateway.find(later.key.encode())
    assert ("refused", made.info.id, "revoked") in world.said()


async def test_a_key_does_not_count_past_its_expiry_not_even_from_memory(world: World) -> None:
    made = world.ring().create(NewKey("ada", expires=time.time() + 0.4), "root")
    async with world.following() as gateway:
        found = await gateway.look(made.key.encode())
        while found is not None:
            assert time.time() < (made.info.expires or 0) + 0.3
            await asyncio.sleep(0.01)
            found = gateway.find(made.key.encode())
        assert time.time() >= (made.info.expires or 0) - 0.01
        assert await gateway.look(made.key.encode()) is None and gateway.why(made.key.encode()) == "expired"
    assert world.said()[-1] == ("refused", made.info.id, "expired")


async def test_a_replaced_key_and_its_successor_both_count_until_the_grace_is_over(world: World) -> None:
    ring = world.ring()
    old = ring.create(NewKey("ada", expires=time.time() + 10 * DAY), "root")
    new = ring.rotate(old.info.id, "eve", grace=1.0)
    assert new.info.replaces == old.info.id and abs((new.info.expires or 0) - time.time() - 10 * DAY) < 60
    assert ring.show(old.info.id).replaced_by == new.info.id and ring.show(old.info.id).state() == "replaced"
    async with world.following() as gateway:
        assert await gateway.look(old.key.encode()) == await gateway.look(new.key.encode())
        await until(lambda: gateway.find(old.key.encode()) is None, "the old key to end")
        assert gateway.find(new.key.encode())
    with pytest.raises(Conflict, match="expired"):
        ring.rotate(old.info.id, "eve")


def test_a_key_is_replaced_once_and_only_while_it_counts(world: World) -> None:
    ring = world.ring()
    made = ring.create(ADA, "root")
    after = ring.rotate(made.info.id, "root")
    with pytest.raises(Conflict, match=after.info.id):
        ring.rotate(made.info.id, "root")
    ring.revoke(after.info.id, "root")
    with pytest.raises(Conflict, match="revoked"):
        ring.rotate(after.info.id, "root")
    assert ring.rotate(ring.create(ADA, "root").info.id, "root", grace=0).info.expires is None


def test_another_tenant_s_keys_read_as_unknown(world: World) -> None:
    ring = world.ring()
    made, other = ring.create(ADA, "root"), ring.create(NewKey("ada", tenant="rival"), "root")
    assert [info.id for info in ring.list("acme")] == [made.info.id]
    assert {info.id for info in ring.list()} == {made.info.id, other.info.id}
    for change in (
        lambda: ring.show(made.info.id, "rival"),
        lambda: ring.rotate(made.info.id, "eve", tenant="rival"),
        lambda: ring.revoke(made.info.id, "eve", tenant="rival"),
        lambda: ring.show("0" * 12, "rival"),
    ):
        with pytest.raises(NotFound) as refused:
            change()
        assert "acme" not in str(refused.value)
    assert ring.show(made.info.id, "acme").state() == "active"


def test_what_is_not_recorded_is_not_done(world: World) -> None:
    ring = world.ring()
    made = ring.create(ADA, "root")

    def refuse(_: Event) -> None:
        raise AuditUnavailable("the disk is full")

    blind = world.ring(record=refuse)
    for change in (
        lambda: blind.create(ADA, "root"),
        lambda: blind.rotate(made.info.id, "root"),
        lambda: blind.revoke(made.info.id, "root"),
    ):
        with pytest.raises(AuditUnavailable):
            change()
    assert [(info.id, info.state()) for info in ring.list()] == [(made.info.id, "active")]


def test_revoking_twice_changes_nothing(world: World) -> None:
    ring = world.ring()
    made = ring.create(ADA, "root")
    first = ring.revoke(made.info.id, "root")
    assert ring.revoke(made.info.id, "eve") == ring.show(made.info.id) == first
    assert world.said().count(("revoked", made.info.id, "ok")) == 1


@pytest.mark.parametrize(
    "wanted",
    [
        NewKey(""), NewKey("a b"), NewKey("a\nb"), NewKey("-x"), NewKey("x" * 129), NewKey("a\x00"), NewKey("../x"),
        NewKey("a", tenant=""), NewKey("a", tenant="agentflow"), NewKey("a", tenant="a b"),
        NewKey("a", tenant="a/b"), NewKey("a", kind="robot"),  # type: ignore[arg-type]
        NewKey("a", roles=("",)), NewKey("a", roles=("a,b",)), NewKey("a", scopes=('"',)), NewKey("a", scopes=("é",)),
        NewKey("a", roles=tuple(f"r{n}" for n in range(65))), NewKey("a", label="x" * 257),
        NewKey("a", label="\x1b[2J"), NewKey("a", expires=1.0), NewKey("a", expires=1e18),
        NewKey("a", expires=float("nan")),
    ],
)  # fmt: skip
def test_what_no_key_can_be_is_refused(sqlite_world: World, wanted: NewKey) -> None:
    with pytest.raises(InvalidArguments) as refused:
        sqlite_world.ring().create(wanted, "root")
    assert refused.value.fix and not sqlite_world.events


@pytest.mark.parametrize("name", ["ada", "ada@example.org", "auth0|4711", "Zoë", "ci-7.build_3"])
def test_names_that_people_and_issuers_give_are_fine(sqlite_world: World, name: str) -> None:
    assert sqlite_world.ring().create(NewKey(name), "root").info.principal == name


def test_the_database_holds_nothing_of_a_key_but_its_id(world: World) -> None:
    ring = world.ring()
    made = ring.rotate(ring.create(ADA, "root").info.id, "root")
    world.close()
    rows = repr(_dump(world)).encode() + b"".join(path.read_bytes() for path in world.data_dir.iterdir())
    secret = made.key.encode()[16:]
    assert made.info.id.encode() in rows
    assert not any(secret[at : at + 12] in rows for at in range(0, len(secret) - 12))


def _dump(world: World) -> list[Any]:
    with world.store().database().read() as connection:
        return list(connection.exec_driver_sql("SELECT * FROM api_key"))


async def test_a_key_of_another_installation_is_not_taken_and_is_shown_as_such(world: World) -> None:
    made = world.ring(b"x" * 32).create(ADA, "root")
    assert not world.ring().show(made.info.id).ours and world.ring(b"x" * 32).show(made.info.id).ours
    async with world.following() as gateway:
        assert await gateway.look(made.key.encode()) is None
        assert gateway.asks


ALTERATIONS = {
    "roles": """roles = '["admin"]'""",
    "scopes": """scopes = '["*"]'""",
    "tenant": "tenant = 'rival'",
    "principal": "principal = 'root'",
    "kind": "kind = 'service'",
    "life": "expires = expires + 86400",
    "for ever": "expires = NULL",
    "another's key": "digest = (SELECT digest FROM api_key AS other WHERE other.id <> api_key.id)",
    "another's seal, too": "(digest, seal) = (SELECT digest, seal FROM api_key AS other WHERE other.id <> api_key.id)",
    "revived": "revoked = NULL",
}


@pytest.mark.parametrize("change", ALTERATIONS.values(), ids=ALTERATIONS)
async def test_a_row_that_was_altered_in_the_database_is_no_key_any_more(world: World, change: str) -> None:
    admin = world.ring()
    made = admin.create(replace(ADA, expires=time.time() + DAY), "root")
    other = admin.create(replace(ADA, roles=("admin",)), "root")
    if change == ALTERATIONS["revived"]:
        admin.revoke(made.info.id, "root")
    async with world.following() as gateway:
        known = await gateway.look(made.key.encode())
        assert (known is None) == (change == ALTERATIONS["revived"])
        newest = "changed = (SELECT max(changed) + 1 FROM api_key)"  # as whoever hides nothing from gateways would
        with world.store().database().begin() as connection:
            connection.exec_driver_sql(f"UPDATE api_key SET {change}, {newest} WHERE id = '{made.info.id}'")
        await until(lambda: gateway.find(made.key.encode()) is None, "the key to be refused")
        assert await gateway.look(made.key.encode()) is None
        assert await gateway.look(other.key.encode())
    async with world.following() as gateway:
        assert await gateway.look(made.key.encode()) is None, "nor after a restart"
    shown = admin.show(made.info.id)
    assert not shown.ours
    with pytest.raises(Conflict, match="was altered"):
        admin.rotate(made.info.id, "root")
    admin.revoke(made.info.id, "root")


async def test_what_is_taken_out_of_the_database_counts_no_more(world: World) -> None:
    admin = world.ring()
    gone, stays = admin.create(ADA, "root"), admin.create(ADA, "root")
    async with world.following() as gateway:
        assert await gateway.look(gone.key.encode())
        with world.store().database().begin() as connection:
            connection.exec_driver_sql(f"DELETE FROM api_key WHERE id = '{gone.info.id}'")
        await until(lambda: gateway.find(gone.key.encode()) is None, "the key to be refused")
        assert await gateway.look(gone.key.encode()) is None and await gateway.look(stays.key.encode())


async def test_a_gateway_follows_a_database_that_was_restored_from_an_older_copy(world: World) -> None:
    admin = world.ring()
    kept = admin.create(ADA, "root")
    with world.store().database().read() as connection:
        copy = [dict(row._mapping) for row in connection.execute(sa.select(API_KEYS))]
    lost = [admin.create(ADA, "root") for _ in range(3)]
    async with world.following() as gateway:
        assert await gateway.look(lost[0].key.encode()) and await gateway.look(kept.key.encode())
        with world.store().database().begin() as connection:
            connection.execute(sa.delete(API_KEYS))
            connection.execute(sa.insert(API_KEYS), copy)
        await until(lambda: gateway.find(lost[0].key.encode()) is None, "the copy to be noticed")
        new = admin.create(ADA, "root")
        assert await gateway.look(new.key.encode()) and await gateway.look(kept.key.encode())
        admin.revoke(kept.info.id, "root")  # a number of a change that the gateway has seen before
        await until(lambda: gateway.find(kept.key.encode()) is None, "the revocation")
        assert gateway.why(kept.key.encode()) == "revoked"


async def test_a_database_file_that_was_replaced_under_a_gateway_is_followed(
    sqlite_world: World, tmp_path: Path
) -> None:
    admin = sqlite_world.ring()
    kept = admin.create(ADA, "root")
    file, copy = Database.file(tmp_path), tmp_path / "copy"
    with closing(sqlite3.connect(file)) as source, closing(sqlite3.connect(copy)) as target:
        source.backup(target)
    lost = admin.create(ADA, "root")
    async with sqlite_world.following() as gateway:
        assert await gateway.look(lost.key.encode()) and await gateway.look(kept.key.encode())
        await asyncio.to_thread(_put_in_place, copy, file)
        await until(lambda: gateway.find(lost.key.encode()) is None, "the copy to be noticed")
        sqlite_world.ring().revoke(kept.info.id, "root")
        await until(lambda: gateway.find(kept.key.encode()) is None, "the revocation")


def _put_in_place(copy: Path, file: Path) -> None:
    """As somebody does who restores a database and forgets that a gateway runs."""
    for written in (Path(f"{file}-wal"), Path(f"{file}-shm")):
        written.unlink(missing_ok=True)
    copy.replace(file)


@pytest.mark.parametrize("grace", [-1.0, 400 * DAY, math.inf, math.nan])
def test_an_old_key_goes_on_for_a_year_at_most(sqlite_world: World, grace: float) -> None:
    ring = sqlite_world.ring()
    made = ring.create(ADA, "root")
    with pytest.raises(InvalidArguments):
        ring.rotate(made.info.id, "root", grace=grace)
    assert ring.show(made.info.id).state() == "active"


async def test_a_destroyed_vault_key_ends_every_key(sqlite_world: World) -> None:
    made = sqlite_world.ring().create(ADA, "root")
    hashing = [HASHING]
    ring = KeyRing(sqlite_world.store(), lambda: hashing[0], sqlite_world.events.append)
    ring.begin(required=False)
    task = asyncio.ensure_future(ring.follow())
    assert await ring.look(made.key.encode())
    hashing[0] = b"n" * 32
    await until(lambda: ring.find(made.key.encode()) is None, "the key to be refused")
    assert await ring.look(made.key.encode()) is None and ring.asks
    task.cancel()


async def test_last_use_is_written_late_by_the_one_who_saw_it_last(world: World) -> None:
    ring = world.ring()
    made = ring.create(ADA, "root")
    async with world.following() as first, world.following() as second:
        for gateway in (first, second):
            assert await gateway.look(made.key.encode())
        assert ring.show(made.info.id).used is None
        assert second.find(made.key.encode())
        seen = time.time()
        await asyncio.to_thread(second.write_uses)
        used = ring.show(made.info.id).used
        await asyncio.to_thread(first.write_uses)  # an earlier one
        assert ring.show(made.info.id).used == used and abs((used or 0) - seen) < 5


async def test_first_use_and_refusals_are_recorded_and_cannot_fill_the_disk(sqlite_world: World) -> None:
    ring = sqlite_world.ring()
    good, bad = ring.create(ADA, "root"), ring.create(ADA, "root")
    ring.revoke(bad.info.id, "root")
    del sqlite_world.events[:]
    async with sqlite_world.following() as gateway:
        for _ in range(200):
            assert gateway.find(good.key.encode()) or await gateway.look(good.key.encode())
            assert await gateway.look(bad.key.encode()) is None
    assert sorted(sqlite_world.said()) == sorted([("used", good.info.id, ""), ("refused", bad.info.id, "revoked")])


async def test_a_flood_of_unknown_keys_costs_the_database_few_looks_and_others_no_wait(world: World) -> None:
    made = world.ring().create(ADA, "root")
    async with world.following() as gateway:
        assert await gateway.look(made.key.encode())
        looks = 0
        real = gateway._read

        def counted() -> None:
            nonlocal looks
            looks += 1
            real()

        gateway._read = counted  # type: ignore[method-assign]
        began = time.monotonic()
        strangers = [asyncio.ensure_future(gateway.look(generate()[1].encode())) for _ in range(500)]
        assert gateway.find(made.key.encode())
        assert await asyncio.gather(*strangers) == [None] * 500
        assert looks <= 2 + (time.monotonic() - began) / keys_module._GAP


async def test_where_nothing_was_kept_nothing_is_opened_or_imported(tmp_path: Path) -> None:
    world = World(tmp_path, None)
    async with world.following() as gateway:
        assert await gateway.look(generate()[1].encode()) is None and not gateway.asks and not gateway.made
        assert gateway.list() == [] and not os.listdir(tmp_path)
        with pytest.raises(NotFound):
            gateway.show("0" * 12)


async def test_callers_have_to_say_who_they_are_from_the_first_key_on_and_when_all_are_revoked(world: World) -> None:
    async with world.following() as gateway:
        assert not gateway.asks
        made = await asyncio.to_thread(world.ring().create, ADA, "root")
        await until(lambda: gateway.asks, "the first key to be noticed")
        await asyncio.to_thread(world.ring().revoke, made.info.id, "root")
        await until(lambda: gateway.why(made.key.encode()) == "revoked", "the revocation to be noticed")
        assert gateway.asks
    async with world.following() as again:
        assert again.asks


def test_a_damaged_database_lets_nobody_in(tmp_path: Path) -> None:
    (tmp_path / "agentflow.db").write_bytes(b"this is no database" * 100)
    ring = World(tmp_path, None).ring()
    ring.begin(required=False)
    assert ring.asks


async def test_while_the_database_is_gone_known_keys_go_on_for_a_while_and_others_are_refused(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(tmp_path, database)
    made, ended = world.ring().create(ADA, "root"), world.ring().create(NewKey("bob", expires=time.time() + 1), "root")
    async with world.following() as gateway:
        assert await gateway.look(made.key.encode()) and await gateway.look(ended.key.encode())
        gone = _Gone(gateway)
        gone.now = True
        await until(lambda: gateway._failed, "the gateway to notice")
        await until(lambda: gateway.find(ended.key.encode()) is None, "the expiry of a key")
        assert gateway.find(made.key.encode())
        with pytest.raises(StoreUnavailable):
            await gateway.look(generate()[1].encode())
        monkeypatch.setattr(keys_module, "GRACE", 0.0)
        await until(lambda: gateway.find(made.key.encode()) is None, "the end of the grace")
        with pytest.raises(StoreUnavailable):
            await gateway.look(made.key.encode())
        gone.now = False
        await until(lambda: gateway.find(made.key.encode()), "the gateway to recover")
        assert await gateway.look(ended.key.encode()) is None
    world.close()


class _Gone:
    """Makes a ring's store unavailable while `now`."""

    def __init__(self, ring: KeyRing) -> None:
        self.now = False
        real = ring._store.database

        def database() -> Any:
            if self.now:
                raise StoreUnavailable("the server is gone")
            return real()

        ring._store.database = database  # type: ignore[method-assign]


async def test_a_database_that_hangs_holds_nobody_up_who_is_known(world: World) -> None:
    made = world.ring().create(ADA, "root")
    async with world.following() as gateway:
        assert await gateway.look(made.key.encode())
        with world.store().database().begin() as blocking:  # nothing that changes a row can go on meanwhile
            if world.url:
                blocking.exec_driver_sql("LOCK TABLE api_key IN ACCESS EXCLUSIVE MODE")
            else:
                blocking.exec_driver_sql("UPDATE api_key SET label = label")
            end = time.monotonic() + 2.5
            while time.monotonic() < end:
                assert gateway.find(made.key.encode()) or await gateway.look(made.key.encode())
                await asyncio.sleep(0.05)


async def test_a_restarted_server_is_noticed_and_what_was_revoked_meanwhile_is_refused(
    database: str, tmp_path: Path
) -> None:
    world = World(tmp_path, database)
    made = world.ring().create(ADA, "root")
    async with world.following() as gateway:
        assert await gateway.look(made.key.encode())
        cut_off(database)
        await asyncio.to_thread(world.ring().revoke, made.info.id, "root")
        await until(lambda: gateway.find(made.key.encode()) is None, "the revocation to be noticed")
        assert await gateway.look(made.key.encode()) is None and gateway.why(made.key.encode()) == "revoked"
    world.close()


async def test_changes_made_at_once_by_several_processes_are_all_seen(world: World) -> None:
    world.ring().create(ADA, "root")
    async with world.following() as gateway:
        rings = [world.ring() for _ in range(4)]

        def many(ring: KeyRing) -> list[tuple[str, str]]:
            made = [ring.create(ADA, "root") for _ in range(8)]
            for each in made[::2]:
                ring.revoke(each.info.id, "root")
            return [(each.key, "" if number % 2 else "revoked") for number, each in enumerate(made)]

        done = await asyncio.gather(*(asyncio.to_thread(many, ring) for ring in rings))
        for key, why in (each for group in done for each in group):
            if not why:
                assert await gateway.look(key.encode())
            await until(lambda k=key, w=why: gateway.why(k.encode()) == w, "a change")  # type: ignore[misc]


def test_the_tables_are_what_the_code_expects(world: World) -> None:
    world.ring().create(ADA, "root")
    assert [each for each in migrate.differences(world.store().database()) if "api_key" in each] == []


def test_a_listing_can_be_written_as_json_and_holds_no_digest(world: World) -> None:
    from dataclasses import asdict

    made = world.ring().create(ADA, "root")
    shown = json.dumps(asdict(world.ring().show(made.info.id)))
    assert made.key not in shown and HASHING.decode() not in shown and "digest" not in shown
