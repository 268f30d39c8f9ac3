"""Careless and hostile clients: every wrong request gets one clear typed error, in both eras, over HTTP and stdio."""

from __future__ import annotations

import json
from typing import Any

import pytest
from faults.conftest import World
from faults.speakers import (
    BOTH_KINDS,
    ENVELOPE,
    HELLO,
    LEGACY,
    HttpLegacy,
    Speaker,
    Stdio,
    call_params,
    connect,
    events,
    exchange,
    message,
)
from gateway_process import MODERN

PARSE, INVALID, NO_METHOD, PARAMS, LIMIT, HEADER, VERSION = -32700, -32600, -32601, -32602, -32013, -32020, -32022
DEEP = b'{"jsonrpc":"2.0","id":7,"method":"tools/call","params":' + b'{"a":' * 10_000 + b"1" + b"}" * 10_000 + b"}"
MEGABYTES_50 = b'{"jsonrpc":"2.0","id":7,"method":"ping","params":{"x":"' + b"y" * 50_000_000 + b'"}}'
NOT_UTF8 = b'{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"good__\xff\xfe"}}'
LINES = {
    "no JSON": (b"hello?", PARSE),
    "half of it": (b'{"jsonrpc":"2.0","id":7,', PARSE),
    "not a number": (b'{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"x":NaN}}', PARSE),
    "half a surrogate pair": (b'{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"x":"\\ud83d"}}', PARSE),
    "invalid UTF-8": (NOT_UTF8, PARSE),
    "a number": (b"7", INVALID),
    "a batch": (b'[{"jsonrpc":"2.0","id":7,"method":"ping"}]', INVALID),
    "another version": (b'{"jsonrpc":"1.0","id":7,"method":"ping"}', INVALID),
    "an id that is an object": (b'{"jsonrpc":"2.0","id":{},"method":"ping"}', INVALID),
    "an id that is a fraction": (b'{"jsonrpc":"2.0","id":1.5,"method":"ping"}', INVALID),
    "an id that is null": (b'{"jsonrpc":"2.0","id":null,"method":"ping"}', INVALID),
    "params that are a list": (b'{"jsonrpc":"2.0","id":7,"method":"ping","params":[1]}', INVALID),
    "a method that is a number": (b'{"jsonrpc":"2.0","id":7,"method":7}', INVALID),
    "neither method nor result": (b'{"jsonrpc":"2.0","id":7}', INVALID),
    "10,000 levels": (DEEP, LIMIT),
    "50 MB": (MEGABYTES_50, LIMIT),
}


def envelope_headers(name: str = "good__echo") -> dict[str, str]:
    return {**BOTH_KINDS, "mcp-protocol-version": MODERN, "mcp-method": "tools/call", "mcp-name": name}


def modern_call(number: Any = 1) -> dict[str, Any]:
    return message("tools/call", {"name": "good__echo", "arguments": {}, "_meta": ENVELOPE}, number)


def without_record(error: dict[str, Any]) -> dict[str, Any]:
    return {**error, "data": {key: value for key, value in error["data"].items() if key != "record"}}


# Names and arguments ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("good__fail", {"text": "x"}),  # forbidden by policy
        ("good__fail", {"text": 5}),
        ("good__fail", None),
        ("good__fail", {"nope": {"deep": [1]}}),
        ("second", {}),  # the alias of a forbidden tool
        ("good__twice", {}),  # and the name it would have without
        ("GOOD__FAIL", {}),
        ("Good__Echo", {}),
        ("good__fail ", {}),
        ("good/fail", {}),
        ("fail", {}),
        ("tool0", {}),
    ],
)
def test_what_a_caller_may_not_know_reads_exactly_like_what_does_not_exist(
    speaker: Speaker, name: str, arguments: Any
) -> None:
    hidden = without_record(speaker.call(name, arguments)["error"])
    unknown = without_record(speaker.call("no_such_tool", arguments)["error"])
    assert hidden["code"] == PARAMS and hidden["data"] == {"type": "unknown_name"}
    assert hidden == {**unknown, "message": unknown["message"].replace("no_such_tool", name)}
    assert name not in {tool["name"] for tool in speaker.ask("tools/list")["result"]["tools"]}


@pytest.mark.parametrize("arguments", ["text", [1], 5, True])
def test_arguments_that_are_no_object_say_nothing_about_the_tool(speaker: Speaker, arguments: Any) -> None:
    names = ("good__fail", "good__echo", "no_such_tool")
    errors = [without_record(speaker.call(name, arguments)["error"]) for name in names]
    assert errors[0] == errors[1] == errors[2]
    assert errors[0]["code"] == PARAMS and errors[0]["data"]["type"] == "invalid_arguments"
    assert "arguments" in errors[0]["message"]


@pytest.mark.parametrize(
    ("tool", "arguments", "path", "words"),
    [
        ("good__echo", {"text": 5}, "/arguments/text", "expected string, got integer"),
        ("good__echo", {"seconds": "1"}, "/arguments/seconds", "expected number, got string of 1 characters"),
        ("good__echo", {"nope": 1}, "/arguments", "unexpected property 'nope'"),
        ("good__strict", None, "/arguments", "missing required property 'text'"),
        ("good__strict", {}, "/arguments", "missing required property 'text'"),
        ("good__strict", {"text": None}, "/arguments/text", "expected string, got null"),
    ],
)
def test_wrong_arguments_are_named_one_by_one(
    speaker: Speaker, tool: str, arguments: Any, path: str, words: str
) -> None:
    error = speaker.call(tool, arguments)["error"]
    assert error["code"] == PARAMS and error["data"]["type"] == "invalid_arguments"
    assert error["data"]["problems"] == [{"path": path, "problem": words}]


@pytest.mark.parametrize(
    ("method", "params", "code", "words"),
    [
        ("no/such", {}, NO_METHOD, "Method not found"),
        ("tasks/get", {"taskId": "x"}, NO_METHOD, "Method not found"),
        ("tools/call", {"arguments": {}}, PARAMS, "params.name"),
        ("tools/list", {"cursor": 5}, PARAMS, "params.cursor"),
        ("tools/list", {"cursor": "made up"}, PARAMS, "not one this gateway gave out"),
        ("resources/read", {}, PARAMS, "params.uri"),
        ("resources/read", {"uri": "no://where"}, PARAMS, "Unknown resource: no://where"),
        ("prompts/get", {"name": "nope"}, PARAMS, "Unknown prompt: nope"),
        ("prompts/get", {"name": "nope", "arguments": [1]}, PARAMS, "arguments"),
        ("completion/complete", {}, PARAMS, "params.argument"),
    ],
)
def test_wrong_requests_say_what_is_wrong(
    speaker: Speaker, method: str, params: dict[str, Any], code: int, words: str
) -> None:
    error = speaker.ask(method, params)["error"]
    assert error["code"] == code
    assert words in error["message"] and "\n" not in error["message"]


# Bytes ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("era", ["modern", "legacy"])
@pytest.mark.parametrize("what", LINES)
def test_bytes_that_are_no_request_are_answered_over_stdio(world: World, era: str, what: str) -> None:
    raw, code = LINES[what]
    speaker = world.speakers[f"stdio-{era}"]
    assert isinstance(speaker, Stdio)
    speaker.write(raw + b"\n")
    answer = speaker.answer(7 if b'"id":7' in raw and what not in UNREADABLE else None)
    assert answer["error"]["code"] == code and "\n" not in answer["error"]["message"]
    assert answer["error"]["data"]["type"] in ("parse_error", "invalid_request", "limit_exceeded")
    assert "result" in speaker.call("good__echo", {"text": "next"})


# Whose id nobody can read.
UNREADABLE = {"half of it", "invalid UTF-8", "a batch", "10,000 levels", "50 MB"}


@pytest.mark.parametrize("era", ["modern", "legacy"])
@pytest.mark.parametrize("what", LINES)
def test_bytes_that_are_no_request_are_answered_over_http(world: World, era: str, what: str) -> None:
    raw, code = LINES[what]
    legacy = world.speakers["http-legacy"]
    assert isinstance(legacy, HttpLegacy)
    headers = envelope_headers() if era == "modern" else legacy.sent()
    status, body, _ = exchange(world.gateway, raw, headers)
    assert status == (413 if what == "50 MB" else 400)
    error = json.loads(body)["error"]
    assert error["code"] == code and "\n" not in error["message"]
    assert "result" in legacy.call("good__echo", {"text": "next"})


def test_empty_lines_on_stdio_are_nothing(world: World) -> None:
    speaker = world.speakers["stdio-legacy"]
    assert isinstance(speaker, Stdio)
    speaker.write(b"\n \r\n\n")
    assert "result" in speaker.call("good__echo", {"text": "next"})


# Ids --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("era", ["modern", "legacy"])
def test_an_id_that_is_still_in_flight_is_refused_over_stdio(world: World, era: str) -> None:
    speaker = world.speakers[f"stdio-{era}"]
    assert isinstance(speaker, Stdio)
    for number in (4711, "4711"):
        speaker.send(speaker.request("tools/call", call_params("good__slow", {"seconds": 0.5}), number))
        speaker.send(speaker.request("tools/call", call_params("good__echo", {"text": "second"}), number))
        refused = speaker.answer(None)["error"]  # with the id it would be taken for the first one's answer
        assert refused["code"] == INVALID and refused["data"] == {"type": "invalid_request", "id": number}
        assert "seconds" in json.dumps(speaker.answer(number)["result"])
    speaker.send(speaker.request("tools/call", call_params("good__echo", {"text": "again"}), 4711))
    assert "again" in json.dumps(speaker.answer(4711)["result"])


def test_an_id_that_is_still_in_flight_is_refused_over_http(world: World) -> None:
    legacy = world.speakers["http-legacy"]
    assert isinstance(legacy, HttpLegacy)
    slow = json.dumps(message("tools/call", call_params("good__slow", {"seconds": 1}), 4711)).encode()
    head = {**legacy.sent(), "host": "localhost", "connection": "close", "content-length": str(len(slow))}
    with connect(world.gateway) as first:
        lines = "".join(f"{name}: {value}\r\n" for name, value in head.items())
        first.sendall(f"POST /mcp HTTP/1.1\r\n{lines}\r\n".encode() + slow)
        answer = first.recv(4096)
        assert answer.startswith(b"HTTP/1.1 200")  # the stream is open, its answer still to come
        status, body = legacy.post(message("ping", {}, 4711))
        (refused,) = events(body)
        assert (status, refused["id"], refused["error"]["code"]) == (400, 4711, INVALID)
        other = HttpLegacy(world.gateway)
        assert "result" in events(other.post(message("ping", {}, 4711))[1])[0]  # another session's ids are its own
        while chunk := first.recv(4096):
            answer += chunk
    assert b"seconds" in answer
    assert "result" in events(legacy.post(message("ping", {}, 4711))[1])[0]


def test_a_cancelled_id_may_be_used_again(world: World) -> None:
    speaker = world.speakers["stdio-legacy"]
    assert isinstance(speaker, Stdio)
    speaker.send(speaker.request("tools/call", call_params("good__slow", {"seconds": 0.3}), 99))
    speaker.send({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 99}})
    speaker.send(speaker.request("tools/call", call_params("good__echo", {"text": "again"}), 99))
    assert "again" in json.dumps(speaker.answer(99)["result"])


# Headers and versions ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changed", "status", "code"),
    [
        ({"mcp-method": ""}, 400, HEADER),
        ({"mcp-method": "tools/list"}, 400, HEADER),
        ({"mcp-name": ""}, 400, HEADER),
        ({"mcp-name": "good__fail"}, 400, HEADER),
        ({"mcp-protocol-version": "2099-01-01"}, 400, HEADER),
        ({"mcp-protocol-version": LEGACY}, 400, INVALID),
        ({"accept": ""}, 406, INVALID),
        ({"accept": "application/json"}, 406, INVALID),
        ({"accept": "text/html"}, 406, INVALID),
        ({"content-type": ""}, 415, INVALID),
        ({"content-type": "text/plain"}, 415, INVALID),
        ({"content-type": "application/jsonp"}, 415, INVALID),
    ],
)
def test_wrong_headers_of_a_2026_request(world: World, changed: dict[str, str], status: int, code: int) -> None:
    answered, body, _ = exchange(world.gateway, modern_call(), {**envelope_headers(), **changed})
    assert (answered, json.loads(body)["error"]["code"]) == (status, code)


@pytest.mark.parametrize(
    ("changed", "status", "code"),
    [
        ({"accept": ""}, 406, INVALID),
        ({"accept": "text/event-stream"}, 406, INVALID),
        ({"content-type": ""}, 415, INVALID),
        ({"content-type": "text/plain"}, 415, INVALID),
        ({"mcp-session-id": "made-up"}, 404, INVALID),
        ({"mcp-session-id": ""}, 400, INVALID),
        ({"mcp-protocol-version": "2099-01-01"}, 400, PARAMS),
    ],
)
def test_wrong_headers_of_a_handshake_request(world: World, changed: dict[str, str], status: int, code: int) -> None:
    legacy = world.speakers["http-legacy"]
    assert isinstance(legacy, HttpLegacy)
    answered, body, _ = exchange(world.gateway, message("ping", {}, 1), {**legacy.sent(), **changed})
    assert (answered, json.loads(body)["error"]["code"]) == (status, code)


@pytest.mark.parametrize("accept", ["*/*", "application/*, text/*", "text/event-stream;q=0.5,application/json"])
def test_whoever_takes_both_kinds_is_served(world: World, accept: str) -> None:
    status, body, _ = exchange(world.gateway, modern_call(), {**envelope_headers(), "accept": accept})
    assert status == 200 and "result" in json.loads(body)


def test_an_unknown_protocol_version_is_answered_with_those_that_are_known(world: World) -> None:
    meta = {**ENVELOPE, "io.modelcontextprotocol/protocolVersion": "2099-01-01"}
    request = message("tools/list", {"_meta": meta}, 1)
    headers = {**BOTH_KINDS, "mcp-protocol-version": "2099-01-01", "mcp-method": "tools/list"}
    status, body, _ = exchange(world.gateway, request, headers)
    error = json.loads(body)["error"]
    assert (status, error["code"]) == (400, VERSION) and MODERN in error["data"]["supported"]
    old = message("initialize", {**HELLO, "protocolVersion": "1999-01-01"}, 1)
    _, body, _ = exchange(world.gateway, old, BOTH_KINDS)
    assert events(body)[0]["result"]["protocolVersion"] == LEGACY  # the handshake offers its own newest
    speaker = world.speakers["stdio-modern"]
    assert isinstance(speaker, Stdio)
    speaker.send({**request, "id": "v"})
    assert speaker.answer("v")["error"]["code"] == VERSION


def test_nothing_of_this_left_a_traceback_behind(world: World) -> None:
    assert "Traceback (most recent call last)" not in world.logs()
    assert "result" in world.gateway.call("good__echo", {"text": "x"})
