"""The engine: whatever happens to the policy, the answer is a typed decision, and never a silent yes."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agentflow.config import PolicyConfig
from agentflow.errors import ConfigError
from agentflow.pipeline.call import JSON
from agentflow.policy import engine as engine_module
from agentflow.policy.engine import Engine, check
from agentflow.policy.evaluator import Program
from agentflow.policy.process import RegoProcess

Write = Callable[..., PolicyConfig]


@pytest.fixture(params=["process", "thread"])
def place(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Where bundles are evaluated in the test, whatever their text says."""
    where: str = request.param
    monkeypatch.setattr(engine_module, "bounded", lambda modules, data: where == "thread")
    return where


@pytest.fixture
def started(place: str) -> Iterator[Callable[[PolicyConfig], Engine]]:
    engines: list[Engine] = []

    def start(config: PolicyConfig) -> Engine:
        engines.append(Engine(config))
        return engines[-1]

    yield start
    for engine in engines:
        engine.close()


Start = Callable[[PolicyConfig], Engine]
# A few seconds: nothing can end it before its time in a thread of the tests' own process.
SLOW = "count([1 | some i in numbers.range(1, 1000); some j in numbers.range(1, 1000); i + j < 0]) == 0"


@pytest.mark.parametrize(
    ("rego", "code"),
    [
        ("other := 1\ndecision := 1 if input.never", "policy_undefined"),
        ('decision := "true"', "policy_wrong_type"),
        ("decision := true", "policy_wrong_type"),
        ("decision := null", "policy_wrong_type"),
        ("decision := {}", "policy_wrong_type"),
        ('decision := {"allow": "true"}', "policy_wrong_type"),
        ('decision := {"allow": true, "obligations": {"unheard_of": 1}}', "policy_wrong_type"),
        ('decision := {"allow": to_number(input.text) > 1}', "policy_error"),
        ('decision := {"allow": true, "obligations": {"cache_ttl": 1e999}}', "policy_error"),
        ('decision := {"allow": true} if not to_number(input.text) > 1', "policy_error"),
        ('decision := {"allow": true} if input.text\ndecision := {"allow": false} if input.text', "policy_error"),
    ],
)
def test_a_policy_that_does_not_decide_denies(bundle: Write, started: Start, rego: str, code: str) -> None:
    decision = started(bundle(rego)).decide({"text": "x"})
    assert not decision.allow
    assert decision.reasons[0][0] == code
    assert decision.reasons[0][1]
    assert decision.obligations.rehydrate == ()


def test_a_slow_policy_denies_in_time_and_the_next_question_is_answered(bundle: Write, started: Start) -> None:
    rego = 'decision := {"allow": true} if not input.slow\ndecision := {"allow": true} if {\n input.slow\n '
    rego += f"{SLOW}\n}}"
    engine = started(bundle(rego, timeout=0.2))
    assert engine.decide({"slow": True}).reasons[0][0] == "policy_timeout"
    assert engine.decide({"slow": False}).allow


def test_a_backtracking_pattern_is_stopped(bundle: Write) -> None:
    engine = Engine(bundle('decision := {"allow": true} if not regex.match("(a+)+$", input.text)', timeout=0.2))
    assert engine.decide({"text": "a" * 60 + "!"}).reasons[0][0] == "policy_timeout"
    assert engine.decide({"text": "b"}).allow
    engine.close()


def _child(engine: Engine) -> subprocess.Popen[bytes]:
    evaluator = engine._active._evaluator
    assert isinstance(evaluator, RegoProcess)
    assert evaluator._process is not None
    return evaluator._process._process


@pytest.mark.parametrize("place", ["process"], indirect=True)
def test_an_engine_that_is_killed_denies_once_and_comes_back(bundle: Write, started: Start) -> None:
    engine = started(bundle('decision := {"allow": true} if input.n'))
    assert engine.decide({"n": 1}).allow
    child = _child(engine)
    child.kill()
    child.wait()
    crashed = engine.decide({"n": 2})
    assert crashed.reasons[0][0] == "policy_error"
    assert engine.decide({"n": 2}).allow, "a crash is not remembered as a decision"


@pytest.mark.usefixtures("place")
def test_a_closed_engine_denies(bundle: Write) -> None:
    engine = Engine(bundle('decision := {"allow": true} if input.n'))
    engine.close()
    engine.close()
    assert engine.decide({"n": 1}).reasons[0][0] == "policy_error"


def test_text_that_is_not_unicode_denies(bundle: Write, started: Start) -> None:
    engine = started(bundle('decision := {"allow": true} if input.n'))
    for decision in (engine.decide({"n": "\ud800"}), engine.known({"n": "\ud800"})):
        assert decision is not None
        assert decision.reasons[0][0] == "policy_error"


@pytest.mark.parametrize(
    ("value", "same"),
    [
        ("safe\0evil", "safe"),  # a C string would end here
        ("a\\u0041", "aA"),
        (2**64 + 1, 1),  # int64 would wrap
        (-(2**63) - 5, 9223372036854775803),
        (1.5, 1),
        ("1", 1),
        (True, 1),
    ],
)
def test_the_policy_sees_the_value_and_not_a_mangled_one(bundle: Write, started: Start, value: Any, same: Any) -> None:
    engine = started(bundle('decision := {"allow": true} if input.a == input.b'))
    assert not engine.decide({"a": value, "b": same}).allow
    assert engine.decide({"a": value, "b": value}).allow


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(-1e308, 1e308, allow_subnormal=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=20,
)


@given(values)
@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
def test_no_input_crashes_the_engine(hostile: Engine, value: Any) -> None:
    codes = {code for code, _ in hostile.decide({"v": value}).reasons}
    assert codes <= {"policy_undefined"}


@pytest.fixture(scope="module", params=["process", "thread"])
def hostile(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Engine]:
    folder = tmp_path_factory.mktemp("hostile")
    (folder / "p.rego").write_text(
        'package agentflow\n\nimport rego.v1\n\ndecision := {"allow": true} if input.v == input.v\n'
    )
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(engine_module, "bounded", lambda modules, data: request.param == "thread")
        engine = Engine(PolicyConfig(bundle=folder))
    yield engine
    engine.close()


@pytest.mark.parametrize("number", [1.7976931348623157e308, 1.1125369292536007e-308])
def test_a_number_too_large_or_too_small_for_the_engine_denies(hostile: Engine, number: float) -> None:
    assert hostile.decide({"v": number}).reasons[0][0] == "policy_error"


def test_deep_input_does_not_crash_the_engine(hostile: Engine) -> None:
    deep: Any = 1
    for _ in range(200):
        deep = [deep]
    assert hostile.decide({"v": deep}).allow


def test_equal_questions_are_asked_once(bundle: Write, started: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = started(bundle('decision := {"allow": true} if input.call.tool == "x"'))
    asked: list[bytes] = []
    evaluator = engine._active._evaluator
    real = evaluator.ask

    def counting(entrypoint: str, document: bytes, timeout: float) -> bytes:
        asked.append(document)
        return real(entrypoint, document, timeout)

    monkeypatch.setattr(evaluator, "ask", counting)
    question: JSON = {"call": {"tool": "x", "arguments": {"n": 1}}, "time": {"hour": 1}}
    assert engine.known(question) is None
    assert engine.decide(question).allow
    assert engine.known(question) is not None
    # What the bundle cannot read makes no difference, and is not told to it.
    assert engine.decide({"call": {"arguments": {"n": 2}, "tool": "x"}, "time": {"hour": 2}}).allow
    assert asked == [b'{"call":{"tool":"x"}}']
    assert not engine.decide({"call": {"tool": "y"}}).allow
    assert len(asked) == 2


def test_the_cache_is_bounded_and_can_be_off(bundle: Write, started: Start) -> None:
    small = started(bundle('decision := {"allow": true} if input.n >= 0', cache_size=2))
    for number in (1, 2, 1, 3):
        small.decide({"n": number})
    assert [small.known({"n": number}) is not None for number in (1, 2, 3)] == [True, False, True]
    off = started(bundle('decision := {"allow": true} if input.n >= 0', cache_size=0))
    assert off.decide({"n": 1}).allow
    assert off.known({"n": 1}) is None


@pytest.mark.usefixtures("place")
def test_a_bundle_that_does_not_compile_is_refused_with_file_and_line(bundle: Write) -> None:
    with pytest.raises(ConfigError) as caught:
        Engine(bundle('decision := {"allow": true}\n\nother := [1, 2\n'))
    assert "policy.rego:" in caught.value.message
    assert caught.value.data["problems"]


OUT_OF_BOUNDS = 'decision := {"allow": true} if regex.match("a", input.text)'
CRASHING = '{name} if {{\n data.agentflow.inner with input as {{"k": "a"}}\n}}'  # regopy 1.5.2 aborts over this
INNER = 'inner if glob.match("a", null, input.k)\n'


@pytest.mark.usefixtures("place")
def test_a_policy_over_which_the_compiler_crashes_is_refused_and_the_gateway_lives(bundle: Write) -> None:
    report = check(bundle(INNER + CRASHING.format(name='decision := {"allow": true}')))
    assert "crashed" in report.problems[0]


@pytest.mark.usefixtures("place")
def test_tests_over_which_the_compiler_crashes_are_told_from_the_policy(bundle: Write) -> None:
    report = check(bundle(INNER + 'decision := {"allow": true}', tests=CRASHING.format(name="test_a")))
    assert "in the tests" in report.problems[0]
    assert "crashed" in report.problems[0]


def test_a_bundle_whose_tests_fail_is_refused(bundle: Write) -> None:
    config = bundle(
        tests="test_good if 1 == 1\n\ntest_bad if 1 == 2\n\ntest_worse := 3\n\ntest_error if to_number(data.x) == 1",
        data={"x": "y"},
    )
    report = check(config)
    assert {run.name.rsplit("/")[-1]: run.error for run in report.tests} == {
        "test_good": "",
        "test_bad": "the policy gives no value for agentflow_test/test_bad",
        "test_worse": "it is 3, not true",
        "test_error": "the policy failed: a builtin failed, or two rules disagree",
    }
    assert len(report.problems) == 3
    with pytest.raises(ConfigError, match="test_bad"):
        Engine(config)


def test_check_reports_what_it_ran() -> None:
    report = check(PolicyConfig())
    assert report.ok
    assert len(report.tests) >= 30
    assert len(report.revision) == 64


def test_check_reports_a_bundle_that_cannot_be_read(tmp_path: Any) -> None:
    report = check(PolicyConfig(bundle=tmp_path / "nowhere"))
    assert not report.ok
    assert "nowhere" in report.problems[0]


def test_tests_see_the_bundles_own_data_and_decisions_the_merged(bundle: Write, started: Start) -> None:
    config = bundle('decision := {"allow": data.open}', tests="test_closed if data.open == false", data={"open": False})
    engine = started(config.model_copy(update={"data": {"open": True}}))
    assert engine.decide({}).allow


async def test_decide_soon_answers_in_order(bundle: Write, started: Start) -> None:
    engine = started(bundle('decision := {"allow": true} if input.n > 1'))
    decisions = await engine.decide_soon({"n": 1}, {"n": 2}, {"n": 3})
    assert [decision.allow for decision in decisions] == [False, True, True]


def test_the_policy_process_sees_no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENTFLOW_SECRET", "canary")
    evaluator = RegoProcess(Program({"p.rego": "package p\n\nx := opa.runtime().env\n"}, {}, ("p/x",)))
    assert b"canary" not in evaluator.ask("p/x", b"{}", 5)
    evaluator.close()


@pytest.mark.parametrize("place", ["process"], indirect=True)
@pytest.mark.usefixtures("place")
def test_the_policy_process_ends_with_the_engine(bundle: Write) -> None:
    engine = Engine(bundle())
    pid = _child(engine).pid
    os.kill(pid, 0)
    engine.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_the_default_bundle_decides_with_ten_thousand_entries_of_data() -> None:
    users = {f"user{number}": {"team": number % 7} for number in range(10_000)}
    engine = Engine(PolicyConfig(data={"users": users}))
    question = {
        "version": "agentflow/1",
        "principal": {"roles": ["agent"]},
        "call": {
            "kind": "tool",
            "surface": "tools/call",
            "phase": "call",
            "server": "s",
            "tool": "t",
            "annotations": {},
        },
        "session": {"taint": []},
        "upstream": {"trust": "untrusted", "kind": "http"},
    }
    assert engine.decide(question).allow
    engine.close()


def test_nothing_of_the_worker_is_left_when_the_gateway_is_killed(bundle: Write, tmp_path: Any) -> None:
    bundle(OUT_OF_BOUNDS)
    code = (
        "import sys; from pathlib import Path; from agentflow.config import PolicyConfig; "
        "from agentflow.policy.engine import Engine; e = Engine(PolicyConfig(bundle=Path(sys.argv[1]))); "
        "print(e._active._evaluator._process._process.pid, flush=True); sys.stdin.read()"
    )
    server = str(engine_module.__file__).rsplit("/agentflow/", 1)[0]
    gateway = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "bundle")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": server},
    )
    assert gateway.stdin is not None
    assert gateway.stdout is not None
    pid = int(gateway.stdout.readline())
    gateway.kill()
    gateway.wait()
    gateway.stdin.close()
    gateway.stdout.close()
    deadline = time.monotonic() + 10
    while _runs(pid) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not _runs(pid)


def _runs(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):  # it may end between open and read
        return False
