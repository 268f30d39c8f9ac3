"""What a conversation is remembered to have been exposed to."""

from __future__ import annotations

from typing import Any

import pytest

from agentflow.config_guard import GuardConfig
from agentflow.identity.principal import Principal
from agentflow.pipeline.call import GATEWAY, Call, Direction, Message, Session, UpstreamFacts
from agentflow.pipeline.stages.taint import Taint

ADA = Principal("ada")
TEXT = {"content": [{"type": "text", "text": "hello"}]}
PUBLIC = UpstreamFacts("web", "http")
CRM = UpstreamFacts("crm", "http", trust="trusted", sensitivity="private")
TOOLS = UpstreamFacts("tools", "tools", trust="trusted")


def run(upstream: UpstreamFacts, body: dict[str, Any] | None = None, **changes: Any) -> Call:
    call = Call("tools/call", ADA, Session("s", ADA), {}, upstream=upstream)
    for name, value in changes.items():
        setattr(call, name, value)
    stage = Taint(GuardConfig())
    stage(call, Message("tools/call", Direction.OUTBOUND, TEXT if body is None else body))
    stage.release(call)
    return call


@pytest.mark.parametrize(
    ("upstream", "changes", "labels"),
    [
        (PUBLIC, {}, {"untrusted"}),
        (CRM, {}, {"private"}),
        (TOOLS, {}, set()),
        (TOOLS, {"redacted": {"EMAIL": 1}}, {"private"}),
        (PUBLIC, {"redacted": {"EMAIL": 1}}, {"untrusted"}),
        (GATEWAY, {"redacted": {"EMAIL": 1}}, set()),
        (TOOLS, {"injection_score": 0.5}, {"injection"}),
        (TOOLS, {"injection_score": 0.3}, set()),
        (UpstreamFacts("x", "http", sensitivity="private"), {}, {"untrusted", "private"}),
    ],
)
def test_labels_follow_from_the_upstream_and_the_findings(
    upstream: UpstreamFacts, changes: dict[str, Any], labels: set[str]
) -> None:
    call = run(upstream, **changes)
    assert call.taint == labels
    assert call.session.taint == labels


def test_an_answer_without_text_taints_nothing() -> None:
    assert run(PUBLIC, {"content": []}).taint == set()
    assert run(PUBLIC, {"content": [{"type": "text", "text": "42"}]}).taint == set()


def test_labels_stay_with_the_session() -> None:
    session = Session("s", ADA, taint={"private"})
    call = Call("tools/call", ADA, session, {}, upstream=PUBLIC)
    note = Taint(GuardConfig())(call, Message("tools/call", Direction.OUTBOUND, TEXT))
    assert session.taint == {"private", "untrusted"}
    assert note.detail == {"taint": ["untrusted"]}
    assert call.taint == {"untrusted"}
