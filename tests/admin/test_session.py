"""The page's session at the REST interface: only together with its CSRF token."""

from __future__ import annotations

import html
import re

import httpx2
from admin.conftest import Headquarters
from admin.offices import BASE, KEYS


def test_a_session_counts_with_its_csrf_token_only(yard: Headquarters) -> None:
    base = yard.gateway.base
    with httpx2.Client(base_url=base, timeout=60, trust_env=False, headers={"origin": base}) as client:
        client.get("/ui/sign-in")
        client.post("/ui/sign-in", data={"next": "/ui", "key": KEYS["ROOT"]})
        [token] = set(re.findall(r'"X-CSRF-Token":\s*"([^"]+)"', html.unescape(client.get("/ui").text)))
        assert client.get(f"{BASE}/whoami").status_code == 403
        assert client.post(f"{BASE}/keys", json={"principal": "x"}).status_code == 403
        assert client.get(f"{BASE}/whoami", headers={"x-csrf-token": "a" * len(token)}).status_code == 403
        assert client.get(f"{BASE}/whoami", headers={"x-csrf-token": token}).json()["id"] == "root"
        made = client.post(f"{BASE}/keys", json={"principal": "x"}, headers={"x-csrf-token": token})
        assert made.status_code == 201
        told = yard.office("ROOT").records(kind="admin", event="key_created", outcome="ok", limit="1")[0]
        assert told["details"]["via"] == "session"
        foreign = {"x-csrf-token": token, "origin": "http://evil.example"}
        assert client.post(f"{BASE}/keys", json={"principal": "x"}, headers=foreign).status_code == 403
        # A key that is presented is what counts, whoever is signed in.
        assert client.get(f"{BASE}/whoami", headers={"x-api-key": KEYS["OPAL"]}).json()["id"] == "opal"
