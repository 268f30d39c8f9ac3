"""The servers behind the gateway: how they are, and adding, switching and reconnecting them.

What runs on this machine, the operator's file alone can say: through here come only servers that are reached over a
network, at public addresses unless the file's `admin.private_servers` names the place, and never trusted with clear
values.
"""

from __future__ import annotations

import functools
from typing import Any, Final

from pydantic import ValidationError

from agentflow.admin.action import action, note
from agentflow.admin.caller import ADMIN, OPERATOR, VIEWER, Caller
from agentflow.admin.models import NewServer, Page, Server, ServerDetail
from agentflow.admin.paging import paged
from agentflow.admin.shown import shown
from agentflow.admin.threads import in_thread
from agentflow.config import ServerConfig
from agentflow.errors import AgentFlowError, Conflict, Forbidden, InvalidArguments, NotFound
from agentflow.gateway.core import FLOW
from agentflow.gateway.pinning import label
from agentflow.gateway.service import Service, wanted
from agentflow.gateway.upstreams import reach
from agentflow.gateway.upstreams.http1 import Endpoint, header_lines
from agentflow.gateway.upstreams.port import Health, Listing

# Of an entry, what would start a program, read a file of this machine, or loosen what guards it.
_LOCAL: Final = frozenset({"command", "args", "env", "cwd", "path", "spec", "base_url", "env_allow"})
_LOOSENING: Final = frozenset({"autoApprove", "auto_approve", "alwaysAllow", "reach"})
_KINDS: Final = frozenset({"http", "sse", "streamable-http", "streamableHttp"})
_TAKEN: Final = frozenset(
    {"type", "transport", "url", "headers", "credentials", "namespace", "aliases", "allow", "deny", "timeout"}
    | {"trust", "sensitivity", "description", "tenants"}
)


@action(ADMIN, OPERATOR, VIEWER, home=True)
async def listed(service: Service, caller: Caller, limit: int = 1000, cursor: str | None = None) -> Page[Server]:
    """Every server, in the order of the configuration, those that are switched off among them."""
    return paged([Server(**_told(service, name)) for name in names(service)], _named, limit, cursor)


@action(ADMIN, OPERATOR, VIEWER, home=True)
async def show(service: Service, caller: Caller, name: str) -> ServerDetail:
    """One server, with what it offers.

    Raises:
        NotFound: there is none of that name.
    """
    _known(service, name)
    return _detail(service, name)


@action(ADMIN, OPERATOR, home=True, event="server_reconnected")
async def reconnect(service: Service, caller: Caller, name: str) -> ServerDetail:
    """Connect anew, a process of its own started again; calls under way end with the old connection.

    Raises:
        NotFound: there is none of that name.
        Conflict: it is switched off.
    """
    if _known(service, name).disabled:
        raise Conflict(f"{name} is switched off", fix="Switch it on first")
    note(service, caller, "server_reconnected", name)
    await service.apply(renew=(name,))
    return _detail(service, name)


@action(ADMIN, OPERATOR, home=True, event="server_disabled")
async def disable(service: Service, caller: Caller, name: str) -> ServerDetail:
    """Switch a server off, also over restarts and at every gateway that shares the store.

    Raises:
        NotFound: there is none of that name.
        StoreUnavailable: it could not be kept, and nothing was done.
    """
    return await _switched(service, caller, name, False)


@action(ADMIN, OPERATOR, home=True, event="server_enabled")
async def enable(service: Service, caller: Caller, name: str) -> ServerDetail:
    """Switch a server on that was switched off here.

    Raises:
        NotFound: there is none of that name.
        Conflict: the configuration file switches it off.
        StoreUnavailable: it could not be kept, and nothing was done.
    """
    return await _switched(service, caller, name, True)


async def _switched(service: Service, caller: Caller, name: str, on: bool) -> ServerDetail:
    config, known = _known(service, name), service.dynamic.known.get(name)
    if name not in service.config.mcp_servers:
        raise Conflict(f"{name} is the gateway's own", fix="`flow` and `tools` of the configuration file say about it")
    if config.disabled == on:
        if on and (known is None or known.enabled):
            raise Conflict(f"The configuration file switches {name} off", fix="Remove `disabled` there")
        event = "server_enabled" if on else "server_disabled"
        begin = functools.partial(note, service, caller, event, name)
        await in_thread(service.dynamic.switch, name, on, caller.by, begin)
        await service.apply()
    return _detail(service, name)


@action(ADMIN, home=True, event="server_added")
async def add(service: Service, caller: Caller, wish: NewServer) -> ServerDetail:
    """Add a server that is reached over a network; it is untrusted, whatever is asked for.

    Raises:
        Forbidden: the entry would run or read something on this machine, or is at a place inside this network.
        InvalidArguments: the entry is none.
        Conflict: the name is taken.
        StoreUnavailable: it could not be kept, and nothing was done.
    """
    entry = await _entry(service, wish)
    if wish.name in _configs(service) or wish.name in (FLOW, *service.dynamic.known):
        raise Conflict(f"There is a server {wish.name!r} already", fix="Choose another name")
    begin = functools.partial(note, service, caller, "server_added", wish.name, details={"address": label(entry)})
    await in_thread(service.dynamic.add, wish.name, entry, caller.by, begin)
    try:
        await service.apply()
    except AgentFlowError:
        await in_thread(service.dynamic.remove, wish.name, lambda: None)
        raise
    return _detail(service, wish.name)


@action(ADMIN, home=True, event="server_removed")
async def remove(service: Service, caller: Caller, name: str) -> None:
    """Remove a server that was added here.

    Raises:
        NotFound: there is none of that name.
        Conflict: the configuration file names it.
    """
    _known(service, name)
    if _origin(service, name) == "file":
        raise Conflict(f"{name} is in the configuration file", fix="Remove it there, or switch it off here")
    begin = functools.partial(note, service, caller, "server_removed", name)
    await in_thread(service.dynamic.remove, name, begin)
    await service.apply()


async def _entry(service: Service, wish: NewServer) -> ServerConfig:
    """The entry as it will be used.

    Raises:
        Forbidden, InvalidArguments: see `add`.
    """
    asked: dict[str, Any] = {**(wish.model_extra or {}), "url": wish.url, "type": wish.type}
    asked = {key: value for key, value in asked.items() if value is not None}
    kind = asked.get("type") or asked.get("transport")
    if _LOCAL & asked.keys() or (kind is not None and kind not in _KINDS):
        raise Forbidden(
            "Only http and sse servers can be added here", fix="Others are for the operator's configuration file"
        )
    if _LOOSENING & asked.keys():
        raise Forbidden("A server that is added here cannot ask for that", fix="Put it into the configuration file")
    if odd := sorted(asked.keys() - _TAKEN):
        raise InvalidArguments(f"Unknown members: {', '.join(map(repr, odd[:5]))}")
    try:
        entry = ServerConfig.model_validate({**asked, "trust": "untrusted"})
        end = Endpoint.parse(entry.url or "")
        header_lines({**entry.headers, **{name: each.get_secret_value() for name, each in entry.credentials.items()}})
    except (ValidationError, AgentFlowError) as error:
        problems = _problems(error)
        raise InvalidArguments(
            "This is no server that can be added: " + "; ".join(problems), problems=problems
        ) from None
    if end.authorization is not None:
        raise InvalidArguments("The address holds a user name or password", fix="Put it into `credentials`")
    if reach.listed(end.host, end.port, service.config.admin.private_servers):
        return entry
    try:
        await reach.resolved(end.host, end.port, wish.name)
    except AgentFlowError as error:
        raise Forbidden(error.message, fix=error.fix) from None
    return entry.model_copy(update={"reach": "public"})


def _problems(error: ValidationError | AgentFlowError) -> list[str]:
    if isinstance(error, AgentFlowError):
        return [error.message]
    return [f"{'.'.join(map(str, each['loc'])) or 'entry'}: {each['msg']}" for each in error.errors()[:20]]


def _named(server: Server) -> str:
    return server.name


def names(service: Service) -> list[str]:
    """Of every server, in the order of the configuration, those that are switched off among them."""
    return list(_configs(service))


# Showing ----------------------------------------------------------------------------------------------------


def _configs(service: Service) -> dict[str, ServerConfig]:
    return {**wanted(service.config), **service.config.mcp_servers}


def _known(service: Service, name: str) -> ServerConfig:
    found = _configs(service).get(name)
    if found is None:
        raise NotFound("There is no such server", fix="GET /api/v1/servers names them")
    return found


def _origin(service: Service, name: str) -> str:
    known = service.dynamic.known.get(name)
    return "api" if known is not None and known.entry is not None and not service.in_file(name) else "file"


def _told(service: Service, name: str) -> dict[str, Any]:
    config = _configs(service)[name]
    member = next((each for each in service.members if each.name == name), None)
    health = Health("disabled") if member is None else member.upstream.health
    listing = Listing() if member is None else member.upstream.listing
    return {
        "name": name,
        "type": config.type,
        "address": label(config) if name != FLOW else "the gateway itself",
        "origin": _origin(service, name),
        "enabled": not config.disabled,
        "status": health.status,
        "reason": service.parts.pii.matcher.mask(health.reason),
        "since": health.since,
        "eras": list(health.eras),
        "protocol": health.protocol,
        "restarts": health.restarts,
        "tools": len(listing.tools),
        "held": sum(ref[0] == name for ref in service.offered.held),
        "trust": config.trust,
        "sensitivity": config.sensitivity,
        "namespace": name if config.namespace is None else config.namespace,
    }


def _detail(service: Service, name: str) -> ServerDetail:
    member = next((each for each in service.members if each.name == name), None)
    listing = Listing() if member is None else member.upstream.listing
    matcher = service.parts.pii.matcher
    return ServerDetail(
        **_told(service, name),
        offered=[matcher.mask(tool["name"]) for tool in listing.tools],
        held_names=[matcher.mask(ref[2]) for ref in service.offered.held if ref[0] == name],
        problems=[matcher.mask(each) for each in listing.problems],
        info=shown(matcher, listing.server_info),
    )
