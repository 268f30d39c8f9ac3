"""Denial of service: slow, silent, huge and very many clients cost themselves, not the others."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from faults.conftest import evil
from faults.speakers import BOTH_KINDS, HELLO, HttpLegacy, HttpModern, connect, exchange, message, raw_http
from gateway_process import Gateway, running_gateway, wait_until

SESSIONS, CALLS = 512, 40


@pytest.fixture(scope="module")
def narrow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    config = {
        "mcpServers": {"good": evil(), "stuck": evil(timeout=2)},
        "flow": {"enabled": False},
        "limits": {
            "request_read_timeout": 1,
            "max_sessions": SESSIONS,
            "max_concurrent": CALLS,
            "max_concurrent_per_principal": CALLS,
        },
    }
    with running_gateway(config, tmp_path_factory.mktemp("floods"), forked=False) as gateway:
        gateway.wait_for_tools("good__echo", "stuck__never")
        yield gateway


def ended(connection: socket.socket) -> bytes:
    """What the gateway says before it closes the connection."""
    answer = b""
    try:
        while chunk := connection.recv(65536):
            answer += chunk
    except ConnectionResetError:
        pass
    return answer


def memory(gateway: Gateway) -> int:
    """Resident bytes."""
    lines = Path(f"/proc/{gateway.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS"))


def test_slow_clients_are_let_go_and_delay_nobody(narrow: Gateway) -> None:
    head = b"POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    slow = [connect(narrow) for _ in range(200)]
    for number, connection in enumerate(slow):
        connection.sendall((b"", b"POST", head, head + b"Content-Length: 100\r\n\r\n{")[number % 4])
    for turn in range(20):
        assert "result" in narrow.call("good__echo", {"text": str(turn)})
    answers = [ended(connection) for connection in slow]  # each ends by itself
    for connection in slow:
        connection.close()
    assert sum(answer.startswith(b"HTTP/1.1 408") for answer in answers) == len(slow)


def test_a_client_that_does_not_read_its_answers_harms_itself_only(narrow: Gateway) -> None:
    text = "y" * 1_000_000
    lazy = []
    for number in range(4):
        connection = connect(narrow)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        body = json.dumps(message("initialize", HELLO, number)).encode()
        headers = "".join(f"{name}: {value}\r\n" for name, value in {**BOTH_KINDS, "host": "localhost"}.items())
        connection.sendall(f"POST /mcp HTTP/1.1\r\n{headers}content-length: {len(body)}\r\n\r\n".encode() + body)
        lazy.append(connection)
    for turn in range(5):
        assert "result" in narrow.call("good__echo", {"text": f"{turn}{text}"})
    for connection in lazy:
        connection.close()


@pytest.mark.parametrize(
    "body",
    [
        b'{"jsonrpc":"2.0","id":1,"method":"ping","params":{"x":"' + b"y" * 50_000_000 + b'"}}',
        b"[" * 4_000_000,
        b'{"a":' * 700_000,
        b'"' + b'\\"' * 2_000_000,
        b"[" + b"{}," * 1_300_000 + b"{}]",
        b'{"jsonrpc":"2.0","id":1' + b"0" * 3_000_000 + b',"method":"ping"}',
    ],
    ids=["50 MB", "4 million brackets", "700,000 levels", "quotes", "a million objects", "a number of 3 MB"],
)
def test_huge_bodies_are_refused_and_leave_nothing(narrow: Gateway, body: bytes) -> None:
    before = memory(narrow)
    for _ in range(3):
        status, answer, _ = exchange(narrow, body, BOTH_KINDS)
        assert status in (400, 413) and json.loads(answer)["error"]["code"] in (-32700, -32600, -32013)
    assert "result" in narrow.call("good__echo", {"text": "next"})
    assert memory(narrow) - before < 100 * 1024 * 1024


@pytest.mark.parametrize(
    "text", ["a@" * 100_000, "1" * 200_000, "4111 " * 40_000, "<!--" * 50_000, "\u202e" * 60_000, "=" * 200_000]
)
def test_hostile_text_is_looked_at_in_time(narrow: Gateway, text: str) -> None:
    assert "timed out" not in str(narrow.call("good__echo", {"text": text}))


def test_many_connections_that_say_nothing_leave_room_for_others(narrow: Gateway) -> None:
    silent = [connect(narrow) for _ in range(400)]
    assert "result" in narrow.call("good__echo", {"text": "room"})
    for connection in silent:
        connection.close()


def test_calls_at_once_are_bounded_and_the_others_are_told_to_wait(narrow: Gateway) -> None:
    answers: list[dict[str, Any]] = []

    def call() -> None:
        answers.append(HttpModern(narrow).call("stuck__never", {}))

    stuck = [threading.Thread(target=call) for _ in range(CALLS + 10)]
    for thread in stuck:
        thread.start()
    seen: list[dict[str, Any]] = []

    def full() -> bool:
        seen.append(narrow.call("good__echo", {"text": "one more"}))
        return "error" in seen[-1]

    wait_until(full, "the limit to be reached", 20)
    refused = seen[-1]["error"]
    assert refused["code"] == -32013 and refused["data"]["type"] == "limit_exceeded"
    assert refused["data"]["retry_after"] == 1
    assert narrow.get("/healthz")[0] == 200
    for thread in stuck:
        thread.join(30)
    codes = [answer["error"]["code"] for answer in answers]
    assert set(codes) == {-32016, -32013} and codes.count(-32016) <= CALLS
    assert "result" in narrow.call("good__echo", {"text": "room again"})


def test_sessions_are_bounded_and_existing_ones_go_on(narrow: Gateway) -> None:
    before = memory(narrow)
    mine = HttpLegacy(narrow)
    refused = None
    opened: list[str] = []
    body = message("initialize", HELLO, 1)
    for _ in range(SESSIONS + 20):
        status, answer, headers = exchange(narrow, body, BOTH_KINDS)
        if status != 200:
            refused = status, json.loads(answer)
            break
        opened.append(headers["mcp-session-id"])
    assert refused is not None, f"{len(opened)} sessions and no end"
    assert refused[0] == 503 and refused[1]["error"]["message"]
    assert len(set(opened)) == len(opened) <= SESSIONS
    assert "result" in mine.call("good__echo", {"text": "mine"})
    assert "result" in narrow.call("good__echo", {"text": "needs no session"})
    assert memory(narrow) - before < 200 * 1024 * 1024
    for session in opened:
        head = f"DELETE /mcp HTTP/1.1\r\nHost: localhost\r\nMcp-Session-Id: {session}\r\nConnection: close\r\n\r\n"
        assert raw_http(narrow, head.encode()).startswith(b"HTTP/1.1 200")
    assert "result" in HttpLegacy(narrow).ask("ping")
