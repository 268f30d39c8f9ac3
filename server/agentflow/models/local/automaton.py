"""Automata over bytes: the pieces a grammar is built of, and a walk over them that is deterministic and lazy.

Promises that from every reachable state an accepted text can be reached, and which is the shortest (`shortest`); so a
text that was begun within the grammar can always be ended within it.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

State = int
Fragment = tuple[State, State]
"""Start and end of a piece of the automaton."""


@dataclass
class Automaton:
    """A nondeterministic automaton over bytes, built piece by piece; `walk` reads it."""

    edges: list[list[tuple[frozenset[int], State]]] = field(default_factory=list)
    silent: list[list[State]] = field(default_factory=list)

    def state(self) -> State:
        self.edges.append([])
        self.silent.append([])
        return len(self.edges) - 1

    def empty(self) -> Fragment:
        one = self.state()
        return one, one

    def one_of(self, values: Iterable[int]) -> Fragment:
        """A single byte out of several."""
        start, end = self.state(), self.state()
        self.edges[start].append((frozenset(values), end))
        return start, end

    def text(self, text: str | bytes) -> Fragment:
        """Exactly this text."""
        start = end = self.state()
        for byte in text.encode() if isinstance(text, str) else text:
            following = self.state()
            self.edges[end].append((frozenset((byte,)), following))
            end = following
        return start, end

    def then(self, *pieces: Fragment) -> Fragment:
        """One piece after the other."""
        if not pieces:
            return self.empty()
        for (_, end), (start, _) in pairwise(pieces):
            self.silent[end].append(start)
        return pieces[0][0], pieces[-1][1]

    def either(self, *pieces: Fragment) -> Fragment:
        """One of the pieces."""
        start, end = self.state(), self.state()
        for first, last in pieces:
            self.silent[start].append(first)
            self.silent[last].append(end)
        return start, end

    def maybe(self, piece: Fragment) -> Fragment:
        return self.either(piece, self.empty())

    def many(self, piece: Fragment) -> Fragment:
        """The piece any number of times."""
        start, end = self.state(), self.state()
        self.silent[start] += [piece[0], end]
        self.silent[piece[1]] += [piece[0], end]
        return start, end

    def trie(self, texts: Sequence[str]) -> Fragment:
        """One of several texts, shared beginnings held once."""
        start, end = self.state(), self.state()
        nodes: dict[bytes, State] = {b"": start}
        for text in sorted(set(texts)):
            data = text.encode()
            for i in range(len(data)):
                if data[: i + 1] not in nodes:
                    nodes[data[: i + 1]] = self.state()
                    self.edges[nodes[data[:i]]].append((frozenset((data[i],)), nodes[data[: i + 1]]))
            self.silent[nodes[data]].append(end)
        return start, end

    def walk(self, whole: Fragment) -> Walk:
        return Walk(self, whole)


class Walk:
    """Reads an automaton byte by byte. A state is a set of the automaton's, numbered in order of discovery."""

    def __init__(self, automaton: Automaton, whole: Fragment) -> None:
        self._automaton = automaton
        self._accepting = whole[1]
        self._numbers: dict[frozenset[State], int] = {}
        self._sets: list[frozenset[State]] = []
        self._steps: list[dict[int, int]] = []
        self._far = self._distances()
        self._reach: dict[State, frozenset[State]] = {}
        self.start = self._number(self._closure((whole[0],)))

    def _closure(self, states: Iterable[State]) -> frozenset[State]:
        """These states and all that are reached from them silently, of those that matter: with edges, or the end."""
        return frozenset().union(*(self._reached(state) for state in states))

    def _reached(self, state: State) -> frozenset[State]:
        known = self._reach.get(state)
        if known is None:
            seen, queue = {state}, [state]
            while queue:
                for following in self._automaton.silent[queue.pop()]:
                    if following not in seen:
                        seen.add(following)
                        queue.append(following)
            edges = self._automaton.edges
            known = frozenset(s for s in seen if s in self._far and (edges[s] or s == self._accepting))
            self._reach[state] = known
        return known

    def _number(self, states: frozenset[State]) -> int:
        number = self._numbers.get(states)
        if number is None:
            number = self._numbers[states] = len(self._sets)
            self._sets.append(states)
            self._steps.append({})
        return number

    def step(self, state: int, byte: int) -> int:
        """The state after a byte; -1 where the grammar ends the text's life."""
        known = self._steps[state].get(byte)
        if known is None:
            reached = {to for s in self._sets[state] for values, to in self._automaton.edges[s] if byte in values}
            closed = self._closure(reached) if reached else frozenset()
            known = self._steps[state][byte] = self._number(closed) if closed else -1
        return known

    def parts(self, state: int) -> list[int]:
        """The states that this one stands for side by side: what may follow it may follow one of them."""
        held = self._sets[state]
        return [self._number(self._closure((s,))) for s in sorted(held)] if len(held) > 1 else [state]

    def read(self, state: int, data: bytes) -> int:
        for byte in data:
            state = self.step(state, byte)
            if state < 0:
                return -1
        return state

    def accepts(self, state: int) -> bool:
        """Whether the text may end here."""
        return state >= 0 and self._accepting in self._sets[state]

    def distance(self, state: int) -> int:
        """Fewest bytes to an end."""
        return min(self._far[s] for s in self._sets[state])

    def shortest(self, state: int) -> bytes:
        """The shortest text that ends what was begun; of equals the first by value."""
        written = bytearray()
        while not self.accepts(state):
            options = sorted({b for s in self._sets[state] for values, _ in self._automaton.edges[s] for b in values})
            far, byte = min((self.distance(to), b) for b in options if (to := self.step(state, b)) >= 0)
            written.append(byte)
            state = self.step(state, byte)
            if far == 0 and self.accepts(state):
                break
        return bytes(written)

    def _distances(self) -> dict[State, int]:
        """Fewest bytes from every state to the end (Dijkstra, backwards); states that reach none are missing."""
        back: dict[State, list[tuple[State, int]]] = {}
        for state, edges in enumerate(self._automaton.edges):
            for values, to in edges:
                if values:
                    back.setdefault(to, []).append((state, 1))
        for state, others in enumerate(self._automaton.silent):
            for to in others:
                back.setdefault(to, []).append((state, 0))
        far = {self._accepting: 0}
        queue = [(0, self._accepting)]
        while queue:
            length, state = heapq.heappop(queue)
            if length > far[state]:
                continue
            for before, cost in back.get(state, ()):
                if length + cost < far.get(before, 1 << 60):
                    far[before] = length + cost
                    heapq.heappush(queue, (length + cost, before))
        return far
