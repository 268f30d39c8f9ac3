"""`agentflow solve`: a question, answered by the running gateway, or by one that is started for it and ended after it.

Promises: the answer alone on stdout (all of it with --json), the turns and what is asked of the person on stderr; 0
only for an answer, 1 where a person has to take over. Nobody is asked anything where no terminal is.
"""

from __future__ import annotations

import os
import sys
import tempfile
from argparse import Namespace
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from agentflow.commands.gateway import KEY, endpoint, headers, plainly, run
from agentflow.commands.output import UsageError, document
from agentflow.errors import AgentFlowError, UpstreamUnavailable

if TYPE_CHECKING:
    from mcp import Client

JSON = dict[str, Any]
_READ_TIMEOUT = 3600  # seconds; the run has a deadline of its own


def solve(args: Namespace) -> int:
    """Answer a question; 1 where there is no answer."""
    arguments = _arguments(args)
    solution = run(_solved(args, arguments))
    if args.json:
        document(solution)
    elif solution.get("status") == "complete":
        print(solution["answer"])
        _tell(_summary(solution))
    else:
        _tell(f"no answer: {solution.get('reason', '')}")
    return 0 if solution.get("status") == "complete" else 1


def _arguments(args: Namespace) -> JSON:
    question = args.question.strip()
    if not question:
        raise UsageError("there is no question", fix='write agentflow solve "…"')
    given = {
        "pattern": args.pattern,
        "model": args.model,
        "tier": args.tier,
        "max_turns": args.max_turns,
        "timeout": args.timeout,
        "max_tokens": args.max_tokens,
        "max_cost": args.max_cost,
    }
    knowledge = dict(_pair(text) for text in args.know or ())
    if knowledge:
        given["knowledge"] = knowledge
    return {"query": question, **{name: value for name, value in given.items() if value is not None}}


def _pair(text: str) -> tuple[str, str]:
    name, sign, value = text.partition("=")
    if not sign or not name:
        raise UsageError(f"{text!r} says nothing", fix="write --know NAME=VALUE")
    return name, value


async def _solved(args: Namespace, arguments: JSON) -> JSON:
    """Ask the running gateway; where none runs and no address was given, one of our own."""
    url = endpoint(args)
    try:
        async with _http(url) as client:
            return await _asked(client, arguments)
    except BaseException as error:
        problem = plainly(url, error)
        if args.url or not isinstance(problem, UpstreamUnavailable):
            raise problem from None
    with tempfile.TemporaryFile("w+") as log:
        try:
            async with _own(args, log) as client:
                return await _asked(client, arguments)
        except BaseException as error:
            problem = plainly(url, error)
            if isinstance(problem, AgentFlowError) and not isinstance(problem, UpstreamUnavailable):
                raise problem from None
            if not isinstance(problem, Exception):
                raise
            log.seek(0)
            said = log.read()[-2000:].strip().splitlines()
            why = said[-1] if said else type(problem).__name__
            raise UpstreamUnavailable(
                f"no gateway runs at {url}, and none could be started ({why})",
                fix="look at `agentflow config check`, then `agentflow serve`",
            ) from None


async def _asked(client: Client, arguments: JSON) -> JSON:
    result = await client.call_tool("solver", arguments, progress_callback=_turn)
    if result.is_error or not isinstance(result.structured_content, dict):
        text = " ".join(getattr(block, "text", "") for block in result.content)
        raise AgentFlowError(text or "the solver gave no solution")
    return result.structured_content


@asynccontextmanager
async def _http(url: str) -> AsyncIterator[Client]:
    import httpx2
    from mcp import Client
    from mcp.client.streamable_http import streamable_http_client

    async with (
        httpx2.AsyncClient(headers=headers(), timeout=httpx2.Timeout(30, read=_READ_TIMEOUT)) as http,
        Client(streamable_http_client(url, http_client=http), cache=None, elicitation_callback=_person()) as client,
    ):
        yield client


@asynccontextmanager
async def _own(args: Namespace, log: Any) -> AsyncIterator[Client]:
    """A gateway of our own on stdio, with the same configuration."""
    from mcp import Client
    from mcp.client.stdio import StdioServerParameters, stdio_client

    command = ["-m", "agentflow", "serve", "--stdio"]
    if args.config is not None:
        command += ["--config", str(args.config)]
    environment = {name: value for name, value in os.environ.items() if name != KEY}
    server = StdioServerParameters(command=sys.executable, args=command, env=environment)
    async with Client(stdio_client(server, errlog=log), cache=None, elicitation_callback=_person()) as client:
        yield client


def _person() -> Any:
    """The person at the terminal, or None where there is none."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return None

    async def answer(context: Any, params: Any) -> Any:
        import asyncio

        from mcp.types import ElicitResult

        schema = getattr(params, "requested_schema", None)
        if not isinstance(schema, dict):
            return ElicitResult(action="decline")
        content = await asyncio.to_thread(_form, str(params.message), schema)
        return ElicitResult(action="decline") if content is None else ElicitResult(action="accept", content=content)

    return answer


def _form(message: str, schema: JSON) -> dict[str, Any] | None:
    _tell(message)
    content: dict[str, Any] = {}
    for name, field in (schema.get("properties") or {}).items():
        choices = f" ({', '.join(map(str, field['enum']))})" if field.get("enum") else ""
        print(f"{_plain(str(field.get('title') or name))}{_plain(choices)}: ", end="", file=sys.stderr, flush=True)
        value = sys.stdin.readline().strip()
        if value:
            content[name] = _typed(value, str(field.get("type", "string")))
        elif name in (schema.get("required") or ()):
            return None
    return content


def _typed(value: str, kind: str) -> Any:
    try:
        if kind == "integer":
            return int(value)
        if kind == "number":
            return float(value)
    except ValueError:
        return value
    return value.lower() in ("y", "yes", "true", "1") if kind == "boolean" else value


async def _turn(progress: float, total: float | None, message: str | None) -> None:
    if float(progress).is_integer() and message:  # between two turns come pieces of the answer
        _tell(f"turn {progress:g} of {total or 0:g}: {message}")


def _summary(solution: JSON) -> str:
    parts = [f"confidence {solution.get('confidence', 0):.2f}", f"{solution.get('turns', 0)} turns"]
    if solution.get("models"):
        parts.append(f"{', '.join(solution['models'])}: {solution.get('tokens', 0)} tokens")
        parts.append(f"${solution.get('cost', 0):.6f}")
    sources = sorted({str(item.get("tool", "")) for item in solution.get("evidence") or ()})
    if sources:
        parts.append(f"from {', '.join(sources)}")
    if solution.get("reason"):
        parts.append(str(solution["reason"]))
    return f"({'; '.join(parts)})"


def _tell(text: str) -> None:
    print(_plain(text), file=sys.stderr)


def _plain(text: str) -> str:
    """A text that cannot steer a terminal."""
    return "".join(c if c.isprintable() or c == "\n" else " " for c in text)
