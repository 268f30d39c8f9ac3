"""From a grammar over bytes to the tokens a model may write next, and texts that always end within the grammar.

Pure Python; the model is a callable that chooses one of the allowed tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from weakref import WeakKeyDictionary

from agentflow.models.local.automaton import Walk

Choose = Callable[[list[int]], int]
"""Allowed token ids → the one written."""


@dataclass
class Vocabulary:
    """The bytes of every token; tokens without bytes (controls) are never written."""

    tokens: Sequence[bytes]
    _root: dict[int, object] = field(default_factory=dict)
    _known: WeakKeyDictionary[Walk, dict[int, list[int]]] = field(default_factory=WeakKeyDictionary)

    def __post_init__(self) -> None:
        for number, data in enumerate(self.tokens):
            if not data:
                continue
            node = self._root
            for byte in data:
                node = node.setdefault(byte, {})  # type: ignore[assignment]
            node.setdefault(-1, []).append(number)  # type: ignore[attr-defined]

    def allowed(self, walk: Walk, state: int) -> list[int]:
        """The tokens that keep a text within the grammar; computed once for a state."""
        known = self._known.setdefault(walk, {})
        if state not in known:
            parts = walk.parts(state)
            if len(parts) == 1:
                known[state] = self._found(walk, parts[0])
            else:
                known[state] = sorted({token for part in parts for token in self.allowed(walk, part)})
        return known[state]

    def _found(self, walk: Walk, state: int) -> list[int]:
        found: list[int] = []
        stack: list[tuple[dict[int, object], int]] = [(self._root, state)]
        while stack:
            node, at = stack.pop()
            for byte, inner in node.items():
                if byte == -1:
                    found += inner  # type: ignore[arg-type]
                    continue
                following = walk.step(at, byte)
                if following >= 0:
                    stack.append((inner, following))  # type: ignore[arg-type]
        return sorted(found)


@dataclass
class Decoder:
    """One text in the making.

    Attributes:
        budget: most tokens that the model chooses; the rest is the shortest end there is.
        told: is told every token written, forced ones too.
    """

    walk: Walk
    vocabulary: Vocabulary
    budget: int = 256
    told: Callable[[int], None] | None = None

    def write(self, choose: Choose) -> str:
        """The text: at every step `choose` picks among the allowed tokens; a token that is not among them is refused.

        Raises:
            ValueError: `choose` picked what was not allowed.
        """
        state, written = self.walk.start, bytearray()
        for _ in range(self.budget):
            if self.walk.accepts(state):
                break
            options = self.vocabulary.allowed(self.walk, state)
            if not options:
                break
            token = options[0] if len(options) == 1 else choose(options)
            if token not in options:
                raise ValueError(f"token {token} is not allowed here")
            data = self.vocabulary.tokens[token]
            written += data
            if self.told is not None:
                self.told(token)
            state = self.walk.read(state, data)
        written += self.walk.shortest(state)
        return written.decode()
