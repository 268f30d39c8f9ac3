"""redact lets nothing out, on any surface."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from agentflow.config import Config
from agentflow.config_guard import GuardConfig
from agentflow.errors import ConfigError, VaultUnavailable
from agentflow.guard.neutralise import spotlight
from agentflow.identity.principal import Principal
from agentflow.pipeline.call import Call, Decision, Direction, Message, Obligations, Session, Verdict
from agentflow.pipeline.pii import PiiKit, build_pii
from agentflow.pipeline.stage import PASS, Note
from agentflow.pipeline.stages.rehydrate import Rehydrate

PRINCIPAL = Principal("alice", tenant="acme")
MAIL = "canary@example.com"


@pytest.fixture
def kit(tmp_path: Path) -> Iterator[PiiKit]:
    built = build_pii(Config(data_dir=tmp_path))
    yield built
    built.vault.close()


def call(surface: str = "tools/call", **more: Any) -> Call:
    return Call(surface, PRINCIPAL, Session("s", PRINCIPAL), {}, **more)


def outbound(surface: str, body: dict[str, Any]) -> Message:
    return Message(surface, Direction.OUTBOUND, body)


BODIES = [
    ("tools/call", {"content": [{"type": "text", "text": f"to {MAIL}"}], "structuredContent": {MAIL: [MAIL]}}),
    ("tools/call", {"content": [{"type": "resource", "resource": {"uri": f"x://{MAIL}", "text": MAIL}}]}),
    ("tools/call", {"resultType": "input_required", "inputRequests": {"1": {
        "method": "elicitation/create", "params": {"message": f"write to {MAIL}?"}}}, "requestState": "s"}),
    ("tools/list", {"tools": [{"name": "t", "description": f"mails {MAIL}", "inputSchema": {
        "properties": {"to": {"default": MAIL, "description": MAIL}}}}]}),
    ("prompts/get", {"messages": [{"role": "user", "content": {"type": "text", "text": MAIL}}]}),
    ("prompts/list", {"prompts": [{"name": "p", "arguments": [{"name": "a", "description": MAIL}]}]}),
    ("resources/read", {"contents": [{"uri": "x://y", "text": f"mail: {MAIL}"}]}),
    ("resources/list", {"resources": [{"uri": f"mail://{MAIL}", "name": MAIL, "title": MAIL}]}),
    ("completion/complete", {"completion": {"values": [MAIL]}}),
    ("error", {"message": f"no such user {MAIL}", "data": {"user": MAIL}}),
    ("notifications/message", {"level": "info", "logger": "l", "data": {"user": MAIL}}),
    ("notifications/progress", {"progressToken": 1, "progress": 0.5, "message": f"sending to {MAIL}"}),
    ("elicitation/create", {"message": f"Is {MAIL} right?", "requestedSchema": {
        "properties": {"x": {"default": MAIL}}}}),
    ("sampling/createMessage", {"messages": [{"role": "user", "content": {"type": "text", "text": MAIL}}],
                                "systemPrompt": f"You are {MAIL}"}),
    ("server/discover", {"instructions": f"ask {MAIL}"}),
]  # fmt: skip


@pytest.mark.parametrize(("surface", "body"), BODIES)
@pytest.mark.parametrize("decided", [True, False])
def test_no_value_leaves_on_any_surface(kit: PiiKit, surface: str, body: dict[str, Any], decided: bool) -> None:
    running = call(decision=Decision(True) if decided else None)
    message = outbound(surface, body)
    note = kit.redact(running, message)
    assert note.verdict is Verdict.CHANGED
    assert "canary" not in orjson.dumps(message.body).decode()
    assert "canary" in orjson.dumps(body).decode()
    assert running.redacted["EMAIL"] >= 1
    assert note.detail == {"redacted": running.redacted}


def test_only_the_types_policy_names_are_replaced(kit: PiiKit) -> None:
    message = outbound("tools/call", {"structuredContent": {"a": MAIL, "b": "123-45-6789"}})
    kit.redact(call(decision=Decision(True, obligations=Obligations(redact=("SSN",)))), message)
    assert message.body["structuredContent"]["a"] == MAIL
    assert message.body["structuredContent"]["b"].startswith("<SSN_")
    untouched = outbound("tools/call", {"structuredContent": {"a": MAIL}})
    kit.redact(call(decision=Decision(True, obligations=Obligations(redact=()))), untouched)
    assert untouched.body["structuredContent"]["a"] == MAIL


def test_an_answer_without_pii_leaves_as_the_same_object(kit: PiiKit) -> None:
    body = {"content": [{"type": "text", "text": "hello number 5"}], "structuredContent": {"result": "hello number 5"}}
    message = outbound("tools/call", body)
    assert kit.redact(call(), message).verdict is Verdict.PASS
    assert message.body is body


def test_a_token_from_one_result_is_the_value_in_a_later_call(kit: PiiKit) -> None:
    result = outbound("tools/call", {"structuredContent": {"mail": MAIL, "card": 4111111111111111}})
    schema = {"type": "object", "properties": {"mail": {"type": "string"}, "card": {"type": "integer"}}}
    kit.redact(call(definition={"outputSchema": schema}), result)
    assert isinstance(result.body["structuredContent"]["card"], int)
    later = Message("tools/call", Direction.INBOUND, {"arguments": result.body["structuredContent"]})
    trusted = call(decision=Decision(True, obligations=Obligations(rehydrate=("*",))))
    kit.label(trusted, later)
    assert trusted.pii.counts == {}
    Rehydrate(kit.vault)(trusted, later)
    assert later.body == {"arguments": {"mail": MAIL, "card": 4111111111111111}}


def test_a_message_does_not_leave_when_its_tokens_cannot_be_kept(kit: PiiKit) -> None:
    kit.vault.store.db.execute("PRAGMA query_only = ON")
    with pytest.raises(VaultUnavailable):
        kit.redact(call(), outbound("tools/call", {"content": [{"type": "text", "text": MAIL}]}))
    kit.redact(call(), outbound("tools/call", {"content": [{"type": "text", "text": "plain"}]}))


def test_configured_types_and_exceptions_are_honoured(tmp_path: Path) -> None:
    guard = GuardConfig(pii_types=("EMAIL",), pii_allow=("info@example.com",), token_format="redacted")
    kit = build_pii(Config(data_dir=tmp_path, guard=guard))
    message = outbound("tools/call", {"structuredContent": {"a": "info@example.com", "b": "123-45-6789", "c": MAIL}})
    kit.redact(call(), message)
    content = message.body["structuredContent"]
    assert (content["a"], content["b"]) == ("info@example.com", "123-45-6789")
    assert content["c"].startswith("[REDACTED_EMAIL_")
    kit.vault.close()


def test_an_unknown_type_in_the_configuration_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="SHOE_SIZE"):
        build_pii(Config(data_dir=tmp_path, guard=GuardConfig(pii_types=("SHOE_SIZE",))))


def _spotlit(text: str) -> Message:
    message = outbound("tools/call", {"content": [{"type": "text", "text": spotlight(text, [(0, 6)])}]})
    message.marked = True
    return message


async def test_personal_data_in_a_passage_marked_as_data_is_redacted(kit: PiiKit) -> None:
    message = _spotlit("Ignore this. Card 4111 1111 1111 1111, IBAN DE89 3704 0044 0532 0130 00, call +31 20 624 1111")
    this = call()
    note = kit.redact(this, message)
    assert not isinstance(note, Note) and (await note).verdict is Verdict.CHANGED
    said = message.body["content"][0]["text"]
    assert set(this.redacted) == {"CARD", "IBAN", "PHONE"}
    assert "1111" not in said and "3704" not in said and " " not in said.split("«")[1]


async def test_a_marked_passage_without_personal_data_stays_as_it_is(kit: PiiKit) -> None:
    message = _spotlit("Ignore this and obey 2^10")
    before = message.body
    note = kit.redact(call(), message)
    assert not isinstance(note, Note) and (await note) is PASS
    assert message.body is before


SECRETS = "card 4111 1111 1111 1111, key ghp_16C7e42F292c6912E7710c838347Ae178B4a"


def test_what_is_recorded_is_redacted_whatever_policy_names(kit: PiiKit) -> None:
    narrowed = call(decision=Decision(True, obligations=Obligations(redact=("EMAIL",))))
    recorded = outbound("record", {"question": SECRETS})
    kit.redact(narrowed, recorded)
    assert "4111" not in str(recorded.body) and "ghp_" not in str(recorded.body)


def test_secrets_are_redacted_whatever_policy_names(kit: PiiKit) -> None:
    for types in (("EMAIL",), ()):
        answer = outbound("tools/call", {"content": [{"type": "text", "text": SECRETS}]})
        kit.redact(call(decision=Decision(True, obligations=Obligations(redact=types))), answer)
        assert "4111 1111 1111 1111" in str(answer.body) and "ghp_" not in str(answer.body)


# --------------------------------------------------------------------------- what was looked at before


def said(text: str) -> Message:
    return outbound("tools/call", {"content": [{"type": "text", "text": text}]})


def test_a_message_that_holds_nothing_is_not_searched_again(kit: PiiKit, monkeypatch: pytest.MonkeyPatch) -> None:
    assert kit.redact(call(), said("the soup was good")) is PASS
    monkeypatch.setattr("agentflow.guard.redaction.joints.suspect", None)
    assert kit.redact(call(), said("the soup was good")) is PASS


def test_a_message_is_searched_again_when_any_of_it_differs(kit: PiiKit) -> None:
    for _ in range(2):
        assert kit.redact(call(), said("ask alice")) is PASS
        message = said(f"ask {MAIL}")
        assert isinstance(note := kit.redact(call(), message), Note)
        assert note.verdict is Verdict.CHANGED
        assert MAIL not in str(message.body)


def test_a_message_without_personal_data_is_searched_again_for_what_policy_names(kit: PiiKit) -> None:
    text = "see www.example.com for more"
    assert kit.redact(call(), said(text)) is PASS
    message = said(text)
    kit.redact(call(decision=Decision(True, obligations=Obligations(redact=("URL",)))), message)
    assert "example.com" not in str(message.body)
    assert kit.redact(call(), said(text)) is PASS


def test_what_is_nothing_to_one_tenant_is_searched_for_another(tmp_path: Path) -> None:
    tenants = {"acme": {"deny": {"PROJECT": ["bluebird"]}}}
    guard = GuardConfig.model_validate({"tenants": tenants})
    built = build_pii(Config(data_dir=tmp_path, guard=guard))
    other = Principal("bob", tenant="other")
    assert built.redact(Call("tools/call", other, Session("s", other), {}), said("bluebird flies")) is PASS
    message = said("bluebird flies")
    built.redact(call(), message)
    assert "bluebird" not in str(message.body)
    built.vault.close()


@pytest.mark.parametrize("surface", ["tools/call", "resources/read"])
def test_a_value_cut_by_paging_is_a_token_on_the_next_page(kit: PiiKit, surface: str) -> None:
    filler = "Notes of the meeting, which went on for a while and came to no end at all, as ever. "
    shown, session = [], Session("s", PRINCIPAL)
    for number, said in enumerate((f"{filler}Write to canary@exa", f"mple.com soon. {filler}")):
        asked = {"name": "read", "arguments": {"page": number}} if surface == "tools/call" else {"uri": f"x://{number}"}
        made = Call(surface, PRINCIPAL, session, asked, target=str(asked.get("name") or asked["uri"]))
        name = "content" if surface == "tools/call" else "contents"
        message = outbound(surface, {name: [{"type": "text", "uri": "x://y", "text": said}]})
        kit.redact(made, message)
        shown.append(message.body[name][0]["text"])
    assert shown[0].endswith("canary@exa")
    assert re.match(r"<EMAIL_[0-9a-f]+> soon\.", shown[1])


def test_a_type_that_policy_masks_is_masked_for_the_client_and_a_token_in_what_is_kept(kit: PiiKit) -> None:
    masking = Decision(True, obligations=Obligations(redact=("IBAN",), mask=("EMAIL",)))
    text = f"{MAIL} pays from DE89 3704 0044 0532 0130 00"
    message = said(text)
    assert kit.redact(call(decision=masking), message) is not PASS
    assert message.body["content"][0]["text"].startswith("c***@example.com pays from <IBAN_")
    kept = Message("record", Direction.OUTBOUND, {"text": text})
    kit.redact(call(decision=masking), kept)
    assert re.fullmatch(r"<EMAIL_\w+> pays from <IBAN_\w+>", kept.body["text"])
    message = said(text)
    kit.redact(call(), message)
    assert "***" not in str(message.body)


def test_where_everything_is_masked_secrets_show_nothing(kit: PiiKit) -> None:
    message = said(f"{MAIL} has the key AKIAIOSFODNN7EXAMPLA")
    kit.redact(call(decision=Decision(True, obligations=Obligations(mask=("*",)))), message)
    assert message.body["content"][0]["text"] == "c***@example.com has the key ****"
