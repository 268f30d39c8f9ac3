"""Doubts about a bundle that compiles: rules that can never match, and names that nothing else knows.

It promises to warn only of what it can prove from the texts, the data and what it is told of the world (servers,
tools, roles); it refuses nothing, for a rule about a server that comes tomorrow is no mistake.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from agentflow.config import Config
from agentflow.pipeline.call import JSON
from agentflow.policy.bundle import Bundle, tests_in
from agentflow.store.opened import Store

_SCHEMA = Path(__file__).with_name("input.schema.json")
_INPUT = re.compile(r"(?<![\w.])input((?:\.[A-Za-z_]\w*)+)")
_DATA = re.compile(r"(?<![\w.])data((?:\.[A-Za-z_]\w*)+)")
_PACKAGE = re.compile(r"^package\s+([\w.]+)", re.MULTILINE)
_SERVER = re.compile(r'input\.call\.server\s*==\s*"([^"]*)"|"([^"]*)"\s*==\s*input\.call\.server')
_ROLE = re.compile(r'"([^"]*)"\s+in\s+input\.principal\.roles|input\.principal\.roles\[_\]\s*==\s*"([^"]*)"')
_PROSE = re.compile(r'"(?:\\.|[^"\\\n])*"|`[^`]*`|#[^\n]*')
_KINDS = ("tools", "prompts", "resources")
_OWES = (
    "rehydrate", "mask", "max_result_bytes", "cache_ttl", "deep", "injection", "only_roles", "rate_class", "model_tier",
    "log_level",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class World:
    """What a policy can be about; None where it is not known.

    Attributes:
        servers: names of the configured servers.
        roles: roles that some caller may have.
        tools: of each server whose catalogue is known, its tools' names and input schemas.
        classes: rate classes that the configuration defines.
        models: names of the language models.
    """

    servers: Collection[str] | None = None
    roles: Collection[str] | None = None
    tools: Mapping[str, Mapping[str, JSON]] | None = None
    classes: Collection[str] | None = None
    models: Collection[str] | None = None


def world_of(config: Config, tools: Mapping[str, Mapping[str, JSON]] | None = None) -> World:
    """What a configuration lets a policy be about.

    Args:
        tools: of the servers whose catalogue is known, as in `World`.
    """
    servers = {name for name, server in config.mcp_servers.items() if not server.disabled}
    servers.update(tools or (), (f"tools-{number}" for number in range(1, len(config.tools) + 1)), ("agentflow",))
    if config.models.providers or config.flow.base_url:
        servers.add("models")
    auth = config.auth
    # Where callers come from elsewhere, too, their roles are not known here.
    static = auth.model_fields_set <= {"api_keys", "local", "home_tenant", "recheck"}
    static = static and not Store(config.data_dir, config.store).holds("api_key")
    roles = {role for key in auth.api_keys for role in key.roles} | set(auth.local.roles)
    return World(servers, roles if static else None, tools, config.limits.classes, _models_of(config))


def _models_of(config: Config) -> frozenset[str] | None:
    """The names of the models; None where there are more, or nobody knows."""
    providers = [provider for provider in config.models.providers.values() if provider.enabled]
    if config.flow.base_url or not providers or any(provider.discover for provider in providers):
        return None
    return frozenset({"auto", *(each.name or each.model for provider in providers for each in provider.models)})


def warnings_of(bundle: Bundle, world: World) -> list[str]:
    """Return one line for each doubt, each with its place."""
    found = [*_of_paths(bundle), *_of_literals(bundle, world), *_of_data(bundle), *_of_tests(bundle)]
    settings = bundle.data.get("settings")
    if bundle.selectors is not None and isinstance(settings, dict):  # the vocabulary of the default bundle
        for name, rule in settings.get("rules", {}).items():
            found += [f"settings.rules.{name}: {text}" for text in _of_rule(rule, settings, world)]
        found += _of_forbidden(settings, world)
        found += _of_roles(settings, world)
        found += _of_classes(settings, world)
    return list(dict.fromkeys(found))


def _of_paths(bundle: Bundle) -> Iterator[str]:
    """Input paths that the schema does not know; data that is neither a document nor a rule."""
    schema = json.loads(_SCHEMA.read_bytes())
    known = {name.replace(".", "/") for name in _names(bundle)}
    for place, path in _mentioned(bundle, _INPUT):
        if not _in_schema(schema, path):
            yield f"{place}: input.{'.'.join(path)} is nothing that the input document has"
    for place, path in _mentioned(bundle, _DATA):
        if path[0] != "settings" and not _in_data(bundle.data, path) and not _is_rule(known, path):
            yield f"{place}: data.{'.'.join(path)} is neither in the data nor a rule"


def _of_literals(bundle: Bundle, world: World) -> Iterator[str]:
    """Servers and roles that Rego names and nobody has."""
    for pattern, names, what in ((_SERVER, world.servers, "server"), (_ROLE, world.roles, "role")):
        for module, text in bundle.modules.items() if names is not None else ():
            for found in pattern.finditer(text):
                name = found[1] if found[1] is not None else found[2]
                if name not in (names or ()):
                    yield f"{module}:{_line(text, found.start())}: there is no {what} {name!r}"


def _of_rule(rule: JSON, settings: JSON, world: World) -> Iterator[str]:
    """What of a rule of data.json can never come to anything."""
    effect = rule.get("effect")
    if effect is None and not any(rule.get(key) for key in _OWES):
        yield "it has no effect: nothing is allowed, denied or owed by it"
    if effect == "allow" and settings.get("default") == "allow" and not any(rule.get(key) for key in _OWES):
        yield 'its effect is "allow", which `default` already says'
    if effect != "approve" and "ttl" in rule:
        yield "ttl counts only where its effect is approve"
    roles, spared = rule.get("roles"), set(rule.get("except_roles") or ())
    concerned = set(roles if roles is not None else settings.get("roles", {})) - spared
    if not concerned:
        yield "it concerns nobody: every role is excepted"
    if world.roles is not None:
        named = {*(roles or ()), *spared, *(rule.get("only_roles") or ())}
        asked = (rule.get("approvers") or {}).get("who", ())
        named.update(who.removeprefix("role:") for who in asked if who.startswith("role:"))
        for role in sorted(named - set(world.roles)):
            yield f"no caller has the role {role!r}"
    yield from _of_names(rule, world)


def _of_names(rule: JSON, world: World) -> Iterator[str]:
    servers = rule.get("servers")
    if world.servers is not None and servers is not None:
        for pattern in servers:
            if not any(_like(pattern, name) for name in world.servers):
                yield f"there is no server {pattern!r}"
    for pattern in rule.get("models") or ():
        if world.models is not None and not any(_like(pattern, name) for name in world.models):
            yield f"there is no model {pattern!r}"
    if world.tools is None or "tools" not in rule:
        return
    covered = [
        name
        for name in (world.servers if world.servers is not None else world.tools)
        if servers is None or any(_like(pattern, name) for pattern in servers)
    ]
    if not covered or any(name not in world.tools for name in covered):
        return  # some catalogue is not known
    tools = {tool: schema for name in covered for tool, schema in world.tools[name].items()}
    for pattern in rule["tools"]:
        if not any(_like(pattern, tool) for tool in tools):
            yield f"no tool of {', '.join(covered[:3])} is called {pattern!r}"
    meant = [schema for tool, schema in tools.items() if any(_like(pattern, tool) for pattern in rule["tools"])]
    for condition in rule.get("when") or ():
        if meant and not any(_has_argument(schema, condition["path"]) for schema in meant):
            yield f"none of these tools has an argument {condition['path']}"


def _of_forbidden(settings: JSON, world: World) -> Iterator[str]:
    for entry in settings.get("forbidden", ()):
        server, _, tool = entry.partition("/")
        known = None if world.servers is None else [name for name in world.servers if _like(server, name)]
        if known == []:
            yield f"settings.forbidden: {entry}: there is no server {server!r}"
            continue
        tools = [world.tools.get(name) for name in known] if known and world.tools is not None else [None]
        if None not in tools and not any(_like(tool, name) for each in tools for name in each or ()):
            yield f"settings.forbidden: {entry}: there is no such tool"


def _of_roles(settings: JSON, world: World) -> Iterator[str]:
    for role in sorted(set(world.roles or ()) - settings.get("roles", {}).keys()):
        yield f"settings.roles: a caller has the role {role!r}, which is not here and may do nothing"


def _of_classes(settings: JSON, world: World) -> Iterator[str]:
    """Rate classes that the configuration lacks: calls that count in them are refused."""
    for name in settings.get("rate_classes") or ():
        if world.classes is not None and name not in world.classes:
            yield f"settings.rate_classes: limits.classes does not define {name!r}: calls of that class are refused"


def _of_data(bundle: Bundle) -> Iterator[str]:
    """Members of the data beside `settings` that no rule reads: misspelt, perhaps."""
    code = _PROSE.sub('""', "\n".join(bundle.texts.values()))
    if re.search(r"(?<![\w.])data\b(?!\.[A-Za-z_])", code):
        return  # data as a whole, or by computed names
    for key in sorted(bundle.data.keys() - {"settings"}):
        if not re.search(rf"(?<![\w.])data\.{re.escape(key)}\b", code):
            yield f"data.json: no rule reads data.{key}"


def _of_tests(bundle: Bundle) -> Iterator[str]:
    """Tests that do not run, for the name of their file."""
    for name, text in {**bundle.modules, **bundle.spare}.items():
        for test in tests_in(text):
            yield f"{name}: {test} never runs: tests belong into files named …_test.rego"


def _mentioned(bundle: Bundle, pattern: re.Pattern[str]) -> Iterator[tuple[str, list[str]]]:
    for module, text in bundle.modules.items():
        code = re.sub(r"#[^\n]*", lambda found: " " * len(found[0]), text)
        for found in pattern.finditer(code):
            yield f"{module}:{_line(text, found.start())}", found[1].split(".")[1:]


def _names(bundle: Bundle) -> Iterator[str]:
    """The full names of packages and of the rules in them."""
    for text in bundle.modules.values():
        package = _PACKAGE.search(text)
        if package is not None:
            yield package[1]
            for rule in re.findall(r"^(?:default\s+)?([A-Za-z_]\w*)", text, re.MULTILINE):
                yield f"{package[1]}.{rule}"


def _is_rule(known: Collection[str], path: list[str]) -> bool:
    return any("/".join(path[: size + 1]) in known for size in range(len(path))) or any(
        name.startswith("/".join(path) + "/") for name in known
    )


def _in_data(data: Any, path: list[str]) -> bool:
    for step in path:
        if not isinstance(data, dict):
            return True  # what is below a list or a value is the policy's business
        if step not in data:
            return False
        data = data[step]
    return True


def _in_schema(schema: JSON, path: list[str]) -> bool:
    for step in path:
        properties = schema.get("properties")
        if properties is None or step not in properties:
            return schema.get("additionalProperties") is not False
        schema = properties[step]
    return True


def _has_argument(schema: JSON, pointer: str) -> bool:
    """Whether a tool's input schema has, or may have, what a JSON pointer names."""
    for step in pointer.split("/")[1:]:
        properties = schema.get("properties")
        if not isinstance(properties, dict) or "$ref" in schema:
            return True
        if step not in properties:
            return schema.get("additionalProperties") not in (None, False)
        schema = properties[step] if isinstance(properties[step], dict) else {}
    return True


def _like(pattern: str, name: str) -> bool:
    return _compiled(pattern).fullmatch(name) is not None


@lru_cache(maxsize=4096)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(".*".join(map(re.escape, pattern.split("*"))), re.DOTALL)


def _line(text: str, offset: int) -> int:
    return text.count("\n", 0, offset) + 1
