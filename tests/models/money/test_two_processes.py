"""Two processes on one database: together they spend what there is, and what one of them leaves behind comes back."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from agentflow.models.money.entries import Reservation
from agentflow.store.tables import RESERVATION_HOLDERS
from tests.models.money.conftest import ADA, CENT, Till, eventually, refused, used

SPENDER = Path(__file__).with_name("spender.py")


class Spender:
    """A process of its own; see `spender.py`."""

    def __init__(self, till: Till, count: int, nano: int) -> None:
        words = [sys.executable, str(SPENDER), str(till.folder), str(count), str(nano), till.url or ""]
        env = {"PYTHONPATH": ":".join(sys.path), "PATH": "/usr/bin"}
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(words, stdin=pipe, stdout=pipe, text=True, env=env)

    def ready(self) -> None:
        assert self._line() == "ready"

    def tell(self, word: str) -> None:
        assert self.process.stdin
        self.process.stdin.write(word + "\n")
        self.process.stdin.flush()

    def said(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self._line())
        return found

    def end(self) -> None:
        self.tell("end")
        assert self.process.wait(60) == 0

    def _line(self) -> str:
        assert self.process.stdout
        return self.process.stdout.readline().strip()


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as found:
        yield found


def spenders(till: Till, stack: ExitStack, count: int, nano: int, many: int = 2) -> list[Spender]:
    found = [Spender(till, count, nano) for _ in range(many)]
    for each in found:
        stack.callback(each.process.wait)
        stack.callback(each.process.kill)
        stack.callback(lambda each=each: [pipe.close() for pipe in (each.process.stdin, each.process.stdout) if pipe])
    for each in found:
        each.ready()
    return found


async def test_two_hundred_calls_of_two_processes_at_once_spend_no_cent_too_much(till: Till, stack: ExitStack) -> None:
    till.budget(None, nano=73 * CENT, name="tenant")
    till.budget(None, nano=90 * CENT, name="project", scope="project", subject="apollo", period="monthly")
    each = spenders(till, stack, 100, CENT)
    for one in each:
        one.tell("go")
    told = await asyncio.gather(*(asyncio.to_thread(one.said) for one in each))
    spent = sum(one["spent"] for one in told)
    assert [one["others"] for one in told] == [[], []]
    assert 72 * CENT < spent <= 73 * CENT and spent == sum(row["nano"] for row in till.used)
    states = {state.budget.name: state for state in till.budgets.states(till.budgets.all())}
    assert states["tenant"].spent == states["project"].spent == spent
    assert 73 <= sum(one["let"] for one in told) == len(till.used)
    for one in each:
        one.end()
    till.quiet()


async def test_what_a_killed_process_held_is_given_back_and_known(till: Till, stack: ExitStack) -> None:
    till.budget(None, nano=10 * CENT)
    (spender,) = spenders(till, stack, 12, CENT, many=1)
    spender.tell("hold")
    told = await asyncio.to_thread(spender.said)
    assert told["let"] == 10 and till.reserved == 10 * CENT
    ledger = till.open(clock=None, beat=0.2, lease=1.5)
    assert await refused(ledger.reserve(ADA, CENT, 30))
    spender.process.kill()
    await eventually(lambda: till.reserved == 0, "what the dead process held")
    till.quiet()
    assert [row["outcome"] for row in till.used] == ["abandoned"] * 10
    assert isinstance(await ledger.reserve(ADA, 10 * CENT, 30), Reservation)


async def test_what_a_living_process_holds_is_nobody_elses_however_long_it_takes(till: Till) -> None:
    till.budget(10)
    one, two = till.open(beat=0.2, lease=2.0), till.open(beat=0.2, lease=2.0)
    made = await one.reserve(ADA, 9 * CENT, 30)
    await two.release(await two.reserve(ADA, CENT, 30), "tried")
    till.clock.now += 3600.0
    await eventually(
        lambda: max(row["beat"] for row in till.rows(RESERVATION_HOLDERS)) > 12, "beats for longer than that"
    )
    assert await refused(two.reserve(ADA, 2 * CENT, 30))
    await one.settle(made, used(9 * CENT))
    assert till.spent == 9 * CENT


async def test_who_was_taken_for_dead_and_settles_after_all_is_counted_once(till: Till) -> None:
    till.budget(10)
    one, two = till.open(beat=60.0), till.open(beat=0.1, lease=0.3)
    made = await one.reserve(ADA, 4 * CENT, 30)
    await two.reserve(ADA, CENT, 30)
    await eventually(lambda: any(row["outcome"] == "abandoned" for row in till.used), "the silent one to be given up")
    await one.settle(made, used(3 * CENT))
    await one.settle(made, used(3 * CENT))
    assert till.spent == 3 * CENT and till.reserved == CENT
    assert [(row["outcome"], row["nano"]) for row in till.used] == [("ok", 3 * CENT)]
