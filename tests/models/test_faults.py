"""What providers do wrong, through a real model worker: another model answers or one clear error, and exact money.

Two providers offer `chat`; `cheap` is asked first, `dear` where it fails. Each test has a tenant of its own, with a
budget, so that what was charged can be read off.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest

from agentflow import errors
from tests.model_servers import (
    EMPTY,
    GARBAGE,
    INJECTION,
    MEGABYTE,
    PROXY_PAGE,
    UNKNOWN_TOOL,
    Cut,
    Hang,
    Midway,
    OpenAIServer,
    Raw,
    Refuse,
    Reply,
    Say,
    ToolCall,
)
from tests.models.running_worker import HELLO, RunningWorker, heard, raised, running_worker, text_of

KEY = "sk-very-secret"
DOLLAR = 1_000_000_000  # nano-dollars
CHEAP, DEAR = 25_000, 75_000  # nano-dollars for 11 tokens of prompt and 7 of answer
ADD: dict[str, Any] = {**HELLO, "tools": [{"type": "function", "function": {"name": "add", "parameters": {}}}]}
TOO_LARGE = Say("x" * 5_000_000, pieces=["x" * 100_000] * 400)


class World:
    """Two providers, a worker, and a tenant."""

    def __init__(self, cheap: OpenAIServer, dear: OpenAIServer, worker: RunningWorker, tenant: str) -> None:
        self.cheap = cheap
        self.dear = dear
        self.worker = worker
        self.tenant = tenant

    def complete(self, body: dict[str, Any] | None = None, **context: Any) -> dict[str, Any]:
        return self.worker.complete(body, tenant=self.tenant, **context)

    def stream(self, body: dict[str, Any] | None = None, **context: Any) -> list[dict[str, Any]]:
        return self.worker.stream(body, tenant=self.tenant, **context)

    def charged(self, *nano: int) -> None:
        """Exactly these requests were made, and exactly their sum was charged."""
        rows = self.worker.usage(self.tenant, len(nano))
        assert sorted(row["nano"] for row in rows) == sorted(nano)
        assert self.worker.spent(self.tenant) == sum(nano)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[OpenAIServer, OpenAIServer, RunningWorker]]:
    with OpenAIServer("m-cheap") as cheap, OpenAIServer("m-dear") as dear:
        models = {
            "providers": {
                name: {
                    "kind": "openai_compatible",
                    "base_url": server.base_url,
                    "api_key": KEY,
                    "retries": 0,
                    "timeout": 5.0,
                    "models": [{"model": server.models[0], "name": "chat", "price": price, "context_window": window}],
                }
                for name, server, price, window in (
                    ("cheap", cheap, {"input": 1, "output": 2}, 8_000),
                    ("dear", dear, {"input": 3, "output": 6}, 100_000),
                )
            },
            "routing": {"strategy": "cheapest", "failures": 1000, "cooldown": 0.001},
        }
        with running_worker(tmp_path_factory.mktemp("worker"), models) as worker:
            yield cheap, dear, worker


_tenants = itertools.count()


@pytest.fixture
def world(running: tuple[OpenAIServer, OpenAIServer, RunningWorker]) -> World:
    cheap, dear, worker = running
    cheap.reset()
    dear.reset()
    worker.begin_anew()
    found = World(cheap, dear, worker, f"tenant-{next(_tenants)}")
    worker.budget(found.tenant, 10 * DOLLAR)
    return found


FAULTS: list[tuple[str, Reply, str]] = [
    ("429", Refuse("rate_limit"), "rate-limiting"),
    ("quota", Refuse("quota"), "quota"),
    ("500", Refuse("server_error"), "500"),
    ("503", Refuse("overloaded"), "503"),
    ("401", Refuse("unauthorized"), "key"),
    ("404", Refuse("unknown_model"), "404"),
    ("400", Refuse("bad_request"), "400"),
    ("hang", Hang(), "5 s"),
    ("reset", Cut(), "broke"),
    ("invalid json", GARBAGE, "JSON"),
    ("proxy page", PROXY_PAGE, "502"),
    ("redirect", Raw(b"", status=302, headers={"location": "http://127.0.0.1:9/"}), "redirects"),
    ("json of another kind", Raw(b"[]"), "JSON object"),
    ("deep json", Raw(b"[" * 100_000), "JSON"),
    ("too large", TOO_LARGE, "larger"),
    ("context length", Refuse("context_length"), "400"),
    ("content filter", Refuse("content_filter"), "400"),
]


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize(
    ("reply", "reason"), [pytest.param(reply, reason, id=name) for name, reply, reason in FAULTS if name != "too large"]
)
def test_the_other_model_answers_and_only_its_answer_is_paid(
    world: World, reply: Reply, reason: str, streamed: bool
) -> None:
    world.cheap.otherwise = reply
    if streamed:
        chunks = world.stream()
        told, text = chunks[-1]["agentflow"], heard(chunks)
    else:
        answer = world.complete()
        told, text = answer["agentflow"], text_of(answer) or ""
    assert (text, told["provider"], told["cost_nano"]) == ("hello", "dear", DEAR)
    (attempt,) = told["attempts"]
    assert attempt.startswith("cheap:m-cheap: ")
    assert reason in attempt or (streamed and "broke off" in attempt)
    world.charged(0, DEAR)
    assert len(world.dear.chats()) == 1


@pytest.mark.parametrize(
    ("reply", "paid"),
    [
        (EMPTY, CHEAP),
        (UNKNOWN_TOOL, CHEAP),
        (Say("", tool_calls=[ToolCall("add", {})], finish="tool_calls", usage=(11, 7)), CHEAP),
        (Say("no further", finish="content_filter"), CHEAP),
    ],
    ids=["no choices", "unknown tool", "tool where none was offered", "filtered"],
)
def test_an_answer_of_no_use_is_paid_as_the_provider_reports_it(world: World, reply: Reply, paid: int) -> None:
    world.cheap.script(reply)
    answer = world.complete()
    assert (text_of(answer), answer["agentflow"]["provider"]) == ("hello", "dear")
    world.charged(paid, DEAR)


@pytest.mark.parametrize(
    ("reply", "told"),
    [
        (Cut(after=2), "broke off"),
        (Hang(after=2), "5 s"),
        (Midway("server_error", after=2), "500"),
        (Midway("rate_limit", after=2), "fail"),
    ],
    ids=["cut", "hang", "error", "limit"],
)
def test_half_a_stream_is_passed_on_and_then_one_error_and_what_came_is_paid(
    world: World, reply: Reply, told: str
) -> None:
    world.cheap.script(reply)
    error = raised(world.stream, errors.UpstreamProtocolError)
    assert "broke off" in error.message
    assert "cheap:m-cheap" in error.message
    assert heard(world.worker.chunks) == "one two"
    assert world.dear.chats() == [], "half an answer is never begun again by another model"
    (row,) = world.worker.usage(world.tenant, 1)
    assert row["outcome"] != "ok"
    assert row["completion"] == 2, "seven letters are reckoned as two tokens"
    assert row["nano"] == row["prompt"] * 1000 + row["completion"] * 2000
    assert world.worker.spent(world.tenant) == row["nano"]


def test_a_megabyte_comes_whole_and_streamed(world: World) -> None:
    world.cheap.script(MEGABYTE, MEGABYTE)
    body = {**HELLO, "max_tokens": 300_000}
    assert len(text_of(world.complete(body)) or "") == len(MEGABYTE.written)
    assert len(heard(world.stream(body))) > 1_000_000
    cost = 11 * 1000 + 262_144 * 2000
    world.charged(cost, cost)


def test_an_answer_without_end_is_cut_off(world: World) -> None:
    world.cheap.script(TOO_LARGE, TOO_LARGE)
    answer = world.complete()
    assert answer["agentflow"]["provider"] == "dear"
    assert "larger" in answer["agentflow"]["attempts"][0]
    error = raised(lambda: world.stream({**HELLO, "model": "cheap:m-cheap"}), errors.UpstreamProtocolError)
    assert "larger" in error.message


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
def test_an_injection_in_an_answer_is_text_and_nothing_else(world: World, streamed: bool) -> None:
    world.cheap.script(INJECTION)
    text = heard(world.stream()) if streamed else text_of(world.complete())
    assert text == INJECTION.written
    world.charged(CHEAP)


def test_an_answer_without_usage_is_reckoned(world: World) -> None:
    world.cheap.script(Say("twelve bytes", usage=None))
    answer = world.complete()
    assert answer["usage"]["completion_tokens"] == 3
    cost = answer["usage"]["prompt_tokens"] * 1000 + 3 * 2000
    assert answer["agentflow"]["cost_nano"] == cost
    world.charged(cost)


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
def test_all_providers_down_is_one_error_that_names_each(world: World, streamed: bool) -> None:
    world.cheap.script(Refuse("overloaded", retry_after=0.02))
    world.dear.script(Refuse("rate_limit", retry_after=0.01))
    error = raised(world.stream if streamed else world.complete, errors.ModelUnavailable)
    assert error.message.count("\n") == 0
    assert "cheap:m-cheap: it failed (503)" in error.message
    assert "dear:m-dear: it is rate-limiting us (429)" in error.message
    assert error.data["retry_after"] == 0.01
    world.charged(0, 0)


@pytest.mark.parametrize(
    ("kind", "error"),
    [("context_length", errors.LimitExceeded), ("content_filter", errors.ContentBlocked)],
    ids=["too long", "filtered"],
)
def test_what_every_model_refuses_alike_says_so(world: World, kind: Any, error: type[Exception]) -> None:
    world.cheap.script(Refuse(kind))
    world.dear.script(Refuse(kind))
    raised(world.complete, error)
    world.charged(0, 0)


def test_providers_that_are_not_there_are_unavailable(world: World) -> None:
    world.cheap.close()
    world.dear.close()
    try:
        error = raised(world.complete, errors.ModelUnavailable)
    finally:
        world.cheap.start()
        world.dear.start()
    assert error.message.count("cannot be reached") == 2
    assert text_of(world.complete()) == "hello", "and they are asked again once they are back"
    world.charged(0, 0, CHEAP)


def test_an_unknown_model_is_refused_before_anything_is_asked(world: World) -> None:
    error = raised(lambda: world.complete({**HELLO, "model": "gpt-9"}), errors.AgentFlowError)
    assert "gpt-9" in error.message
    assert world.cheap.requests == world.dear.requests == []
    assert world.worker.spent(world.tenant) == 0


def test_a_run_s_money_ends_in_the_middle_and_the_record_is_complete(world: World) -> None:
    run: dict[str, Any] = {"run": "r-1", "run_cost": 800_000}
    assert text_of(world.complete(**run)) == "hello"
    world.cheap.script(Say("dear words", usage=(11, 250)))
    assert text_of(world.complete(**run)) == "dear words"
    error = raised(lambda: world.complete(**run), errors.BudgetExceeded)
    assert "run" in error.message
    assert len(world.cheap.requests) + len(world.dear.requests) == 2, "what there is no money for is not asked"
    spent = CHEAP + 11 * 1000 + 250 * 2000
    assert error.data["left"] == 800_000 - spent
    assert {row["run"] for row in world.worker.usage(world.tenant, 2)} == {"r-1"}
    assert world.worker.spent(world.tenant) == spent


def test_a_budget_that_is_used_up_names_itself_and_when_it_resets(world: World) -> None:
    world.worker.budget(world.tenant, 350_000, name="small", scope="project", subject="apollo")
    assert text_of(world.complete(project="apollo")) == "hello"
    error = raised(lambda: world.complete(project="apollo"), errors.BudgetExceeded)
    assert error.data["budget"] == "small"
    assert error.data["left"] == 350_000 - CHEAP
    assert error.data["resets"]
    assert text_of(world.complete(project="gemini")) == "hello", "other projects are not concerned"
    assert len(world.cheap.requests) == 2


def test_a_caller_that_leaves_stops_the_provider_and_pays_what_came(world: World) -> None:
    from contextlib import aclosing

    from agentflow.models.client import RequestContext

    world.cheap.script(Hang(after=2))

    async def leave() -> None:
        context = RequestContext(tenant=world.tenant, cache=False)
        async with aclosing(world.worker.client.stream(HELLO, context)) as parts:
            async for part in parts:
                if heard([part]) == " two":
                    return

    world.worker.run(leave())
    world.cheap.wait_for_gone()
    (row,) = world.worker.usage(world.tenant, 1)
    assert (row["outcome"], row["completion"]) == ("cancelled", 2)
    assert world.worker.spent(world.tenant) == row["nano"] > 0


def test_a_request_ends_when_its_caller_s_time_does(world: World) -> None:
    world.cheap.script(Hang())
    world.dear.script(Hang())
    raised(lambda: world.complete(timeout=0.5), errors.UpstreamTimeout)
    world.charged(0)


def test_no_error_and_no_log_holds_the_key_or_the_prompt(world: World, caplog: pytest.LogCaptureFixture) -> None:
    body = {**HELLO, "messages": [{"role": "user", "content": "what ann@example.com asked"}]}
    told = ""
    for _, reply, _ in FAULTS:
        if isinstance(reply, Hang):
            continue
        echoing = Refuse(reply.kind, f"{KEY} what ann@example.com asked") if isinstance(reply, Refuse) else reply
        world.cheap.script(echoing)
        world.dear.script(echoing)
        error = raised(lambda: world.complete(body), errors.AgentFlowError)
        told += f"{error.message} {error.fix} {error.data}\n"
    for secret in (KEY, "what ann", "ann@example.com"):
        assert secret not in told
        assert secret not in caplog.text


def test_a_tool_call_comes_whole_and_streamed(world: World) -> None:
    said = Say("", tool_calls=[ToolCall("add", {"a": 1})], finish="tool_calls")
    world.cheap.script(said, said)
    call = world.complete(ADD)["choices"][0]["message"]["tool_calls"][0]
    assert (call["function"]["name"], call["function"]["arguments"]) == ("add", '{"a": 1}')
    parts = [c["choices"][0]["delta"].get("tool_calls") for c in world.stream(ADD) if c["choices"]]
    assert "".join(p[0]["function"].get("arguments", "") for p in parts if p) == '{"a": 1}'
    world.charged(CHEAP, CHEAP)
