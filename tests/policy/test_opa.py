"""An OPA behind the same port: the embedded engine's decisions, and a denial whenever there is no answer."""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given, settings
from policy.opa_server import Opa, one_module, serving
from policy.recorded_calls import question
from policy.test_differential import RULES, documents

from agentflow.config import OpaConfig, PolicyConfig
from agentflow.errors import ConfigError
from agentflow.identity.principal import Principal
from agentflow.pipeline.call import JSON, UpstreamFacts
from agentflow.policy.archive import pack
from agentflow.policy.bundle import read_bundle
from agentflow.policy.engine import Engine
from agentflow.policy.listing import Item, Listings
from agentflow.policy.opa import OpaEngine
from agentflow.policy.port import build

ALLOW = 'package agentflow\n\nimport rego.v1\n\ndecision := {"allow": true} if input.n > 0\n'
SETTINGS: JSON = {"settings": {"rules": RULES, "forbidden": ["crm/drop_*"], "toxic_flow": "ask"}}


@pytest.fixture
def opa(tmp_path: Path) -> Iterator[Opa]:
    with serving(tmp_path) as running:
        running.write(ALLOW, {}, "")
        yield running


def asking(opa: Opa, bundle: Path | None = None, data: JSON | None = None, **options: Any) -> OpaEngine:
    settings: dict[str, Any] = {"url": opa.url, "timeout": 5.0, "cache": 0.0, **options}
    config = PolicyConfig(engine="opa", opa=OpaConfig(**settings), bundle=bundle, data=data or {})
    made = build(config)
    assert isinstance(made, OpaEngine)
    return made


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    bundle = read_bundle(PolicyConfig(data=SETTINGS))
    path = tmp_path_factory.mktemp("packed") / "bundle.tar.gz"
    path.write_bytes(pack(bundle.texts, bundle.data, bundle.revision))
    return path


@pytest.fixture(scope="module")
def pair(packed: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Engine, OpaEngine]]:
    with serving(tmp_path_factory.mktemp("opa")) as running:
        running.load(packed)
        embedded, remote = Engine(PolicyConfig(data=SETTINGS)), asking(running, packed)
        yield embedded, remote
        remote.close()
        embedded.close()


@given(document=documents)
@settings(max_examples=200, deadline=None)
def test_both_decide_generated_inputs_alike(pair: tuple[Engine, OpaEngine], document: JSON) -> None:
    embedded, remote = pair
    one, other = embedded.decide(document), remote.decide(document)
    assert (one.allow, one.reasons, one.obligations) == (other.allow, other.reasons, other.obligations)
    assert other.revision == f"opa:{embedded.revision}"


def test_every_test_of_the_bundle_passes_on_both(tmp_path: Path) -> None:
    """The embedded engine runs them in `test_engine.py`; here the second one does."""
    bundle = read_bundle(PolicyConfig())
    names = [name for program in bundle.trials() for name in program.entrypoints]
    assert len(names) >= 60
    with serving(tmp_path) as opa:
        opa.write(one_module(bundle.texts), bundle.own_data, "")
        failed = [name for name in names if opa.value(name, {}) is not True]
    assert failed == []


async def test_it_is_asked_over_one_connection_that_is_kept(opa: Opa) -> None:
    with closing(asking(opa)) as engine:
        for number in range(1, 6):
            (decision,) = await engine.decide_soon({"n": number})
            assert decision.allow
        assert [decision.allow for decision in await engine.decide_soon({"n": 1}, {"n": 0}, {"n": 2})] == [
            True,
            False,
            True,
        ]
    assert len(opa.connections) <= 3
    assert all("strict-builtin-errors=true" in query for query in opa.queries)


@pytest.mark.parametrize(
    ("status", "body", "code"),
    [
        (200, {}, "policy_undefined"),
        (200, {"result": None}, "policy_wrong_type"),
        (200, {"result": "true"}, "policy_wrong_type"),
        (200, {"result": True}, "policy_wrong_type"),
        (200, {"result": {"allow": "true"}}, "policy_wrong_type"),
        (200, {"result": {"allow": True, "obligations": {"unheard_of": 1}}}, "policy_wrong_type"),
        (200, b"[1]", "policy_error"),
        (200, b"<html>", "policy_error"),
        (200, b'{"result": {"allow": true}} ' + b" " * 2**20 + b"x", "policy_error"),
        (200, b"", "policy_error"),
        (302, b"", "policy_error"),
        (400, {"code": "invalid_parameter", "message": "bad"}, "policy_error"),
        (401, {"code": "unauthorized"}, "policy_error"),
        (404, b"nothing here", "policy_error"),
        (500, {"code": "internal_error", "message": "eval_conflict_error"}, "policy_error"),
        (503, b"", "policy_unavailable"),
    ],
)
def test_what_is_no_decision_denies_by_name(opa: Opa, status: int, body: Any, code: str) -> None:
    opa.fault = lambda handler: handler.answer(status, body)
    with closing(asking(opa)) as engine:
        decision = engine.decide({"n": 1})
        assert (decision.allow, decision.reasons[0][0]) == (False, code)
        assert decision.reasons[0][1]
        opa.fault = None
        assert engine.decide({"n": 1}).allow, "a fault is not remembered as a decision"


def test_a_builtin_that_fails_denies(opa: Opa) -> None:
    opa.write('package agentflow\n\nimport rego.v1\n\ndecision := {"allow": to_number(input.t) > 1}\n', {}, "")
    with closing(asking(opa)) as engine:
        assert engine.decide({"t": "x"}).reasons[0][0] in ("policy_error", "policy_undefined")


def test_a_late_answer_denies_in_time(opa: Opa) -> None:
    held = threading.Event()
    opa.fault = lambda handler: held.wait(20) and None
    with closing(asking(opa, timeout=0.1)) as engine:
        assert engine.decide({"n": 1}).reasons[0][0] == "policy_timeout"
        held.set()


def test_a_connection_that_breaks_off_denies(opa: Opa) -> None:
    opa.fault = lambda handler: handler.connection.shutdown(socket.SHUT_RDWR)
    with closing(asking(opa)) as engine:
        assert engine.decide({"n": 1}).reasons[0][0] == "policy_unavailable"


def test_an_opa_that_is_not_there_denies_and_is_left_alone_after_some_failures(opa: Opa) -> None:
    asked: list[int] = []

    def down(handler: Any) -> None:
        asked.append(1)
        handler.answer(503, b"")

    opa.fault = down
    with closing(asking(opa, failures=3, pause=0.05)) as engine:
        for _ in range(10):
            assert engine.decide({"n": 1}).reasons[0][0] == "policy_unavailable"
        first = len(asked)
        assert 3 <= first < 10
        assert "left alone" in engine.decide({"n": 1}).reasons[0][1] or len(asked) > first
        opa.fault = None
        while not engine.decide({"n": 1}).allow:
            pass
        opa.fault = down
        assert "HTTP 503" in engine.decide({"n": 2}).reasons[0][1], "it counts anew"


def test_a_fault_of_one_question_does_not_open_the_breaker(opa: Opa) -> None:
    opa.fault = lambda handler: handler.answer(500, {"code": "internal_error"})
    with closing(asking(opa, failures=2, pause=60)) as engine:
        for _ in range(6):
            assert engine.decide({"n": 1}).reasons[0][0] == "policy_error"
        opa.fault = None
        assert engine.decide({"n": 1}).allow


@pytest.mark.parametrize(("seconds", "allowed"), [(0.0, False), (600.0, True)])
def test_the_last_answer_stands_in_only_where_it_may(opa: Opa, seconds: float, allowed: bool) -> None:
    with closing(asking(opa, last_known_good=seconds)) as engine:
        assert engine.decide({"n": 1}).allow
        opa.fault = lambda handler: handler.answer(503, b"")
        decision = engine.decide({"n": 1})
        assert decision.allow is allowed
        assert ("last_known_good" in {code for code, _ in decision.reasons}) is allowed
        assert not engine.decide({"n": 2}).allow, "what was never asked has no last answer"
        opa.fault = lambda handler: handler.answer(200, {})
        assert engine.decide({"n": 1}).reasons[0][0] == "policy_undefined", "an answer is an answer"


def test_answers_are_reused_for_a_moment_and_then_asked_for_again(opa: Opa) -> None:
    with closing(asking(opa, cache=600.0)) as engine:
        assert engine.known({"n": 1}) is None
        assert engine.decide({"n": 1}).allow
        assert engine.known({"n": 1}) is not None
        assert engine.decide({"n": 1}).allow
    assert len(opa.questions) == 1
    with closing(asking(opa, cache=0.0)) as engine:
        engine.decide({"n": 1})
        assert engine.known({"n": 1}) is None
        assert engine.epoch != engine.epoch


def test_what_the_bundle_does_not_read_is_not_sent_once_opa_names_its_revision(opa: Opa, packed: Path) -> None:
    opa.load(packed)
    with closing(asking(opa, packed)) as engine:
        assert engine.reads("call", "arguments")
        assert engine.bundle.selectors is None
        document = question(arguments={"text": "hello"})
        engine.decide(document)
        assert not engine.reads("call", "arguments")
        assert engine.bundle.selectors is not None
        engine.decide(document)
        assert opa.questions[0] == document
        assert "arguments" not in opa.questions[1]["call"]


def test_a_question_cut_for_another_revision_is_asked_again_whole(opa: Opa, packed: Path) -> None:
    opa.load(packed)
    with closing(asking(opa, packed)) as engine:
        document = question(arguments={"amount": 1})
        engine.decide(document)
        rego = 'package agentflow\n\nimport rego.v1\n\ndecision := {"allow": true} if input.call.arguments.amount < 5\n'
        opa.write(rego, {}, "another")
        decision = engine.decide(document)
        assert (decision.allow, decision.revision) == (True, "opa:another")
        assert opa.questions[-2].get("call", {}).get("arguments") is None
        assert opa.questions[-1] == document


def test_an_opa_without_bundles_is_called_unversioned(opa: Opa) -> None:
    with closing(asking(opa)) as engine:
        assert engine.decide({"n": 1}).revision == "opa:unversioned" == engine.revision


async def test_a_listing_is_decided_by_it_and_again_when_it_changes(opa: Opa, packed: Path) -> None:
    opa.load(packed)
    caller = Principal(id="p", kind="agent", roles=("agent",), tenant="default", scopes=(), auth="local")
    facts = UpstreamFacts("crm", "http")
    items: list[Item] = [(facts, name, {"name": name}) for name in ("drop_all", "read", "list")]
    with closing(asking(opa, packed)) as engine:
        listings = Listings(engine)
        view = listings.view(caller, "tool")
        assert await listings.fill(view, items) is None
        assert [view.shows(item) for item in items] == [False, True, True]
        rego = 'package agentflow\n\nimport rego.v1\n\ndecision := {"allow": input.call.tool == "read"}\n'
        opa.write(rego, {}, "other")
        view = listings.view(caller, "tool")
        assert view.missing(items) == items
        assert await listings.fill(view, items) is None
        assert [view.shows(item) for item in items] == [False, True, False]


def test_only_the_right_token_is_answered(opa: Opa) -> None:
    opa.token = "canary-of-opa"
    with closing(asking(opa)) as engine:
        decision = engine.decide({"n": 1})
        assert "token" in decision.reasons[0][1]
    with closing(asking(opa, token="canary-of-opa")) as engine:
        assert engine.decide({"n": 1}).allow
    assert "canary" not in repr(PolicyConfig(opa=OpaConfig(token="canary-of-opa")))  # type: ignore[arg-type]


def test_the_environments_proxy_is_not_used(opa: Opa, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    with closing(asking(opa)) as engine:
        assert engine.decide({"n": 1}).allow


def test_a_closed_engine_denies(opa: Opa) -> None:
    engine = asking(opa)
    engine.close()
    engine.close()
    assert engine.decide({"n": 1}).reasons[0][0] == "policy_error"
    assert asyncio.run(engine.decide_soon({"n": 1}))[0].reasons[0][0] == "policy_error"


def test_text_that_is_not_unicode_denies(opa: Opa) -> None:
    with closing(asking(opa)) as engine:
        for decision in (engine.decide({"n": "\ud800"}), engine.known({"n": "\ud800"})):
            assert decision is not None
            assert decision.reasons[0][0] == "policy_error"


@pytest.mark.parametrize("change", [{"url": ""}, {"url": "opa:8181"}, {"ca": Path("nowhere.pem")}])
def test_what_cannot_be_asked_is_a_mistake_of_the_configuration(opa: Opa, change: JSON) -> None:
    with pytest.raises(ConfigError):
        asking(opa, **change)


def test_its_certificate_is_checked(tmp_path: Path, certificate: Callable[[], tuple[Path, Path]]) -> None:
    chain, key = certificate()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain, key)
    with serving(tmp_path, context) as opa:
        opa.write(ALLOW, {}, "")
        with closing(asking(opa)) as engine:
            decision = engine.decide({"n": 1})
            assert decision.reasons[0][0] == "policy_unavailable"
            assert "certificate" in decision.reasons[0][1].lower()
        with closing(asking(opa, ca=chain)) as engine:
            assert engine.decide({"n": 1}).allow


@pytest.fixture
def certificate(tmp_path: Path) -> Callable[[], tuple[Path, Path]]:
    """Make a certificate for 127.0.0.1; returns its file and its key's."""

    def make() -> tuple[Path, Path]:
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "opa")])
        now = datetime.datetime.now(datetime.UTC)
        made = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(1)
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(hours=1))
            .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
            .add_extension(x509.BasicConstraints(True, None), True)
            .sign(key, hashes.SHA256())
        )
        chain, secret = tmp_path / "opa.pem", tmp_path / "opa.key"
        chain.write_bytes(made.public_bytes(serialization.Encoding.PEM))
        secret.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return chain, secret

    return make


def test_questions_under_way_are_answered_when_the_engine_closes(opa: Opa) -> None:
    held, asked = threading.Event(), threading.Event()

    def hold(handler: Any) -> None:
        asked.set()
        held.wait(20)

    opa.fault = hold
    engine, said = asking(opa), list[str]()
    asker = threading.Thread(target=lambda: said.append(engine.decide({"n": 1}).reasons[0][0]))
    asker.start()
    assert asked.wait(20)
    engine.close()
    asker.join(20)
    held.set()
    assert not asker.is_alive() and said[0] in ("policy_unavailable", "policy_error")


async def test_an_engine_whose_loop_is_stuck_denies_all_the_same(opa: Opa) -> None:
    engine, freed = asking(opa, timeout=0.1), threading.Event()
    engine._loop.call_soon_threadsafe(freed.wait, 20)
    try:
        assert engine.decide({"n": 1}).reasons[0][0] == "policy_timeout"
        assert [each.reasons[0][0] for each in await engine.decide_soon({"n": 1}, {"n": 2})] == ["policy_timeout"] * 2
    finally:
        freed.set()
        engine.close()
