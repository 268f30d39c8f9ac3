"""A model's answer on its way to the caller while it is still being written.

It promises: text leaves in pieces, each of which has been through every outbound stage of the pipeline, and no piece
ends within a value of personal data, a secret or a token: text stays 80 characters behind the model, so that what a cut
would part is seen whole and the cut moves in front of it; cuts fall between words. A value that shows itself later yet
is found across the cut (`guard.joints`), by what was sent before it. Where something has to judge the whole answer, or
names are looked for, nothing leaves before its end. Calls of tools leave when they are complete.

The call's record sums up the pieces of a stage as one run. It is on disk, as begun, before the first piece leaves.
"""

from __future__ import annotations

import re
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal

from agentflow.errors import LimitExceeded, UpstreamProtocolError
from agentflow.gateway.model_answers import Choice, call_of, id_of, reason_of, whole
from agentflow.guard.own import Own
from agentflow.pipeline.call import Call, Direction, Message, StageRun, Verdict
from agentflow.pipeline.chain import Pipeline

JSON = dict[str, Any]
Part = Literal["content", "reasoning_content"]
Send = Callable[[int, Part, str], Awaitable[None]]  # (choice, what, text)
Find = Callable[[str], Iterable[tuple[int, int]]]

PARTS: Final[tuple[Part, ...]] = ("reasoning_content", "content")
DELTA: Final = "models/chat/delta"  # the surface of a piece
_LAG: Final = 80  # characters that stay behind: what begins before a cut is known by what follows it
_MOST: Final = 512  # characters that wait for a better place to cut
_LONGEST: Final = 16_384  # characters of one word, or one private key, that wait
_BEFORE: Final = 320  # characters already sent that a piece is looked at with
_BEAT: Final = 0.04  # seconds between two pieces
_MOST_CHOICES: Final = 8
_MOST_CALLS: Final = 128
_BREAK: Final = re.compile(r"\s(?=\S)|(?<=[぀-ヿ㐀-鿿가-힯])(?=[^\s\d@])")
_KEY: Final = "-----BEGIN "
_KEY_ENDS: Final = "-----END "
_WORST: Final = {verdict: rank for rank, verdict in enumerate(Verdict)}


class Pieces:
    """The text of one choice: what was said, and how much of it has been let go.

    Args:
        find: finds values in a text, as (start, end).
    """

    def __init__(self, find: Find) -> None:
        self._find = find
        self._said: list[str] = []
        self._waiting = ""
        self.before = ""  # what was let go last

    @property
    def text(self) -> str:
        """All that was said."""
        return "".join(self._said)

    def add(self, text: str, wait: bool) -> None:
        """Take more; it waits to be let go, or is only kept for the end."""
        self._said.append(text)
        if wait:
            self._waiting += text

    def next(self, final: bool = False) -> str:
        """What may go now; "" where nothing may."""
        cut = len(self._waiting) if final else self._cut()
        piece, self._waiting = self._waiting[:cut], self._waiting[cut:]
        self.before = (self.before + piece)[-_BEFORE:]
        return piece

    def _cut(self) -> int:
        waiting = self._waiting
        end = len(waiting) - _LAG
        if end <= 0:
            return 0
        begun = waiting.rfind(_KEY)
        if begun >= 0 and len(waiting) - begun < _LONGEST and _KEY_ENDS not in waiting[begun:]:
            end = min(end, begun)
        place = self._break(end)
        if place == 0 and len(waiting) > _MOST:
            place = self._forced(end)
        return self._apart(place, end)

    def _break(self, limit: int) -> int:
        """The last place between words up to `limit`."""
        best = 0
        for found in _BREAK.finditer(self._waiting, 0, max(0, limit)):
            best = found.end()
        return best

    def _forced(self, end: int) -> int:
        """The end of a line, or else of a word, that is as good as any; none within a word that is not too long."""
        place = (self._waiting.rfind("\n", 0, max(0, end)) + 1) or self._break(end)
        return place if place or end < _LONGEST else end

    def _apart(self, place: int, end: int) -> int:
        """The place, or one far enough in front of the value that it would cut, or part from the word that tells it."""
        if place == 0 or place >= _LONGEST:
            return place
        shown = len(self.before)
        values = sorted((start - shown, stop - shown) for start, stop in self._find(self.before + self._waiting))
        for start, stop in reversed(values):
            if start - _LAG < place < stop:
                place = self._break(start - _LAG)
        if place == 0 and len(self._waiting) > _MOST:  # one value after the other: right behind one is as good
            return max((stop for _, stop in values if 0 < stop <= end), default=0)
        return place


@dataclass(slots=True)
class _Call:
    """A call of a tool that is being written."""

    id: str = ""
    name: list[str] = field(default_factory=list)
    arguments: list[str] = field(default_factory=list)


class Relay:
    """Takes the chunks of one answer, and sends on what may leave.

    Args:
        own: the tokens that are turned back.
        send: where the text goes.
        find: finds values in a text.
        at_once: nothing leaves before the end.

    Attributes:
        choices: what was said, once it is finished.
        last: the last chunk that had something to say of the answer as a whole (`usage`, `agentflow`).
    """

    def __init__(self, pipeline: Pipeline, call: Call, own: Own, send: Send, find: Find, at_once: bool) -> None:
        self._pipeline, self._call, self._own, self._send, self._find = pipeline, call, own, send, find
        self._whole = at_once
        self._texts: dict[tuple[int, Part], Pieces] = {}
        self._refusals: dict[int, str] = {}
        self._calls: dict[int, dict[int, _Call]] = {}
        self._reasons: dict[int, str] = {}
        self._size = 0
        self._begun = False
        self._at = 0.0
        self.last: JSON = {}
        self.choices: list[Choice] = []
        bound = call.decision.obligations.max_result_bytes if call.decision is not None else None
        self._bound = bound

    async def take(self, chunk: JSON) -> None:
        """Take one `chat.completion.chunk`.

        Raises:
            UpstreamProtocolError: it is none. AgentFlowError: a stage refused a piece.
        """
        for member in ("usage", "agentflow"):
            if chunk.get(member):
                self.last = {**self.last, member: chunk[member]}
        for each in chunk.get("choices") or ():
            self._choice(each)
        now = time.monotonic()
        if not self._whole and now - self._at >= _BEAT:
            self._at = now
            await self._release(final=False)

    def _choice(self, each: JSON) -> None:
        index = each.get("index", 0)
        delta = each.get("delta")
        if not isinstance(index, int) or not 0 <= index < _MOST_CHOICES or not isinstance(delta, dict | None):
            raise _broken()
        if each.get("finish_reason"):
            self._reasons[index] = reason_of(each["finish_reason"])
        for part in PARTS:
            text = (delta or {}).get(part)
            if text:
                text = self._more(text)
                self._texts.setdefault((index, part), Pieces(self._find)).add(text, not self._whole)
        if refusal := (delta or {}).get("refusal"):
            self._refusals[index] = self._refusals.get(index, "") + self._more(refusal)
        for call in (delta or {}).get("tool_calls") or ():
            self._tool_call(index, call)

    def _tool_call(self, index: int, given: JSON) -> None:
        calls = self._calls.setdefault(index, {})
        place = given.get("index", len(calls))
        if not isinstance(place, int) or (place not in calls and len(calls) >= _MOST_CALLS):
            raise _broken()
        call = calls.setdefault(place, _Call())
        function = given.get("function") or {}
        if given.get("id"):
            call.id = id_of(given["id"])
        for name in ("name", "arguments"):
            if text := function.get(name):
                getattr(call, name).append(self._more(text))

    def _more(self, text: Any) -> str:
        """The text, counted. Raises LimitExceeded beyond what policy allows."""
        if not isinstance(text, str):
            raise _broken()
        self._size += len(text.encode("utf-8", "replace"))
        if self._bound is not None and self._size > self._bound:
            raise LimitExceeded(
                f"The answer is larger than the {self._bound} bytes that policy allows here",
                fix="ask for less, or have the administrator raise max_result_bytes",
                limit="max_result_bytes",
                max=self._bound,
            )
        return whole(text)

    async def finish(self) -> None:
        """Let the rest go, unless it has to be judged whole; then the choices are there.

        Raises:
            UpstreamProtocolError: nothing was said. AgentFlowError: a stage refused a piece.
        """
        places = {*self._reasons, *self._calls, *self._refusals, *(index for index, _ in self._texts)}
        if not places:
            raise _broken()
        if not self._whole:
            await self._release(final=True)
        for index in range(max(places) + 1):
            choice = Choice(finish_reason=self._reasons.get(index, "stop"), refusal=self._refusals.get(index, ""))
            if (said := self._texts.get((index, "content"))) is not None:
                choice.text = said.text
            if (thought := self._texts.get((index, "reasoning_content"))) is not None:
                choice.reasoning = thought.text
            for _, call in sorted(self._calls.get(index, {}).items()):
                function = {"name": "".join(call.name), "arguments": "".join(call.arguments)}
                choice.calls.append(call_of({"id": call.id, "function": function}))
            self.choices.append(choice)

    async def _release(self, final: bool) -> None:
        for (index, part), pieces in self._texts.items():
            before = pieces.before
            piece = pieces.next(final)
            if piece:
                text = await self._through(before, piece)
                if not self._begun:
                    self._pipeline.interim(self._call, "streaming")
                    self._begun = True
                if text:
                    await self._send(index, part, text)

    async def _through(self, before: str, piece: str) -> str:
        """A piece after every outbound stage; what went before it stands in front, for what goes across the cut."""
        blocks = [{"type": "text", "text": text} for text in ((before, piece) if before else (piece,))]
        message = Message(DELTA, Direction.OUTBOUND, {"content": blocks})
        shadow = replace(self._call, runs=[], findings=[], redacted={}, taint=set())
        try:
            await self._pipeline.run(shadow, message)
        finally:
            _sum_up(self._call, shadow.runs)
        body = self._own.restored({"content": [message.body["content"][-1]]})
        return str(body["content"][0]["text"])


def _sum_up(call: Call, runs: list[StageRun]) -> None:
    """Add runs over one piece to the call's record: one run for each stage, with the worst of its verdicts."""
    known = {(run.stage, run.surface): run for run in call.runs if run.surface == DELTA}
    for run in runs:
        sum_ = known.get((run.stage, run.surface))
        if sum_ is None:
            call.runs.append(run)
            continue
        sum_.micros += run.micros
        if _WORST[run.verdict] > _WORST[sum_.verdict] and run.verdict is not Verdict.SKIPPED:
            sum_.verdict, sum_.detail = run.verdict, run.detail


def _broken() -> UpstreamProtocolError:
    return UpstreamProtocolError("the model's stream is not one of chat completion chunks", fix="ask again")
