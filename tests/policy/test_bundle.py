"""A bundle on disk: named by its content, refused with a reason."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from agentflow.config import PolicyConfig
from agentflow.errors import ConfigError
from agentflow.paths import shipped
from agentflow.policy.bundle import read_bundle

Write = Callable[..., PolicyConfig]


def copy_of_default(tmp_path: Path) -> Path:
    return Path(shutil.copytree(shipped("policies"), tmp_path / "copy"))


def test_the_revision_names_the_exact_content(bundle: Write) -> None:
    first = read_bundle(bundle(data={"a": 1}))
    again = read_bundle(bundle(data={"a": 1}))
    assert first.revision == again.revision
    assert len(first.revision) == 64
    others = [
        read_bundle(bundle(data={"a": 2})),
        read_bundle(bundle("decision := {}", data={"a": 1})),
        read_bundle(bundle(data={"a": 1}, tests="test_a if true")),
        read_bundle(bundle(data={"a": 1}).model_copy(update={"data": {"b": 1}})),
    ]
    assert len({first.revision, *(other.revision for other in others)}) == 5


def test_configured_data_is_merged_over_the_bundles_own(bundle: Write) -> None:
    read = read_bundle(
        bundle(data={"s": {"a": 1, "b": [1], "c": {"d": 1}}}).model_copy(
            update={"data": {"s": {"b": [2], "c": {"e": 2}}}}
        )
    )
    assert read.data == {"s": {"a": 1, "b": [2], "c": {"d": 1, "e": 2}}}
    assert read.own_data == {"s": {"a": 1, "b": [1], "c": {"d": 1}}}


def test_data_in_a_folder_is_found_under_its_name(bundle: Write, tmp_path: Path) -> None:
    config = bundle(data={"a": 1})
    (tmp_path / "bundle" / "teams" / "eu").mkdir(parents=True)
    (tmp_path / "bundle" / "teams" / "eu" / "data.json").write_text('{"x": 1}')
    assert read_bundle(config).data == {"a": 1, "teams": {"eu": {"x": 1}}}


@pytest.mark.parametrize(
    ("rego", "reason"),
    [
        ('x := http.send({"url": "http://h"})', "network"),
        ('x := http["send"]({})', "network"),
        ('x if net.cidr_contains("10.0.0.0/8", input.ip)', "network"),
        ("x := opa.runtime().env", "environment"),
        ('x := opa["runtime"]()', "environment"),
        ("x := time.now_ns()", "equal input"),
        ('x := rand.intn("a", 3)', "equal input"),
        ('x := uuid.rfc4122("a")', "equal input"),
    ],
)
def test_builtins_that_reach_outside_the_decision_are_refused(bundle: Write, rego: str, reason: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_bundle(bundle(rego))
    assert reason in caught.value.message
    assert "line 5" in caught.value.message


@pytest.mark.parametrize(
    "rego", ["x := input.http.send", "x := data.net.a", "# opa.runtime() is not for policies", "x := my_net.a"]
)
def test_names_that_only_look_like_them_are_not(bundle: Write, rego: str) -> None:
    read_bundle(bundle(rego))


def test_every_problem_is_reported_at_once(bundle: Write, tmp_path: Path) -> None:
    config = bundle("x := opa.runtime()\ny := http.send({})")
    (tmp_path / "bundle" / "data.json").write_text("[1]")
    with pytest.raises(ConfigError) as caught:
        read_bundle(config)
    assert len(caught.value.data["problems"]) == 3
    assert "and 2 more" in caught.value.message
    assert caught.value.fix


@pytest.mark.parametrize("make", [lambda path: None, lambda path: path.mkdir()])
def test_a_folder_without_policy_is_refused(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "b")
    with pytest.raises(ConfigError):
        read_bundle(PolicyConfig(bundle=tmp_path / "b"))


def test_the_default_bundle_reads_neither_arguments_nor_time() -> None:
    read = read_bundle(PolicyConfig())
    assert read.selectors is not None
    assert not read.reads.reads(("call", "arguments"))
    assert not read.reads.reads(("time",))
    assert not read.reads.reads(("session", "counts"))
    assert not read.reads.reads(("principal", "id"))


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"rules": {"r": {"severs": ["x"]}}}, "settings.rules.r.severs"),
        ({"rules": {"r": {"effect": "block"}}}, "settings.rules.r.effect"),
        ({"rules": {"r": {"tools": []}}}, "settings.rules.r.tools"),
        ({"rules": {"r": {"rate_class": "slow"}}}, "'slow' is not among settings.rate_classes"),
        ({"roles": {"agent": {"rate_class": "slow"}}}, "'slow' is not among settings.rate_classes"),
        ({"rules": {"r": {"model_tier": "huge"}}}, "settings.rules.r.model_tier"),
        ({"rules": {"r": {"log_level": "loud"}}}, "settings.rules.r.log_level"),
        ({"rules": {"r": {"mask": ["email"]}}}, "settings.rules.r.mask"),
        ({"rules": {"r": {"effect": "approve", "approvers": {"who": []}}}}, "settings.rules.r.approvers.who"),
        ({"rules": {"r": {"effect": "approve", "approvers": {"who": ["bob"]}}}}, "settings.rules.r.approvers.who"),
        ({"rules": {"r": {"effect": "deny", "approvers": {"who": ["role:a"]}}}}, "approvers count only where"),
        ({"rules": {"r": {"tools": ["a?"]}}}, "settings.rules.r.tools.0"),
        ({"rules": {"r": {"effect": "deny", "roles": ["agnet"]}}}, "no role 'agnet'"),
        ({"rules": {"r": {"effect": None}}}, "null is no value"),
        ({"forbidden": ["drop_table"]}, "settings.forbidden.0"),
        ({"toxic_flow": "maybe"}, "settings.toxic_flow"),
        ({"roles": {"agent": {"tools": "some"}}}, "settings.roles.agent.tools"),
        ({"defualt": "deny"}, "settings.defualt"),
        ({"approval_ttl": 0}, "settings.approval_ttl"),
    ],
)
def test_a_mistake_in_the_settings_is_named(change: dict[str, object], named: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_bundle(PolicyConfig(data={"settings": change}))
    assert named in caught.value.message


def test_a_bundle_that_reads_names_elsewhere_is_not_grouped(tmp_path: Path) -> None:
    folder = copy_of_default(tmp_path)
    assert read_bundle(PolicyConfig(bundle=folder)).selectors is not None
    own = folder / "agentflow" / "own.rego"
    own.write_text('package agentflow\n\nobjections contains "x" if startswith(input.call.tool, "x")\n')
    assert read_bundle(PolicyConfig(bundle=folder)).selectors is None
    own.write_text('package agentflow\n\nobjections contains "x" if object.get(input, "call", {}).tool == "x"\n')
    assert read_bundle(PolicyConfig(bundle=folder)).selectors is None
    own.write_text("package agentflow\n\nx := input.call.arguments\n")
    assert read_bundle(PolicyConfig(bundle=folder)).selectors is not None
    match = folder / "agentflow" / "match.rego"
    match.write_text(match.read_text() + "\ny := 1\n")
    assert read_bundle(PolicyConfig(bundle=folder)).selectors is None


def test_only_the_very_bundle_that_ships_need_not_be_tested_at_a_start(tmp_path: Path) -> None:
    default = read_bundle(PolicyConfig(data={"settings": {"default": "deny"}}))
    assert default.as_shipped  # its tests do not see what an installation lays over it
    assert len(default.trials()) == 3
    folder = copy_of_default(tmp_path)
    assert read_bundle(PolicyConfig(bundle=folder)).as_shipped
    data = folder / "data.json"
    data.write_text(data.read_text().replace('"approval_ttl": 300', '"approval_ttl": 301'))
    changed = read_bundle(PolicyConfig(bundle=folder))
    assert not changed.as_shipped
    assert len(changed.trials()) == 3
    assert not read_bundle(PolicyConfig(layers=(Path("library/office-hours"),))).as_shipped


def test_a_module_that_needs_other_data_is_left_out_of_the_policy_and_kept_in_the_bundle(bundle: Write) -> None:
    rego = "# needs data.s.*.when\ndecision := {}"
    without = read_bundle(bundle(rego + "\n").model_copy(update={"data": {"s": {"a": {}}}}))
    assert (list(without.modules), list(without.spare)) == ([], ["agentflow/policy.rego"])
    assert list(without.texts) == ["agentflow/policy.rego"]
    having = read_bundle(bundle(rego).model_copy(update={"data": {"s": {"a": {"when": []}}}}))
    assert list(having.modules) == ["agentflow/policy.rego"]


@pytest.mark.parametrize(
    "settings",
    [
        5,
        [],
        {"rules": 5},
        {"rules": None},
        {"rules": []},
        {"forbidden": 5},
        {"rules": {"a": {"servers": 5}}},
        {"rules": {"a": None}},
        {"rules": {5: {"effect": "deny"}}},
        {"approval_ttl": 2**80},
    ],
)
def test_no_value_of_the_settings_is_more_than_a_named_problem(settings: object) -> None:
    with pytest.raises(ConfigError) as caught:
        read_bundle(PolicyConfig.model_validate({"data": {"settings": settings}}))
    assert all("policy.data" in problem for problem in caught.value.data["problems"])


@pytest.mark.parametrize(
    "rego",
    [
        "# a\x0cb\nx := http.send({})",
        "# a\u2028# b\n# c\nx := http.send({})",
        "x := http.send({}) # \u2028#",
        "y := `\n# ` if http.send({})",
        "# http.\nhttp.send({})",
        'x := http["\\u0073end"]({})',
        "# a\rx := http.send({})",
    ],
)
def test_no_line_break_string_or_comment_hides_a_builtin(bundle: Write, rego: str) -> None:
    with pytest.raises(ConfigError, match="is refused"):
        read_bundle(bundle(rego))


def test_tests_may_not_reach_outside_either(bundle: Write) -> None:
    with pytest.raises(ConfigError, match=r"policy_test\.rego: line 5: http\.send is not allowed"):
        read_bundle(bundle(tests="test_a if http.send({})"))
