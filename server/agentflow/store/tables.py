"""The tables of the store, as SQLAlchemy Core knows them; `migrations/` is what makes them.

Times are epoch seconds, `digest` and `sealed` columns are bytes that only this installation's keys make or open, and
JSON columns hold arrays or objects of strings. No column holds a clear secret or a clear value of somebody's message.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    JSON,
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
