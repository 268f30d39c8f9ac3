"""Moving a client's servers behind the gateway, and back."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from agentflow.clients import importing
from agentflow.clients.edits import replace_servers
from agentflow.clients.files import CLIENTS, places
from agentflow.clients.importing import Import, Surroundings
from agentflow.errors import ConfigError
from agentflow.settings import documents, secrets_env
from agentflow.settings import file as config_file

TOKEN = "ghp_0123456789abcdefghijABCDEFGHIJ012345"
OWN = "agentflow"


@pytest.fixture
def world(tmp_path: Path) -> Surroundings:
    return world_in(tmp_path, "linux")


def world_in(base: Path, platform: str) -> Surroundings:
    cwd = base / "home" / "work" / "project"
    cwd.mkdir(parents=True, exist_ok=True)
    data = base / "data"
    home = base / "home"
    environ = {
        "HOME": str(home),
        "USERPROFILE": str(home),
        "PATH": os.environ["PATH"],
        "APPDATA": str(home / "Roaming"),
    }
    return Surroundings(cwd, environ, data, data / "agentflow.yaml", platform)


def put(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode())
    return path


def client_file(world: Surroundings, client: str, text: str) -> Path:
    """The client's own (user-level) file, with `text` in it."""
    found = [p for p in places(client, world.cwd, world.environ, world.platform) if p.folder is None]
    return put(found[0].path if found else world.cwd / "mcp.json", text)


def servers_of(world: Surroundings) -> dict[str, dict[str, object]]:
    return dict(yaml.safe_load(world.config.read_text())["mcpServers"])


def moved(world: Surroundings, client: str | None = None) -> Import:
    plan = importing.plan(client, world)
    importing.apply(plan, world)
    return plan


SIMPLE = json.dumps({"mcpServers": {"files": {"command": "sh", "args": ["-c", "true"]}}}, indent=2)
SAMPLES = {
    "claude-desktop": SIMPLE,
    "claude-code": SIMPLE,
    "cursor": SIMPLE,
    "gemini": SIMPLE,
    "windsurf": SIMPLE,
    "project": SIMPLE,
    "vscode": '{\n\t// mine\n\t"servers": {"files": {"command": "sh", "args": ["-c", "true"],},},\n}\n',
    "goose": "extensions:\n  files:\n    type: stdio\n    cmd: sh\n    args: [-c, 'true']\n    envs: {}\n",
}


@pytest.mark.parametrize("client", list(CLIENTS))
@pytest.mark.parametrize("platform", ["linux", "darwin", "win32"])
def test_every_client_is_found_moved_and_put_back_byte_for_byte(tmp_path: Path, client: str, platform: str) -> None:
    world = world_in(tmp_path, platform)
    path = client_file(world, client, SAMPLES[client])
    path.chmod(0o640)
    before = path.read_bytes()

    plan = moved(world, client)

    assert plan.moved == 1
    server = servers_of(world)["files"]
    assert (server["command"], server["args"]) == ("sh", ["-c", "true"])
    text = path.read_text()
    root = documents.parse(text, as_json=path.suffix == ".json").plain()
    (entry,) = next(root[key] for key in ("mcpServers", "servers", "extensions") if key in root).items()
    assert entry[0] == OWN
    assert [a for a in entry[1]["args"] if a == str(world.config)]
    assert os.path.isabs(entry[1].get("command") or entry[1]["cmd"])
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert not [p for p in config_file.check(world.config, world.environ) if p.severity == "error"]

    (result,) = importing.restore(client, world.data_dir)
    assert result.done
    assert path.read_bytes() == before
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert importing.restore(client, world.data_dir) == []


def test_nothing_is_written_before_apply(world: Surroundings) -> None:
    path = client_file(world, "cursor", SIMPLE)
    plan = importing.plan("cursor", world)
    assert "+mcpServers:" in importing.diff(plan)
    assert path.read_text() == SIMPLE
    assert not world.data_dir.exists()


def test_secrets_move_to_secrets_env_and_are_never_shown(world: Surroundings) -> None:
    entry = {
        "command": "sh",
        "args": ["--api-key", "s3cret-in-arg", "--token=s3cret-in-flag", "postgres://u:s3cret-in-url@db/x"],
        "env": {"GITHUB_TOKEN": TOKEN, "LOG": "debug", "UNNAMED": "s3cret-in-env"},
    }
    remote = {
        "url": "https://user:s3cret-in-user@example.com/mcp?api_key=s3cret-in-query",
        "headers": {"X-Api-Key": "s3cret-in-header", "Accept-Language": "en"},
    }
    top = {"oauthToken": "s3cret-elsewhere", "mcpServers": {"git hub": entry, "remote": remote}}
    client_file(world, "claude-desktop", json.dumps(top, indent=1))
    plan = importing.plan("claude-desktop", world)
    assert "s3cret" not in importing.diff(plan)
    assert TOKEN not in importing.diff(plan)

    importing.apply(plan, world)
    text = world.config.read_text()
    assert "s3cret" not in text.replace("UNNAMED: s3cret-in-env", "")
    assert TOKEN not in text
    file = world.data_dir / secrets_env.FILE
    assert stat.S_IMODE(file.stat().st_mode) == 0o600

    config = config_file.load(world.config, {**world.environ, "AGENTFLOW_DATA_DIR": str(world.data_dir)})
    server = config.mcp_servers["git-hub"]
    assert list(server.args) == entry["args"]
    assert server.env == entry["env"]
    far = config.mcp_servers["remote"]
    assert far.url == "https://example.com/mcp?api_key=s3cret-in-query"
    assert far.headers == {"Accept-Language": "en"}
    shown = {key: value.get_secret_value() for key, value in far.credentials.items()}
    assert shown["X-Api-Key"] == "s3cret-in-header"
    assert shown["Authorization"].startswith("Basic ")


def test_no_server_is_trusted_by_being_imported(world: Surroundings) -> None:
    client_file(world, "gemini", json.dumps({"mcpServers": {"x": {"command": "sh", "trust": True, "timeout": 5000}}}))
    moved(world)
    assert servers_of(world)["x"] == {"command": "sh", "timeout": 5.0}


def test_names_that_clash_get_a_suffix_and_equal_servers_meet(world: Surroundings) -> None:
    client_file(world, "cursor", SIMPLE)
    other = {"mcpServers": {"files": {"command": "sh", "args": ["other"]}}}
    client_file(world, "gemini", json.dumps(other))
    client_file(world, "windsurf", SIMPLE)
    moved(world)
    assert sorted(servers_of(world)) == ["files", "files-2"]


def test_what_agentflow_yaml_says_already_stays(world: Surroundings) -> None:
    text = "# mine\nserve: {port: 1} # why\nmcpServers:\n    old: # it\n        command: sh\n# end\ntools: []\n"
    put(world.config, text)
    client_file(world, "cursor", SIMPLE)
    moved(world)
    after = world.config.read_text()
    assert [line for line in text.splitlines() if line not in after.splitlines()] == []
    assert list(servers_of(world)) == ["old", "files"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "serve: {port: 1}",
        "mcpServers:\n",
        "mcpServers: {}\nserve: {port: 1}\n",
        "mcpServers: {old: {command: sh}}\n",
        "{mcpServers: {old: {command: sh}}, serve: {port: 1}}\n",
        "mcpServers:\n  old:\n    command: sh",
        "servers:\r\n  old:\r\n    command: sh\r\nserve:\r\n  port: 1\r\n",
    ],
)
def test_any_shape_of_agentflow_yaml_takes_the_servers(world: Surroundings, text: str) -> None:
    put(world.config, text)
    client_file(world, "cursor", SIMPLE)
    before = yaml.safe_load(text) or {}
    key = "servers" if "servers" in before else "mcpServers"
    moved(world)
    after = yaml.safe_load(world.config.read_text())
    assert after[key].pop("files")["command"] == "sh"
    assert after[key] == (before.get(key) or {})
    assert {k: v for k, v in after.items() if k != key} == {k: v for k, v in before.items() if k != key}


def test_what_the_gateway_could_not_run_stays_with_the_client(world: Surroundings) -> None:
    text = """{
  "inputs": [{"id": "k", "type": "promptString"}],
  "servers": {
    "asks": {"command": "sh", "env": {"K": "${input:k}"}},
    "open": {"command": "sh", "args": ["${workspaceFolder}"]},
    "file": {"command": "sh", "envFile": ".env"},
    "ftp": {"url": "ftp://example.com"},
    "fine": {"command": "sh", "env": {"H": "${env:SOME_HOST}"}}
  }
}"""
    path = client_file(world, "vscode", text)
    plan = moved(world)
    assert [name for name, _ in plan.files[0].left] == ["asks", "open", "file", "ftp"]
    assert list(servers_of(world)) == ["fine"]
    left = json.loads(path.read_text())
    assert list(left["servers"]) == [OWN, "asks", "open", "file", "ftp"]
    assert left["servers"]["asks"] == json.loads(text)["servers"]["asks"]
    assert left["inputs"] == json.loads(text)["inputs"]
    assert servers_of(world)["fine"]["env"] == {"H": "${SOME_HOST:-}"}


def test_each_clients_way_with_dollars_is_kept(world: Surroundings) -> None:
    def entry(text: str) -> str:
        return json.dumps({"mcpServers": {"x": {"command": "sh", "args": [text]}}})

    expected = {
        "claude-desktop": ("${A} $B $$C", "${A} $B $$C"),
        "claude-code": ("${A} ${N:-d} $B $$C", "1 d $B $$C"),
        "gemini": ("${A} $B", "1 2"),
        "cursor": ("${env:A} $B ${userHome}", f"1 $B {world.environ['HOME']}"),
    }
    for client, (text, result) in expected.items():
        path = client_file(world, client, entry(text))
        moved(world, client)
        config = config_file.load(world.config, {**world.environ, "A": "1", "B": "2"})
        assert config.mcp_servers["x"].args == (result,), client
        world.config.unlink()
        path.unlink()


def test_a_projects_servers_start_in_the_projects_folder(world: Surroundings) -> None:
    text = json.dumps({"servers": {"x": {"command": "./run.sh", "args": ["${workspaceFolder}/a"]}}})
    put(world.cwd / ".vscode" / "mcp.json", text)
    moved(world)
    folder = str(world.cwd.resolve())
    assert servers_of(world)["x"] == {"command": f"{folder}/run.sh", "args": [f"{folder}/a"], "cwd": folder}


def test_claude_code_keeps_servers_per_project(world: Surroundings) -> None:
    here = str(world.cwd.resolve())
    user = {
        "numStartups": 3,
        "mcpServers": {"all": {"type": "stdio", "command": "sh"}},
        "projects": {
            here: {"allowedTools": [], "mcpServers": {"mine": {"type": "http", "url": "http://localhost/mcp"}}},
            "/elsewhere": {"mcpServers": {"theirs": {"command": "sh"}}},
        },
    }
    path = client_file(world, "claude-code", json.dumps(user, indent=2))
    put(world.cwd / ".mcp.json", json.dumps({"mcpServers": {"shared": {"command": "sh"}}}))
    moved(world, "claude-code")
    assert sorted(servers_of(world)) == ["all", "mine", "shared"]
    after = json.loads(path.read_text())
    assert list(after["mcpServers"]) == list(after["projects"][here]["mcpServers"]) == [OWN]
    assert after["projects"]["/elsewhere"] == user["projects"]["/elsewhere"]  # type: ignore[index]
    assert after["numStartups"] == 3


def test_goose_keeps_its_own_extensions_and_comments(world: Surroundings) -> None:
    text = """# settings
GOOSE_MODEL: x
extensions:
  developer: # built in
    type: builtin
    enabled: true
  fetch:
    type: stdio
    cmd: uvx
    args: [mcp-server-fetch]
    envs: {}
    enabled: false
  # remote
  web:
    type: streamable_http
    uri: https://example.com/mcp
    timeout: 30
other: 1
"""
    path = client_file(world, "goose", text)
    plan = moved(world)
    assert plan.files[0].left == []
    assert servers_of(world)["fetch"]["disabled"] is True
    assert servers_of(world)["web"] == {"url": "https://example.com/mcp", "type": "http", "timeout": 30}
    after = yaml.safe_load(path.read_text())
    assert list(after["extensions"]) == ["developer", OWN]
    assert after["other"] == 1
    assert path.read_text().startswith(text[: text.index("  fetch:")])


def test_a_second_import_finds_nothing_new(world: Surroundings) -> None:
    client_file(world, "cursor", SIMPLE)
    moved(world)
    plan = importing.plan(None, world)
    assert plan.moved == 0
    assert importing.diff(plan) == ""


def test_a_file_changed_since_is_left_alone_unless_forced(world: Surroundings) -> None:
    path = client_file(world, "cursor", SIMPLE)
    moved(world)
    path.write_text('{"mcpServers": {}, "mine": 1}')
    (result,) = importing.restore(None, world.data_dir)
    assert not result.done
    assert "changed" in result.reason
    assert json.loads(path.read_text())["mine"] == 1
    (result,) = importing.restore(None, world.data_dir, force=True)
    assert result.done
    assert path.read_text() == SIMPLE
    assert [p for p in (world.data_dir / "backups").rglob("replaced") if "mine" in p.read_text()]


def test_restoring_twice_goes_back_two_imports(world: Surroundings) -> None:
    path = client_file(world, "cursor", SIMPLE)
    moved(world)
    between = json.loads(path.read_text())
    between["mcpServers"]["new"] = {"command": "sh", "args": ["new"]}
    path.write_text(json.dumps(between))
    second = path.read_text()
    moved(world)
    assert importing.restore(None, world.data_dir)[0].done
    assert path.read_text() == second
    assert not importing.restore(None, world.data_dir)[0].done
    assert importing.restore(None, world.data_dir, force=True)[0].done
    assert path.read_text() == SIMPLE


def test_a_file_that_changes_while_it_is_shown_is_not_overwritten(world: Surroundings) -> None:
    path = client_file(world, "cursor", SIMPLE)
    plan = importing.plan(None, world)
    path.write_text("{}")
    with pytest.raises(ConfigError, match="changed"):
        importing.apply(plan, world)
    assert path.read_text() == "{}"
    assert not world.config.exists()


def test_a_link_stays_a_link_and_a_bom_and_crlf_stay(world: Surroundings) -> None:
    real = put(world.cwd / "dotfiles" / "cursor.json", "\ufeff" + SIMPLE.replace("\n", "\r\n"))
    link = places("cursor", world.cwd, world.environ, world.platform)[-1].path
    link.parent.mkdir(parents=True)
    link.symlink_to(real)
    before = real.read_bytes()
    moved(world)
    assert link.is_symlink()
    after = real.read_bytes()
    assert after.startswith(b"\xef\xbb\xbf")
    assert after.count(b"\n") == after.count(b"\r\n")
    importing.restore(None, world.data_dir)
    assert link.is_symlink()
    assert real.read_bytes() == before


def test_a_broken_client_file_is_skipped_with_its_line(world: Surroundings) -> None:
    client_file(world, "cursor", '{\n "mcpServers": {,}\n}')
    client_file(world, "gemini", SIMPLE)
    plan = importing.plan(None, world)
    assert plan.moved == 1
    ((where, why),) = plan.skipped
    assert where.endswith("mcp.json:2")
    assert why


def test_discovery_agrees_with_fastmcp_where_both_look(world: Surroundings, monkeypatch: pytest.MonkeyPatch) -> None:
    from fastmcp.cli.discovery import discover_servers

    for client in ("claude-desktop", "cursor", "gemini", "claude-code", "goose"):
        client_file(world, client, SAMPLES[client].replace("files", f"files-{client}"))
    monkeypatch.setenv("HOME", world.environ["HOME"])
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.setattr("sys.platform", "linux")
    theirs = {(server.config_path, server.name) for server in discover_servers(world.cwd)}
    ours = {(change.path, name) for change in importing.plan(None, world).files for name in change.moved}
    assert ours == theirs
    assert len(ours) == 5


keys = st.text(alphabet="abc:#'\"{} é", min_size=1, max_size=5)
plain = st.recursive(
    st.none() | st.booleans() | st.integers(0, 99) | st.text(alphabet="ab:#-'\" \n", max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=6,
)


@given(
    st.dictionaries(keys, plain, max_size=3),
    st.dictionaries(keys, st.dictionaries(keys, plain, max_size=2), max_size=3),
    st.dictionaries(keys, st.dictionaries(keys, plain, max_size=2), min_size=1, max_size=2),
    st.booleans(),
    st.data(),
)
def test_an_edit_changes_the_servers_and_nothing_else(
    rest: dict[str, object],
    servers: dict[str, object],
    add: dict[str, object],
    as_json: bool,
    data: st.DataObject,
) -> None:
    rest.pop("mcpServers", None)
    whole = {**rest, "mcpServers": servers}
    keep = data.draw(st.lists(st.sampled_from(sorted(servers)), unique=True)) if servers else []
    indent = data.draw(st.sampled_from([None, 1, 4, "\t"]))
    flow = data.draw(st.sampled_from([None, True, False]))
    text = json.dumps(whole, indent=indent) if as_json else yaml.safe_dump(whole, default_flow_style=flow)
    before = documents.parse(text, as_json=as_json).plain()
    edited = documents.parse(
        replace_servers(text, ("mcpServers",), keep, dict(add), as_json=as_json), as_json=as_json
    ).plain()
    assert edited.pop("mcpServers") == {**{k: v for k, v in before.pop("mcpServers").items() if k in keep}, **add}
    assert edited == before
