"""Doubts about a bundle that compiles: said where they are sure, and nowhere else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from agentflow.config import Config, PolicyConfig
from agentflow.policy.bundle import read_bundle
from agentflow.policy.checks import World, warnings_of, world_of

WORLD = World(
    servers={"crm", "web", "late"},
    roles={"agent", "admin"},
    tools={
        "crm": {"find": {"properties": {"name": {"type": "string"}}, "additionalProperties": False}, "drop_all": {}},
        "web": {"fetch": {"properties": {"url": {}}}},
    },
)


def said(settings: dict[str, Any], world: World = WORLD) -> list[str]:
    return warnings_of(read_bundle(PolicyConfig(data={"settings": settings})), world)


def of_rule(**rule: Any) -> list[str]:
    return [text.removeprefix("settings.rules.r: ") for text in said({"rules": {"r": rule}})]


@pytest.mark.parametrize(
    ("rule", "doubt"),
    [
        ({"servers": ["erp"], "effect": "deny"}, "there is no server 'erp'"),
        ({"servers": ["e*"], "effect": "deny"}, "there is no server 'e*'"),
        ({"servers": ["crm"], "tools": ["fnd"], "effect": "deny"}, "no tool of crm is called 'fnd'"),
        ({"roles": ["viewer"], "effect": "deny"}, "no caller has the role 'viewer'"),
        ({"roles": ["agent"], "except_roles": ["agent"], "effect": "deny"}, "it concerns nobody"),
        ({"servers": ["crm"]}, "it has no effect"),
        ({"servers": ["crm"], "effect": "allow"}, "which `default` already says"),
        ({"servers": ["crm"], "effect": "deny", "ttl": 5}, "ttl counts only"),
    ],
)
def test_a_rule_that_comes_to_nothing_is_named(rule: dict[str, Any], doubt: str) -> None:
    (found,) = of_rule(**rule)
    assert doubt in found


@pytest.mark.parametrize(
    "rule",
    [
        {"servers": ["c*"], "tools": ["drop_*"], "effect": "deny"},
        {"servers": ["late"], "tools": ["anything"], "effect": "deny"},
        {"tools": ["anything"], "effect": "deny"},
        {"servers": ["crm"], "max_result_bytes": 10},
        {"servers": ["crm"], "effect": "allow", "rehydrate": ["EMAIL"]},
        {"roles": ["agent"], "except_roles": ["admin"], "effect": "approve", "ttl": 5},
    ],
)
def test_a_rule_that_may_match_is_not(rule: dict[str, Any]) -> None:
    assert of_rule(**rule) == []


def test_entries_of_the_forbidden_list_and_roles_are_checked() -> None:
    found = said(
        {"forbidden": ["erp/x", "crm/nothing", "crm/drop_*", "late/x"]}, World({"crm", "late"}, {"boss"}, WORLD.tools)
    )
    assert found == [
        "settings.forbidden: erp/x: there is no server 'erp'",
        "settings.forbidden: crm/nothing: there is no such tool",
        "settings.roles: a caller has the role 'boss', which is not here and may do nothing",
    ]


def test_the_default_bundle_raises_no_doubt() -> None:
    assert said({}) == said({}, World()) == []


@pytest.mark.parametrize(
    ("rego", "doubt"),
    [
        ("x if input.call.tol == 1", "agentflow/policy.rego:5: input.call.tol is nothing"),
        ("x if input.user", "input.user is nothing"),
        ("x if input.principal.roles.admin.y", None),
        ("x if input.call.arguments.anything.at.all", None),
        ("x if data.users.bob", "data.users is"),
        ("x if data.teams.eu.x", None),
        ("x if data.teams.us", "data.teams.us is neither"),
        ("x if data.agentflow.decision", None),
        ('x if input.call.server == "erp"', "there is no server 'erp'"),
        ('x if input.call.server == "crm"', None),
        ('x if "boss" in input.principal.roles', "there is no role 'boss'"),
        ("# input.nothing is prose\nx := 1", None),
    ],
)
def test_names_in_rego_that_nothing_knows_are_named(
    bundle: Callable[..., PolicyConfig], rego: str, doubt: str | None
) -> None:
    text = rego + '\n\ny := data.teams.eu\n\ndecision := {"allow": true}'
    found = warnings_of(read_bundle(bundle(text, data={"teams": {"eu": {"x": 1}}})), WORLD)
    assert len(found) == (doubt is not None)
    assert doubt is None or doubt.removesuffix("data.users is") in found[0]


def test_the_world_is_what_the_configuration_says() -> None:
    servers = {"a": {"command": "x"}, "b": {"command": "x", "disabled": True}}
    world = world_of(Config.model_validate({"mcpServers": servers, "auth": {"local": {"roles": ["admin"]}}}))
    assert world.servers == {"a", "agentflow"}
    assert world.roles == {"admin"}
    assert world.tools is None


def test_a_rate_class_that_the_configuration_lacks_is_named() -> None:
    data = {"settings": {"rate_classes": ["slow"], "rules": {"r": {"rate_class": "slow"}}}}
    bundle = read_bundle(PolicyConfig(data=data))
    (doubt,) = warnings_of(bundle, World(classes=()))
    assert "does not define 'slow'" in doubt
    assert warnings_of(bundle, World(classes=("slow",))) == []


def test_approvers_of_a_role_that_nobody_has_are_named() -> None:
    rule = {"effect": "approve", "approvers": {"who": ["role:board", "principal:default/ann"]}}
    bundle = read_bundle(PolicyConfig(data={"settings": {"rules": {"r": rule}}}))
    assert any(
        "'board'" in doubt for doubt in warnings_of(bundle, World(roles=("admin", "operator", "agent", "viewer")))
    )


@pytest.mark.parametrize(
    ("rego", "doubts"),
    [
        ("x := 1", ["data.json: no rule reads data.setings", "data.json: no rule reads data.teams"]),
        ('x := data.teams # data.setings\n\ny := "data"', ["data.json: no rule reads data.setings"]),
        ("x := data.setings if data.teams", []),
        ('x := data["teams"]', []),  # by a computed name: nothing can be said
    ],
)
def test_data_that_no_rule_reads_is_named(bundle: Callable[..., PolicyConfig], rego: str, doubts: list[str]) -> None:
    config = bundle(rego + '\n\ndecision := {"allow": true}', data={"teams": {"eu": 1}, "setings": {}})
    assert warnings_of(read_bundle(config), World()) == doubts
