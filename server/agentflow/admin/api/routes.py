"""Every route of the REST interface, in one table."""

from __future__ import annotations

from typing import Final

from agentflow.admin.actions import audit, catalogue, live, quarantine, servers, status
from agentflow.admin.api import governing, spending, streams
from agentflow.admin.api.operation import Asked, Operation
from agentflow.admin.api.queries import Exported, Eyes, Newest, Part, Search
from agentflow.admin.models import (
    Held,
    HeldDetail,
    NewServer,
    Overview,
    Page,
    Record,
    Ruling,
    Server,
    ServerDetail,
    Status,
    Told,
    Tool,
    Verification,
    Whoami,
)


def _name(asked: Asked) -> tuple[str]:
    return (asked.path["name"],)


def _id(asked: Asked) -> tuple[str]:
    return (asked.path["id"],)


def _ruling(asked: Asked) -> tuple[str, Ruling]:
    return asked.path["id"], asked.body


def _part(asked: Asked) -> tuple[int, str | None]:
    return asked.query.limit, asked.query.cursor


def _eyes(asked: Asked) -> tuple[object, ...]:
    eyes = asked.query
    whose = catalogue.Whose(eyes.principal, eyes.tenant, eyes.roles, eyes.kind)
    return None if whose == catalogue.OWN else whose, eyes.limit, eyes.cursor


GATEWAY: Final = (
    Operation("GET", "/whoami", "whoami", "gateway", status.whoami, result=Whoami),
    Operation("GET", "/status", "status", "gateway", status.status, result=Status),
    Operation("GET", "/overview", "overview", "gateway", status.overview, result=Overview),
    Operation(
        "GET", "/live", "newestRecords", "live", live.newest,
        lambda asked: (asked.query.limit,), query=Newest, result=list[Told],
    ),
    Operation(
        "GET", "/live/stream", "followRecords", "live", live.follow,
        result=Told, media="text/event-stream", answer=streams.events,
    ),
)  # fmt: skip
SERVERS: Final = (
    Operation("GET", "/servers", "listServers", "servers", servers.listed, _part, query=Part, result=Page[Server]),
    Operation(
        "POST", "/servers", "addServer", "servers", servers.add,
        lambda asked: (asked.body,), body=NewServer, result=ServerDetail, status=201,
    ),
    Operation("GET", "/servers/{name}", "showServer", "servers", servers.show, _name, result=ServerDetail),
    Operation("DELETE", "/servers/{name}", "removeServer", "servers", servers.remove, _name),
    Operation(
        "POST", "/servers/{name}/reconnect", "reconnectServer", "servers", servers.reconnect, _name,
        result=ServerDetail,
    ),
    Operation(
        "POST", "/servers/{name}/disable", "disableServer", "servers", servers.disable, _name, result=ServerDetail
    ),
    Operation("POST", "/servers/{name}/enable", "enableServer", "servers", servers.enable, _name, result=ServerDetail),
    Operation(
        "GET", "/catalogue/tools", "listTools", "catalogue", catalogue.tools, _eyes, query=Eyes, result=Page[Tool]
    ),
)  # fmt: skip
QUARANTINE: Final = (
    Operation("GET", "/quarantine", "listHeld", "quarantine", quarantine.listed, _part, query=Part, result=Page[Held]),
    Operation("GET", "/quarantine/{id}", "showHeld", "quarantine", quarantine.show, _id, result=HeldDetail),
    Operation(
        "POST", "/quarantine/{id}/approve", "approveHeld", "quarantine", quarantine.approve, _ruling,
        body=Ruling, result=Held,
    ),
    Operation(
        "POST", "/quarantine/{id}/reject", "rejectHeld", "quarantine", quarantine.reject, _ruling,
        body=Ruling, result=Held,
    ),
)  # fmt: skip
AUDIT: Final = (
    Operation(
        "GET", "/audit/records", "searchRecords", "audit", audit.search,
        lambda asked: (asked.query.filter(), asked.query.limit, asked.query.cursor), query=Search, result=Page[Record],
    ),
    Operation("GET", "/audit/records/{id}", "showRecord", "audit", audit.record, _id, result=Record),
    Operation(
        "GET", "/audit/export", "exportRecords", "audit", audit.export,
        lambda asked: (asked.query.filter(), asked.query.format),
        query=Exported, result=str, media="application/x-ndjson", answer=streams.export,
    ),
    Operation("GET", "/audit/verification", "showVerification", "audit", audit.verification, result=Verification),
    Operation("POST", "/audit/verification", "verifyRecords", "audit", audit.verify, result=Verification),
)  # fmt: skip
OPERATIONS: Final[tuple[Operation, ...]] = (
    *GATEWAY, *SERVERS, *QUARANTINE, *AUDIT, *governing.OPERATIONS, *spending.OPERATIONS,
)  # fmt: skip
