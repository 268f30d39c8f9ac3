"""The vocabulary of the default bundle's data.json, checked when it is loaded.

A misspelt key in a rule would silently be no rule at all; here it is a refusal that names it.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints, ValidationError, model_validator

from agentflow.config import LogLevel
from agentflow.config_base import Section
from agentflow.config_models import Tier
from agentflow.pipeline.call import JSON

# Rego's globs know more than `*`; what they do with it differs between engines.
Pattern = Annotated[str, StringConstraints(pattern=r'^[^?\[\]{}\\"!\x00-\x1f]+$')]
Forbidden = Annotated[str, StringConstraints(pattern=r'^[^?\[\]{}\\"!\x00-\x1f/]+/[^?\[\]{}\\"!\x00-\x1f]+$')]
PiiType = Annotated[str, StringConstraints(pattern=r"^(\*|[A-Z][A-Z0-9_]*)$")]
Name = Annotated[str, StringConstraints(min_length=1, max_length=64)]
Approver = Annotated[str, StringConstraints(pattern=r"^(caller|role:\S.*|principal:[^/\s][^/]*/\S.*)$")]
Action = Literal["allow", "ask", "deny"]
Seconds = Annotated[float, Field(gt=0, le=31_536_000)]  # to answer in; more than a year is a mistake


class Role(Section):
    """What one role may do."""

    tools: Literal["all", "not_destructive", "read_only", "none"] = "none"
    prompts: bool = False
    resources: bool = False
    models: bool = False
    rate_class: Name | None = None


Scalar = bool | int | float | str
Weekday = Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]


class Condition(Section):
    """One condition on an argument; exactly one of the keys beside `path`."""

    path: Annotated[str, StringConstraints(pattern=r"^(/[^~/]+)+$")]
    above: float | None = None
    below: float | None = None
    equals: Annotated[list[Scalar], Field(min_length=1)] | None = None
    like: Annotated[list[Pattern], Field(min_length=1)] | None = None
    unlike: Annotated[list[Pattern], Field(min_length=1)] | None = None
    present: bool | None = None

    @model_validator(mode="after")
    def _one(self) -> Condition:
        if len(self.model_fields_set - {"path"}) != 1:
            raise ValueError("needs exactly one of above, below, equals, like, unlike and present")
        return self


class Hours(Section):
    """When a rule counts, by the gateway's clock: from the hour `from` up to `to`, on `days`."""

    from_: Annotated[int, Field(ge=0, le=23, alias="from")] = 0
    to: Annotated[int, Field(ge=0, le=24)] = 24
    days: Annotated[list[Weekday], Field(min_length=1)] | None = None

    @model_validator(mode="after")
    def _some(self) -> Hours:
        if self.from_ == self.to:
            raise ValueError("from and to are the same hour: it would never count")
        return self


class Approvers(Section):
    """Who may approve what a rule asks for, and how many of them have to."""

    who: Annotated[list[Approver], Field(min_length=1)]
    count: Annotated[int, Field(ge=1, le=100)] = 1


class Rule(Section):
    """One entry of `rules`; README.md of the bundle explains each key."""

    servers: Annotated[list[Pattern], Field(min_length=1)] | None = None
    tools: Annotated[list[Pattern], Field(min_length=1)] | None = None
    prompts: Annotated[list[Pattern], Field(min_length=1)] | None = None
    resources: Annotated[list[Pattern], Field(min_length=1)] | None = None
    models: Annotated[list[Pattern], Field(min_length=1)] | None = None
    effect: Literal["allow", "deny", "approve"] | None = None
    roles: Annotated[list[str], Field(min_length=1)] | None = None
    except_roles: Annotated[list[str], Field(min_length=1)] | None = None
    only_roles: Annotated[list[str], Field(min_length=1)] | None = None
    why: str | None = None
    ttl: Seconds | None = None
    approvers: Approvers | None = None
    mask: list[PiiType] | None = None
    rate_class: Name | None = None
    model_tier: Tier | None = None
    log_level: LogLevel | None = None
    rehydrate: list[PiiType] | None = None
    max_result_bytes: Annotated[int, Field(gt=0)] | None = None
    cache_ttl: Annotated[float, Field(ge=0)] | None = None
    deep: bool | None = None
    injection: Literal["annotate", "spotlight", "cut", "quarantine", "block"] | None = None
    when: Annotated[list[Condition], Field(min_length=1)] | None = None
    hours: Hours | None = None


class Destructive(Section):
    """What happens to tools that say they destroy, by the trust put in their server."""

    trusted: Action
    untrusted: Action


class Flows(Section):
    """What happens to calls that `input.call.flow` speaks against; README.md of the bundle explains each key."""

    requested: Action
    exfiltration: Action
    stranger: Action = "ask"  # as the bundle has it where the key is missing
    credential: Action = "deny"
    publication: Action
    smuggling: Action
    injection: Action
    incomplete: Action
    swayed: Action
    setting: Action = "ask"
    opened: Action


class Egress(Section):
    """Where arguments may point."""

    allow: list[Annotated[str, StringConstraints(pattern=r"^[a-z0-9.-]+$")]]


class Secrets(Section):
    """What happens to calls that would hand over a secret in clear, by the trust put in their server."""

    untrusted: Action


class Settings(Section):
    """The member `settings` of data.json. Everything is required: a missing key would mean undefined, so denial."""

    default: Literal["allow", "deny"]
    roles: dict[str, Role]
    forbidden: list[Forbidden]
    rules: dict[str, Rule]
    destructive: Destructive
    toxic_flow: Literal["deny", "ask", "off"]
    flows: Flows
    egress: Egress
    deep: Literal["rules", "private", "all"] = "rules"
    secrets: Secrets = Secrets(untrusted="deny")  # as the bundle has it where the key is missing
    approval_ttl: Seconds
    redact: list[PiiType]
    rate_classes: list[Name] | None = None


def restricts_hosts(data: JSON) -> bool:
    """Whether a bundle's data says which hosts arguments may name."""
    settings = data.get("settings")
    egress = settings.get("egress") if isinstance(settings, dict) else None
    return isinstance(egress, dict) and bool(egress.get("allow"))


def problems_of(data: JSON) -> list[str]:
    """Return one line per mistake in `data["settings"]`, empty when there is none."""
    problems = []
    try:
        settings = Settings.model_validate(data.get("settings"))
    except ValidationError as error:
        return [f"{'.'.join(map(str, ('settings', *item['loc'])))}: {item['msg']}" for item in error.errors()]
    classes = settings.rate_classes or ()
    for name, role in settings.roles.items():
        if role.rate_class is not None and role.rate_class not in classes:
            problems.append(f"settings.roles.{name}: {role.rate_class!r} is not among settings.rate_classes")
    for name, rule in settings.rules.items():
        where = f"settings.rules.{name}"
        named = {*(rule.roles or ()), *(rule.except_roles or ()), *(rule.only_roles or ())}
        problems += [f"{where}: there is no role {role!r}" for role in sorted(named - settings.roles.keys())]
        if rule.approvers is not None and rule.effect != "approve":
            problems.append(f'{where}: approvers count only where its effect is "approve"')
        if rule.rate_class is not None and rule.rate_class not in classes:
            problems.append(f"{where}: {rule.rate_class!r} is not among settings.rate_classes")
        if any(value is None for value in data["settings"]["rules"][name].values()):
            problems.append(f"{where}: null is no value; leave the key out")
    return problems
