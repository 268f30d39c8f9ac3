"""What a token costs, of whom: the operator's own prices first, then litellm's table as it is installed.

It promises exact prices (decimals as they are written, never floats), and that what is missing, malformed or
negative is an unknown price, never a price of nothing. litellm itself is not imported: its table is a file. What runs
on the operator's own machines (ollama, vllm, local) costs nothing unless a price says otherwise; of any other address
of the operator's own no table can know, so its price has to be stated.
"""

from __future__ import annotations

import importlib.util
import json
import logging
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import ValidationError

from agentflow.config_models import ModelConfig, PriceConfig, ProviderConfig
from agentflow.errors import ConfigError
from agentflow.models.fleet import Price
from agentflow.models.port import NANO
from agentflow.settings.documents import DocumentError, Node, parse

log = logging.getLogger(__name__)
JSON = Mapping[str, Any]
Source = Literal["model", "file", "litellm", "own machine", "unknown"]

_TABLE: Final = "model_prices_and_context_window_backup.json"
_MOST: Final = 64 * 1024 * 1024  # bytes of a table
_OWN: Final = frozenset({"ollama", "vllm", "local"})
_PER_MILLION: Final = NANO // 1_000_000
_ABOVE: Final = re.compile(r"input_cost_per_token_above_(\d{1,6})k_tokens")
_PROFILE: Final = re.compile(r"(?:us|us-gov|eu|apac|au|jp|ca|sa|global)\.(.+\..+)")  # Bedrock's inference profiles
_KEPT: Final = re.compile(
    r"(in|out)put_cost_per_(token|reasoning_token|request)(_above_\d+k_tokens|_batches)?|litellm_provider|mode"
    r"|cache_(read|creation)_input_token_cost(_above_\d+k_tokens)?|max_(input|output|)_?tokens|tiered_pricing|range"
    r"|supports_(response_schema|native_structured_output)|search_context_(cost_per_query|size_\w+)|deprecation_date"
)
# How litellm's table names a provider's models: what stands before the name, and whose entries count.
_NAMES: Final[Mapping[str, tuple[tuple[str, ...], str]]] = {
    "openai": (("", "openai/"), "openai"),
    "anthropic": (("", "anthropic/"), "anthropic"),
    "gemini": (("gemini/",), "gemini"),
    "cohere": (("", "cohere/", "cohere_chat/"), "cohere"),
    "bedrock": (("", "bedrock/"), "bedrock"),
    "azure": (("azure/",), "azure"),
    "vertex_ai": (("vertex_ai/", ""), "vertex_ai"),
    "mistral": (("mistral/",), "mistral"),
    "groq": (("groq/",), "groq"),
    "openrouter": (("openrouter/",), "openrouter"),
}


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of a model.

    Attributes:
        price: None where nobody knows it; source: who said so.
        kind: what litellm's table says that it does; None where it says nothing.
        context_window, max_output: tokens; None where unknown.
        json_schema: whether it can be held to one; None where unknown.
        retired: the day that its provider ends it, `2026-11-30`, or "".
    """

    price: Price | None = None
    source: Source = "unknown"
    kind: Literal["chat", "embedding"] | None = None
    context_window: int | None = None
    max_output: int | None = None
    json_schema: bool | None = None
    retired: str = ""


class PriceTable:
    """Prices of models. It takes some megabytes: let it go once the fleet is built.

    Args:
        own: the operator's prices by model; litellm: litellm's table.
    """

    def __init__(self, own: Mapping[str, PriceConfig], litellm: JSON) -> None:
        self._own, self._litellm = own, litellm

    @classmethod
    def load(cls, path: Path | None = None) -> PriceTable:
        """Read litellm's table, and the operator's (`models.prices`).

        Raises:
            ConfigError: the operator's cannot be used; `problems` has a line for each mistake.
        """
        return cls(own_prices(path) if path is not None else {}, _litellm())

    def of(self, provider: str, config: ProviderConfig, model: ModelConfig, region: str | None = None) -> Facts:
        """What is known of a model.

        Args:
            provider: its name in `models.providers`.
            region: the one it is asked in, where it has several.
        """
        entry = self._entry(config, model.model, region or model.region)
        facts = _facts(entry) if entry is not None else Facts()
        return replace(facts, **self._price(provider, config, model, region, facts))

    def _price(
        self, provider: str, config: ProviderConfig, model: ModelConfig, region: str | None, facts: Facts
    ) -> dict[str, Any]:
        if model.price is not None:
            return {"price": stated(model.price), "source": "model"}
        names = [f"{provider}:{model.model}", f"{provider}/{model.model}", model.model, model.name or model.model]
        if region:
            names = [f"{provider}:{region}/{model.model}", f"{region}/{model.model}", *names]
        for name in names:
            if name in self._own:
                return {"price": stated(self._own[name]), "source": "file"}
        if config.kind in _OWN:
            return {"price": stated(PriceConfig(input=Decimal(0))), "source": "own machine"}
        return {"price": facts.price, "source": "litellm" if facts.price is not None else "unknown"}

    def _entry(self, config: ProviderConfig, model: str, region: str | None) -> JSON | None:
        befores: tuple[str, ...]
        if config.kind == "litellm" and config.prefix:
            befores, family = (f"{config.prefix}/", ""), config.prefix
        elif config.kind in _NAMES:
            befores, family = _NAMES[config.kind]
        else:
            return None
        for name in _written(befores, model, region if config.kind in ("bedrock", "azure", "vertex_ai") else None):
            entry = self._litellm.get(name)
            if isinstance(entry, Mapping) and str(entry.get("litellm_provider", "")).startswith(family):
                return entry
        return None


def stated(config: PriceConfig) -> Price:
    """The price that the operator states in US dollars for a million tokens."""
    per = {
        name: Fraction(value) * _PER_MILLION
        for name, value in (("input", config.input), ("output", config.output), ("cached_input", config.cached_input))
        if value is not None
    }
    return Price(per["input"], per["output"], per.get("cached_input", per["input"]))


def own_prices(path: Path) -> dict[str, PriceConfig]:
    """Read the operator's prices: a YAML or JSON file {model: {input, output, cached_input}}.

    A model is named as its provider does, or as `provider:model` where several have the same.

    Raises:
        ConfigError: it cannot be read, or says something that cannot be; `problems` has a line for each mistake.
    """
    try:
        if path.stat().st_size > _MOST:
            raise ConfigError(f"The prices {path} are larger than {_MOST} bytes", fix="leave out what is not used")
        tree = parse(path.read_text("utf-8-sig"), as_json=path.suffix == ".json")
    except OSError as error:
        raise ConfigError(f"The prices {path} cannot be read: {error.strerror}", fix="correct models.prices") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"The prices {path} are not text in UTF-8", fix="save them as such") from error
    except DocumentError as error:
        raise ConfigError(f"The prices {path} cannot be read: line {error.line}: {error.message}") from error
    prices: dict[str, PriceConfig] = {}
    problems = [f"{path}:{line}: {text}" for line, text in _checked(tree, prices)]
    if problems:
        fix = "write {model: {input: 3.00, output: 15.00}}, in US dollars for a million tokens"
        raise ConfigError(f"The prices {path} cannot be used: {problems[0]}", fix=fix, problems=problems)
    return prices


def _checked(tree: Node, prices: dict[str, PriceConfig]) -> Iterator[tuple[int, str]]:
    """Read what is right into `prices`; every mistake, with its line."""
    if tree.kind != "map":
        yield tree.line, "a mapping of models to prices is expected"
    for again in tree.duplicates:
        yield again.line, f"{again.key!r} is there twice"
    for entry in tree.entries:
        try:
            prices[entry.key] = PriceConfig.model_validate(entry.value.plain())
        except ValidationError as error:
            for each in error.errors(include_url=False, include_context=False, include_input=False):
                place = ".".join(map(str, (entry.key, *each["loc"])))
                yield entry.value.line, f"{place}: {each['msg'][0].lower()}{each['msg'][1:]}"


def _litellm() -> JSON:
    """litellm's table as it is installed; empty, and a line in the log, where there is none."""
    try:
        found = importlib.util.find_spec("litellm")
        folders = (found.submodule_search_locations or []) if found is not None else []
        for folder in folders:
            table = json.loads((Path(folder) / _TABLE).read_bytes(), parse_float=Decimal, object_hook=_pruned)
            if isinstance(table, dict):
                return table
            raise ValueError("it is no table")
    except (OSError, ValueError, RecursionError) as error:
        log.warning("litellm's price table cannot be used, prices have to be stated: %s", error)
    return {}


def _pruned(read: dict[str, Any]) -> dict[str, Any]:
    """What is looked at of an entry; the table itself, and what is none, stay."""
    if "litellm_provider" not in read:
        return read
    return {name: value for name, value in read.items() if _KEPT.fullmatch(name)}


def _written(befores: Iterable[str], model: str, region: str | None) -> Iterator[str]:
    plain = model.removeprefix("models/")
    names = [plain]
    if (profile := _PROFILE.fullmatch(plain)) is not None:
        names.append(profile[1])
    for name in names:
        for before in befores:
            if region and before:
                yield f"{before}{region}/{name}"
        for before in befores:
            yield name if before and name.startswith(before) else f"{before}{name}"


def _facts(entry: JSON) -> Facts:
    kinds: Mapping[Any, Literal["chat", "embedding"]] = {
        "chat": "chat", "completion": "chat", "responses": "chat", "embedding": "embedding",
    }  # fmt: skip
    price = _price(entry)
    schema = [value for name in ("supports_response_schema", "supports_native_structured_output")
              if isinstance(value := entry.get(name), bool)]  # fmt: skip
    mode = entry.get("mode")
    return Facts(
        price=price,
        source="litellm" if price is not None else "unknown",
        kind=kinds.get(mode) if isinstance(mode, str) else None,
        context_window=_count(entry, "max_input_tokens", "max_tokens"),
        max_output=_count(entry, "max_output_tokens"),
        json_schema=any(schema) if schema else None,
        retired=str(entry["deprecation_date"]) if "deprecation_date" in entry else "",
    )


def _count(entry: JSON, *names: str) -> int | None:
    for name in names:
        value = entry.get(name)
        if isinstance(value, (int, Decimal)) and not isinstance(value, bool) and 0 < value < 10**9:
            return int(value)
    return None


def _price(entry: JSON) -> Price | None:
    """The price of an entry; None where one of its parts is missing or makes no sense."""
    try:
        steps = entry.get("tiered_pricing")
        if isinstance(steps, list) and steps:
            return _stepped(steps)
        above = sorted(int(found[1]) for name in entry if (found := _ABOVE.fullmatch(name)))
        price: Price | None = None
        after = None
        for thousands in reversed(above):
            price = replace(_plain(entry, f"_above_{thousands}k_tokens"), beyond=after, dearer=price)
            after = thousands * 1000
        return replace(_plain(entry, ""), beyond=after, dearer=price)
    except (ValueError, TypeError, KeyError, AttributeError, IndexError):
        return None


def _stepped(steps: list[Any]) -> Price:
    price: Price | None = None
    after = None
    for step in reversed(steps):
        price = replace(_plain(step, ""), beyond=after, dearer=price)
        after = int(step["range"][0])
    if price is None:
        raise ValueError
    return price


def _plain(entry: JSON, suffix: str) -> Price:
    def cost(name: str) -> Fraction | None:
        value = entry.get(f"{name}{suffix}", entry.get(name) if suffix else None)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, (int, Decimal)) or not 0 <= value <= 1:
            raise ValueError
        return Fraction(value) * NANO

    asked = cost("input_cost_per_token")
    if asked is None:
        raise ValueError
    output = cost("output_cost_per_token")
    if output is None:
        if entry.get("mode") != "embedding":
            raise ValueError
        output = Fraction(0)
    batch = cost("input_cost_per_token_batches") if not suffix else None
    read, written = cost("cache_read_input_token_cost"), cost("cache_creation_input_token_cost")
    return Price(
        asked,
        max(output, cost("output_cost_per_reasoning_token") or Fraction(0)),
        asked if read is None else read,
        written=written if written is not None and written > asked else None,
        request=(cost("input_cost_per_request") or Fraction(0)) + _searched(entry),
        batch=batch / asked if batch is not None and asked else None,
    )


def _searched(entry: JSON) -> Fraction:
    """What a model that always searches asks for each question, at most."""
    costs = entry.get("search_context_cost_per_query")
    if entry.get("litellm_provider") != "perplexity" or not isinstance(costs, Mapping):
        return Fraction(0)
    return max((Fraction(value) * NANO for value in costs.values()), default=Fraction(0))
