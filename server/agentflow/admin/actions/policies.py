"""Policies: the one in force, uploaded bundles, trying them, comparing them, and putting one in force.

`current` names the bundle in force here, `file` the one of the configuration file, wherever a revision is asked for.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import asdict
from typing import Final

from agentflow.admin.action import action, note
from agentflow.admin.caller import ADMIN, OPERATOR, Caller
from agentflow.admin.governed import (
    Bundle,
    Choice,
    Diff,
    Difference,
    Files,
    InForce,
    Report,
    TestRun,
    Uploaded,
)
from agentflow.admin.models import Page
from agentflow.admin.paging import paged
from agentflow.admin.threads import in_thread, long_of
from agentflow.errors import ConfigError, NotFound
from agentflow.gateway.service import Service
from agentflow.policy import bundle as bundles
from agentflow.policy import compare, engine, live
from agentflow.policy.live import files_of

CURRENT: Final = "current"
FILE: Final = "file"
Body = bytes | Mapping[str, str]
_APPLIED: Final = 5.0  # seconds that an answer waits for this gateway to follow a choice
_LOOK: Final = 0.05


@action(ADMIN, OPERATOR, home=True)
async def current(service: Service, caller: Caller) -> InForce:
    """The policy in force: by whose choice, and whether this gateway decides by it already."""
    return await _in_force(service)


@action(ADMIN, OPERATOR, home=True)
async def listed(service: Service, caller: Caller, limit: int = 100, cursor: str | None = None) -> Page[Bundle]:
    """The uploaded bundles, newest first."""
    found = await in_thread(service.bundles.list)
    return paged([Bundle(**asdict(kept)) for kept in found], lambda bundle: bundle.revision, limit, cursor)


@action(ADMIN, OPERATOR, home=True)
async def history(service: Service, caller: Caller, limit: int = 50) -> list[Choice]:
    """What was put in force, newest first."""
    return [_choice(each) for each in await in_thread(service.bundles.history, limit)]


@action(ADMIN, OPERATOR, home=True)
async def files(service: Service, caller: Caller, revision: str) -> Files:
    """The files of a bundle.

    Raises:
        NotFound: there is none of that revision.
    """
    found = await _bundle(service, revision)
    return Files(revision=found.revision, files=files_of(found))


@action(ADMIN, OPERATOR, home=True)
async def archive(service: Service, caller: Caller, revision: str) -> bytes:
    """A bundle as `bundle.tar.gz`, which OPA loads, too.

    Raises:
        NotFound: there is none of that revision.
    """
    from agentflow.policy.archive import pack

    found = await _bundle(service, revision)
    return await in_thread(pack, found.texts, found.data, found.revision)


@action(ADMIN, OPERATOR, home=True)
async def test(service: Service, caller: Caller, body: Body) -> Report:
    """Compile and test a bundle, and keep nothing."""
    return _report(await long_of(service).done(lambda: service.bundles.check(body, service.world())))


@action(ADMIN, OPERATOR, home=True)
async def test_again(service: Service, caller: Caller, revision: str) -> Report:
    """Compile and test a bundle that is here.

    Raises:
        NotFound: there is none of that revision.
    """
    found = await _bundle(service, revision)
    return _report(await long_of(service).done(lambda: service.bundles.tried(found, service.world())))


@action(ADMIN, home=True, event="policy_uploaded")
async def upload(service: Service, caller: Caller, body: Body, remark: str = "") -> Uploaded:
    """Keep a bundle that compiles and whose tests pass; it decides nothing until it is activated.

    Raises:
        ConfigError: it is refused; `problems` has every reason.
        StoreUnavailable: it could not be kept.
    """
    kept = service.bundles.upload
    found = await long_of(service).done(lambda: kept(body, caller.by, remark, service.world()))
    note(service, caller, "policy_uploaded", found.revision, details={"tests": len(found.tests), "new": found.new})
    return Uploaded(
        revision=found.revision,
        new=found.new,
        tests=[TestRun(**asdict(each)) for each in found.tests],
        warnings=list(found.warnings),
    )


@action(ADMIN, OPERATOR, home=True)
async def diff(service: Service, caller: Caller, revision: str, against: str = CURRENT) -> Diff:
    """How a bundle differs from another: what it has otherwise than `against`.

    Raises:
        NotFound: there is none of one of these revisions.
    """
    before, after = await _bundle(service, against), await _bundle(service, revision)
    found = await in_thread(compare.differences, before, after)
    told = [
        Difference(what=d.what, kind=d.kind, name=d.name, before=d.before, after=d.after, lines=d.lines())
        for d in found
    ]
    return Diff(before=before.revision, after=after.revision, differences=told)


@action(ADMIN, home=True, event="policy_activated")
async def activate(service: Service, caller: Caller, revision: str, expected: int | None = None) -> InForce:
    """Put an uploaded bundle in force, at every gateway that shares the store.

    Args:
        expected: number of the choice that is to be replaced; another one in force is a conflict.

    Raises:
        NotFound: there is none of that revision.
        Conflict: something else has been put in force in between.
        ConfigError: OPA decides, not the gateway.
        StoreUnavailable: nothing has changed.
    """
    await _bundle(service, revision)
    choice = await in_thread(lambda: service.bundles.activate(revision, caller.by, expected=expected))
    return await _chosen(service, caller, "policy_activated", choice)


@action(ADMIN, home=True, event="policy_rolled_back")
async def roll_back(service: Service, caller: Caller, to_file: bool = False, expected: int | None = None) -> InForce:
    """Put in force what was before, or what the configuration file names.

    Args:
        expected: as in `activate`.

    Raises:
        ConfigError: there is nothing before it.
        Conflict: something else has been put in force in between.
        StoreUnavailable: nothing has changed.
    """
    back = service.bundles.roll_back
    choice = await in_thread(lambda: back(caller.by, to_file=to_file, expected=expected))
    return await _chosen(service, caller, "policy_rolled_back", choice)


async def bundle_of(service: Service, revision: str) -> bundles.Bundle:
    """A bundle by its revision, `current` or `file`.

    Raises:
        NotFound: there is none.
    """
    return await _bundle(service, revision)


async def _bundle(service: Service, revision: str) -> bundles.Bundle:
    if revision == CURRENT:
        return service.parts.engine.bundle
    if revision == FILE:
        return await in_thread(bundles.read_bundle, service.config.policy)
    if not service.store.begun:
        raise NotFound("There is no bundle of that revision", fix="GET /api/v1/policies lists them")
    try:
        return await in_thread(service.bundles.bundle, revision)
    except ConfigError as error:
        raise NotFound("There is no bundle of that revision", fix="GET /api/v1/policies lists them") from error


async def _chosen(service: Service, caller: Caller, event: str, choice: live.Choice) -> InForce:
    note(service, caller, event, choice.revision or FILE, details={"before": choice.before or FILE})
    service.choices.look_now()
    end = time.monotonic() + _APPLIED
    found = await _in_force(service)
    while not found.applied and found.problem is None and time.monotonic() < end:
        await asyncio.sleep(_LOOK)
        found = await _in_force(service)
    return found


async def _in_force(service: Service) -> InForce:
    here = service.parts.engine.revision
    if service.config.policy.engine == "opa":
        return InForce(revision=here, origin="opa", choice=0, since=None, by="", applied=True)
    newest = await in_thread(service.bundles.newest)
    refusal = service.choices.refusal
    if newest is not None and not newest.ours:
        stands = service.choices.choice
        return InForce(
            revision=here,
            origin="uploaded" if stands is not None and stands.revision else "file",
            choice=newest.number,
            since=stands.time if stands is not None else None,
            by=service.choices.by,
            applied=True,
            problem=live.altered(newest).message,
        )
    chosen = newest.revision if newest is not None else live.FILE
    revision = chosen or await in_thread(_of_file, service, here)
    return InForce(
        revision=revision,
        origin="uploaded" if chosen else "file",
        choice=newest.number if newest is not None else 0,
        since=newest.time if newest is not None else None,
        by=newest.by if newest is not None else "",
        applied=here == revision,
        problem=refusal[1].message if refusal is not None and refusal[0] == chosen else None,
    )


def _of_file(service: Service, here: str) -> str:
    """The revision of the configuration file's bundle; the one in force where that cannot be read now."""
    try:
        return bundles.read_bundle(service.config.policy).revision
    except ConfigError:
        return here


def _choice(each: live.Choice) -> Choice:
    return Choice(
        number=each.number,
        revision=each.revision or FILE,
        time=each.time,
        by=each.by,
        before=each.before or FILE,
        back_to=each.back_to,
        altered=not each.ours,
    )


def _report(found: engine.Report) -> Report:
    return Report(
        ok=found.ok,
        revision=found.revision,
        tests=[TestRun(**asdict(each)) for each in found.tests],
        problems=list(found.problems),
        warnings=list(found.warnings),
    )
