"""The conversations of a run with its models: append-only, so that what is trained on is what was served.

Promises: a conversation's later prompt begins with its earlier one, word for word (providers reuse their caches, and
a trajectory is one text); the random mark that encloses data is drawn once per run; what is enclosed cannot close it.
A conversation that has grown too long is begun anew from the archive, and only then.
"""

from __future__ import annotations

import functools
import secrets
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from pydantic import BaseModel

from agentflow.flow.account import Account, Pieces
from agentflow.flow.port import ToolView
from agentflow.flow.trajectories.record import Exchange, Message
from agentflow.flow.types import SolverOutput
from agentflow.models.port import JSON, Answered, ChatMessage, Purpose
from agentflow.models.structured import KEPT, Reply, ask

Answer = TypeVar("Answer", bound=BaseModel)


_ONLY = "Work from here on only on this part of it, and name no further parts:\n"


@dataclass(slots=True)
class Transcript:
    """One conversation.

    Attributes:
        turn: the last turn whose results it tells of.
    """

    messages: tuple[ChatMessage, ...] = ()
    turn: int = 0

    @property
    def size(self) -> int:
        """Characters."""
        return sum(len(m.content) for m in self.messages)

    def extend(self, messages: Sequence[ChatMessage]) -> None:
        """Take over a longer conversation. Raises ValueError where it does not go on from this one."""
        longer = tuple(messages)
        if longer[: len(self.messages)] != self.messages:
            raise ValueError("a transcript is append-only")
        self.messages = longer


@dataclass(slots=True, eq=False)
class Thread:
    """One line of a run: its conversations, what it may spend, and the exchanges not yet in the record.

    Attributes:
        mark: encloses data in prompts.
        advice: what the next prompt for the planner says first (a critique, a person's word).
        shown: the tools that the planner was shown, or None before it was.
        branch: whether this line works on a part of the question only; such a line does not fork again.
        finish: the answer that the planner itself gave, where its pattern has it give one.
        exchanges: requests since they were last taken, for the record.
        memories: what earlier runs left, as the first prompt shows it; known_tools: the tools it speaks of.
    """

    account: Account = field(default_factory=Account)
    mark: str = field(default_factory=lambda: secrets.token_hex(6))
    advice: list[str] = field(default_factory=list)
    shown: tuple[ToolView, ...] | None = None
    finish: SolverOutput | None = None
    branch: bool = False
    memories: str = ""
    known_tools: tuple[str, ...] = ()
    transcripts: dict[str, Transcript] = field(default_factory=dict)
    exchanges: list[Exchange] = field(default_factory=list)

    def __deepcopy__(self, memo: dict[int, Any]) -> Thread:
        # A run's memory is cloned every turn; its thread goes on.
        return self

    def of(self, name: str) -> Transcript:
        """The conversation of that name, begun where there is none."""
        return self.transcripts.setdefault(name, Transcript())

    def fork(self, focus: str = "", keep: Iterable[str] = ("planner",)) -> Thread:
        """A line that goes on from here by itself: the same account and mark, its own end of the conversations."""
        kept = {name: Transcript(t.messages, t.turn) for name in keep if (t := self.transcripts.get(name)) is not None}
        under_way = focus and kept
        return Thread(
            account=self.account,
            mark=self.mark,
            advice=[_ONLY + self.data(focus)] if under_way else [],
            branch=self.branch or bool(focus),
            shown=self.shown,
            memories=self.memories,
            known_tools=self.known_tools,
            transcripts=kept,
        )

    def data(self, text: str) -> str:
        """A text as data between this run's marks."""
        return f"<data {self.mark}>\n{text.replace(self.mark, '…')}\n</data {self.mark}>"

    def take(self) -> list[Exchange]:
        """The exchanges since the last time."""
        taken = list(self.exchanges)
        self.exchanges.clear()
        return taken

    async def ask(
        self,
        name: str,
        purpose: Purpose,
        system: str,
        user: str,
        kind: type[Answer],
        *,
        check: Any = None,
        schema: JSON | None = None,
        temperature: float | None = None,
        pieces: Pieces | None = None,
    ) -> Answer:
        """Say `user` in the conversation `name`, and take a `kind` for an answer.

        Args:
            system: what a conversation begins with; of one that is under way it is left aside.
            check: says what is wrong with a well-formed answer, or None.
            schema: sent in place of `kind`'s own.

        Raises:
            UpstreamProtocolError: no valid answer, twice.
            AgentFlowError: as `Account.complete`. The conversation stays as it was then.
        """
        transcript = self.of(name)
        told_first = f"{self.account.instructions}\n\n" if self.account.instructions else ""
        before = transcript.messages or (ChatMessage("system", told_first + system),)
        wanted = schema or schema_of(kind)
        started = time.monotonic()
        listener = pieces

        async def send(asked: tuple[ChatMessage, ...]) -> Answered:
            nonlocal listener
            heard, listener = listener, None  # a corrected answer is not streamed behind the wrong one
            return await self.account.complete(asked, purpose, wanted, temperature=temperature, pieces=heard)

        def told(reply: Reply) -> None:
            nonlocal started
            now = time.monotonic()
            self.exchanges.append(_exchange(purpose, reply, now - started))
            started = now

        typed = await ask(send, (*before, ChatMessage("user", user)), kind, check, told)
        transcript.extend(typed.messages)
        return typed.value


@functools.cache
def schema_of(kind: type[BaseModel]) -> JSON:
    """The JSON schema of a kind of answer. It is shared: copy it before changing anything."""
    return kind.model_json_schema()


def _exchange(purpose: Purpose, reply: Reply, seconds: float) -> Exchange:
    answered = reply.answered
    return Exchange(
        purpose=purpose,
        prompt=[Message(role=m.role, content=m.content) for m in reply.asked],
        output=answered.text[:KEPT],
        valid=not reply.problem,
        id=answered.id,
        provider=answered.provider,
        model=answered.model,
        tier=answered.tier,
        prompt_tokens=answered.prompt_tokens,
        completion_tokens=answered.completion_tokens,
        cost=answered.cost,
        cached=answered.cached,
        seconds=round(max(seconds, 0.0), 6),
    )
