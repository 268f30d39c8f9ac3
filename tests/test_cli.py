"""The command line: exit codes, one JSON document, one clear line for an error."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from mcp.server.lowlevel import Server
from mcp.types import CallToolResult, ListToolsResult, TextContent, Tool
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from agentflow import __version__, cli
from agentflow.audit.log import AuditLog

REPOSITORY = Path(__file__).resolve().parents[1]
RECORD_ID = "0123456789abcdef0123456789abcdef"
READY = {
    "status": "degraded",
    "tools": 1,
    "problems": ["`a__x` and `b__x` clash"],
    "servers": [
        {"name": "up", "type": "http", "status": "ready", "reason": "", "since": 1.0, "tools": ["echo"]},
        {"name": "down", "type": "stdio", "status": "unavailable", "reason": "npx is not there", "since": 2.0},
    ],
}


@pytest.fixture(autouse=True)
def _at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("AGENTFLOW_")]:
        monkeypatch.delenv(name)
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.setenv("AGENTFLOW_DATA_DIR", str(tmp_path / "data"))


async def _list_tools(ctx: Any, params: Any) -> ListToolsResult:
    schema = {"type": "object", "properties": {"text": {"type": "string"}, "n": {"type": "integer"}}}
    return ListToolsResult(tools=[Tool(name="echo", description="Says it back\nat length", input_schema=schema)])


async def _call_tool(ctx: Any, params: Any) -> CallToolResult:
    meta = {"agentflow/record": RECORD_ID} if (ctx.meta or {}).get("agentflow/explain") else None
    if params.name != "echo":
        return CallToolResult(content=[TextContent(text="no such tool")], is_error=True)
    text = json.dumps(params.arguments, sort_keys=True)
    return CallToolResult.model_validate({"content": [{"type": "text", "text": text}], "_meta": meta})


async def _readyz(request: Request) -> JSONResponse:
    if request.headers.get("authorization") != "Bearer the-key":
        return JSONResponse({"status": "degraded"})
    return JSONResponse(READY)


@pytest.fixture(scope="module")
def gateway() -> Iterator[str]:
    """An MCP server with what the commands ask a gateway for, on a port of its own."""
    server = Server("gateway", on_list_tools=_list_tools, on_call_tool=_call_tool)
    app = server.streamable_http_app(custom_starlette_routes=[Route("/readyz", _readyz)])
    runner = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None, ws="none", timeout_graceful_shutdown=1))
    thread = threading.Thread(target=runner.run)
    thread.start()
    while not runner.started:
        assert thread.is_alive()
        time.sleep(0.01)
    port = runner.servers[0].sockets[0].getsockname()[1]
    yield f"http://127.0.0.1:{port}"
    runner.should_exit = True
    thread.join()


def run(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, str, str]:
    """`agentflow argv…` in this process: exit code, stdout, stderr."""
    try:
        code = cli.main(list(argv))
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else 1
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_help_imports_nothing_heavy() -> None:
    probe = (
        "import sys; from agentflow import cli\n"
        "try: cli.main(['--help'])\n"
        "except SystemExit: pass\n"
        "bad = {'pydantic', 'mcp', 'fastmcp', 'yaml', 'asyncio', 'regopy'} & set(sys.modules)\n"
        "sys.exit(f'imported {bad}' if bad else 0)"
    )
    env = {**os.environ, "PYTHONPATH": str(REPOSITORY / "server")}
    done = subprocess.run([sys.executable, "-c", probe], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "serve" in done.stdout


@pytest.mark.parametrize(
    "argv",
    [
        [],
        ["nonsense"],
        ["config"],
        ["serve", "--port", "99999"],
        ["serve", "--port", "x"],
        ["serve", "--stdio", "--port", "1"],
        ["serve", "--stdio", "--json"],
        ["import", "emacs"],
        ["restore", "emacs"],
        ["call", "x", "--args", "{"],
        ["call", "x", "--args", "[]"],
        ["call", "x", "a=1", "--args", "{}"],
        ["status", "--url", "localhost:8808"],
        ["audit", "tail", "-n", "-3"],
    ],
)
def test_wrong_usage_exits_with_two(capsys: pytest.CaptureFixture[str], argv: list[str]) -> None:
    code, _, err = run(capsys, *argv)
    assert code == 2
    assert err
    assert "Traceback" not in err


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "version") == (0, f"agentflow {__version__}\n", "")
    assert json.loads(run(capsys, "version", "--json")[1]) == {"agentflow": __version__}


def test_config_check_says_every_problem_and_exits_with_one(capsys: pytest.CaptureFixture[str]) -> None:
    Path("agentflow.yaml").write_text("serve: {prot: 1}\nlimits: {max_body: 0}\n")
    code, out, _ = run(capsys, "config", "check")
    assert code == 1
    assert "agentflow.yaml:1: error: serve.prot" in out
    assert "agentflow.yaml:2: error: limits.max_body" in out
    code, out, _ = run(capsys, "config", "check", "--json")
    assert [p["line"] for p in json.loads(out)["problems"]] == [1, 2]
    Path("agentflow.yaml").write_text("serve: {port: 1}\n")
    code, out, _ = run(capsys, "config", "check")
    assert (code, out.endswith("agentflow.yaml: fine\n")) == (0, True)


def test_config_schema_and_show_are_documents(capsys: pytest.CaptureFixture[str]) -> None:
    assert json.loads(run(capsys, "config", "schema")[1])["title"] == "agentflow.yaml"
    assert json.loads(run(capsys, "config", "show", "--json")[1])["serve"]["port"] == 8808
    assert "port: 8808" in run(capsys, "config", "show")[1]


def test_serve_refuses_a_bad_file_with_its_problems(capsys: pytest.CaptureFixture[str]) -> None:
    Path("agentflow.yaml").write_text("serve: {prot: 1}\n")
    code, out, err = run(capsys, "serve")
    assert (code, out) == (1, "")
    assert "agentflow.yaml:1: error: serve.prot" in err
    code, out, _ = run(capsys, "serve", "--json")
    assert json.loads(out)["error"]["problems"][0]["line"] == 1


def test_serve_refuses_an_open_address_without_keys(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AGENTFLOW_SERVE__HOST", "127.0.0.1")  # so that what `serve` sets is taken back
    code, _, err = run(capsys, "serve", "--host", "0.0.0.0")
    assert code == 1
    assert "auth.api_keys" in err


def test_import_shows_applies_and_restores(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "home" / ".cursor" / "mcp.json"
    path.parent.mkdir(parents=True)
    path.write_text('{"mcpServers": {"x": {"command": "sh", "env": {"TOKEN": "s3cret-value"}}}}')
    before = path.read_bytes()
    code, out, err = run(capsys, "import", "cursor")
    assert (code, err) == (0, "")
    assert "without --apply" in out
    assert "s3cret" not in out
    assert path.read_bytes() == before
    code, out, _ = run(capsys, "import", "--apply", "--json")
    assert (code, json.loads(out)["applied"]) == (0, True)
    assert "s3cret" not in out
    assert run(capsys, "config", "check")[0] == 0
    code, out, _ = run(capsys, "restore", "--json")
    assert (code, json.loads(out)["ok"]) == (0, True)
    assert path.read_bytes() == before
    assert run(capsys, "restore")[0] == 1


def test_importing_from_a_client_that_is_not_there_says_where_it_looked(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "import", "windsurf")
    assert code == 1
    assert "mcp_config.json (not there)" in out


def test_status_shows_each_server_and_why(
    capsys: pytest.CaptureFixture[str], gateway: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AGENTFLOW_API_KEY", "the-key")
    code, out, _ = run(capsys, "status", "--url", gateway)
    assert code == 1
    assert "npx is not there" in out
    assert "clash" in out
    code, out, _ = run(capsys, "status", "--json", "--url", f"{gateway}/mcp")
    assert json.loads(out) == READY


def test_nobody_at_the_address_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    for argv in (["status"], ["tools"], ["call", "x"]):
        code, out, err = run(capsys, *argv, "--url", "http://127.0.0.1:9")
        assert (code, out) == (1, "")
        assert err.count("\n") == 1
        assert "agentflow serve" in err


def test_tools_are_listed(capsys: pytest.CaptureFixture[str], gateway: str) -> None:
    assert run(capsys, "tools", "--url", gateway) == (0, "echo  Says it back\n", "")
    assert json.loads(run(capsys, "tools", "--url", gateway, "--json")[1])["tools"][0]["name"] == "echo"


def test_call_reads_arguments_by_the_tools_schema(capsys: pytest.CaptureFixture[str], gateway: str) -> None:
    code, out, _ = run(capsys, "call", "echo", "text=12", "n=12", "list=[1]", "other=a=b", "--url", gateway)
    assert (code, json.loads(out)) == (0, {"text": "12", "n": 12, "list": [1], "other": "a=b"})
    code, out, _ = run(capsys, "call", "echo", "--args", '{"n": 1}', "--url", gateway, "--json")
    assert json.loads(json.loads(out)["result"]["content"][0]["text"]) == {"n": 1}


def test_a_tool_that_fails_exits_with_one(capsys: pytest.CaptureFixture[str], gateway: str) -> None:
    assert run(capsys, "call", "none", "--url", gateway)[:2] == (1, "no such tool\n")


def _records(data_dir: Path) -> None:
    log = AuditLog(data_dir)
    for number in range(3):
        log.append(
            {
                "kind": "call",
                "id": RECORD_ID if number == 2 else f"{number:032x}",
                "time": 1_700_000_000.0 + number,
                "principal": {"id": "me", "tenant": "default"},
                "surface": "tools/call",
                "name": "up__echo",
                "outcome": "ok",
                "micros": 700,
                "decision": {"allow": True, "reasons": [["default", "allowed for operators"]]},
                "stages": [
                    ["limit", "inbound", "tools/call", "pass", 3],
                    ["redact", "outbound", "tools/call", "changed", 41, {"EMAIL": 1}],
                ],
            }
        )
    log.close()


def test_explain_shows_the_stages_of_the_call(capsys: pytest.CaptureFixture[str], gateway: str, tmp_path: Path) -> None:
    code, out, _ = run(capsys, "call", "echo", "--explain", "--url", gateway)
    assert code == 0
    assert "not in this machine's audit log" in out
    _records(tmp_path / "data")
    code, out, _ = run(capsys, "call", "echo", "--explain", "--url", gateway)
    assert "allowed for operators" in out
    assert [line.split()[0] for line in out.splitlines()[-3:]] == ["stage", "limit", "redact"]
    code, out, _ = run(capsys, "call", "echo", "--explain", "--url", gateway, "--json")
    assert json.loads(out)["record"]["id"] == RECORD_ID


def test_audit_tail_and_verify(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert run(capsys, "audit", "tail")[:2] == (0, "")
    _records(tmp_path / "data")
    code, out, _ = run(capsys, "audit", "tail", "-n", "2")
    assert (code, out.count("up__echo")) == (0, 2)
    assert [e["record"]["id"] for e in json.loads(run(capsys, "audit", "tail", "--json")[1])][-1] == RECORD_ID
    assert run(capsys, "audit", "verify")[0] == 0
    (segment,) = (tmp_path / "data" / "audit").rglob("*.jsonl")
    segment.write_bytes(segment.read_bytes().replace(b"up__echo", b"up__evil", 1))
    code, out, _ = run(capsys, "audit", "verify")
    assert code == 1
    assert "altered" in out
    assert json.loads(run(capsys, "audit", "verify", "--json")[1])["ok"] is False


def test_policy_check_compiles_and_tests_a_bundle(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    bundle = tmp_path / "bundle"
    bundle.mkdir()
    (bundle / "x.rego").write_text("package agentflow.authz\n\nallow := {")
    code, out, _ = run(capsys, "policy", "check", str(bundle))
    assert code == 1
    assert out
    assert json.loads(run(capsys, "policy", "check", str(bundle), "--json")[1])["ok"] is False


def test_a_question_is_answered_although_the_file_has_a_problem(capsys: pytest.CaptureFixture[str]) -> None:
    Path("agentflow.yaml").write_text("flow: {api_key: '${NOT_SET}'}\nlimits: {max_body: 0}\n")
    assert run(capsys, "audit", "tail")[0] == 0
    assert run(capsys, "audit", "verify")[0] == 1  # a proof with default keys would be none
