"""The tables of the store, as SQLAlchemy Core knows them; `migrations/` is what makes them.

Times are epoch seconds, `digest` and `sealed` columns are bytes that only this installation's keys make or open, and
JSON columns hold arrays or objects of strings. No column holds a clear secret or a clear value of somebody's message.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
)

METADATA: Final = MetaData()

# Callers known by a key that `agentflow keys` made. `id` is the public part of the key, `seal` vouches for all that
# decides what the key may do, and `changed` is the number of the row's newest change.
API_KEYS: Final = Table(
    "api_key",
    METADATA,
    Column("id", String(32), primary_key=True),
    Column("digest", LargeBinary, nullable=False),
    Column("seal", LargeBinary, nullable=False),
    Column("tenant", Text, nullable=False),
    Column("principal", Text, nullable=False),
    Column("kind", String(16), nullable=False),
    Column("roles", JSON, nullable=False),
    Column("scopes", JSON, nullable=False),
    Column("label", Text, nullable=False),
    Column("created", Double, nullable=False),
    Column("created_by", Text, nullable=False),
    Column("expires", Double),
    Column("used", Double),
    Column("revoked", Double),
    Column("revoked_by", Text, nullable=False, server_default=""),
    Column("replaces", String(32)),
    Column("changed", Integer, nullable=False),
    Index("api_key_principal", "tenant", "principal"),
    Index("api_key_replaces", "replaces"),
    Index("api_key_changed", "changed"),
)

# One held call each: what it is bound to, who may answer, and how far it has come. `seal` vouches for all but the last.
APPROVALS: Final = Table(
    "approval",
    METADATA,
    Column("id", String(64), primary_key=True),
    Column("state", String(16), nullable=False),
    Column("tenant", Text, nullable=False),
    Column("principal", Text, nullable=False),
    Column("surface", String(64), nullable=False),
    Column("server", Text, nullable=False),
    Column("tool", Text, nullable=False),
    Column("arguments", String(128), nullable=False),
    Column("revision", String(128), nullable=False),
    Column("shown", Text, nullable=False),
    Column("prompt", Text, nullable=False),
    Column("reasons", JSON, nullable=False),
    Column("who", Text, nullable=False),
    Column("needed", Integer, nullable=False),
    Column("created", Double, nullable=False),
    Column("expires", Double, nullable=False),
    Column("settled", Double),
    Column("call", String(64), nullable=False, server_default=""),
    Column("seal", LargeBinary, nullable=False),
    Index("approval_binding", "tenant", "principal", "arguments", "state"),
    Index("approval_state", "state", "created"),
    Index("approval_expires", "state", "expires"),
)

APPROVAL_VOTES: Final = Table(
    "approval_vote",
    METADATA,
    Column("approval", String(64), ForeignKey("approval.id", ondelete="CASCADE"), primary_key=True),
    Column("voter", Text, primary_key=True),
    Column("approve", Boolean, nullable=False),
    Column("time", Double, nullable=False),
    Column("comment", Text, nullable=False, server_default=""),
    Column("seal", LargeBinary, nullable=False),
)

# What a principal presents to an upstream in its own name. Whoever refreshes one is its `holder` until `held`.
CREDENTIALS: Final = Table(
    "credential",
    METADATA,
    Column("tenant", Text, primary_key=True),
    Column("principal", Text, primary_key=True),
    Column("server", Text, primary_key=True),
    Column("kind", String(32), nullable=False),
    Column("sealed", LargeBinary, nullable=False),
    Column("updated", Double, nullable=False),
    Column("expires", Double),
    Column("version", String(32), nullable=False),
    Column("used", Double),
    Column("holder", String(32), nullable=False, server_default=""),
    Column("held", Double),
)

# Authorizations that a person has begun and not finished; `state` is a digest of OAuth's.
AUTHORIZATIONS: Final = Table(
    "authorization",
    METADATA,
    Column("state", LargeBinary, primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("principal", Text, nullable=False),
    Column("server", Text, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
    Column("expires", Double, nullable=False),
)

# How this gateway is known to an authorization server (RFC 7591), by issuer.
OAUTH_CLIENTS: Final = Table(
    "oauth_client",
    METADATA,
    Column("server", Text, primary_key=True),
    Column("issuer", Text, primary_key=True),
    Column("sealed", LargeBinary, nullable=False),
    Column("expires", Double),
)

# Buckets of calls that gateways sharing the database draw from together.
RATE_LIMITS: Final = Table(
    "rate_limit",
    METADATA,
    Column("bucket", Text, primary_key=True),
    Column("tokens", Double, nullable=False),
    Column("updated", Double, nullable=False),
)

# Uploaded policy bundles, and which of them is in force (`policy_choice`, newest row); `seal` vouches for all of a row.
POLICY_BUNDLES: Final = Table(
    "policy_bundle",
    METADATA,
    Column("revision", String(128), primary_key=True),
    Column("body", LargeBinary, nullable=False),
    Column("uploaded", Double, nullable=False),
    Column("uploaded_by", Text, nullable=False),
    Column("note", Text, nullable=False, server_default=""),
    Column("seal", LargeBinary, nullable=False),
)

POLICY_CHOICES: Final = Table(
    "policy_choice",
    METADATA,
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("revision", String(128), nullable=False),
    Column("time", Double, nullable=False),
    Column("chosen_by", Text, nullable=False),
    Column("back_to", Integer),
    Column("seal", LargeBinary, nullable=False),
)

# People at the page; `id` is a digest of the cookie, and `sealed` what they signed in with, under a key that only the
# cookie gives.
WEB_SESSIONS: Final = Table(
    "web_session",
    METADATA,
    Column("id", LargeBinary, primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("principal", Text, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
    Column("created", Double, nullable=False),
    Column("used", Double, nullable=False),
    Column("expires", Double, nullable=False),
    Index("web_session_principal", "tenant", "principal"),
)

# Servers that were added while gateways ran (`sealed` is the entry), and those that were switched off, whoever added
# them.
SERVERS: Final = Table(
    "server",
    METADATA,
    Column("name", String(64), primary_key=True),
    Column("sealed", LargeBinary),
    Column("enabled", Boolean, nullable=False),
    Column("updated", Double, nullable=False),
    Column("updated_by", Text, nullable=False),
)

# What the router learnt of each model (`arm`) for each kind of request (`scope`), in sums that forget; the row of the
# arm "" holds how many outcomes the scope has had.
MODEL_ARMS: Final = Table(
    "model_arm",
    METADATA,
    Column("scope", String(200), primary_key=True),
    Column("arm", Text, primary_key=True),
    Column("at", Double, nullable=False),
    Column("pulls", Double, nullable=False),
    Column("reward", Double, nullable=False),
    Column("square", Double, nullable=False),
    Column("successes", Double, nullable=False),
    Column("ratio", Double, nullable=False),
    Column("costed", Double, nullable=False),
    Column("latency", Double, nullable=False),
    Column("timed", Double, nullable=False),
    Column("quality", Double, nullable=False),
    Column("judged", Double, nullable=False),
    Column("updated", Double, nullable=False),
)

# What may be spent on models, in nano-dollars: `tenant` or `subject` `*` stands for each one separately.
BUDGETS: Final = Table(
    "budget",
    METADATA,
    Column("id", String(32), primary_key=True),
    Column("name", Text, nullable=False),
    Column("tenant", Text, nullable=False),
    Column("scope", String(16), nullable=False),
    Column("subject", Text, nullable=False),
    Column("period", String(16), nullable=False),
    Column("nano", BigInteger),
    Column("requests_per_minute", Integer),
    Column("tokens_per_minute", Integer),
    Column("max_concurrent", Integer),
    Column("created", Double, nullable=False),
    Column("created_by", Text, nullable=False),
    Column("updated", Double, nullable=False),
    Column("updated_by", Text, nullable=False),
    Index("budget_name", "tenant", "name", unique=True),
)

# What a budget has been charged in one of its periods (`period` is the day it begins, or a run), and what is promised
# to requests under way.
BUDGET_SPENDS: Final = Table(
    "budget_spend",
    METADATA,
    Column("budget", String(32), ForeignKey("budget.id", ondelete="CASCADE"), primary_key=True),
    Column("tenant", Text, primary_key=True),
    Column("subject", Text, primary_key=True),
    Column("period", Text, primary_key=True),
    Column("starts", Double, nullable=False),
    Column("ends", Double),
    Column("spent", BigInteger, nullable=False),
    Column("reserved", BigInteger, nullable=False),
    Column("requests", BigInteger, nullable=False),
    Column("warned", Integer, nullable=False),
    Index("budget_spend_starts", "starts"),
)

# The quotas of a budget: requests and tokens that are left of the minute, and how many requests are under way.
BUDGET_QUOTAS: Final = Table(
    "budget_quota",
    METADATA,
    Column("budget", String(32), ForeignKey("budget.id", ondelete="CASCADE"), primary_key=True),
    Column("tenant", Text, primary_key=True),
    Column("subject", Text, primary_key=True),
    Column("requests", Double),
    Column("tokens", Double),
    Column("running", Integer, nullable=False),
    Column("updated", Double, nullable=False),
)

# Shares of a limit (75, 90, 100 per cent) that were reached.
BUDGET_ALERTS: Final = Table(
    "budget_alert",
    METADATA,
    Column("budget", String(32), ForeignKey("budget.id", ondelete="CASCADE"), primary_key=True),
    Column("tenant", Text, primary_key=True),
    Column("subject", Text, primary_key=True),
    Column("period", Text, primary_key=True),
    Column("level", Integer, primary_key=True),
    Column("time", Double, nullable=False),
    Column("spent", BigInteger, nullable=False),
    Column("nano", BigInteger, nullable=False),
    Index("budget_alert_time", "time"),
)

# Processes that hold reservations. One whose `beat` stands still has ended, and what it held is given back.
RESERVATION_HOLDERS: Final = Table(
    "reservation_holder",
    METADATA,
    Column("id", String(32), primary_key=True),
    Column("beat", BigInteger, nullable=False),
    Column("updated", Double, nullable=False),
)

# Money that is promised to requests under way; `held` are the rows of `budget_spend` that it is counted in.
RESERVATIONS: Final = Table(
    "model_reservation",
    METADATA,
    Column("id", String(32), primary_key=True),
    Column("holder", String(32), nullable=False),
    Column("made", Double, nullable=False),
    Column("nano", BigInteger, nullable=False),
    Column("tokens", BigInteger, nullable=False),
    Column("held", JSON, nullable=False),
    Column("charge", JSON, nullable=False),
    Index("model_reservation_holder", "holder"),
)

# One row for each request to a model. `nano` is what it cost, `saved` what a cached answer would have cost.
MODEL_USAGE: Final = Table(
    "model_usage",
    METADATA,
    Column("id", String(32), primary_key=True),
    Column("time", Double, nullable=False),
    Column("tenant", Text, nullable=False),
    Column("project", Text, nullable=False),
    Column("principal", Text, nullable=False),
    Column("run", Text, nullable=False),
    Column("tool", Text, nullable=False),
    Column("purpose", String(32), nullable=False),
    Column("provider", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("tier", String(16), nullable=False),
    Column("fingerprint", Text, nullable=False),
    Column("prompt", BigInteger, nullable=False),
    Column("completion", BigInteger, nullable=False),
    Column("cached", BigInteger, nullable=False),
    Column("nano", BigInteger, nullable=False),
    Column("saved", BigInteger, nullable=False),
    Column("latency", Double, nullable=False),
    Column("outcome", String(32), nullable=False),
    Column("from_cache", Boolean, nullable=False),
    Index("model_usage_time", "time"),
    Index("model_usage_tenant", "tenant", "time"),
    Index("model_usage_run", "run"),
)

# What is remembered of a principal's runs that answered a question: the question (personal data as tokens), the names
# of the tools that were called and of their arguments, no values. `encoder` says whose `vector` it is.
FLOW_MEMORIES: Final = Table(
    "flow_memory",
    METADATA,
    Column("id", String(32), primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("principal", Text, nullable=False),
    Column("task", Text, nullable=False),
    Column("steps", JSON, nullable=False),
    Column("run", Text, nullable=False),
    Column("planner", Text, nullable=False),
    Column("confidence", Double, nullable=False),
    Column("encoder", String(16), nullable=False),
    Column("vector", LargeBinary, nullable=False),
    Column("created", Double, nullable=False),
    Column("used", Double, nullable=False),
    Column("times", Integer, nullable=False),
    Index("flow_memory_principal", "tenant", "principal", "used"),
    Index("flow_memory_used", "used"),
)
