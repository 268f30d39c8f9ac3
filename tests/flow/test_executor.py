"""Validated calls as the calling principal."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from agentflow.errors import ContentBlocked, LimitExceeded, PolicyDenied, UpstreamTimeout, UpstreamUnavailable
from agentflow.flow.catalogue import Catalogue
from agentflow.flow.executor import Executor, invalid
from agentflow.flow.types import Action, ExecutorOutput
from tests.flow.worlds import STRING, WRITE, World


async def run(world: World, *actions: Action) -> ExecutorOutput:
    return await Executor(world, Catalogue(await world.tools())).run(actions)


def order(order_id: Any) -> Action:
    return Action(tool="helpdesk__get_order", arguments={"order_id": order_id})


async def test_results_keep_the_order_of_the_actions(helpdesk: World) -> None:
    done = await run(helpdesk, *(order(f"O-100{n}") for n in (3, 1, 2)))
    assert [r.output["id"] for r in done.results] == ["O-1003", "O-1001", "O-1002"]
    assert len(done.commands) == 3


async def test_an_unknown_tool_is_a_failure_and_never_a_command(helpdesk: World) -> None:
    done = await run(helpdesk, Action(tool="helpdesk__fly"), order("O-1001"))
    assert [r.success for r in done.results] == [False, True]
    assert done.results[0].error is not None
    assert done.results[0].error.kind == "unknown_name"
    assert [c.tool for c in done.commands] == ["helpdesk__get_order"]


@pytest.mark.parametrize("arguments", [{}, {"order_id": 7}, {"order_id": "O-1", "extra": 1}])
async def test_arguments_outside_the_schema_are_never_sent(helpdesk: World, arguments: dict[str, Any]) -> None:
    done = await run(helpdesk, Action(tool="helpdesk__get_order", arguments=arguments))
    assert done.results[0].error is not None
    assert done.results[0].error.kind == "invalid_arguments"
    assert helpdesk.calls == []


async def test_a_tool_that_reports_an_error_is_a_failed_action(helpdesk: World) -> None:
    done = await run(helpdesk, order("O-9"))
    assert done.results[0].error is not None
    assert (done.results[0].error.kind, done.results[0].error.message) == ("tool_error", "no order O-9")


@pytest.mark.parametrize(
    ("error", "kind", "retryable"),
    [
        (PolicyDenied("not for you"), "policy_denied", False),
        (ContentBlocked("injection"), "content_blocked", False),
        (UpstreamUnavailable("down"), "upstream_unavailable", True),
        (UpstreamTimeout("slow"), "upstream_timeout", True),
    ],
)
async def test_a_refusal_is_a_failed_action_with_its_reason(error: Exception, kind: str, retryable: bool) -> None:
    world = World()

    async def refuse() -> Any:
        raise error

    world.add("get_it", refuse, "Get it.")
    result = (await run(world, Action(tool="get_it"))).results[0]
    assert result.error is not None
    assert (result.error.kind, result.error.retryable) == (kind, retryable)


async def test_a_write_that_may_have_run_is_not_retryable() -> None:
    world = World()

    async def slow() -> Any:
        raise UpstreamTimeout("slow")

    world.add("send_it", slow, "Send it.", annotations=WRITE)
    result = (await run(world, Action(tool="send_it"))).results[0]
    assert result.error is not None
    assert not result.error.retryable


@pytest.mark.parametrize(
    ("limit", "retryable"),
    [({"limit": "max_result_bytes"}, False), ({"limit": "max_concurrent", "retry_after": 1.0}, True)],
)
async def test_a_limit_is_retryable_only_where_it_says_when(limit: dict[str, Any], retryable: bool) -> None:
    world = World()

    async def bounded() -> Any:
        raise LimitExceeded("too much", **limit)

    world.add("send_it", bounded, "Send it.", annotations=WRITE)
    result = (await run(world, Action(tool="send_it"))).results[0]
    assert result.error is not None
    assert (result.error.kind, result.error.retryable) == ("limit_exceeded", retryable)


@pytest.mark.parametrize(
    ("error", "calls"),
    [
        (LimitExceeded("too much", limit="max_result_bytes"), 1),
        (UpstreamTimeout("slow"), 1),
        (ContentBlocked("injection"), 1),
        (RuntimeError("broken"), 1),
        (PolicyDenied("not for you"), 2),
        (UpstreamUnavailable("down"), 2),
    ],
)
async def test_a_write_that_may_have_run_is_not_made_again_however_it_is_planned(error: Exception, calls: int) -> None:
    world, made = World(), []

    async def send(n: str) -> Any:
        made.append(n)
        raise error

    world.add("send_it", send, "Send it.", {"n": STRING}, annotations=WRITE)
    executor = Executor(world, Catalogue(await world.tools()))
    action = Action(tool="send_it", arguments={"n": "a"})
    await executor.run([action])
    again = await executor.run([action, Action(tool="send_it", arguments={"n": "b"})])
    assert made == ["a"] * calls + ["b"]
    assert len(again.commands) == calls
    if calls == 1:
        assert again.results[0].error is not None and again.results[0].error.kind == "not_repeated"


async def test_a_crash_tells_nothing_of_its_text() -> None:
    world = World()

    async def crash() -> Any:
        raise RuntimeError("password=hunter2")

    world.add("get_it", crash, "Get it.")
    done = await run(world, Action(tool="get_it"))
    assert "hunter2" not in done.model_dump_json()


async def test_cancellation_reaches_every_call_under_way() -> None:
    world = World()
    started, ended = asyncio.Semaphore(0), []

    async def wait(n: str) -> Any:
        started.release()
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(n)

    world.add("get_it", wait, "Get it.", {"n": STRING})
    task = asyncio.create_task(run(world, *(Action(tool="get_it", arguments={"n": n}) for n in "ab")))
    await started.acquire()
    await started.acquire()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert sorted(ended) == ["a", "b"]


def test_a_remote_schema_is_never_fetched() -> None:
    assert invalid({"$ref": "http://127.0.0.1:1/schema.json"}, {}) is not None


def test_a_broken_schema_is_reported() -> None:
    assert "inputSchema" in (invalid({"type": "nonsense"}, {}) or "")


async def test_a_write_that_succeeded_is_not_made_again_by_a_later_step() -> None:
    world = World()

    async def send(n: str) -> Any:
        return {"sent": n}

    world.add("send_it", send, "Send it.", {"n": STRING}, annotations=WRITE)
    executor = Executor(world, Catalogue(await world.tools()))
    action = Action(tool="send_it", arguments={"n": "a"})
    twice = await executor.run([action, action])  # one step that says it twice means it
    again = await executor.run([action])
    assert [r.success for r in (*twice.results, *again.results)] == [True, True, False]
    assert len(world.calls) == 2
    assert again.results[0].error is not None and again.results[0].error.kind == "not_repeated"


async def test_what_is_said_to_do_no_harm_twice_may_be_called_twice() -> None:
    world = World()

    async def put(n: str) -> Any:
        return {"put": n}

    world.add("put_it", put, "Put it.", {"n": STRING}, annotations={**WRITE, "idempotentHint": True})
    executor = Executor(world, Catalogue(await world.tools()))
    for _ in range(2):
        assert (await executor.run([Action(tool="put_it", arguments={"n": "a"})])).results[0].success
