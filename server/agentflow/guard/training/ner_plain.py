"""Text without names, for the model to learn what to leave alone: documentation, code, headings, codes, tables.

Documentation and code are those of Python's standard library, read from its files; the rest is made of their words.
Paragraphs that credit somebody are left out.
"""

from __future__ import annotations

import ast
import random
import re
import sysconfig
from collections import Counter
from functools import lru_cache
from pathlib import Path

from agentflow.guard.ner.words import words

_CREDITS = re.compile(
    r"@|\(c\)|[Cc]opyright|[Ww]ritten|[Aa]uthor|\b[Bb]y [A-Z]|[Cc]ontributed|[Tt]hanks|Guido|[Mm]aintain"
)
_LINES = 7  # of code in a sample


@lru_cache(maxsize=1)
def sources() -> tuple[str, ...]:
    """Return the standard library's top-level modules."""
    folder = Path(sysconfig.get_path("stdlib"))
    return tuple(path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.py")))


@lru_cache(maxsize=1)
def documentation() -> tuple[str, ...]:
    """Return the paragraphs of documentation strings."""
    found: set[str] = set()
    for source in sources():
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
                parts = (ast.get_docstring(node) or "").split("\n\n")
                found.update(part for part in parts if 40 < len(part) < 800 and not _CREDITS.search(part))
    return tuple(sorted(found))


@lru_cache(maxsize=1)
def code() -> tuple[str, ...]:
    """Return short runs of lines of code."""
    found = []
    for source in sources():
        lines = source.splitlines()
        for at in range(0, len(lines), _LINES):
            part = "\n".join(lines[at : at + _LINES]).strip("\n")
            if 60 < len(part) < 500 and not _CREDITS.search(part):
                found.append(part)
    return tuple(found)


@lru_cache(maxsize=1)
def common_words() -> tuple[str, ...]:
    """Return words that documentation writes small often: a capital does not make them names."""
    counts = Counter(
        word
        for text in documentation()
        for word, _, _ in words(text)
        if word.islower() and word.isalpha() and len(word) > 1
    )
    return tuple(sorted(word for word, count in counts.items() if count >= 3))


class Plain:
    """Draws samples of plain text."""

    def __init__(self, draw: random.Random) -> None:
        self._draw = draw
        self._words = [word for word in common_words() if len(word) > 3]

    def sample(self) -> str:
        """Return documentation, code, headings, a listing or a table of codes."""
        roll = self._draw.random()
        if roll < 0.35:
            return self._draw.choice(documentation())
        if roll < 0.55:
            return self._draw.choice(code())
        if roll < 0.75:
            return self._draw.choice(["\n", "\n\n", "\n- ", "; "]).join(
                self._heading() for _ in range(self._draw.randint(1, 5))
            )
        if roll < 0.88:
            return "\n".join(f"{self._key()}: {self._code()}" for _ in range(self._draw.randint(1, 6)))
        joint = self._draw.choice([" | ", "\t", ",", "  "])
        width = self._draw.randint(2, 5)
        return "\n".join(joint.join(self._code() for _ in range(width)) for _ in range(self._draw.randint(1, 4)))

    def _heading(self) -> str:
        chosen = [self._draw.choice(self._words) for _ in range(self._draw.randint(1, 4))]
        style = self._draw.random()
        if style < 0.6:
            return " ".join(word.capitalize() for word in chosen)
        if style < 0.8:
            return " ".join([chosen[0].capitalize(), *chosen[1:]])
        return " ".join(chosen).upper()

    def _key(self) -> str:
        chosen = [self._draw.choice(self._words) for _ in range(self._draw.randint(1, 2))]
        return self._draw.choice(
            ["_".join(chosen), " ".join(chosen).capitalize(), "".join(word.capitalize() for word in chosen)]
        )

    def _code(self) -> str:
        draw = self._draw
        letters = "".join(draw.choice("ABCDEFGHIJKLMNOPQRSTUVWXYZ") for _ in range(draw.choice([2, 3, 3, 4])))
        small, number, word, other = draw.randint(1, 9), draw.randint(1, 999), *draw.sample(self._words, 2)
        return draw.choice([
            letters, f"{letters}-{number}", f"{letters}{number}", str(draw.randint(1, 99999)), f"{small}-{number}",
            f"{small}.{number}.{small}", f"{draw.getrandbits(48):012x}", word.capitalize(), word, f"/{word}/{other}.py",
            f"{word}@{small}", f"{small}%", f"{number} {draw.choice(['ms', 'KB', 'items', 'files', 'bytes'])}",
        ])  # fmt: skip
