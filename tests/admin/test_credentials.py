"""Credentials of principals through the REST interface: which there are, never what they are."""

from __future__ import annotations

from admin.conftest import Headquarters
from gateway_process import Gateway

from agentflow.config import StoreConfig
from agentflow.identity.credentials import Credential, Credentials, Owner
from agentflow.store.opened import Store


def stored(gateway: Gateway, owner: Owner, server: str) -> None:
    """Put one into the gateway's store, as another process would."""
    store = Store(gateway.data_dir, StoreConfig())
    credential = Credential("static", "Bearer downstream-token-hush")
    Credentials(store, lambda: bytes(32), lambda _: None).put(owner, server, credential, "default/root")
    store.close()


def test_a_credential_is_listed_without_its_secret_and_taken_away(yard: Headquarters) -> None:
    office = yard.office("ROOT")
    stored(yard.gateway, Owner("acme", "kim"), "crm")
    answer = office.get("/credentials?server=crm")
    [found] = answer.json["items"]
    assert (found["tenant"], found["principal"], found["server"]) == ("acme", "kim", "crm")
    assert "hush" not in answer.body.decode()
    assert yard.office("ACME").good("GET", "/credentials")["items"] == [found]
    assert yard.office("ACME").ask("DELETE", "/credentials/default/kim/crm").status == 404
    yard.office("ACME").good("DELETE", "/credentials/acme/kim/crm")
    assert office.good("GET", "/credentials?server=crm")["items"] == []
    told = office.records(kind="admin", event="credential_revoked", outcome="ok")[0]
    assert (told["by"], told["subject"], told["details"]["principal"]) == ("acme/acme", "crm", "kim")
