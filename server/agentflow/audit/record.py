"""The audit record of one call: everything an administrator may ask about later, and nothing clear.

Of the arguments only the labelled form appears, cut to a bound; where there is none, or policy demands the deep tier
and the label was made without it, a keyed hash under a key of this process. Session ids and names that no catalogue
entry stands behind are hashed too: whoever typed them may have typed a person's data.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Callable, Sequence
from typing import Any

import orjson

from agentflow.audit.asked import abridged, told
from agentflow.guard.walk import masked_pointer
from agentflow.pipeline.call import GATEWAY, JSON, Call, StageRun, Verdict

MAX_ARGUMENTS = 4096  # bytes
_KEY = secrets.token_bytes(32)
_CLIENT_MEMBER = 64  # characters shown
_LOOKED_THROUGH = 1024  # characters in which personal data is looked for, so that no cut hides any
# A stage that passed or changed a message says so in its own words; one that objects quotes names and places.
_QUOTING = frozenset({Verdict.FLAGGED, Verdict.REFUSED})
# Told elsewhere, or opaque to everybody but its maker: no stage looks into those, so nobody knows what they hold.
_NOT_SHOWN = frozenset({"name", "uri", "_meta", "ref", "cursor", "requestState"})


def of(call: Call, events: Sequence[JSON] = (), mask: Callable[[str], str] = str) -> JSON:
    """Build the record.

    Args:
        call: at its end; `outcome` is set.
        events: what a flow noted along the way, already redacted.
        mask: takes personal data out of what a client says of itself, and out of names and places that stages quote.

    Returns:
        `{"kind": "call", "id", "time" (epoch seconds, of the start), "principal": {"id", "kind", "roles", "tenant",
        "auth"}, "session" (hashed), "surface", "server", "name", "target", "arguments", "decision": {"allow",
        "reasons", "obligations", "revision"}, "pii", "findings", "taint", "rehydrated", "redacted", "stages":
        [[stage, direction, surface, verdict, micros, detail?]], "outcome", "error_code", "micros", "asked" (what
        policy saw beside, see `audit.asked`), "model" (of a model's answer: who gave it, tokens, cost in
        nano-dollars, attempts), …}`; members that say nothing are left out.
    """
    known = call.definition is not None or call.upstream is not GATEWAY
    record: JSON = {
        "kind": "call",
        "id": call.id,
        "time": round(call.started, 6),
        "principal": _principal(call),
        "session": call.session.name,
        "surface": call.surface,
        "server": call.upstream.name,
        "outcome": call.outcome,
        "micros": _micros(call),
        "transport": call.transport,
        "protocol": call.protocol,
        "decision": None if call.decision is None else told(call.decision),
        "stages": [
            [run.stage, run.direction, run.surface, run.verdict, run.micros]
            if run.detail is None
            else [run.stage, run.direction, run.surface, run.verdict, run.micros, _detail(run, mask)]
            for run in call.runs
        ],
    }
    _say_what_was_called(record, call, known)
    _say_what_was_found(record, call, mask)
    # What was read in quarantine is bound by another call, too, and a label made without the deep tier tells too much.
    if call.question is not None and call.origin is None and not _undeep(call):
        record["asked"] = abridged(call.question, mask)
    for name, value in (
        ("taint", sorted(call.taint)),
        ("rehydrated", call.rehydrated),
        ("redacted", call.redacted),
        ("approval", call.approval),
        ("cached", call.cached),
        ("model", call.model),
        ("parent", call.parent),
        ("events", list(events)),
        ("error_code", call.error_code),
    ):
        if value:
            record[name] = value
    return record


def _principal(call: Call) -> JSON:
    who = call.principal
    return {"id": who.id, "kind": who.kind, "roles": who.roles, "tenant": who.tenant, "auth": who.auth}


def _say_what_was_found(record: JSON, call: Call, mask: Callable[[str], str]) -> None:
    """Add what came in with the call and what label and screen made of it."""
    if call.params:
        record["arguments"] = _arguments(call)
    if call.client:
        record["client"] = {
            name: mask(str(call.client[name])[:_LOOKED_THROUGH])[:_CLIENT_MEMBER]
            for name in ("name", "version")
            if name in call.client
        }
    if call.pii.counts or call.pii.tokens:
        record["pii"] = {"counts": call.pii.counts, "tokens": call.pii.tokens}
    if call.findings:
        record["injection"] = call.injection_score
        record["findings"] = [
            [found.rule, found.severity, masked_pointer(found.path, mask), found.excerpt]
            for found in call.findings[:20]
        ]


def _detail(run: StageRun, mask: Callable[[str], str]) -> Any:
    return _masked(run.detail, mask) if run.verdict in _QUOTING else run.detail


def _masked(value: Any, mask: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return masked_pointer(value, mask) if value.startswith("/") else mask(value)
    if isinstance(value, dict):
        return {name: _masked(item, mask) for name, item in value.items()}
    return [_masked(item, mask) for item in value] if isinstance(value, list | tuple) else value


def _say_what_was_called(record: JSON, call: Call, known: bool) -> None:
    """A URI is shown as labelled, a name only when it is a catalogue's."""
    uri = call.params.get("uri")
    if uri is not None:
        labelled = call.labelled.get("uri") if call.labelled is not None and not _undeep(call) else None
        record["name"] = labelled if isinstance(labelled, str) else _keyed(str(uri).encode())
    elif call.name:
        # What completes a resource template was typed by the client; the template itself was not.
        ref = call.params.get("ref")
        shown = call.target if isinstance(ref, dict) and ref.get("type") == "ref/resource" else call.name
        record["name"] = shown if known else _keyed(call.name.encode("utf-8", "replace"))
        if known and call.target != call.name:
            record["target"] = call.target


def _undeep(call: Call) -> bool:
    """Whether policy wants names out of this call and its label, made before policy was asked, may hold some."""
    return call.decision is not None and call.decision.obligations.deep and not call.labelled_deep


def _arguments(call: Call) -> JSON:
    if call.labelled is None or _undeep(call):
        return {"hash": _keyed(_canonical(call.params))}
    shown = {name: value for name, value in call.labelled.items() if name not in _NOT_SHOWN}
    if isinstance(responses := shown.get("inputResponses"), dict):  # keyed by ids, which no stage looks into either
        shown["inputResponses"] = list(responses.values())
    if isinstance(argument := shown.get("argument"), dict):
        shown["argument"] = {"value": argument.get("value")}
    text = _canonical(shown)
    if len(text) <= MAX_ARGUMENTS:
        return shown
    return {"bytes": len(text), "hash": _keyed(text), "start": text[:MAX_ARGUMENTS].decode("utf-8", "ignore")}


def _canonical(value: JSON) -> bytes:
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    except TypeError:  # integers beyond 64 bits, lone surrogates
        return repr(value).encode("utf-8", "backslashreplace")


def _keyed(content: bytes) -> str:
    return hashlib.blake2b(content, key=_KEY, digest_size=16).hexdigest()


def _micros(call: Call) -> int:
    return (time.perf_counter_ns() - call.started_ns) // 1000
