"""Embeddings over Bedrock's InvokeModel: Amazon Titan's and Cohere's models, each in its own shape.

Source: Amazon Bedrock user guide, "Amazon Titan Text Embeddings" and "Cohere Embed".
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from agentflow.models.bedrock.failures import BedrockFailure
from agentflow.models.bedrock.regions import bare

JSON = dict[str, Any]
COHERE_BATCH = 96  # texts in one request


def texts_of(body: JSON) -> list[str]:
    """The texts of an OpenAI request for embeddings.

    Raises:
        BedrockFailure: `bad_request`, for tokens or anything else that is no text.
    """
    given = body.get("input")
    texts = [given] if isinstance(given, str) else given
    if not isinstance(texts, list) or not texts or not all(isinstance(text, str) and text for text in texts):
        raise BedrockFailure("bad_request", "Bedrock makes embeddings of texts only, and of none that is empty")
    return list(texts)


def embedded(client: Any, model: str, texts: Sequence[str], dimensions: int | None) -> tuple[list[list[float]], int]:
    """The vectors, and how many tokens were read. Blocks; raises what boto3 raises.

    Raises:
        BedrockFailure: `bad_request`, the model's family is not known.
    """
    if bare(model).startswith("cohere."):
        vectors: list[list[float]] = []
        tokens = 0
        for start in range(0, len(texts), COHERE_BATCH):
            part = list(texts[start : start + COHERE_BATCH])
            answer, read = _invoke(client, model, {"texts": part, "input_type": "search_document"})
            found = answer["embeddings"]
            vectors += found["float"] if isinstance(found, dict) else found
            tokens += read
        return vectors, tokens
    if bare(model).startswith("amazon.titan-embed"):
        answers = [_invoke(client, model, _titan(model, text, dimensions)) for text in texts]
        return [answer["embedding"] for answer, _ in answers], sum(
            int(answer.get("inputTextTokenCount") or read) for answer, read in answers
        )
    raise BedrockFailure("bad_request", "embeddings come from amazon.titan-embed… and cohere.embed… models")


def _titan(model: str, text: str, dimensions: int | None) -> JSON:
    return {"inputText": text, **({"dimensions": dimensions} if dimensions and "v1" not in model else {})}


def _invoke(client: Any, model: str, body: JSON) -> tuple[JSON, int]:
    answer = client.invoke_model(
        modelId=model, body=json.dumps(body), contentType="application/json", accept="application/json"
    )
    headers = answer["ResponseMetadata"].get("HTTPHeaders") or {}
    return json.loads(answer["body"].read()), int(headers.get("x-amzn-bedrock-input-token-count") or 0)
