"""The deep tier: Presidio in a process of its own, bounded, replaced when it fails, and never on the network."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest

from agentflow.config_guard import DeepConfig
from agentflow.errors import ConfigError, DeepTierUnavailable
from agentflow.guard.deep import process
from agentflow.guard.deep import tier as module
from agentflow.guard.deep.tier import DeepTier
from agentflow.guard.spans import Match


@pytest.fixture(scope="module")
def tier() -> Iterator[DeepTier]:
    built = DeepTier(DeepConfig(timeout=120))
    yield built
    built.close()


def values(text: str, matches: list[Match]) -> set[tuple[str, str]]:
    return {(match.type, text[match.start : match.end]) for match in matches}


async def test_all_texts_of_a_message_are_answered_in_order(tier: DeepTier) -> None:
    texts = [("Ada Lovelace", "customer_name"), ("read_file", "name"), ("I met Grace Hopper in Rotterdam.", "")]
    first, second, third = await tier.find(texts)
    assert values(texts[0][0], first) == {("PERSON", "Ada Lovelace")}
    assert second == []
    assert values(texts[2][0], third) == {("PERSON", "Grace Hopper"), ("LOCATION", "Rotterdam")}


def test_no_question_starts_no_process() -> None:
    idle = DeepTier(DeepConfig())
    assert idle.find_now([]) == []
    assert idle._process is None
    idle.close()


def test_text_that_no_encoder_takes_is_answered(tier: DeepTier) -> None:
    text = "\ud83d\ude00 \ud800 I talked to Margaret Hamilton about it \udfff"
    (found,) = tier.find_now([(text, "")])
    assert ("PERSON", "Margaret Hamilton") in values(text, found)


def test_the_next_question_after_a_crash_is_answered(tier: DeepTier) -> None:
    tier.find_now([("hello", "")])
    assert tier._process is not None
    os.kill(tier._process.pid, signal.SIGKILL)
    with pytest.raises(DeepTierUnavailable, match="crashed"):
        tier.find_now([("Ada Lovelace", "full_name")])
    (found,) = tier.find_now([("Ada Lovelace", "full_name")])
    assert found[0].type == "PERSON"


def test_a_late_answer_is_no_answer(tier: DeepTier) -> None:
    hasty = DeepTier(DeepConfig(timeout=0.0001))
    hasty._process = hasty._started()
    with pytest.raises(DeepTierUnavailable, match=r"did not answer within"):
        hasty.find_now([("Ada Lovelace " * 1000, "")])
    assert hasty._process is None
    hasty.close()


async def test_one_message_more_than_may_wait_is_refused(tier: DeepTier) -> None:
    full = DeepTier(DeepConfig(queue=1, timeout=60))
    refused, answered = [], []
    turned_away = anyio.Event()

    async def ask() -> None:
        try:
            answered.append(await full.find([("Ada Lovelace", "")]))
        except DeepTierUnavailable as error:
            refused.append(error)
            turned_away.set()

    full._lock.acquire()  # the worker is busy
    async with anyio.create_task_group() as group:
        for _ in range(3):
            group.start_soon(ask)
        await turned_away.wait()
        assert len(refused) == 1
        full._lock.release()
    assert len(answered) == 2
    full.close()


def test_after_close_nothing_is_answered() -> None:
    closed = DeepTier(DeepConfig())
    closed.close()
    with pytest.raises(DeepTierUnavailable, match="closed"):
        closed.find_now([("Ada Lovelace", "")])


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError) as caught:
        DeepTier(DeepConfig()).need()
    assert "agentflow-gateway[pii]" in caught.value.fix


@pytest.mark.parametrize(
    ("engine", "model", "words"),
    [
        ("spacy", None, "guard.deep.model"),
        ("spacy", "no_such_model", "no_such_model is not installed"),
        ("stanza", "en", "pip install 'stanza'"),
        ("transformers", "x/y", "pip install 'presidio-analyzer"),
        ("gliner", None, "pip install 'gliner'"),
        ("own", "/nowhere/model.bin", "cannot be read"),
    ],
)
def test_an_engine_that_is_not_installed_says_what_to_install(engine: str, model: str | None, words: str) -> None:
    built = DeepTier(DeepConfig.model_validate({"engine": engine, "model": model}))
    with pytest.raises(ConfigError) as caught:
        built.check()
    assert words in caught.value.message
    built.close()


def test_an_installed_spacy_model_can_be_the_engine(tmp_path: Path) -> None:
    spacy = pytest.importorskip("spacy")
    nlp = spacy.blank("en")
    nlp.add_pipe("entity_ruler").add_patterns([{"label": "PERSON", "pattern": "Zaphod Beeblebrox"}])
    nlp.to_disk(tmp_path / "tiny")
    built = DeepTier(DeepConfig(engine="spacy", model=str(tmp_path / "tiny"), timeout=120))
    text = "Zaphod Beeblebrox wrote to zaphod@example.com"
    (found,) = built.find_now([(text, "")])
    assert {("PERSON", "Zaphod Beeblebrox"), ("EMAIL", "zaphod@example.com")} <= values(text, found)
    built.close()


def test_a_spacy_model_that_finds_no_entities_is_refused(tmp_path: Path) -> None:
    spacy = pytest.importorskip("spacy")
    spacy.blank("en").to_disk(tmp_path / "blank")
    built = DeepTier(DeepConfig(engine="spacy", model=str(tmp_path / "blank")))
    with pytest.raises(ConfigError, match="no component that finds entities"):
        built.check()
    built.close()


def test_a_models_own_labels_are_given_a_type(tmp_path: Path) -> None:
    spacy = pytest.importorskip("spacy")
    nlp = spacy.blank("en")
    rows = [{"label": "CREW", "pattern": "Zaphod Beeblebrox"}, {"label": "FAC", "pattern": "Milliways"}]
    nlp.add_pipe("entity_ruler").add_patterns(rows)
    nlp.to_disk(tmp_path / "tiny")
    built = DeepTier(DeepConfig(engine="spacy", model=str(tmp_path / "tiny"), labels={"CREW": "PERSON"}, timeout=120))
    text = "Zaphod Beeblebrox ate at Milliways"
    (found,) = built.find_now([(text, "")])
    assert values(text, found) == {("PERSON", "Zaphod Beeblebrox"), ("LOCATION", "Milliways")}
    built.close()


def test_all_of_presidios_patterns_run_when_asked_for() -> None:
    built = DeepTier(DeepConfig(patterns=True, timeout=120))
    text = "I talked to Margaret Hamilton about card 4111 1111 1111 1111"
    (found,) = built.find_now([(text, "")])
    assert {("PERSON", "Margaret Hamilton"), ("CARD", "4111 1111 1111 1111")} <= values(text, found)
    built.close()


def test_presidio_validates_addresses_without_a_network(tier: DeepTier) -> None:
    """`EmailRecognizer` asks tldextract, which by default fetches its list at first use."""
    text = "ada@example.co.uk and ada@example.notatld"
    (found,) = tier.find_now([(text, "")])
    assert ("EMAIL", "ada@example.co.uk") in values(text, found)
    assert ("EMAIL", "ada@example.notatld") not in values(text, found)


def test_the_worker_cannot_open_a_connection(tmp_path: Path) -> None:
    """A model that tries to call home, in the very process that reads what tools return."""
    server = socket.create_server(("127.0.0.1", 0))
    package = tmp_path / "presidio_analyzer"
    package.mkdir()
    (package / "__init__.py").write_text(
        "import socket\n"
        "for call in (lambda: socket.create_connection(('127.0.0.1', PORT)),\n"
        "             lambda: socket.getaddrinfo('example.com', 443),\n"
        "             lambda: socket.socket(type=socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', PORT)),\n"
        "             lambda: socket.socket().bind(('127.0.0.1', 0))):\n"
        "    try:\n"
        "        call()\n"
        "    except PermissionError:\n"
        "        continue\n"
        "    raise SystemExit('a connection was possible')\n"
        "raise ImportError('every way out is closed')\n".replace("PORT", str(server.getsockname()[1]))
    )
    script = f"import sys; sys.argv = ['worker', {str(process._ROOT)!r}]; sys.path.insert(0, {str(tmp_path)!r}); "
    script += f"exec(compile(open({str(process._WORKER)!r}).read(), 'worker', 'exec'))"
    done = subprocess.run(
        [sys.executable, "-I", "-c", script.replace("sys.path.insert(0, sys.argv[1])", "")],
        input=process.HEADER.pack(b"L", 2) + b"{}",
        capture_output=True,
        timeout=120,
        check=False,
    )
    assert b"every way out is closed" in done.stderr
    assert b"a connection was possible" not in done.stderr
    server.close()
