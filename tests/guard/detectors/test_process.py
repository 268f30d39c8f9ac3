"""The heavy detectors through their real process. The detectors are written by the tests."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest

from agentflow.errors import StageFailed
from agentflow.guard.detectors.port import Spec
from agentflow.guard.detectors.process import HeavyDetectors

DETECTOR = '''
import os, sys, time
from agentflow.guard.detectors.port import Judgement

class Words:
    """Scores by a word; a few words make it misbehave."""
    def __init__(self, word="attack", score=0.9):
        self._word, self._score = word, score
    def judge(self, texts):
        print("chatter on stdout")
        for text in texts:
            if "crash" in text: os._exit(3)
            if "hang" in text: time.sleep(60)
            if "raise" in text: raise RuntimeError("cannot read: " + text)
        return [Judgement(self._score if self._word in text else 0.0, max(text.find(self._word), 0), len(text))
                for text in texts]

class Nothing:
    def judge(self, texts):
        return [Judgement(float("nan"), 0, 0) for text in texts]

class Short:
    def judge(self, texts):
        return []
'''

Make = Callable[..., HeavyDetectors]


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    (tmp_path / "detectors_of_a_test.py").write_text(DETECTOR)
    monkeypatch.setattr("agentflow.guard.detectors.process._ENVIRONMENT", {"PYTHONPATH": str(tmp_path)}, raising=True)
    made: list[HeavyDetectors] = []

    def build(*specs: Spec, timeout: float = 20.0, queue: int = 8) -> HeavyDetectors:
        found = HeavyDetectors(specs or (Spec("detectors_of_a_test:Words", {}),), timeout, queue)
        made.append(found)
        return found

    yield build
    for each in made:
        each.close()


async def test_each_text_gets_its_judgement(make: Make) -> None:
    found = await make().judge(["all fine", "an attack here"])
    assert [judgement.score for judgement in found] == [0.0, 0.9]
    assert found[1].start == 3


async def test_of_several_detectors_the_highest_counts(make: Make) -> None:
    detectors = make(
        Spec("detectors_of_a_test:Words", {"word": "attack", "score": 0.5}),
        Spec("detectors_of_a_test:Words", {"word": "here", "score": 0.7}),
    )
    assert (await detectors.judge(["an attack here"]))[0].score == 0.7


async def test_a_crash_refuses_one_message_and_the_next_is_judged(make: Make) -> None:
    detectors = make()
    with pytest.raises(StageFailed, match="crashed"):
        await detectors.judge(["crash"])
    assert (await detectors.judge(["attack"]))[0].score == 0.9


async def test_a_killed_process_is_replaced(make: Make) -> None:
    detectors = make()
    await detectors.judge(["attack"])
    assert detectors._child is not None
    os.kill(detectors._child.pid, signal.SIGKILL)
    with pytest.raises(StageFailed):
        await detectors.judge(["attack"])
    assert (await detectors.judge(["attack"]))[0].score == 0.9


async def test_a_late_answer_is_a_refusal(make: Make) -> None:
    detectors = make(timeout=20.0)
    await detectors.judge(["load it first"])
    detectors._timeout = 0.3
    with pytest.raises(StageFailed, match="did not answer within"):
        await detectors.judge(["hang"])


async def test_an_exception_is_a_refusal_that_quotes_nothing(make: Make) -> None:
    detectors = make()
    with pytest.raises(StageFailed, match="RuntimeError") as refusal:
        await detectors.judge(["raise 4111111111111111"])
    assert "4111" not in str(refusal.value)
    assert (await detectors.judge(["attack"]))[0].score == 0.9


async def test_a_missing_answer_is_a_refusal(make: Make) -> None:
    with pytest.raises(StageFailed):
        await make(Spec("detectors_of_a_test:Short", {})).judge(["attack"])


async def test_a_score_that_is_no_number_is_a_refusal(make: Make) -> None:
    detectors = make(Spec("detectors_of_a_test:Nothing", {}), Spec("detectors_of_a_test:Words", {}))
    with pytest.raises(StageFailed, match="a score that is none"):
        await detectors.judge(["attack"])


async def test_text_that_no_encoder_takes_is_judged_where_it_stands(make: Make) -> None:
    (found,) = await make().judge(["\ud83d\ude00 an \udfff attack"])
    assert (found.score, found.start) == (0.9, 8)


async def test_a_detector_that_cannot_be_loaded_refuses_with_what_to_do(make: Make) -> None:
    with pytest.raises(StageFailed, match="not installed"):
        await make(Spec("no_such_module:Detector", {})).judge(["attack"])


async def test_a_full_queue_is_a_refusal_at_once(make: Make) -> None:
    detectors = make(queue=1)
    refused = []

    async def ask() -> None:
        try:
            await detectors.judge(["attack"])
        except StageFailed as error:
            refused.append(error.message)

    async with anyio.create_task_group() as group:
        for _ in range(3):
            group.start_soon(ask)
    assert len(refused) == 2
    assert "too many" in refused[0].lower()


async def test_closed_detectors_refuse(make: Make) -> None:
    detectors = make()
    detectors.close()
    with pytest.raises(StageFailed, match="closed"):
        await detectors.judge(["attack"])


async def test_questions_whose_caller_has_left_still_count_until_they_are_answered(make: Make) -> None:
    detectors = make(timeout=20.0, queue=2)
    await detectors.judge(["load it first"])
    with detectors._lock:  # as if another question were being answered
        for _ in range(2):
            with anyio.move_on_after(0.05):
                await detectors.judge(["attack"])
        with pytest.raises(StageFailed, match="Too many"):
            await detectors.judge(["attack"])


async def test_closing_does_not_wait_for_an_answer(make: Make) -> None:
    detectors = make(timeout=60.0)
    await detectors.judge(["load it first"])
    refused = []

    async def ask() -> None:
        try:
            await detectors.judge(["hang"])
        except StageFailed as error:
            refused.append(error)

    async with anyio.create_task_group() as group:
        group.start_soon(ask)
        while detectors._waiting == 0:
            await anyio.lowlevel.checkpoint()
        await anyio.to_thread.run_sync(detectors.close)
    assert refused
