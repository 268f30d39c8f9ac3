"""The models there are to choose from, as the configuration and the tables have them."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from agentflow.config_models import ModelConfig, ModelsConfig, PriceConfig
from agentflow.models.fleet import Deployment
from agentflow.models.fleet_build import build_fleet
from agentflow.models.money.prices import PriceTable

TABLE = {
    "gpt-x": {
        "litellm_provider": "openai",
        "mode": "chat",
        "input_cost_per_token": Decimal("1.5e-07"),
        "output_cost_per_token": Decimal("6e-07"),
        "max_input_tokens": 128_000,
        "max_output_tokens": 16_384,
        "supports_response_schema": True,
    }
}


def fleet(providers: dict[str, Any], discovered: Any = None, own: Any = None) -> dict[str, Deployment]:
    config = ModelsConfig.model_validate({"providers": providers})
    return {each.key: each for each in build_fleet(config, PriceTable(own or {}, TABLE), discovered)}


def openai(*models: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"kind": "openai", "api_key": "k", "models": list(models), **more}


def test_what_the_configuration_does_not_say_the_table_knows() -> None:
    (one,) = fleet({"o": openai({"model": "gpt-x", "name": "quick", "tier": "gold"})}).values()
    assert (one.key, one.name, one.tier, one.quality, one.kind) == ("o:gpt-x", "quick", "gold", 0.9, "chat")
    assert one.price is not None
    assert one.price.cost(1_000, 1_000) == 1_000 * 150 + 1_000 * 600
    assert (one.context_window, one.max_output, one.json_schema) == (128_000, 16_384, True)


def test_the_configuration_has_the_last_word() -> None:
    told = {"model": "gpt-x", "quality": 0.1, "price": {"input": 7}, "context_window": 10, "json_schema": False}
    (one,) = fleet({"o": openai(told)}, own={"gpt-x": PriceConfig(input=5)}).values()
    assert one.price is not None
    assert (one.price.cost(1, 0), one.quality, one.context_window, one.json_schema) == (7_000, 0.1, 10, False)


def test_a_file_of_prices_goes_before_the_table() -> None:
    (one,) = fleet({"o": openai({"model": "gpt-x"})}, own={"gpt-x": PriceConfig(input=5)}).values()
    assert one.price is not None
    assert one.price.cost(1, 0) == 5_000


def test_what_nobody_knows_has_no_price_and_ones_own_machine_costs_nothing() -> None:
    own = {"kind": "vllm", "base_url": "http://gpu:8000", "models": [{"model": "m"}]}
    found = fleet({"o": openai({"model": "gpt-unheard-of"}), "v": own})
    assert found["o:gpt-unheard-of"].price is None
    price = found["v:m"].price
    assert price is not None
    assert price.cost(10**6, 10**6) == 0


def test_providers_that_are_off_and_what_they_list_twice_are_left_out() -> None:
    discovered = {"o": [ModelConfig(model="gpt-x"), ModelConfig(model="gpt-y")], "p": [ModelConfig(model="z")]}
    asked = {
        "o": openai({"model": "gpt-x", "name": "mine"}, discover=True),
        "p": openai({"model": "a"}, {"model": "a", "name": "again"}),
        "q": openai({"model": "b"}, enabled=False),
    }
    found = fleet(asked, discovered)
    assert [(key, each.name) for key, each in found.items()] == [
        ("o:gpt-x", "mine"),
        ("o:gpt-y", "gpt-y"),
        ("p:a", "a"),
    ]


def test_a_model_of_another_region_is_another_deployment() -> None:
    told = {"kind": "bedrock", "regions": ["us-east-1"]}
    told["models"] = [{"model": "m"}, {"model": "m", "region": "eu-west-1"}]  # type: ignore[assignment]
    assert list(fleet({"b": told})) == ["b:m", "b:eu-west-1/m"]
