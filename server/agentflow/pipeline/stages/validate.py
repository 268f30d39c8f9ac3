"""validate: arguments fit the tool's `inputSchema` before it is called, results its `outputSchema` before they leave.

Refusals say where, what was expected, and of which *type* the given value was, never the value. A PII token may
stand where a schema wants anything; what goes upstream in its place is checked again (`check`). It checks the shape of
`tools/call`, `prompts/get` and what is asked of models; what else travels is checked where it is parsed.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from typing import Any, ClassVar, Final, Literal

from agentflow.errors import InvalidArguments, UpstreamProtocolError
from agentflow.guard.complaints import Problem, type_name
from agentflow.guard.validation import MAX_PROBLEMS, Schema, UnusableSchema
from agentflow.pipeline.call import JSON, Call, Direction, Message
from agentflow.pipeline.stage import PASS, SKIPPED, Note

_COMPILED: Final = 2048  # schemas kept
_ASKED: Final = frozenset({"models/chat", "models/embed"})  # of these the answer is of the gateway's own make


class Validate:
    """The validate stage."""

    name: ClassVar[str] = "validate"
    kind: ClassVar[Literal["validator", "mutator"]] = "validator"
    directions: ClassVar[frozenset[Direction]] = frozenset(Direction)

    def __init__(self) -> None:
        # By identity, which the held reference keeps from being reused; and by content, for equal copies.
        self._by_identity: OrderedDict[int, tuple[Any, Schema]] = OrderedDict()
        self._by_content: OrderedDict[str, Schema] = OrderedDict()

    def __call__(self, call: Call, message: Message) -> Note:
        """Check the arguments or the result of a call.

        Raises:
            InvalidArguments: the arguments do not fit; `data.problems` has up to five `{path, problem}`.
            UpstreamProtocolError: the result does not fit, or the upstream's schema cannot be used.
        """
        if message.surface != call.surface:
            return SKIPPED
        if message.surface == "tools/call":
            return self._arguments(call, message.body) if _inbound(message) else self._result(call, message.body)
        if message.surface == "prompts/get" and _inbound(message):
            return _prompt(call, message.body)
        if message.surface in _ASKED and _inbound(message):
            return self._arguments(call, message.body)
        return SKIPPED

    def _arguments(self, call: Call, params: JSON) -> Note:
        arguments = params.get("arguments")
        if arguments is None:
            arguments = {}
        if not isinstance(arguments, dict):
            raise _invalid(call, [Problem("", f"expected object, got {type_name(arguments)}")])
        if call.definition is None or "inputSchema" not in call.definition:
            return PASS
        problems, call.excused = self._judged(call, "inputSchema", arguments)
        if problems:
            raise _invalid(call, problems)
        return PASS

    def check(self, call: Call, params: JSON) -> None:
        """Check the arguments of a tool as they will be sent, now that tokens have become values or stay tokens.

        Raises:
            InvalidArguments, UpstreamProtocolError: as for a call.
        """
        if call.definition is None or "inputSchema" not in call.definition:
            return
        problems, _ = self._judged(call, "inputSchema", params.get("arguments") or {}, final=True)
        if problems:
            raise _invalid(call, problems)

    def _result(self, call: Call, result: JSON) -> Note:
        if result.get("resultType", "complete") != "complete" or "task" in result:
            return PASS
        _check_shape(call, result)
        if result.get("isError") or call.definition is None or call.definition.get("outputSchema") is None:
            return PASS
        if "structuredContent" not in result:
            raise _broken(call, "result has an output schema but no structuredContent", "/structuredContent")
        problems, _ = self._judged(call, "outputSchema", result["structuredContent"])
        if problems:
            first = problems[0]
            path = f"/structuredContent{first.path}"
            raise _broken(call, f"result does not fit its outputSchema: {path} {first.text}", path)
        return PASS

    def _judged(self, call: Call, key: str, value: Any, final: bool = False) -> tuple[list[Problem], bool]:
        definition = call.definition or {}
        try:
            return self._schema(definition[key]).judge(value, final=final)
        except UnusableSchema as error:
            raise UpstreamProtocolError(
                f"The {key} of tool {call.name!r} cannot be used: {error}",
                fix="Its server must correct the schema",
                path=f"/{key}",
            ) from error

    def _schema(self, schema: Any) -> Schema:
        known = self._by_identity.get(id(schema))
        if known is not None and known[0] is schema:
            return known[1]
        try:
            content = json.dumps(schema, sort_keys=True)
        except RecursionError as error:
            raise UnusableSchema("it is nested too deeply") from error
        compiled = self._by_content.get(content)
        if compiled is None:
            compiled = self._by_content[content] = Schema(schema)
            if len(self._by_content) > _COMPILED:
                self._by_content.popitem(last=False)
        self._by_identity[id(schema)] = (schema, compiled)
        if len(self._by_identity) > _COMPILED:
            self._by_identity.popitem(last=False)
        return compiled


def _inbound(message: Message) -> bool:
    return message.direction is Direction.INBOUND


def _prompt(call: Call, params: JSON) -> Note:
    """Prompt arguments are strings by name, and the definition says which are required."""
    arguments = params.get("arguments")
    if arguments is None:
        arguments = {}
    if not isinstance(arguments, dict):
        raise _invalid(call, [Problem("", f"expected object, got {type_name(arguments)}")])
    problems = [
        Problem(f"/{name}", f"expected string, got {type_name(value)}")
        for name, value in arguments.items()
        if not isinstance(value, str)
    ]
    declared = (call.definition or {}).get("arguments")
    for argument in declared if isinstance(declared, list) else ():
        if isinstance(argument, dict) and argument.get("required") and argument.get("name") not in arguments:
            problems.append(Problem("", f"missing required argument '{argument.get('name')}'"))
    if problems:
        raise _invalid(call, problems[:MAX_PROBLEMS])
    return PASS


def _invalid(call: Call, problems: list[Problem]) -> InvalidArguments:
    told = "; ".join(f"arguments{p.path}: {p.text}" for p in problems)
    return InvalidArguments(
        f"Invalid arguments for {call.name!r}: {told}",
        problems=[{"path": f"/arguments{p.path}", "problem": p.text} for p in problems],
    )


def _check_shape(call: Call, result: JSON) -> None:
    content = result.get("content")
    if content is None and "structuredContent" in result:
        return
    if not isinstance(content, list):
        raise _broken(call, f"result has content of type {type_name(content)} instead of a list", "/content")
    for index, block in enumerate(content):
        if not isinstance(block, dict) or not isinstance(block.get("type"), str):
            raise _broken(call, f"content block {index} is no typed object", f"/content/{index}")
        if block["type"] == "text" and not isinstance(block.get("text"), str):
            raise _broken(call, f"text block {index} has no text", f"/content/{index}/text")
    if not isinstance(result.get("isError", False), bool):
        raise _broken(call, "result has an isError that is not a boolean", "/isError")


def _broken(call: Call, what: str, path: str) -> UpstreamProtocolError:
    return UpstreamProtocolError(
        f"The answer of {call.name!r} is not valid: its {what}", path=path, fix="Its server must correct the tool"
    )
