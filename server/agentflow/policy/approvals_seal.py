"""Seals on stored approvals: who can write to the database, but has no key of the vault, has no call approved.

The seal of a question is over everything that was asked: which call, of whom, how many of them, in which words, until
when. The seal of a vote is over the question's and what was said. A row whose seal is wrong counts for nothing, and no
stored state is believed for which the sealed votes do not speak.

What no seal shows is a former state put back whole, votes and all: rows say nothing of what was once beside them.
"""

from __future__ import annotations

import hmac
import json
from dataclasses import astuple
from typing import Final

from agentflow.policy.approvals import LIVE, Approval, State

_PURPOSE: Final = b"agentflow approvals: seals of rows"
_HELD: Final = LIVE | {State.USED}


class Seals:
    """The seals under the key of an installation's approvals."""

    def __init__(self, key: bytes) -> None:
        self._key = hmac.digest(key, _PURPOSE, "sha256")

    def question(self, asked: Approval) -> bytes:
        """Over all of it that never changes."""
        wanted = asked.wanted
        people = [wanted.who, wanted.needed, wanted.prompt, wanted.shown, wanted.reasons]
        return self._over(
            "question", asked.id, *astuple(asked.binding), people, float(asked.created), float(asked.expires)
        )

    def vote(self, asked: Approval, voter: str, approve: bool, time: float, comment: str) -> bytes:
        """Over what somebody (`Principal.key`) said to this question."""
        return self._over("vote", self.question(asked).hex(), voter, bool(approve), float(time), comment)

    def _over(self, *parts: object) -> bytes:
        return hmac.digest(self._key, json.dumps(parts).encode(), "sha256")


def same(seal: object, right: bytes) -> bool:
    """Whether a column holds this seal."""
    return isinstance(seal, bytes | memoryview) and hmac.compare_digest(bytes(seal), right)


def spoken_for(approval: Approval) -> bool:
    """Whether the sealed votes, which are all that it has, bear out the state that is stored."""
    if approval.state not in _HELD:
        return True
    given = sum(vote.approve for vote in approval.votes)
    denied = given < len(approval.votes)
    return not denied and (approval.state is State.OPEN or given >= approval.wanted.needed)
