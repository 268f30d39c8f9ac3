"""A resource with personal data in its address is read by the address that was listed, in every scope of tokens."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.gateway.service_world import caller, config_of, heard, running, told

MAIL = "mina.hemmelig@kunde.example"


@pytest.mark.parametrize("scope", ["tenant", "principal", "session"])
async def test_it_is_read_by_its_token_and_by_nobody_elses(scope: str, tmp_path: Path) -> None:
    record = tmp_path / "told.jsonl"
    offer: dict[str, Any] = {"resources": [f"shop://{MAIL}"]}
    config = config_of(tmp_path, {"shop": told(record, **offer)}, guard={"vault": {"scope": scope}})
    async with running(config) as world:
        one, other = caller("operator"), caller("viewer")
        listed = await world.ask("resources/list", {}, one)
        (resource,) = listed["result"]["resources"]
        assert MAIL not in resource["uri"]
        answer = await world.ask("resources/read", {"uri": resource["uri"]}, one)
        assert "result" in answer and [each["uri"] for each in heard(record, "resources/read")] == [f"shop://{MAIL}"]
        answer = await world.ask("resources/read", {"uri": resource["uri"]}, other)
        assert ("result" in answer) == (scope == "tenant")
