"""What Bedrock offers an account: foundation models, and the inference profiles that many are served through only.

Promises: one entry per model, under the id that its first region serves it by; retired models are left out. A region
that cannot be asked is left out as long as another can.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, Final, Literal

from agentflow.config_models import ModelConfig, ModelTier
from agentflow.models.bedrock.clients import Clients
from agentflow.models.bedrock.failures import BedrockFailure, explained
from agentflow.models.bedrock.regions import bare, geographies_of

# What a model is expected to be worth, by its id; a tier in the configuration has the last word.
_GOLD: Final = re.compile(r"opus|sonnet|premier|mistral-large|deepseek|405b|480b|235b|gpt-oss-120b|command-a")
_BRONZE: Final = re.compile(r"micro|-lite|instant|3-haiku|gemma|ministral|mistral-7b|(?<!\d)[1-9]b(?!\d)")


def tier_of(model: str) -> ModelTier:
    """The tier that a model's id suggests."""
    if _GOLD.search(model):
        return "gold"
    return "bronze" if _BRONZE.search(model) else "silver"


def discovered(clients: Clients, regions: Sequence[str]) -> list[ModelConfig]:
    """The models offered in the regions. Blocks.

    Raises:
        BedrockFailure: none of the regions could be asked; the reason is the first one's.
    """
    found: dict[str, ModelConfig] = {}
    first: BedrockFailure | None = None
    asked = 0
    for region in regions:
        try:
            client = clients.get("bedrock", region)
            offers = list(_offers(client, region))
        except Exception as error:  # whatever boto3 makes of it
            first = first or explained(error, region)
            continue
        asked += 1
        for model, kind in offers:
            found.setdefault(bare(model), ModelConfig(model=model, kind=kind, tier=tier_of(model)))
    if not asked and first is not None:
        raise first
    return list(found.values())


def _offers(client: Any, region: str) -> Iterator[tuple[str, Literal["chat", "embedding"]]]:
    profiles = _profiles(client, region)
    for summary in client.list_foundation_models().get("modelSummaries") or []:
        if (summary.get("modelLifecycle") or {}).get("status", "ACTIVE") != "ACTIVE":
            continue
        outputs, ways = summary.get("outputModalities") or [], summary.get("inferenceTypesSupported") or []
        kind: Literal["chat", "embedding"] = "embedding" if "EMBEDDING" in outputs else "chat"
        if "TEXT" not in outputs and kind == "chat":
            continue
        model = str(summary["modelId"])
        if "ON_DEMAND" in ways:
            yield model, kind
        elif model in profiles:
            yield profiles[model], kind


def _profiles(client: Any, region: str) -> dict[str, str]:
    """The nearest active profile of each foundation model; empty where IAM does not let us list them."""
    nearness = {geography: rank for rank, geography in enumerate((*geographies_of(region), "global"))}
    best: dict[str, tuple[int, str]] = {}
    try:
        pages = client.get_paginator("list_inference_profiles").paginate(typeEquals="SYSTEM_DEFINED")
        summaries = [summary for page in pages for summary in page.get("inferenceProfileSummaries") or []]
    except client.exceptions.AccessDeniedException:
        return {}
    for summary in summaries:
        profile = str(summary["inferenceProfileId"])
        rank = nearness.get(profile.split(".", 1)[0])
        if rank is None or summary.get("status") != "ACTIVE":
            continue
        for model in summary.get("models") or []:
            name = str(model.get("modelArn", "")).rpartition("/")[2]
            if name not in best or rank < best[name][0]:
                best[name] = (rank, profile)
    return {name: profile for name, (_, profile) in best.items()}
