"""Personal data and secrets, typed into every place a client can write to, are in no file and no log afterwards."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from faults.speakers import (
    BOTH_KINDS,
    HELLO,
    HttpLegacy,
    Speaker,
    exchange,
    message,
    raw_http,
    stdio_gateway,
    wait_for_tools,
)
from gateway_process import write_config
from security.conftest import ADA, CANARY, EVE, SECRETS, House

FOUND = re.compile(rb"canary(\d+)\.hush@leak\.example")
CARD, API_KEY = "4111 1111 1111 1111", "sk-ant-api03-abcdefghijklmnopqrstuvwxyz0123456789"


class Canaries:
    """A new address each time, so that a leak says where it got in."""

    def __init__(self) -> None:
        self.sung: dict[int, str] = {}

    def sing(self, where: str) -> str:
        number = len(self.sung) + 1
        self.sung[number] = where
        return f"canary{number}.hush@leak.example"


def requests(c: Canaries, prefix: str) -> Iterator[tuple[str, dict[str, object]]]:
    """One request for every place in every method."""
    s = c.sing
    talk, child = f"{prefix}talk", "child__"
    yield "tools/call", {"name": talk, "arguments": {"text": f"{s('argument')} {CARD} {API_KEY}"}}
    protocol_words = ("type", "name", "cursor", "data", "method", "mimeType", "uri", "role", "requestState")
    yield "tools/call", {"name": talk, "arguments": {word: s(f"argument {word}") for word in protocol_words}}
    yield "tools/call", {"name": talk, "arguments": {s("key"): {s("deep key"): [s("deep value")]}}}
    yield "tools/call", {"name": talk, "arguments": {"text": 5, s("unknown key"): s("unknown value")}}
    yield "tools/call", {"name": s("tool name"), "arguments": {"text": s("argument of unknown tool")}}
    yield "tools/call", {"name": talk, "arguments": {}, "requestState": s("requestState"), "extra": s("extra member")}
    yield "tools/call", {"name": talk, "arguments": {}, "inputResponses": {s("response id"): {"x": s("response")}}}
    yield "tools/call", {"name": f"{prefix}fail", "arguments": {"text": s("failing tool")}}
    yield "tools/call", {"name": f"{prefix}report", "arguments": {"text": s("progress and log")}}
    yield "tools/call", {"name": f"{child}fail", "arguments": {"text": f"{s('upstream error')} {CARD}"}}
    yield "tools/call", {"name": f"{child}garbage", "arguments": {"text": s("garbage")}}
    yield "tools/call", {"name": f"{child}die", "arguments": {"text": s("stderr of a dying child")}}
    yield "prompts/get", {"name": s("prompt name"), "arguments": {s("prompt argument name"): s("prompt argument")}}
    yield "prompts/get", {"name": f"{prefix}greet", "arguments": {s("own prompt argument"): s("its value")}}
    yield "resources/read", {"uri": f"canary://item/{s('resource')}"}
    yield "resources/read", {"uri": f"nowhere://{s('unknown resource')}"}
    yield "resources/subscribe", {"uri": f"canary://item/{s('subscription')}"}
    who = {"name": s("completed argument"), "value": s("completed value")}
    yield "completion/complete", {"ref": {"type": "ref/prompt", "name": f"{prefix}greet"}, "argument": who}
    yield "completion/complete", {"ref": {"type": "ref/prompt", "name": s("completed prompt")}, "argument": who}
    item = {"type": "ref/resource", "uri": f"canary://item/{s('completed resource')}"}
    yield "completion/complete", {"ref": item, "argument": {"name": "id", "value": "x"}}
    yield "tools/list", {"cursor": s("cursor"), "extra": s("member of a listing")}
    yield "logging/setLevel", {"level": s("log level")}
    yield s("method"), {s("params key"): s("params value")}


def outside(house: House, c: Canaries) -> None:
    """The places that are no request's params."""
    for header in ("x-api-key", "mcp-session-id", "referer", "user-agent", "host", "authorization", "mcp-name"):
        exchange(house.gateway, message("ping", {}, 1), {**BOTH_KINDS, **ADA, header: c.sing(f"header {header}")})
    exchange(house.gateway, message("ping", {}, 1), {**BOTH_KINDS, "origin": f"http://{c.sing('origin')}"})
    ending = "Host: localhost\r\nConnection: close\r\n\r\n"
    raw_http(house.gateway, f"GET /{c.sing('path')}?q={c.sing('query')} HTTP/1.1\r\n{ending}".encode())
    raw_http(house.gateway, f"{c.sing('no HTTP at all')}\r\n\r\n".encode())
    exchange(house.gateway, f"no JSON {c.sing('broken body')}".encode(), {**BOTH_KINDS, **ADA})
    exchange(house.gateway, message("ping", {}, c.sing("request id")), {**BOTH_KINDS, **ADA})
    info = {"name": c.sing("client name"), "version": c.sing("client version")}
    body = message("initialize", {**HELLO, "clientInfo": info}, c.sing("id"))
    session = exchange(house.gateway, body, {**BOTH_KINDS, **ADA})[2]["mcp-session-id"]
    sent = {**BOTH_KINDS, **ADA, "mcp-session-id": session, "mcp-protocol-version": "2025-11-25"}
    called = message("tools/call", {"name": "child__echo", "arguments": {}}, 2)
    exchange(house.gateway, {"jsonrpc": "2.0", "method": "notifications/initialized"}, sent)
    assert exchange(house.gateway, called, sent)[0] == 200


def leaks(folders: list[Path], c: Canaries) -> list[str]:
    found = []
    for folder in folders:
        for path in folder.rglob("*") if folder.is_dir() else [folder]:
            if not path.is_file():
                continue
            content = path.read_bytes()
            found += [f"{path.name}: {c.sung[int(number)]}" for number in set(FOUND.findall(content))]
            found += [f"{path.name}: {word}" for word in (CARD, API_KEY, *SECRETS.values()) if word.encode() in content]
    return found


def test_no_canary_is_in_any_file_or_log(house: House, ada_session: HttpLegacy, tmp_path: Path) -> None:
    c = Canaries()
    speakers: tuple[Speaker, ...] = (house.ada, ada_session)
    for speaker in speakers:
        for method, params in requests(c, "canary__"):
            with suppress(ValueError, StopIteration):  # what the HTTP layer refuses as no header has no JSON answer
                speaker.ask(method, params)
    outside(house, c)
    assert "result" in HttpLegacy(house.gateway, EVE).call("child__echo", {"text": c.sing("another caller")})
    assert len(c.sung) > 80
    assert leaks([house.gateway.data_dir, house.gateway.log], c) == []


def test_no_canary_is_in_any_file_or_log_of_a_stdio_gateway(tmp_path: Path) -> None:
    import sys

    from faults.conftest import evil

    c = Canaries()
    config = {
        "mcpServers": {
            "child": evil(trust="trusted"),
            "canary": {"command": sys.executable, "args": [str(CANARY), "--stdio"], "trust": "trusted"},
        },
        "serve": {"log_level": "debug"},
    }
    path = write_config(config, tmp_path / "agentflow.yaml")
    for era in ("modern", "legacy"):
        with stdio_gateway(path, tmp_path, era) as speaker:
            wait_for_tools(speaker, "child__echo", "canary__talk")
            for method, params in requests(c, "canary__"):
                speaker.ask(method, params)
            for question in ("planner", "solver"):
                speaker.call(question, {"query": f"who is {c.sing(question)}?"})
            speaker.write(f"no JSON {c.sing('broken line')}\n".encode())
            assert speaker.answer(None)["error"]["code"] == -32700
        assert leaks([speaker.data_dir, speaker.log], c) == []
