"""What a token costs: exact, of the right model, and unknown where a table says nothing that can be."""

from __future__ import annotations

import json
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentflow.cli import main
from agentflow.config_models import ModelConfig, PriceConfig, ProviderConfig
from agentflow.errors import ConfigError
from agentflow.models.fleet import Price
from agentflow.models.money import prices
from agentflow.models.money.prices import Facts, PriceTable, own_prices

M = 1_000_000


def per_million(price: Price | None) -> tuple[float, float, float]:
    """US dollars for a million tokens of prompt, answer and cached prompt."""
    assert price is not None
    return float(price.input / 1000), float(price.output / 1000), float(price.cached_input / 1000)


def of(table: PriceTable, kind: str, model: str, region: str | None = None, **more: Any) -> Facts:
    config: dict[str, Any] = {"kind": kind, **more}
    if kind in ("openai_compatible", "vllm", "azure"):
        config["base_url"] = "http://models.test"
    return table.of("p", ProviderConfig(**config), ModelConfig(model=model), region)


@pytest.fixture(scope="module")
def installed() -> PriceTable:
    return PriceTable.load()


@pytest.mark.parametrize(
    ("kind", "model", "expected"),
    [
        ("openai", "gpt-4o", (2.5, 10.0, 1.25)),
        ("anthropic", "claude-haiku-4-5", (1.0, 5.0, 0.1)),
        ("bedrock", "us.anthropic.claude-sonnet-4-5-20250929-v1:0", (3.3, 16.5, 0.33)),
        ("bedrock", "us.anthropic.claude-haiku-4-5-20251001-v1:0", (1.1, 5.5, 0.11)),
        ("bedrock", "qwen.qwen3-32b-v1:0", (0.15, 0.6, 0.15)),
        ("gemini", "gemini-2.5-flash", (0.3, 2.5, 0.03)),
        ("cohere", "command-r-plus-08-2024", (2.5, 10.0, 2.5)),
        ("openai", "text-embedding-3-small", (0.02, 0.0, 0.02)),
    ],
)
def test_models_of_the_providers_have_the_prices_of_litellms_table(
    installed: PriceTable, kind: str, model: str, expected: tuple[float, float, float]
) -> None:
    facts = of(installed, kind, model)
    assert facts.source == "litellm" and facts.price is not None
    row = prices._litellm()[model if kind != "gemini" else f"gemini/{model}"]
    assert facts.price.input == Fraction(row["input_cost_per_token"]) * 10**9
    assert facts.price.input.denominator == 1 or kind == "openai", "the table's decimals, not what floats make of them"
    assert facts.context_window
    if facts.price.input * 1000 == Fraction(str(expected[0])) * M:  # prices change; the shape does not
        assert per_million(facts.price) == expected


def test_long_prompts_and_what_a_provider_keeps_cost_more_where_it_says_so(installed: PriceTable) -> None:
    price = of(installed, "bedrock", "us.anthropic.claude-sonnet-4-5-20250929-v1:0").price
    assert price is not None and price.beyond == 200_000 and price.dearer is not None
    assert price.cost(200_000, 0) == price.input * 200_000
    assert price.cost(200_001, 10) == price.dearer.input * 200_001 + price.dearer.output * 10
    assert price.written is not None and price.cost(100, 0, written=100) == price.written * 100
    assert price.most(100, 10) == price.written * 100 + price.output * 10
    assert price.most(300_000, 0) >= price.cost(300_000, 0, written=300_000)


def test_what_runs_on_ones_own_machines_is_free_and_what_nobody_knows_is_not(installed: PriceTable) -> None:
    for kind in ("ollama", "vllm", "local"):
        facts = of(installed, kind, "anything")
        assert facts.source == "own machine" and facts.price is not None and facts.price.cost(M, M) == 0
    for kind, model in (("openai_compatible", "gpt-4o"), ("openai", "gpt-none"), ("gemini", "sample_spec")):
        assert of(installed, kind, model).price is None, model


def test_what_the_operator_says_goes_first(tmp_path: Path) -> None:
    file = tmp_path / "prices.yaml"
    file.write_text("gpt-4o: {input: 1, output: 2}\np:mine: {input: 0.15, output: 0.60, cached_input: 0.015}\n")
    table = PriceTable.load(file)
    assert per_million(of(table, "openai", "gpt-4o").price) == (1, 2, 1)
    assert of(table, "openai", "gpt-4o").context_window, "what else is known stays known"
    assert per_million(of(table, "openai_compatible", "mine").price) == (0.15, 0.6, 0.015)
    model = ModelConfig(model="gpt-4o", price=PriceConfig(input=Decimal(7)))
    facts = table.of("p", ProviderConfig(kind="openai"), model)
    assert facts.source == "model" and per_million(facts.price) == (7, 0, 7)


def test_a_model_in_its_region_may_cost_otherwise() -> None:
    row = {"litellm_provider": "bedrock", "mode": "chat", "output_cost_per_token": Decimal("2e-6")}
    table = PriceTable(
        {},
        {
            "bedrock/eu-west-1/m.one": {**row, "input_cost_per_token": Decimal("3e-6")},
            "m.one": {**row, "input_cost_per_token": Decimal("1e-6")},
        },
    )
    assert per_million(of(table, "bedrock", "m.one", "eu-west-1").price)[0] == 3
    assert per_million(of(table, "bedrock", "m.one", "us-east-1").price)[0] == 1
    assert per_million(of(table, "bedrock", "eu.m.one").price)[0] == 1


@pytest.mark.parametrize(
    "wrong",
    [
        {"input_cost_per_token": -1e-6}, {"input_cost_per_token": "free"}, {"input_cost_per_token": True},
        {"input_cost_per_token": None}, {"input_cost_per_token": 5}, {"output_cost_per_token": []},
        {"output_cost_per_token": None}, {"cache_read_input_token_cost": -1}, {"tiered_pricing": [{"range": "x"}]},
        {"tiered_pricing": [1]}, {"input_cost_per_token_above_200k_tokens": "x"},
        {"search_context_cost_per_query": {"a": "b"}},
    ],
    ids=lambda wrong: json.dumps(wrong),
)  # fmt: skip
def test_an_entry_that_makes_no_sense_is_an_unknown_price_and_never_a_free_model(wrong: dict[str, Any]) -> None:
    row = {
        "litellm_provider": "perplexity",
        "mode": "chat",
        "input_cost_per_token": 1e-6,
        "output_cost_per_token": 1e-6,
    }
    text = json.dumps({"perplexity/m": {**row, **wrong}})
    table = PriceTable({}, json.loads(text, parse_float=Decimal))
    assert of(table, "litellm", "m", prefix="perplexity").price is None


@pytest.mark.parametrize(
    "text", ["", "[]", "{", "null", "[" * 100_000, "\x00\xff"], ids=["empty", "list", "torn", "null", "deep", "binary"]
)
def test_a_table_of_litellms_that_is_broken_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "litellm").mkdir()
    (tmp_path / "litellm" / "__init__.py").write_text("")
    (tmp_path / "litellm" / prices._TABLE).write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    table = PriceTable.load()
    assert of(table, "openai", "gpt-4o").price is None and "prices have to be stated" in caplog.text


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("gpt: {input: -1}", 1, "gpt.input: input should be greater than or equal to 0"),
        ("gpt: {input: 1}\nother: {input: cheap}", 2, "other.input: input should be a valid decimal"),
        ("gpt: {output: 1}", 1, "gpt.input: field required"),
        ("gpt: {input: 1, otput: 2}", 1, "gpt.otput: extra inputs are not permitted"),
        ("gpt: 5", 1, "gpt: input should be"),
        ("gpt: {input: 1}\ngpt: {input: 2}", 2, "'gpt' is there twice"),
        ("gpt: {input: .nan}", 1, "gpt.input"),
        ("gpt: {input: 1e12}", 1, "gpt.input: input should be less than"),
        ("- gpt", 1, "a mapping of models to prices is expected"),
        ("gpt: {input: 1", 1, ""),
    ],
    ids=range(10),
)
def test_a_malformed_file_of_prices_is_refused_with_the_line(tmp_path: Path, text: str, line: int, said: str) -> None:
    file = tmp_path / "prices.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError) as refused:
        PriceTable.load(file)
    told = [refused.value.message, *refused.value.data.get("problems", [])]
    assert any(said in each and f"{line}" in each for each in told), told


def test_every_mistake_of_a_file_is_told_at_once(tmp_path: Path) -> None:
    file = tmp_path / "prices.json"
    file.write_text('{"a": {"input": -1},\n "b": {"input": 1},\n "c": {"price": 2}}')
    with pytest.raises(ConfigError) as refused:
        own_prices(file)
    assert len(refused.value.data["problems"]) == 3
    with pytest.raises(ConfigError, match="cannot be read"):
        own_prices(tmp_path / "none.yaml")
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="UTF-8"):
        own_prices(file)


@given(st.integers(0, 10**6), st.integers(0, 10**5), st.integers(0, 10**6), st.integers(0, 10**6))
def test_no_request_costs_more_than_the_most_that_was_reserved(
    prompt: int, answer: int, cached: int, kept: int
) -> None:
    dear = Price(Fraction(6), Fraction(23), Fraction(1, 3), written=Fraction(8))
    price = Price(Fraction(3), Fraction(15), Fraction(3, 10), 200_000, dear, Fraction(15, 4), Fraction(5))
    cached = min(cached, prompt)
    kept = min(kept, prompt - cached)
    assert price.cost(prompt, answer, cached, kept) <= price.most(prompt, answer)
    assert price.most(prompt, answer) <= price.most(prompt + 1, answer + 1)


def test_config_check_tells_every_mistake_of_the_prices(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "prices.yaml").write_text("a: {input: -1}\nb: {input: 1}\nc: {input: free}\n")
    file = tmp_path / "agentflow.yaml"
    file.write_text(f"models: {{prices: '{tmp_path / 'prices.yaml'}'}}\n")
    assert main(["config", "check", str(file)]) == 1
    told = capsys.readouterr().out
    assert (
        "prices.yaml:1: a.input: input should be greater than or equal to 0" in told
        and "prices.yaml:3: c.input" in told
    )
