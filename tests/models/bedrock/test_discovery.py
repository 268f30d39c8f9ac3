"""What Bedrock offers, found out over its listings."""

from __future__ import annotations

import pytest

from agentflow.models.worker.provider import ProviderFailure
from tests.model_servers import BedrockServer, Refuse
from tests.model_servers.bedrock import CATALOGUE, HAIKU, QWEN, SONNET, TITAN, Offered
from tests.models.bedrock.conftest import Make


async def test_models_and_the_profiles_that_serve_them_are_found(bedrock: BedrockServer, provider: Make) -> None:
    found = {model.model: model for model in await provider().discover()}
    assert set(found) == {SONNET, HAIKU, QWEN, TITAN}
    assert [found[m].tier for m in (SONNET, HAIKU, QWEN)] == ["gold", "silver", "silver"]
    assert (found[TITAN].kind, found[SONNET].kind) == ("embedding", "chat")


async def test_a_model_of_several_regions_is_one_under_the_first_one_s_id(
    bedrock: BedrockServer, provider: Make
) -> None:
    sonnet = SONNET.removeprefix("us.")
    bedrock.offers["eu-west-1"] = [Offered(sonnet, False, ("eu", "global")), Offered("mistral.pixtral-large-2502-v1:0")]
    found = [model.model for model in await provider("eu-west-1", "us-east-1").discover()]
    assert found == [f"eu.{sonnet}", "mistral.pixtral-large-2502-v1:0", HAIKU, QWEN, TITAN]


async def test_every_page_of_profiles_is_read_and_the_nearest_is_taken(bedrock: BedrockServer, provider: Make) -> None:
    bedrock.page = 1
    bedrock.offers["ap-southeast-2"] = [
        Offered("anthropic.claude-sonnet-4-5-20250929-v1:0", False, ("global", "apac", "au")),
        Offered("anthropic.claude-opus-4-1-20250805-v1:0", False, ("us",)),
    ]
    found = [model.model for model in await provider("ap-southeast-2").discover()]
    assert found == ["au.anthropic.claude-sonnet-4-5-20250929-v1:0"]
    assert len(bedrock.requests) > 3


async def test_a_region_that_cannot_be_asked_is_left_out(bedrock: BedrockServer, provider: Make) -> None:
    bedrock.offers = {"us-west-2": CATALOGUE}
    assert len(await provider("eu-north-1", "us-west-2").discover()) == 4


async def test_without_leave_to_list_profiles_the_plain_models_are_found(
    bedrock: BedrockServer, provider: Make
) -> None:
    bedrock.denies.add("ListInferenceProfiles")
    assert [model.model for model in await provider().discover()] == [QWEN, TITAN]


async def test_without_leave_to_list_models_iam_s_answer_is_explained(bedrock: BedrockServer, provider: Make) -> None:
    bedrock.denies.add("ListFoundationModels")
    with pytest.raises(ProviderFailure) as raised:
        await provider("us-east-1", "us-west-2").discover()
    assert raised.value.kind == "auth"
    assert raised.value.fix.startswith("allow bedrock:")


async def test_what_is_found_can_be_asked(bedrock: BedrockServer, provider: Make) -> None:
    bedrock.script(Refuse("overloaded"))
    found = await provider("us-east-1", "us-west-2").discover()
    assert all(model.name is None and model.region is None for model in found)
