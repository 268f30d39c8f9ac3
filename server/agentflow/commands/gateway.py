"""`agentflow status`, `tools` and `call`: what a running gateway says, asked as any client would ask it."""

from __future__ import annotations

import asyncio
import json
import os
import time
from argparse import Namespace
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from agentflow.commands.output import UsageError, document, table
from agentflow.errors import AgentFlowError, UpstreamUnavailable
from agentflow.pipeline.call import EXPLAIN, RECORD
from agentflow.settings import file as config_file

if TYPE_CHECKING:
    from mcp import Client

JSON = dict[str, Any]
T = TypeVar("T")

KEY = "AGENTFLOW_API_KEY"
_READ_TIMEOUT = 3600  # seconds a tool may take; the gateway has its own limits


class Refused(AgentFlowError):
    """The gateway answered the call with an error."""

    kind = "refused"


def status(args: Namespace) -> int:
    """Print each server's state and reason; 1 unless all of them are ready."""
    url = _base(endpoint(args)) + "/readyz"
    body = _get(url)
    if args.json:
        document(body)
    else:
        print(f"{url.removesuffix('/readyz')}: {body.get('status', 'unknown')}")
        now = time.time()
        rows = [
            (
                f"  {server.get('name', '')}",
                str(server.get("status", "")),
                str(server.get("type") or ""),
                f"{len(server.get('tools') or [])} tools",
                _ago(now - float(server.get("since") or now)),
                str(server.get("reason") or ""),
            )
            for server in body.get("servers", [])
        ]
        table(rows)
        for problem in body.get("problems", []):
            print(f"  problem: {problem}")
        if "servers" not in body:
            print(f"  the servers are shown to known callers only: set {KEY}")
    return 0 if body.get("status") == "ready" else 1


def tools(args: Namespace) -> int:
    """List the tools this caller may see."""
    found = run(_with_client(endpoint(args), _all_tools))
    if args.json:
        document({"tools": found})
    else:
        table([(tool["name"], _first_line(tool.get("description") or tool.get("title") or "")) for tool in found])
    return 0


def call(args: Namespace) -> int:
    """Call a tool and print its result; 1 when the tool or the gateway says that it failed."""
    given = _given(args)
    url = endpoint(args)

    async def work(client: Client) -> JSON:
        arguments = given
        if args.pairs:
            schemas = {tool["name"]: tool["inputSchema"] for tool in await _all_tools(client)}
            arguments = _typed(args.pairs, schemas.get(args.tool, {}))
        meta: Any = {EXPLAIN: True} if args.explain else None
        result = await client.call_tool(args.tool, arguments, meta=meta)
        return dict(result.model_dump(mode="json", by_alias=True, exclude_none=True))

    result = run(_with_client(url, work))
    record = _record(args, result) if args.explain else None
    if args.json:
        document({"result": result, **({"record": record} if args.explain else {})})
    else:
        _print_result(result)
        if args.explain:
            _print_record(record)
    return 1 if result.get("isError") else 0


# --- the gateway's address and key --------------------------------------------------------------------------


def endpoint(args: Namespace) -> str:
    """The MCP endpoint: --url, or where the configuration says the gateway listens."""
    if args.url:
        parts = urlsplit(args.url)
        if parts.scheme not in ("http", "https") or not parts.netloc:
            raise UsageError(f"{args.url!r} is not an address", fix="write --url http://127.0.0.1:8808")
        return str(args.url) if parts.path.strip("/") else args.url.rstrip("/") + "/mcp"
    serve = config_file.glance(args.config, os.environ).serve
    host = "127.0.0.1" if serve.host in ("0.0.0.0", "::", "") else serve.host  # noqa: S104  (compared, not bound)
    return f"http://{f'[{host}]' if ':' in host else host}:{serve.port}{serve.path}"


def _base(endpoint: str) -> str:
    parts = urlsplit(endpoint)
    return f"{parts.scheme}://{parts.netloc}"


def headers() -> dict[str, str]:
    key = os.environ.get(KEY)
    return {"Authorization": f"Bearer {key}"} if key else {}


def _get(url: str) -> JSON:
    request = Request(url, headers=headers())  # noqa: S310  (the scheme was checked)
    try:
        with urlopen(request, timeout=10) as answer:  # noqa: S310
            body = answer.read()
    except HTTPError as error:
        with error:
            body = error.read()
    except (URLError, OSError) as error:
        raise _nobody(url, error) from None
    try:
        found = json.loads(body)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise UpstreamUnavailable(f"{url} is not an AgentFlow gateway", fix="check --url")
    return found


def _nobody(url: str, error: BaseException) -> UpstreamUnavailable:
    reason = getattr(error, "reason", None) or error
    return UpstreamUnavailable(f"no gateway answers at {_base(url)} ({reason})", fix="start one with `agentflow serve`")


def run(work: Awaitable[T]) -> T:
    async def main() -> T:
        return await work

    return asyncio.run(main())


async def _with_client(url: str, work: Callable[[Client], Awaitable[T]]) -> T:
    """Run `work` with a connected client, and say plainly what went wrong."""
    try:
        async with _client(url) as client:
            return await work(client)
    except BaseException as error:
        raise plainly(url, error) from None


@asynccontextmanager
async def _client(url: str) -> AsyncIterator[Client]:
    import httpx2
    from mcp import Client
    from mcp.client.streamable_http import streamable_http_client

    async with (
        httpx2.AsyncClient(headers=headers(), timeout=httpx2.Timeout(30, read=_READ_TIMEOUT)) as http,
        Client(streamable_http_client(url, http_client=http), cache=None) as client,
    ):
        yield client


def plainly(url: str, error: BaseException) -> BaseException:
    """The error a person can use: anyio wraps what happens in task groups."""
    import httpx2
    from mcp.shared.exceptions import MCPError

    while isinstance(error, BaseExceptionGroup) and error.exceptions:
        error = error.exceptions[0]
    if isinstance(error, MCPError):
        data = error.data if isinstance(error.data, dict) else {}
        return Refused(f"{error.message} ({error.code})", fix=str(data.get("fix") or ""), code=error.code, error=data)
    if isinstance(error, httpx2.HTTPStatusError) and error.response.status_code == 401:
        return Refused("the gateway needs an API key", fix=f"set {KEY}")
    if isinstance(error, httpx2.HTTPError):
        return _nobody(url, error)
    return error


async def _all_tools(client: Client) -> list[JSON]:
    found: list[JSON] = []
    cursor = None
    while True:
        page = await client.list_tools(cursor=cursor)
        found += [tool.model_dump(mode="json", by_alias=True, exclude_none=True) for tool in page.tools]
        cursor = page.next_cursor
        if not cursor:
            return found


# --- arguments and results ----------------------------------------------------------------------------------


def _given(args: Namespace) -> JSON:
    if args.arguments is None:
        return {}
    if args.pairs:
        raise UsageError("--args and KEY=VALUE do not go together", fix="use one of them")
    try:
        found = json.loads(args.arguments)
    except ValueError as error:
        raise UsageError(f"--args is not JSON: {error}", fix="""write --args '{"key": "value"}'""") from None
    if not isinstance(found, dict):
        raise UsageError("--args is not a JSON object", fix="""write --args '{"key": "value"}'""")
    return found


def _typed(pairs: list[str], schema: JSON) -> JSON:
    """`key=value` words as arguments: text where the schema wants text, else JSON where it is JSON."""
    properties = schema.get("properties") or {}
    arguments: JSON = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not equals or not key:
            raise UsageError(f"{pair!r} is not KEY=VALUE", fix="write key=value, or use --args")
        wanted = properties.get(key)
        value: Any = text
        if not (isinstance(wanted, dict) and wanted.get("type") == "string"):
            try:
                value = json.loads(text)
            except ValueError:
                value = text
        arguments[key] = value
    return arguments


def _print_result(result: JSON) -> None:
    shown = False
    for block in result.get("content") or []:
        if block.get("type") == "text":
            print(block["text"])
        elif block.get("type") in ("image", "audio"):
            print(f"[{block['type']} {block.get('mimeType', '')}, {len(block.get('data', '')) * 3 // 4} bytes]")
        else:
            print(json.dumps(block, ensure_ascii=False))
        shown = True
    if not shown and result.get("structuredContent") is not None:
        document(result["structuredContent"])


def _record(args: Namespace, result: JSON) -> JSON | None:
    """The record of the call, where this machine holds the gateway's audit log."""
    from agentflow.audit.read import find

    identifier = (result.get("_meta") or {}).get(RECORD)
    entry = find(config_file.glance(args.config, os.environ).data_dir, identifier) if identifier else None
    return entry.record if entry else None


def _print_record(record: JSON | None) -> None:
    print()
    if record is None:
        print("The record of this call is not in this machine's audit log; name the gateway's --config.")
        return
    decision = record.get("decision") or {}
    reasons = "; ".join(": ".join(map(str, reason)) for reason in decision.get("reasons") or [])
    print(f"record {record.get('id')}: {record.get('outcome')}, {record.get('micros')} µs")
    print(f"decision: {'allow' if decision.get('allow') else 'deny'} {reasons}".rstrip())
    rows = [("stage", "direction", "surface", "verdict", "µs", "detail")]
    for stage, direction, surface, verdict, micros, *detail in record.get("stages") or []:
        said = json.dumps(detail[0], ensure_ascii=False) if detail else ""
        rows.append((str(stage), str(direction), str(surface), str(verdict), str(micros), said))
    table(rows)


def _first_line(text: str) -> str:
    line = text.strip().partition("\n")[0]
    return line if len(line) <= 100 else line[:99] + "…"


def _ago(seconds: float) -> str:
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{int(seconds // size)} {unit}"
    return f"{max(int(seconds), 0)} s"
