"""Definitions in quarantine: what is held and why, how it differs from what is in force, and deciding about it.

What is shown is what is kept of a definition: with personal data taken out, and characters that cannot be seen
written out. A decision names the digest of what it is about, so that what came in between is not decided along.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import closing

from agentflow.admin.action import action, note
from agentflow.admin.caller import ADMIN, OPERATOR, Caller
from agentflow.admin.models import Change, Held, HeldDetail, Page, Reason, Ruling
from agentflow.admin.paging import paged
from agentflow.admin.threads import in_thread
from agentflow.errors import Conflict, NotFound
from agentflow.gateway.service import Service
from agentflow.guard.pins.diff import changes, visible
from agentflow.guard.pins.offers import Event, What
from agentflow.guard.pins.store import PinStore, Row, approved, open_pins, rejected


@action(ADMIN, OPERATOR, home=True)
async def listed(service: Service, caller: Caller, limit: int = 100, cursor: str | None = None) -> Page[Held]:
    """Everything that is held, what waits for a decision first, the newest first."""
    rows = await in_thread(_rows, service)
    rows.sort(key=lambda row: (_rejected(row), -row.pin.held_since, row.server, row.key))
    return paged([_held(row) for row in rows], lambda held: held.id, limit, cursor)


@action(ADMIN, OPERATOR, home=True)
async def show(service: Service, caller: Caller, held_id: str) -> HeldDetail:
    """One held definition, and how it differs from what is in force.

    Raises:
        NotFound: nothing of that id is held.
    """
    row = _one(await in_thread(_rows, service), held_id)
    found = await in_thread(changes, row.definition, row.proposed)
    return HeldDetail(
        **_held(row).model_dump(),
        changes=[
            Change(pointer=visible(each.pointer), words=[(op, visible(text)) for op, text in each.words])
            for each in found
        ],
        before=visible(row.definition),
        after=visible(row.proposed),
    )


@action(ADMIN, home=True, event="definition_approved")
async def approve(service: Service, caller: Caller, held_id: str, ruling: Ruling) -> Held:
    """Put what is held in force.

    Raises:
        NotFound: nothing of that id is held.
        Conflict: what is held is not what the ruling is about.
    """
    return await _decided(service, caller, held_id, ruling, "approved", approved)


@action(ADMIN, home=True, event="definition_rejected")
async def reject(service: Service, caller: Caller, held_id: str, ruling: Ruling) -> Held:
    """Keep what is held out for good; a server that offers something else is asked about anew.

    Raises:
        NotFound: nothing of that id is held.
        Conflict: what is held is not what the ruling is about.
    """
    return await _decided(service, caller, held_id, ruling, "rejected", rejected)


async def _decided(
    service: Service, caller: Caller, held_id: str, ruling: Ruling, what: What, change: Callable[[Row], Row]
) -> Held:
    def decide() -> Row:
        with closing(_open(service)) as store, store.transaction():  # what is decided about is what is there now
            row = _one([row for row in store.rows() if row.pin.held], held_id)
            if not row.pin.held.hex().startswith(ruling.digest):
                raise Conflict("Something else is held by now", fix="Look at it again")
            store.write([change(row)])
            was = row.pin.pinned.hex()
            told = Event(what, row.server, row.key, row.pin.held.hex(), was, row.pin.reasons, by=caller.by)
            service.parts.log.append(told.record())
            details = {"kind": row.key.kind, "name": row.key.name, "digest": row.pin.held.hex()}
            note(service, caller, f"definition_{what}", row.server, details=details)
        return row

    row = await in_thread(decide)
    await service.look_again()
    return _held(row).model_copy(update={"state": "rejected" if what == "rejected" else "held"})


def _open(service: Service) -> PinStore:
    """What the definitions are kept in, opened anew: the gateway's own end may be in the middle of a review."""
    return open_pins(service.config.data_dir, service.config.guard.pins)


def _rows(service: Service) -> list[Row]:
    if service.config.guard.pins.mode == "off":
        return []
    with closing(_open(service)) as store:
        return [row for row in store.rows() if row.pin.held]


def _one(rows: list[Row], held_id: str) -> Row:
    found = next((row for row in rows if _id(row) == held_id), None)
    if found is None:
        raise NotFound("Nothing of that id is held", fix="It may have been decided about already")
    return found


def _id(row: Row) -> str:
    place = "\0".join((row.server, row.source, *row.key))
    return hashlib.blake2b(place.encode("utf-8", "replace"), digest_size=12).hexdigest()


def _rejected(row: Row) -> bool:
    return row.pin.rejected == row.pin.held


def _held(row: Row) -> Held:
    return Held(
        id=_id(row),
        server=row.server,
        kind=row.key.kind,
        name=visible(row.key.name),
        state="rejected" if _rejected(row) else "held",
        since=row.pin.held_since,
        digest=row.pin.held.hex(),
        pinned=row.pin.pinned.hex() or None,
        reasons=[Reason(code=reason.code, text=visible(reason.text)) for reason in row.pin.reasons],
    )
