"""Strategies through a whole gateway: what a client gets in a value's place, and what a trusted upstream gets back."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import psycopg
import pytest
from gateway_process import Gateway, running_gateway

from agentflow.guard.strategies.checks import luhn

JSON = dict[str, Any]
SERVER = Path(__file__).with_name("person_server.py")
PERSON: JSON = {
    "mail": "alice.smith@corp-mail.com", "phone": "+1 415 671 2345", "ip": "10.20.30.40", "card": "4111 1111 1111 1111",
    "card_number": 5555555555554444, "ssn": "536-22-1234", "iban": "DE89 3704 0044 0532 0130 00",
    "mac": "3c:22:fb:9a:10:7e",
    "note": "Since 2019 a customer: alice.smith@corp-mail.com, pays by card 4111 1111 1111 1111.",
}  # fmt: skip
STRATEGIES = {
    "EMAIL_ADDRESS": "synthetic", "PHONE": "mask", "IP": "generalise", "CARD": "format_preserving", "SSN": "drop",
    "IBAN": "pass",
}  # fmt: skip
REVERSIBLE = ("mail", "card", "card_number", "mac", "note")


def config(record: Path, **guard: Any) -> JSON:
    arguments = [str(SERVER), json.dumps(PERSON), str(record)]
    person = {"command": sys.executable, "args": arguments, "trust": "trusted", "namespace": ""}
    return {"mcpServers": {"person": person}, "flow": {"enabled": False}, "guard": guard}


def shown(gateway: Gateway) -> JSON:
    """What a client sees of the person; the text says the same as the structured content."""
    answer = gateway.call("look_up")
    assert "result" in answer, f"{answer}\n{gateway.log_text()[-3000:]}"
    result = answer["result"]
    (block,) = result["content"]
    assert json.loads(block["text"]) == result["structuredContent"]
    return dict(result["structuredContent"])


def filed(gateway: Gateway, record: Path, arguments: JSON) -> JSON:
    assert "result" in gateway.call("file", arguments)
    return dict(json.loads(record.read_text().splitlines()[-1]))


def test_each_type_gets_its_strategy_and_what_can_be_given_back_is(tmp_path: Path) -> None:
    record = tmp_path / "record.jsonl"
    with running_gateway(config(record, strategies=STRATEGIES), tmp_path) as gateway:
        gateway.wait_for_tools("look_up")
        seen = shown(gateway)
        assert seen == shown(gateway)
        assert re.fullmatch(r"[a-z.]+\d*@example\.(org|net|com)", seen["mail"])
        assert re.fullmatch(r"\+\* \*{3} \*{3} 2345", seen["phone"])
        assert seen["ip"] == "10.20.30.0/24"
        assert re.fullmatch(r"\d{4}( \d{4}){3}", seen["card"]) and seen["card"] != PERSON["card"]
        for card in (seen["card"], seen["card_number"]):
            assert luhn(str(card).replace(" ", "")) == 0
        assert isinstance(seen["card_number"], int) and seen["card_number"] != PERSON["card_number"]
        assert seen["ssn"] == "" and seen["iban"] == PERSON["iban"]
        assert re.fullmatch(r"<MAC_[0-9a-f]{8,16}>", seen["mac"])
        assert seen["note"] == f"Since 2019 a customer: {seen['mail']}, pays by card {seen['card']}."

        back = filed(gateway, record, {name: seen[name] for name in REVERSIBLE} | {"phone": seen["phone"]})
        assert back == {**{name: PERSON[name] for name in REVERSIBLE}, "phone": seen["phone"]}
        loose = {"text": f"To {seen['mail'].upper()} ({seen['card'].replace(' ', '')})"}
        assert filed(gateway, record, loose) == {"text": f"To {PERSON['mail']} ({PERSON['card']})"}


@pytest.mark.parametrize("style", ["«{type}_{hex}»", "{{{{{type}:{hex}}}}}", "redacted"])
def test_tokens_of_a_template_come_back_from_a_whole_gateway(style: str, tmp_path: Path) -> None:
    record = tmp_path / "record.jsonl"
    with running_gateway(config(record, token_format=style), tmp_path) as gateway:
        gateway.wait_for_tools("look_up")
        seen = shown(gateway)
        bracket = {"«": "«EMAIL_", "{": "{{EMAIL:", "r": "[REDACTED_EMAIL_"}[style[0]]
        assert seen["mail"].startswith(bracket)
        assert filed(gateway, record, seen) == PERSON


def test_two_gateways_share_a_vault_in_postgresql(tmp_path: Path, database: str) -> None:
    """With one master key, what one of them replaced the other gives back; nothing clear is in the database."""
    key = "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVowMTIzNDU="
    guard = {"vault": {"url": "${VAULT_URL}"}, "master_key": "${VAULT_KEY}", "strategies": {"EMAIL": "synthetic"}}
    env = {"VAULT_URL": database, "VAULT_KEY": key}
    seen: list[JSON] = []
    for name in ("one", "two"):
        folder = tmp_path / name
        folder.mkdir()
        record = folder / "record.jsonl"
        with running_gateway(config(record, **guard), folder, env=env) as gateway:
            gateway.wait_for_tools("look_up")
            if seen:
                assert filed(gateway, record, seen[0]) == PERSON
            seen.append(shown(gateway))
            assert filed(gateway, record, seen[-1]) == PERSON
    assert seen[0] == seen[1]
    with psycopg.connect(database) as db:
        rows = db.execute("SELECT token, sealed FROM agentflow_vault.tokens").fetchall()
    assert rows and not any(b"corp-mail" in bytes(sealed) or "corp-mail" in token for token, sealed in rows)
