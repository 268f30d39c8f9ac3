"""The text of an answer out of the JSON that a model writes piece by piece.

Promises: what is told, put together, is a beginning of the final answer (of a valid JSON object with a member
`answer`), decoded; a token for a private value (`<EMAIL_1f3a9c2e>`) is never told in halves, so that whoever relays
the pieces can still recognise it. Refuses: to tell anything of the other members.
"""

from __future__ import annotations

import json
import re

from agentflow.flow.account import Pieces

_OPENING = re.compile(r'^\s*(?:```(?:json)?\s*)?\{\s*"answer"\s*:\s*"')
_LONGEST_TOKEN = 80  # characters; more than this after "<" is no token
_SIZE = 24  # characters gathered before they are told


class AnswerText:
    """Feeds on a model's text and passes on that of the member `answer`, where it is the first."""

    def __init__(self, tell: Pieces) -> None:
        self._tell = tell
        self._raw = ""
        self._at: int | None = None  # in `_raw`: where the undecoded rest of the answer begins
        self._ended = False
        self._held = ""

    async def feed(self, piece: str) -> None:
        """Take a piece of the model's text."""
        if self._ended:
            return
        self._raw += piece
        if self._at is None:
            found = _OPENING.match(self._raw)
            if found is None:
                # Another member comes first, or there is no object: then the answer is told whole, at the end.
                self._ended = len(self._raw) > 200
                return
            self._at = found.end()
        self._held += self._decoded(self._at)
        await self._pass_on(_SIZE)

    async def close(self) -> None:
        """Tell what is held back still."""
        await self._pass_on(0, whole=True)

    def _decoded(self, at: int) -> str:
        """The text from `at` on, as far as it can be decoded for certain."""
        end = at
        while end < len(self._raw):
            sign = self._raw[end]
            if sign == '"':
                self._ended = True
                break
            if sign == "\\":
                width = 6 if self._raw[end + 1 : end + 2] == "u" else 2
                if self._raw[end : end + 4].lower() in ("\\ud8", "\\ud9", "\\uda", "\\udb"):
                    width = 12  # the first half of a pair
                if end + width > len(self._raw):
                    break
                end += width
            else:
                end += 1
        self._at = end
        try:
            text = json.loads(f'"{self._raw[at:end]}"', strict=False)
            text.encode()
        except ValueError:
            self._ended = True
            return ""
        return str(text)

    async def _pass_on(self, size: int, *, whole: bool = False) -> None:
        ready = len(self._held)
        opened = self._held.rfind("<")
        if not whole and opened >= 0 and ">" not in self._held[opened:] and ready - opened < _LONGEST_TOKEN:
            ready = opened
        if ready == 0 or (ready < size and not self._ended):
            return
        text, self._held = self._held[:ready], self._held[ready:]
        await self._tell(text)
