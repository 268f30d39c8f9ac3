"""The audit log: search, one record, export, and whether it is as it was written."""

from __future__ import annotations

import asyncio
import base64
import binascii
import math
import time
import weakref
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import orjson

from agentflow.admin.action import action, note
from agentflow.admin.caller import ADMIN, OPERATOR, Caller
from agentflow.admin.models import Page, Record, Verification
from agentflow.admin.threads import in_background, in_thread
from agentflow.audit import export as forms
from agentflow.audit import index, query, signing
from agentflow.audit.export import Format
from agentflow.audit.query import Filter
from agentflow.audit.read import Entry
from agentflow.config import Config
from agentflow.errors import AgentFlowError, InvalidArguments, NotFound
from agentflow.gateway.service import Service

_Place = tuple[float, str, int]  # by which records are ordered


@action(ADMIN, OPERATOR)
async def search(
    service: Service, caller: Caller, wanted: Filter, limit: int = 50, cursor: str | None = None
) -> Page[Record]:
    """The newest records that fit and that the caller may see, newest first.

    Raises:
        InvalidArguments: the cursor is none of ours.
    """
    wanted = replace(wanted, tenants=caller.tenants)
    before = None if cursor is None else _place(cursor)
    found = await in_thread(_found, service.config, wanted, limit, before)
    following = _cursor(query.order(found[limit - 1])) if len(found) > limit else None
    return Page(items=[_record(entry) for entry in found[:limit]], next=following)


@action(ADMIN, OPERATOR)
async def record(service: Service, caller: Caller, record_id: str) -> Record:
    """One record.

    Raises:
        NotFound: there is none of that id, or it is not for this caller.
    """
    wanted = Filter(id=record_id, tenants=caller.tenants)
    found = await in_thread(_found, service.config, wanted, 1, None)
    if not found:
        raise NotFound("There is no such record")
    return _record(found[0])


@action(ADMIN, event="audit_exported")
async def export(service: Service, caller: Caller, wanted: Filter, form: Format) -> Iterator[str]:
    """Every record that fits and that the caller may see, a line each, in the order written; read it in a thread."""
    note(service, caller, "audit_exported", details={"format": form})
    found = query.scan(service.config.data_dir, replace(wanted, tenants=caller.tenants))
    return (forms.line(entry, form) for entry in found)


def _found(config: Config, wanted: Filter, limit: int, before: _Place | None) -> list[Entry]:
    """The newest `limit` and one more, newest first."""
    store = index.open_index(config.data_dir, config.audit) if config.audit.index else None
    try:
        if before is None:
            return index.search(config.data_dir, wanted, limit + 1, store)[::-1]
        upto = math.nextafter(before[0], math.inf)
        wanted = replace(wanted, until=upto if wanted.until is None else min(upto, wanted.until))
        count = limit + 8  # what came at the very time of the last one shown is looked at again
        while True:
            found = index.search(config.data_dir, wanted, count, store)[::-1]
            rest = [entry for entry in found if query.order(entry) < before]
            if len(rest) > limit or len(found) < count:
                return rest[: limit + 1]
            count *= 2
    finally:
        if store is not None:
            store.close()


def _record(entry: Entry) -> Record:
    return Record(chain=entry.chain, seq=entry.seq, record=entry.record)


def _cursor(place: _Place) -> str:
    return base64.urlsafe_b64encode(orjson.dumps(place)).decode().rstrip("=")


def _place(cursor: str) -> _Place:
    try:
        moment, chain, seq = orjson.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        return float(moment), str(chain), int(seq)
    except (binascii.Error, ValueError, TypeError):
        raise InvalidArguments("The cursor is not one this gateway gave out", fix="Search again without it") from None


# Verification -----------------------------------------------------------------------------------------------


@dataclass
class _Checking:
    """What is known of one gateway's log, and the look at it that is under way."""

    last: Verification = field(default_factory=lambda: Verification(state="never"))
    task: asyncio.Task[None] | None = None


_checking: weakref.WeakKeyDictionary[Service, _Checking] = weakref.WeakKeyDictionary()


def state(service: Service) -> Verification:
    """The last verification, or that one is running."""
    checking = _checking.get(service)
    if checking is None:
        return Verification(state="never")
    running = checking.task is not None and not checking.task.done()
    return checking.last.model_copy(update={"state": "running"}) if running else checking.last


@action(ADMIN, OPERATOR, home=True)
async def verification(service: Service, caller: Caller) -> Verification:
    """Say what the last verification found."""
    return state(service)


@action(ADMIN, OPERATOR, home=True, event="audit_verified")
async def verify(service: Service, caller: Caller, patience: float = 10.0) -> Verification:
    """Verify the whole log, once at a time; what takes longer than `patience` seconds goes on in the background."""
    checking = _checking.setdefault(service, _Checking())
    if checking.task is None or checking.task.done():
        note(service, caller, "audit_verified")
        checking.task = asyncio.create_task(_verify(service, checking))
    await asyncio.wait({checking.task}, timeout=patience)
    return state(service)


async def _verify(service: Service, checking: _Checking) -> None:
    try:
        checking.last = await in_background(lambda: _verified(service.config))
    except (AgentFlowError, OSError) as error:
        why = error.message if isinstance(error, AgentFlowError) else type(error).__name__
        checking.last = Verification(state="failed", at=time.time(), notes=[why])


def _verified(config: Config) -> Verification:
    from agentflow.audit.verify import verify as verified

    found = verified(config.data_dir, signing.trusted(config.data_dir, config.audit))
    bad = found.bad
    place = "" if bad is None else "/".join(part for part in (bad.chain, bad.segment) if part)
    return Verification(
        state="ok" if found.ok else "damaged",
        at=time.time(),
        records=found.records,
        chains=found.chains,
        signed=found.signed,
        damage=None
        if bad is None
        else f"{place}: {bad.damage} at record {bad.seq}: {_without_paths(config, bad.detail)}",
        notes=list(found.notes),
    )


def _without_paths(config: Config, text: str) -> str:
    return text.replace(str(config.data_dir), "the data directory")
