"""What pydantic found wrong, said so that a person can mend it: a sentence and a fix, never the value itself."""

from __future__ import annotations

import difflib
import types
from collections.abc import Mapping
from typing import Any, Union, get_args, get_origin

from pydantic import AliasChoices, BaseModel

from agentflow.config import Config

Loc = tuple[str | int, ...]

_FIXES = {
    "missing": "add it",
    "int": "write a whole number",
    "float": "write a number",
    "bool": "write true or false",
    "string": "write text; put it in quotes",
    "tuple": "write a list: [a, b]",
    "dict": "write a mapping: `key: value` lines",
    "model": "write a mapping: `key: value` lines",
    "path": "write a path",
}


def dotted(loc: Loc) -> str:
    """`("auth", "api_keys", 0, "key")` as `auth.api_keys[0].key`."""
    text = ""
    for step in loc:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return text


def explain(error: Mapping[str, Any]) -> tuple[str, str]:
    """One entry of `ValidationError.errors()` as (message, fix)."""
    kind, loc, message = str(error["type"]), tuple(error["loc"]), str(error["msg"])
    if kind == "extra_forbidden":
        keys = _keys(loc[:-1])
        near = difflib.get_close_matches(str(loc[-1]), keys, 1, 0.6)
        fix = f"did you mean `{near[0]}`?" if near else f"known here: {', '.join(sorted(keys))}"
        return "is not a key AgentFlow knows", fix
    if kind == "literal_error":
        return "is not one of the values possible here", f"use {error['ctx']['expected']}"
    if kind == "value_error":
        return str(error["ctx"]["error"]), "see `agentflow config schema`"
    if kind == "missing":
        return "is missing", "add it"
    message = message.removeprefix("Input ")
    if kind.startswith(("greater", "less")):
        return message, f"write a number {message.removeprefix('should be ')}"
    return message, next((fix for start, fix in _FIXES.items() if kind.startswith(start)), "correct the value")


def known(loc: Loc, key: str) -> bool:
    """Whether `key` means something in the mapping at `loc`."""
    return key in _keys(loc) or key in ("transport", "$schema")


def near_variable(name: str) -> str | None:
    """The `AGENTFLOW_*` variable that a mistyped one was probably meant to be."""
    head, _, rest = name.upper().removeprefix("AGENTFLOW_").partition("__")
    fields = [field.upper() for field in Config.model_fields]
    if head in fields:
        return None
    near = difflib.get_close_matches(head, fields, 1, 0.8)
    return f"AGENTFLOW_{near[0]}" + (f"__{rest}" if rest else "") if near else None


def _keys(loc: Loc) -> list[str]:
    """Every key that the mapping at `loc` may have."""
    at: Any = Config
    for step in loc:
        at = _inner(at, step)
    if not (isinstance(at, type) and issubclass(at, BaseModel)):
        return []
    names: list[str] = []
    for name, field in at.model_fields.items():
        if isinstance(field.validation_alias, AliasChoices):
            names += [str(alias) for alias in field.validation_alias.choices]
        names.append(name)
    return list(dict.fromkeys(name for name in names if not name.startswith("AGENTFLOW_")))


def _inner(at: Any, step: str | int) -> Any:
    """The type of what `step` leads to within type `at`."""
    if get_origin(at) in (Union, types.UnionType):
        at = next((part for part in get_args(at) if part is not type(None)), None)
    if get_origin(at) in (dict, tuple):
        args = [arg for arg in get_args(at) if arg is not Ellipsis]
        return args[-1] if args else None
    if not (isinstance(at, type) and issubclass(at, BaseModel)):
        return None
    for name, field in at.model_fields.items():
        choices = field.validation_alias.choices if isinstance(field.validation_alias, AliasChoices) else []
        if step == name or step in choices:
            return field.annotation
    return None
