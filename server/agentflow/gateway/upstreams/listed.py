"""What a folder of tool files lists, kept on record beside them, and the connection that answers from the record.

It promises that whoever only wants to know what there is loads neither FastMCP nor the files (14 MB for those that
ship); that there is no record where any file of the folder, or what the shipped ones take and give, is another than
the recorded one; and that calls never come here.
`python -m agentflow.gateway.upstreams.listed` writes the record of the folder that ships anew.
"""

from __future__ import annotations

import asyncio
import hashlib
import sys
from pathlib import Path
from typing import Any, Final

import orjson
from mcp_types import SERVER_INFO_META_KEY

import agentflow
from agentflow.errors import METHOD_NOT_FOUND
from agentflow.gateway.upstreams.peer import Peer

JSON = dict[str, Any]

RECORD: Final = "listing.json"
LISTS: Final = ("tools/list", "resources/list", "resources/templates/list", "prompts/list")
_DISCOVER: Final = "server/discover"
_TYPES: Final = ("flow/types.py", "flow/memory.py")  # what the shipped tools take and give


def recorded(folder: Path, name: str, instructions: str | None) -> dict[str, JSON] | None:
    """The answers to `server/discover` and to each of `LISTS`, where the folder has them on record.

    Args:
        name, instructions: what the server is called, and says of itself.
    """
    try:
        kept = orjson.loads((folder / RECORD).read_bytes())
        if kept["files"] != _files(folder):
            return None
        discovered, lists = dict(kept["answers"][_DISCOVER]), {method: kept["answers"][method] for method in LISTS}
    except (OSError, ValueError, TypeError, KeyError):
        return None
    discovered["_meta"] = {SERVER_INFO_META_KEY: {"name": name, "version": agentflow.__version__}}
    if instructions:
        discovered["instructions"] = instructions
    return {_DISCOVER: discovered, **lists}


class RecordedWire:
    """A `Wire` at whose end there is a record: it answers what that holds, and no other request."""

    def __init__(self, answers: dict[str, JSON], peer: Peer) -> None:
        self._answers = answers
        self._peer = peer

    async def send(self, message: JSON) -> None:
        if "id" not in message:
            return
        answer = self._answers.get(message["method"])
        if answer is None:
            error = {"code": METHOD_NOT_FOUND, "message": "There is a listing here, and nothing else"}
            self._peer.feed({"id": message["id"], "error": error})
        else:
            self._peer.feed({"id": message["id"], "result": answer})

    def post(self, message: JSON) -> None:
        pass  # nothing that could be cancelled is ever under way

    async def close(self) -> None:
        pass


async def record(folder: Path) -> bytes:
    """What belongs into the folder's `RECORD`: asks the files themselves.

    Raises:
        AgentFlowError: they cannot be loaded.
    """
    from agentflow.config import LimitsConfig, ServerConfig
    from agentflow.gateway.upstreams.local import ToolsConnector
    from agentflow.gateway.upstreams.port import ClientIdentity

    connector = ToolsConnector("recorded", ServerConfig(type="tools", path=folder), LimitsConfig())
    try:
        peer = await connector.connect(ClientIdentity(era="modern"), "modern", lambda method, params: None)
        answers = {}
        for method in (_DISCOVER, *LISTS):
            answer = await peer.request(method, {}, None, 60.0)
            answers[method] = {key: value for key, value in answer.items() if key not in ("_meta", "instructions")}
        if connector.problems:
            raise SystemExit("\n".join(connector.problems))
    finally:
        await connector.close()
    kept = {"files": _files(folder), "answers": answers}
    return orjson.dumps(kept, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS | orjson.OPT_APPEND_NEWLINE)


def _files(folder: Path) -> dict[str, str]:
    package = Path(agentflow.__file__).parent
    files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*.py")}
    files |= {f"agentflow/{name}": package / name for name in _TYPES}
    return {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in files.items()}


def main() -> int:
    """Write the record of the tools that ship."""
    from agentflow.paths import shipped

    folder = shipped("tools")
    (folder / RECORD).write_bytes(asyncio.run(record(folder)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
