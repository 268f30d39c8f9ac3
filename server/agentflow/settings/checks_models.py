"""What no single value shows of models and of the flow that asks them: names, keys, addresses, what is not installed.

Every check reports through `report(loc, message, fix[, severity])` and goes on; none raises.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from agentflow.config import Config
from agentflow.config_models import ModelConfig, ModelTier, ProviderConfig
from agentflow.errors import ConfigError
from agentflow.models.shorthand import FLOW_PROVIDER, effective_models

Loc = tuple[str | int, ...]
Report = Callable[..., None]
Address = Callable[..., None]  # (loc, text, report, secret=…)

_AUTO: Final = "auto"
_WITH_KEY: Final[dict[str, str]] = {
    "openai": "OPENAI_API_KEY", "anthropic": "ANTHROPIC_API_KEY", "gemini": "GEMINI_API_KEY",
    "cohere": "COHERE_API_KEY", "azure": "AZURE_API_KEY", "mistral": "MISTRAL_API_KEY", "groq": "GROQ_API_KEY",
    "openrouter": "OPENROUTER_API_KEY",
}  # fmt: skip
_REGIONS: Final = ("AWS_REGION", "AWS_DEFAULT_REGION")


def models(config: Config, report: Report, environ: Mapping[str, str], address: Address) -> None:
    """Everything about `models`, and what of `flow` is about models."""
    _flow(config, report, address)
    kinds: dict[str, str] = {}
    for name, provider in config.models.providers.items():
        if provider.enabled:
            loc = ("models", "providers", name)
            _provider(loc, provider, report, environ, address)
            _names(loc, provider, kinds, report)
    if config.models.serve and not _configured(config):
        report(("models", "serve"), "there is no model to serve", "add one under models.providers", "warning")
    if config.models.serve and (config.serve.path == "/v1" or config.serve.path.startswith("/v1/")):
        report(("serve", "path"), "lies where models are served", "use another path, such as /mcp")
    _tiers(config, report)
    if config.models.prices is not None:
        _prices(config.models.prices, report)
    if config.flow.planner == "local" and any(find_spec(each) is None for each in ("torch", "transformers")):
        fix = "pip install 'agentflow-gateway[local]', or use `auto`"
        report(("flow", "planner"), "needs the extra `local`, which is not installed", fix)
    if _configured(config) and find_spec("litellm") is None:
        report(
            ("models", "providers") if config.models.providers else ("flow", "base_url"),
            "needs the extra `models`, which is not installed",
            "pip install 'agentflow-gateway[models]'",
        )


def _tiers(config: Config, report: Report) -> None:
    """A tier that is asked for where nobody names a model, and that none reaches, is every such request refused."""
    enabled = [each for each in config.models.providers.values() if each.enabled]
    chats = [model for each in enabled for model in each.models if model.kind == "chat"]
    if not chats or config.flow.base_url or any(each.discover for each in enabled):
        return
    routing, best = config.models.routing, max(model.worth for model in chats)
    asked: list[tuple[Loc, ModelTier]] = [(("models", "routing", "default_tier"), routing.default_tier)]
    if config.flow.model is None and config.flow.planner not in ("offline", "local"):
        asked.append((("flow", "tier"), config.flow.tier))
    for loc, tier in asked:
        if getattr(routing.floors, tier) > best:
            problem = f"no model reaches the quality that {tier} asks for, so a request that names none is refused"
            report(loc, problem, "ask for a weaker tier, or say more of a model's `tier` or `quality`", "warning")


def _prices(path: Path, report: Report) -> None:
    from agentflow.models.money.prices import own_prices

    if not path.is_file():
        report(("models", "prices"), "there is no such file", f"create {path} or remove the line")
        return
    try:
        own_prices(path)
    except ConfigError as error:
        for problem in error.data.get("problems") or [error.message]:
            report(("models", "prices"), problem, error.fix or "correct the file")


def _configured(config: Config) -> bool:
    try:
        return effective_models(config).configured
    except ConfigError:
        return True  # the address is reported by itself


def _flow(config: Config, report: Report, address: Address) -> None:
    flow, providers = config.flow, config.models.providers
    if flow.base_url:
        address(("flow", "base_url"), flow.base_url, report, secret=flow.api_key is not None)
        if not flow.model:
            report(("flow", "model"), "is missing beside flow.base_url", "name the model to ask")
        if FLOW_PROVIDER in providers:
            report(
                ("flow", "base_url"),
                "is short for the provider `flow`, which models.providers has as well",
                "keep one of the two",
            )
    elif flow.api_key is not None:
        problem = "is the key of flow.base_url, which is not set"
        report(("flow", "api_key"), problem, "set flow.base_url, or remove the key", "warning")
    if flow.planner == "model" and not _configured(config):
        report(("flow", "planner"), "needs a model", "add one under models.providers, or use `offline`")
    open_ended = any(each.enabled and each.discover for each in providers.values())
    if flow.model and not flow.base_url and not open_ended:
        chats = {_name(m) for p in providers.values() if p.enabled for m in p.models if m.kind == "chat"}
        if flow.model not in {_AUTO, *chats}:
            near = difflib.get_close_matches(flow.model, sorted(chats), 1, 0.6)
            fix = f"did you mean `{near[0]}`?" if near else "name one of models.providers, or leave it out"
            report(("flow", "model"), "no provider has a chat model of this name", fix)


def _provider(loc: Loc, provider: ProviderConfig, report: Report, environ: Mapping[str, str], address: Address) -> None:
    if provider.base_url is not None:
        key = "take it out; a key goes into `api_key: ${NAME}`"
        address((*loc, "base_url"), provider.base_url, report, secret=provider.api_key is not None, key=key)
    if provider.kind == "local":
        fix = "set flow.planner: local, or serve it at an address of its own with kind openai_compatible"
        report((*loc, "kind"), "the model of this machine is no provider", fix)
    if provider.api_key is not None and not provider.api_key.get_secret_value():
        report((*loc, "api_key"), "the key is empty", "set the variable it names")
    variable = _WITH_KEY.get(provider.kind)
    if variable is not None and provider.api_key is None and provider.base_url is None:
        report((*loc, "api_key"), "is missing: the provider will refuse", f"add `api_key: ${{{variable}}}`")
    if provider.kind == "bedrock" and not provider.regions and not any(environ.get(name) for name in _REGIONS):
        report((*loc, "regions"), "names no region of AWS", "add `regions: [us-east-1]`, or set AWS_REGION", "warning")
    if not provider.models and not provider.discover:
        report((*loc, "models"), "has no models, so nobody can ask it", "name some, or set `discover: true`", "warning")
    seen: set[tuple[str, str | None]] = set()
    for index, model in enumerate(provider.models):
        if (model.model, model.region) in seen:
            report((*loc, "models", index, "model"), "is there twice", "keep one of the two")
        seen.add((model.model, model.region))


def _names(loc: Loc, provider: ProviderConfig, kinds: dict[str, str], report: Report) -> None:
    """One name stands for models that may take each other's place."""
    for index, model in enumerate(provider.models):
        name, place = _name(model), (*loc, "models", index, "name" if model.name else "model")
        if name == _AUTO:
            report(place, "`auto` is what callers write for a model that is chosen for them", "set another `name`")
        elif kinds.setdefault(name, model.kind) != model.kind:
            report(place, "a model of another kind has this name", "give one of them another `name`")


def _name(model: ModelConfig) -> str:
    return model.name or model.model
