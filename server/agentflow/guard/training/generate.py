"""Texts that no machine has lying about: attacks, their harmless twins, mail, logs, records, texts about injection.

Everything is expanded from the templates of this package by a seeded generator: equal seeds, equal texts.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from random import Random
from typing import Any, Final

from agentflow.guard.training.grammar import Grammar, templates
from agentflow.guard.training.harvest import Document

# How often each family of openers is drawn.
WEIGHTS: Final = {
    "override": 14, "role": 14, "turn": 10, "addressed": 14, "authority": 12, "error": 7, "condition": 9,
    "polite": 16, "bare": 14, "mail": 7, "threat": 4,
}  # fmt: skip
LANGUAGE_SHARE: Final = 0.1


@cache
def grammar() -> Grammar:
    """The slots of attacks and of harmless texts together."""
    return Grammar(*(templates(name)["slots"] for name in ("attacks", "attacks_more", "benign", "benign_more")))


@cache
def _known(name: str, part: str) -> Any:
    """A part of `name`.yaml and of `name`_more.yaml together: lists are joined, also those of a mapping."""
    first, more = templates(name)[part], templates(f"{name}_more").get(part)
    if isinstance(first, list):
        return [*first, *(more or ())]
    return {key: [*first.get(key, ()), *(more or {}).get(key, ())] for key in {**first, **(more or {})}}


def attack(rng: Random, families: dict[str, int] = WEIGHTS) -> tuple[str, str]:
    """One generated attack and the family of its opener."""
    if rng.random() < LANGUAGE_SHARE:
        languages = _known("attacks", "languages")
        language = rng.choice(sorted(languages))
        return grammar().expand(rng.choice(languages[language]), rng), f"lang_{language}"
    family = rng.choices(list(families), list(families.values()))[0]
    opener = rng.choice(_known("attacks", "openers")[family])
    closer = rng.choice(_known("attacks", "closers"))
    if closer.startswith(" ") and opener[-1].isalnum():
        closer = rng.choice(".,;!") + closer
    text = grammar().expand(opener + closer, rng, goal=goal(rng), goal2=goal(rng))
    return _cased(text, rng), family


def goal(rng: Random) -> str:
    """One thing an attacker may want, as a bare imperative."""
    goals: dict[str, list[str]] = _known("attacks", "goals")
    kind = rng.choice(list(goals))
    text = grammar().expand(rng.choice(goals[kind]), rng)
    if rng.random() < 0.15:
        more = grammar().expand(rng.choice(goals[rng.choice(list(goals))]), rng)
        text = f"{text}{rng.choice((' and ', ', then ', ' and then ', '. Then '))}{more}"
    return text


def _cased(text: str, rng: Random) -> str:
    draw = rng.random()
    return text.upper() if draw < 0.03 else text.lower() if draw < 0.1 else text


def twin(rng: Random) -> str:
    """A harmless insert: one to three statements, notices or requests to people."""
    known = _known("benign", "twins")
    pick = [grammar().expand(rng.choice(known), rng) for _ in range(rng.choice((1, 1, 1, 2, 3)))]
    return " ".join(pick)


def trigger(rng: Random) -> str:
    """A harmless sentence with the words of attacks."""
    return grammar().expand(rng.choice(_known("benign", "trigger")), rng)


def about(rng: Random) -> str:
    """A few sentences about injection, quoting attacks."""
    known = _known("benign", "about")
    sentences = []
    for _ in range(rng.randrange(1, 9)):
        quote = rng.choice(('"', "'", "`", "“"))
        close = "”" if quote == "“" else quote
        plain = attack(rng)[0]
        quoted = [f"{quote}{text}{close}" for text in (plain, attack(rng)[0])]
        given = {"quoted": quoted[0], "quoted2": quoted[1], "plain_quoted": plain}
        sentences.append(grammar().expand(rng.choice(known), rng, **given))
    return rng.choice((" ", " ", "\n\n", "\n- ")).join(sentences)


def manual(rng: Random) -> tuple[str, str]:
    """Instructions to people or to agents by the owner of the file, and their sort."""
    known: dict[str, list[str]] = _known("benign", "manuals")
    sort = rng.choice(list(known))
    lines = [known[sort][0], *rng.choices(known[sort][1:], k=rng.randrange(4, 22))]
    return "\n".join(grammar().expand(line, rng) for line in lines), sort


def document(kind: str, rng: Random) -> str:
    """One text of a generated kind (`documents` of the templates)."""
    lines: list[str] = _known("benign", "documents")[kind]
    count = int(3 * 12 ** rng.random())
    head = lines[:3] if kind == "email" else []
    chosen = [*head, *rng.choices(lines, k=count)]
    text = [grammar().expand(line, rng) for line in chosen]
    if kind == "json" and rng.random() < 0.7:
        return "[\n  " + ",\n  ".join(text) + "\n]"
    return ("\n\n" if kind in ("email", "issue") and rng.random() < 0.6 else "\n").join(text)


def harmless(seed: int, per_kind: int) -> Iterator[Document]:
    """Generated harmless texts; each kind counts as several sources, by the seed's draw."""
    kinds: dict[str, list[str]] = _known("benign", "documents")
    for kind in kinds:
        for index in range(per_kind):
            rng = Random(f"{seed}:{kind}:{index}")
            yield Document(document(kind, rng), f"gen_{kind}:{index % 20}", f"gen_{kind}")
    for index in range(per_kind * 2):
        rng = Random(f"{seed}:hard:{index}")
        text, sort = manual(rng)
        yield Document(text, f"manual_{sort}:{index % 20}", "manual")
        yield Document(trigger(rng), f"trigger:{index % 40}", "trigger")
        yield Document(twin(rng), f"twin:{index % 40}", "twin")
        yield Document(about(rng), f"about:{index % 40}", "about")
