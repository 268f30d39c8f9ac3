"""A request finds a model that answers it: retries, fail-over, hedging, limits, breakers; each is paid exactly once."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from pathlib import Path

import pytest

from agentflow.errors import (
    BudgetExceeded,
    ContentBlocked,
    InvalidArguments,
    LimitExceeded,
    ModelUnavailable,
    UpstreamProtocolError,
    UpstreamTimeout,
)
from agentflow.models.money.entries import Charge, Reservation, Usage
from agentflow.models.money.ledger import Ledger
from tests.gateway_process import wait_until
from tests.model_servers import (
    EMPTY,
    GARBAGE,
    MEGABYTE,
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
from tests.models.worker.world import HELLO_COST, JSON, chat, provider, serving, text_of, written

TOOLS = [{"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}]


@pytest.fixture(scope="module")
def servers() -> Iterator[tuple[OpenAIServer, OpenAIServer]]:
    with OpenAIServer("m-1") as first, OpenAIServer("m-2") as second:
        yield first, second


@pytest.fixture
def first(servers: tuple[OpenAIServer, OpenAIServer]) -> OpenAIServer:
    servers[0].reset()
    return servers[0]


@pytest.fixture
def second(servers: tuple[OpenAIServer, OpenAIServer]) -> OpenAIServer:
    servers[1].reset()
    return servers[1]


@pytest.fixture
def books(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Charge, Usage]]:
    """What was settled, in order; a reservation that is settled twice, or never, fails the test that looks."""
    settled: list[tuple[Charge, Usage]] = []
    real = Ledger.settle

    async def settle(self: Ledger, reservation: Reservation, usage: Usage, charge: Charge | None = None) -> None:
        assert not reservation.done
        settled.append((charge or reservation.charge, usage))
        await real(self, reservation, usage, charge)

    monkeypatch.setattr(Ledger, "settle", settle)
    return settled


def cheap(server: OpenAIServer, *models: str, **more: object) -> JSON:
    """A provider whose model is asked first, for it costs half."""
    entry = provider(server, *models, **more)
    entry["models"] = [{**each, "price": {"input": "0.5", "output": "1"}} for each in entry["models"]]
    return entry


async def drained(chunks: AsyncIterator[JSON], into: list[JSON]) -> None:
    """Take in a stream as far as it comes."""
    async for chunk in chunks:
        into.append(chunk)


async def test_an_answer_says_who_gave_it_and_what_it_cost(first: OpenAIServer, tmp_path: Path) -> None:
    async with serving(tmp_path, {"a": provider(first)}) as worker:
        answer = await worker.complete(chat("hello", temperature=0.5, max_tokens=99))
    assert text_of(answer) == "hello"
    told = answer["agentflow"]
    assert (told["provider"], told["model"], told["name"], told["tier"]) == ("a", "m-1", "m", "silver")
    assert (told["cost_nano"], told["cached"], told["attempts"]) == (HELLO_COST, False, [])
    sent = first.chats()[0].body
    assert (sent["model"], sent["max_tokens"], sent["temperature"]) == ("m-1", 99, 0.5)
    assert "agentflow" not in sent
    assert first.requests[0].headers["authorization"] == "Bearer sk-secret"


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(Refuse("rate_limit", retry_after=60), id="429"),
        pytest.param(Refuse("server_error"), id="500"),
        pytest.param(Refuse("overloaded"), id="503"),
        pytest.param(Refuse("unauthorized"), id="401"),
        pytest.param(Refuse("quota"), id="no quota"),
        pytest.param(Refuse("unknown_model"), id="404"),
        pytest.param(Refuse("context_length"), id="too long"),
        pytest.param(Refuse("content_filter"), id="filtered"),
        pytest.param(GARBAGE, id="not JSON"),
        pytest.param(Cut(), id="reset"),
        pytest.param(Cut(after=1), id="half an answer"),
        pytest.param(EMPTY, id="no choices"),
        pytest.param(UNKNOWN_TOOL, id="unknown tool"),
        pytest.param(Say("half", finish="content_filter"), id="cut by the filter"),
        pytest.param(Hang(), id="silence"),
    ],
)
@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
async def test_a_model_that_fails_is_replaced_by_another(
    fault: Reply, streamed: bool, first: OpenAIServer, second: OpenAIServer, tmp_path: Path
) -> None:
    if streamed and fault == Say("half", finish="content_filter"):
        fault = Say("", finish="content_filter")
    if streamed and fault == Cut(after=1):
        fault = Refuse("server_error", status=529)  # what was passed on cannot be taken back: see below
    first.script(fault)
    providers = {"a": cheap(first, timeout=0.5), "b": provider(second)}
    async with serving(tmp_path, providers) as worker:
        if streamed:
            chunks = [chunk async for chunk in worker.stream(chat(tools=TOOLS, stream=True))]
            assert written(chunks) == "hello"
            told = chunks[-1]["agentflow"]
        else:
            answer = await worker.complete(chat(tools=TOOLS))
            assert text_of(answer) == "hello"
            told = answer["agentflow"]
    assert told["provider"] == "b"
    assert [each.split(":")[0] for each in told["attempts"]] == ["a"]
    assert "sk-" not in str(told)


async def test_what_failed_is_paid_only_as_far_as_it_was_reported(
    first: OpenAIServer, second: OpenAIServer, tmp_path: Path, books: list[tuple[Charge, Usage]]
) -> None:
    first.script(Say("", choices=0, usage=(20, 3)))
    first.script(Refuse("server_error"))
    for folder in ("one", "two"):
        async with serving(tmp_path / folder, {"a": cheap(first), "b": provider(second)}) as worker:
            await worker.complete(chat())
    assert [(charge.provider, usage.nano, usage.success) for charge, usage in books] == [
        ("a", 20 * 500 + 3 * 1_000, False),
        ("b", HELLO_COST, True),
        ("a", 0, False),
        ("b", HELLO_COST, True),
    ]


async def test_passing_failures_are_repeated_as_often_as_configured(first: OpenAIServer, tmp_path: Path) -> None:
    first.script(Refuse("server_error"), Refuse("rate_limit", retry_after=0.01), Say("at last"))
    async with serving(tmp_path, {"a": provider(first, retries=2)}) as worker:
        answer = await worker.complete(chat())
        assert text_of(answer) == "at last"
        first.script(*[Refuse("server_error")] * 3, Say("too late"))
        with pytest.raises(ModelUnavailable, match=r"a:m-1: it failed \(500\)"):
            await worker.complete(chat())
    assert first.left() == 1


async def test_what_will_fail_again_is_not_repeated(first: OpenAIServer, tmp_path: Path) -> None:
    first.script(Refuse("unauthorized"), Say("never"))
    async with serving(tmp_path, {"a": provider(first, retries=5)}) as worker:
        with pytest.raises(ModelUnavailable) as caught:
            await worker.complete(chat())
    assert caught.value.fix == "check the provider's api_key"
    assert "sk-" not in caught.value.message
    assert len(first.chats()) == 1


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        pytest.param("context_length", LimitExceeded, id="too long"),
        pytest.param("content_filter", ContentBlocked, id="filtered"),
        pytest.param("bad_request", InvalidArguments, id="malformed"),
        pytest.param("server_error", ModelUnavailable, id="failed"),
    ],
)
async def test_the_error_says_what_every_model_said(
    fault: str, error: type[Exception], first: OpenAIServer, second: OpenAIServer, tmp_path: Path
) -> None:
    first.otherwise = second.otherwise = Refuse(fault)  # type: ignore[arg-type]
    async with serving(tmp_path, {"a": cheap(first), "b": provider(second)}) as worker:
        with pytest.raises(error) as caught:
            await worker.complete(chat())
    assert len(caught.value.data["attempts"]) == 2  # type: ignore[attr-defined]


async def test_too_long_a_prompt_goes_only_to_models_with_more_room(
    first: OpenAIServer, second: OpenAIServer, tmp_path: Path
) -> None:
    first.script(Refuse("context_length"))
    small, large = cheap(first), provider(second)
    small["models"] = [
        {"model": "m-1", "price": {"input": "0.5"}, "context_window": 8_000},
        {"model": "m-0", "price": {"input": "0.6"}, "context_window": 8_000},
    ]
    large["models"] = [{"model": "m-2", "price": {"input": "9"}, "context_window": 100_000}]
    async with serving(tmp_path, {"a": small, "b": large}) as worker:
        answer = await worker.complete(chat())
    assert answer["agentflow"]["provider"] == "b"
    assert len(first.chats()) == 1


async def test_no_more_models_are_tried_than_configured(first: OpenAIServer, tmp_path: Path) -> None:
    first.otherwise = Refuse("server_error")
    models = [f"m-{n}" for n in range(6)]
    async with serving(tmp_path, {"a": provider(first, *models)}, routing={"fallbacks": 2, "failures": 9}) as worker:
        with pytest.raises(ModelUnavailable):
            await worker.complete(chat())
    assert len(first.chats()) == 3


async def test_a_provider_that_is_down_is_left_alone_while_another_serves(
    first: OpenAIServer, second: OpenAIServer, tmp_path: Path
) -> None:
    first.otherwise = Refuse("server_error")
    providers = {"a": cheap(first, "m-1", "m-3", "m-4"), "b": provider(second)}
    async with serving(tmp_path, providers, routing={"failures": 2, "fallbacks": 5}) as worker:
        for _ in range(4):
            assert (await worker.complete(chat()))["agentflow"]["provider"] == "b"
        breaker = (await worker.ask("stats", {}))["providers"]["a"]["breaker"]
    assert breaker == "open"
    assert len(first.chats()) == 2  # by the first request; what is left of it, and the others, went elsewhere


async def test_a_stream_that_breaks_off_ends_in_one_error_and_what_came_is_paid(
    first: OpenAIServer, second: OpenAIServer, tmp_path: Path, books: list[tuple[Charge, Usage]]
) -> None:
    for fault in (Cut(after=2), Midway("server_error", after=2), Hang(after=2)):
        first.script(fault)
        async with serving(tmp_path, {"a": cheap(first, timeout=3), "b": provider(second)}) as worker:
            seen: list[JSON] = []
            with pytest.raises(UpstreamProtocolError, match="broke off: a:m-1"):
                await drained(worker.stream(chat()), seen)
        assert written(seen) == "one two"
    assert [usage.success for _, usage in books] == [False] * 3
    assert all(usage.completion == 2 and usage.nano > 0 for _, usage in books)
    assert not second.chats()


async def test_a_caller_that_leaves_ends_the_request_and_pays_for_what_came(
    first: OpenAIServer, tmp_path: Path, books: list[tuple[Charge, Usage]]
) -> None:
    first.script(Hang(after=2), Hang())
    async with serving(tmp_path, {"a": provider(first)}) as worker:
        async with aclosing(worker.stream(chat())) as chunks:
            async for chunk in chunks:
                if written([chunk]):
                    break
        await asyncio.to_thread(first.wait_for_gone, 1)
        task = asyncio.create_task(worker.complete(chat()))
        await asyncio.to_thread(first.wait_for_requests, 2)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.to_thread(first.wait_for_gone, 2)
        under_way = (await worker.ask("stats", {}))["providers"]["a"]["under_way"]
    assert under_way == 0
    assert [(usage.error, usage.nano > 0) for _, usage in books] == [("cancelled", True), ("cancelled", False)]


async def test_a_second_model_is_asked_where_the_first_is_late_and_both_are_paid(
    first: OpenAIServer, second: OpenAIServer, tmp_path: Path, books: list[tuple[Charge, Usage]]
) -> None:
    first.script(Say("late", delay=2.0))
    providers = {"a": cheap(first), "b": provider(second)}
    async with serving(tmp_path, providers, routing={"hedge_after": 0.05}) as worker:
        answer = await worker.complete(chat())
        assert (text_of(answer), answer["agentflow"]["provider"]) == ("hello", "b")
        await asyncio.to_thread(wait_until, lambda: len(books) == 2, "the late answer to be paid")
    assert {charge.provider: usage.nano for charge, usage in books} == {"a": HELLO_COST // 2, "b": HELLO_COST}


async def test_a_hedged_request_survives_either_failure(
    first: OpenAIServer, second: OpenAIServer, tmp_path: Path
) -> None:
    providers = {"a": cheap(first), "b": provider(second)}
    async with serving(tmp_path, providers, routing={"hedge_after": 0.05}) as worker:
        first.script(Say("slow but right", delay=2.0))
        second.script(Refuse("server_error"))
        answer = await worker.complete(chat())
        assert text_of(answer) == "slow but right"
        assert len(answer["agentflow"]["attempts"]) == 1
        first.script(Refuse("server_error", delay=0.3))
        second.script(Refuse("server_error", delay=0.3))
        with pytest.raises(ModelUnavailable):
            await worker.complete(chat())


async def test_no_more_requests_are_under_way_than_configured(first: OpenAIServer, tmp_path: Path) -> None:
    first.otherwise = Say("hello", delay=0.05)
    async with serving(tmp_path, {"a": provider(first, max_concurrent=3)}) as worker:
        answers = await asyncio.gather(*(worker.complete(chat(f"{n}")) for n in range(12)))
    assert len(answers) == 12
    assert first.most_at_once <= 3


async def test_a_provider_at_its_limit_gives_way_to_another(
    first: OpenAIServer, second: OpenAIServer, tmp_path: Path
) -> None:
    providers = {"a": cheap(first, requests_per_minute=2), "b": provider(second)}
    async with serving(tmp_path, providers) as worker:
        answers = [await worker.complete(chat(f"{n}")) for n in range(4)]
    assert [each["agentflow"]["provider"] for each in answers] == ["a", "a", "b", "b"]


async def test_a_request_ends_when_its_caller_is_gone(first: OpenAIServer, tmp_path: Path) -> None:
    first.otherwise = Hang()
    async with serving(tmp_path, {"a": provider(first, retries=5)}) as worker:
        with pytest.raises((UpstreamTimeout, ModelUnavailable), match="within"):
            await worker.complete(chat(about={"timeout": 0.2}))


async def test_a_megabyte_comes_through_whole(first: OpenAIServer, tmp_path: Path) -> None:
    first.script(MEGABYTE, MEGABYTE)
    async with serving(tmp_path, {"a": provider(first)}) as worker:
        whole = text_of(await worker.complete(chat()))
        parts = written([chunk async for chunk in worker.stream(chat())])
    assert len(whole) > 1_000_000
    assert len(parts) > 1_000_000


async def test_calls_of_tools_that_were_offered_come_through(first: OpenAIServer, tmp_path: Path) -> None:
    said = Say("", tool_calls=[ToolCall("add", {"a": 1})], finish="tool_calls")
    first.script(said, said)
    async with serving(tmp_path, {"a": provider(first)}) as worker:
        answer = await worker.complete(chat(tools=TOOLS))
        chunks = [chunk async for chunk in worker.stream(chat(tools=TOOLS))]
    called = answer["choices"][0]["message"]["tool_calls"][0]["function"]
    assert called == {"name": "add", "arguments": '{"a": 1}'}
    parts = [call for c in chunks if c["choices"] for call in c["choices"][0]["delta"].get("tool_calls", ())]
    assert "".join(part["function"]["arguments"] for part in parts) == '{"a": 1}'


async def test_an_endpoint_without_schemas_is_asked_without_from_then_on(first: OpenAIServer, tmp_path: Path) -> None:
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object"}}}
    first.script(Refuse("no_schema"), Say({"a": 1}), Say({"a": 2}))
    async with serving(tmp_path, {"a": provider(first)}) as worker:
        assert text_of(await worker.complete(chat(response_format=form))) == '{"a": 1}'
        assert text_of(await worker.complete(chat(response_format=form))) == '{"a": 2}'
    assert ["response_format" in each.body for each in first.chats()] == [True, False, False]


async def test_what_a_model_does_not_take_is_learnt_from_its_refusals(first: OpenAIServer, tmp_path: Path) -> None:
    def refusal(param: str) -> Raw:
        error = {"message": "Unsupported", "type": "invalid_request_error", "param": param, "code": "unsupported_value"}
        return Raw(json.dumps({"error": error}).encode(), status=400)

    first.script(refusal("temperature"), refusal("max_tokens"), Say("at last"), Say("at once"))
    async with serving(tmp_path, {"a": provider(first, kind="openai")}) as worker:
        for text in ("at last", "at once"):
            assert text_of(await worker.complete(chat(temperature=0.5, max_tokens=50))) == text
        first.script(refusal("messages[0].content"))
        with pytest.raises(InvalidArguments, match=r"unsupported_value messages\[0\]\.content"):
            await worker.complete(chat(temperature=0.5, max_tokens=50))
    sent = [{k: v for k, v in each.body.items() if k.startswith(("temp", "max"))} for each in first.chats()]
    learnt = {"max_completion_tokens": 50}
    assert sent == [{"temperature": 0.5, "max_tokens": 50}, {"max_tokens": 50}, learnt, learnt, learnt]


async def test_every_try_that_was_counted_is_paid(
    first: OpenAIServer, tmp_path: Path, books: list[tuple[Charge, Usage]]
) -> None:
    told = {"choices": [], "usage": {"prompt_tokens": 20, "completion_tokens": 3, "total_tokens": 23}}
    events = "".join(f"data: {json.dumps(each)}\n\n" for each in (told, {"error": {"message": "overloaded"}}))
    first.script(Raw(events.encode(), content_type="text/event-stream"))
    async with serving(tmp_path, {"a": provider(first, retries=1)}) as worker:
        chunks = [chunk async for chunk in worker.stream(chat())]
    assert (written(chunks), chunks[-1]["usage"]["total_tokens"]) == ("hello", 18)
    failed = 20 * 1_000 + 3 * 2_000
    assert [usage.nano for _, usage in books] == [failed, HELLO_COST], "each has made room of its own"
    told = chunks[-1]["agentflow"]
    assert (told["cost_nano"], told["failed_tokens"]) == (failed + HELLO_COST, 23)


async def test_a_try_that_was_paid_does_not_leave_its_room_to_the_next(first: OpenAIServer, tmp_path: Path) -> None:
    told = {"choices": [], "usage": {"prompt_tokens": 300, "completion_tokens": 60, "total_tokens": 360}}
    events = "".join(f"data: {json.dumps(each)}\n\n" for each in (told, {"error": {"message": "overloaded"}}))
    first.script(*[Raw(events.encode(), content_type="text/event-stream")] * 3)
    about = {"run": "r-1", "run_cost": 700_000}  # room for one of these, and not for two
    async with serving(tmp_path, {"a": provider(first, retries=2)}) as worker:
        with pytest.raises(BudgetExceeded) as refused:
            await drained(worker.stream(chat(about=about, max_tokens=100)), [])
    assert refused.value.data["cost_nano"] == 300 * 1_000 + 60 * 2_000
    assert len(first.chats()) == 1


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
async def test_what_failed_and_was_paid_is_part_of_what_the_request_cost(
    streamed: bool, first: OpenAIServer, second: OpenAIServer, tmp_path: Path
) -> None:
    told = {"choices": [], "usage": {"prompt_tokens": 20, "completion_tokens": 3, "total_tokens": 23}}
    useless: Reply = Say("", tool_calls=[ToolCall("rm", {})], finish="tool_calls", usage=(20, 3))
    if streamed:
        useless = Raw(f"data: {json.dumps(told)}\n\n".encode(), content_type="text/event-stream")
    first.script(useless, useless)
    second.script(Say("hello"), useless)
    paid = 20 * 500 + 3 * 1_000
    async with serving(tmp_path, {"a": cheap(first), "b": provider(second)}, routing={"cooldown": 0.001}) as worker:
        if streamed:
            answer = [chunk async for chunk in worker.stream(chat())][-1]
        else:
            answer = await worker.complete(chat())
        told = answer["agentflow"]
        assert (told["cost_nano"], told["failed_tokens"]) == (paid + HELLO_COST, 23)
        assert answer["usage"]["total_tokens"] == 18, "what OpenAI calls usage is the answer's own"
        with pytest.raises(ModelUnavailable) as failed:
            await (drained(worker.stream(chat()), []) if streamed else worker.complete(chat()))
    assert (failed.value.data["cost_nano"], failed.value.data["tokens"]) == (3 * paid, 46)


async def test_the_usage_of_streams_is_asked_for_again_after_something_else_was_refused(
    first: OpenAIServer, tmp_path: Path
) -> None:
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object"}}}
    first.script(Refuse("bad_request"), Say({"a": 1}), Refuse("bad_request"), Refuse("bad_request"), Say("now"))
    async with serving(tmp_path, {"a": provider(first)}) as worker:
        await drained(worker.stream(chat(response_format=form)), [])
        with pytest.raises(InvalidArguments):
            await drained(worker.stream(chat()), [])
        assert written([chunk async for chunk in worker.stream(chat())]) == "now"
    sent = [("response_format" in each.body, "stream_options" in each.body) for each in first.chats()]
    assert sent == [(True, True), (False, True), (False, True), (False, False), (False, True)]
