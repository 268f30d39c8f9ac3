"""A policy bundle chosen while gateways run: followed by all of them, kept over a restart, refused where it fails."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from faults.conftest import evil
from gateway_process import Gateway, child_environment, running_gateway, wait_until, write_config

from agentflow.cli import main

CONFIG: dict[str, Any] = {"mcpServers": {"good": evil()}, "flow": {"enabled": False}}
ALL = 'package agentflow\n\nimport rego.v1\n\ndecision := {"allow": true}\n'
BUT = (
    'package agentflow\n\nimport rego.v1\n\ndefault decision := {"allow": false}\n\n'
    'decision := {"allow": true} if input.call.tool != "echo"\n'
)

Policy = Callable[..., dict[str, Any]]


@pytest.fixture
def bundles(tmp_path: Path) -> dict[str, Path]:
    """Folders with a bundle each."""
    for name, text in (("all", ALL), ("but", BUT)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "p.rego").write_text(text)
    return {name: tmp_path / name for name in ("all", "but")}


@pytest.fixture
def policy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Policy:
    """`agentflow policy … --json` beside the gateways of `tmp_path`."""
    monkeypatch.setenv("AGENTFLOW_DATA_DIR", str(tmp_path / "data"))
    config = write_config(CONFIG, tmp_path / "agentflow.yaml")

    def run(*words: str) -> dict[str, Any]:
        code = main(["policy", *words, "--config", str(config), "--json"])
        said: dict[str, Any] = json.loads(capsys.readouterr().out)
        assert code == (0 if said.get("ok", True) else 1)
        return said

    return run


def may_echo(gateway: Gateway) -> bool:
    """Whether policy lets the tool be called."""
    return "result" in gateway.call("good__echo", {"text": "x"})


def followed(gateway: Gateway, may: bool) -> None:
    wait_until(lambda: may_echo(gateway) is may, f"the choice to be followed ({may})", 20.0, gateway.log_text)
    assert ("good__echo" in gateway.tool_names()) is may


def events(data_dir: Path) -> list[tuple[str, str, str]]:
    """What the log says of policies: event, by, the beginning of the revision."""
    return [
        (record["event"], record.get("by", ""), record.get("subject", ""))
        for record in records(data_dir)
        if record.get("kind") == "policy"
    ]


def records(data_dir: Path) -> list[dict[str, Any]]:
    """Everything in the log, in order."""
    lines = b"".join(path.read_bytes() for path in sorted(data_dir.rglob("*.jsonl"))).splitlines()
    return [line.get("record", line) for line in map(json.loads, lines)]


def test_a_choice_is_followed_survives_a_restart_and_is_rolled_back(
    tmp_path: Path, policy: Policy, bundles: dict[str, Path]
) -> None:
    with running_gateway(CONFIG, tmp_path) as gateway:
        gateway.wait_for_tools("good__echo")
        assert may_echo(gateway)
        done = policy("upload", str(bundles["but"]), "--note", "no echo")
        assert may_echo(gateway)
        policy("activate", done["revision"][:10])
        followed(gateway, False)
        assert policy("list")["in_force"] == done["revision"]
    with running_gateway(CONFIG, tmp_path) as gateway:
        assert not may_echo(gateway)
        policy("rollback", "--to-file")
        followed(gateway, True)
        policy("rollback")
        followed(gateway, False)
    assert policy("list")["decides"] == "store"


def test_calls_in_flight_are_decided_by_the_one_policy_or_the_other_and_by_nothing_between(
    tmp_path: Path, policy: Policy, bundles: dict[str, Path]
) -> None:
    (bundles["all"] / "p.rego").write_text(ALL.replace("true}", 'true, "obligations": {"max_result_bytes": 70000}}'))
    said: set[str] = set()
    with running_gateway(CONFIG, tmp_path) as gateway:
        gateway.wait_for_tools("good__echo")
        kept = [policy("upload", str(bundles[name]))["revision"] for name in ("but", "all", "but")]
        for revision in kept:
            policy("activate", revision)
            while True:  # calls go on until this choice is followed, and through the moment it is
                answer = gateway.call("good__echo", {"text": "x"})
                said.add("ok" if "result" in answer else str(answer["error"]["data"]["type"]))
                if f"policy: {revision[:12]} is in force" in gateway.log_text().rpartition("gateway.choices: ")[2]:
                    break
    assert said <= {"ok", "unknown_name"}
    decided = [record["decision"] for record in records(tmp_path / "data") if record.get("kind") == "call"]
    pairs = {
        (each["revision"], each.get("obligations", {}).get("max_result_bytes"))
        for each in decided
        if each and each["allow"]
    }
    assert (kept[1], 70000) in pairs
    assert not {(kept[1], None), (kept[0], 70000)} & pairs


def test_two_gateways_on_one_database_follow_one_choice(
    tmp_path: Path, database: str, policy: Policy, bundles: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    env = {"STORE": database, "KEY": base64.b64encode(bytes(range(32))).decode()}
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    config = {**CONFIG, "store": {"url": "${STORE}"}, "guard": {"master_key": "${KEY}"}}
    with ExitStack() as running:
        gateways = []
        for name in ("one", "two"):
            (tmp_path / name).mkdir()
            gateways.append(running.enter_context(running_gateway(config, tmp_path / name, env=env)))
        for gateway in gateways:
            gateway.wait_for_tools("good__echo")
        write_config(config, tmp_path / "agentflow.yaml")
        policy("upload", str(bundles["but"]), "--activate")
        for gateway in gateways:
            followed(gateway, False)
        policy("rollback")
        for gateway in gateways:
            followed(gateway, True)


def test_what_cannot_be_put_in_force_leaves_what_was_and_is_recorded(
    tmp_path: Path, policy: Policy, bundles: dict[str, Path]
) -> None:
    from agentflow.config import StoreConfig
    from agentflow.store.opened import Store
    from agentflow.store.tables import POLICY_BUNDLES

    with running_gateway(CONFIG, tmp_path) as gateway:
        gateway.wait_for_tools("good__echo")
        good = policy("upload", str(bundles["but"]), "--activate")["revision"]
        followed(gateway, False)
        bad = policy("upload", str(bundles["all"]))["revision"]
        store = Store(tmp_path / "data", StoreConfig())
        with store.database().begin() as db:
            db.execute(POLICY_BUNDLES.update().where(POLICY_BUNDLES.c.revision == bad).values(body=b"broken"))
        store.close()
        policy("activate", bad)
        wait_until(lambda: "is not followed" in gateway.log_text(), "the refusal in the log", 20.0, gateway.log_text)
        assert not may_echo(gateway)
    happened = [(event, subject) for event, _, subject in events(tmp_path / "data")]
    assert ("activated", good) in happened
    assert ("refused", bad) in happened
    assert ("activated", bad) not in happened
    # It does not start by the file's policy where another was chosen.
    config = write_config(CONFIG, tmp_path / "agentflow.yaml")
    command = [sys.executable, "-m", "agentflow", "serve", "--config", str(config), "--port", "0"]
    started = subprocess.run(
        command, env=child_environment(tmp_path / "data"), capture_output=True, text=True, timeout=60
    )
    assert started.returncode == 1
    assert "rollback --to-file" in started.stderr
    policy("rollback", "--to-file")
    with running_gateway(CONFIG, tmp_path) as gateway:
        gateway.wait_for_tools("good__echo")
        assert may_echo(gateway)


def test_what_somebody_writes_into_the_database_is_not_followed_nor_started_with(
    tmp_path: Path, policy: Policy, bundles: dict[str, Path]
) -> None:
    from agentflow.config import StoreConfig
    from agentflow.store.opened import Store
    from agentflow.store.tables import POLICY_CHOICES

    def refusals() -> list[dict[str, Any]]:
        return [each for each in records(tmp_path / "data") if each.get("kind") == "policy" and "outcome" in each
                and each["outcome"] == "choice_altered"]  # fmt: skip

    store = Store(tmp_path / "data", StoreConfig())
    with running_gateway(CONFIG, tmp_path) as gateway:
        gateway.wait_for_tools("good__echo")
        policy("upload", str(bundles["but"]), "--activate")
        followed(gateway, False)
        row = {"revision": "", "time": 1.0, "chosen_by": "default/root", "seal": bytes(32)}
        with store.database().begin() as db:
            db.execute(POLICY_CHOICES.insert().values(**row))
        wait_until(lambda: len(refusals()) == 1, "the refusal of the row", 20.0, gateway.log_text)
        assert not may_echo(gateway)
        assert "default/root" not in json.dumps(refusals())
        policy("activate", policy("list")["bundles"][0]["revision"])
        wait_until(lambda: gateway.log_text().count("is in force, chosen") == 2, "the next", 20.0, gateway.log_text)
        with store.database().begin() as db:  # as if nobody had ever chosen
            db.execute(POLICY_CHOICES.delete())
        wait_until(lambda: len(refusals()) == 2, "the refusal of none", 20.0, gateway.log_text)
        assert not may_echo(gateway)
        with store.database().begin() as db:
            db.execute(POLICY_CHOICES.insert().values(**row))
    store.close()
    command = [sys.executable, "-m", "agentflow", "serve", "--config", str(tmp_path / "agentflow.yaml"), "--port", "0"]
    started = subprocess.run(
        command, env=child_environment(tmp_path / "data"), capture_output=True, text=True, timeout=60
    )
    assert started.returncode == 1
    assert "altered in the database" in started.stderr
    policy("rollback", "--to-file")
    with running_gateway(CONFIG, tmp_path) as gateway:
        gateway.wait_for_tools("good__echo")
        assert may_echo(gateway)


def test_a_refused_upload_says_where_and_is_recorded(tmp_path: Path, policy: Policy, bundles: dict[str, Path]) -> None:
    test = "package agentflow_test\n\nimport rego.v1\n\ntest_it if data.agentflow.decision.allow == false\n"
    (bundles["all"] / "p_test.rego").write_text(test)
    said = policy("upload", str(bundles["all"]))
    assert not said["ok"]
    assert said["problems"][0].startswith("p_test.rego:5: ")
    assert policy("list")["bundles"] == []
    assert [event for event, _, _ in events(tmp_path / "data")] == ["refused"]


def test_what_is_in_force_is_what_the_commands_work_with(
    tmp_path: Path, policy: Policy, bundles: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    policy("upload", str(bundles["but"]), "--activate")
    revision = policy("list")["in_force"]
    assert policy("check")["revision"] == revision
    assert policy("check", revision[:9])["revision"] == revision
    (tmp_path / "q.json").write_text(json.dumps({"call": {"tool": "echo"}}))
    code = main(["policy", "eval", str(tmp_path / "q.json"), "--config", str(tmp_path / "agentflow.yaml")])
    assert code == 1
    assert "denied (not_allowed)" in capsys.readouterr().out


def test_where_nothing_was_ever_chosen_no_database_is_opened(tmp_path: Path) -> None:
    code = (
        "import asyncio, sys\nfrom agentflow.config import Config\nfrom agentflow.gateway.service import Service\n"
        "async def main():\n"
        "    service = Service(Config(data_dir=sys.argv[1], flow={'enabled': False}))\n"
        "    service.start()\n    await service.gateway.opened.wait()\n    await asyncio.sleep(0)\n"
        "    for _ in range(3):\n        await asyncio.to_thread(service.bundles.newest)\n"
        "    print('sqlalchemy' in sys.modules)\n    await service.close()\n"
        "asyncio.run(main())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "data")],
        env=child_environment(tmp_path / "data"),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout == "False\n"
    assert not (tmp_path / "data" / "agentflow.db").exists()
