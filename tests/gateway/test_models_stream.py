"""Where a streamed answer is cut, and what of it leaves: over the real stages, whatever the pieces."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agentflow.config import Config
from agentflow.errors import AgentFlowError, UpstreamProtocolError
from agentflow.gateway import models_stream
from agentflow.gateway.client import ClientEnd
from agentflow.gateway.models import Answer, Asked
from agentflow.gateway.models_stream import Part, Pieces
from agentflow.gateway.models_worker import Workers
from agentflow.gateway.service import Service
from agentflow.identity.principal import Principal

JSON = dict[str, Any]
VALUES = (
    "alice.smith@corp-mail.com",
    "4111 1111 1111 1111",
    "DE89 3704 0044 0532 0130 00",
    "+1 555 010 0199 ext 42",
    "078-05-1120",
    "password: hunter2",
    "12 Oak Avenue, London SW1A 1AA",
    "-----BEGIN RSA PRIVATE KEY-----\n" + "MIIEowIBAAKCAQEA7bq2\n" * 30 + "-----END RSA PRIVATE KEY-----",
)
WORDS = ("the", "answer", "is", "kept", "there,", "as", "agreed.", "我们", "see", "and", "nobody", "else\n", "minds")


class Script:
    """A worker that streams what it was given."""

    def __init__(self, pieces: list[str]) -> None:
        self.pieces = pieces
        self.bodies: list[JSON] = []
        self.broken = False

    async def stream(self, body: JSON, context: Any) -> AsyncIterator[JSON]:
        self.bodies.append(body)
        for piece in self.pieces:
            yield {"choices": [{"index": 0, "delta": {"content": piece}, "finish_reason": None}]}
        if self.broken:
            raise UpstreamProtocolError("the provider broke off")
        yield {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
        yield {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 4}, "agentflow": {"model": "m"}}

    async def close(self) -> None:
        pass


@dataclass
class Heard:
    pieces: list[str] = field(default_factory=list)

    async def send(self, _: int, part: Part, text: str) -> None:
        assert part == "content"
        self.pieces.append(text)

    @property
    def text(self) -> str:
        return "".join(self.pieces)


class World:
    """A service with a scripted worker in the place of its own."""

    def __init__(self, service: Service, script: Script) -> None:
        self.service, self.script = service, script

    async def hear(self, pieces: list[str], asked: str = "hi") -> tuple[Heard, Answer]:
        self.script.pieces = pieces
        heard = Heard()
        arguments = {"messages": [{"role": "user", "content": asked}]}
        caller = Principal("p", roles=("agent",))
        client = ClientEnd(caller, None, "http", "modern", "t", {}, {})  # type: ignore[arg-type]
        answer = await self.service.models.stream(Asked("models/chat", "m", arguments), client, heard.send)
        return heard, answer


def configured(folder: Path, **sections: Any) -> Config:
    provider = {"kind": "openai_compatible", "base_url": "http://127.0.0.1:1/v1", "models": [{"model": "m"}]}
    models = {"providers": {"p": provider}, "prewarm": False}
    return Config.model_validate({"data_dir": folder, "models": models, "flow": {"enabled": False}, **sections})


@pytest.fixture
async def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    async for each in _world(configured(tmp_path), monkeypatch):
        yield each


async def _world(config: Config, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    monkeypatch.setattr(models_stream, "_BEAT", 0.0)  # a piece as soon as there is one
    service = Service(config)
    script = Script([])
    service.models.workers = Workers(config, lambda _: script)  # type: ignore[arg-type,return-value]
    try:
        yield World(service, script)
    finally:
        await service.close()


def cut(text: str, size: int) -> list[str]:
    return [text[at : at + size] for at in range(0, len(text), size)]


def found(service: Service, text: str) -> Iterator[str]:
    for each in service.gateway.matcher.find(text):
        yield text[each.start : each.end]


@pytest.mark.parametrize("value", VALUES, ids=["mail", "card", "iban", "phone", "ssn", "password", "address", "key"])
async def test_a_value_is_hidden_wherever_the_stream_is_cut(world: World, value: str) -> None:
    before = "Some plain words that go first, and some more of them after that. " * 3
    text = f"{before}My own number is {value} as was agreed before. {before}"
    secret = list(found(world.service, text))
    assert secret
    for size in (1, 3, 17):
        heard, answer = await world.hear(cut(text, size))
        for each in secret:
            assert each not in heard.text
            without_tokens = re.sub(r"<[A-Z_]+_[0-9a-f]+>", "", heard.text)
            assert not any(part in without_tokens for part in re.findall(r"[\w.@-]*\d[\w.@-]*", each))
        assert heard.text.endswith(before)
        assert len(heard.pieces) > 1
        assert heard.text == answer.choices[0].text


@settings(max_examples=120, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    parts=st.lists(st.sampled_from([*VALUES[:7], *WORDS, *WORDS, *WORDS]), min_size=1, max_size=120),
    sizes=st.lists(st.integers(1, 40), min_size=1, max_size=7),
)
async def test_no_value_leaves_in_any_text_in_any_pieces(world: World, parts: list[str], sizes: list[int]) -> None:
    text, pieces, at = " ".join(parts), [], 0
    while at < len(text):
        size = sizes[len(pieces) % len(sizes)]
        pieces.append(text[at : at + size])
        at += size
    heard, _ = await world.hear(pieces)
    for value in VALUES[:6]:
        if value in set(found(world.service, text)):
            assert value not in heard.text


async def test_what_the_caller_typed_comes_back_in_pieces(world: World) -> None:
    mail = "alice.smith@corp-mail.com"
    await world.hear(["ok"], f"I am {mail}")
    told = str(world.script.bodies[-1]["messages"][0]["content"])
    token = told.removeprefix("I am ")
    assert token != mail
    text = f"{'words and words ' * 20}{token}{' and more words' * 20}"
    for size in (1, 4):
        heard, answer = await world.hear(cut(text, size), f"I am {mail}")
        assert heard.text == answer.choices[0].text == text.replace(token, mail)


async def test_plain_text_of_any_length_arrives_whole_and_in_time_linear(world: World) -> None:
    text = "".join(f"line {n} of a long answer without anything in it\n" for n in range(4000))
    heard, _ = await world.hear(cut(text, 700))
    assert heard.text == text
    code = "for i in range(10): print(i, 'x' * 3)\n" * 200
    heard, _ = await world.hear(cut(code, 20))
    assert heard.text == code
    assert max(map(len, heard.pieces)) < 2000


async def test_value_after_value_leaves_in_pieces_too(world: World) -> None:
    text = "".join(f"- person{n}.smith@corp-mail.com, DE89 3704 0044 0532 0130 00\n" for n in range(300))
    heard, answer = await world.hear(cut(text, 30))
    assert "corp-mail" not in heard.text
    assert "3704" not in re.sub(r"<[A-Z_]+_[0-9a-f]+>", "", heard.text)
    assert heard.text == answer.choices[0].text
    assert len(heard.pieces) > 20


async def test_a_stream_that_breaks_off_is_an_error_with_a_record(world: World) -> None:
    world.script.broken = True
    with pytest.raises(AgentFlowError, match="broke off") as broken:
        await world.hear(["one ", "two "])
    assert broken.value.data["record"]


async def test_a_policy_that_judges_answers_sees_them_before_anybody_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "own"
    own.mkdir()
    (own / "own.rego").write_text(
        'package agentflow\n\nimport rego.v1\n\nobjections contains {"code": "long", "message": "too long"} if {\n'
        '\tinput.call.phase == "result"\n\tinput.call.size > 400\n}\n'
    )
    config = configured(tmp_path / "data", policy={"layers": [str(own)]})
    async for world in _world(config, monkeypatch):
        heard, _ = await world.hear(cut("short and fine " * 10, 5))
        assert heard.text == "short and fine " * 10
        assert len(heard.pieces) == 1
        with pytest.raises(AgentFlowError, match="too long"):
            await world.hear(cut("much too long for anybody " * 40, 5))


async def test_without_its_label_no_prompt_leaves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = configured(tmp_path, pipeline={"stages": {"label": {"mode": "off"}}})
    async for world in _world(config, monkeypatch):
        with pytest.raises(AgentFlowError, match="was not labelled"):
            await world.hear(["never"], "I am alice.smith@corp-mail.com")
        assert world.script.bodies == []


def test_a_cut_falls_between_words_and_well_in_front_of_what_reads_as_a_value() -> None:
    pieces = Pieces(lambda text: [(found.start(), found.end()) for found in re.finditer(r"12 Oak Avenue", text)])
    pieces.add("word " * 30, wait=True)
    assert pieces.next() == "word " * 13
    pieces.add(f"at 12 Oak Avenue {'w' * 71}", wait=True)
    assert pieces.next() == "word "
    pieces.add(" and more words after it " * 10, wait=True)
    assert "at 12 Oak Avenue www" in pieces.next()
    assert pieces.next(final=True).endswith("words after it ")
    assert pieces.text.startswith("word word")
