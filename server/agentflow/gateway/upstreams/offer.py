"""Asks a server for everything it offers, and sorts out what cannot be used.

Promises: bounded pages, items and time; each definition left out is named in `Listing.problems`, and the others
are unharmed and unaltered. Refuses the whole listing where it is larger than `limits.max_tools_per_server`, for a
part of it would be shown as the whole.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from fnmatch import fnmatchcase
from typing import Any

from agentflow.config import LimitsConfig, ServerConfig
from agentflow.errors import METHOD_NOT_FOUND, LimitExceeded, UpstreamError, UpstreamProtocolError, UpstreamTimeout
from agentflow.gateway.upstreams.connection import Connection
from agentflow.gateway.upstreams.port import Listing
from agentflow.gateway.upstreams.schema_check import schema_problem

JSON = dict[str, Any]

LISTING_SECONDS = 60.0  # for everything together
_PAGES = 5_000
_NAME_LENGTH = 256
_PROBLEMS = 100  # told one by one; the rest is counted


async def everything(name: str, connection: Connection, config: ServerConfig, limits: LimitsConfig) -> Listing:
    """Ask for tools, resources, templates and prompts, as far as the server announced them.

    Raises:
        LimitExceeded: it offers more than `limits.max_tools_per_server` of a kind.
        UpstreamError: it answered `tools/list` with an error.
        UpstreamTimeout, UpstreamUnavailable, UpstreamProtocolError: as the connection.
    """
    problems: list[str] = []
    most = limits.max_tools_per_server

    async def collect(capability: str, method: str, key: str) -> list[Any]:
        if capability not in connection.capabilities:
            return []
        try:
            return await _pages(connection, method, key, most, config.timeout)
        except UpstreamError as error:
            if method == "tools/list":
                raise
            if error.rpc_code != METHOD_NOT_FOUND:
                problems.append(f"{method} failed with error {error.rpc_code}")
            return []

    try:
        async with asyncio.timeout(LISTING_SECONDS):
            tools = await collect("tools", "tools/list", "tools")
            resources = await collect("resources", "resources/list", "resources")
            templates = await collect("resources", "resources/templates/list", "resourceTemplates")
            prompts = await collect("prompts", "prompts/list", "prompts")
    except TimeoutError:
        raise UpstreamTimeout(f"{name} did not list what it offers within {LISTING_SECONDS:g} s") from None
    # In a thread: an unusual schema takes milliseconds, and there may be thousands.
    good = await asyncio.to_thread(_usable, tools, config, problems)
    return Listing(
        tools=good,
        resources=_distinct(resources, "resource", "uri", problems),
        templates=_distinct(templates, "resource template", "uriTemplate", problems),
        prompts=_distinct(prompts, "prompt", "name", problems),
        capabilities=connection.capabilities,
        instructions=connection.instructions,
        server_info=connection.server_info,
        problems=_shortened(problems),
    )


async def _pages(connection: Connection, method: str, key: str, most: int, timeout: float) -> list[Any]:
    found: list[Any] = []
    cursors: set[str] = set()
    params: JSON = {}
    for _ in range(_PAGES):
        page = await connection.request(method, params, None, timeout)
        items = page.get(key)
        if not isinstance(items, list):
            raise UpstreamProtocolError(f"{method} was answered without a list of {key}")
        found.extend(items)
        if len(found) > most:
            raise LimitExceeded(
                f"it offers more than {most} {key}", fix="raise limits.max_tools_per_server, or use another server"
            )
        cursor = page.get("nextCursor")
        if cursor is None:
            return found
        if not isinstance(cursor, str) or cursor in cursors:
            raise UpstreamProtocolError(f"{method} never ends: it gave the same cursor twice, or one that is no string")
        cursors.add(cursor)
        params = {"cursor": cursor}
    raise LimitExceeded(f"{method} has more than {_PAGES} pages")


def _usable(tools: Iterable[Any], config: ServerConfig, problems: list[str]) -> tuple[JSON, ...]:
    def allowed(tool: JSON) -> bool:
        name = tool["name"]
        if any(fnmatchcase(name, glob) for glob in config.deny):
            return False
        return not config.allow or any(fnmatchcase(name, glob) for glob in config.allow)

    named = _distinct(tools, "tool", "name", problems, _tool_problem)
    return tuple(filter(allowed, named)) if config.allow or config.deny else named


def _distinct(
    items: Iterable[Any],
    kind: str,
    key: str,
    problems: list[str],
    check: Callable[[JSON], str] = lambda item: "",
) -> tuple[JSON, ...]:
    """The items that are objects with a usable, not yet seen `key` and pass `check`."""
    good: dict[str, JSON] = {}
    for index, item in enumerate(items):
        name = item.get(key) if isinstance(item, dict) else None
        if not isinstance(name, str) or not name:
            problems.append(f"{kind} number {index + 1} has no {key}")
        elif key == "name" and len(name) > _NAME_LENGTH:
            problems.append(f"{kind} {_shown(name)}: its name is longer than {_NAME_LENGTH} characters")
        elif name in good:
            problems.append(f"{kind} {_shown(name)} is offered twice; the first one counts")
        elif problem := check(item):
            problems.append(f"{kind} {_shown(name)}: {problem}")
        else:
            good[name] = item
    return tuple(good.values())


def _tool_problem(tool: JSON) -> str:
    schema = tool.get("inputSchema")
    if not isinstance(schema, dict):
        return "its inputSchema is no object"
    if schema.get("type") != "object":
        return 'its inputSchema is not of type "object"'
    if problem := schema_problem(schema):
        return f"its inputSchema is invalid: {problem}"
    output = tool.get("outputSchema")
    if output is None:
        return ""
    if not isinstance(output, dict):
        return "its outputSchema is no object"
    return f"its outputSchema is invalid: {problem}" if (problem := schema_problem(output)) else ""


def _shown(name: str) -> str:
    return repr(name if len(name) <= 80 else name[:80] + "…")


def _shortened(problems: list[str]) -> tuple[str, ...]:
    if len(problems) <= _PROBLEMS:
        return tuple(problems)
    return (*problems[:_PROBLEMS], f"and {len(problems) - _PROBLEMS} more")
