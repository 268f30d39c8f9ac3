"""The configuration file: what it may say, what is reported when it does not, and how an edit is followed."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest

from agentflow.config import Config
from agentflow.errors import ConfigError
from agentflow.pipeline.chain import DEFAULT_ORDER
from agentflow.settings import file as config_file
from agentflow.settings import secrets_env
from agentflow.settings.file import Problem, Watch

NOTHING: Mapping[str, str] = {}
PATH = {"PATH": os.environ["PATH"]}


def write(folder: Path, text: str, name: str = "agentflow.yaml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def problems(folder: Path, text: str, environ: Mapping[str, str] = PATH, name: str = "agentflow.yaml") -> list[Problem]:
    return config_file.check(write(folder, text, name), {"AGENTFLOW_DATA_DIR": str(folder / "data"), **environ})


def test_a_file_with_one_server_is_enough(tmp_path: Path) -> None:
    config = config_file.load(write(tmp_path, "mcpServers: {x: {type: http, url: 'http://127.0.0.1:1/mcp'}}"), NOTHING)
    assert config.mcp_servers["x"].url == "http://127.0.0.1:1/mcp"
    assert config.mcp_servers["x"].trust == "untrusted"


def test_an_empty_file_means_the_defaults(tmp_path: Path) -> None:
    assert config_file.load(write(tmp_path, "# nothing\n"), NOTHING) == Config()


def test_a_section_whose_lines_are_comments_is_no_problem(tmp_path: Path) -> None:
    assert problems(tmp_path, "serve:\n  # port: 1\nmcpServers:\n") == []


def test_a_relative_data_dir_starts_where_it_was_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "conf").mkdir()
    monkeypatch.chdir(tmp_path)
    path = write(tmp_path / "conf", "data_dir: state")
    assert config_file.load(path, NOTHING).data_dir == tmp_path / "conf" / "state"
    assert config_file.load(path, {"AGENTFLOW_DATA_DIR": "state"}).data_dir == tmp_path / "state"


def test_the_stages_that_may_be_named_are_those_of_the_chain(tmp_path: Path) -> None:
    order = ", ".join(DEFAULT_ORDER)
    stages = ", ".join(f"{name}: {{mode: audit}}" for name in DEFAULT_ORDER)
    assert problems(tmp_path, f"pipeline: {{order: [{order}], stages: {{{stages}}}}}") == []
    found = problems(tmp_path, "pipeline: {stages: {record: {mode: 'off'}}}")
    assert [p.path for p in found] == ["pipeline.stages.record"]


def test_kinds_of_servers_are_inferred(tmp_path: Path) -> None:
    (tmp_path / "spec.json").write_text("{}")
    text = f"""
mcpServers:
  a: {{command: {sys.executable}, args: [x.py], disabled: true, autoApprove: [t]}}
  b: {{url: https://example.com/sse}}
  c: {{url: https://example.com/mcp, alwaysAllow: [t]}}
  d: {{spec: spec.json}}
  e: {{path: .}}
"""
    config = config_file.load(write(tmp_path, text), NOTHING)
    assert {name: server.type for name, server in config.mcp_servers.items()} == {
        "a": "stdio",
        "b": "sse",
        "c": "http",
        "d": "openapi",
        "e": "tools",
    }
    assert config.mcp_servers["a"].disabled
    assert config.mcp_servers["a"].auto_approve == config.mcp_servers["c"].auto_approve == ("t",)


def test_every_problem_is_reported_at_once_with_line_and_fix(tmp_path: Path) -> None:
    text = """\
serve: {host: 0.0.0.0, prot: 1}
mcpServers:
  web:
    type: http
    url: https://user:pw@example.com/mcp
    timeot: 3
  bad: {url: "ftp://example.com"}
  none: {}
  off: {command: sh}
  off: {command: sh}
limits: {max_body: lots, max_depth: 0}
pipeline: {order: [limit, scren], stages: {screen: {mode: maybe}}}
guard: {flag_threshold: 0.9}
tols: []
policy: {bundle: nowhere}
tools: [nowhere]
"""
    found = problems(tmp_path, text)
    assert [(p.line, p.path) for p in found] == [
        (1, "serve.prot"),
        (1, "serve.host"),
        (5, "mcpServers.web.url"),
        (6, "mcpServers.web.timeot"),
        (7, "mcpServers.bad.url"),
        (8, "mcpServers.none"),
        (10, "mcpServers.off"),
        (11, "limits.max_body"),
        (11, "limits.max_depth"),
        (12, "pipeline.stages.screen.mode"),
        (12, "pipeline.order[1]"),
        (13, "guard.flag_threshold"),
        (14, "tols"),
        (15, "policy.bundle"),
        (16, "tools[0]"),
    ]
    assert all(p.fix and p.file.endswith("agentflow.yaml") for p in found)
    assert {p.path for p in found if p.severity == "warning"} == {"serve.host"}
    fixes = {p.path: p.fix for p in found}
    assert fixes["serve.prot"] == "did you mean `port`?"
    assert fixes["tols"] == "did you mean `tools`?"
    assert fixes["pipeline.order[1]"] == "did you mean `screen`?"


def test_a_broken_file_is_one_problem_at_its_line(tmp_path: Path) -> None:
    for name, text in (("a.yaml", "a: 1\nb: [\n"), ("b.json", '{"mcpServers":\n {"x" 1}}'), ("c.yaml", "- a\n- b\n")):
        (problem,) = problems(tmp_path, text, name=name)
        assert problem.line in (1, 2, 3)
        assert problem.fix
    (tmp_path / "d.yaml").write_bytes(b"a: 1\nb: \xff\n")
    (problem,) = config_file.check(tmp_path / "d.yaml", NOTHING)
    assert problem.line == 2


def test_a_named_file_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        config_file.load(tmp_path / "none.yaml", NOTHING)
    assert "no such file" in caught.value.data["problems"][0]["message"]


def test_load_raises_with_the_problems_as_json(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        config_file.load(write(tmp_path, "serve: {prot: 1}\nlimits: {max_body: 0}\n"), NOTHING)
    assert [p["line"] for p in json.loads(json.dumps(caught.value.payload()))["problems"]] == [1, 2]


@pytest.mark.parametrize(
    "text",
    [
        "auth: {api_keys: [{id: a, key: hunter2}]}",
        "auth: {api_keys: [{id: a, key: 12345}]}",
        "auth: {api_keys: [{id: a, key: '${K:-hunter2}'}]}",
        "mcpServers: {x: {url: 'http://localhost/mcp', credentials: {Authorization: Bearer hunter2}}}",
        "flow: {api_key: hunter2}",
        f"guard: {{master_key: {base64.b64encode(bytes(32)).decode()}}}",
    ],
)
def test_a_secret_written_into_the_file_is_an_error_that_does_not_repeat_it(tmp_path: Path, text: str) -> None:
    found = problems(tmp_path, text)
    assert "${NAME}" in found[0].fix
    assert found[0].severity == "error"
    assert not [p for p in found if "hunter2" in str(p) or "12345" in str(p)]


def test_secrets_come_from_the_environment_or_secrets_env(tmp_path: Path) -> None:
    data = tmp_path / "data"
    secrets_env.add(data, {"B": "from file", "A": "from file"})
    text = "data_dir: data\nauth: {api_keys: [{id: a, key: '${A}'}, {id: b, key: '${B}'}]}"
    config = config_file.load(write(tmp_path, text), {"A": "from environment"})
    keys = [key.key.get_secret_value() for key in config.auth.api_keys if key.key]
    assert keys == ["from environment", "from file"]
    assert "from environment" not in repr(config)


def test_a_missing_variable_is_an_error_but_only_a_warning_in_a_disabled_server(tmp_path: Path) -> None:
    text = "mcpServers:\n  a: {command: sh, env: {X: '${NOPE}'}}\n  b: {command: sh, disabled: true, args: ['${NO}']}\n"
    assert [(p.line, p.severity) for p in problems(tmp_path, text)] == [(2, "error"), (3, "warning")]


def test_what_looks_like_a_secret_in_a_clients_block_is_a_warning(tmp_path: Path) -> None:
    text = "mcpServers: {a: {command: sh, env: {API_TOKEN: abcdefghijk, LOG: debug}}}"
    (problem,) = problems(tmp_path, text)
    assert (problem.severity, problem.fix) == ("warning", "use ${API_TOKEN}")


def test_a_readable_secrets_file_is_a_warning(tmp_path: Path) -> None:
    secrets_env.add(tmp_path / "data", {"A": "1"})
    (tmp_path / "data" / "secrets.env").chmod(0o644)
    (problem,) = problems(tmp_path, "")
    assert problem.severity == "warning"
    assert "chmod 600" in problem.fix


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    path = write(tmp_path, "serve: {port: 1, path: /x}\nmcpServers: {GitHub: {url: 'http://localhost/mcp'}}\n")
    environ = {
        "AGENTFLOW_SERVE__PORT": "9000",
        "AGENTFLOW_TOOLS": json.dumps([str(tmp_path)]),
        "AGENTFLOW_MCP_SERVERS__GITHUB__TIMEOUT": "5",
        "MCPSERVERS": "{}",
        "PORT": "7",
    }
    config = config_file.load(path, environ)
    assert (config.serve.port, config.serve.path, config.tools) == (9000, "/x", (tmp_path,))
    assert list(config.mcp_servers) == ["GitHub"]
    assert config.mcp_servers["GitHub"].timeout == 5


def test_a_bad_variable_is_reported_by_its_name(tmp_path: Path) -> None:
    environ = {"AGENTFLOW_SERVE__PORT": "x", "AGENTFLOW_TOOLS": "[", "AGENTFLOW_SERV__PATH": "/m", **PATH}
    found = {p.file: (p.severity, p.fix) for p in problems(tmp_path, "", environ)}
    assert found == {
        "environment (AGENTFLOW_SERVE__PORT)": ("error", "write a whole number"),
        "environment (AGENTFLOW_TOOLS)": ("error", 'write a list as ["a"], a mapping as {"a": 1}'),
        "environment (AGENTFLOW_SERV__PATH)": ("warning", "did you mean AGENTFLOW_SERVE__PATH?"),
    }


def test_relative_paths_start_at_the_files_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in ("conf", "conf/tools", "conf/policies", "conf/srv", "elsewhere"):
        (tmp_path / folder).mkdir()
    (tmp_path / "conf" / "key").write_text("k")
    (tmp_path / "conf" / "key").chmod(0o600)
    text = """
data_dir: state
tools: [tools]
policy: {bundle: ./policies}
auth: {api_keys: [{id: a, key_file: key}]}
mcpServers:
  a: {command: sh}
  b: {command: sh, cwd: srv}
  c: {path: tools, namespace: c}
"""
    path = write(tmp_path / "conf", text)
    monkeypatch.chdir(tmp_path / "elsewhere")
    config = config_file.load(Path("../conf/agentflow.yaml"), PATH)
    base = path.parent
    assert config.data_dir == base / "state"
    assert config.tools == (base / "tools",)
    assert config.policy.bundle == base / "policies"
    assert config.auth.api_keys[0].key_file == base / "key"
    assert [config.mcp_servers[name].cwd for name in "ab"] == [base, base / "srv"]
    assert config.mcp_servers["c"].path == base / "tools"


def test_servers_that_would_show_the_same_names_are_refused(tmp_path: Path) -> None:
    text = """
mcpServers:
  a: {url: 'http://localhost/1', aliases: {x: shown}}
  b: {url: 'http://localhost/2', namespace: a}
  c: {url: 'http://localhost/3', namespace: '', aliases: {y: shown}}
  d: {url: 'http://localhost/4', namespace: ''}
  e: {url: 'http://localhost/5', namespace: a, disabled: true}
"""
    assert [p.path for p in problems(tmp_path, text)] == ["mcpServers.b.namespace", "mcpServers.c.aliases.y"]


def test_a_command_that_is_not_there_is_a_warning(tmp_path: Path) -> None:
    (problem,) = problems(tmp_path, "mcpServers: {a: {command: no-such-program-here}}")
    assert (problem.severity, problem.path) == ("warning", "mcpServers.a.command")


def test_beyond_loopback_callers_must_be_known(tmp_path: Path) -> None:
    key = {"K": "secret", **PATH}
    assert problems(tmp_path, "serve: {host: '::1'}", key) == []
    assert [p.path for p in problems(tmp_path, "serve: {host: '::'}", key)] == ["serve.host"]
    assert problems(tmp_path, "serve: {host: '::'}\nauth: {api_keys: [{id: a, key: '${K}'}]}", key) == []


def test_callers_need_keys_of_their_own(tmp_path: Path) -> None:
    text = "auth: {api_keys: [{id: a, key: '${K}'}, {id: a, key: '${K}'}, {id: c}, {id: d, key: '${E}'}]}"
    found = [(p.path, p.severity) for p in problems(tmp_path, text, {"K": "1", "E": "", **PATH})]
    assert found == [("auth.api_keys[2]", "error")]
    text = text.replace(", {id: c}", "")
    found = [(p.path, p.severity) for p in problems(tmp_path, text, {"K": "1", "E": "", **PATH})]
    assert found == [
        ("auth.api_keys[1].id", "error"),
        ("auth.api_keys[1].key", "error"),
        ("auth.api_keys[2].key", "error"),
    ]


def test_a_vs_code_file_serves_as_it_is(tmp_path: Path) -> None:
    text = """{
  // comments and trailing commas, as VS Code writes them
  "inputs": [{"id": "k"}],
  "servers": {"x": {"type": "http", "url": "http://localhost/mcp", "gallery": true}},
}"""
    path = write(tmp_path, text, "mcp.json")
    assert list(config_file.load(path, NOTHING).mcp_servers) == ["x"]
    found = config_file.check(path, NOTHING)
    assert [(p.path, p.line, p.severity) for p in found] == [
        ("inputs", 3, "warning"),
        ("mcpServers.x.gallery", 4, "warning"),
    ]


def test_the_gateway_is_never_put_behind_itself(tmp_path: Path) -> None:
    text = json.dumps(
        {
            "mcpServers": {
                "agentflow": {"command": "/opt/bin/agentflow", "args": ["serve", "--stdio"]},
                "module": {"command": "python", "args": ["-m", "agentflow", "serve", "--stdio"]},
                "x": {"url": "http://localhost/mcp"},
            }
        }
    )
    assert list(config_file.load(write(tmp_path, text, "mcp.json"), NOTHING).mcp_servers) == ["x"]


def test_without_a_file_the_usual_places_are_searched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = tmp_path / "data"
    data.mkdir()
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    environ = {"AGENTFLOW_DATA_DIR": str(data)}
    assert config_file.find(environ) is None
    assert config_file.load(None, environ).data_dir == data
    order = [data / "agentflow.yaml", work / "mcp.json", work / "agentflow.yml", work / "agentflow.yaml"]
    for path in order:
        path.write_text("{}")
        assert config_file.find(environ) == path


def test_what_is_shown_names_variables_instead_of_their_values(tmp_path: Path) -> None:
    text = "mcpServers: {a: {command: sh, env: {T: '${T}'}, args: ['--x=${T}']}}\nflow: {api_key: '${K}'}"
    shown = config_file.effective(write(tmp_path, text), {"T": "tiger-secret", "K": "key-secret", **PATH})
    assert shown["mcpServers"]["a"]["env"] == {"T": "${T}"}
    assert shown["mcpServers"]["a"]["args"] == ["--x=${T}"]
    assert "tiger-secret" not in json.dumps(shown)
    assert "key-secret" not in json.dumps(shown)


def test_the_schema_describes_every_key() -> None:
    schema = config_file.schema()
    assert "mcpServers" in schema["properties"]
    blank = [
        f"{name}.{key}"
        for name, part in {"": schema, **schema["$defs"]}.items()
        for key, value in part["properties"].items()
        if not value.get("description")
    ]
    assert blank == []


async def _next(changes: AsyncIterator[Config | list[Problem]]) -> Config | list[Problem]:
    return await asyncio.wait_for(anext(changes), 30)


async def test_an_edit_is_followed_and_a_broken_one_reported(tmp_path: Path) -> None:
    path = write(tmp_path, "data_dir: data\nserve: {port: 1}\n")
    environ = {"K": "1"}
    watch = Watch(path, environ, config_file.load(path, environ), interval=0.01)
    changes = aiter(watch)

    path.write_text("data_dir: data\nserve: {prot: 2}\n")
    broken = await _next(changes)
    assert isinstance(broken, list)
    assert broken[0].path == "serve.prot"

    path.write_text("data_dir: data\nserve: {port: 3}\n")
    assert (await _next(changes)).serve.port == 3  # type: ignore[union-attr]

    other = write(tmp_path, "data_dir: data\nflow: {api_key: '${S:-}'}\nserve: {port: 4}\n", "other.yaml")
    other.replace(path)  # as an editor saves: a new file under the old name
    assert (await _next(changes)).serve.port == 4  # type: ignore[union-attr]

    secrets_env.add(tmp_path / "data", {"S": "new"})
    changed = await _next(changes)
    assert isinstance(changed, Config)
    assert changed.flow.api_key is not None
    assert changed.flow.api_key.get_secret_value() == "new"

    path.unlink()
    gone = await _next(changes)
    assert isinstance(gone, list)
    assert "no such file" in gone[0].message


async def test_an_edit_before_the_first_look_is_not_missed(tmp_path: Path) -> None:
    path = write(tmp_path, "serve: {port: 1}\n")
    current = config_file.load(path, NOTHING)
    path.write_text("serve: {port: 2}\n")
    changed = await _next(aiter(Watch(path, NOTHING, current, interval=0.01)))
    assert isinstance(changed, Config)
    assert changed.serve.port == 2


@pytest.mark.parametrize("key", ["bundle", "layers"])
async def test_an_edit_of_the_policy_s_files_is_followed(tmp_path: Path, key: str) -> None:
    folder = tmp_path / "policies"
    (folder / "a").mkdir(parents=True)
    path = write(tmp_path, f"policy: {{{key}: {'./policies' if key == 'bundle' else '[./policies]'}}}\n")
    current = config_file.load(path, NOTHING)
    changes = aiter(Watch(path, NOTHING, current, interval=0.01))
    waiting = asyncio.ensure_future(anext(changes))
    await asyncio.sleep(0.1)
    assert not waiting.done()
    (folder / "a" / "p.rego").write_text("package a\n")
    assert await asyncio.wait_for(waiting, 30) == current
    (folder / "a" / "p.rego").write_text("package a.b\n")
    assert await _next(changes) == current


async def test_a_touched_file_changes_nothing(tmp_path: Path) -> None:
    path = write(tmp_path, "serve: {port: 1}\n")
    changes = aiter(Watch(path, NOTHING, config_file.load(path, NOTHING), interval=0.01))
    waiting = asyncio.ensure_future(anext(changes))
    os.utime(path, (1, 1))
    await asyncio.sleep(0.2)
    assert not waiting.done()
    path.write_text("serve: {port: 2}\n")
    changed = await asyncio.wait_for(waiting, 30)
    assert isinstance(changed, Config)
