"""The wheel: what is in it, and that it serves where nothing of the checkout is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest
from gateway_process import fetch, free_port, wait_until

REPOSITORY = Path(__file__).resolve().parents[1]
INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-11-25",
        "capabilities": {},
        "clientInfo": {"name": "test", "version": "1"},
    },
}
API = {
    "openapi": "3.1.0",
    "info": {"title": "t", "version": "1"},
    "servers": [{"url": "http://127.0.0.1:9"}],
    "paths": {"/x": {"get": {"operationId": "get_x", "responses": {"200": {"description": "ok"}}}}},
}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(REPOSITORY)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `bin` folder of a fresh environment with the wheel in it and what its metadata asks for, nothing else."""
    folder = tmp_path_factory.mktemp("venv")
    venv.create(folder, with_pip=False)
    binaries = folder / ("Scripts" if os.name == "nt" else "bin")
    command = [sys.executable, "-m", "pip", "--python", str(binaries / "python"), "install", "--quiet"]
    constraints = ["-c", str(REPOSITORY / "constraints.txt")]
    done = subprocess.run([*command, *constraints, str(wheel)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return binaries


def environment(tmp_path: Path) -> dict[str, str]:
    env = {key: value for key, value in os.environ.items() if not key.startswith(("AGENTFLOW_", "PYTHON"))}
    return {**env, "AGENTFLOW_DATA_DIR": str(tmp_path / "data")}


def test_the_wheel_holds_the_package_the_tools_and_the_policies(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert "agentflow/py.typed" in names
    for folder in ("tools", "policies"):
        here = {
            f"agentflow/_shipped/{path.relative_to(REPOSITORY)}"
            for path in (REPOSITORY / folder).rglob("*")
            if path.is_file() and "__pycache__" not in path.parts
        }
        assert here <= set(names)
    assert not [name for name in names if "__pycache__" in name or name.startswith("tests")]
    assert [name for name in names if name.endswith("licenses/LICENSE")]


@pytest.mark.parametrize("command", ["agentflow", "agentctl"])
def test_both_commands_work_outside_the_checkout(installed: Path, tmp_path: Path, command: str) -> None:
    argv = [str(installed / command), "config", "schema"]
    done = subprocess.run(argv, cwd=tmp_path, env=environment(tmp_path), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "mcpServers" in json.loads(done.stdout)["properties"]


def test_what_ships_is_found_inside_the_installation(installed: Path, tmp_path: Path) -> None:
    probe = "from agentflow.paths import shipped; print(shipped('tools')); print(shipped('policies'))"
    done = subprocess.run(
        [str(installed / "python"), "-c", probe],
        cwd=tmp_path,
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for line in done.stdout.splitlines():
        assert Path(line).is_relative_to(installed.parent)
        assert list(Path(line).iterdir())


def test_the_installed_wheel_serves(installed: Path, tmp_path: Path) -> None:
    port = free_port()
    (tmp_path / "api.json").write_text(json.dumps(API))
    (tmp_path / "agentflow.yaml").write_text("mcpServers: {api: {type: openapi, spec: api.json}}")
    argv = [str(installed / "agentflow"), "serve", "--port", str(port)]
    log = tmp_path / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(argv, cwd=tmp_path, env=environment(tmp_path), stdout=output, stderr=output)
    try:

        def ready() -> bool:
            assert process.poll() is None, log.read_text()
            try:
                return fetch(f"http://127.0.0.1:{port}/readyz")[0] == 200
            except OSError:
                return False

        wait_until(ready, "the installed gateway", 60)
        servers = json.loads(fetch(f"http://127.0.0.1:{port}/readyz")[1])["servers"]
        assert {server["name"]: server["status"] for server in servers} == {"api": "ready", "agentflow": "ready"}
        status, body, kind = fetch(
            f"http://127.0.0.1:{port}/mcp",
            json.dumps(INITIALIZE).encode(),
            {"content-type": "application/json", "accept": "application/json, text/event-stream"},
        )
        assert status == 200, body
        events = [line[5:] for line in body.splitlines() if line.startswith(b"data:") and line[5:].strip()]
        assert (
            json.loads(body if kind.startswith("application/json") else events[-1])["result"]["protocolVersion"]
            == "2025-11-25"
        )
    finally:
        process.terminate()
        process.wait(30)


def test_constraints_name_versions_and_nothing_of_this_machine() -> None:
    lines = (REPOSITORY / "constraints.txt").read_text().splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert all(pin.count("==") == 1 and not set("/@:; ") & set(pin) for pin in pins)
    names = {pin.partition("==")[0].lower() for pin in pins}
    assert not names & {"torch", "trl", "agentflow-gateway"}
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    wanted = project["dependencies"] + [
        requirement
        for extra, requirements in project["optional-dependencies"].items()
        if extra not in ("train", "neural-train", "local", "wasi", "all")
        for requirement in requirements
    ]
    declared = {_name(requirement) for requirement in wanted} - {"agentflow-gateway"}
    assert declared - {name.replace("_", "-") for name in names} == set()


def _name(requirement: str) -> str:
    from packaging.requirements import Requirement

    return Requirement(requirement).name.lower().replace("_", "-")
