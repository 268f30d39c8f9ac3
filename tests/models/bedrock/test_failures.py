"""AWS's refusals, in words that say what to do."""

from __future__ import annotations

from typing import Any

import pytest
from botocore import exceptions
from botocore.exceptions import ClientError

from agentflow.models.bedrock.failures import explained

ROLE = "arn:aws:sts::123456789012:assumed-role/agents/ann@example.com"
PROFILE = "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.anthropic.claude-haiku-4-5-20251001-v1:0"
MODEL = "arn:aws:bedrock:us-west-2::foundation-model/qwen.qwen3-32b-v1:0"


def refused(code: str, message: str = "", status: int = 400, **headers: str) -> ClientError:
    meta: Any = {"HTTPStatusCode": status, "HTTPHeaders": headers}
    return ClientError({"Error": {"Code": code, "Message": message}, "ResponseMetadata": meta}, "Converse")


def denied(action: str, resource: str, why: str) -> str:
    return f"User: {ROLE} is not authorized to perform: {action} on resource: {resource} {why}"


@pytest.mark.parametrize(
    ("message", "says", "fix"),
    [
        (
            denied("bedrock:InvokeModel", PROFILE, "because no identity-based policy allows the action"),
            ["assumed-role/agents may not bedrock:InvokeModel", "inference-profile/us.anthropic", "none of its"],
            "foundation model in every region",
        ),
        (
            denied("bedrock:InvokeModelWithResponseStream", MODEL, "because no identity-based policy allows it"),
            ["foundation-model/qwen", "none of its policies"],
            "allow bedrock:InvokeModel and bedrock:InvokeModelWithResponseStream on foundation-model/qwen",
        ),
        (
            denied("bedrock:InvokeModel", MODEL, "with an explicit deny in a service control policy"),
            ["a service control policy of the organisation denies it"],
            "organisation",
        ),
        (
            denied("bedrock:InvokeModel", MODEL, "because no permissions boundary allows the action"),
            ["the permissions boundary does not allow it"],
            "widen the permissions boundary",
        ),
        (
            denied("bedrock:InvokeModel", MODEL, "with an explicit deny in an identity-based policy"),
            ["a policy of its own denies it"],
            "remove that deny",
        ),
        (
            denied("bedrock:InvokeModel", MODEL, "because no VPC endpoint policy allows the action"),
            ["VPC endpoint's policy"],
            "widen the endpoint's policy",
        ),
        ("You don't have access to the model with the specified model ID.", ["no access"], "Model access"),
        (
            "Model access is denied due to IAM user or service role is not authorized to perform the required "
            "AWS Marketplace actions (aws-marketplace:ViewSubscriptions, aws-marketplace:Subscribe)",
            ["no access to this model"],
            "aws-marketplace:Subscribe",
        ),
        ("Authentication failed: Please make sure your API Key is valid.", ["API key is not valid"], "api_key"),
        ("Something new.", ["access is denied"], "bedrock:InvokeModel"),
    ],
    ids=[
        "identity policy", "streaming", "scp", "boundary", "own deny", "vpc endpoint", "model access", "marketplace",
        "api key", "unknown",
    ],
)  # fmt: skip
def test_iam_s_refusal_names_what_is_missing_and_where(message: str, says: list[str], fix: str) -> None:
    failure = explained(refused("AccessDeniedException", message, 403), "us-east-1")
    assert failure.kind == "auth"
    for text in ("Bedrock (us-east-1): ", *says):
        assert text in failure.message
    assert fix in failure.fix
    for secret in ("123456789012", "ann@example.com", "Something new"):
        assert secret not in failure.message + failure.fix


@pytest.mark.parametrize(
    ("error", "kind", "elsewhere"),
    [
        (refused("ThrottlingException", status=429), "rate_limit", True),
        (refused("ModelNotReadyException", status=429), "server", True),
        (refused("ModelErrorException", status=424), "server", True),
        (refused("ModelTimeoutException", status=408), "timeout", True),
        (refused("throttlingException"), "rate_limit", True),
        (refused("ExpiredTokenException", status=403), "auth", False),
        (refused("InvalidSignatureException", status=403), "auth", False),
        (refused("UnrecognizedClientException", status=403), "auth", True),
        (refused("ResourceNotFoundException", "Model use case details have not been submitted.", 404), "auth", False),
        (refused("ResourceNotFoundException", "The model has reached the end of its life.", 404), "not_found", True),
        (refused("ValidationException", "The provided model identifier is invalid."), "not_found", True),
        (refused("ValidationException", "prompt is too long: 208310 tokens > 200000 maximum"), "context_window", False),
        (refused("ValidationException", "Input is too long for requested model."), "context_window", False),
        (refused("ValidationException", "Too many input tokens. Max input tokens: 8192"), "context_window", False),
        (refused("ValidationException", "maxTokens has to be positive"), "bad_request", False),
        (exceptions.NoCredentialsError(), "auth", False),
        (exceptions.ProfileNotFound(profile="p"), "auth", False),
        (exceptions.UnauthorizedSSOTokenError(), "auth", False),
        (exceptions.NoRegionError(), "not_found", False),
        (exceptions.EndpointConnectionError(endpoint_url="https://x"), "unreachable", True),
        (exceptions.ConnectTimeoutError(endpoint_url="https://x"), "unreachable", True),
        (exceptions.SSLError(endpoint_url="https://x", error="e"), "unreachable", True),
        (exceptions.ReadTimeoutError(endpoint_url="https://x"), "timeout", False),
        (exceptions.ConnectionClosedError(endpoint_url="https://x"), "protocol", True),
        (exceptions.ParamValidationError(report="r"), "bad_request", False),
        (RuntimeError("with a secret"), "server", True),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)  # fmt: skip
def test_every_error_of_boto3_has_its_kind(error: Exception, kind: str, elsewhere: bool) -> None:
    failure = explained(error, "eu-west-1")
    assert (failure.kind, failure.elsewhere) == (kind, elsewhere)
    assert failure.message.startswith("Bedrock (eu-west-1): ")
    assert "secret" not in failure.message


def test_when_to_come_again_is_kept() -> None:
    assert explained(refused("ThrottlingException", status=429, **{"retry-after": "7"}), "").retry_after == 7
    assert explained(refused("ThrottlingException", status=429, **{"retry-after": "soon"}), "").retry_after is None
