"""A message on its way through the pipeline, and the record it leaves behind.

A `Call` is one client request (its surface is the MCP method) together with everything that travels on
its behalf: the answer, and the progress, log, elicitation, sampling and roots messages in between.
Each of those is a `Message`; every stage sees every message.
"""

from __future__ import annotations

import hashlib
import time
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from typing import Any

from agentflow.config import LogLevel
from agentflow.config_guard import Action
from agentflow.config_models import Tier
from agentflow.guard.digests import digest
from agentflow.guard.flow import Flow
from agentflow.guard.walk import serialised
from agentflow.identity.principal import Principal
from agentflow.pipeline.rounds import Round

JSON = dict[str, Any]

# `_meta` members between a caller and the gateway: ask for the record of a call, and its id in the answer.
EXPLAIN = "agentflow/explain"
CONVERSATION = "agentflow/conversation"  # a stateless client's name for the conversation a request belongs to
RECORD = "agentflow/record"
OURS = "agentflow/"  # members of `_meta` that begin so are the gateway's: from an upstream they are taken out

# (method, params) -> result: puts a request (`elicitation/create`) to the client of this call.
Ask = Callable[[str, JSON], Awaitable[JSON]]
# (method, params): sends the client of this call a notification.
Tell = Callable[[str, JSON], Awaitable[None]]


@lru_cache(maxsize=4096)
def _hashed(session_id: str) -> str:
    return hashlib.sha256(session_id.encode("utf-8", "replace")).hexdigest()[:32]


class Direction(StrEnum):
    """Which way a message travels: towards the upstream (tool) or towards the client (model)."""

    INBOUND = "inbound"
    OUTBOUND = "outbound"


class Verdict(StrEnum):
    """What a stage concluded about one message."""

    PASS = "pass"  # looked at it, nothing to do
    CHANGED = "changed"  # a mutator altered it
    FLAGGED = "flagged"  # a validator objected in `audit` mode, or found something below its threshold
    REFUSED = "refused"  # a validator refused it
    FAILED = "failed"  # the stage itself broke
    SKIPPED = "skipped"  # does not apply to this surface, by declaration


@dataclass(slots=True)
class StageRun:
    """One stage's look at one message. `micros` is wall time in microseconds."""

    stage: str
    direction: Direction
    surface: str
    verdict: Verdict
    micros: int
    detail: JSON | None = None


@dataclass(slots=True)
class Session:
    """What is remembered of one conversation: one principal with one client session.

    Attributes:
        id: unguessable; a legacy client's session, or derived for stateless clients.
        taint: labels collected so far, e.g. `untrusted`, `private`, `injection`.
        counts, approvals: calls answered, and calls approved by a person, by `server/tool`.
        conversation, owner: names of the conversation and of its principal and client in the taint store (hashes).
        resumes: it may be the next one of a client whose last one was broken off.
    """

    id: str
    principal: Principal
    taint: set[str] = field(default_factory=set)
    counts: dict[str, int] = field(default_factory=dict)
    approvals: dict[str, int] = field(default_factory=dict)
    last_used: float = field(default_factory=time.monotonic)
    conversation: bytes = b""
    owner: bytes = b""
    resumes: bool = False

    @property
    def name(self) -> str:
        """What policy and records call it: always the same, and no key to it."""
        return _hashed(self.id)


@dataclass(frozen=True, slots=True)
class UpstreamFacts:
    """What policy and guard may know of an upstream. The gateway itself is `GATEWAY`."""

    name: str
    kind: str
    trust: str = "untrusted"  # or "trusted"
    sensitivity: str = "public"  # or "private"
    tenants: tuple[str, ...] = ()  # whose callers may know of it; empty: everybody's

    def open_to(self, tenant: str) -> bool:
        """Whether callers of a tenant may know of it."""
        return not self.tenants or tenant in self.tenants


GATEWAY = UpstreamFacts(name="", kind="gateway", trust="trusted")
MODELS = UpstreamFacts(name="models", kind="model")  # whatever language model answers: it gets tokens, never values


@dataclass(slots=True)
class Pii:
    """What the PII label stage found in the arguments: counts by type, JSON pointers, tokens seen."""

    counts: dict[str, int] = field(default_factory=dict)
    paths: list[str] = field(default_factory=list)
    tokens: int = 0

    @property
    def types(self) -> list[str]:
        return sorted(self.counts)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing the injection screen found. `start`/`end` are offsets in the original string at `path`."""

    rule: str
    severity: float  # 0..1
    path: str  # JSON pointer
    start: int
    end: int
    excerpt: str  # at most 80 characters, PII removed


@dataclass(frozen=True, slots=True)
class Obligations:
    """What policy demands along with an `allow`. Types are PII types; `"*"` means every type."""

    redact: tuple[str, ...] = ("*",)  # PII types turned into tokens in what goes to the client
    rehydrate: tuple[str, ...] = ()  # PII types whose tokens become values in what goes to the upstream
    approval: JSON | None = None  # {"who": str | [str], "ttl": seconds, "prompt": str, "count"?: approvers}
    max_result_bytes: int | None = None
    cache_ttl: float = 0.0  # seconds a read-only answer may be reused for the same principal
    deep: bool = False  # what goes to the client is also searched for names, places and the like
    injection: Action | None = None  # what is done about injected instructions in the answer, whoever sent it
    mask: tuple[str, ...] = ()  # PII types shown masked, not as tokens, in what goes to the client
    rate_class: str | None = None  # the class of `limits` that the call counts in, beside the caller's own limit
    model_tier: Tier | None = None  # the strongest model that a flow tool may use for it, or that may answer it
    log_level: LogLevel | None = None  # the gateway's log has one line about the call, at this level


@dataclass(frozen=True, slots=True)
class Decision:
    """A typed policy decision. `reasons` is a tuple of (code, message)."""

    allow: bool
    reasons: tuple[tuple[str, str], ...] = ()
    obligations: Obligations = field(default_factory=Obligations)
    revision: str = ""


@dataclass(frozen=True, slots=True)
class Origin:
    """The call whose answer was withheld: what binds whoever reads that answer later.

    Attributes:
        surface: `tools/call`, `resources/read` or `prompts/get`.
        target, definition: what was called, as in its `Call`.
        obligations: what policy demanded of that call.
    """

    surface: str
    target: str
    definition: JSON | None = None
    obligations: Obligations = field(default_factory=Obligations)


@dataclass(slots=True)
class Call:
    """One request through the gateway.

    Attributes:
        surface: the MCP method, e.g. `tools/call`.
        name: the name the client used (tool, prompt), or the URI of a resource; "" for listings.
        target: the upstream's own name for it.
        params: JSON-RPC params; inbound mutators replace it (`call.params = …`), never edit it in place,
            because `labelled` and the client's own copy may share parts of it.
        excused: the arguments fit their schema only if what the PII tokens in them stand for does.
        labelled: params with every PII value replaced by its typed token: the only form of the arguments
            that policy, audit, logs and approval prompts may see. Set by the label stage.
        definition: the catalogue's definition of the tool or prompt (upstream's raw JSON), or None.
        ask: how a stage asks the person at the client (approval), or None where nobody can be asked.
        tell: how a stage tells the client that it has to wait.
        round: of a request that its client may be sent away from with an interim answer, and comes back to.
        transport: `http`, `stdio` or `flow` (a call made by one of the flow tools).
        origin: set by the gateway, and by nobody else, where a result in quarantine is read.
        runs: the record of stages, in the order they ran.
    """

    surface: str
    principal: Principal
    session: Session
    params: JSON
    name: str = ""
    target: str = ""
    upstream: UpstreamFacts = GATEWAY
    definition: JSON | None = None
    transport: str = "http"
    protocol: str = ""
    client: JSON = field(default_factory=dict)  # clientInfo
    ask: Ask | None = None
    tell: Tell | None = None
    round: Round | None = None
    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    parent: str = ""  # the record id of the flow run that made this call
    origin: Origin | None = None
    excused: bool = False
    labelled: JSON | None = None
    labelled_deep: bool = False  # … with the deep tier's types, too
    pii: Pii = field(default_factory=Pii)
    findings: list[Finding] = field(default_factory=list)
    injection_score: float = 0.0
    decision: Decision | None = None
    question: JSON | None = None  # what the policy was asked, for the record; not to be changed
    approval: JSON | None = None  # how an approval was obtained, for the record
    calls_left: int | None = None  # what the caller may still ask this minute, or None without a limit
    rehydrated: dict[str, int] = field(default_factory=dict)  # tokens given back to the upstream, by type
    redacted: dict[str, int] = field(default_factory=dict)  # values tokenised in what went out, by type
    taint: set[str] = field(default_factory=set)  # labels this call added
    clear: JSON | None = None  # the last outbound body before redaction; never recorded, gone with the call
    flow: Flow | None = None  # where its arguments come from and lead, where there is something to tell
    cached: bool = False
    model: JSON | None = None  # which model answered, at what cost, after what attempts; for the record
    refused: bool = False  # already, before it was routed: there is nothing to decide, it is limited and recorded
    events: list[JSON] = field(default_factory=list)  # what a flow tool noted: turns, verdicts
    runs: list[StageRun] = field(default_factory=list)
    started: float = field(default_factory=time.time)  # epoch seconds
    started_ns: int = field(default_factory=time.perf_counter_ns)
    outcome: str = ""  # "ok", "tool_error", or the `kind` of the error
    error_code: int | None = None


@dataclass(slots=True)
class Message:
    """One JSON body of a call, on its way in one direction.

    Attributes:
        surface: the MCP method it belongs to: the call's own for request and answer, else e.g.
            `elicitation/create`, `sampling/createMessage`, `roots/list`, `notifications/progress`,
            `notifications/message`; `error` for a JSON-RPC error (`{"message", "data"}`).
        body: params or result. Mutators replace it (`message.body = …`).
        marked: passages in it are spotlit (`guard.neutralise.spotlight`).
    """

    surface: str
    direction: Direction
    body: JSON
    marked: bool = False
    _written: tuple[JSON, bytes | None, bytes | None] | None = field(
        default=None, init=False, repr=False, compare=False
    )

    @property
    def data(self) -> bytes | None:
        """The body as serialised JSON, made once for all stages; None where it holds what orjson does not write."""
        return self._as_written()[1]

    @property
    def digest(self) -> bytes | None:
        """What the body is known again by (`guard.digests`); None where it is not."""
        return self._as_written()[2]

    def _as_written(self) -> tuple[JSON, bytes | None, bytes | None]:
        if self._written is None or self._written[0] is not self.body:
            data = serialised(self.body)
            self._written = (self.body, data, digest(data))
        return self._written
