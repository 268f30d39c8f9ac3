"""Tool folders and OpenAPI documents are upstreams like any other."""

from __future__ import annotations

import asyncio
import json
import logging
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast
from urllib.parse import urljoin

import httpx2
import pytest
import uvicorn
from gateway.upstreams.exchanges import ALICE, LIMITS, Client, call, said, settled, tasks, until
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from agentflow.config import LimitsConfig, ServerConfig
from agentflow.errors import UpstreamError, UpstreamUnavailable
from agentflow.flow.port import CALLER, Caller
from agentflow.gateway.upstreams import openapi
from agentflow.gateway.upstreams.listed import RECORD, record, recorded
from agentflow.gateway.upstreams.local import InProcess, OpenApiConnector, ToolsConnector
from agentflow.gateway.upstreams.offer import everything
from agentflow.gateway.upstreams.peer import Peer
from agentflow.gateway.upstreams.port import Era
from agentflow.paths import shipped

JSON = dict[str, Any]
LOGGING = pytest.mark.filterwarnings("ignore:The logging capability is deprecated")

TOOLS = '''
import asyncio
from dataclasses import dataclass

from fastmcp import Context
from fastmcp.tools import tool
from pydantic import BaseModel

from agentflow.flow.port import CALLER


class Leg(BaseModel):
    city: str


class Trip(BaseModel):
    legs: list[Leg]


@tool
def plan(trip: Trip) -> Trip:
    """Plan a trip."""
    return trip


@tool
async def whose() -> str:
    return str(CALLER.get())


@tool
def whose_in_a_thread() -> str:
    return str(CALLER.get())


@tool
async def steps(ctx: Context) -> str:
    for step in range(3):
        await ctx.report_progress(step, 3)
    await ctx.info("nearly there")
    return "done"


@dataclass
class Answer:
    sure: bool


@tool
async def ask(ctx: Context) -> str:
    answer = await ctx.elicit("Sure?", Answer)
    return answer.action


@tool
async def wait(ctx: Context) -> str:
    await ctx.report_progress(0, 1)
    try:
        await asyncio.sleep(600)
    except asyncio.CancelledError:
        (__import__("pathlib").Path(__file__).parent / "cancelled").touch()
        raise
    return "never"
'''


@pytest.fixture
async def closing() -> AsyncIterator[list[InProcess]]:
    before, connectors = tasks(), list[InProcess]()
    yield connectors
    for connector in connectors:
        await connector.close()
    await settled(before)


def folder(path: Path, **files: str) -> ServerConfig:
    for name, text in files.items():
        (path / f"{name}.py").write_text(text)
    return ServerConfig(path=path)


async def opened(connector: InProcess, closing: list[InProcess], era: Era | None = None) -> Peer:
    closing.append(connector)
    return await connector.connect(ALICE, era, lambda method, params: None)


@pytest.mark.parametrize("era", ["legacy", "modern"])
async def test_a_tool_file_is_listed_with_its_definitions_and_answers_with_structure(
    tmp_path: Path, closing: list[InProcess], era: Era
) -> None:
    peer = await opened(ToolsConnector("local", folder(tmp_path, travel=TOOLS), LIMITS), closing, era)
    assert peer.era == era
    tools = {tool["name"]: tool for tool in (await peer.request("tools/list", {}, None, 20))["tools"]}
    assert "$defs" in tools["plan"]["inputSchema"]
    assert tools["plan"]["outputSchema"]["type"] == "object"
    trip = {"legs": [{"city": "Oslo"}]}
    result = await peer.request("tools/call", call("plan", trip=trip), Client(), 20)
    assert result["structuredContent"] == trip


HIDING = """
from fastmcp import Context
from fastmcp.tools import tool


@tool
async def hide(ctx: Context) -> str:
    await ctx.disable_components(names={"hide"})
    return "hidden"
"""


async def test_a_tool_file_hides_no_tool_from_everybody_on_behalf_of_one(
    tmp_path: Path, closing: list[InProcess]
) -> None:
    peer = await opened(ToolsConnector("local", folder(tmp_path, hiding=HIDING), LIMITS), closing)
    assert (await peer.request("tools/call", call("hide"), Client(), 20))["isError"]
    assert [tool["name"] for tool in (await peer.request("tools/list", {}, None, 20))["tools"]] == ["hide"]


class Someone:
    def __init__(self, name: str) -> None:
        self.name = name

    def __str__(self) -> str:
        return self.name


@pytest.mark.parametrize("tool", ["whose", "whose_in_a_thread"])
@pytest.mark.parametrize("era", ["legacy", "modern"])
async def test_each_call_of_a_tool_file_sees_its_own_caller(
    tmp_path: Path, closing: list[InProcess], tool: str, era: Era
) -> None:
    peer = await opened(ToolsConnector("local", folder(tmp_path, travel=TOOLS), LIMITS), closing, era)

    async def asked(name: str) -> str:
        CALLER.set(cast(Caller, Someone(name)))
        return said(await peer.request("tools/call", call(tool), Client(), 20))

    names = [f"caller {n}" for n in range(10)]
    assert await asyncio.gather(*(asked(name) for name in names)) == names


@LOGGING
async def test_progress_log_messages_and_questions_reach_the_call(tmp_path: Path, closing: list[InProcess]) -> None:
    async def reply(method: str, params: JSON) -> JSON:
        return {"action": "accept", "content": {"sure": True}}

    peer = await opened(ToolsConnector("local", folder(tmp_path, travel=TOOLS), LIMITS), closing, "legacy")
    one, other = Client(), Client(reply=reply)
    params = call("steps") | {"_meta": {"progressToken": "mine"}}
    results = await asyncio.gather(
        peer.request("tools/call", params, one, 20), peer.request("tools/call", call("ask"), other, 20)
    )
    assert [said(result) for result in results] == ["done", "accept"]
    assert [params["progressToken"] for method, params in one.heard if method == "notifications/progress"] == [
        "mine"
    ] * 3
    assert [method for method, _ in one.heard].count("notifications/message") == 1
    assert [method for method, _ in other.asked] == ["elicitation/create"]
    assert (one.asked, other.heard) == ([], [])


async def test_a_cancelled_call_ends_the_tool(tmp_path: Path, closing: list[InProcess]) -> None:
    peer, client = await opened(ToolsConnector("local", folder(tmp_path, travel=TOOLS), LIMITS), closing), Client()
    params = call("wait") | {"_meta": {"progressToken": 1}}
    task = asyncio.create_task(peer.request("tools/call", params, client, 20))
    await until(lambda: client.heard)
    task.cancel()
    await until((tmp_path / "cancelled").exists)
    with pytest.raises(asyncio.CancelledError):
        await task


@LOGGING
async def test_a_broken_file_is_a_problem_and_the_others_work(
    tmp_path: Path, closing: list[InProcess], capfd: pytest.CaptureFixture[str]
) -> None:
    connector = ToolsConnector("local", folder(tmp_path, travel=TOOLS, broken="import nothing_like_this"), LIMITS)
    peer = await opened(connector, closing)
    assert said(await peer.request("tools/call", call("steps"), Client(), 20)) == "done"
    (problem,) = connector.problems
    assert "broken.py" in problem
    assert "nothing_like_this" in problem
    assert capfd.readouterr().err == ""
    assert logging.getLogger("fastmcp").handlers == []


async def test_two_folders_with_files_of_the_same_name_do_not_mix(tmp_path: Path, closing: list[InProcess]) -> None:
    text = "from fastmcp.tools import tool\n@tool\ndef where() -> str: return {!r}\n"
    peers = []
    for place in ("one", "two"):
        (tmp_path / place).mkdir()
        config = folder(tmp_path / place, same=text.format(place))
        peers.append(await opened(ToolsConnector(place, config, LIMITS), closing))
    answers = [said(await peer.request("tools/call", call("where"), Client(), 20)) for peer in peers]
    assert answers == ["one", "two"]


async def test_a_missing_folder_and_a_file_that_exits_are_named(tmp_path: Path, closing: list[InProcess]) -> None:
    with pytest.raises(UpstreamUnavailable, match="does not exist"):
        await opened(ToolsConnector("local", ServerConfig(path=tmp_path / "gone"), LIMITS), closing)
    with pytest.raises(UpstreamUnavailable, match="ended the program"):
        await opened(ToolsConnector("local", folder(tmp_path, bad="raise SystemExit(3)"), LIMITS), closing)


def test_fastmcp_is_not_imported_before_it_is_needed() -> None:
    code = (
        "import sys, agentflow.gateway.upstreams.build, agentflow.gateway.upstreams.local as local\n"
        "assert 'fastmcp' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[3] / "server", timeout=60)


def test_what_the_shipped_tools_list_is_on_record() -> None:
    kept = (shipped("tools") / RECORD).read_bytes()
    now = asyncio.run(record(shipped("tools")))
    assert json.loads(kept) == json.loads(now), "run `python -m agentflow.gateway.upstreams.listed`"


async def test_a_folder_with_a_record_is_listed_from_it_and_loaded_for_the_first_client(
    tmp_path: Path, closing: list[InProcess]
) -> None:
    config = folder(tmp_path, travel=TOOLS).model_copy(update={"description": "Travels."})
    (tmp_path / RECORD).write_bytes(await record(tmp_path))
    connector = ToolsConnector("local", config, LIMITS)
    own = await opened(connector, closing)
    assert connector._server is None
    assert (own.era, own.instructions, own.server_info["name"]) == ("modern", "Travels.", "local")
    listed = await everything("local", own, config, LIMITS)
    assert connector._server is None
    with pytest.raises(UpstreamError, match="nothing else"):
        await own.request("tools/call", call("plan", trip={"legs": []}), Client(), 20)
    peer = await opened(connector, closing, "modern")
    assert await everything("local", peer, config, LIMITS) == listed
    assert (await peer.request("tools/call", call("plan", trip={"legs": []}), Client(), 20))["structuredContent"]
    await own.notify("notifications/roots/list_changed", {})
    await own.close()


@pytest.mark.parametrize(
    "change", ["another file", "a file more", "a file less", "no record", "no JSON", "an old form"]
)
async def test_a_record_of_other_files_is_none(tmp_path: Path, closing: list[InProcess], change: str) -> None:
    config = folder(tmp_path, travel=TOOLS, more=TOOLS)
    kept = tmp_path / RECORD
    kept.write_bytes(await record(tmp_path))
    assert recorded(tmp_path, "local", None) is not None
    if change == "another file":
        folder(tmp_path, travel=TOOLS.replace("Plan a trip", "Plan a longer trip"))
    elif change == "a file more":
        folder(tmp_path, third=HIDING)
    elif change == "a file less":
        (tmp_path / "more.py").unlink()
    elif change == "no record":
        kept.unlink()
    else:
        kept.write_text("{" if change == "no JSON" else json.dumps({"files": json.loads(kept.read_text())["files"]}))
    assert recorded(tmp_path, "local", None) is None
    connector = ToolsConnector("local", config, LIMITS)
    await opened(connector, closing)
    assert connector._server is not None


# -- OpenAPI ----------------------------------------------------------------------------------------------------


def document(**servers: Any) -> JSON:
    pet = {"type": "object", "properties": {"id": {"type": "integer"}, "tag": {"$ref": "#/components/schemas/Tag"}}}
    answers = {"200": {"description": "ok", "content": {"application/json": {"schema": pet}}}}
    number = {"name": "id", "in": "path", "required": True, "schema": {"type": "integer"}}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Pets", "version": "1"},
        "paths": {
            "/pets/{id}": {
                "get": {"operationId": "get_pet", "summary": "One pet", "parameters": [number], "responses": answers},
                "delete": {
                    "operationId": "drop_pet",
                    "parameters": [number],
                    "responses": {"204": {"description": ""}},
                },
            },
            "/large": {"get": {"operationId": "large", "responses": {"200": {"description": ""}}}},
            "/away": {"get": {"operationId": "away", "responses": {"200": {"description": ""}}}},
        },
        "components": {"schemas": {"Tag": {"type": "object", "properties": {"name": {"type": "string"}}}}},
        **servers,
    }


class Api:
    """A small real API on loopback that remembers the headers it got."""

    def __init__(self) -> None:
        self.seen: list[JSON] = []
        self.url = ""
        self.elsewhere = "http://127.0.0.2:1/"

    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/v1/openapi.json", self.spec),
                Route("/v1/moved.json", lambda request: RedirectResponse("/v1/openapi.json")),
                Route("/v1/lured.json", lambda request: RedirectResponse(self.elsewhere)),
                Route("/v1/pets/{id:int}", self.pet, methods=["GET", "DELETE"]),
                Route("/v1/large", lambda request: PlainTextResponse("x" * 3_000_000)),
                Route("/v1/away", lambda request: RedirectResponse(self.elsewhere)),
            ]
        )

    async def spec(self, request: Request) -> Response:
        self.seen.append(dict(request.headers))
        return JSONResponse(document(servers=[{"url": "/{base}", "variables": {"base": {"default": "v1"}}}]))

    async def pet(self, request: Request) -> Response:
        self.seen.append(dict(request.headers))
        return JSONResponse({"id": request.path_params["id"], "tag": {"name": "cat"}})


@asynccontextmanager
async def serving(app: Starlette) -> AsyncIterator[str]:
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error", lifespan="off"))
    server.config.load()
    task = asyncio.create_task(server.serve())
    try:
        await until(lambda: server.started)
        host, port = server.servers[0].sockets[0].getsockname()[:2]
        yield f"http://{host}:{port}"
    finally:
        server.should_exit = True
        await task


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    api = Api()
    async with serving(api.app()) as api.url:
        yield api


async def test_an_api_is_called_with_the_configured_credentials_and_nothing_of_the_caller(
    api: Api, closing: list[InProcess]
) -> None:
    from fastmcp.server.http import _current_http_request

    incoming = Request({"type": "http", "headers": [(b"x-api-key", b"the callers own")]})
    config = ServerConfig(
        type="openapi",
        spec=f"{api.url}/v1/openapi.json",
        headers={"X-Plain": "1"},
        credentials={"Authorization": "Bearer ours"},
    )
    token = _current_http_request.set(incoming)
    try:
        peer = await opened(OpenApiConnector("pets", config, LIMITS), closing)
        result = await peer.request("tools/call", call("get_pet", id=7), Client(), 20)
    finally:
        _current_http_request.reset(token)
    assert result["structuredContent"] == {"id": 7, "tag": {"name": "cat"}}
    for headers in api.seen:
        assert (headers["authorization"], headers["x-plain"]) == ("Bearer ours", "1")
        assert "x-api-key" not in headers
    tools = {tool["name"]: tool for tool in (await peer.request("tools/list", {}, None, 20))["tools"]}
    assert "$defs" in tools["get_pet"]["outputSchema"]
    assert tools["get_pet"]["annotations"]["readOnlyHint"] is True
    assert tools["drop_pet"]["annotations"]["destructiveHint"] is True


async def test_a_document_in_a_yaml_file_needs_to_know_where_the_api_is(
    api: Api, tmp_path: Path, closing: list[InProcess]
) -> None:
    import yaml

    file = tmp_path / "pets.yaml"
    file.write_text(yaml.safe_dump(document()))
    with pytest.raises(UpstreamUnavailable, match="where the API is") as error:
        await opened(OpenApiConnector("pets", ServerConfig(spec=str(file)), LIMITS), closing)
    assert "base_url" in error.value.fix
    config = ServerConfig(spec=str(file), base_url=f"{api.url}/v1")
    peer = await opened(OpenApiConnector("pets", config, LIMITS), closing)
    assert json.loads(said(await peer.request("tools/call", call("get_pet", id=1), Client(), 20)))["id"] == 1


async def test_a_redirect_stays_on_its_server(api: Api, closing: list[InProcess]) -> None:
    peer = await opened(OpenApiConnector("pets", ServerConfig(spec=f"{api.url}/v1/moved.json"), LIMITS), closing)
    with pytest.raises(UpstreamUnavailable, match="redirects to another server"):
        await opened(OpenApiConnector("pets", ServerConfig(spec=f"{api.url}/v1/lured.json"), LIMITS), closing)
    result = await peer.request("tools/call", call("away"), Client(), 20)
    assert result["isError"] is True
    assert "307" in said(result)


@pytest.mark.parametrize(
    ("place", "named"),
    [
        ("https://docs.example.com/openapi.json", "http://127.0.0.1:9/v1"),
        ("https://docs.example.com/openapi.json", "http://localhost/v1"),
        ("https://docs.example.com/openapi.json", "http://10.1.2.3/v1"),
        ("https://docs.example.com/openapi.json", "http://[::ffff:192.168.0.1]/v1"),
        ("https://docs.example.com/openapi.json", "http://2130706433/v1"),
        ("https://docs.example.com/openapi.json", "//169.254.169.254/latest/meta-data"),
        ("http://127.0.0.1:8000/openapi.json", "http://169.254.169.254/latest"),
        ("http://10.0.0.1/openapi.json", "http://nowhere.{host}/"),
    ],
)
async def test_a_document_leads_nobody_inside(place: str, named: str) -> None:
    """THREATS 13: what a document says of its API is not what the operator says."""
    about = document(servers=[{"url": named, "variables": {"host": {"default": "invalid"}}}])
    config = ServerConfig(spec=place)
    with pytest.raises(UpstreamUnavailable, match="that its document names") as refused:
        await openapi.judge("pets", config, about, place)
    assert "base_url" in refused.value.fix
    client = openapi.api_client("pets", config, LIMITS, about, place)
    async with client:
        with pytest.raises(httpx2.ConnectError, match="that its document names"):
            await client.get("/pets/1")
    await openapi.judge("pets", ServerConfig(spec=place, base_url=urljoin(place, named)), about, place)


async def test_a_document_from_inside_may_name_another_place_inside(api: Api) -> None:
    port = api.url.rpartition(":")[2]
    about = document(servers=[{"url": f"http://127.0.0.1:{port}/v1"}])
    place = f"http://localhost:{port}/v1/openapi.json"
    config = ServerConfig(spec=place)
    await openapi.judge("pets", config, about, place)
    async with openapi.api_client("pets", config, LIMITS, about, place) as client:
        assert (await client.get("pets/3")).json()["id"] == 3
    assert api.seen[-1]["host"] == f"127.0.0.1:{port}"


async def test_an_answer_beyond_the_limit_is_an_error(api: Api, closing: list[InProcess]) -> None:
    limits = LimitsConfig(max_result=1_000_000)
    peer = await opened(OpenApiConnector("pets", ServerConfig(spec=f"{api.url}/v1/openapi.json"), limits), closing)
    result = await peer.request("tools/call", call("large"), Client(), 20)
    assert result["isError"] is True
    assert "longer than 1000000 bytes" in said(result)


@pytest.mark.parametrize(
    ("text", "why"),
    [("{", "neither JSON nor YAML"), ("[]", "no `paths`"), ('{"paths": {}, "swagger": "2.0"}', "not OpenAPI 3")],
)
async def test_a_document_that_is_none_is_refused(
    tmp_path: Path, closing: list[InProcess], text: str, why: str
) -> None:
    (tmp_path / "spec.json").write_text(text)
    config = ServerConfig(spec=str(tmp_path / "spec.json"), base_url="http://127.0.0.1:1")
    with pytest.raises(UpstreamUnavailable, match=why):
        await opened(OpenApiConnector("pets", config, LIMITS), closing)
