"""What a bundle would have done: recorded calls decided again, in processes of their own, one replay at a time."""

from __future__ import annotations

import asyncio
import os
import secrets
import tempfile
import threading
import time
import weakref
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from agentflow.admin.action import action, note
from agentflow.admin.actions.policies import bundle_of
from agentflow.admin.caller import ADMIN, OPERATOR, Caller
from agentflow.admin.governed import Outcome, Replay, ReplayWish
from agentflow.admin.threads import in_background
from agentflow.errors import AgentFlowError, Conflict, InvalidArguments, NotFound
from agentflow.gateway.service import Service
from agentflow.policy import replay as replays
from agentflow.policy.archive import pack
from agentflow.policy.bundle import Bundle

_DAY: Final = 86_400.0
_KEPT: Final = 10
_CHANGES: Final = 200  # ways of coming out otherwise that are shown, the most frequent


@dataclass
class _Jobs:
    """The replays of one gateway, oldest first."""

    known: OrderedDict[str, Replay] = field(default_factory=OrderedDict)
    task: asyncio.Task[None] | None = None


class _Over(Exception):
    """Nobody waits for the replay any more."""


_jobs: weakref.WeakKeyDictionary[Service, _Jobs] = weakref.WeakKeyDictionary()


@action(ADMIN, OPERATOR, home=True, event="policy_replayed")
async def begin(service: Service, caller: Caller, revision: str, wish: ReplayWish, patience: float = 10.0) -> Replay:
    """Decide recorded calls again by a bundle; what takes longer than `patience` seconds goes on in the background.

    Raises:
        NotFound: there is none of that revision.
        Conflict: another replay is running.
        InvalidArguments: the period ends before it begins.
    """
    until = time.time() if wish.until is None else wish.until
    since = until - _DAY if wish.since is None else wish.since
    if not since < until:
        raise InvalidArguments("The period ends before it begins")
    bundle = await bundle_of(service, revision)
    jobs = _jobs.setdefault(service, _Jobs())
    if jobs.task is not None and not jobs.task.done():
        raise Conflict("Another replay is running", fix="Wait for it")
    note(service, caller, "policy_replayed", bundle.revision)
    job = Replay(
        id=secrets.token_hex(8), state="running", revision=bundle.revision, since=since, until=until, progress=0.0
    )
    jobs.known[job.id] = job
    while len(jobs.known) > _KEPT:
        jobs.known.popitem(last=False)
    jobs.task = asyncio.create_task(_run(service, jobs, job, bundle))
    await asyncio.wait({jobs.task}, timeout=patience)
    return jobs.known[job.id]


@action(ADMIN, OPERATOR, home=True)
async def show(service: Service, caller: Caller, replay_id: str) -> Replay:
    """One of the last replays of this gateway.

    Raises:
        NotFound: there is none of that id.
    """
    found = _jobs.get(service, _Jobs()).known.get(replay_id)
    if found is None:
        raise NotFound("There is no such replay")
    return found


async def _run(service: Service, jobs: _Jobs, job: Replay, bundle: Bundle) -> None:
    loop, over = asyncio.get_running_loop(), threading.Event()
    period = replays.Period(job.since, job.until)

    def progress(done: int, whole: int) -> None:
        if over.is_set():
            raise _Over
        share = done / whole if whole else 1.0
        loop.call_soon_threadsafe(told, jobs.known[job.id].model_copy(update={"progress": share}))

    def told(replay: Replay) -> None:
        if jobs.known[job.id].state == "running":
            jobs.known[job.id] = replay

    try:
        found = await in_background(lambda: _replayed(service, bundle, period, progress))
    except (AgentFlowError, OSError) as error:
        why = error.message if isinstance(error, AgentFlowError) else type(error).__name__
        jobs.known[job.id] = job.model_copy(update={"state": "failed", "problem": why})
    except Exception as error:
        jobs.known[job.id] = job.model_copy(update={"state": "failed", "problem": type(error).__name__})
        raise
    else:
        jobs.known[job.id] = _done(job, found)
    finally:
        over.set()  # the gateway stops: its processes have no one left to decide for


def _replayed(
    service: Service, bundle: Bundle, period: replays.Period, progress: Callable[[int, int], None]
) -> replays.Outcome:
    """One process beside the gateway's own: calls keep theirs."""
    data_dir = service.config.data_dir
    with tempfile.TemporaryDirectory(prefix="replay-", dir=data_dir) as folder:
        path = Path(folder) / "bundle.tar.gz"
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(pack(bundle.texts, bundle.data, bundle.revision))
        config = service.config.policy.model_copy(
            update={"engine": "embedded", "bundle": path, "layers": (), "data": {}}
        )
        return replays.replay(config, data_dir, period, processes=1, progress=progress)


def _done(job: Replay, found: replays.Outcome) -> Replay:
    most = sorted(found.changes.items(), key=lambda item: (-item[1].count, item[0]))[:_CHANGES]
    return job.model_copy(
        update={
            "state": "done",
            "progress": 1.0,
            "records": found.records,
            "replayed": found.replayed,
            "skipped": dict(found.skipped),
            "totals": {kind: found.total(kind) for kind in replays.KINDS},
            "changes": [
                Outcome(
                    kind=change.kind,
                    server=change.server,
                    name=change.name,
                    why=change.why,
                    count=group.count,
                    examples=group.examples,
                )
                for change, group in most
            ],
        }
    )
