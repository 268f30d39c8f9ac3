"""A chat request in OpenAI's shape as a request of Bedrock's Converse API.

Promises: roles alternate and begin with the user's, blank texts (which Bedrock refuses) are left out, tool calls and
their results keep their ids, a wanted JSON schema goes along. Refuses what Converse cannot do: several choices, and
pictures that would have to be fetched.
Source: Amazon Bedrock API reference, `Converse` (bedrock-runtime 2023-09-30).
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterable
from typing import Any, Final

from agentflow.models.bedrock.failures import BedrockFailure

JSON = dict[str, Any]
ANSWER_TOOL: Final = "answer"
_IMAGES: Final = {"image/png": "png", "image/jpeg": "jpeg", "image/gif": "gif", "image/webp": "webp"}


def converse_request(model: str, body: JSON, *, schema_as_tool: bool = False) -> JSON:
    """Arguments of boto3's `converse` and `converse_stream` but `modelId`.

    Args:
        schema_as_tool: hold the answer to its schema by a forced tool `answer`, for models without `outputConfig`.

    Raises:
        BedrockFailure: `bad_request`, for what Converse has no words for.
    """
    if body.get("n") not in (None, 1):
        raise _refused("Bedrock gives one choice, `n` has to be 1")
    system, messages = _conversation(body.get("messages") or [])
    request: JSON = {"messages": messages}
    if system:
        request["system"] = system
    if inference := _inference(model, body):
        request["inferenceConfig"] = inference
    if tools := _tools(body):
        request["toolConfig"] = tools
    schema = wanted_schema(body)
    if schema is not None:
        if schema_as_tool and not tools:
            request["toolConfig"] = _forced(schema)
        elif not schema_as_tool:
            shape = {"schema": json.dumps(schema["schema"]), "name": schema["name"]}
            request["outputConfig"] = {
                "textFormat": {"type": "json_schema", "structure": {"jsonSchema": shape}},
            }
    elif (body.get("response_format") or {}).get("type") == "json_object":
        request["system"] = [*system, {"text": "Answer with one JSON object and nothing else."}]
    return request


def wanted_schema(body: JSON) -> JSON | None:
    """`{"name", "schema"}` of the JSON schema that the answer is to be held to, if any."""
    wanted = body.get("response_format")
    if not isinstance(wanted, dict) or wanted.get("type") != "json_schema":
        return None
    shape = wanted.get("json_schema") or {}
    if not isinstance(shape.get("schema"), dict):
        raise _refused("`response_format.json_schema.schema` has to be a JSON schema")
    return {"name": str(shape.get("name") or ANSWER_TOOL), "schema": shape["schema"]}


def _refused(message: str) -> BedrockFailure:
    return BedrockFailure("bad_request", message)


def _forced(schema: JSON) -> JSON:
    spec = {
        "name": ANSWER_TOOL,
        "description": "Gives the answer.",
        "inputSchema": {"json": schema["schema"]},
    }
    return {"tools": [{"toolSpec": spec}], "toolChoice": {"tool": {"name": ANSWER_TOOL}}}


def _inference(model: str, body: JSON) -> JSON:
    found: JSON = {}
    most = body.get("max_completion_tokens") or body.get("max_tokens")
    if most is not None:
        found["maxTokens"] = int(most)
    if body.get("temperature") is not None:
        # OpenAI's scale ends at 2, Converse's at 1.
        found["temperature"] = min(1.0, float(body["temperature"]))
    # Claude 4.5 refuses requests with both.
    if body.get("top_p") is not None and not ("temperature" in found and "anthropic." in model):
        found["topP"] = float(body["top_p"])
    stop = body.get("stop")
    if stop:
        found["stopSequences"] = [stop] if isinstance(stop, str) else [str(s) for s in stop]
    return found


def _conversation(given: Iterable[JSON]) -> tuple[list[JSON], list[JSON]]:
    system: list[JSON] = []
    messages: list[JSON] = []
    for message in given:
        role = message.get("role")
        if role in ("system", "developer"):
            system += _blocks(message.get("content"))
            continue
        if role == "assistant":
            blocks = [*_blocks(message.get("content")), *_uses(message.get("tool_calls") or [])]
        elif role == "tool":
            blocks = [_result(message)]
        elif role == "user":
            blocks = _blocks(message.get("content"))
        else:
            raise _refused("a message's role has to be system, user, assistant or tool")
        theirs = "assistant" if role == "assistant" else "user"
        if not blocks:
            continue
        if messages and messages[-1]["role"] == theirs:
            messages[-1]["content"] += blocks
        else:
            messages.append({"role": theirs, "content": blocks})
    if not messages:
        raise _refused("Bedrock needs a message with text")
    if messages[0]["role"] == "assistant":
        messages.insert(0, {"role": "user", "content": [{"text": "Continue."}]})
    return system, messages


def _blocks(content: Any) -> list[JSON]:
    if content is None:
        return []
    if isinstance(content, str):
        return [{"text": content}] if content.strip() else []
    if not isinstance(content, list):
        raise _refused("a message's content has to be a text or a list of parts")
    blocks: list[JSON] = []
    for part in content:
        kind = part.get("type") if isinstance(part, dict) else None
        if kind == "text":
            blocks += _blocks(str(part.get("text", "")))
        elif kind == "image_url":
            blocks.append(_image(part.get("image_url")))
        else:
            raise _refused(f"Bedrock is given text and pictures only, not {str(kind)[:40]}")
    return blocks


def _image(given: Any) -> JSON:
    url = given.get("url") if isinstance(given, dict) else given
    kind, found, data = str(url).partition(";base64,")
    form = _IMAGES.get(kind.removeprefix("data:"))
    if not found or form is None:
        raise _refused("a picture has to come as data:image/png, jpeg, gif or webp in base64")
    try:
        raw = base64.b64decode(data, validate=True)
    except binascii.Error:
        raise _refused("a picture's base64 is malformed") from None
    return {"image": {"format": form, "source": {"bytes": raw}}}


def _uses(calls: Iterable[JSON]) -> list[JSON]:
    blocks: list[JSON] = []
    for call in calls:
        function = call.get("function") or {}
        try:
            arguments = json.loads(function.get("arguments") or "{}")
        except ValueError:
            raise _refused("the arguments of an earlier tool call are not JSON") from None
        use = {"toolUseId": str(call.get("id", "")), "name": str(function.get("name", "")), "input": arguments}
        blocks.append({"toolUse": use})
    return blocks


def _result(message: JSON) -> JSON:
    content = _blocks(message.get("content")) or [{"text": "(nothing)"}]
    return {"toolResult": {"toolUseId": str(message.get("tool_call_id", "")), "content": content}}


def _tools(body: JSON) -> JSON | None:
    """`toolConfig`; Bedrock wants it as soon as the conversation has tool calls in it."""
    choice = body.get("tool_choice")
    specs = [_spec(tool.get("function") or {}) for tool in body.get("tools") or []]
    used = _used(body.get("messages") or [])
    if not specs or (choice == "none" and not used):
        specs = [_spec({"name": name}) for name in used] if not specs else []
        return {"tools": specs} if specs else None
    config: JSON = {"tools": specs}
    if choice == "required":
        config["toolChoice"] = {"any": {}}
    elif isinstance(choice, dict):
        config["toolChoice"] = {"tool": {"name": str((choice.get("function") or {}).get("name", ""))}}
    return config


def _spec(function: JSON) -> JSON:
    name = str(function.get("name", ""))
    spec: JSON = {
        "name": name,
        "description": str(function.get("description") or name),
        "inputSchema": {"json": function.get("parameters") or {"type": "object", "properties": {}}},
    }
    if function.get("strict"):
        spec["strict"] = True
    return {"toolSpec": spec}


def _used(messages: Iterable[JSON]) -> list[str]:
    names = [str((call.get("function") or {}).get("name", "")) for m in messages for call in m.get("tool_calls") or []]
    return list(dict.fromkeys(names))
