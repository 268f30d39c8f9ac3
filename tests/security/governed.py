"""A gateway with everything there is to govern: callers by file, by stored key and by token, people who are asked,
credentials, a definition that is held, a second policy; and what anybody can get out of it."""

from __future__ import annotations

import copy
import http.client
import io
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch
from urllib.parse import urlencode

from faults.conftest import evil
from faults.speakers import HttpModern
from gateway_process import Gateway, free_port, running_gateway, wait_until
from security.test_changing_tools import OFFER, Mail

from agentflow import cli
from agentflow.admin.api.document import BASE
from agentflow.admin.api.routes import OPERATIONS
from agentflow.admin.page.routes import routes

JSON = dict[str, Any]
ROOT_KEY, BOT_KEY = "root-key-0123456789-hush", "bot-key-0123456789-hush"
KEYS = {
    "root": ROOT_KEY,
    "bot": BOT_KEY,
    "vera": "vera-key-0123456789-hush",
    "guest": "guest-key-0123456789-hush",
    "acme": "acme-key-0123456789-hush",
}
ROLES = {"root": "admin", "bot": "operator", "vera": "viewer", "guest": "agent", "acme": "admin"}
ENV = {f"{name.upper()}_KEY": key for name, key in KEYS.items()}
ENV["VAULT_KEY"] = "Z292Z292Z292Z292Z292Z292Z292Z292Z292Z292Z28="
ASKS: JSON = {
    "tools": ["strict"], "effect": "approve", "ttl": 300, "why": "Somebody looks at it.",
    "approvers": {"who": ["role:admin"]},
}  # fmt: skip
MAIL_OFFER: JSON = {"tools": copy.deepcopy(OFFER["tools"])}


@dataclass
class Governed:
    """The gateway, and every way to look at it."""

    gateway: Gateway
    mail: Mail
    folder: Path
    cookies: dict[str, str] = field(default_factory=dict)

    @property
    def bot(self) -> HttpModern:
        return HttpModern(self.gateway, {"authorization": f"Bearer {BOT_KEY}"})

    def http(self, method: str, path: str, body: bytes = b"", **headers: str) -> tuple[int, bytes, dict[str, str]]:
        """One request with exactly these headers: status, body, headers of the answer."""
        connection = http.client.HTTPConnection(self.gateway.base.removeprefix("http://"), timeout=60)
        try:
            sent = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, body or None, sent)
            answer = connection.getresponse()
            return answer.status, answer.read(), {name.lower(): value for name, value in answer.getheaders()}
        finally:
            connection.close()

    def rest(self, method: str, path: str, body: bytes = b"", kind: str = "application/json") -> tuple[int, bytes]:
        """As the administrator of the gateway."""
        head = {"authorization": f"Bearer {ROOT_KEY}", "content_type": kind}
        return self.http(method, BASE + path, body, **head)[:2]

    def page(self, path: str, form: dict[str, str] | None = None, who: str = "root") -> tuple[int, bytes]:
        """As one of the callers in a browser, the gateway's administrator unless another is named."""
        if who not in self.cookies:
            signed = self._send("/ui/sign-in", {"key": KEYS[who], "next": ""})[2]
            self.cookies[who] = signed["set-cookie"].partition(";")[0]
        if form is None:
            return self.http("GET", path, cookie=self.cookies[who])[:2]
        shown = self.http("GET", "/ui/approvals", cookie=self.cookies[who])[1]
        found = re.search(rb'name="csrf" value="([\w-]+)"', shown)
        assert found
        return self._send(path, {**form, "csrf": found[1].decode()}, cookie=self.cookies[who])[:2]

    def _send(self, path: str, form: dict[str, str], **headers: str) -> tuple[int, bytes, dict[str, str]]:
        own = {"origin": self.gateway.base, "content_type": "application/x-www-form-urlencoded"}
        return self.http("POST", path, urlencode(form).encode(), **own, **headers)

    def command(self, *words: str, typed: str = "") -> str:
        """What a command says, on both outputs."""
        env = {**ENV, "AGENTFLOW_DATA_DIR": str(self.gateway.data_dir)}
        said = io.StringIO()
        hand = io.TextIOWrapper(io.BytesIO(typed.encode()))
        outputs = redirect_stdout(said), redirect_stderr(said)
        with patch.dict("os.environ", env), patch("sys.stdin", hand), outputs[0], outputs[1]:
            cli.main([*words, "--config", str(self.gateway.config_path)])
        return said.getvalue()


def rest_routes() -> list[tuple[str, str]]:
    """Every method and path of the REST interface, from its own table."""
    return [(each.method, BASE + each.path) for each in OPERATIONS]


def page_routes() -> list[tuple[str, str]]:
    """Every method and path of the page, from its own router."""
    found = routes(*(_Nothing(), _Nothing()))  # type: ignore[arg-type]
    return [(method, str(each.path)) for each in found for method in sorted(each.methods - {"HEAD"})]  # type: ignore[attr-defined]


class _Nothing:
    """A service of which routes are made and nothing is asked."""

    def __getattr__(self, name: str) -> Any:
        return _Nothing()

    def __call__(self, *_: Any, **__: Any) -> Any:
        return _Nothing()


def filled(path: str, known: Callable[[str], str] = lambda name: "none") -> str:
    """A route's path with something in every place."""
    return re.sub(r"{(\w+)(?::\w+)?}", lambda found: known(found[1]), path)


def _tenant(name: str) -> str:
    return "acme" if name == "acme" else "default"


@contextmanager
def governed(folder: Path) -> Iterator[Governed]:
    """Start it; its servers are up."""
    mail = Mail(folder, offer=MAIL_OFFER)
    nowhere = f"http://127.0.0.1:{free_port()}/mcp"
    config: JSON = {
        "mcpServers": {
            "desk": evil(trust="trusted"),
            "mail": mail.over_stdio(),
            "own": evil(auth={"type": "static", "env": {"TOKEN": "{value}"}}),
            "far": {"url": nowhere, "auth": "oauth"},
        },
        "auth": {
            "api_keys": [
                {"id": name, "key": f"${{{name.upper()}_KEY}}", "roles": [role], "tenant": _tenant(name)}
                for name, role in ROLES.items()
            ],
            "issuers": [{"issuer": nowhere.removesuffix("/mcp"), "audience": "gateway"}],
        },
        "approvals": {"hold": 0.2},
        "guard": {"master_key": "${VAULT_KEY}"},
        "flow": {"enabled": False},
        "serve": {"log_level": "debug"},
        "policy": {"data": {"settings": {"rules": {"asks": ASKS}, "toxic_flow": "off"}}},
    }
    with running_gateway(config, folder, env=ENV) as gateway:
        made = Governed(gateway, mail, folder)

        def listed() -> bool:
            tools = made.bot.ask("tools/list").get("result", {}).get("tools", ())
            return {"desk__echo", "mail__send_email"} <= {tool["name"] for tool in tools}

        wait_until(listed, "the tools", evidence=gateway.log_text)
        yield made
