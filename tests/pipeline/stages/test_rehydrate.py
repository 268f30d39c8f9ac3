"""rehydrate gives values back where policy says so, and nowhere else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agentflow.config import Config, PipelineConfig, StageConfig
from agentflow.errors import InvalidArguments
from agentflow.gateway.assemble import assemble
from agentflow.identity.principal import Principal
from agentflow.pipeline.call import (
    Call,
    Decision,
    Direction,
    Message,
    Obligations,
    Session,
    UpstreamFacts,
    Verdict,
)
from agentflow.pipeline.pii import PiiKit, build_pii
from agentflow.pipeline.stages.rehydrate import Rehydrate
from agentflow.pipeline.stages.validate import Validate
from agentflow.policy.engine import Engine

PRINCIPAL = Principal("alice", tenant="acme")


@pytest.fixture
def kit(tmp_path: Path) -> Iterator[PiiKit]:
    built = build_pii(Config(data_dir=tmp_path))
    yield built
    built.vault.close()


@pytest.fixture
def token(kit: PiiKit) -> str:
    return f"<{kit.vault.tokens('acme', [('EMAIL', 'alice@example.com')])[0]}>"


def call(types: tuple[str, ...] | None, definition: dict[str, Any] | None = None) -> Call:
    decision = None if types is None else Decision(True, obligations=Obligations(rehydrate=types))
    return Call("tools/call", PRINCIPAL, Session("s", PRINCIPAL), {}, decision=decision, definition=definition)


def inbound(body: dict[str, Any], surface: str = "tools/call") -> Message:
    return Message(surface, Direction.INBOUND, body)


@pytest.mark.parametrize("types", [("*",), ("EMAIL", "SSN")])
def test_an_allowed_type_comes_back(kit: PiiKit, token: str, types: tuple[str, ...]) -> None:
    running = call(types)
    message = inbound({"name": "send", "arguments": {"to": token}})
    note = Rehydrate(kit.vault)(running, message)
    assert message.body == {"name": "send", "arguments": {"to": "alice@example.com"}}
    assert (note.verdict, running.rehydrated) == (Verdict.CHANGED, {"EMAIL": 1})
    assert "alice" not in str(note)


@pytest.mark.parametrize("types", [None, (), ("SSN",)])
def test_without_permission_the_token_goes_on(kit: PiiKit, token: str, types: tuple[str, ...] | None) -> None:
    running = call(types)
    body = {"name": "send", "arguments": {"to": token}}
    message = inbound(body)
    assert Rehydrate(kit.vault)(running, message).verdict is Verdict.PASS
    assert message.body is body
    assert running.rehydrated == {}


def test_what_policy_holds_back_is_on_record(kit: PiiKit, token: str) -> None:
    assert Rehydrate(kit.vault)(call(("SSN",)), inbound({"arguments": {"to": token}})).detail == {"kept": {"EMAIL": 1}}


def test_another_tenants_token_means_nothing(kit: PiiKit) -> None:
    foreign = f"<{kit.vault.tokens('rival', [('EMAIL', 'alice@example.com')])[0]}>"
    message = inbound({"arguments": {"to": foreign}})
    Rehydrate(kit.vault)(call(("*",)), message)
    assert message.body == {"arguments": {"to": foreign}}


def test_a_number_is_a_number_again(kit: PiiKit) -> None:
    text, number = kit.vault.tokens("acme", [("CARD", "4111-1111-1111-1111"), ("CARD", 5555555555554444)])
    schema = {"properties": {"a": {"type": "integer"}, "b": {"type": "integer"}, "c": {"type": "string"}}}
    message = inbound({"arguments": {"a": f"<{text}>", "b": int(number), "c": number}})
    Rehydrate(kit.vault)(call(("*",), {"inputSchema": schema}), message)
    assert message.body["arguments"] == {"a": 4111111111111111, "b": 5555555555554444, "c": "5555555555554444"}


def checked(kit: PiiKit, arguments: dict[str, Any], schema: dict[str, Any], types: tuple[str, ...]) -> dict[str, Any]:
    validate = Validate()
    running, message = call(types, {"inputSchema": schema}), inbound({"name": "send", "arguments": arguments})
    validate(running, message)
    Rehydrate(kit.vault, validate.check)(running, message)
    body: dict[str, Any] = message.body["arguments"]
    return body


def test_what_a_token_stands_for_must_fit_the_schema(kit: PiiKit, token: str) -> None:
    schema = {"properties": {"to": {"type": "string", "pattern": "@", "maxLength": 20}}}
    assert checked(kit, {"to": token}, schema, ("*",)) == {"to": "alice@example.com"}
    assert checked(kit, {"to": token}, schema, ()) == {"to": token}  # only its spelling is amiss
    with pytest.raises(InvalidArguments) as refused:
        checked(kit, {"to": f"rm -rf / {token} && x"}, schema, ("*",))
    assert "alice" not in f"{refused.value} {refused.value.payload()}"


@pytest.mark.parametrize("wanted", [{"type": "integer"}, {"enum": ["a"]}, {"type": "object"}])
def test_a_token_that_nobody_knows_or_that_is_kept_fits_no_type_but_string(
    kit: PiiKit, token: str, wanted: dict[str, Any]
) -> None:
    for unknown, types in (("<EMAIL_00000000>", ("*",)), (token, ()), (token, ("*",))):
        with pytest.raises(InvalidArguments):
            checked(kit, {"to": unknown}, {"properties": {"to": wanted}}, types)


@pytest.mark.parametrize("mode", ["enforce", "audit", "off"])
async def test_an_assembled_chain_sends_no_token_where_a_number_belongs(tmp_path: Path, mode: str) -> None:
    stages = {"validate": StageConfig.model_validate({"mode": mode})}
    config = Config(data_dir=tmp_path, pipeline=PipelineConfig(stages=stages))
    engine = Engine(config.policy)
    parts = assemble(config, lambda subject, item: None, engine, lambda: engine.revision)
    operator = Principal("ada", roles=("operator",))
    definition = {"name": "t", "inputSchema": {"properties": {"n": {"type": "integer"}}}}
    params = {"name": "t", "arguments": {"n": "<EMAIL_00000000>"}}
    subject = Call(
        "tools/call", operator, Session("s", operator), params, name="t", target="t", definition=definition,
        upstream=UpstreamFacts("up", "http"),
    )  # fmt: skip
    sent: list[Any] = []

    async def dispatch(running: Call) -> dict[str, Any]:
        sent.append(running.params["arguments"])
        return {"content": []}

    try:
        if mode == "enforce":
            with pytest.raises(InvalidArguments):
                await parts.pipeline.handle(subject, dispatch)
        else:
            await parts.pipeline.handle(subject, dispatch)
    finally:
        parts.close()
    assert sent == ([] if mode == "enforce" else [params["arguments"]])


def test_answers_of_the_person_and_resource_addresses_are_rehydrated_too(kit: PiiKit, token: str) -> None:
    answer = inbound({"action": "accept", "content": {"mail": token}}, "elicitation/create")
    Rehydrate(kit.vault)(call(("*",)), answer)
    assert answer.body["content"] == {"mail": "alice@example.com"}
    read = inbound({"uri": f"mail://{token}/inbox"}, "resources/read")
    Rehydrate(kit.vault)(call(("*",)), read)
    assert read.body == {"uri": "mail://alice@example.com/inbox"}
