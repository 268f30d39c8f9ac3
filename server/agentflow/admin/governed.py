"""What the administration shows of keys, approvals, credentials and policies; see `models`."""

from __future__ import annotations

from typing import Final, Literal

from pydantic import Field

from agentflow.admin.models import Model, Wish

Kind = Literal["user", "agent", "service"]
CLEAN: Final = r"^[^\x00]*$"  # PostgreSQL keeps no NUL

# Keys -------------------------------------------------------------------------------------------------------


class Key(Model):
    """An API key, without the key."""

    id: str
    principal: str
    kind: Kind
    roles: list[str]
    tenant: str
    scopes: list[str]
    label: str
    state: Literal["active", "replaced", "expired", "revoked"]
    created: float
    created_by: str
    expires: float | None
    used: float | None = Field(description="When it was last used, up to a minute late.")
    revoked: float | None
    revoked_by: str
    replaces: str | None
    replaced_by: str | None


class NewKey(Model):
    """A key that was just made. It is shown this once."""

    key: str
    info: Key


class KeyWish(Wish):
    """A key to be made."""

    principal: str = Field(min_length=1, max_length=128, description="The caller's id, unique within its tenant.")
    kind: Kind = "agent"
    roles: list[str] = Field(default=["agent"], max_length=64)
    tenant: str | None = Field(default=None, max_length=128, description="Default the caller's own.")
    scopes: list[str] = Field(default=[], max_length=64)
    label: str = Field(default="", max_length=256)
    expires: float | None = Field(default=None, description="Epoch seconds; never when absent.")


class Rotation(Wish):
    """How a key is replaced."""

    grace: float = Field(default=86_400.0, ge=0, le=31_536_000, description="Seconds that the old one still counts.")
    expires: float | None = Field(default=None, description="Of the new one; default as long as the old one was for.")


# Approvals --------------------------------------------------------------------------------------------------


class Vote(Model):
    """What one person said."""

    voter: str
    approve: bool
    time: float
    comment: str


class Approval(Model):
    """A call that waits for people, or did. Arguments are labelled: nothing in them is clear."""

    id: str
    state: str
    requester: str
    tenant: str
    surface: str
    server: str
    tool: str
    arguments: str = Field(description="The labelled arguments, cut to a bound.")
    revision: str = Field(description="Of the policy that asks.")
    prompt: str
    reasons: list[str]
    who: list[str] = Field(description="Any of these may vote: `caller`, `role:…`, `principal:<tenant>/<id>`.")
    needed: int
    votes: list[Vote]
    created: float
    expires: float
    settled: float | None
    call: str = Field(description="Id of the record of the call that used it, or empty.")
    mine: bool = Field(description="Whether the caller may vote on it.")


class VoteWish(Wish):
    """What goes with a vote."""

    comment: str = Field(default="", max_length=500, pattern=CLEAN)


# Credentials ------------------------------------------------------------------------------------------------


class Credential(Model):
    """What a principal presents to a server in its own name, without the secret."""

    tenant: str
    principal: str
    server: str
    kind: str
    updated: float
    expires: float | None
    used: float | None


# Policies ---------------------------------------------------------------------------------------------------


class InForce(Model):
    """The policy that decides."""

    revision: str
    origin: Literal["file", "uploaded", "opa"]
    choice: int = Field(description="Number of the choice that put it in force; 0 where the configuration file did.")
    since: float | None
    by: str
    applied: bool = Field(description="Whether this gateway decides by it already.")
    problem: str | None = Field(default=None, description="Why this gateway cannot decide by it.")


class Bundle(Model):
    """An uploaded bundle. `chosen` is when it was last put in force, 0 where it never was."""

    revision: str
    uploaded: float
    uploaded_by: str
    note: str
    bytes: int
    chosen: float
    in_force: bool


class Files(Model):
    """The files of a bundle by name: Rego, and one `data.json`."""

    revision: str
    files: dict[str, str]


class BundleWish(Wish):
    """A bundle as its files."""

    files: dict[str, str] = Field(min_length=1, max_length=1000)
    note: str = Field(default="", max_length=500, pattern=CLEAN)


class TestRun(Model):
    """One test of a bundle; `error` is empty where it passed."""

    __test__ = False  # not a test case of pytest's

    name: str
    error: str
    place: str


class Report(Model):
    """What a check of a bundle found."""

    ok: bool
    revision: str
    tests: list[TestRun]
    problems: list[str]
    warnings: list[str]


class Uploaded(Model):
    """A bundle that was accepted. `new` is false where the same content was there already."""

    revision: str
    new: bool
    tests: list[TestRun]
    warnings: list[str]


class Difference(Model):
    """One difference between two bundles."""

    what: Literal["rule", "test", "data"]
    kind: Literal["added", "removed", "changed"]
    name: str
    before: str
    after: str
    lines: list[str] = Field(description="For a person: `-` before, `+` after.")


class Diff(Model):
    """How one bundle differs from another."""

    before: str
    after: str
    differences: list[Difference]


class Choice(Model):
    """What was put in force: a bundle, or the configuration file's (`file`)."""

    number: int
    revision: str
    time: float
    by: str
    before: str
    back_to: int | None
    altered: bool = Field(description="Whether it does not count: made with another vault, or altered in the database.")


class RollBack(Wish):
    """Where to."""

    to_file: bool = Field(default=False, description="To what the configuration file names.")


class ReplayWish(Wish):
    """Which calls are decided again."""

    since: float | None = Field(default=None, description="Epoch seconds; default a day ago.")
    until: float | None = Field(default=None, description="Epoch seconds, exclusive; default now.")


class Outcome(Model):
    """Calls that come out otherwise in one way, and the ids of some of their records."""

    kind: Literal["newly_denied", "newly_allowed", "obligations_changed"]
    server: str
    name: str
    why: str
    count: int
    examples: list[str]


class Replay(Model):
    """Recorded calls, decided again by another bundle."""

    id: str
    state: Literal["running", "done", "failed"]
    revision: str
    since: float
    until: float
    progress: float = Field(description="0 to 1.")
    records: int = 0
    replayed: int = 0
    skipped: dict[str, int] = Field(default_factory=dict)
    totals: dict[str, int] = Field(default_factory=dict)
    changes: list[Outcome] = Field(default_factory=list)
    problem: str | None = None
