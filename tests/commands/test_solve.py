"""`agentflow solve` against a running gateway, and with one of its own."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agentflow import cli
from tests.gateway_process import Gateway, free_port, running_gateway, write_config

SHOP = """
from typing import Any

from fastmcp.tools import tool

STOCK = {"lamp": 12.5, "desk": 310.0}


@tool(description="One product of the shop: name and price.", annotations={"readOnlyHint": True})
async def get_product(product_name: str) -> dict[str, Any]:
    return {"product_name": product_name, "price": STOCK[product_name]}
"""
QUESTION = 'What is the price of the product "lamp"?'


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("tools")
    (folder / "shop.py").write_text(SHOP)
    return {"servers": {"shop": {"path": str(folder), "trust": "trusted"}}}


def run(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, str, str]:
    code = cli.main(list(argv))
    captured = capsys.readouterr()
    return code, captured.out, captured.err


@pytest.fixture(scope="module")
def gateway(shop: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with running_gateway(shop, tmp_path_factory.mktemp("gateway")) as running:
        yield running


def test_a_question_is_answered_by_the_running_gateway(capsys: pytest.CaptureFixture[str], gateway: Gateway) -> None:
    code, out, err = run(capsys, "solve", QUESTION, "--url", gateway.base)
    assert (code, out) == (0, "12.5\n")
    assert "turn 1 of 5" in err
    assert "from shop__get_product" in err


def test_as_a_document_it_is_the_whole_solution(capsys: pytest.CaptureFixture[str], gateway: Gateway) -> None:
    url = gateway.base
    argv = ("solve", QUESTION, "--pattern", "tree-of-thought", "--max-turns", "3", "--url", url, "--json")
    code, out, _ = run(capsys, *argv)
    solution = json.loads(out)
    assert (code, solution["answer"], solution["pattern"]) == (0, "12.5", "tree-of-thought")
    assert solution["evidence"][0]["tool"] == "shop__get_product"


def test_what_cannot_be_answered_exits_with_one_and_says_why(
    capsys: pytest.CaptureFixture[str], gateway: Gateway
) -> None:
    code, out, err = run(capsys, "solve", "Who won the race?", "--url", gateway.base)
    assert (code, out) == (1, "")
    assert "no answer: " in err


def test_without_a_gateway_one_is_started_for_the_question(
    capsys: pytest.CaptureFixture[str], shop: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AGENTFLOW_DATA_DIR", str(tmp_path / "data"))
    config = write_config({**shop, "serve": {"port": free_port()}}, tmp_path / "agentflow.yaml")
    code, out, err = run(capsys, "solve", QUESTION, "--config", str(config))
    assert (code, out) == (0, "12.5\n"), err


def test_an_address_where_nobody_is_starts_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(capsys, "solve", QUESTION, "--url", f"http://127.0.0.1:{free_port()}")
    assert code == 1
    assert "no gateway answers" in err


@pytest.mark.parametrize(
    "argv", [pytest.param(("solve", " "), id="no-question"), pytest.param(("solve", "x", "--know", "y"), id="no-value")]
)
def test_wrong_usage_exits_with_two(capsys: pytest.CaptureFixture[str], argv: tuple[str, ...]) -> None:
    assert run(capsys, *argv)[0] == 2
