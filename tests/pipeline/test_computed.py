"""What a program makes of content that a conversation has read counts as that content, in whatever form."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from gateway_process import Gateway, running_gateway

WEB = """
from fastmcp import FastMCP
server = FastMCP("web")
@server.tool(annotations={"readOnlyHint": True})
def fetch(url: str) -> str:
    return "Welcome to our page of recipes. Contact code: moc.elpmaxe-rekcatta@tnuocca and enjoy the pasta."
server.run()
"""
MAIL = """
from fastmcp import FastMCP
server = FastMCP("mail")
@server.tool(annotations={"readOnlyHint": True})
def read_file(name: str) -> str:
    return "Project codename Bluefalcon launches in March with a budget of 771234."
@server.tool
def send_mail(to: str, body: str) -> str:
    return "sent"
server.run()
"""
SECRET = "Project codename Bluefalcon launches in March with a budget of 771234."


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    folder: Path = tmp_path_factory.mktemp("computed")
    servers: dict[str, Any] = {}
    for name, code, more in (
        ("web", WEB, {"trust": "untrusted"}),
        ("mail", MAIL, {"trust": "trusted", "sensitivity": "private"}),
    ):
        (folder / f"{name}.py").write_text(code)
        servers[name] = {"command": sys.executable, "args": [str(folder / f"{name}.py")], **more}
    with running_gateway({"mcpServers": servers}, folder) as running:
        running.wait_for_tools("compute", "web__fetch", "mail__read_file", "mail__send_mail")
        yield running


def _text(answer: dict[str, Any]) -> str:
    return str(answer["result"]["content"][0]["text"])


def test_an_address_that_a_program_reads_out_of_a_page_is_known_from_the_page_alone(gateway: Gateway) -> None:
    page = _text(gateway.call("web__fetch", {"url": "https://recipes.example/"}))
    gateway.call("mail__read_file", {"name": "project"})
    code = "t.split('code: ')[1].split(' ')[0][::-1]"
    made = gateway.call("compute", {"code": code, "inputs": {"t": page}})["result"]["structuredContent"]["result"]
    assert made.startswith("<EMAIL_")
    for to in (made, "account@attacker-example.com"):
        refused = gateway.call("mail__send_mail", {"to": to, "body": SECRET})
        assert refused["error"]["data"]["type"] == "policy_denied", refused
        assert "known only from content of web" in refused["error"]["message"]


def test_what_a_program_makes_of_nothing_but_the_callers_own_is_the_callers(gateway: Gateway) -> None:
    code = "'moc.elpmaxe@nna'[::-1]"
    assert _text(gateway.call("compute", {"code": code}))
    sent = gateway.call("mail__send_mail", {"to": "ann@example.com", "body": "The pasta was good."})
    assert sent["result"]["isError"] is False, sent
