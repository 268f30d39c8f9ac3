"""What passes between the gateway and its model worker beside OpenAI's shapes: the start-up message, and errors.

An error goes over as `{"error": {"type", "message", "fix", "data"}}` and comes out as the same typed error.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import orjson
from pydantic import SecretStr

from agentflow import errors
from agentflow.config import StoreConfig
from agentflow.config_models import ModelsConfig

JSON = dict[str, Any]
READY: Final = b"ready\n"  # what the worker writes on its standard output once it listens
_KINDS: Final[dict[str, type[errors.AgentFlowError]]] = {
    each.kind: each
    for each in (
        errors.BudgetExceeded,
        errors.ConfigError,
        errors.ContentBlocked,
        errors.InvalidArguments,
        errors.LimitExceeded,
        errors.ModelUnavailable,
        errors.NotFound,
        errors.StoreUnavailable,
        errors.UnknownName,
        errors.UpstreamProtocolError,
        errors.UpstreamTimeout,
    )
}
_STATUS: Final[dict[type[errors.AgentFlowError], int]] = {
    errors.BudgetExceeded: 402,
    errors.ContentBlocked: 400,
    errors.InvalidArguments: 400,
    errors.LimitExceeded: 429,
    errors.NotFound: 404,
    errors.UnknownName: 404,
    errors.UpstreamTimeout: 504,
}


def start_message(models: ModelsConfig, store: StoreConfig, data_dir: Path, socket: Path, key: str) -> bytes:
    """The line that a worker is started with, secrets in it: it goes over a pipe and nowhere else."""
    message = {
        "models": _clear(models.model_dump(mode="python", exclude_unset=True)),
        "store": _clear(store.model_dump(mode="python", exclude_unset=True)),
        "data_dir": str(data_dir),
        "socket": str(socket),
        "key": key,
    }
    return orjson.dumps(message, default=str) + b"\n"


def _clear(value: Any) -> Any:
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if isinstance(value, Mapping):
        return {name: _clear(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_clear(each) for each in value]
    return value


def error_body(error: Exception) -> tuple[int, JSON]:
    """HTTP status and body of an error; what is none of ours is told without its text."""
    if not isinstance(error, errors.AgentFlowError):
        return 500, {"error": {"type": "internal_error", "message": "the model worker failed", "fix": "", "data": {}}}
    told = {"type": error.kind, "message": error.message, "fix": error.fix, "data": error.data}
    return _STATUS.get(type(error), 503), {"error": told}


def error_of(body: object) -> errors.AgentFlowError:
    """The error that a body stands for."""
    told = body.get("error") if isinstance(body, Mapping) else None
    if not isinstance(told, Mapping):
        return errors.ModelUnavailable("the model worker failed")
    kind = _KINDS.get(str(told.get("type")), errors.ModelUnavailable)
    data = told.get("data")
    known = {str(name): value for name, value in data.items()} if isinstance(data, Mapping) else {}
    for name in ("message", "fix"):
        known.pop(name, None)
    return kind(str(told.get("message", "the model worker failed")), fix=str(told.get("fix", "")), **known)
