"""The input document of a call as the audit record keeps it: what the record does not say elsewhere, and back again.

It promises that `restored` gives the very document the policy saw, or says why it cannot. Nothing clear is kept:
arguments are the record's own labelled ones, pointers and hosts go through the mask, and of what a tool says of
itself only the hints (booleans) stay.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from agentflow.guard.walk import masked_pointer, serialised
from agentflow.pipeline.call import JSON, Decision, Obligations

Mask = Callable[[str], str]


class NotRecorded(ValueError):
    """The document cannot be restored from the record; the text says why."""


def abridged(question: JSON, mask: Mask = str) -> JSON:
    """Return what a record needs beside its other members to give `question` back.

    Args:
        question: as `policy.document.for_call` built it, from labelled arguments.
        mask: takes personal data out of the names of arguments and hosts.
    """
    call, session = question["call"], question["session"]
    kept: JSON = {"version": question["version"], "kind": call["kind"], "tool": call["tool"], "time": question["time"]}
    hints = {name: value for name, value in call["annotations"].items() if isinstance(value, bool)}
    for name, value in (
        ("scopes", question["principal"]["scopes"]),
        ("annotations", hints),
        ("pii", _masked_paths(call["pii"], mask) if call["pii"]["types"] else None),
        ("injection", call["injection"]["score"]),
        ("findings", [{**each, "path": masked_pointer(each["path"], mask)} for each in call["injection"]["findings"]]),
        ("flow", _masked_flow(call["flow"], mask) if "flow" in call else None),
        ("taint", session["taint"]),
        ("counts", _masked_counts(session["counts"], mask)),
        ("approvals", _masked_counts(session["approvals"], mask)),
        ("calls_left", None if (left := question["budget"]["calls_left"]) is None else [left]),
    ):
        if value:
            kept[name] = value
    kept["upstream"] = question["upstream"]
    return kept


def restored(record: JSON) -> JSON:
    """Return the input document of a recorded call.

    Raises:
        NotRecorded: the record is of no call, the call never came to the policy, or its arguments are not there.
    """
    if record.get("kind") != "call":
        raise NotRecorded("not a record of a call")
    if not isinstance(record.get("decision"), dict):
        raise NotRecorded("never came to the policy")
    asked = record.get("asked")
    if not isinstance(asked, dict):
        raise NotRecorded("recorded without the policy's input")
    principal, arguments = record["principal"], _arguments(record)
    call: JSON = {
        "kind": asked["kind"],
        "surface": record["surface"],
        "phase": "call",
        "server": record["server"],
        "tool": asked["tool"],
        "annotations": asked.get("annotations", {}),
        "arguments": arguments,
        "size": size_of(arguments),
        "pii": asked.get("pii", {"types": [], "counts": {}, "paths": []}),
        "injection": {"score": asked.get("injection", 0.0), "findings": asked.get("findings", [])},
    }
    if "flow" in asked:
        call["flow"] = asked["flow"]
    return {
        "version": asked["version"],
        "principal": {
            "id": principal["id"],
            "kind": principal["kind"],
            "roles": principal["roles"],
            "tenant": principal["tenant"],
            "scopes": asked.get("scopes", []),
            "auth": principal["auth"],
        },
        "call": call,
        "session": {
            "id": record.get("session", ""),
            "taint": asked.get("taint", []),
            "counts": asked.get("counts", {}),
            "approvals": asked.get("approvals", {}),
        },
        "upstream": asked["upstream"],
        "budget": {"calls_left": asked.get("calls_left", [None])[0]},
        "time": asked["time"],
    }


def size_of(arguments: JSON) -> int:
    """The bytes of arguments, as labelled, written as JSON."""
    data = serialised(arguments)
    return len(data if data is not None else json.dumps(arguments, separators=(",", ":"), default=str))


def told(decision: Decision) -> JSON:
    """A decision as records tell it: obligations that say nothing are left out."""
    if not decision.allow:
        return {"allow": False, "reasons": decision.reasons, "revision": decision.revision}
    return {
        "allow": True,
        "reasons": decision.reasons,
        "obligations": owed(decision.obligations),
        "revision": decision.revision,
    }


def owed(obligations: Obligations) -> JSON:
    """Obligations as records tell them."""
    shown: JSON = {"redact": obligations.redact, "rehydrate": obligations.rehydrate}
    if obligations.approval is not None:
        shown["approval"] = obligations.approval
    for name, value, usual in (
        ("max_result_bytes", obligations.max_result_bytes, None),
        ("cache_ttl", obligations.cache_ttl, 0),
        ("deep", obligations.deep, False),
        ("injection", obligations.injection, None),
        ("mask", obligations.mask, ()),
        ("model_tier", obligations.model_tier, None),
        ("log_level", obligations.log_level, None),
        ("rate_class", obligations.rate_class, None),
    ):
        if value != usual:
            shown[name] = value
    return shown


def _arguments(record: JSON) -> JSON:
    shown = record.get("arguments", {})
    if "hash" in shown:
        raise NotRecorded("arguments recorded as a hash: too long, or to be searched for names")
    arguments = shown.get("arguments")
    return arguments if isinstance(arguments, dict) else {}


def _masked_paths(pii: JSON, mask: Mask) -> JSON:
    return {**pii, "paths": [masked_pointer(path, mask) for path in pii["paths"]]}


def _masked_counts(counts: JSON, mask: Mask) -> JSON:
    """By server and name; a resource's name is its address, which may hold a value."""
    masked: JSON = {}
    for place, count in counts.items():
        shown = mask(place)
        masked[shown] = masked.get(shown, 0) + count
    return masked


def _masked_flow(flow: JSON, mask: Mask) -> JSON:
    masked: JSON = dict(flow)
    for name in ("destinations", "provenance"):
        masked[name] = [{**item, "path": masked_pointer(item["path"], mask)} for item in flow.get(name, ())]
    if "hosts" in flow:
        masked["hosts"] = [mask(host) for host in flow["hosts"]]
    return masked


def same(before: Any, after: Any) -> bool:
    """Whether two decisions, as records tell them, come to the same for the caller and the data."""
    if before["allow"] is not after["allow"]:
        return False
    return not after["allow"] or _plain(before.get("obligations")) == _plain(after.get("obligations"))


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value
