"""Local HTTP servers that speak the wire format of each provider of language models, with scripted faults."""

from tests.model_servers.anthropic import AnthropicServer
from tests.model_servers.bedrock import BedrockServer
from tests.model_servers.cohere import CohereServer
from tests.model_servers.gemini import GeminiServer
from tests.model_servers.ollama import OllamaServer
from tests.model_servers.openai import OpenAIServer
from tests.model_servers.script import (
    EMPTY,
    GARBAGE,
    INJECTION,
    MEGABYTE,
    PROXY_PAGE,
    UNKNOWN_TOOL,
    Asked,
    Cut,
    Hang,
    Midway,
    Raw,
    Refuse,
    Reply,
    Say,
    ToolCall,
)
from tests.model_servers.server import ModelServer, vector

__all__ = [
    "EMPTY",
    "GARBAGE",
    "INJECTION",
    "MEGABYTE",
    "PROXY_PAGE",
    "UNKNOWN_TOOL",
    "AnthropicServer",
    "Asked",
    "BedrockServer",
    "CohereServer",
    "Cut",
    "GeminiServer",
    "Hang",
    "Midway",
    "ModelServer",
    "OllamaServer",
    "OpenAIServer",
    "Raw",
    "Refuse",
    "Reply",
    "Say",
    "ToolCall",
    "vector",
]
