"""Stage `decide`: one rule for seeing and doing, reasons for what is refused, silence about what is hidden."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from agentflow.config import PolicyConfig
from agentflow.errors import PolicyDenied, UnknownName, to_rpc
from agentflow.identity.principal import Principal
from agentflow.pipeline.call import (
    GATEWAY,
    JSON,
    Call,
    Direction,
    Finding,
    Message,
    Pii,
    Session,
    UpstreamFacts,
    Verdict,
)
from agentflow.pipeline.stage import PASS, SKIPPED, Note
from agentflow.pipeline.stages.decide import Decide, unknown_name
from agentflow.policy.engine import Engine

AGENT = Principal("bot", "agent", ("agent",))
VIEWER = Principal("eve", "user", ("viewer",))
WEB = UpstreamFacts("web", "http")
CRM = UpstreamFacts("crm", "stdio", "trusted", "private")
SETTINGS = {
    "settings": {
        "forbidden": ["crm/drop_*"],
        "toxic_flow": "deny",
        "rules": {
            "no-refunds": {"servers": ["pay"], "effect": "deny"},
            "no-secrets": {"servers": ["crm"], "resources": ["crm://secret/*"], "effect": "deny"},
        },
    }
}
CATALOGUE: dict[str, tuple[UpstreamFacts, str, JSON]] = {
    "web__fetch": (WEB, "fetch", {"name": "fetch", "annotations": {"readOnlyHint": True}}),
    "web__post": (WEB, "post", {"name": "post"}),
    "crm__drop_all": (CRM, "drop_all", {"name": "drop_all"}),
    "crm__find": (CRM, "find", {"name": "find", "annotations": {"readOnlyHint": True}}),
    "crm://secret/1": (CRM, "crm://secret/1", {"uri": "crm://secret/1"}),
    "crm://{+path}": (CRM, "crm://{+path}", {"uriTemplate": "crm://{+path}"}),
    "crm://open/1": (CRM, "crm://open/1", {"uri": "crm://open/1"}),
}


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    made = Engine(PolicyConfig(data=SETTINGS))
    yield made
    made.close()


def facts_of(call: Call, item: JSON) -> tuple[UpstreamFacts, str, JSON] | None:
    return CATALOGUE.get(item.get("name") or item.get("uri") or item.get("uriTemplate") or "")


def call(name: str, caller: Principal = AGENT, surface: str = "tools/call", taint: set[str] | None = None) -> Call:
    facts, target, definition = CATALOGUE.get(name, (GATEWAY, "", None))
    params: JSON = {"uri": name} if surface.startswith("resources/") else {"name": name, "arguments": {}}
    return Call(
        surface,
        caller,
        Session("s", caller, taint or set()),
        params,
        name=name,
        target=target,
        upstream=facts,
        definition=definition,
        labelled=params,
    )


async def run(stage: Decide, subject: Call, message: Message | None = None) -> Note:
    note = stage(subject, message or Message(subject.surface, Direction.INBOUND, subject.params))
    return await note if isinstance(note, Awaitable) else note


async def listed(stage: Decide, names: list[str], caller: Principal = AGENT, kind: str = "tools") -> list[str]:
    surface, key, label = {
        "tools": ("tools/list", "tools", "name"),
        "prompts": ("prompts/list", "prompts", "name"),
        "resources": ("resources/list", "resources", "uri"),
        "templates": ("resources/templates/list", "resourceTemplates", "uriTemplate"),
    }[kind]
    subject = Call(surface, caller, Session("s", caller), {})
    message = Message(surface, Direction.OUTBOUND, {key: [{label: name} for name in names], "nextCursor": "c"})
    await run(stage, subject, message)
    assert message.body["nextCursor"] == "c"
    return [item[label] for item in message.body[key]]


@pytest.mark.parametrize("uri", ["crm://secret/9", "crm://open/../secret/9", "crm://%73ecret/9"])
async def test_a_rule_about_addresses_holds_for_what_a_template_reaches(engine: Engine, uri: str) -> None:
    subject = call("crm://{+path}", surface="resources/read")
    subject.name, subject.params = uri, {"uri": uri}
    subject.labelled = subject.params
    stage = Decide(engine, facts_of)
    with pytest.raises(UnknownName):  # as a listed one that the same rule hides
        await run(stage, subject)
    assert await listed(stage, ["crm://{+path}", "crm://secret/1"], kind="templates") == ["crm://{+path}"]
    subject.labelled = None
    with pytest.raises(PolicyDenied, match="not labelled"):
        await run(stage, subject)
    subject.params = subject.labelled = {"uri": "crm://open/9"}
    await run(stage, subject)


async def test_an_allowed_call_passes_and_carries_its_decision(engine: Engine) -> None:
    subject = call("crm__find")
    note = await run(Decide(engine, facts_of), subject)
    assert note.verdict is Verdict.PASS
    assert note.detail == {"reasons": ["role"]}
    assert subject.decision is not None
    assert subject.decision.allow
    assert subject.decision.obligations.rehydrate == ("*",)
    assert subject.decision.revision == engine.revision


async def test_the_second_equal_call_is_decided_without_waiting(engine: Engine) -> None:
    stage = Decide(engine, facts_of)
    await run(stage, call("web__post"))
    assert isinstance(stage(call("web__post"), Message("tools/call", Direction.INBOUND, {})), Note)


@pytest.mark.parametrize("again", [False, True])
@pytest.mark.parametrize(
    ("name", "caller", "surface", "message"),
    [
        ("crm__drop_all", AGENT, "tools/call", "Unknown tool: crm__drop_all"),
        ("web__post", VIEWER, "tools/call", "Unknown tool: web__post"),
        ("crm://secret/1", AGENT, "resources/read", "Unknown resource: crm://secret/1"),
        ("crm://secret/1", AGENT, "resources/subscribe", "Unknown resource: crm://secret/1"),
    ],
)
async def test_what_is_hidden_reads_like_what_does_not_exist(
    engine: Engine, name: str, caller: Principal, surface: str, message: str, again: bool
) -> None:
    subject = call(name, caller, surface)
    with pytest.raises(UnknownName) as caught:
        await run(Decide(engine, facts_of), subject)
    kind = "tool" if surface == "tools/call" else "resource"
    assert to_rpc(caught.value) == to_rpc(unknown_name(kind, name))
    assert caught.value.message == message
    assert subject.decision is not None
    assert not subject.decision.allow, "the record still says why"


async def test_what_is_seen_but_not_allowed_now_states_its_reason(engine: Engine) -> None:
    for _ in range(2):  # undecided, then from the cache
        subject = call("web__post", taint={"untrusted", "private"})
        with pytest.raises(PolicyDenied) as caught:
            await run(Decide(engine, facts_of), subject)
        assert [reason["code"] for reason in caught.value.data["reasons"]] == ["toxic_flow"]
        assert caught.value.data["revision"] == engine.revision


async def test_what_is_listed_is_what_may_be_called(engine: Engine) -> None:
    stage = Decide(engine, facts_of)
    tools = ["web__fetch", "web__post", "crm__drop_all", "crm__find"]
    for caller in (AGENT, VIEWER, Principal("nobody")):
        seen = await listed(stage, tools, caller)
        for name in tools:
            try:
                await run(stage, call(name, caller))
                allowed = True
            except UnknownName:
                allowed = False
            assert allowed == (name in seen), (caller, name)
    assert await listed(stage, tools) == ["web__fetch", "web__post", "crm__find"]
    assert await listed(stage, tools, VIEWER) == ["web__fetch", "crm__find"]
    assert await listed(stage, tools, Principal("nobody")) == []


async def test_an_item_nobody_knows_is_not_listed(engine: Engine) -> None:
    assert await listed(Decide(engine, facts_of), ["web__fetch", "made__up"]) == ["web__fetch"]


@pytest.mark.parametrize("kind", ["resources", "templates"])
async def test_resources_are_filtered_too(engine: Engine, kind: str) -> None:
    assert await listed(Decide(engine, facts_of), ["crm://secret/1", "crm://open/1"], kind=kind) == ["crm://open/1"]


async def test_a_listing_says_how_much_it_hides(engine: Engine) -> None:
    stage = Decide(engine, facts_of)
    subject = Call("tools/list", AGENT, Session("s", AGENT), {})
    for _ in range(2):
        message = Message(
            "tools/list", Direction.OUTBOUND, {"tools": [{"name": "web__fetch"}, {"name": "crm__drop_all"}]}
        )
        note = await run(stage, subject, message)
        assert (note.verdict, note.detail) == (Verdict.CHANGED, {"hidden": 1})
    assert await run(stage, subject, Message("tools/list", Direction.OUTBOUND, {"tools": []})) is PASS


async def test_a_changed_definition_is_decided_anew(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Decide(engine, facts_of)
    assert await listed(stage, ["web__fetch"], VIEWER) == ["web__fetch"]
    monkeypatch.setitem(CATALOGUE, "web__fetch", (WEB, "fetch", {"name": "fetch"}))
    assert await listed(stage, ["web__fetch"], VIEWER) == []


async def test_a_changed_policy_is_seen_at_the_next_listing() -> None:
    for settings, shown in (
        (SETTINGS, ["web__post", "crm__find"]),
        ({"settings": {"forbidden": ["web/*"]}}, ["crm__find"]),
    ):
        engine = Engine(PolicyConfig(data=settings))
        assert await listed(Decide(engine, facts_of), ["web__post", "crm__find"]) == shown
        engine.close()


async def test_ten_thousand_tools_cost_few_questions(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    many = {
        f"s{number % 10}__tool{number}": (
            UpstreamFacts(f"s{number % 10}", "http"),
            f"tool{number}",
            {"name": f"tool{number}", "annotations": {"title": f"T{number}", "readOnlyHint": number % 2 == 0}},
        )
        for number in range(10_000)
    }
    asked: list[JSON] = []
    real = Engine.decide_soon

    async def counting(self: Engine, *documents: JSON) -> Any:
        asked.extend(documents)
        return await real(self, *documents)

    monkeypatch.setattr(Engine, "decide_soon", counting)
    stage = Decide(engine, lambda call, item: many[item["name"]])
    for _ in range(2):
        assert len(await listed(stage, list(many), VIEWER)) == 5000
    assert len(asked) <= 4


@pytest.mark.parametrize(
    "surface", ["ping", "logging/setLevel", "server/discover", "tools/list", "completion/complete"]
)
async def test_the_gateways_own_surfaces_pass(engine: Engine, surface: str) -> None:
    subject = Call(surface, VIEWER, Session("s", VIEWER), {})
    assert (await run(Decide(engine, facts_of), subject)).verdict is Verdict.PASS


async def test_a_surface_nobody_has_heard_of_is_denied_with_a_reason(engine: Engine) -> None:
    with pytest.raises(PolicyDenied):
        await run(Decide(engine, facts_of), Call("admin/all", AGENT, Session("s", AGENT), {}))


async def test_messages_within_a_call_and_ordinary_results_are_skipped(engine: Engine) -> None:
    stage, subject = Decide(engine, facts_of), call("crm__find")
    assert await run(stage, subject, Message("elicitation/create", Direction.INBOUND, {})) is SKIPPED
    assert await run(stage, subject, Message("tools/call", Direction.OUTBOUND, {"content": []})) is SKIPPED


@pytest.fixture
def broken(tmp_path: Path) -> Callable[[str], Engine]:
    def make(rego: str) -> Engine:
        (tmp_path / "p.rego").write_text(f"package agentflow\n\nimport rego.v1\n\n{rego}\n")
        return Engine(PolicyConfig(bundle=tmp_path))

    return make


async def test_a_policy_that_cannot_answer_says_so_for_calls_and_listings(broken: Callable[[str], Engine]) -> None:
    engine = broken('decision := {"allow": to_number(input.call.surface) == 1}')
    stage = Decide(engine, facts_of)
    for _ in range(2):
        with pytest.raises(PolicyDenied) as caught:
            await run(stage, call("crm__find"))
        assert caught.value.data["reasons"][0]["code"] == "policy_error"
        with pytest.raises(PolicyDenied) as caught:
            await listed(stage, ["crm__find"])
        assert caught.value.data["reasons"][0]["code"] == "policy_error"
    engine.close()


async def test_a_policy_that_reads_arguments_does_not_decide_without_them(broken: Callable[[str], Engine]) -> None:
    engine = broken('decision := {"allow": true} if not large\n\nlarge if input.call.arguments.amount > 10')
    stage, subject = Decide(engine, facts_of), call("crm__find")
    subject.labelled = None
    with pytest.raises(PolicyDenied) as caught:
        await run(stage, subject)
    assert caught.value.data["reasons"][0]["code"] == "policy_error"
    subject.labelled = {"arguments": {"amount": 5}}
    assert (await run(stage, subject)).verdict is Verdict.PASS
    engine.close()


async def test_while_the_policy_cannot_answer_every_name_gets_the_same_refusal(broken: Callable[[str], Engine]) -> None:
    engine = broken('decision := {"allow": to_number(input.call.surface) == 1}')
    stage = Decide(engine, facts_of)
    said = set()
    for ask in (stage.answering(AGENT, "tool"), _awaited(stage.visible(AGENT, "tool", CATALOGUE["crm__find"]))):
        with pytest.raises(PolicyDenied) as caught:
            await ask
        said.add((caught.value.message, str(caught.value.data)))
    assert len(said) == 1
    engine.close()


async def test_a_name_that_the_policy_cannot_decide_about_is_hidden(
    broken: Callable[[str], Engine], caplog: pytest.LogCaptureFixture
) -> None:
    engine = broken('decision := {"allow": to_number(object.get({"": "1"}, input.call.tool, "no")) == 1}')
    stage = Decide(engine, facts_of)
    await stage.answering(AGENT, "tool")
    assert await _awaited(stage.visible(AGENT, "tool", CATALOGUE["crm__find"])) is False
    assert "whether a tool of crm shows cannot be decided: policy_error" in caplog.text
    engine.close()


async def _awaited(found: bool | Awaitable[bool]) -> bool:
    return found if isinstance(found, bool) else await found


RESULTS = """
decision := {"allow": false, "reasons": [{"code": "leak", "message": "no cards"}], "obligations": {}} if {
	input.call.phase == "result"
	"CREDIT_CARD" in input.call.pii.types
} else := {"allow": true, "reasons": [], "obligations": {"redact": ["IBAN"], "cache_ttl": 9}} if {
	input.call.phase == "result"
	input.call.size > 100
} else := {"allow": true, "obligations": {"approval": {"who": "caller", "ttl": 9}}} if {
	input.call.phase == "result"
	some finding in input.call.injection.findings
	finding.rule == "override"
} else := {"allow": true, "obligations": {"redact": ["EMAIL"], "mask": ["PHONE"]}}
"""


async def test_a_policy_that_names_results_is_asked_about_them(broken: Callable[[str], Engine]) -> None:
    engine = broken(RESULTS)
    found = Pii()

    async def pii_of(call: Call, message: Message) -> Pii:
        return found

    stage, subject = Decide(engine, facts_of, pii_of), call("crm__find")

    async def answer(text: str) -> Note:
        body = {"content": [{"type": "text", "text": text}]}
        return await run(stage, subject, Message("tools/call", Direction.OUTBOUND, body))

    await run(stage, subject)
    assert (await answer("short")).verdict is Verdict.PASS
    assert subject.decision is not None
    assert (subject.decision.obligations.redact, subject.decision.obligations.mask) == (("EMAIL", "PHONE"), ("PHONE",))
    await answer("long " * 50)
    owed = subject.decision.obligations
    assert (set(owed.redact), owed.mask, owed.cache_ttl) == ({"EMAIL", "PHONE", "IBAN"}, (), 0)
    found = Pii({"CREDIT_CARD": 1}, ["/content/0/text"])
    with pytest.raises(PolicyDenied, match="no cards"):
        await answer("short")
    assert subject.decision.allow, "what is recorded of the call is how the call was decided"
    found, subject.findings = Pii(), [Finding("override", 0.9, "/content/0/text", 0, 5, "x")]
    with pytest.raises(PolicyDenied, match="cannot wait"):
        await answer("short")
    engine.close()


async def test_a_policy_that_does_not_name_results_is_not_asked_about_them(engine: Engine) -> None:
    stage, subject = Decide(engine, facts_of), call("crm__find")
    await run(stage, subject)
    asked = engine.evaluations
    assert await run(stage, subject, Message("tools/call", Direction.OUTBOUND, {"content": []})) is SKIPPED
    assert engine.evaluations == asked
