"""Rounds of one request: how a 2026 client comes back to a call that a person was asked about in between.

Such a client is never sent a request; its call ends with an interim result (`input_required`) that holds the question
and a `requestState`, and it repeats the call with both the answer and that state (MCP 2026-07-28, multi-round-trip
requests). Ours promises to depend on no memory of any process: it is sealed (AES-256-GCM) under a key that all gateways
of an installation share, names the approval, and is bound to the principal and the very request it was made for. It
refuses, with one text for all, a state that is altered, foreign or of another request. What an upstream's own
`requestState` is, and what is answered to it where people are asked about the answer, is sealed inside ours.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import orjson

from agentflow.errors import AgentFlowError, ApprovalRequired, InvalidArguments
from agentflow.guard.taint_store import Seal

if TYPE_CHECKING:
    from agentflow.pipeline.call import Call

JSON = dict[str, Any]
PREFIX: Final = "agentflow-approval."
ANSWER: Final = "approval"  # the key of our question among `inputRequests`
_OF_ROUNDS: Final = frozenset({"inputResponses", "requestState"})


class Interim(ApprovalRequired):
    """The call waits for somebody; `result` is what its client gets meanwhile. To the chain a refusal as any other."""

    def __init__(self, message: str, result: JSON) -> None:
        super().__init__(message)
        self.result = result


@dataclass(frozen=True, slots=True)
class Resumed:
    """What a client came back with.

    Attributes:
        approval: id of what it was told to wait for.
        leg: record id of the call's last round where that used the approval already, else "".
        answer: what it says to our question, or None.
    """

    approval: str
    leg: str
    answer: JSON | None


@dataclass(frozen=True, slots=True)
class Round:
    """One round of a request."""

    states: States
    principal: str
    method: str
    params: JSON
    resumed: Resumed | None = None

    def state(self, approval: str, leg: str = "", upstream: str | None = None, answers: JSON | None = None) -> str:
        """The `requestState` that brings the client back here.

        Args:
            upstream: the upstream's own.
            answers: `inputResponses` that the upstream waits for, of a call that waits on the way there.
        """
        said = {"a": approval, "l": leg, "u": upstream, "r": answers}
        return self.states.sealed({**said, "p": self.principal, "f": fingerprint(self.method, self.params)})

    async def going_on(self, call: Call, result: JSON) -> JSON:
        """An upstream's own interim result, so that an approval that the call has used covers its next round, once."""
        used = call.approval or {}
        if used.get("state") != "used":
            return result
        state = await asyncio.to_thread(self.state, used["id"], call.id, result.get("requestState"))
        return {**result, "requestState": state}


class States:
    """Makes and opens the states. `key` gives the 32 bytes that all gateways share; it may have to read a disk."""

    def __init__(self, key: Callable[[], bytes]) -> None:
        self._make_key = key

    @cached_property
    def _seal(self) -> Seal:
        return Seal(self._make_key(), "this installation")

    @staticmethod
    def ours(params: JSON) -> bool:
        """Whether a request comes back to something of ours."""
        state = params.get("requestState")
        return isinstance(state, str) and state.startswith(PREFIX)

    def sealed(self, said: JSON) -> str:
        """A state that says this."""
        return PREFIX + base64.urlsafe_b64encode(self._seal.closed(orjson.dumps(said))).decode().rstrip("=")

    def opened(self, method: str, params: JSON, principal: str) -> tuple[JSON, Round]:
        """The request as its upstream is to see it, and the round it is.

        Raises:
            InvalidArguments: the state is not ours, another principal's, or of another request.
        """
        said = self._said(params["requestState"])
        if said is None or (said["p"], said["f"]) != (principal, fingerprint(method, params)):
            raise stale()
        answers = params.get("inputResponses")
        clear = {name: value for name, value in params.items() if name not in _OF_ROUNDS}
        going_on = answers if said["l"] else said["r"]
        if going_on is not None:
            clear["inputResponses"] = going_on
        if said["u"] is not None:
            clear["requestState"] = said["u"]
        if said["l"]:
            return clear, Round(self, principal, method, params, Resumed(said["a"], said["l"], None))
        answer = answers.get(ANSWER) if isinstance(answers, dict) else None
        resumed = Resumed(said["a"], "", answer if isinstance(answer, dict) else None)
        return clear, Round(self, principal, method, params, resumed)

    def _said(self, state: str) -> JSON | None:
        text = state.removeprefix(PREFIX)
        try:
            sealed = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
            said = orjson.loads(self._seal.opened(sealed))
        except (binascii.Error, ValueError, AgentFlowError):
            return None
        return said if isinstance(said, dict) and said.keys() == {"a", "l", "u", "r", "p", "f"} else None


def stale() -> InvalidArguments:
    """The refusal of a `requestState` that leads nowhere."""
    return InvalidArguments(
        "This requestState is unknown, expired, already used, or belongs to another request",
        fix="Send the request again without requestState",
    )


def fingerprint(method: str, params: JSON) -> str:
    """What a request is known again by in its later rounds (SHA-256, hex)."""
    same = {name: value for name, value in params.items() if name not in _OF_ROUNDS and name != "_meta"}
    return hashlib.sha256(json.dumps([method, same], sort_keys=True).encode()).hexdigest()
