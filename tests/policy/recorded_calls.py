"""Records of calls as the gateway writes them, for the tests of explain and replay."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from agentflow.audit.asked import abridged, size_of, told
from agentflow.audit.log import AuditLog
from agentflow.pipeline.call import JSON, Decision


def question(
    role: str = "agent", server: str = "web", tool: str = "fetch", arguments: JSON | None = None, **changes: Any
) -> JSON:
    """An input document; `changes` are put over its members, one level deep."""
    document: JSON = {
        "version": "agentflow/1",
        "principal": {
            "id": "p", "kind": "agent", "roles": [role], "tenant": "default", "scopes": [], "auth": "local",
        },
        "call": {
            "kind": "tool", "surface": "tools/call", "phase": "call", "server": server, "tool": tool,
            "annotations": {}, "arguments": arguments or {}, "size": size_of(arguments or {}),
            "pii": {"types": [], "counts": {}, "paths": []},
            "injection": {"score": 0.0, "findings": []},
        },
        "session": {"id": "", "taint": [], "counts": {}, "approvals": {}},
        "budget": {"calls_left": None},
        "upstream": {"trust": "untrusted", "sensitivity": "public", "kind": "http"},
        "time": {"hour": 12, "weekday": "monday"},
    }  # fmt: skip
    return {name: {**value, **changes[name]} if name in changes else value for name, value in document.items()}


def record_of(document: JSON, decision: Decision, number: int = 0, time: float = 1000.0) -> JSON:
    """The record of a call that was decided so."""
    principal = {name: value for name, value in document["principal"].items() if name != "scopes"}
    return {
        "kind": "call",
        "id": f"{number:032x}",
        "time": time,
        "principal": principal,
        "surface": document["call"]["surface"],
        "server": document["call"]["server"],
        "outcome": "ok" if decision.allow else "policy_denied",
        "arguments": {"arguments": document["call"]["arguments"]},
        "decision": told(decision),
        "asked": abridged(document),
    }


def write(data_dir: Path, records: Iterable[JSON]) -> None:
    """Write them as a gateway would."""
    log = AuditLog(data_dir)
    for record in records:
        log.append(record)
    log.close()
