"""What the administration shows: one set of models for the REST interface, its OpenAPI document and the page.

Times are epoch seconds, durations `…_ms` milliseconds, sizes bytes. Nothing in them is a clear secret, save the key
in `NewKey`, which is shown once; what servers say of themselves is shown with personal data taken out.
"""

from __future__ import annotations

from typing import Any, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field

JSON = dict[str, Any]
T = TypeVar("T")


class Model(BaseModel):
    """What is shown."""

    model_config = ConfigDict(frozen=True)


class Wish(BaseModel):
    """What is asked for: members that nobody knows are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", str_max_length=100_000)


class Page(Model, Generic[T]):
    """A part of a list; `next` is the cursor of the following part, absent at the end."""

    items: list[T]
    next: str | None = None


class Problem(Model):
    """What went wrong (RFC 9457)."""

    type: str = Field(description="`urn:agentflow:problem:` and the kind of the error.")
    title: str
    status: int
    detail: str = Field(description="One sentence for a person.")
    fix: str | None = Field(default=None, description="What the reader can do about it.")
    problems: list[str] | None = Field(default=None, description="Everything that was found wrong, one by one.")


# The gateway ------------------------------------------------------------------------------------------------


class Whoami(Model):
    """The caller, as the gateway sees it."""

    id: str
    kind: str
    tenant: str
    roles: list[str]
    scopes: list[str]
    auth: str
    home: bool = Field(description="Whether it is in the home tenant, whose administrators administer the gateway.")


class EngineState(Model):
    """What decides calls."""

    kind: Literal["embedded", "opa"]
    revision: str


class StoreState(Model):
    """The database."""

    kind: Literal["sqlite", "postgresql"]
    begun: bool = Field(description="Whether anything has been kept in it yet.")


class Verification(Model):
    """The last look at whether anything was done to the audit log."""

    state: Literal["never", "running", "ok", "damaged", "failed"]
    at: float | None = Field(default=None, description="When it ended.")
    records: int = 0
    chains: int = 0
    signed: int = 0
    damage: str | None = Field(default=None, description="The first damage: its kind, place and record.")
    notes: list[str] = []


class AuditState(Model):
    """The audit log of this gateway."""

    chain: str
    records: int = Field(description="Number of the last record of this gateway's chain.")
    key: str = Field(description="Id of the key that signs its heads.")
    verification: Verification


class Status(Model):
    """How the gateway is. Without the home tenant's eyes only the first four."""

    status: Literal["starting", "ready", "degraded"]
    version: str
    started: float
    uptime: float
    tools: int | None = None
    sessions: int | None = None
    servers: dict[str, int] | None = Field(default=None, description="How many servers are in which state.")
    held: int | None = Field(default=None, description="Definitions in quarantine.")
    problems: list[str] | None = None
    engine: EngineState | None = None
    store: StoreState | None = None
    audit: AuditState | None = None


class Latency(Model):
    """Calls of one tool, prompt or resource server within the period."""

    server: str
    name: str
    calls: int
    refused: int
    p50_ms: float
    p95_ms: float
    p99_ms: float


class Slot(Model):
    """Ten seconds."""

    time: float
    calls: int
    refused: int


class Overview(Model):
    """What happened in the last minutes at this gateway, as far as the caller may see it."""

    since: float
    until: float
    calls: int
    refused: int
    p50_ms: float
    p95_ms: float
    p99_ms: float
    refusals: dict[str, int] = Field(description="Refused calls by the kind of the refusal.")
    tools: list[Latency]
    slots: list[Slot]


# Servers and the catalogue ----------------------------------------------------------------------------------


class Server(Model):
    """A server behind the gateway."""

    name: str
    type: str
    address: str = Field(description="Where it is, without what may be secret.")
    origin: Literal["file", "api"] = Field(description="Whether the configuration file or this interface added it.")
    enabled: bool
    status: str
    reason: str
    since: float
    eras: list[str]
    protocol: str
    restarts: int
    tools: int
    held: int
    trust: str
    sensitivity: str
    namespace: str


class ServerDetail(Server):
    """A server, with what it offers."""

    offered: list[str] = Field(description="Tools it lists, by its own names.")
    held_names: list[str]
    problems: list[str]
    info: JSON


class NewServer(BaseModel):
    """A server to be added. Only `http` and `sse`: what runs here, the operator's file alone can say."""

    model_config = ConfigDict(frozen=True, extra="allow", str_max_length=4096)

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.\-]{0,63}$")
    type: str | None = Field(default=None, description="`http` or `sse`; told from the address when absent.")
    url: str | None = Field(default=None, description="https://… or http://…, at a public address.")


class Tool(Model):
    """A tool as a principal sees it."""

    name: str
    server: str
    target: str = Field(description="The server's own name for it.")
    definition: JSON


# Quarantine -------------------------------------------------------------------------------------------------


class Reason(Model):
    """Why something is held."""

    code: str
    text: str


class Held(Model):
    """A definition in quarantine."""

    id: str
    server: str
    kind: str
    name: str
    state: Literal["held", "rejected"]
    since: float
    digest: str = Field(description="SHA-256 of what is held; a decision names it, so that nothing else is meant.")
    pinned: str | None = Field(description="SHA-256 of what is in force, if anything is.")
    reasons: list[Reason]


class Change(Model):
    """One difference: where it is, and its words, each `same`, `added` or `removed`."""

    pointer: str
    words: list[tuple[Literal["same", "added", "removed"], str]]


class HeldDetail(Held):
    """A definition in quarantine, and how it differs from what is in force."""

    changes: list[Change]
    before: str = Field(description="The definition in force, canonical JSON; empty where there is none.")
    after: str = Field(description="The definition held, canonical JSON.")


class Ruling(Wish):
    """A decision about what is held."""

    digest: str = Field(min_length=16, max_length=64, pattern=r"^[0-9a-f]+$", description="`digest` of what is meant.")


# Audit ------------------------------------------------------------------------------------------------------


class Record(Model):
    """An audit record, and where it stands."""

    chain: str
    seq: int
    record: JSON


class Told(Model):
    """A record as it was written, just now."""

    record: JSON
    missed: int = Field(default=0, description="Records left out before this one, because they came too fast.")
