"""What may be asked of a language model: JSON Schemas of the requests, and what of OpenAI's API is not taken.

A member that is not named here is refused, for what a client library of some provider makes of a member is not known
here: `api_base` alone would send the provider's key elsewhere. Where the text would come back in a form that cannot be
redacted (log probabilities), or identifies a person to the provider, it is refused or left out.

Source: OpenAI API reference, chat completions and embeddings (2026-10).
"""

from __future__ import annotations

from typing import Any, Final

JSON = dict[str, Any]

_TEXT: JSON = {"type": "string"}
_COUNT: JSON = {"type": ["integer", "null"], "minimum": 1}
_PENALTY: JSON = {"type": ["number", "null"], "minimum": -2, "maximum": 2}
_FLAG: JSON = {"type": ["boolean", "null"]}
_PART: JSON = {"type": "object", "required": ["type"], "properties": {"type": _TEXT, "text": _TEXT}}
_CALL: JSON = {
    "type": "object",
    "required": ["function"],
    "properties": {
        "id": _TEXT,
        "type": _TEXT,
        "function": {"type": "object", "required": ["name"], "properties": {"name": _TEXT, "arguments": _TEXT}},
    },
}
_MESSAGE: JSON = {
    "type": "object",
    "required": ["role"],
    "additionalProperties": False,
    "properties": {
        "role": {"enum": ["system", "developer", "user", "assistant", "tool"]},
        "content": {"type": ["string", "array", "null"], "items": _PART},
        "name": _TEXT,
        "refusal": {"type": ["string", "null"]},
        "reasoning_content": {"type": ["string", "null"]},
        "tool_calls": {"type": ["array", "null"], "items": _CALL},
        "tool_call_id": _TEXT,
    },
}
_TOOL: JSON = {
    "type": "object",
    "required": ["type", "function"],
    "properties": {
        "type": {"enum": ["function"]},
        "function": {
            "type": "object",
            "required": ["name"],
            "properties": {"name": _TEXT, "description": _TEXT, "parameters": {"type": "object"}, "strict": _FLAG},
        },
    },
}
CHAT: Final[JSON] = {
    "type": "object",
    "required": ["messages"],
    "additionalProperties": False,
    "properties": {
        "messages": {"type": "array", "minItems": 1, "maxItems": 10_000, "items": _MESSAGE},
        "max_tokens": _COUNT,
        "max_completion_tokens": _COUNT,
        "temperature": {"type": ["number", "null"], "minimum": 0, "maximum": 2},
        "top_p": {"type": ["number", "null"], "minimum": 0, "maximum": 1},
        "n": {"type": ["integer", "null"], "minimum": 1, "maximum": 8},
        "stop": {"type": ["string", "array", "null"], "items": _TEXT, "maxItems": 8},
        "presence_penalty": _PENALTY,
        "frequency_penalty": _PENALTY,
        "logit_bias": {"type": ["object", "null"], "additionalProperties": {"type": "number"}},
        "seed": {"type": ["integer", "null"]},
        "tools": {"type": ["array", "null"], "items": _TOOL, "maxItems": 1024},
        "tool_choice": {"type": ["string", "object", "null"]},
        "parallel_tool_calls": _FLAG,
        "response_format": {"type": ["object", "null"], "required": ["type"]},
        "reasoning_effort": {"enum": ["none", "minimal", "low", "medium", "high", "xhigh", None]},
        "verbosity": {"enum": ["low", "medium", "high", None]},
    },
}
EMBED: Final[JSON] = {
    "type": "object",
    "required": ["input"],
    "additionalProperties": False,
    "properties": {
        "input": {"type": ["string", "array"], "items": _TEXT, "minItems": 1, "maxItems": 2048},
        "dimensions": _COUNT,
    },
}
SCHEMAS: Final[dict[str, JSON]] = {"chat": CHAT, "embedding": EMBED}

# Says to the provider who somebody is, keeps the prompt there, or buys another service: not passed on.
LEFT_OUT: Final = frozenset(
    {"user", "metadata", "store", "safety_identifier", "prompt_cache_key", "prompt_cache_retention", "service_tier"}
)
# Text of the answer in another form, which no redaction reads.
UNREADABLE: Final = frozenset({"logprobs", "top_logprobs", "audio", "modalities", "prediction"})
