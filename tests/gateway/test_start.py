"""What a gateway that has just started holds in memory."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from gateway_process import child_environment

# Heavy, and of no use before a call asks for them. FastMCP takes griffe for a tool's docstring, and key_value (with
# beartype) for what a session is shown, where it believes that all requests come from one client.
ABSENT = {"litellm", "presidio_analyzer", "spacy", "dbos", "boto3", "torch", "trl", "openai"}
ABSENT |= {"griffe", "beartype", "key_value", "pandas", "numpy"}
ABSENT |= {"sqlalchemy", "alembic", "psycopg", "jinja2"}
STARTED = """
import asyncio, sys
from agentflow.config import Config
from agentflow.gateway.service import Service

async def main():
    service = Service(Config(data_dir=sys.argv[1]))
    service.start()
    await service.gateway.opened.wait()
    print("tools", *service.gateway.catalogue.tools)
    print("modules", *sorted({name.partition(".")[0] for name in sys.modules}))
    await service.close()

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
    assert "fastmcp" in said["modules"]
    assert not ABSENT.intersection(said["modules"])
