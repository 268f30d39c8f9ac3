"""The policy's input document, version `agentflow/1`; `input.schema.json` next to this file is its JSON Schema.

It promises to hold nothing clear (arguments appear in their labelled form only), nothing that differs between
equal calls (no call id, time no finer than the hour), and, for listings, nothing of arguments or session: what a
principal sees does not depend on them.
"""

from __future__ import annotations

import time
from functools import lru_cache

from agentflow.identity.principal import Principal
from agentflow.pipeline.call import JSON, Call, UpstreamFacts

VERSION = "agentflow/1"
KINDS = {
    "tools/call": "tool",
    "prompts/get": "prompt",
    "resources/read": "resource",
    "resources/subscribe": "resource",
    "resources/unsubscribe": "resource",
}
USED_BY = {"tool": "tools/call", "prompt": "prompts/get", "resource": "resources/read"}
_WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_NO_PII: JSON = {"types": [], "counts": {}, "paths": []}
_NO_SESSION: JSON = {"taint": [], "counts": {}}


def kind_of(call: Call) -> str:
    """Return what the call is about: `tool`, `prompt`, `resource`, or `gateway` for the gateway's own surfaces."""
    if call.surface == "completion/complete" and call.upstream.name:
        ref = call.params.get("ref")
        return "prompt" if isinstance(ref, dict) and ref.get("type") == "ref/prompt" else "resource"
    return KINDS.get(call.surface, "gateway")


def for_call(call: Call) -> JSON:
    """Build the document of a call. `call.labelled` is taken for the arguments, and `{}` where it is None."""
    labelled = call.labelled or {}
    arguments = labelled.get("arguments")
    kind = kind_of(call)
    return {
        "version": VERSION,
        "principal": principal(call.principal),
        "call": {
            "kind": kind,
            "surface": call.surface,
            "phase": "call",
            "server": call.upstream.name,
            "tool": _target(call, kind, labelled),
            "annotations": hints_of(call.definition),
            "arguments": arguments if isinstance(arguments, dict) else {},
            "pii": {"types": call.pii.types, "counts": call.pii.counts, "paths": call.pii.paths},
            "injection": {"score": call.injection_score},
        },
        "session": {"taint": sorted(call.session.taint), "counts": call.session.counts},
        "upstream": upstream(call.upstream),
        "time": now(),
    }


def for_listing(caller: Principal, kind: str, facts: UpstreamFacts, target: str, definition: JSON | None) -> JSON:
    """Build the document of one thing that might be listed to a principal.

    Args:
        kind: `tool`, `prompt` or `resource`.
        target: the upstream's own name for it, or its URI (template).
        definition: the catalogue's definition, for its annotations.
    """
    return {
        "version": VERSION,
        "principal": principal(caller),
        "call": {
            "kind": kind,
            "surface": USED_BY[kind],
            "phase": "list",
            "server": facts.name,
            "tool": target,
            "annotations": hints_of(definition),
            "arguments": {},
            "pii": _NO_PII,
            "injection": {"score": 0.0},
        },
        "session": _NO_SESSION,
        "upstream": upstream(facts),
        "time": now(),
    }


@lru_cache(maxsize=4096)
def principal(caller: Principal) -> JSON:
    """The caller's part of the document; shared, so never to be changed."""
    return {
        "id": caller.id,
        "kind": caller.kind,
        "roles": list(caller.roles),
        "tenant": caller.tenant,
        "scopes": list(caller.scopes),
        "auth": caller.auth,
    }


@lru_cache(maxsize=4096)
def upstream(facts: UpstreamFacts) -> JSON:
    """The server's part of the document; shared, so never to be changed."""
    return {"trust": facts.trust, "sensitivity": facts.sensitivity, "kind": facts.kind}


def hints_of(definition: JSON | None) -> JSON:
    """What the tool says of itself, or `{}`."""
    found = definition.get("annotations") if definition is not None else None
    return found if isinstance(found, dict) else {}


def now() -> JSON:
    """The gateway's local hour (0 to 23) and weekday (in English, lower case)."""
    local = time.localtime()
    return {"hour": local.tm_hour, "weekday": _WEEKDAYS[local.tm_wday]}


def _target(call: Call, kind: str, labelled: JSON) -> str:
    if kind == "resource" and labelled.get("uri") != call.params.get("uri"):
        uri = labelled.get("uri")  # the URI held PII: only its tokens may be seen
        return uri if isinstance(uri, str) else ""
    return call.target
