"""The embedded policy engine: a question in, a typed decision out, and a denial whenever there is no answer.

It promises that undefined, wrong type, error, crash and timeout each deny with a reason code of that name, that a
decision is only ever reused for the same bundle revision and the same readable input, and that a bundle which does
not compile or whose tests fail never replaces one that works.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path

import orjson

from agentflow.config import PolicyConfig
from agentflow.errors import ConfigError
from agentflow.pipeline.call import JSON, Decision
from agentflow.policy.bounded import bounded
from agentflow.policy.bundle import Bundle, read_bundle, readable_errors, refused, test_place
from agentflow.policy.checks import World, warnings_of
from agentflow.policy.decision import ENTRYPOINT, WrongType, denied, parse
from agentflow.policy.evaluator import CompileFailed, Evaluator, Fault, Program
from agentflow.policy.inside import RegoThread
from agentflow.policy.process import RegoProcess
from agentflow.policy.projection import Path as InputPath
from agentflow.policy.projection import canonical

_TEST_TIMEOUT = 10.0  # seconds for one test of a bundle
_TESTS_TIMEOUT = 60.0  # seconds for all of them, compiling them not counted
_CACHED_FAULTS = frozenset({"policy_undefined", "policy_wrong_type"})  # what asking again cannot change


@dataclass(frozen=True, slots=True)
class TestRun:
    """One test of a bundle. `error` is "" when it passed, `place` its file and line."""

    __test__ = False  # not a test case of pytest's

    name: str
    error: str
    place: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """What a check of a bundle found. `problems` holds every reason to refuse it, `warnings` what may be a mistake."""

    path: Path
    revision: str
    tests: tuple[TestRun, ...]
    problems: tuple[str, ...]
    warnings: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        return not self.problems


def check(config: PolicyConfig, world: World | None = None) -> Report:
    """Read, compile and test a bundle without using it (`agentflow policy test`).

    Args:
        world: what its rules can be about, for the warnings.
    """
    try:
        read = read_bundle(config)
    except ConfigError as error:
        return Report(config.bundle or Path(), "", (), tuple(error.data["problems"]))
    return check_bundle(read, world)


def check_bundle(bundle: Bundle, world: World | None = None) -> Report:
    """The same for a bundle that is read."""
    evaluator, tests, problems = _compiled(bundle, RegoProcess)
    if evaluator is not None:
        evaluator.close()
    doubts = warnings_of(bundle, world or World())
    if not tests and not problems:
        doubts.append("no test is in it: nothing says what it is to do, and nothing spoke against it")
    return Report(bundle.path, bundle.revision, tests, tuple(problems), tuple(doubts))


class _Active:
    """One bundle in use, with its evaluator and its cache of decisions."""

    def __init__(self, config: PolicyConfig, bundle: Bundle | None, tested: bool) -> None:
        self.bundle = bundle or read_bundle(config)
        # What ships was tested by its makers; rego-cpp takes seconds and half a gigabyte for it.
        evaluator, _, problems = _compiled(self.bundle, _evaluator, tested=tested or self.bundle.as_shipped)
        if problems or evaluator is None:
            if evaluator is not None:
                evaluator.close()
            raise refused(self.bundle.path, problems)
        self._evaluator = evaluator
        self._timeout = config.timeout
        self._size = config.cache_size
        self._decisions: OrderedDict[bytes, Decision] = OrderedDict()
        self._lock = threading.Lock()
        self.evaluations = 0

    def key(self, document: JSON) -> bytes:
        """The readable part of the document, canonically.

        Raises:
            ValueError, TypeError: it cannot be written as UTF-8 JSON (a lone surrogate).
        """
        return canonical(self.bundle.reads(document))

    def known(self, key: bytes) -> Decision | None:
        with self._lock:
            decision = self._decisions.get(key)
            if decision is not None:
                self._decisions.move_to_end(key)
            return decision

    def evaluate(self, key: bytes) -> Decision:
        revision = self.bundle.revision
        self.evaluations += 1
        try:
            decision = parse(orjson.loads(self._evaluator.ask(ENTRYPOINT, key, self._timeout)), revision)
        except WrongType as error:
            decision = denied("policy_wrong_type", f"the policy's answer is no decision: {error}", revision)
        except Fault as fault:
            decision = denied(fault.code, fault.message, revision)
            if fault.code not in _CACHED_FAULTS:
                return decision
        if self._size:
            with self._lock:
                self._decisions[key] = decision
                if len(self._decisions) > self._size:
                    self._decisions.popitem(last=False)
        return decision

    def close(self) -> None:
        self._evaluator.close()


class Engine:
    """Decides calls by the configured bundle.

    `known` and `decide_soon` are for the event loop (the first never waits), `decide` for everything else.
    """

    def __init__(
        self, config: PolicyConfig | None = None, *, bundle: Bundle | None = None, tested: bool = False
    ) -> None:
        """Compile the bundle and, unless it is the one that ships, run its tests.

        Args:
            bundle: what to compile in place of the one that is configured.
            tested: they ran already, on this very bundle.

        Raises:
            ConfigError: the bundle is refused; `problems` says why, in the compiler's words.
        """
        self._active = _Active(config or PolicyConfig(), bundle, tested)
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="policy")

    @property
    def bundle(self) -> Bundle:
        """The bundle in use."""
        return self._active.bundle

    @property
    def revision(self) -> str:
        """The revision of the bundle in use."""
        return self._active.bundle.revision

    @property
    def epoch(self) -> int:
        """Always the same: what was decided holds as long as the revision."""
        return 0

    @property
    def evaluations(self) -> int:
        """How often the policy itself was asked: what was decided before is not."""
        return self._active.evaluations

    def reads(self, *path: str) -> bool:
        """Whether the bundle can read this part of the input document, e.g. `reads("call", "arguments")`."""
        wanted: InputPath = path
        return self._active.bundle.reads.reads(wanted)

    def known(self, document: JSON) -> Decision | None:
        """Return the decision for this input if it was taken before under this revision; never waits."""
        active = self._active
        try:
            return active.known(active.key(document))
        except (ValueError, TypeError):
            return _inexpressible(active.bundle.revision)

    def decide(self, document: JSON) -> Decision:
        """Return the decision for this input. Waits for the policy at most `timeout` seconds."""
        active = self._active
        try:
            key = active.key(document)
        except (ValueError, TypeError):
            return _inexpressible(active.bundle.revision)
        return active.known(key) or active.evaluate(key)

    async def decide_soon(self, *documents: JSON) -> list[Decision]:
        """Return the decisions for these inputs, in order, without holding up the event loop."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, lambda: [self.decide(document) for document in documents])

    def close(self) -> None:
        """Close the evaluator. Idempotent; questions asked later are denied."""
        self._active.close()
        self._thread.shutdown(wait=True)


def _inexpressible(revision: str) -> Decision:
    return denied("policy_error", "the call holds text that is not valid Unicode", revision)


def _compiled(
    bundle: Bundle, make: Callable[[Program], Evaluator], *, tested: bool = False
) -> tuple[Evaluator | None, tuple[TestRun, ...], list[str]]:
    """Compile the policy and, beside it in a process that ends with them, run its tests.

    Args:
        make: what evaluates the policy.
        tested: they ran on this very bundle, and need not run again.
    """
    trial = _beside(_untried if tested else lambda: _tried(bundle))
    try:
        evaluator = make(bundle.policy())
    except BaseException as error:
        wait([trial])
        if isinstance(error, CompileFailed):
            return None, (), readable_errors(bundle, str(error))
        raise
    try:
        tests = trial.result()
    except CompileFailed as error:
        evaluator.close()
        return None, (), [f"in the tests: {text}" for text in readable_errors(bundle, str(error))]
    return evaluator, tests, [f"{_where(run)}test {run.name} failed: {run.error}" for run in tests if run.error]


def _beside(work: Callable[[], tuple[TestRun, ...]]) -> Future[tuple[TestRun, ...]]:
    """Begin it in a thread that the end of the process does not wait for: tests may take minutes."""
    trial: Future[tuple[TestRun, ...]] = Future()

    def run() -> None:
        try:
            trial.set_result(work())
        except BaseException as error:
            trial.set_exception(error)

    threading.Thread(target=run, name="policy-tests", daemon=True).start()
    return trial


def _where(run: TestRun) -> str:
    return f"{run.place}: " if run.place else ""


def _evaluator(program: Program) -> Evaluator:
    return RegoThread(program) if bounded(program.modules, program.data) else RegoProcess(program)


def _untried() -> tuple[TestRun, ...]:
    return ()


def _tried(bundle: Bundle) -> tuple[TestRun, ...]:
    runs: list[TestRun] = []
    left = _TESTS_TIMEOUT
    for program in bundle.trials():
        evaluator = RegoProcess(program)
        try:
            for name in program.entrypoints:
                began = time.monotonic()
                error = _failure(evaluator, name, left)
                left -= time.monotonic() - began
                runs.append(TestRun(name, error, test_place(bundle, name) if error else ""))
        finally:
            evaluator.close()
    return tuple(runs)


def _failure(evaluator: Evaluator, entrypoint: str, left: float) -> str:
    """Why a test fails, "" where it passes; `left` is what there is of time, in seconds."""
    if left <= 0:
        return f"it did not run: the tests take more than {_TESTS_TIMEOUT:g} s together"
    try:
        value = evaluator.ask(entrypoint, b"{}", min(_TEST_TIMEOUT, left))
    except Fault as fault:
        return fault.message
    return "" if value == b"true" else f"it is {value.decode()[:100]}, not true"
