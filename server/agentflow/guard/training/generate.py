"""Texts that no machine has lying about: attacks, their harmless twins, mail, logs, records, texts about injection.

Everything is expanded from the template files of this package by a seeded generator: equal seeds, equal texts. Each
file belongs to an author. Attacks are drawn evenly from all authors, other texts by the root of how many somebody
wrote, so that no one's way of putting things is all there is. Authors can be left out, to measure what becomes of
wordings that nobody trained on. Harmless sentences are split: a detector is not calibrated on those it was fitted on.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Sequence
from functools import cached_property
from importlib.resources import files
from math import sqrt
from random import Random
from typing import Any, Final, Literal

from agentflow.guard.training.grammar import Grammar, templates
from agentflow.guard.training.harvest import Document

# How often each family of openers is drawn; one that is not named here, as often as `polite`.
WEIGHTS: Final = {
    "override": 14, "role": 14, "turn": 10, "addressed": 14, "authority": 12, "error": 7, "condition": 9,
    "polite": 16, "bare": 14, "mail": 7, "threat": 4,
}  # fmt: skip
LANGUAGE_SHARE: Final = 0.16
_OWN: Final = 0.5  # how often a goal or a closer is by the author of the opener
_CALIBRATE: Final = 77  # of 256 templates, those that thresholds are taken from: 30 %
_SECTIONS: Final = ("openers", "goals", "twins", "trigger", "about", "documents", "poison", "honest")

Use = Literal["train", "calibrate"]


def _author(name: str) -> str:
    return name.removeprefix("words_") if name.startswith("words_") else "more" if name.endswith("_more") else "first"


def _files() -> list[str]:
    names = sorted(file.name for file in files("agentflow.guard.training").iterdir() if file.name.endswith(".yaml"))
    return [name.removesuffix(".yaml") for name in names if set(templates(name.removesuffix(".yaml"))) & {*_SECTIONS}]


def authors() -> list[str]:
    """Everybody who wrote templates, sorted."""
    return sorted({_author(name) for name in _files()})


def use_of(template: str) -> Use:
    """What a harmless template is for."""
    return "calibrate" if hashlib.blake2b(template.encode(), digest_size=2).digest()[0] < _CALIBRATE else "train"


class Wordings:
    """The templates of some authors.

    Args:
        chosen: whose; everybody's if not given.

    Raises:
        ValueError: nobody of that name wrote any.
    """

    def __init__(self, chosen: Collection[str] | None = None) -> None:
        known = authors()
        if unknown := set(chosen or ()) - set(known):
            raise ValueError(f"no templates by {', '.join(sorted(unknown))}; there are those of {', '.join(known)}")
        self.authors = [name for name in known if chosen is None or name in chosen]
        self._by_author: dict[str, dict[str, Any]] = {name: {} for name in self.authors}
        self._found: dict[tuple[str, str, str, Use | None], Sequence[str]] = {}
        for name in _files():
            if _author(name) in self._by_author:
                _join(self._by_author[_author(name)], templates(name))

    @cached_property
    def _grammars(self) -> dict[str, Grammar]:
        """For each author the slots of all of them, where two have one of the same name, the author's own."""
        every = [self._by_author[name]["slots"] for name in self.authors]
        return {name: Grammar(*every, self._by_author[name]["slots"]) for name in self.authors}

    def expand(self, author: str, template: str, rng: Random, **given: str) -> str:
        """One text of an author's template."""
        return self._grammars[author].expand(template, rng, **given)

    def drawn(self, part: str, rng: Random, kind: str = "", like: str = "", use: Use | None = None) -> tuple[str, str]:
        """An author and a template of a part (of a kind in it): half of them by the author `like`, if there are any.

        Args:
            use: only templates that are for this.
        """
        found = {name: known for name in self.authors if (known := self._known(name, part, kind, use))}
        author = like
        if like not in found or rng.random() >= _OWN:
            weights = [1.0 if part == "openers" else sqrt(len(known)) for known in found.values()]
            author = rng.choices(list(found), weights)[0]
        return author, rng.choice(found[author])

    def _known(self, author: str, part: str, kind: str = "", use: Use | None = None) -> Sequence[str]:
        key = (author, part, kind, use)
        if key not in self._found:
            known = self._by_author[author].get(part, {} if kind else ())
            lines: Sequence[str] = known.get(kind, ()) if kind else known
            self._found[key] = [line for line in lines if use_of(line) == use] if use else lines
        return self._found[key]

    def kinds(self, part: str, author: str = "") -> list[str]:
        """The kinds there are of a part, of one author or of all, sorted."""
        names = [author] if author else self.authors
        return sorted({kind for name in names for kind in self._by_author[name].get(part, ())})

    def lines(self, part: str, author: str, kind: str = "") -> Sequence[str]:
        """An author's templates of a part."""
        return self._known(author, part, kind)

    # ------------------------------------------------------------------- attacks

    def attack(self, rng: Random) -> tuple[str, str]:
        """One generated attack, and its family: the author and the kind of its opener."""
        languages, openers = self.kinds("languages"), self.kinds("openers")
        if languages and (not openers or rng.random() < LANGUAGE_SHARE):
            language = rng.choice(languages)
            author, template = self.drawn("languages", rng, language)
            given = {"goal": self.goal(rng, author)} if self.has("goals") else {}
            return self.expand(author, template, rng, **given), f"lang_{language}"
        families = {kind: WEIGHTS.get(kind, WEIGHTS["polite"]) for kind in openers}
        family = rng.choices(list(families), list(families.values()))[0]
        author, opener = self.drawn("openers", rng, family)
        given = {"goal": self.goal(rng, author), "goal2": self.goal(rng, author)}
        writer, template = self.drawn("closers", rng, like=author) if self.has("closers") else (author, "")
        text, closer = self.expand(author, opener, rng, **given), self.expand(writer, template, rng, **given)
        if closer.startswith(" ") and text[-1:].isalnum():
            text += rng.choice(".,;!")
        return _cased(text + closer, rng), f"{author}_{family}"

    def has(self, part: str) -> bool:
        """Whether anybody wrote any of a part."""
        return any(self._by_author[name].get(part) for name in self.authors)

    def goal(self, rng: Random, like: str = "") -> str:
        """One thing an attacker may want, as a bare imperative; half of the time as `like` puts it."""
        text = self._goal(rng, like)
        if rng.random() < 0.15:
            text = f"{text}{rng.choice((' and ', ', then ', ' and then ', '. Then '))}{self._goal(rng, like)}"
        return text

    def _goal(self, rng: Random, like: str) -> str:
        writers = [name for name in self.authors if self._by_author[name].get("goals")]
        author = like if like in writers and rng.random() < _OWN else rng.choice(writers)
        kind = rng.choice(self.kinds("goals", author))
        return self.expand(author, rng.choice(self.lines("goals", author, kind)), rng)

    # ------------------------------------------------------------------- harmless texts

    def twin(self, rng: Random, use: Use | None = None) -> str:
        """A harmless insert: one to three statements, notices or requests to people."""
        return " ".join(self._said("twins", rng, use) for _ in range(rng.choice((1, 1, 1, 2, 3))))

    def trigger(self, rng: Random, use: Use | None = None) -> str:
        """A harmless sentence with the words of attacks."""
        return self._said("trigger", rng, use)

    def _said(self, part: str, rng: Random, use: Use | None) -> str:
        author, template = self.drawn(part, rng, use=use)
        return self.expand(author, template, rng)

    def about(self, rng: Random) -> tuple[str, str]:
        """A few sentences about injection, quoting attacks, and their author."""
        author, _ = self.drawn("about", rng)
        sentences = []
        for _ in range(rng.randrange(1, 9)):
            quote = rng.choice(('"', "'", "`", "“"))
            close = "”" if quote == "“" else quote
            plain = self.attack(rng)[0]
            quoted = [f"{quote}{text}{close}" for text in (plain, self.attack(rng)[0])]
            given = {"quoted": quoted[0], "quoted2": quoted[1], "plain_quoted": plain}
            sentences.append(self.expand(author, rng.choice(self.lines("about", author)), rng, **given))
        return rng.choice((" ", " ", "\n\n", "\n- ")).join(sentences), author

    def manual(self, rng: Random) -> tuple[str, str]:
        """Instructions to people or to agents by the owner of the file, and their author and sort."""
        sort = rng.choice(self.kinds("manuals"))
        author = rng.choice([name for name in self.authors if sort in self.kinds("manuals", name)])
        known = self.lines("manuals", author, sort)
        lines = [known[0], *rng.choices(known[1:] or known, k=rng.randrange(4, 22))]
        return "\n".join(self.expand(author, line, rng) for line in lines), f"{author}_{sort}"

    def document(self, author: str, kind: str, rng: Random) -> str:
        """One text of a generated kind."""
        lines = self.lines("documents", author, kind)
        head = lines[:3] if kind == "email" else []
        text = [self.expand(author, line, rng) for line in (*head, *rng.choices(lines, k=int(3 * 12 ** rng.random())))]
        if kind == "json" and rng.random() < 0.7:
            return "[\n  " + ",\n  ".join(text) + "\n]"
        return ("\n\n" if kind in ("email", "issue") and rng.random() < 0.6 else "\n").join(text)

    def harmless(self, seed: int, per_kind: int) -> Iterator[Document]:
        """Generated harmless texts. Sources are what is written in other words: templates, or kinds of documents."""
        for author in self.authors:
            for kind in self.kinds("documents", author):
                for index in range(per_kind):
                    rng = Random(f"{seed}:{author}:{kind}:{index}")
                    group, source = (f"gen_{author}", kind) if author not in ("first", "more") else (f"gen_{kind}", "")
                    yield Document(self.document(author, kind, rng), f"gen_{source}:{index % 20}", group)
        yield from self._sentences(seed, max(2, per_kind // 16))
        for index in range(per_kind * 2):
            rng = Random(f"{seed}:hard:{index}")
            if self.has("manuals"):
                text, sort = self.manual(rng)
                yield Document(text, f"manual_{sort}:{index % 20}", "manual")
            if self.has("about") and self.has("goals"):
                text, author = self.about(rng)
                yield Document(text, f"about_{author}:{index % 40}", "about")

    def _sentences(self, seed: int, each: int) -> Iterator[Document]:
        """Every trigger sentence and twin, a few times, alone or after another of the same use."""
        for part, kind in (("trigger", "trigger"), ("twins", "twin")):
            for author in self.authors:
                for number, template in enumerate(self.lines(part, author)):
                    for index in range(each):
                        rng = Random(f"{seed}:{kind}:{author}:{number}:{index}")
                        text = self.expand(author, template, rng)
                        if kind == "twin" and index % 2:
                            text = f"{text} {self.twin(rng, use_of(template))}"
                        yield Document(text, f"{use_of(template)}:{author}:{number}", kind)


def _join(whole: dict[str, Any], more: dict[str, Any]) -> None:
    """Add the sections of a file to those of another: lists are joined, also those of a mapping."""
    for part, content in more.items():
        if isinstance(content, list):
            whole[part] = [*whole.get(part, ()), *content]
        elif part == "slots":
            whole[part] = {**whole.get(part, {}), **content}
        elif isinstance(content, dict):
            old = whole.get(part, {})
            whole[part] = {key: [*old.get(key, ()), *content.get(key, ())] for key in {**old, **content}}


def _cased(text: str, rng: Random) -> str:
    draw = rng.random()
    return text.upper() if draw < 0.03 else text.lower() if draw < 0.1 else text
