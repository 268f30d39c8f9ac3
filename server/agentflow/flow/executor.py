"""Turns actions into validated calls, made as the calling principal, and reports each one's success or failure.

Promises: an unknown tool or arguments outside the tool's `inputSchema` are a failed action and never a call; one
result per action, in order; a tool's error never ends the run. Only tools marked read-only run side by side, in one
branch of a run or in several. A call that changes something is made once: the same one is not made again by a later
step, whoever plans it anew, where it succeeded, or failed and may have taken effect all the same.
"""

from __future__ import annotations

import asyncio
import json
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from jsonschema.exceptions import SchemaError, best_match
from jsonschema.validators import Draft202012Validator, validator_for
from referencing import Registry
from referencing.exceptions import Unresolvable

from agentflow.errors import AgentFlowError
from agentflow.flow.catalogue import Catalogue, Tool
from agentflow.flow.port import Caller
from agentflow.flow.results import data_of, empty, failed
from agentflow.flow.types import Action, ActionError, ActionResult, ExecutorOutput

PARALLEL = 4
ASK_USER = "ask_user"  # an action that asks the person at the client, where there is no tool of that name
AskUser = Callable[[Action], Awaitable[ActionResult]]


_VALIDATORS: OrderedDict[int, tuple[dict[str, Any], Any]] = OrderedDict()
_KEPT = 256  # schemas that stay compiled


def _validator(schema: dict[str, Any]) -> Any:
    """The validator of a schema; of the very same object it is not made twice. Raises SchemaError."""
    kept = _VALIDATORS.get(id(schema))
    if kept is not None and kept[0] is schema:
        return kept[1]
    kind = validator_for(schema, default=Draft202012Validator)
    kind.check_schema(schema)
    made = kind(schema, registry=Registry())
    _VALIDATORS[id(schema)] = schema, made
    while len(_VALIDATORS) > _KEPT:
        _VALIDATORS.popitem(last=False)
    return made


def invalid(schema: dict[str, Any], arguments: dict[str, Any]) -> str | None:
    """Why arguments do not satisfy a tool's inputSchema, or None. Remote references are never fetched."""
    try:
        error = best_match(_validator(schema).iter_errors(arguments))
    except SchemaError as problem:
        return f"the tool's own inputSchema is invalid: {problem.message}"
    except (Unresolvable, RecursionError):
        return "the tool's own inputSchema cannot be resolved"
    if error is None:
        return None
    where = "/".join(str(step) for step in error.absolute_path)
    return f"{where or 'arguments'}: {error.message}"[:500]


class Executor:
    """Runs the actions of one step through the caller; all branches of a run share one.

    Args:
        ask_user: asks the person, where that is possible.
    """

    def __init__(self, caller: Caller, catalogue: Catalogue, ask_user: AskUser | None = None) -> None:
        self._caller = caller
        self._catalogue = catalogue
        self._ask_user = ask_user
        self._doubtful: set[str] = set()  # calls that may have taken effect
        self._made: dict[str, object] = {}  # calls that succeeded, each with the step that made it
        self._writing = asyncio.Lock()

    async def run(self, actions: Sequence[Action]) -> ExecutorOutput:
        """Validate and make every call. Cancellation reaches the calls under way; none is left running."""
        tools = [self._catalogue.tool(action.tool) for action in actions]
        this_step = object()  # what one step names twice is meant twice
        if len(actions) > 1 and all(tool is not None and tool.read_only for tool in tools):
            gate = asyncio.Semaphore(PARALLEL)
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self._gated(gate, a)) for a in actions]
            results = [task.result() for task in tasks]
        else:
            results = [await self._one(action, this_step) for action in actions]
        made = [a for a, r in zip(actions, results, strict=True) if r.error is None or r.error.kind not in _NOT_MADE]
        return ExecutorOutput(commands=made, results=results, context=_summary(results))

    async def _gated(self, gate: asyncio.Semaphore, action: Action) -> ActionResult:
        async with gate:
            return await self._one(action)

    async def _one(self, action: Action, step: object = None) -> ActionResult:
        tool = self._catalogue.tool(action.tool)
        if tool is None and action.tool == ASK_USER and self._ask_user is not None:
            return await self._ask_user(action)
        if tool is None:
            return _failure(action, "unknown_name", f"there is no tool {action.tool!r}")
        problem = invalid(tool.view.input_schema, action.arguments)
        if problem is not None:
            return _failure(action, "invalid_arguments", problem)
        if tool.read_only:
            return await self._called(action, tool)
        async with self._writing:
            return await self._written(action, tool, step)

    async def _written(self, action: Action, tool: Tool, step: object) -> ActionResult:
        this = json.dumps([action.tool, action.arguments], sort_keys=True)
        if this in self._doubtful:
            return _failure(action, "not_repeated", "the same call failed before and may have taken effect")
        if self._made.get(this, step) is not step:
            return _failure(action, "not_repeated", "the same call has succeeded already, in another step of this run")
        if not _harmless(tool):
            self._doubtful.add(this)  # until it is known how it ended
        result = await self._called(action, tool)
        if result.success and not _harmless(tool):
            self._made[this] = step
        if result.error is None or result.error.retryable or result.error.kind not in _MAY_HAVE_RUN:
            self._doubtful.discard(this)
        return result

    async def _called(self, action: Action, tool: Tool) -> ActionResult:
        try:
            result = await self._caller.call(action.tool, action.arguments)
        except AgentFlowError as error:
            return _failure(action, error.kind, error.message, retryable=_retryable(error, tool), reasons=_codes(error))
        except Exception:
            # Its text may hold what nobody may see (errors.to_rpc keeps to the same rule).
            return _failure(action, "internal_error", "the call failed inside the gateway")
        message = failed(result)
        if message is not None:
            return _failure(action, "tool_error", message[:1000])
        return ActionResult(tool=action.tool, arguments=action.arguments, success=True, output=data_of(result))


_NOT_MADE = frozenset({"unknown_name", "invalid_arguments", "not_repeated"})
# Failures that come, or can come, after the tool was reached, and that do not tell what it did.
_MAY_HAVE_RUN = frozenset(
    {"upstream_timeout", "upstream_protocol_error", "limit_exceeded", "content_blocked", "stage_failed"}
    | {"vault_unavailable", "audit_unavailable", "internal_error"}
)


def _retryable(error: AgentFlowError, tool: Tool) -> bool:
    """Whether calling again may help and cannot run the tool twice: it was never sent, or twice does no harm."""
    if error.kind == "limit_exceeded":
        # Refused at the door it says when to come again; a bound on the answer is met after the tool has run.
        return "retry_after" in error.data
    if error.kind == "upstream_unavailable":
        return True
    return _harmless(tool) and error.kind in ("upstream_timeout", "upstream_protocol_error")


def _harmless(tool: Tool) -> bool:
    return tool.read_only or tool.view.annotations.get("idempotentHint") is True


def _codes(error: AgentFlowError) -> list[str]:
    reasons = error.data.get("reasons")
    found = [r.get("code") if isinstance(r, dict) else r for r in reasons] if isinstance(reasons, list) else []
    return [code for code in found if isinstance(code, str)][:20]


def _failure(
    action: Action, kind: str, message: str, *, retryable: bool = False, reasons: Sequence[str] = ()
) -> ActionResult:
    error = ActionError(kind=kind, message=message, retryable=retryable, reasons=list(reasons))
    return ActionResult(tool=action.tool, arguments=action.arguments, success=False, error=error)


def _summary(results: Sequence[ActionResult]) -> str:
    lines = []
    for result in results:
        if result.error is not None:
            lines.append(f"{result.tool}: failed ({result.error.kind}): {result.error.message}")
        elif empty(result.output):
            lines.append(f"{result.tool}: empty")
        else:
            size = f"{len(result.output)} items" if isinstance(result.output, list) else type(result.output).__name__
            lines.append(f"{result.tool}: ok ({size})")
    return "\n".join(lines)
