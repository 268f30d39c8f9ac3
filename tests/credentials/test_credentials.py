"""Stored credentials: sealed, bound to their place, renewed by one gateway at a time."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from agentflow.errors import AgentFlowError
from agentflow.identity.authorizations import Begun
from agentflow.identity.credentials import Credential, Grant, Owner
from agentflow.identity.oauth import AuthorizationServer, Client
from agentflow.identity.subject import SUBJECT, presented
from agentflow.store.tables import AUTHORIZATIONS, CREDENTIALS

if TYPE_CHECKING:
    from credentials.conftest import Kept

ALICE, BOB = Owner("default", "alice"), Owner("default", "bob")
SECRET = "sk-very-secret-0123456789"  # pragma: allowlist secret


def grant(token: str = SECRET, **more: object) -> Grant:
    return Grant(token, refresh_token="r-" + token, issuer="https://issuer.example", **more)  # type: ignore[arg-type]


def test_a_credential_is_kept_over_a_restart_and_opens_for_its_owner_alone(kept: Kept) -> None:
    kept.credentials().put(ALICE, "desk", Credential("static", SECRET, audience="https://desk.example:443"), "admin")
    found = kept.credentials().get(ALICE, "desk")
    assert found is not None and found.value == SECRET and found.audience == "https://desk.example:443"
    assert kept.credentials().get(BOB, "desk") is None
    assert kept.credentials().get(ALICE, "other") is None
    assert SECRET not in repr(found) and kept.names() == ["credential_stored"]


@pytest.mark.parametrize("change", [{"principal": "bob"}, {"tenant": "acme"}, {"server": "evil"}, {"kind": "oauth"}])
def test_a_row_that_is_copied_to_another_place_does_not_open(kept: Kept, change: dict[str, str]) -> None:
    credentials = kept.credentials()
    credentials.put(ALICE, "desk", Credential("static", SECRET), "admin")
    with kept.stores[0].database().begin() as db:
        row = dict(db.execute(sa.select(CREDENTIALS)).mappings().one())
        assert SECRET.encode() not in row["sealed"]
        db.execute(sa.delete(CREDENTIALS))
        db.execute(sa.insert(CREDENTIALS).values({**row, **change}))
    moved = {"tenant": "default", "principal": "alice", "server": "desk", **change}
    with pytest.raises(AgentFlowError, match="moved or altered"):
        credentials.get(Owner(moved["tenant"], moved["principal"]), moved["server"])


def test_a_database_is_of_no_use_without_the_key(kept: Kept) -> None:
    kept.credentials().put(ALICE, "desk", Credential("oauth", grant=grant()), "alice")
    with pytest.raises(AgentFlowError, match="another key"):
        kept.credentials(b"x" * 32).get(ALICE, "desk")


def test_of_two_gateways_one_renews_and_the_other_takes_what_it_made(kept: Kept) -> None:
    one, other = kept.credentials(), kept.credentials()
    one.put(ALICE, "desk", Credential("oauth", grant=grant()), "alice")
    version = one.get(ALICE, "desk").version  # type: ignore[union-attr]
    holder = one.hold(ALICE, "desk", version, 30)
    assert holder is not None
    assert other.hold(ALICE, "desk", version, 30) is None
    assert one.renewed(ALICE, "desk", holder, Credential("oauth", grant=grant("second")))
    assert other.hold(ALICE, "desk", version, 30) is None  # there is a newer one
    found = other.get(ALICE, "desk")
    assert found is not None and found.grant is not None and found.grant.access_token == "second"
    assert kept.names() == ["credential_stored", "credential_refreshed"]


def test_whoever_died_while_renewing_holds_it_no_longer_than_it_said(kept: Kept) -> None:
    one, other = kept.credentials(), kept.credentials()
    one.put(ALICE, "desk", Credential("oauth", grant=grant()), "alice")
    version = one.get(ALICE, "desk").version  # type: ignore[union-attr]
    dead = one.hold(ALICE, "desk", version, -1)
    assert dead is not None
    holder = other.hold(ALICE, "desk", version, 30)
    assert holder is not None
    assert not one.renewed(ALICE, "desk", dead, Credential("oauth", grant=grant("late")))  # it comes back to life
    other.failed(ALICE, "desk", holder, "invalid_grant", final=True)
    assert other.get(ALICE, "desk") is None
    assert kept.events[-1].outcome == "invalid_grant"


def test_the_first_use_is_recorded_once(kept: Kept) -> None:
    credentials = kept.credentials()
    credentials.put(ALICE, "desk", Credential("static", SECRET), "admin")
    version = credentials.get(ALICE, "desk").version  # type: ignore[union-attr]
    for _ in range(3):
        kept.credentials().used(ALICE, "desk", version)
    assert kept.names() == ["credential_stored", "credential_used"]


def test_listing_shows_a_tenant_its_own_and_no_secret(kept: Kept) -> None:
    credentials = kept.credentials()
    for owner in (ALICE, BOB, Owner("acme", "alice")):
        credentials.put(owner, "desk", Credential("static", SECRET), "admin")
    assert [each.principal for each in credentials.list("default")] == ["alice", "bob"]
    assert len(credentials.list()) == 3 and SECRET not in repr(credentials.list())
    assert credentials.revoke(ALICE, "desk", "admin") is not None
    assert credentials.revoke(ALICE, "desk", "admin") is None
    assert [each.principal for each in credentials.list("default")] == ["bob"]


def begun(owner: Owner = ALICE) -> Begun:
    issuer = AuthorizationServer("https://issuer.example", "https://issuer.example/token")
    return Begun(owner, "desk", issuer, Client("c", "s", "none"), "verifier-0123", "http://127.0.0.1/x", "a", "b")


def test_an_authorization_is_taken_once_by_whichever_gateway_the_browser_comes_back_to(kept: Kept) -> None:
    state = kept.authorizations().begin(begun())
    assert kept.authorizations().take("another") is None
    assert kept.authorizations().take(state) == begun()
    assert kept.authorizations().take(state) is None


def test_an_authorization_expires_and_neither_its_state_nor_its_verifier_lies_open(kept: Kept) -> None:
    authorizations = kept.authorizations()
    state = authorizations.begin(begun())
    with kept.stores[0].database().begin() as db:
        row = db.execute(sa.select(AUTHORIZATIONS)).mappings().one()
        assert b"verifier-0123" not in row["sealed"] and state.encode() not in row["state"]
        db.execute(sa.update(AUTHORIZATIONS).values(expires=time.time() - 1))
    assert authorizations.take(state) is None


def test_a_registered_client_is_remembered_for_its_redirect_alone(kept: Kept) -> None:
    authorizations = kept.authorizations()
    authorizations.keep_client("desk", "https://i", "http://a/cb", Client("c", "s", "client_secret_basic"), None)
    assert kept.authorizations().client("desk", "https://i", "http://a/cb") == Client("c", "s", "client_secret_basic")
    assert authorizations.client("desk", "https://i", "http://b/cb") is None
    assert authorizations.client("desk", "https://j", "http://a/cb") is None
    authorizations.keep_client("desk", "https://i", "http://a/cb", Client("d"), time.time() + 60)
    assert authorizations.client("desk", "https://i", "http://a/cb") is None  # it is about to end


def test_the_callers_own_token_is_gone_when_its_request_is() -> None:
    with presented("the.callers.token"):
        subject = SUBJECT.get()
        assert subject is not None and subject.token() == "the.callers.token"
        assert "callers" not in repr(subject)
    assert subject.token() == "" and SUBJECT.get() is None


def test_an_owner_is_read_from_a_principals_key(tmp_path: Path) -> None:
    for owner in (Owner("default", "alice"), Owner("a:b", "c:d"), Owner("", "x/y")):
        assert Owner.of(owner.key) == owner
