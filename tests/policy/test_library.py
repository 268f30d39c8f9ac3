"""The policy library: every example does what its cases say, on the embedded engine and on a second one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from policy.opa_server import Opa, one_module
from policy.recorded_calls import question

from agentflow.audit.asked import told
from agentflow.config import PolicyConfig
from agentflow.paths import shipped
from agentflow.pipeline.call import JSON, Decision
from agentflow.policy.bundle import read_bundle
from agentflow.policy.checks import World, warnings_of
from agentflow.policy.decision import parse
from agentflow.policy.engine import Engine

LIBRARY = shipped("policies") / "library"
NAMES = sorted(path.name for path in LIBRARY.iterdir() if path.is_dir())
FLOW = {"sink": "http", "destinations": [], "provenance": [], "carries": [], "incomplete": False, "swayed": []}


def document_of(case: JSON) -> JSON:
    made: JSON = question()
    for member in ("principal", "call", "session", "upstream", "time"):
        made[member] = {**made[member], **case.get(member, {})}
    if "flow" in case:
        made["call"]["flow"] = {**FLOW, **case["flow"]}
    return made


def came_out(decision: Decision) -> str:
    return "denied" if not decision.allow else "asks" if decision.obligations.approval else "allowed"


def layered(name: str) -> PolicyConfig:
    return PolicyConfig(layers=(Path("library") / name,))


@pytest.fixture(scope="module", params=NAMES)
def example(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    config = layered(request.param)
    bundle = read_bundle(config)
    other = Opa(tmp_path_factory.mktemp("regorus"))
    other.write(one_module({**bundle.modules, **bundle.spare}), bundle.data, "")
    with closing(Engine(config, tested=True)) as engine:
        yield json.loads((LIBRARY / request.param / "cases.json").read_text()), engine, other


def test_every_case_comes_out_as_it_says_on_both_engines(example: Any) -> None:
    cases, engine, other = example
    assert len(cases) >= 3
    for case in cases:
        document = document_of(case)
        decision = engine.decide(document)
        assert came_out(decision) == case["expect"], (case["case"], decision)
        owed = told(decision).get("obligations", {})
        for name, value in case.get("owes", {}).items():
            assert owed.get(name) == value, case["case"]
        assert {*case.get("codes", ())} <= {code for code, _ in decision.reasons}, case["case"]
        assert parse(other.value("agentflow/decision", document), engine.revision) == decision, case["case"]


def test_there_are_twelve_and_each_says_what_it_is_for() -> None:
    assert len(NAMES) == 12
    for name in NAMES:
        title, _, text = (LIBRARY / name / "README.md").read_text().partition("\n\n")
        assert title == f"# {name}"
        assert len(text) > 40
        assert warnings_of(read_bundle(layered(name)), World()) == []


def test_examples_are_no_part_of_the_bundle_that_ships() -> None:
    bundle = read_bundle(PolicyConfig())
    assert not any("library" in name for name in bundle.texts)
    assert bundle.data.keys() == {"settings"}


def test_layers_can_be_combined() -> None:
    both = PolicyConfig(layers=(Path("library/read-only-agent"), Path("library/tenant-isolation")))
    with closing(Engine(both, tested=True)) as engine:
        assert not engine.decide(question()).allow
        document = question("operator", "acme-crm")
        assert {code for code, _ in engine.decide(document).reasons} == {"other_tenant"}


def test_a_bundle_without_conditions_looks_at_neither_arguments_nor_time() -> None:
    assert not read_bundle(PolicyConfig()).reads.reads(("call", "arguments"))
    with_conditions = read_bundle(layered("amount-limits"))
    assert with_conditions.reads.reads(("call", "arguments"))
    assert not with_conditions.reads.reads(("time",))
    assert with_conditions.selectors is not None
    assert read_bundle(layered("office-hours")).reads.reads(("time",))


def test_a_layer_that_is_not_there_is_named() -> None:
    from agentflow.errors import ConfigError

    with pytest.raises(ConfigError, match="neither a folder nor an archive"):
        read_bundle(PolicyConfig(layers=(Path("library/nothing"),)))
