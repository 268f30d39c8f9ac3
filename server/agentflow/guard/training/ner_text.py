"""Training text that looks like what tools return: prose, mail, chat, forms, JSON, CSV, tables, logs, code.

Each sample is a text with labelled spans. The frames are our own (`ner_templates.txt` and the record writers here);
what they are filled with comes from `ner_names` and `ner_values`. The same seed gives the same samples.
"""

from __future__ import annotations

import csv
import io
import json
import random
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from agentflow.guard.training.ner_values import JOBS, NAMES_OF_THINGS, NATIONS, PRODUCTS, THINGS, TITLES, Values

Span = tuple[int, int, str]
_SLOT = re.compile(r"\{(\w+)\}")
_TEMPLATES = Path(__file__).with_name("ner_templates.txt")


@dataclass(frozen=True, slots=True)
class Sample:
    """A text and what stands in it: `(start, end, label)`, in order."""

    text: str
    spans: tuple[Span, ...]


def templates() -> list[str]:
    """Return the templates, with their line breaks."""
    lines = _TEMPLATES.read_text(encoding="utf-8").splitlines()
    return [line.replace("\\n", "\n") for line in lines if line and not line.startswith("# ")]


class _Writer:
    """Collects a text and its spans."""

    def __init__(self) -> None:
        self.parts: list[str] = []
        self.spans: list[Span] = []
        self.length = 0

    def add(self, text: str, label: str = "") -> None:
        if label and text:
            self.spans.append((self.length, self.length + len(text), label))
        self.parts.append(text)
        self.length += len(text)

    def sample(self) -> Sample:
        text = "".join(self.parts)
        merged: list[Span] = []
        for start, end, label in self.spans:
            if merged and merged[-1][2] == label == "PER" and text[merged[-1][1] : start] == " ":
                merged[-1] = (merged[-1][0], end, label)  # a first and a last name are one person
            else:
                merged.append((start, end, label))
        return Sample(text, tuple(merged))


class Texts:
    """Draws samples.

    Args:
        seed: of everything that is drawn.
    """

    def __init__(self, seed: int) -> None:
        self.draw = random.Random(seed)
        self.values = Values(self.draw)
        self._templates = templates()
        names, values, draw = self.values.names, self.values, self.draw
        self._slots: dict[str, tuple[Callable[[], str], str]] = {
            "PER": (names.full, "PER"),
            "FIRST": (lambda: names.first(names.locale()), "PER"),
            "LAST": (lambda: names.last(names.locale()), "PER"),
            "LOC": (names.place, "LOC"),
            "TOWN": (names.town, "LOC"),
            "COUNTRY": (names.country, "LOC"),
            "ORG": (values.organisation, "ORG"),
            "NRP": (lambda: draw.choice(NATIONS), "NRP"),
            "ADDR": (values.address, "ADDR"),
            "LINE": (values.line, "ADDR"),
            "ZIP": (values.postcode, "ADDR"),
            "title": (lambda: draw.choice(TITLES), ""),
            "job": (lambda: draw.choice(JOBS), ""),
            "thing": (lambda: draw.choice(THINGS), ""),
            "product": (lambda: draw.choice(PRODUCTS), ""),
            "date": (values.date, ""),
            "phone": (values.phone, ""),
            "email": (values.email, ""),
            "id": (values.identifier, ""),
            "num": (lambda: str(draw.randint(1, 60)), ""),
            "age": (lambda: str(draw.randint(18, 90)), ""),
            "url": (lambda: f"https://www.{draw.choice(THINGS)}{draw.choice(THINGS)}.com/", ""),
            "card": (lambda: str(draw.randint(10**15, 10**16)), ""),
        }

    def value(self, slot: str) -> tuple[str, str]:
        """Return a value for a slot, and its label ("" for none)."""
        make, label = self._slots[slot]
        text = make()
        if label == "PER" and self.draw.random() < 0.04:
            text = text.lower()
        return text, label

    def prose(self) -> Sample:
        """Fill one template, sometimes two or three in a row."""
        writer = _Writer()
        for number in range(self.draw.choice([1, 1, 1, 1, 2, 2, 3])):
            if number:
                writer.add(self.draw.choice([" ", " ", "\n", "\n\n"]))
            self._fill(writer, self.draw.choice(self._templates))
        return self._recased(writer.sample())

    def _fill(self, writer: _Writer, template: str) -> None:
        position = 0
        for match in _SLOT.finditer(template):
            writer.add(template[position : match.start()])
            writer.add(*self.value(match[1]))
            position = match.end()
        writer.add(template[position:])

    def _recased(self, sample: Sample) -> Sample:
        roll = self.draw.random()
        if roll < 0.08:
            text = sample.text.lower()
        elif roll < 0.10:
            text = sample.text.upper()
        else:
            return sample
        return Sample(text, sample.spans) if len(text) == len(sample.text) else sample

    def samples(self, count: int) -> Iterator[Sample]:
        """Yield prose and records, about two to one."""
        records = Records(self)
        for _ in range(count):
            yield self.prose() if self.draw.random() < 0.68 else records.record()


# The members of records: keys as tools write them, and the slot of their value.
_MEMBERS: tuple[tuple[str, str], ...] = (
    ("name full_name fullName customer_name customerName contact_name contact display_name author owner assignee user "
     "employee patient recipient sender reporter created_by manager reviewer student passenger holder signer", "PER"),
    ("first_name firstName given_name givenName fname forename", "FIRST"),
    ("last_name lastName family_name surname lname maiden_name", "LAST"),
    ("city town location place birthplace origin destination hometown from to", "TOWN"),
    ("country nation country_name region", "COUNTRY"),
    ("company organization organisation employer org vendor supplier client bank publisher airline", "ORG"),
    ("address street street_address shipping_address billing_address addr delivery_address home_address", "ADDR"),
    ("line1 address1 address_line_1 street", "LINE"),
    ("zip zip_code postal_code postcode", "ZIP"),
    ("nationality citizenship ethnicity religion", "NRP"),
)  # fmt: skip
_PLAIN: tuple[tuple[str, str], ...] = (
    ("id order_id ticket uuid ref version commit sha", "id"),
    ("status state type kind name title label category tool file package module", "thing"),
    ("name title product item sku model description app", "product"),
    ("role job_title position", "job"),
    ("created_at updated date timestamp due dob birthday", "date"),
    ("email mail", "email"),
    ("phone mobile tel", "phone"),
    ("count total price quantity size port", "num"),
    ("url homepage link", "url"),
    ("title salutation prefix", "title"),
)


class Records:
    """Structured output: objects, rows, forms, logs."""

    def __init__(self, texts: Texts) -> None:
        self._texts = texts
        self._draw = texts.draw

    def record(self) -> Sample:
        """Return one sample in a format drawn at random."""
        make = self._draw.choice([self._json, self._json, self._flat, self._csv, self._form, self._log, self._table])
        return make()

    def _members(self, least: int, most: int) -> list[tuple[str, str, str]]:
        draw, found = self._draw, []
        for _ in range(draw.randint(least, most)):
            roll = draw.random()
            if roll < 0.55:
                keys, slot = draw.choice(_MEMBERS)
                value, label = self._texts.value(slot)
            elif roll < 0.85:
                keys, slot = draw.choice(_PLAIN)
                value, label = self._texts.value(slot)
            else:
                keys, value, label = draw.choice(_PLAIN)[0], draw.choice(NAMES_OF_THINGS), ""
            found.append((draw.choice(keys.split()), value.replace("\n", ", "), label))
        return found

    def _json(self) -> Sample:
        writer, draw = _Writer(), self._draw
        pretty = draw.random() < 0.5
        gap, comma = ("\n  ", ",\n  ") if pretty else ("", draw.choice([", ", ","]))
        writer.add("{" + gap)
        for number, (key, value, label) in enumerate(self._members(2, 7)):
            writer.add((comma if number else "") + json.dumps(key) + draw.choice([": ", ": ", ":"]) + '"')
            writer.add(json.dumps(value, ensure_ascii=False)[1:-1], label)
            writer.add('"')
        writer.add("\n}" if pretty else "}")
        return writer.sample()

    def _flat(self) -> Sample:
        """`key: value` of one member, as a leaf of a structured result is shown to the model."""
        writer = _Writer()
        ((key, value, label),) = self._members(1, 1)
        writer.add(key.replace("_", " ") + ": ")
        writer.add(value, label)
        return writer.sample()

    def _csv(self) -> Sample:
        writer, draw = _Writer(), self._draw
        slots = [draw.choice(_MEMBERS if draw.random() < 0.5 else _PLAIN) for _ in range(draw.randint(3, 6))]
        joint = draw.choice([",", ",", ";", "\t"])
        writer.add(joint.join(draw.choice(keys.split()) for keys, _ in slots) + "\n")
        for _ in range(draw.randint(1, 4)):
            for number, (_, slot) in enumerate(slots):
                value, label = self._texts.value(slot)
                cell = self._cell(value.replace("\n", ", "), joint)
                writer.add(joint if number else "")
                quoted = cell[:1] == '"'
                writer.add('"' if quoted else "")
                writer.add(cell[1:-1] if quoted else cell, label)
                writer.add('"' if quoted else "")
            writer.add("\n")
        return writer.sample()

    @staticmethod
    def _cell(value: str, joint: str) -> str:
        out = io.StringIO()
        csv.writer(out, delimiter=joint).writerow([value])
        return out.getvalue().rstrip("\r\n")

    def _form(self) -> Sample:
        writer, draw = _Writer(), self._draw
        style = draw.choice(["{}: ", "{}: ", "**{}:** ", "- {}: ", "{} = ", "{}\n", "<b>{}</b> "])
        for key, value, label in self._members(2, 6):
            title = key.replace("_", " ").capitalize() if draw.random() < 0.7 else key
            writer.add(style.format(title))
            writer.add(value, label)
            writer.add("\n")
        return writer.sample()

    def _log(self) -> Sample:
        writer, draw = _Writer(), self._draw
        for _ in range(draw.randint(1, 3)):
            writer.add(f"{self._texts.value('date')[0]} {draw.choice(['INFO', 'DEBUG', 'WARN', 'ERROR'])} ")
            writer.add(
                f"[{draw.choice(THINGS)}-{draw.randint(1, 9)}] {draw.choice(THINGS)} "
                f"{draw.choice(['done', 'failed', 'started', 'updated'])}"
            )
            for key, value, label in self._members(1, 3):
                quote = draw.choice(['"', '"', "'", ""]) if label else ""
                writer.add(f" {key}={quote}")
                writer.add(value, label)
                writer.add(quote)
            writer.add("\n")
        return writer.sample()

    def _table(self) -> Sample:
        writer, draw = _Writer(), self._draw
        slots = [draw.choice(_MEMBERS if draw.random() < 0.5 else _PLAIN) for _ in range(draw.randint(2, 4))]
        writer.add("| " + " | ".join(draw.choice(keys.split()).replace("_", " ").title() for keys, _ in slots) + " |\n")
        writer.add("|" + "---|" * len(slots) + "\n")
        for _ in range(draw.randint(1, 3)):
            for _, slot in slots:
                value, label = self._texts.value(slot)
                writer.add("| ")
                writer.add(value.replace("\n", ", "), label)
                writer.add(" ")
            writer.add("|\n")
        return writer.sample()
