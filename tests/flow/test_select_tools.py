"""Which of two thousand tools a planner is shown."""

from __future__ import annotations

import asyncio
import threading

import pytest

from agentflow.flow import select_tools as module
from agentflow.flow.port import ToolView
from agentflow.flow.select_tools import select_tools
from benchmarks.tool_selection import measured, recall
from benchmarks.tool_selection_set import Asked, catalogue

TOOLS, ASKED = catalogue()


def _view(name: str, description: str, server: str = "s", required: tuple[str, ...] = ()) -> ToolView:
    schema = {"type": "object", "properties": {r: {"type": "string"} for r in required}, "required": list(required)}
    return ToolView(name, "", description, schema, None, {}, server)


def _names(question: str, *more: ToolView, limit: int = 20, **kw: list[str]) -> list[str]:
    return [tool.name for tool in select_tools(question, [*TOOLS, *more], limit, **kw)]


def test_a_few_tools_are_all_shown_as_they_come() -> None:
    assert select_tools("anything", TOOLS[:20], 20) == TOOLS[:20]
    assert select_tools("anything", [], 20) == []


def test_no_more_than_the_limit_and_none_twice() -> None:
    for limit in (1, 5, 20):
        shown = select_tools("Which invoices do we have and who is the supplier?", TOOLS, limit)
        assert len(shown) == limit == len({tool.name for tool in shown})
        assert all(tool in TOOLS for tool in shown)


async def test_a_large_catalogue_is_read_beside_the_event_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    read_in: list[int] = []

    class Shelf(module._Shelf):
        def __init__(self, tools: list[ToolView]) -> None:
            read_in.append(threading.get_ident())
            super().__init__(tools)

    monkeypatch.setattr(module, "_Shelf", Shelf)
    tools = [*TOOLS[:300], _view("another", "One that makes this catalogue a new one.")]
    await asyncio.gather(*(module.read(tools) for _ in range(4)))
    assert len(read_in) == 1
    assert read_in[0] != threading.get_ident()
    select_tools("which invoices are unpaid", tools, 20)
    assert len(read_in) == 1
    await module.read(tools[200:])
    assert len(read_in) == 2
    await module.read(tools[250:])
    assert len(read_in) == 2, "a small one is read in a moment, by whoever needs it"


def test_the_right_one_of_two_thousand_is_shown() -> None:
    asked = [one for one in ASKED if not one.reworded][:120]
    found = recall(asked, lambda q: [tool.name for tool in select_tools(q, TOOLS, 20)])
    assert len(TOOLS) == 2_000
    assert found >= 0.95


def test_meaning_finds_what_words_do_not() -> None:
    figures = measured(TOOLS, [one for one in ASKED if one.reworded][:60])
    assert figures["both"] > figures["words (BM25)"]


@pytest.mark.parametrize(
    ("question", "tool"),
    [
        ("Where does my parcel stay so long?", "track_shipment"),
        ("Is it going to rain tomorrow?", "weather_forecast"),
        ("turn the lamp in the kitchen off", "switch_light"),
    ],
    ids=["parcel", "rain", "lamp"],
)
def test_a_tool_is_found_by_what_it_means(question: str, tool: str) -> None:
    offered = [
        _view("track_shipment", "Current position of a package that is being delivered."),
        _view("weather_forecast", "Temperature, wind and precipitation of the coming days for a city."),
        _view("switch_light", "Sets a smart home light to on or to off."),
    ]
    some = [*offered, *(_view(f"t{n}", "Rotates a certificate of the cluster.") for n in range(40))]
    assert tool in [t.name for t in select_tools(question, some, 3)]


def test_each_part_of_a_question_gets_its_tools() -> None:
    question = "What is the exchange rate of the franc, and then which vaccination does patient 7 lack?"
    shown = _names(question)
    assert any("exchange_rate" in n or "exchange rate" in n or "ExchangeRate" in n for n in shown)
    assert any("vaccination" in n.lower() for n in shown)


def test_tools_of_an_earlier_run_are_among_them() -> None:
    odd = _view("zz_odd_one", "Nothing that a question would name.")
    assert "zz_odd_one" in _names("Which invoices are open?", odd, known=["zz_odd_one", "not there"])
    assert "zz_odd_one" not in _names("Which invoices are open?", odd)


def test_what_failed_is_looked_for_as_well() -> None:
    assert any("thermostat" in n.lower() for n in _names("Which invoices are open?", also=["set the thermostat"]))


def test_the_gateways_own_compute_is_always_shown() -> None:
    own = _view("compute", "Run Python code.", server="agentflow")
    assert "compute" in _names("Which invoices are open?", own)


def test_a_tool_that_gives_an_id_comes_with_the_one_that_wants_it() -> None:
    crowd = [_view(f"rebate_{n}", "Rebate of a customer with the loyalty programme.") for n in range(30)]
    wants = _view("rebate_now", "Rebate of a customer with the loyalty programme today.", required=("wallet_id",))
    gives = _view("find_wallet", "Looks one up.")
    shown = select_tools("rebate of a customer in the loyalty programme today", [*crowd, wants, gives], 10)
    assert {"rebate_now", "find_wallet"} <= {tool.name for tool in shown}


def test_the_choice_is_the_same_each_time_and_follows_a_change() -> None:
    question = "Which invoices are open?"
    assert _names(question) == _names(question)
    changed = [ToolView(t.name, t.title, "Plays a song.", t.input_schema, None, {}, t.server) for t in TOOLS]
    assert [t.name for t in select_tools("play me some music", changed, 5)] != _names("play me some music", limit=5)


def test_the_questions_are_drawn_alike_each_time() -> None:
    assert catalogue() == catalogue()
    assert catalogue(seed=8) != catalogue()
    assert recall([], lambda q: []) == 0.0
    assert recall([Asked("q", "t", False)], lambda q: ["t"]) == 1.0
