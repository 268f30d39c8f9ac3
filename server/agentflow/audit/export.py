"""Audit records in the words of a SIEM: OCSF (API Activity, class 6003 of schema 1.3.0) and CEF (version 0).

Both are one line a record, in UTF-8. Nothing is in them that is not in the record, so nothing clear either. What a
schema has no place for stands under `unmapped` (OCSF) or is left out (CEF).

Sources: OCSF schema 1.3.0, classes/api_activity with the profile security_control; Micro Focus Security ArcSight
Common Event Format, implementation standard version 26, "Character encoding" and "Extension dictionary".
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final, Literal

import orjson

from agentflow import __version__
from agentflow.audit import query
from agentflow.audit.chain import JSON
from agentflow.audit.query import Facets
from agentflow.audit.read import Entry

Format = Literal["jsonl", "ocsf", "cef"]
SCHEMA_VERSION: Final = "1.3.0"
CLASS: Final = 6003
_READING = ("/list", "/read", "/get", "/complete", "completion/")
# How a call may end that this gateway, and not the server, prevented or broke off.
_BLOCKED: Final = frozenset(
    {
        "policy_denied", "content_blocked", "approval_required", "limit_exceeded", "tool_held", "unknown_name",
        "invalid_arguments", "invalid_request", "unsupported", "unauthenticated", "deep_tier_unavailable",
        "vault_unavailable", "audit_unavailable", "stage_failed", "refused",
    }
)  # fmt: skip
# Events that say that the log itself may have been touched.
_GRAVE: Final = frozenset({"records_missing", "head_missing", "signing_began", "signing_gap"})
_TRUSTWORTHY, _SUSPECT = 0.5, 0.8  # injection scores


def line(entry: Entry, form: Format) -> str:
    """One record as one line, without the newline."""
    return _FORMS[form](entry)


def jsonl(entry: Entry) -> str:
    """The record as it is, with its place: `{"chain", "seq", "record"}`."""
    told = {"chain": entry.chain, "seq": entry.seq, "record": entry.record}
    return orjson.dumps(told).decode()


# OCSF -------------------------------------------------------------------------------------------------------


def ocsf(entry: Entry) -> JSON:
    """The record as an OCSF API Activity event."""
    record, has = entry.record, query.facets(entry.record)
    activity, failed, blocked = _activity(has), _failed(has), _blocked(has)
    severity = _severity(has)
    event: JSON = {
        "category_uid": 6,
        "category_name": "Application Activity",
        "class_uid": CLASS,
        "class_name": "API Activity",
        "activity_id": activity,
        "activity_name": "Read" if activity == 2 else _operation(has),
        "type_uid": CLASS * 100 + activity,
        "severity_id": severity,
        "severity": ("Unknown", "Informational", "Low", "Medium", "High")[severity],
        "time": int(has.time * 1000),
        "message": _message(has),
        "status_id": 2 if failed else 1,
        "status": "Failure" if failed else "Success",
        "action_id": 2 if blocked else 1,
        "action": "Denied" if blocked else "Allowed",
        "disposition_id": 2 if blocked else 1,
        "disposition": "Blocked" if blocked else "Allowed",
        "is_alert": severity >= 4,
        "actor": _actor(record, has),
        "api": _api(record, has),
        "src_endpoint": {"name": _source(record)},
        "metadata": {
            "version": SCHEMA_VERSION,
            "product": {"name": "AgentFlow Gateway", "vendor_name": "AgentFlow", "version": __version__},
            "profiles": ["security_control"],
            "log_name": f"audit/{entry.chain}",
            "log_provider": "AgentFlow",
            "sequence": entry.seq,
            "event_code": has.kind if not has.event else f"{has.kind}.{has.event}",
            **({"uid": has.id} if has.id else {}),
            **({"labels": [f"pii:{kind}" for kind in has.pii]} if has.pii else {}),
        },
        "unmapped": _rest(record),
    }
    if detail := "; ".join(_sentences(record)) or (has.outcome if failed else ""):
        event["status_detail"] = detail
    if "error_code" in record:
        event["status_code"] = str(record["error_code"])
    if isinstance(micros := record.get("micros"), int):
        event["duration"] = micros // 1000
    if has.server:
        event["dst_endpoint"] = {"svc_name": has.server}
    if has.names:
        event["resources"] = [{"name": has.names[0], "type": _type(has), "uid": f"{has.server}/{has.names[-1]}"}]
    if revision := _object(record.get("decision")).get("revision"):
        event["policy"] = {"name": "agentflow", "uid": str(revision), "version": str(revision)}
    return event


def _actor(record: JSON, has: Facets) -> JSON:
    principal = _object(record.get("principal"))
    kind = str(principal.get("kind") or "")
    user: JSON = {
        "uid": has.principal or "unknown",
        "type_id": 1 if kind == "user" else 99 if kind else 0,
        "type": kind.capitalize() or "Unknown",
    }
    if has.tenant:
        user["org"] = {"uid": has.tenant, "name": has.tenant}
    if isinstance(roles := principal.get("roles"), list) and roles:
        user["groups"] = [{"name": str(role)} for role in roles]
    actor: JSON = {"user": user}
    if session := record.get("session"):
        actor["session"] = {"uid": str(session)}
    if client := _object(record.get("client")).get("name"):
        actor["app_name"] = str(client)
    if has.decision:
        actor["authorizations"] = [{"decision": "denied" if has.decision == "deny" else "allowed"}]
    return actor


def _api(record: JSON, has: Facets) -> JSON:
    api: JSON = {"operation": _operation(has), "request": {"uid": has.id or "unknown"}}
    if has.server:
        api["service"] = {"name": has.server}
    if protocol := record.get("protocol"):
        api["version"] = str(protocol)
    if _failed(has):
        api["response"] = {"error": has.outcome}
        if isinstance(code := record.get("error_code"), int):
            api["response"]["code"] = code
    return api


def _rest(record: JSON) -> JSON:
    """What OCSF has no place for, as it is."""
    told = {"kind", "id", "time", "principal", "session", "surface", "server", "client", "error_code", "protocol"}
    return {name: value for name, value in record.items() if name not in told}


# CEF --------------------------------------------------------------------------------------------------------


def cef(entry: Entry) -> str:
    """The record as one CEF line."""
    record, has = entry.record, query.facets(entry.record)
    header = ("AgentFlow", "AgentFlow Gateway", __version__, _signature(has), _message(has))
    front = "|".join(header_value(text) for text in header)
    extension = " ".join(
        f"{key}={extension_value(str(value)[:most])}" for key, value, most in _fields(entry, record, has) if value != ""
    )
    return f"CEF:0|{front}|{(0, 1, 3, 6, 9)[_severity(has)]}|{extension}"


def header_value(text: str) -> str:
    """A header field: backslash and bar escaped; no line break may stand there, so one becomes a space."""
    return _LINE_BREAKS.sub(" ", _CONTROLS.sub(" ", text)).replace("\\", "\\\\").replace("|", "\\|")


def extension_value(text: str) -> str:
    """A value of the extension: backslash, equals sign and line breaks escaped."""
    escaped = _CONTROLS.sub(" ", text).replace("\\", "\\\\").replace("=", "\\=")
    return escaped.replace("\r", "\\r").replace("\n", "\\n")


# Control characters and what Unicode takes for the end of a line, but for CR and LF, which have an escape.
_CONTROLS: Final = re.compile("[\x00-\x09\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029]")
_LINE_BREAKS: Final = re.compile("[\r\n]+")


def _fields(entry: Entry, record: JSON, has: Facets) -> list[tuple[str, Any, int]]:
    """Keys of the extension dictionary, values, and how long they may be."""
    principal = _object(record.get("principal"))
    decision = _object(record.get("decision"))
    fields: list[tuple[str, Any, int]] = [
        ("rt", int(has.time * 1000), 20),
        ("externalId", has.id, 40),
        ("cat", has.kind, 1023),
        ("act", "denied" if _blocked(has) else "allowed", 63),
        ("outcome", has.outcome, 63),
        ("reason", "; ".join(_sentences(record)), 1023),
        ("suid", f"{has.tenant}/{has.principal}" if has.principal else "", 1023),
        ("suser", has.principal, 1023),
        ("spriv", ",".join(map(str, principal.get("roles") or ())), 1023),
        ("shost", _source(record), 1023),
        ("requestMethod", has.surface, 1023),
        ("requestClientApplication", _object(record.get("client")).get("name") or "", 1023),
        ("destinationServiceName", has.server, 1023),
        ("deviceExternalId", entry.chain, 255),
    ]
    for number, (label, value) in enumerate(
        (
            ("tool", has.names[0] if has.names else ""),
            ("tenant", has.tenant),
            ("policyRevision", str(decision.get("revision") or "")),
            ("reasonCodes", ",".join(has.reasons)),
            ("piiTypes", ",".join(has.pii)),
            ("session", str(record.get("session") or "")),
        ),
        start=1,
    ):
        if value:
            fields += [(f"cs{number}", value, 4000), (f"cs{number}Label", label, 1023)]
    fields += [("cn1", entry.seq, 20), ("cn1Label", "sequence", 1023)]
    if isinstance(micros := record.get("micros"), int):
        fields += [("cn2", micros, 20), ("cn2Label", "microseconds", 1023)]
    if "injection" in record:
        fields += [("cfp1", has.score, 20), ("cfp1Label", "injectionScore", 1023)]
    return fields


# Both -------------------------------------------------------------------------------------------------------


def _operation(has: Facets) -> str:
    return has.surface or (f"{has.kind}/{has.event}" if has.event else has.kind) or "unknown"


def _signature(has: Facets) -> str:
    return has.surface or (f"{has.kind}.{has.event}" if has.event else has.kind) or "unknown"


def _message(has: Facets) -> str:
    what = " ".join(part for part in (_operation(has), has.names[0] if has.names else "") if part)
    return f"{what}: {has.outcome}" if has.outcome else what


def _activity(has: Facets) -> int:
    return 2 if any(part in has.surface for part in _READING) else 99


def _type(has: Facets) -> str:
    return {"tools": "tool", "resources": "resource", "prompts": "prompt", "models": "model"}.get(
        has.surface.partition("/")[0], "item"
    )


def _failed(has: Facets) -> bool:
    return has.decision == "deny" or has.event in ("refused", "denied") or has.outcome not in ("", "ok")


def _blocked(has: Facets) -> bool:
    return has.decision == "deny" or has.outcome in _BLOCKED or has.event in ("refused", "denied")


def _severity(has: Facets) -> int:
    """1 informational, 2 low, 3 medium, 4 high."""
    if has.event in _GRAVE or has.score >= _SUSPECT:
        return 4
    if _blocked(has):
        return 3
    return 2 if _failed(has) or has.score >= _TRUSTWORTHY else 1


def _sentences(record: JSON) -> list[str]:
    reasons = _object(record.get("decision")).get("reasons") or record.get("reasons") or []
    return [": ".join(map(str, reason)) for reason in reasons if isinstance(reason, list | tuple)]


def _source(record: JSON) -> str:
    details = _object(record.get("details"))
    return str(details.get("network") or record.get("transport") or "gateway")


def _object(value: Any) -> JSON:
    return value if isinstance(value, dict) else {}


_FORMS: Final[dict[str, Callable[[Entry], str]]] = {
    "jsonl": jsonl,
    "ocsf": lambda entry: orjson.dumps(ocsf(entry)).decode(),
    "cef": cef,
}
