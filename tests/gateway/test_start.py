"""What a gateway that has just started holds in memory."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from gateway_process import child_environment

# Of use to a call of a tool file only: what the shipped ones list is on record.
FIRST_CALL = {"fastmcp", "rich", "agentflow.flow.service"}
# Heavy, and of no use before a call asks for them. FastMCP takes griffe for a tool's docstring, and key_value (with
# beartype) for what a session is shown, where it believes that all requests come from one client.
ABSENT = {"litellm", "presidio_analyzer", "spacy", "dbos", "boto3", "torch", "trl", "openai"}
ABSENT |= {"griffe", "beartype", "key_value", "pandas", "numpy"}
ABSENT |= {"sqlalchemy", "alembic", "psycopg", "jinja2"}
STARTED = """
import asyncio, sys
from agentflow.config import Config, LimitsConfig, ServerConfig
from agentflow.gateway.service import Service
from agentflow.gateway.upstreams.local import ToolsConnector
from agentflow.gateway.upstreams.port import ClientIdentity
from agentflow.paths import shipped

async def main():
    service = Service(Config(data_dir=sys.argv[1]))
    service.start()
    await service.gateway.opened.wait()
    print("tools", *service.gateway.catalogue.tools)
    print("idle", *sorted(sys.modules))
    await service.close()
    tools = ToolsConnector("flow", ServerConfig(path=shipped("tools")), LimitsConfig())
    await tools.connect(ClientIdentity(era="modern"), "modern", lambda method, params: None)
    await tools.close()
    print("called", *sorted(sys.modules))

asyncio.run(main())
"""


def test_a_started_gateway_with_its_flow_tools_has_not_imported_what_it_does_not_need(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", STARTED, str(tmp_path / "data")],
        env=child_environment(tmp_path / "data"),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    said = {line.split()[0]: line.split()[1:] for line in done.stdout.splitlines()}
    assert "solver" in said["tools"]
    assert not (ABSENT | FIRST_CALL).intersection(said["idle"])
    assert set(said["called"]) >= FIRST_CALL
    assert not ABSENT.intersection(said["called"])


ASKED = """
import asyncio, sys
from agentflow.config import Config
from agentflow.errors import ModelUnavailable
from agentflow.gateway.client import ClientEnd
from agentflow.gateway.models import Asked
from agentflow.gateway.service import Service
from agentflow.identity.principal import Principal

async def main():
    account = {"kind": "openai_compatible", "base_url": "http://127.0.0.1:1/v1", "models": [{"model": "m"}]}
    service = Service(Config.model_validate({"data_dir": sys.argv[1], "models": {"providers": {"p": account}}}))
    service.start()
    await service.gateway.opened.wait()
    client = ClientEnd(Principal("p", roles=("agent",)), None, "http", "modern", "t", {}, {})
    asked = Asked("models/chat", "m", {"messages": [{"role": "user", "content": "hi"}]})
    try:
        await service.models.ask(asked, client)
    except ModelUnavailable as error:
        print("refused", *error.data["attempts"])
    print("modules", *sorted({name.partition(".")[0] for name in sys.modules}))
    await service.close()

asyncio.run(main())
"""


def test_a_gateway_that_has_asked_a_model_has_imported_nothing_that_asks_models(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", ASKED, str(tmp_path / "data")],
        env=child_environment(tmp_path / "data"),
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    said = {line.split()[0]: line.split()[1:] for line in done.stdout.splitlines()}
    assert said["refused"][0] == "p:m:"
    absent = {"litellm", "openai", "boto3", "botocore", "tiktoken", "torch", "numpy", "h2", "fastmcp"}
    assert not absent.intersection(said["modules"])
