"""Evaluation in a thread of the gateway: the same answers as in a process, and a way out when it is late."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentflow.config import PolicyConfig
from agentflow.policy.bounded import _BUILTINS
from agentflow.policy.bundle import read_bundle
from agentflow.policy.decision import ENTRYPOINT
from agentflow.policy.engine import Engine
from agentflow.policy.evaluator import CompileFailed, Evaluator, Fault, Program
from agentflow.policy.inside import RegoThread
from agentflow.policy.process import RegoProcess
from agentflow.policy.worker import Rego

HEAD = "package p\n\nimport rego.v1\n\n"
CALLS = {
    "concat": "concat(input.a, input.b)",
    "contains": "contains(input.a, input.b)",
    "count": "count(input.a)",
    "endswith": "endswith(input.a, input.b)",
    "is_array": "is_array(input.a)",
    "is_number": "is_number(input.a)",
    "is_string": "is_string(input.a)",
    "lower": "lower(input.a)",
    "object.get": "object.get(input.a, input.b, input.c)",
    "sort": "sort(input.a)",
    "split": "split(input.a, input.b)",
    "startswith": "startswith(input.a, input.b)",
    "upper": "upper(input.a)",
}
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=40)
    | st.integers(1, 900).map(lambda count: 'é\0\\"*' * count),
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=20,
)


def program(rule: str) -> Program:
    return Program({"p.rego": HEAD + rule}, {}, ("p/x",))


def said(evaluator: Evaluator, entrypoint: str, document: bytes) -> Any:
    try:
        return orjson.loads(evaluator.ask(entrypoint, document, 5))
    except Fault as fault:
        return fault.code, fault.message


def test_every_builtin_that_is_let_in_is_tried_here() -> None:
    assert CALLS.keys() == _BUILTINS


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
def test_no_value_makes_a_builtin_crash_or_answer_otherwise_than_in_a_process(call: str) -> None:
    made = program(f"x := {call}")
    with closing(RegoThread(made)) as inside, closing(RegoProcess(made)) as outside:

        @given(values, values, values)
        @settings(max_examples=60, deadline=None)
        def agree(a: Any, b: Any, c: Any) -> None:
            document = orjson_or_none({"a": a, "b": b, "c": c})
            if document is not None:
                assert said(inside, "p/x", document) == said(outside, "p/x", document)

        agree()


def orjson_or_none(value: object) -> bytes | None:
    try:
        return orjson.dumps(value)
    except TypeError:  # beyond 64 bits
        return None


RULES = {
    "literals": 'x := ["a\\u0041é\\n\\"\\\\", "", 0, -1, 1.5, -2.5e-7, 18446744073709551617, true, null]',
    "objects": 'x := {"a": {"b": [1, {"c": null}]}, "é": {}, "": []}',
    "sets": 'x := {"of": {s | some s in {"b", "a", 3, null, [1]}}, "one": {1, "1", 1.0, true}, "none": set()}',
    "comprehensions": 'x := {k: [w | some w in v; w > 1] | some k, v in {"p": [1, 2, 3], "q": []}}',
    "every": "x if { every v in input.l { v > 0 } }",
    "else": 'x := 1 if { input.a == 1 } else := 2 if { input.a == 2 } else := "three"',
    "default": 'default x := {"d": [1]}\nx := 5 if { input.a == 5 }',
    "undefined": "x := input.missing.deeper",
    "conflict": "x := 1 if { input.a }\nx := 2 if { input.b }",
    "functions": "f(a, b) := a + b if { a > 0 } else := -b\nx := [f(input.a, 2), f(-1, 3)]",
    "function of literals": 'g("a") := 1\ng("b") := 2\nx := [g(s) | some s in ["a", "b", "c"]]',
    "partial set": "x contains s if { some s in input.l }",
    "partial object": "x[k] := v if { some k, v in input.o }",
    "negation": "x if { not input.a == 1; not input.zzz }",
    "arithmetic": "x := [7 / 2, 7 % 4, 2 * -3, 1 - 0.1, 0.1 + 0.2, 10 / 5, 1 / 3]",
    "comparison": 'x := [1 < 2, "a" < "b", [1] < [2], 1 == 1.0, "1" == 1, null == false, {1, 2} == {2, 1}]',
    "set operations": "x := [{1, 2} & {2, 3}, {1} | {2}, {1, 2} - {2}]",
    "references": "x := [input.l[i] | some i; input.l[i] > 1]",
    "chosen rule": 'x := data.p.y[input.k]\ny := {"u": 1, "v": {"w": 2}}',
    "documents": 'x := {"all": data.d, "on": [data.d.n[i].v | some i; data.d.n[i].on]}',
    "unification": 'x := b if { [a, b, "z"] = ["q", input.a, "z"]; a == "q" }',
    "division by zero": "x := 1 / input.zero",
}
DOCUMENTS = (
    b"{}",
    b'{"a":1,"b":1,"l":[1,2,3],"o":{"k":1,"m":[1,2]},"k":"v","zero":0}',
    b'{"a":2,"l":["a",0,-1],"o":{"k":null},"k":"zzz","zero":0}',
    b'{"a":"t","b":false,"l":[1,1],"o":{"a":{"b":1}},"k":7}',
)


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES.keys())
def test_a_program_that_another_process_compiled_answers_as_it_does_there(rule: str) -> None:
    data = {"d": {"n": [{"v": 1, "on": True}, {"v": -2.5, "on": False}], "q": 'say "hi" \\ back', "é": {"": None}}}
    made = Program({"p.rego": HEAD + rule}, data, ("p/x",))
    with closing(RegoThread(made)) as inside, closing(RegoProcess(made)) as outside:
        for document in DOCUMENTS:
            assert said(inside, "p/x", document) == said(outside, "p/x", document)


def test_a_compiled_program_is_taken_over_and_a_damaged_one_is_not() -> None:
    regopy = pytest.importorskip("regopy")
    compiled = Rego.built(regopy, {"p.rego": HEAD + "x := input.v"}, {}, ["p/x"]).compiled(regopy)
    if not hasattr(os, "memfd_create"):
        assert not compiled
        return
    taken = Rego.loaded(regopy, compiled)
    assert taken is not None and taken.ask("p/x", b'{"v": [1]}') == (b"V", b"[1]")
    assert Rego.loaded(regopy, b"") is None
    assert Rego.loaded(regopy, b"no bundle at all") is None


@pytest.fixture(scope="module")
def both() -> Iterator[tuple[Evaluator, Evaluator]]:
    rule = {"servers": ["*a*"], "tools": ["x*"], "effect": "deny"}
    data = {"settings": {"forbidden": ["c*/d*"], "rules": {"r": rule}}}
    made = read_bundle(PolicyConfig(data=data)).policy()
    with closing(RegoThread(made)) as inside, closing(RegoProcess(made)) as outside:
        yield inside, outside


@given(st.fixed_dictionaries(dict.fromkeys(("server", "tool", "kind", "hint", "roles", "taint", "trust"), values)))
@settings(max_examples=150, deadline=None)
def test_the_default_bundle_answers_alike_in_both_places(
    both: tuple[Evaluator, Evaluator], drawn: dict[str, Any]
) -> None:
    document = orjson_or_none(
        {
            "version": "agentflow/1",
            "principal": {"roles": drawn["roles"]},
            "call": {
                **{name: drawn[name] for name in ("server", "tool", "kind")},
                "phase": "call",
                "surface": "tools/call",
                "annotations": {"readOnlyHint": drawn["hint"]},
            },
            "session": {"taint": drawn["taint"]},
            "upstream": {"trust": drawn["trust"], "kind": "http"},
        }
    )
    if document is not None:
        inside, outside = both
        assert said(inside, ENTRYPOINT, document) == said(outside, ENTRYPOINT, document)


def test_the_default_bundle_needs_no_process() -> None:
    with closing(Engine()) as engine:
        evaluator = engine._active._evaluator
        assert isinstance(evaluator, RegoThread)
        assert engine.decide({"version": "agentflow/1", "call": {"kind": "tool"}}).reasons[0][0] == "not_allowed"
        assert evaluator._process is None


@pytest.mark.parametrize(
    "value",
    ["a" * 5000, list(range(300)), [[[[[[[[[[1]]]]]]]]]] * 7],
    ids=["long", "many", "deep"],
)
def test_a_question_that_is_not_small_goes_to_a_process(value: Any) -> None:
    with closing(RegoThread(program("x := input.v"))) as evaluator:
        assert orjson.loads(evaluator.ask("p/x", b'{"v": 1}', 5)) == 1
        assert evaluator._process is None
        assert orjson.loads(evaluator.ask("p/x", orjson.dumps({"v": value}), 5)) == value
        assert evaluator._process is not None


def test_after_a_late_answer_every_question_goes_to_a_process() -> None:
    slow = "x := count([1 | some i in numbers.range(1, 1000); some j in numbers.range(1, input.n); i + j < 0])"
    with closing(RegoThread(program(slow))) as evaluator:
        with pytest.raises(Fault) as late:
            evaluator.ask("p/x", b'{"n": 1000}', 0.05)
        assert late.value.code == "policy_timeout"
        assert evaluator.ask("p/x", b'{"n": 1}', 5) == b"0"
        assert evaluator._process is not None


def test_a_program_that_does_not_compile_is_refused() -> None:
    with pytest.raises(CompileFailed):
        RegoThread(program("x := ["))
