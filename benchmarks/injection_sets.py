"""Writes the sets that the injection detectors are measured on.

`python benchmarks/injection_sets.py --data DIR --out DIR`. One JSONL file per set, rows as `agentflow guard eval` reads
them. No row was trained on: harmless text is from sources that training leaves out (`part_of` = test), attacks and hard
harmless texts are from `injection_sets.yaml`, which training does not read, in hosts that are only here. `data` is the
folder that `agentflow guard train` reads. Equal machines and equal data write equal files.
"""

from __future__ import annotations

import argparse
import base64
import codecs
import json
import urllib.parse
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any, Final

import yaml

from agentflow.guard.training.grammar import Grammar
from agentflow.guard.training.injection_data import build

Row = dict[str, Any]
# Kinds that have a set of their own, or are not what tools return.
_APART: Final = frozenset({"about", "trigger", "twin", "twinned", "user", "user_security"})
_PER_KIND: Final = 100

_known: dict[str, Any] = yaml.safe_load(Path(__file__).with_name("injection_sets.yaml").read_text("utf-8"))
_grammar = Grammar(_known["slots"])


def _said(template: str, rng: Random, **given: str) -> str:
    return _grammar.expand(template, rng, **given)


def _row(text: str, label: int, source: str, kind: str, surface: str = "result") -> Row:
    return {"text": text, "label": label, "source": source, "kind": kind, "surface": surface}


# --------------------------------------------------------------------------- attacks


def _attack(style: str, rng: Random) -> str:
    return _said(rng.choice(_known["styles"][style]), rng, task=_said(rng.choice(_known["tasks"]), rng))


def _hosted(host: str, payload: str, rng: Random) -> str:
    text = _said(_known["hosts"][host], rng)
    structured = text.lstrip().startswith("{")
    return text.replace("%P%", json.dumps(payload, ensure_ascii=False)[1:-1] if structured else payload)


def attacks(each: int = 5) -> Iterator[Row]:
    """Every style in every host, `each` times."""
    for style in _known["styles"]:
        for host in _known["hosts"]:
            for index in range(each):
                rng = Random(f"attack:{style}:{host}:{index}")
                yield _row(_hosted(host, _attack(style, rng), rng), 1, f"attack:{style}", host)


def mails(count: int = 210) -> Iterator[Row]:
    """Ordinary letters with a request to whatever reads them."""
    for index in range(count):
        rng = Random(f"mail:{index}")
        at = index % len(_known["attack_mails"])
        text = _said(_known["attack_mails"][at], rng, task=_said(rng.choice(_known["tasks"]), rng))
        yield _row(text, 1, f"mail:{at}", "mail")


_LOOKALIKE: Final = str.maketrans("aeopcisxyj", "аеорсіѕхуј")
ENCODINGS: Final[dict[str, Callable[[str], str]]] = {
    "zero width": lambda text: "\u200b".join(text),
    "homoglyphs": lambda text: text.translate(_LOOKALIKE),
    "full width": lambda text: "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in text),
    "tags": lambda text: "".join(chr(0xE0000 + ord(c)) if ord(c) < 127 else c for c in text),
    "entities": lambda text: "".join(f"&#{ord(c)};" for c in text),
    "percent": lambda text: urllib.parse.quote(text),
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "base64 twice": lambda text: base64.b64encode(base64.b64encode(text.encode())).decode(),
    "hex": lambda text: text.encode().hex(),
    "rot13": lambda text: codecs.encode(text, "rot13"),
    "leet": lambda text: text.translate(str.maketrans("aeiost", "431057")),
    "letter spacing": lambda text: "  ".join(" ".join(word) for word in text.split()),
}


def encoded(each: int = 25) -> Iterator[Row]:
    """Overt attacks (not the plainly worded ones), encoded, in hosts."""
    styles = [style for style in _known["styles"] if style != "plain"]
    for name, encode in ENCODINGS.items():
        for index in range(each):
            rng = Random(f"encoded:{index}")
            host = rng.choice(list(_known["hosts"]))
            yield _row(_hosted(host, encode(_attack(rng.choice(styles[:1] + styles[2:]), rng)), rng), 1, name, host)


def descriptions(honest: list[str], count: int = 240) -> Iterator[Row]:
    """Poisoned descriptions: an order to the model behind what a real tool says of itself."""
    for index in range(count):
        rng = Random(f"poison:{index}")
        at = index % len(_known["poison"])
        yield _row(f"{rng.choice(honest)} {_said(_known['poison'][at], rng)}", 1, f"poison:{at}", "desc", "description")


# --------------------------------------------------------------------------- harmless


def triggers(each: int = 13) -> Iterator[Row]:
    """Sentences with the words of attacks; half of them stand in a tool result."""
    for at, template in enumerate(_known["trigger"]):
        for index in range(each):
            rng = Random(f"trigger:{at}:{index}")
            text = _said(template, rng)
            hosted = index % 2 == 1
            host = rng.choice(list(_known["hosts"])) if hosted else "alone"
            yield _row(_hosted(host, text, rng) if hosted else text, 0, f"trigger:{at}", host)


def about(each: int = 30) -> Iterator[Row]:
    """Texts about injection that quote attacks."""
    for kind, lines in _known["about"].items():
        for index in range(each):
            rng = Random(f"about:{kind}:{index}")
            count = rng.randrange(2, 7)
            chosen = rng.sample(lines, len(lines)) + [rng.choice(lines) for _ in range(count)]
            styles = ["override", "addressed", "authority"]
            said = [_said(line, rng, atk=_quoted(rng.choice(styles), rng)) for line in chosen[: max(count, 3)]]
            yield _row(("\n" if kind in ("changelog", "chatter") else "\n\n").join(said), 0, f"about:{kind}", kind)


def _quoted(style: str, rng: Random) -> str:
    return " ".join(_attack(style, rng).replace("“", "").replace('"', "").split())


def records(count: int = 400) -> Iterator[Row]:
    """Tool results full of people's data: contacts, orders, payments, alone and in results."""
    for index in range(count):
        rng = Random(f"record:{index}")
        lines = [_said(rng.choice(_known["records"]), rng) for _ in range(rng.choice((1, 1, 2, 4, 9)))]
        text = rng.choice(("\n", " ", "\n- ")).join(lines)
        hosted = index % 3 == 0
        host = rng.choice(list(_known["hosts"])) if hosted else "alone"
        yield _row(_hosted(host, " ".join(lines[:2]), rng) if hosted else text, 0, f"records:{len(lines)}", host)


def plain_hosts(each: int = 10) -> Iterator[Row]:
    """The hosts of the attacks as they are."""
    for host in _known["hosts"]:
        for index in range(each):
            yield _row(_hosted(host, "", Random(f"host:{host}:{index}")), 0, "hosts", host)


def left_out(data: Path) -> tuple[list[Row], list[Row], list[str]]:
    """What training leaves out: harmless results by kind, hard ones (NotInject, people's prompts), descriptions."""
    corpus = build(data)
    ordinary: dict[str, list[Row]] = {}
    hard, described = [], []
    for document in corpus.part("test"):
        if document.label:
            continue
        row = _row(document.text, 0, document.source, document.kind, document.surface)
        if document.surface == "description":
            described.append(row)
        elif document.kind in _APART:
            hard.append(row)
        else:
            ordinary.setdefault(document.kind, []).append(row)
    chosen = []
    for kind in sorted(ordinary):
        Random(f"ordinary:{kind}").shuffle(ordinary[kind])
        chosen += ordinary[kind][:_PER_KIND]
    described = [row for row in described if not row["source"].startswith("honest")]
    honest = [row["text"] for row in described if row["kind"] == "tool_desc"]
    return chosen, [*hard, *described], honest


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder that `agentflow guard train` reads")
    parser.add_argument("--out", type=Path, required=True, help="folder for the sets")
    args = parser.parse_args()
    ordinary, others, honest = left_out(args.data)
    sets: dict[str, list[Row]] = {
        "benign": ordinary,
        "hosts": list(plain_hosts()),
        "records": list(records()),
        "trigger": [*triggers(), *(row for row in others if row["source"].startswith("notinject"))],
        "users": [row for row in others if row["kind"] in ("user", "user_security")],
        "about": list(about()),
        "descriptions": [row for row in others if row["surface"] == "description"],
        "attacks": list(attacks()),
        "encoded": list(encoded()),
        "mails": list(mails()),
        "poisoned": list(descriptions(honest)),
    }
    args.out.mkdir(parents=True, exist_ok=True)
    for name, rows in sets.items():
        with (args.out / f"{name}.jsonl").open("w", encoding="utf-8") as out:
            out.writelines(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows)
        print(f"{name}: {len(rows)} rows, {dict(Counter(row['kind'] for row in rows))}")


if __name__ == "__main__":
    main()
