"""Where people connect, at a gateway on this machine that asks nobody for a key."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

import httpx2
from credentials.oauth_world import world
from gateway_process import running_gateway


def test_another_site_can_send_a_person_there_and_no_further(tmp_path: Path) -> None:
    with world() as there:
        config = {"mcpServers": {"desk": {"url": there.guarded.url, "auth": "oauth"}}, "flow": {"enabled": False}}
        with running_gateway(config, tmp_path) as gateway, httpx2.Client(trust_env=False) as browser:
            place = f"{gateway.base}/connect/desk"
            sent = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "accept": "text/html"}
            asked = browser.get(place, headers=sent)
            assert asked.status_code == 200 and "<form" in asked.text and "script" not in asked.text
            assert browser.get(place, headers={**sent, "sec-fetch-mode": "no-cors"}).status_code == 403
            own = {"origin": gateway.base, "sec-fetch-site": "same-origin", "accept": "text/html"}
            begun = browser.post(place, headers=own)
            assert begun.status_code == 303
            there.issuer.person = "me"
            back = browser.get(begun.headers["location"]).headers["location"]
            assert urlsplit(back).netloc == urlsplit(gateway.base).netloc
            done = browser.get(back, headers=sent)
            assert done.status_code == 200 and "local" in done.text and "code=" not in done.text
            assert gateway.call("desk__whoami")["result"]["content"][0]["text"] == "me"
            rebound = browser.get(place, headers={"host": "evil.example"})
            assert rebound.status_code == 421
            asked_for = browser.get(f"{gateway.base}/oauth/client/desk").json()
            assert asked_for["redirect_uris"] == [f"{gateway.base}/oauth/callback/desk"]
