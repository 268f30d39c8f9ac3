"""An OPA for the tests: its documented Data API over sockets, evaluated by a second Rego engine (regorus).

OPA itself is not to be had as a package. What is served: `POST /v1/data/PATH` with `provenance` and
`strict-builtin-errors`, bundles as `agentflow policy build` writes them, tokens, TLS, and faults on demand.
"""

from __future__ import annotations

import re
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import opa_eval
import orjson

from agentflow.policy.archive import unpack

Fault = Callable[["_Handler"], None]


@dataclass
class Opa:
    """A running OPA. `questions` are the inputs it was asked about, `connections` the sockets it was asked by."""

    folder: Path
    url: str = ""
    revision: str = ""
    token: str = ""
    fault: Fault | None = None
    questions: list[Any] = field(default_factory=list)
    queries: list[str] = field(default_factory=list)
    connections: set[Any] = field(default_factory=set)
    _data: str = "{}"
    _loads: int = 0
    _local: threading.local = field(default_factory=threading.local)

    def load(self, bundle: Path) -> None:
        """Load a bundle, as OPA's `--bundle` does."""
        contents = unpack(bundle)
        self._loads += 1
        self.write(one_module(contents.modules), contents.data["data.json"], contents.manifest.revision)

    def write(self, rego: str, data: Any, revision: str) -> None:
        """Put this policy in force."""
        self._loads += 1
        (self.folder / f"{self._loads}.rego").write_text(rego)
        self._data, self.revision = orjson.dumps(data).decode(), revision

    def value(self, path: str, document: Any) -> Any:
        """The value of a document, or `opa_eval`'s error."""
        known: dict[Any, Any] = self._local.__dict__
        key = (self._loads, path)
        if key not in known:
            name = path.rsplit("/", 1)[1]
            file = str(self.folder / f"{self._loads}.rego")
            known[key] = opa_eval.OpaEval(file, self._data, f"data.agentflow.{name}")
        return known[key].evaluate_parsed(orjson.dumps(document).decode())


def one_module(modules: dict[str, str]) -> str:
    """All modules as one of package `agentflow`, which is what opa-eval takes; tests find the policy by full names."""
    bodies = (re.sub(r"^(?:package|import) .*$", "", text, flags=re.M) for text in modules.values())
    whole = "package agentflow\n\nimport rego.v1\n" + "\n".join(bodies)
    return re.sub(r"(?<![\w.])agentflow\.decision\b", "data.agentflow.decision", whole)


@contextmanager
def serving(folder: Path, context: ssl.SSLContext | None = None) -> Iterator[Opa]:
    """Run one."""
    opa = Opa(folder)
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"opa": opa}))
    server.daemon_threads = True
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    opa.url = f"{'https' if context else 'http'}://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield opa
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    opa: Opa

    def do_POST(self) -> None:
        opa = self.opa
        opa.connections.add(self.client_address)
        body = self.rfile.read(int(self.headers["content-length"]))
        path, _, query = self.path.partition("?")
        opa.queries.append(query)
        if opa.fault is not None:
            opa.fault(self)
            return
        if opa.token and self.headers.get("authorization") != f"Bearer {opa.token}":
            self.answer(401, {"code": "unauthorized", "message": "request rejected by administrative policy"})
            return
        document = orjson.loads(body)["input"]
        opa.questions.append(document)
        said: dict[str, Any] = {}
        if "provenance=true" in query:
            bundles = {"bundles": {"main": {"revision": opa.revision}}} if opa.revision else {}
            said["provenance"] = {"version": "1.9.0", **bundles}
        try:
            value = opa.value(path.removeprefix("/v1/data/"), document)
        except RuntimeError as error:
            self.answer(500, {"code": "internal_error", "message": str(error)})
            return
        if value != "<undefined>":
            said["result"] = value
        self.answer(200, said)

    def answer(self, status: int, body: Any) -> None:
        content = body if isinstance(body, bytes) else orjson.dumps(body)
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        pass
