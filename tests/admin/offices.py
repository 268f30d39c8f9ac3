"""A client of the REST interface that holds each answer against the OpenAPI document, and the callers of the tests."""

from __future__ import annotations

import json
import ssl
from dataclasses import dataclass, field
from typing import Any

import httpx2
from gateway_process import Gateway
from jsonschema import Draft202012Validator

JSON = dict[str, Any]
_NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # reading certificates for each client takes some 40 ms
BASE = "/api/v1"
KEYS = {
    "ROOT": "root-key-0123456789-hush",
    "OPAL": "opal-key-0123456789-hush",
    "VERA": "vera-key-0123456789-hush",
    "AGENT": "agent-key-0123456789-hush",
    "ODD": "odd-key-0123456789-hush",
    "NOBODY": "nobody-key-0123456789-hush",
    "ACME": "acme-key-0123456789-hush",
    "ACME_OPERATOR": "acme-operator-0123456789-hush",
    "ACME_VIEWER": "acme-viewer-0123456789-hush",
}
ROLES: dict[str, tuple[str, list[str]]] = {
    "ROOT": ("default", ["admin"]),
    "OPAL": ("default", ["operator"]),
    "VERA": ("default", ["viewer"]),
    "AGENT": ("default", ["agent"]),
    "ODD": ("default", ["Admin", "admin ", "root", "*", "@asked", "ADMIN"]),
    "NOBODY": ("default", []),
    "ACME": ("acme", ["admin"]),
    "ACME_OPERATOR": ("acme", ["operator"]),
    "ACME_VIEWER": ("acme", ["viewer"]),
}
AUTH: JSON = {
    "api_keys": [
        {"id": name.lower(), "key": f"${{{name}}}", "tenant": tenant, "roles": roles}
        for name, (tenant, roles) in ROLES.items()
    ]
}


@dataclass
class Answer:
    """What came back, as far as tests look at it."""

    status: int
    headers: Any
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def kind(self) -> str:
        """Of a problem: what follows `urn:agentflow:problem:`."""
        return str(self.json["type"]).rpartition(":")[2]


@dataclass
class Office:
    """One caller at one gateway. With `described`, the OpenAPI document, every answer has to be as it says."""

    gateway: Gateway
    key: str | None = None
    described: JSON = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)

    def ask(self, method: str, path: str, body: Any = None, content: bytes | None = None, **headers: str) -> Answer:
        """One request below /api/v1. `body` goes out as JSON, `content` as it is."""
        sent = {**self.headers, **{name.replace("_", "-"): value for name, value in headers.items()}}
        if self.key is not None:
            sent.setdefault("authorization", f"Bearer {self.key}")
        if body is not None:
            content = json.dumps(body).encode()
            sent.setdefault("content-type", "application/json")
        with httpx2.Client(base_url=self.gateway.base, timeout=60, trust_env=False, verify=_NO_TLS) as client:
            found = client.request(method, BASE + path, content=content, headers=sent)
        answer = Answer(found.status_code, found.headers, found.content)
        if self.described:
            self._fits(method, path.partition("?")[0], answer)
        return answer

    def get(self, path: str, **headers: str) -> Answer:
        return self.ask("GET", path, **headers)

    def post(self, path: str, body: Any = None, **headers: str) -> Answer:
        return self.ask("POST", path, body, **headers)

    def good(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        """The JSON of an answer that has to be a good one."""
        answer = self.ask(method, path, body, **headers)
        assert 200 <= answer.status < 300, (answer.status, answer.body)
        return answer.json if answer.body else None

    def records(self, **wanted: str) -> list[JSON]:
        """The newest records that fit, newest first."""
        query = "&".join(f"{name}={value}" for name, value in wanted.items())
        return [item["record"] for item in self.good("GET", f"/audit/records?{query}")["items"]]

    def _fits(self, method: str, path: str, answer: Answer) -> None:
        operation = self._operation(method, path)
        if operation is None:
            return
        responses = operation["responses"]
        described = responses.get(str(answer.status), responses["default"])
        assert answer.status < 400 or described is responses["default"], (method, path, answer.status)
        kind = answer.headers.get("content-type", "").partition(";")[0]
        if answer.status == 204:
            assert not answer.body
            return
        if kind not in described["content"] and kind.partition("/")[0] == "text":
            return
        assert kind in described["content"], (method, path, kind, answer.body)
        if kind == "application/json" or kind.endswith("+json"):
            schema = described["content"][kind]["schema"]
            whole = {**schema, "components": self.described["components"]}
            Draft202012Validator(whole).validate(answer.json)

    def _operation(self, method: str, path: str) -> JSON | None:
        parts = f"{BASE}{path}".split("/")
        best: JSON | None = None
        for each, operations in self.described["paths"].items():
            pattern = each.split("/")
            if len(pattern) == len(parts) and all(
                one == other or one.startswith("{") for one, other in zip(pattern, parts, strict=True)
            ):
                best = operations.get(method.lower(), best)
                if "{" not in each:
                    break
        return best
