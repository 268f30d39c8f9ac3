"""Sessions and held calls belong to the principal that began them: replayed by another they read as unknown."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from faults.speakers import BOTH_KINDS, ENVELOPE, LEGACY, HttpLegacy, exchange, message, raw_http
from gateway_process import MODERN, wait_until
from security.conftest import ADA, EVE, House

CAN_BE_ASKED = {**ENVELOPE, "io.modelcontextprotocol/clientCapabilities": {"elicitation": {}}}


def test_another_principal_s_session_reads_as_unknown(house: House, ada_session: HttpLegacy) -> None:
    stolen = {**ada_session.sent(), **EVE}
    made_up = {**stolen, "mcp-session-id": "0" * 32}
    for body in (message("ping", {}, 1), message("tools/call", {"name": "child__echo", "arguments": {}}, 2)):
        assert exchange(house.gateway, body, stolen)[:2] == exchange(house.gateway, body, made_up)[:2]
        assert exchange(house.gateway, body, stolen)[0] == 404
    for method in ("GET", "DELETE"):
        head = "".join(f"{k}: {v}\r\n" for k, v in {**stolen, "host": "localhost", "connection": "close"}.items())
        assert raw_http(house.gateway, f"{method} /mcp HTTP/1.1\r\n{head}\r\n".encode()).startswith(b"HTTP/1.1 404")
    assert "result" in ada_session.call("child__echo", {"text": "still mine"})


def test_a_session_without_its_key_is_refused(house: House, ada_session: HttpLegacy) -> None:
    headers = {k: v for k, v in ada_session.sent().items() if k != "authorization"}
    assert exchange(house.gateway, message("ping", {}, 1), headers)[0] == 401


def test_one_session_s_ids_do_not_block_another_principal(house: House, ada_session: HttpLegacy) -> None:
    eve = HttpLegacy(house.gateway, EVE)
    assert "result" in ada_session.ask("ping") and "result" in eve.ask("ping")
    assert ada_session.session != eve.session and len(eve.session) >= 32


def ask(house: House, who: dict[str, str], tool: str, **more: Any) -> dict[str, Any]:
    params = {"name": tool, "arguments": {}, "_meta": CAN_BE_ASKED, **more}
    headers = {**BOTH_KINDS, **who, "mcp-protocol-version": MODERN, "mcp-method": "tools/call", "mcp-name": tool}
    _, body, _ = exchange(house.gateway, message("tools/call", params, 1), headers)
    answer: dict[str, Any] = json.loads(body)
    return answer


def test_a_held_call_is_given_back_to_its_principal_and_request_only_and_once(house: House) -> None:
    """What a handshake server asks is put to a 2026 client in an answer: the call waits here, under a name of ours."""
    first = ask(house, ADA, "asker__ask")["result"]
    assert first["resultType"] == "input_required" and first["requestState"].startswith("agentflow-held.")
    assert len(first["requestState"]) > 50, "not to be guessed"
    (key,) = first["inputRequests"]
    answer = {key: {"action": "accept", "content": {}}}
    replay = {"requestState": first["requestState"], "inputResponses": answer}
    made_up = {"requestState": "agentflow-held." + "A" * 43, "inputResponses": answer}
    unknown = ask(house, EVE, "asker__ask", **made_up)["error"]
    for who, tool in ((EVE, "asker__ask"), (ADA, "canary__talk"), (EVE, "asker__slow")):
        refused = ask(house, who, tool, **replay)["error"]
        assert (refused["code"], refused["message"]) == (unknown["code"], unknown["message"])
    assert ask(house, ADA, "asker__ask", **replay)["result"]["resultType"] == "complete"
    assert ask(house, ADA, "asker__ask", **replay)["error"]["code"] == -32602


def test_nobody_cancels_another_s_call(house: House, ada_session: HttpLegacy, tmp_path: Path) -> None:
    """Ids of requests are numbers that anybody guesses; they count within one caller's session."""
    until, eve = tmp_path / "until", HttpLegacy(house.gateway, EVE)
    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(ada_session.call, "asker__slow", {"until": str(until), "text": "mine"})
        wait_until(lambda: str(until) in (house.folder / "asker.jsonl").read_text(), "the call to be under way")
        for number in range(1, 5):
            told = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": number}}
            assert eve.post(told)[0] == 202
            assert exchange(house.gateway, told, {**ada_session.sent(), **EVE})[0] == 404
        assert "result" in eve.ask("ping")
        until.touch()
        assert "slow: mine" in str(call.result(30)["result"])


def test_an_era_cannot_be_mixed_into_a_session(house: House, ada_session: HttpLegacy) -> None:
    headers = {**ada_session.sent(), "mcp-protocol-version": MODERN, "mcp-method": "ping"}
    assert exchange(house.gateway, message("ping", {}, 1), headers)[0] == 400
    assert "result" in ada_session.ask("ping") and LEGACY == "2025-11-25"
