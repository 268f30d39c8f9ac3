"""Bedrock's wire format: Converse, ConverseStream in AWS's event-stream encoding, InvokeModel, and both listings.

One server stands for every region: the region is read off the signature's scope (or the path, where `base_url` has it),
and a request's `model` is `region/id`. Shapes as recorded in the Bedrock API reference (2026-10).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import parse_qs

from tests.model_servers.event_stream import event, exception
from tests.model_servers.script import JSON, Asked, Raw, Refusal, Say
from tests.model_servers.server import ModelServer, vector

SONNET = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
HAIKU = "us.anthropic.claude-haiku-4-5-20251001-v1:0"
QWEN = "qwen.qwen3-32b-v1:0"
TITAN = "amazon.titan-embed-text-v2:0"

_SCOPE = re.compile(r"Credential=[^/]+/\d+/([a-z0-9-]+)/(bedrock|sts)/aws4_request")
_PATH = re.compile(r"^(?:/([a-z]{2}-[a-z-]+-\d))?/(?:model/(.+)/(converse|converse-stream|invoke)|([a-z-]+))$")
_STOPS = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "content_filter": "guardrail_intervened",
}

WHO = "arn:aws:sts::123456789012:assumed-role/agents/ann@example.com"
_DENIED = (
    f"User: {WHO} is not authorized to perform: bedrock:InvokeModel on resource: "
    f"arn:aws:bedrock:us-east-1:123456789012:inference-profile/{SONNET} "
    "because no identity-based policy allows the bedrock:InvokeModel action"
)
_ERRORS: dict[Refusal, tuple[int, str, str]] = {
    "rate_limit": (429, "ThrottlingException", "Too many requests, please wait before trying again."),
    "quota": (400, "ServiceQuotaExceededException", "Your request exceeds the service quota for your account."),
    "server_error": (500, "InternalServerException", "The system encountered an unexpected error."),
    "overloaded": (503, "ServiceUnavailableException", "Bedrock is unable to process your request."),
    "timeout": (408, "ModelTimeoutException", "Model has timed out in processing the request."),
    "unauthorized": (403, "UnrecognizedClientException", "The security token included in the request is invalid."),
    "forbidden": (403, "AccessDeniedException", _DENIED),
    "unknown_model": (400, "ValidationException", "The provided model identifier is invalid."),
    "context_length": (400, "ValidationException", "Input is too long for requested model."),
    "content_filter": (400, "ValidationException", "The request was blocked by our content filters."),
    "bad_request": (400, "ValidationException", "Malformed input request, please reformat your input and try again."),
    "no_schema": (400, "ValidationException", "This model doesn't support the outputConfig.textFormat field."),
}
_STS_ERROR = (
    '<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>Sender</Type>'
    "<Code>AccessDenied</Code><Message>{}</Message></Error><RequestId>1</RequestId></ErrorResponse>"
)
_STS_ANSWER = (
    '<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult><Credentials>'
    "<AccessKeyId>{}</AccessKeyId><SecretAccessKey>s</SecretAccessKey><SessionToken>t</SessionToken>"
    "<Expiration>2999-01-01T00:00:00Z</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>"
)


@dataclass(frozen=True)
class Offered:
    """A foundation model of a region, and the profiles that serve it."""

    id: str
    on_demand: bool = True
    profiles: Sequence[str] = ()
    output: str = "TEXT"
    status: str = "ACTIVE"


CATALOGUE = (
    Offered("anthropic.claude-sonnet-4-5-20250929-v1:0", False, ("us", "global")),
    Offered("anthropic.claude-haiku-4-5-20251001-v1:0", False, ("us", "global")),
    Offered("anthropic.claude-v2", status="LEGACY"),
    Offered(QWEN),
    Offered(TITAN, output="EMBEDDING"),
    Offered("amazon.nova-canvas-v1:0", output="IMAGE"),
)


class BedrockServer(ModelServer):
    """Bedrock, in every region.

    Attributes:
        offers: what each region has; a region that is not in it has nothing.
        denies: operations (`ListFoundationModels`, `ListInferenceProfiles`) that IAM refuses.
        roles: ARNs that may be taken over, and the key id that STS then gives.
        page: profiles on one page of the listing.
    """

    stream_type = "application/vnd.amazon.eventstream"

    def __init__(self, *models: str) -> None:
        super().__init__(*models)
        self.restore()

    def restore(self) -> None:
        """The catalogue as at the beginning."""
        self.offers: dict[str, Sequence[Offered]] = {"us-east-1": CATALOGUE, "us-west-2": CATALOGUE}
        self.denies: set[str] = set()
        self.roles: dict[str, str] = {}
        self.page = 2

    def recognise(self, method: str, path: str, headers: Mapping[str, str], body: JSON) -> tuple[str, str, bool]:
        found = _PATH.match(path)
        if found is None:
            return "", "", False
        scope = _SCOPE.search(headers.get("authorization", ""))
        region = found[1] or (scope[1] if scope else "")
        if found[4] in ("foundation-models", "inference-profiles"):
            return "models", f"{region}/{found[4]}", False
        if found[3] is None:
            return "", "", False
        operation = "embed" if found[3] == "invoke" else "chat"
        return operation, f"{region}/{found[2]}", found[3] == "converse-stream"

    def whole(self, asked: Asked, say: Say) -> JSON:
        content: list[JSON] = [{"text": say.written}] if say.written else []
        for call in say.tool_calls:
            content.append({"toolUse": {"toolUseId": call.id, "name": call.name, "input": dict(call.arguments)}})
        body: JSON = {
            "metrics": {"latencyMs": 551},
            "output": {"message": {"content": content, "role": "assistant"}},
            "stopReason": _STOPS[say.finish],
            "usage": _usage(say),
        }
        return body if say.choices else {"metrics": {"latencyMs": 551}, "usage": _usage(say)}

    def events(self, asked: Asked, say: Say) -> Iterator[tuple[bytes, bool]]:
        yield event("messageStart", {"role": "assistant"}), False
        if say.written:
            for part in say.parts:
                yield event("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": part}}), True
            yield event("contentBlockStop", {"contentBlockIndex": 0}), False
        for index, call in enumerate(say.tool_calls, start=1):
            start = {"toolUse": {"toolUseId": call.id, "name": call.name}}
            yield event("contentBlockStart", {"contentBlockIndex": index, "start": start}), False
            written = json.dumps(dict(call.arguments))
            for part in (written[: len(written) // 2], written[len(written) // 2 :]):
                yield (
                    event("contentBlockDelta", {"contentBlockIndex": index, "delta": {"toolUse": {"input": part}}}),
                    True,
                )
            yield event("contentBlockStop", {"contentBlockIndex": index}), False
        yield event("messageStop", {"stopReason": _STOPS[say.finish]}), False
        yield event("metadata", {"metrics": {"latencyMs": 551}, "usage": _usage(say)}), False

    def refusal(self, asked: Asked, kind: Refusal, message: str) -> tuple[int, JSON, Mapping[str, str]]:
        status, error, text = _ERRORS[kind]
        return status, {"message": message or text}, {"x-amzn-errortype": f"{error}:http://internal.amazon.com/coral/"}

    def midway(self, asked: Asked, kind: Refusal) -> bytes:
        _, error, text = _ERRORS[kind]
        return exception(error[0].lower() + error[1:], text)

    def embedding(self, asked: Asked) -> JSON:
        if "texts" in asked.body:
            vectors = [vector(str(text), self.dimensions) for text in asked.body["texts"]]
            return {"embeddings": vectors, "id": "e1", "response_type": "embeddings_floats"}
        text = str(asked.body.get("inputText", ""))
        return {"embedding": vector(text, self.dimensions), "inputTextTokenCount": len(text.split())}

    def listing(self, asked: Asked) -> JSON:
        region, _, what = asked.model.partition("/")
        offers = self.offers.get(region, ())
        if what == "foundation-models":
            return {"modelSummaries": [_summary(region, offer) for offer in offers]}
        found = [_profile(region, offer, geography) for offer in offers for geography in offer.profiles]
        start = int(
            re.sub(r"\D", "", dict(p.partition("=")[::2] for p in asked.query.split("&")).get("nextToken", "")) or 0
        )
        following = {"nextToken": f"t{start + self.page}"} if start + self.page < len(found) else {}
        return {"inferenceProfileSummaries": found[start : start + self.page], **following}

    def elsewhere(self, asked: Asked) -> Raw:
        """STS, where a role is to be taken over."""
        form = parse_qs(str(asked.body.get("undecodable", "")))
        if form.get("Action") != ["AssumeRole"]:
            return super().elsewhere(asked)
        role = form["RoleArn"][0]
        key = self.roles.get(role)
        if key is None:
            why = f"User: {WHO} is not authorized to perform: sts:AssumeRole on resource: {role}"
            return Raw(_STS_ERROR.format(why).encode(), status=403, content_type="text/xml")
        return Raw(_STS_ANSWER.format(key).encode(), content_type="text/xml")

    def refused_listing(self, asked: Asked) -> Refusal | None:
        name = "ListFoundationModels" if asked.model.endswith("foundation-models") else "ListInferenceProfiles"
        return "forbidden" if name in self.denies else None


def _usage(say: Say) -> JSON:
    fresh = say.prompt_tokens - say.cached_tokens
    total = say.prompt_tokens + say.completion_tokens
    usage = {"inputTokens": fresh, "outputTokens": say.completion_tokens, "totalTokens": total}
    return {**usage, "cacheReadInputTokens": say.cached_tokens} if say.cached_tokens else usage


def _summary(region: str, offer: Offered) -> JSON:
    return {
        "customizationsSupported": [],
        "inferenceTypesSupported": ["ON_DEMAND"] if offer.on_demand else ["INFERENCE_PROFILE"],
        "inputModalities": ["TEXT"],
        "modelArn": f"arn:aws:bedrock:{region}::foundation-model/{offer.id}",
        "modelId": offer.id,
        "modelLifecycle": {"status": offer.status},
        "modelName": offer.id,
        "outputModalities": [offer.output],
        "providerName": offer.id.split(".")[0],
        "responseStreamingSupported": True,
    }


def _profile(region: str, offer: Offered, geography: str) -> JSON:
    name = f"{geography}.{offer.id}"
    return {
        "createdAt": "2025-09-29T00:00:00Z",
        "description": f"Routes requests to {offer.id}.",
        "inferenceProfileArn": f"arn:aws:bedrock:{region}:123456789012:inference-profile/{name}",
        "inferenceProfileId": name,
        "inferenceProfileName": name,
        "models": [{"modelArn": f"arn:aws:bedrock:{region}::foundation-model/{offer.id}"}],
        "status": "ACTIVE",
        "type": "SYSTEM_DEFINED",
        "updatedAt": "2025-09-29T00:00:00Z",
    }
