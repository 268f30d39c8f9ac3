"""The conversations of a run."""

from __future__ import annotations

import copy

import pytest

from agentflow.flow.account import Account
from agentflow.flow.memory import Memory
from agentflow.flow.transcript import Thread, Transcript
from agentflow.models.port import ChatMessage

FIRST = (ChatMessage("system", "s"), ChatMessage("user", "u"))


def test_what_was_said_cannot_be_unsaid() -> None:
    transcript = Transcript(FIRST)
    transcript.extend((*FIRST, ChatMessage("assistant", "a")))
    with pytest.raises(ValueError, match="append-only"):
        transcript.extend(FIRST)
    with pytest.raises(ValueError, match="append-only"):
        transcript.extend((ChatMessage("system", "other"), *transcript.messages[1:]))
    assert len(transcript.messages) == 3


def test_a_fork_goes_its_own_way_on_the_same_account() -> None:
    account = Account(run="r")
    thread = Thread(account)
    thread.of("planner").extend(FIRST)
    thread.of("verifier").extend(FIRST)
    fork = thread.fork("a part")
    fork.of("planner").extend((*FIRST, ChatMessage("assistant", "a")))
    assert thread.of("planner").messages == FIRST
    assert fork.of("verifier").messages == ()
    assert fork.account is account
    assert fork.mark == thread.mark
    assert "a part" in fork.advice[0]


def test_a_memory_takes_its_conversations_along_and_is_no_other_for_them() -> None:
    memory = Memory(query="q").on(Thread(Account(run="r")))
    assert memory.clone_for_next_turn().thread is memory.thread
    assert copy.deepcopy(memory).thread is memory.thread
    assert memory.fork().thread is not memory.thread
    assert memory == Memory(query="q")
    assert "thread" not in memory.model_dump_json()


def test_no_two_runs_have_one_mark() -> None:
    assert len({Thread().mark for _ in range(50)}) == 50
