"""The policy's input document, version `agentflow/1`; `input.schema.json` next to this file is its JSON Schema.

It promises to hold nothing clear (arguments appear in their labelled form only), nothing that differs between
equal calls (no call id, time no finer than the hour), and, for listings, nothing of arguments or session: what a
principal sees does not depend on them.
"""

from __future__ import annotations

import re
import time
from functools import lru_cache

from agentflow.audit.asked import size_of
from agentflow.identity.principal import Principal
from agentflow.pipeline.call import JSON, Call, Pii, UpstreamFacts

VERSION = "agentflow/1"
KINDS = {
    "tools/call": "tool",
    "prompts/get": "prompt",
    "resources/read": "resource",
    "resources/subscribe": "resource",
    "resources/unsubscribe": "resource",
    "models/chat": "model",
    "models/embed": "model",
}
USED_BY = {"tool": "tools/call", "prompt": "prompts/get", "resource": "resources/read", "model": "models/chat"}
EMBEDDING = "embedding"  # what the definition of a model says as its `kind` where it answers `models/embed`
_WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_FINDINGS = 20  # of the injection screen that a document names
_NO_PII: JSON = {"types": [], "counts": {}, "paths": []}
_NO_SESSION: JSON = {"id": "", "taint": [], "counts": {}, "approvals": {}}
_NO_BUDGET: JSON = {"calls_left": None}
_WITH_HOST = frozenset({"file", "ftp", "http", "https", "ws", "wss"})
# Escapes that a server may read as a path: letters, digits, and what separates or climbs.
_ESCAPED = re.compile(r"%(?:2[def]|3[0-9]|4[1-9a-f]|5[0-9af]|6[1-9a-f]|7[0-9ae])", re.IGNORECASE)


def kind_of(call: Call) -> str:
    """Return what the call is about: `tool`, `prompt`, `resource`, `model`, or `gateway` for its own surfaces."""
    if call.surface == "completion/complete" and call.upstream.name:
        ref = call.params.get("ref")
        return "prompt" if isinstance(ref, dict) and ref.get("type") == "ref/prompt" else "resource"
    return KINDS.get(call.surface, "gateway")


def for_call(call: Call) -> JSON:
    """Build the document of a call. `call.labelled` is taken for the arguments, and `{}` where it is None."""
    labelled = call.labelled or {}
    given = labelled.get("arguments")
    arguments: JSON = given if isinstance(given, dict) else {}
    kind = kind_of(call)
    built: JSON = {
        "version": VERSION,
        "principal": principal(call.principal),
        "call": {
            "kind": kind,
            "surface": call.surface,
            "phase": "call",
            "server": call.upstream.name,
            "tool": _target(call, kind, labelled),
            "annotations": hints_of(call.definition),
            "arguments": arguments,
            "size": size_of(arguments),
            "pii": {"types": call.pii.types, "counts": call.pii.counts, "paths": call.pii.paths},
            "injection": _injection(call),
        },
        "session": {
            "id": call.session.name,
            "taint": sorted(call.session.taint),
            "counts": dict(call.session.counts),
            "approvals": dict(call.session.approvals),
        },
        "upstream": upstream(call.upstream),
        "budget": _NO_BUDGET if call.calls_left is None else {"calls_left": call.calls_left},
        "time": now(),
    }
    if call.flow is not None:  # a call with nothing to tell is the same question as ever, decided before
        built["call"]["flow"] = call.flow.document()
    return built


def for_result(call: Call, size: int, pii: Pii) -> JSON:
    """Build the document of a call's answer: of `call.question`, with what the answer is.

    Args:
        size: bytes of the answer as JSON.
        pii: what is in the answer.
    """
    assert call.question is not None
    asked: JSON = call.question["call"]
    about = {"types": pii.types, "counts": pii.counts, "paths": pii.paths}
    changed = {"phase": "result", "size": size, "pii": about, "injection": _injection(call)}
    return {**call.question, "call": {**asked, **changed}}


def _injection(call: Call) -> JSON:
    """What the screen found in this call so far: one entry for each rule and place, the first ones only."""
    named = dict.fromkeys((found.rule, found.path) for found in call.findings)
    findings = [{"rule": rule, "path": path} for rule, path in list(named)[:_FINDINGS]]
    return {"score": call.injection_score, "findings": findings}


def for_listing(caller: Principal, kind: str, facts: UpstreamFacts, target: str, definition: JSON | None) -> JSON:
    """Build the document of one thing that might be listed to a principal.

    Args:
        kind: `tool`, `prompt`, `resource` or `model`.
        target: the upstream's own name for it, or its URI (template).
        definition: the catalogue's definition, for its annotations.
    """
    return {
        "version": VERSION,
        "principal": principal(caller),
        "call": {
            "kind": kind,
            "surface": _used_by(kind, definition),
            "phase": "list",
            "server": facts.name,
            "tool": target,
            "annotations": hints_of(definition),
            "arguments": {},
            "size": 2,
            "pii": _NO_PII,
            "injection": {"score": 0.0, "findings": []},
        },
        "session": _NO_SESSION,
        "upstream": upstream(facts),
        "budget": _NO_BUDGET,
        "time": now(),
    }


def _used_by(kind: str, definition: JSON | None) -> str:
    embeds = kind == "model" and (definition or {}).get("kind") == EMBEDDING
    return "models/embed" if embeds else USED_BY[kind]


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
    known: JSON = {"trust": facts.trust, "sensitivity": facts.sensitivity, "kind": facts.kind}
    return known | {"tenants": list(facts.tenants)} if facts.tenants else known


def hints_of(definition: JSON | None) -> JSON:
    """What the tool says of itself, or `{}`."""
    found = definition.get("annotations") if definition is not None else None
    return found if isinstance(found, dict) else {}


def now() -> JSON:
    """The gateway's local hour (0 to 23) and weekday (in English, lower case)."""
    local = time.localtime()
    return {"hour": local.tm_hour, "weekday": _WEEKDAYS[local.tm_wday]}


def _target(call: Call, kind: str, labelled: JSON) -> str:
    """The upstream's own name for what is used; of a resource the URI asked for, which is PII only as a token.

    A template that matched the URI is no name for it: rules about addresses must hold for what a template reaches.
    """
    if kind != "resource" or "uri" not in call.params:
        return call.target
    asked, uri = call.params["uri"], labelled.get("uri")
    if asked == call.target and uri in (None, asked):
        return call.target  # listed as it is
    return normal(uri) if isinstance(uri, str) else ""


def normal(uri: str) -> str:
    """Return `uri` without what hides where it leads: needless escapes; `.`, `..` and empty segments in its path."""
    if "%" in uri:
        uri = _ESCAPED.sub(lambda match: chr(int(match[0][1:], 16)), uri)
    scheme, _, rest = uri.partition("://")
    path, mark, query = rest.partition("?")
    if "/." not in path and "//" not in path:
        return uri
    segments = path.split("/")
    # Whether a scheme of a server's own has a host is known to that server only: `..` may lead out of it.
    fixed = 1 if scheme.lower() in _WITH_HOST or not segments[0] else 0
    kept = segments[:fixed]
    for segment in segments[fixed:]:
        if segment == "..":
            del kept[max(fixed, len(kept) - 1) :]
        elif segment not in ("", "."):
            kept.append(segment)
    return f"{scheme}://{'/'.join(kept)}{mark}{query}"
