"""Texts with personal data in known places, and texts that only look like it: generated, deterministic by seed."""

from __future__ import annotations

import json
import random
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from pii_values import ANYWHERE, FAKERS, IN_CONTEXT, LOOKALIKES, hexadecimal

Split = Literal["dev", "held-out"]
Span = tuple[str, int, int]


@dataclass(frozen=True, slots=True)
class Document:
    """A text and where its personal data are: `(type, start, end)`."""

    text: str
    spans: tuple[Span, ...]


# --- texts around them; `{}` is the place of a value, `{name}` that of its name

_SENTENCES: dict[Split, tuple[str, ...]] = {
    "dev": (
        "Please use the {name} {} for all further requests.",
        "The customer's {name} is {}, as discussed yesterday.",
        "I have changed my {name} to {}.",
        "Hi team,\n\ntheir {name}: {}\n\nBest,\nAnna",
        "<p>{name}: <b>{}</b></p>",
        "- **{name}**: {}\n- status: open",
        "2024-05-01T12:00:00Z INFO user update {name}={} status=200",
        "We could not verify the {name} ({}) that you gave us.",
    ),
    "held-out": (
        "Could you confirm that nothing changed? My {name} is {}.",
        "According to our files the {name} on record was {} until last week.",
        "{name}: {}",
        "{name} {} was rejected by the upstream, please check.",
        "Dear Sir or Madam,\nI would like to update my {name}. It should read {} from now on.",
        "<tr><th>{name}</th><td>{}</td></tr>",
        "> {name}: {}\n> sent from my phone",
        "WARN [worker-3] validation failed: {name}='{}' (attempt 2)",
        "| {name} | {} |",
        "{name} = {}; retries = 3",
        "Their {name}, which is {}, has to be removed from the list.",
    ),
}
_BARE_SENTENCES: dict[Split, tuple[str, ...]] = {
    "dev": ("Reach out to {} when done.", "{}", "see {} and reply", "from {} at noon", "result: {}\nexit 0"),
    "held-out": (
        "He wrote {} on the note.",
        "({})",
        'Got "{}" back from the service.',
        "a, {}, c",
        "> {}\n>> ok",
        "<li>{}</li>",
    ),
}
_OBJECT_STYLES: dict[Split, tuple[str, ...]] = {
    "dev": ("json", "csv", "log"),
    "held-out": ("indented", "nested", "tsv", "yaml", "query"),
}


class _Builder:
    """Puts a text together and remembers where the values are."""

    def __init__(self) -> None:
        self.text = ""
        self.spans: list[Span] = []

    def add(self, text: str) -> _Builder:
        self.text += text
        return self

    def value(self, kind: str, text: str) -> _Builder:
        self.spans.append((kind, len(self.text), len(self.text) + len(text)))
        return self.add(text)

    def template(self, template: str, name: str, kind: str, value: str) -> _Builder:
        before, after = template.replace("{name}", name).split("{}")
        return self.add(before).value(kind, value).add(after)

    def done(self) -> Document:
        return Document(self.text, tuple(self.spans))


def _pick(rng: random.Random) -> tuple[str, str, str, str]:
    """A type, a value, and its name as a field and in a sentence."""
    table = ANYWHERE if rng.random() < 0.65 else IN_CONTEXT
    kind = rng.choice(sorted(table))
    maker, fields, names = table[kind]
    return kind, maker(rng), rng.choice(fields), rng.choice(names)


def _prose(rng: random.Random, split: Split) -> Document:
    builder = _Builder()
    for _ in range(rng.randint(1, 4)):
        builder.add(FAKERS["en_US"].sentence() + "\n")
        kind, value, _, name = _pick(rng)
        builder.template(rng.choice(_SENTENCES[split]), name, kind, value).add("\n")
        if rng.random() < 0.3:
            builder.add(rng.choice(LOOKALIKES)(rng) + "\n")
    return builder.done()


def _bare(rng: random.Random, split: Split) -> Document:
    kind = rng.choice(["EMAIL", "PHONE", "CARD", "IBAN", "SSN", "IP", "MAC", "CRYPTO"])
    return _Builder().template(rng.choice(_BARE_SENTENCES[split]), "", kind, ANYWHERE[kind][0](rng)).done()


def _record(rng: random.Random) -> list[tuple[str, str, str]]:
    """Fields of one record: name, type or an empty string, value."""
    fields = {"id": ("", str(rng.randint(1, 10**9))), "status": ("", rng.choice(["active", "closed"]))}
    for _ in range(rng.randint(2, 5)):
        kind, value, field, _ = _pick(rng)
        fields[field] = (kind, value)
    fields["updated_at"] = ("", f"2024-0{rng.randint(1, 9)}-1{rng.randint(0, 9)}T08:00:00Z")
    fields["ref"] = ("", str(uuid.UUID(int=rng.getrandbits(128))))
    return [(name, kind, value) for name, (kind, value) in fields.items()]


def _structured(rng: random.Random, split: Split) -> Document:
    style = rng.choice(_OBJECT_STYLES[split])
    if style in ("csv", "tsv"):
        return _table(rng, "," if style == "csv" else "\t")
    fields = _record(rng)
    if style in ("log", "query"):
        joint, builder = (" ", _Builder().add("INFO ")) if style == "log" else ("&", _Builder().add("GET /x?"))
        for number, (name, kind, value) in enumerate(fields):
            value = value.replace(" ", "") if kind in ("CARD", "IBAN") else value
            if kind and (" " in value or "+" in value):
                continue
            builder.add(joint if number else "").add(f"{name}=")
            builder.value(kind, value) if kind else builder.add(value)
        return builder.done()
    if style == "yaml":
        builder = _Builder()
        for name, kind, value in fields:
            builder.add(f"{name}: ")
            (builder.value(kind, value) if kind else builder.add(value)).add("\n")
        return builder.done()
    return _json(fields, style)


def _json(fields: list[tuple[str, str, str]], style: str) -> Document:
    record: dict[str, Any] = {name: value for name, _, value in fields}
    whole: Any = {"data": [{"attributes": record}], "next": None} if style == "nested" else record
    text = json.dumps(whole, indent=2 if style == "indented" else None, ensure_ascii=False)
    spans = []
    for name, kind, value in fields:
        if kind:
            at = text.index(f'"{name}": "{value}"') + len(name) + 5
            spans.append((kind, at, at + len(value)))
    return Document(text, tuple(spans))


def _table(rng: random.Random, delimiter: str) -> Document:
    kinds = rng.sample(sorted(ANYWHERE), 2) + rng.sample(sorted(set(IN_CONTEXT) - set(ANYWHERE)), 2)
    builder = _Builder().add(delimiter.join(["id", *((ANYWHERE | IN_CONTEXT)[kind][1][0] for kind in kinds)]) + "\n")
    for row in range(rng.randint(2, 6)):
        builder.add(str(row))
        for kind in kinds:
            value = (ANYWHERE | IN_CONTEXT)[kind][0](rng)
            builder.add(delimiter)
            quoted = delimiter in value
            builder.add('"' if quoted else "").value(kind, value).add('"' if quoted else "")
        builder.add("\n")
    return builder.done()


def _negative(rng: random.Random) -> Document:
    lines = [rng.choice(LOOKALIKES)(rng) for _ in range(rng.randint(3, 12))]
    return Document(rng.choice(["\n", ", ", " ", "; "]).join(lines), ())


def documents(split: Split, count: int, seed: int) -> list[Document]:
    """Return `count` texts of a split."""
    rng = random.Random(f"{split}{seed}")
    for fake in FAKERS.values():
        fake.seed_instance(seed + (split == "dev"))
    makers: list[Callable[[], Document]] = [
        lambda: _prose(rng, split),
        lambda: _structured(rng, split),
        lambda: _bare(rng, split),
        lambda: _structured(rng, split),
        lambda: _negative(rng),
    ]
    return [makers[number % len(makers)]() for number in range(count)]


def clean_prose(rng: random.Random, size: int) -> str:
    """Prose with the occasional number and without personal data."""
    fake, parts, length = FAKERS["en_US"], [], 0
    while length < size:
        parts.append(fake.paragraph() + f" See section {rng.randint(1, 9)}.{rng.randint(1, 9)} of the account guide.")
        length += len(parts[-1])
    return "\n".join(parts)[:size]


def clean_json(rng: random.Random, size: int) -> str:
    """A listing as tools return it, without personal data."""
    rows = [
        {
            "id": rng.randint(1, 10**9),
            "name": f"item-{n}",
            "sha": hexadecimal(rng, 40),
            "state": "open",
            "comments": n,
            "created_at": "2024-05-01T12:00:00Z",
            "url": f"https://example.com/items/{n}",
            "score": round(rng.random(), 6),
        }
        for n in range(size // 150)
    ]
    return json.dumps(rows)[:size]
