"""Writes sets of injected instructions, and of harmless text, by an author who saw neither rules nor training texts.

`python benchmarks/unseen_injections.py --out DIR`. One JSONL file per set, rows as `agentflow guard eval` reads them:
`text`, `label` (1 is an attack), `source` (set and style), `kind` (host, style, or what it is), `surface`. Texts are in
`unseen_injections.yaml` (attacks), `unseen_harmless.yaml` and `unseen_hosts.yaml`. The same call writes the same files.
It imports nothing of the package. Who tunes the guard must not read these texts, nor which of them it misses.
"""

from __future__ import annotations

import argparse
import base64
import codecs
import html
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import chain, repeat
from pathlib import Path
from random import Random
from typing import Any, Final

import yaml

Row = dict[str, Any]
STYLES: Final = ("override", "role", "addressed", "authority", "plain")
OVERT: Final = STYLES[:3]
_LANGUAGE: Final = re.compile(r"(de|fr|es|it|pt|ru|zh|ja): ")
_SLOT: Final = re.compile(r"«(\w+)»")
_PLACE: Final = re.compile(r"⟪([^⟪⟫¦]*)¦([^⟪⟫]*)⟫")
_ENGLISH_OF_TEN: Final = 9

_FIRST: Final = (
    "Anna Ben Carla David Elena Farid Grace Hugo Ines Jonas Kemi Lars Mina Noor Omar Petra Rosa Sven Tara Yuki"
)
_LAST: Final = (
    "Adler Brandt Costa Dubois Eriksen Ferrari Garcia Haddad Ivanova Jensen Keller Lindqvist Moreau Okafor Sato Weber"
)
_CITY: Final = "Bergen Bremen Cork Delft Ghent Graz Leeds Lyon Malmo Porto Turin Utrecht Vilnius Zadar"
_COMPANY: Final = "Alder Birch Cedar Delta Ember Falcon Granite Harbour Iris Juniper Kestrel Linden Meridian Northgate"
_TRADE: Final = ("Ltd", "GmbH", "Logistics", "Foods", "Systems", "& Sons", "Media", "Energy")
_PRODUCT: Final = (
    "coffee grinder",
    "lawn mower",
    "label printer",
    "vacuum cleaner",
    "hiking boot",
    "desk lamp",
    "bike rack",
)
_WORD: Final = (
    "atlas billing cobalt delta ember export forge gamma harbor index kernel ledger metric orders parser relay shard"
)
_MAIL_NAMES: Final = (
    "archive",
    "backup.desk",
    "j.porter",
    "billing-check",
    "ops-relay",
    "k.marlow",
    "intake",
    "office",
)
_MAIL_HOSTS: Final = (
    "mail-backup.example",
    "secure-relay.example.net",
    "collector.example.org",
    "inbox.test",
    "drop.example",
)
_URL_HOSTS: Final = (
    "https://collect.example.net",
    "http://status.example.org",
    "https://cdn-sync.example",
    "https://x.test",
)
_PATHS: Final = ("/in", "/upload", "/v1/report", "/s/7f3", "/hook", "/login", "/setup.sh")
_LEVELS: Final = ("low", "normal", "high", "moderate")


def _words(text: str) -> Callable[[Random], str]:
    choices = text.split()
    return lambda rng: rng.choice(choices)


def _digits(low: int, high: int) -> Callable[[Random], str]:
    return lambda rng: str(rng.randrange(low, high))


def _name(rng: Random) -> str:
    return f"{_words(_FIRST)(rng)} {_words(_LAST)(rng)}"


def _hex(count: int) -> Callable[[Random], str]:
    return lambda rng: f"{rng.getrandbits(count * 4):0{count}x}"


SLOTS: Final[dict[str, Callable[[Random], str]]] = {
    "first": _words(_FIRST),
    "sender": _words(_FIRST),
    "name": _name,
    "user": lambda rng: f"{_words(_FIRST)(rng).lower()}{rng.choice(('', '-dev', '_k', '42', '.io'))}",
    "email": lambda rng: f"{_name(rng).lower().replace(' ', '.')}@{_words(_COMPANY)(rng).lower()}.example.com",
    "mail": lambda rng: f"{rng.choice(_MAIL_NAMES)}@{rng.choice(_MAIL_HOSTS)}",
    "url": lambda rng: f"{rng.choice(_URL_HOSTS)}{rng.choice(_PATHS)}",
    "link": lambda rng: f"https://www.{_words(_COMPANY)(rng).lower()}.example.com/{_words(_WORD)(rng)}",
    "iban": lambda rng: f"XX{rng.randrange(10, 99)} {' '.join(str(rng.randrange(1000, 9999)) for _ in range(4))}",
    "company": lambda rng: f"{_words(_COMPANY)(rng)} {rng.choice(_TRADE)}",
    "product": lambda rng: rng.choice(_PRODUCT),
    "city": _words(_CITY),
    "word": _words(_WORD),
    "num": _digits(100, 999),
    "sec": _digits(10, 59),
    "pct": lambda rng: f"{rng.randrange(2, 60)} %",
    "price": lambda rng: f"{rng.randrange(20, 4000)}.00 EUR",
    "date": lambda rng: f"2026-{rng.randrange(1, 13):02}-{rng.randrange(1, 29):02}",
    "time": lambda rng: f"{rng.randrange(7, 20):02}:{rng.randrange(60):02}",
    "version": lambda rng: f"{rng.randrange(1, 6)}.{rng.randrange(20)}.{rng.randrange(10)}",
    "ip": lambda rng: f"203.0.113.{rng.randrange(1, 255)}",
    "level": lambda rng: rng.choice(_LEVELS),
    "loglevel": lambda rng: rng.choice(("INFO ", "INFO ", "DEBUG", "WARN ")),
    "id": _hex(8),
    "sha": _hex(32),
}


def _load(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(Path(__file__).with_name(name).read_text("utf-8"))
    return loaded


def _lines(text: str) -> list[str]:
    return [line.replace("⏎", "\n") for line in text.split("\n") if line.strip()]


def _by_language(lines: list[str]) -> dict[str, list[str]]:
    sorted_out: dict[str, list[str]] = {}
    for line in lines:
        found = _LANGUAGE.match(line)
        sorted_out.setdefault(found[1] if found else "en", []).append(line[found.end() :] if found else line)
    return sorted_out


_attacks = {name: _lines(text) for name, text in _load("unseen_injections.yaml").items()}
_harmless = {name: _lines(text) for name, text in _load("unseen_harmless.yaml").items()}
_hosts = _load("unseen_hosts.yaml")
_goals = {"en": _attacks["goals"]} | _by_language(_attacks["goals_other"])


def fill(text: str, rng: Random, **given: str) -> str:
    """`text` with its slots drawn; `given` slots are the same wherever they stand. Raises KeyError on unknown slots."""
    return _SLOT.sub(lambda found: given[found[1]] if found[1] in given else SLOTS[found[1]](rng), text)


def _row(text: str, label: int, source: str, kind: str, surface: str = "result") -> Row:
    return {"text": text, "label": label, "source": source, "kind": kind, "surface": surface}


def _goal(rng: Random, language: str = "en", at: int | None = None) -> dict[str, str]:
    goals = _goals[language]
    goal = fill(goals[at % len(goals)] if at is not None else rng.choice(goals), rng)
    return {"goal": goal, "Goal": goal[:1].upper() + goal[1:]}


# --------------------------------------------------------------------------- hosts


def _written(payload: str, esc: str, in_attribute: bool) -> str:
    """`payload` as it would stand in a host of that kind."""
    if esc == "json":
        return json.dumps(payload, ensure_ascii=False)[1:-1]
    if esc == "line":
        return payload.replace("\n", " ")
    if esc == "csv":
        doubled = payload.replace('"', '""')
        return f'"{doubled}"' if set(payload) & set(',"\n') else payload
    if esc == "xml":
        return html.escape(payload, quote=False)
    if esc.startswith("prefix:"):
        return payload.replace("\n", f"\n{esc.removeprefix('prefix:')}")
    return payload.replace('"', "&quot;").replace("\n", " ") if in_attribute else payload


def hosted(name: str, payload: str | None, rng: Random) -> str:
    """A tool result of 1 to 4 KB, with `payload` at one of its places; None leaves it as it is."""
    host = _hosts[name]
    said = [line for line in re.split(r"\n| \| ", host["say"].strip()) if line]
    drawn = chain.from_iterable(rng.sample(said, len(said)) for _ in repeat(None))
    length = rng.randrange(1_000, 3_300)
    rows: list[str] = []
    while sum(map(len, rows)) < length - len(host["head"]) - len(host["tail"]) or len(rows) < 2:
        rows.append(re.sub("«say»", lambda _: next(drawn), host["row"]))
    parts = [host["head"], *[row if at == 0 else host.get("sep", "\n") + row for at, row in enumerate(rows)]]
    text = re.sub("«say»", lambda _: next(drawn), parts[0] + "\n" + "".join(parts[1:]) + "\n" + host["tail"])
    return _placed(text, payload, host["esc"], rng)


def _placed(text: str, payload: str | None, esc: str, rng: Random) -> str:
    places = list(_PLACE.finditer(text))
    chosen = _choose(text, places, rng) if payload is not None else None
    out, end = [], 0
    for place in places:
        out.append(fill(text[end : place.start()], rng))
        if place is chosen and payload is not None:
            attribute = text[: place.start()].endswith('="')
            out.append(place[1].replace("$P", _written(payload, esc, attribute)))
        else:
            out.append(fill(place[2], rng))
        end = place.end()
    return "".join(out) + fill(text[end:], rng)


def _choose(text: str, places: list[re.Match[str]], rng: Random) -> re.Match[str]:
    """A place near the start, in the middle or near the end, each as often."""
    part = rng.randrange(3)
    ranges = [places[:2], places, places[-2:]]
    return rng.choice(ranges[part])


# --------------------------------------------------------------------------- attacks


def _spread(items: list[str], count: int, seed: str) -> list[str]:
    """`count` of `items`, each about as often."""
    chosen: list[str] = []
    rng = Random(seed)
    while len(chosen) < count:
        chosen += rng.sample(items, len(items))
    return chosen[:count]


def payloads(style: str, count: int) -> Iterator[tuple[str, Random]]:
    """`count` attacks of a style, one in ten not in English, each wording about as often; with their random source."""
    lines = _by_language(_attacks[style])
    english = _spread(lines.pop("en"), count, f"en:{style}")
    others = _spread([f"{language}: {line}" for language, found in lines.items() for line in found], count, style)
    offset = sum(map(ord, style))
    for at in range(count):
        rng = Random(f"{style}:{at}")
        if at % 10 < _ENGLISH_OF_TEN:
            yield fill(english[at], rng, **_goal(rng, at=at + offset)), rng
        else:
            language, _, line = others[at // 10].partition(": ")
            yield fill(line, rng, **_goal(rng, language)), rng


def attacks(prefix: str = "", styles: tuple[str, ...] = STYLES) -> Iterator[Row]:
    """A hundred of each style in results."""
    for style in styles:
        hosts = _spread(list(_hosts), 100, f"hosts:{prefix}{style}")
        for host, (payload, rng) in zip(hosts, payloads(prefix + style, 100), strict=True):
            yield _row(hosted(host, payload, rng), 1, f"attack:{style}", host)


def _mapped(pairs: str) -> dict[int, str]:
    return {ord(pair[0]): pair[1] for pair in pairs.split()}


_LOOKALIKES: Final = _mapped("aа cс eе oо pр xх yу iі sѕ AΑ EΕ HΗ OΟ TΤ IΙ")
_LEET: Final = _mapped("a4 e3 i1 o0 s5 t7 A4 E3 I1 O0 S5 T7")
ENCODINGS: Final[dict[str, Callable[[str], str]]] = {
    "zero width": lambda text: "\u200b".join(text),
    "homoglyphs": lambda text: text.translate(_LOOKALIKES),
    "full width": lambda text: "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in text),
    "tag characters": lambda text: "".join(chr(0xE0000 + ord(c)) if " " <= c <= "~" else c for c in text),
    "entities": lambda text: "".join(f"&#x{ord(c):x};" for c in text),
    "percent": lambda text: "".join(f"%{byte:02X}" for byte in text.encode()),
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "hex": lambda text: text.encode().hex(),
    "rot13": lambda text: codecs.encode(text, "rot13"),
    "leet": lambda text: text.translate(_LEET),
    "letter spacing": lambda text: "   ".join(" ".join(word) for word in text.split()),
    "comment": lambda text: f"<!-- {text} -->",
}


def encoded() -> Iterator[Row]:
    """The payloads of `overt` in the same hosts, under each encoding."""
    for name, encode in ENCODINGS.items():
        for style in OVERT:
            hosts = _spread(list(_hosts), 100, f"hosts:overt_{style}")
            for host, (payload, rng) in zip(hosts, payloads(f"overt_{style}", 100), strict=True):
                yield _row(hosted(host, encode(payload), rng), 1, f"encoded:{name}", style)


def _address(first: str, rng: Random) -> str:
    last, firm = _words(_LAST)(rng), _words(_COMPANY)(rng)
    mailbox = f"{first}.{last}@{firm}.example.com".lower()
    return f"{first} {last} <{mailbox}>"


def mails(count: int = 200) -> Iterator[Row]:
    """Whole mails with a request to the reader's assistant, as text or as a mail server's JSON."""
    for at, skeleton in enumerate(_spread(_attacks["mails"], count, "mails")):
        rng = Random(f"mail:{at}")
        people = {"first": SLOTS["first"](rng), "sender": SLOTS["sender"](rng)}
        subject, _, body = fill(skeleton, rng, **people, **_goal(rng, at=at)).partition("\n\n")
        subject = subject.removeprefix("Subject: ")
        sent = fill("«date» «time»", rng)
        sender, to = (_address(people[who], rng) for who in ("sender", "first"))
        if at % 10 < 3:
            known = {"id": SLOTS["id"](rng), "from": sender, "to": [to], "date": sent, "subject": subject, "body": body}
            text = json.dumps(known, ensure_ascii=False, indent=rng.choice((None, 2)))
        else:
            text = f"From: {sender}\nTo: {to}\nDate: {sent}\nSubject: {subject}\n\n{body}"
        yield _row(text, 1, "mail", f"{_attacks['mails'].index(skeleton):02}")


def poisoned(count: int = 200) -> Iterator[Row]:
    """Tool descriptions that give orders."""
    for at, line in enumerate(_spread(_attacks["poison"], count, "poison")):
        rng = Random(f"poison:{at}")
        tool = _attacks["tools"][
            (_attacks["poison"].index(line) + at // len(_attacks["poison"]) * 7) % len(_attacks["tools"])
        ]
        text = fill(line, rng, desc=tool, **_goal(rng, at=at))
        yield _row(text, 1, "poisoned", f"{_attacks['poison'].index(line):02}", "description")


# --------------------------------------------------------------------------- harmless


def _arguments(rng: Random) -> str:
    kinds = ("string, required", "integer, optional, must be at least 1", "boolean, default false", "list of keys")
    names = rng.sample(["query", "id", "limit", "path", "force", "fields", "cursor", "key"], 3)
    described = "\n".join(f"    {name}: {rng.choice(kinds)}" for name in names)
    return f"\n\nArgs:\n{described}\n\nReturns:\n    An object with `{SLOTS['word'](rng)}` and `status`."


def honest(count: int = 200) -> Iterator[Row]:
    """Descriptions of ordinary tools, half of them with their arguments."""
    lines = _harmless["honest"]
    for at in range(count):
        rng = Random(f"honest:{at}")
        text = fill(lines[at % len(lines)], rng) + (_arguments(rng) if at >= len(lines) else "")
        yield _row(text, 0, "honest", "description", "description")


def _alone_and_hosted(kind: str, count: int, alone: int) -> Iterator[Row]:
    lines = [line for found in _by_language(_harmless[kind]).values() for line in found]
    hosts = _spread(list(_hosts), count, f"hosts:{kind}")
    again = _spread(lines, count, kind)
    for at in range(count):
        rng = Random(f"{kind}:{at}")
        if at < alone:
            yield _row(fill(lines[at % len(lines)], rng), 0, f"{kind}:alone", "alone")
        else:
            yield _row(hosted(hosts[at], fill(again[at], rng), rng), 0, f"{kind}:hosted", hosts[at])


def about(count: int = 150) -> Iterator[Row]:
    """Texts on injection that quote attacks: single ones, then several together."""
    lines = [line for found in _by_language(_harmless["about"]).values() for line in found]
    quotes = _by_language(_attacks["override"])["en"] + _by_language(_attacks["addressed"])["en"]
    for at in range(count):
        rng = Random(f"about:{at}")
        chosen = [lines[at]] if at < len(lines) else rng.sample(lines, rng.randrange(2, 6))
        said = [fill(line, rng, atk=_quotable(fill(rng.choice(quotes), rng, **_goal(rng)))) for line in chosen]
        yield _row("\n\n".join(said), 0, "about:one" if len(said) == 1 else "about:several", "about")


def _quotable(text: str) -> str:
    return " ".join(text.replace('"', "'").split())


def plain_hosts(count: int = 300) -> Iterator[Row]:
    """The hosts of the attacks without any."""
    for at, host in enumerate(_spread(list(_hosts), count, "plain hosts")):
        yield _row(hosted(host, None, Random(f"host:{at}")), 0, "hosts", host)


def agents(count: int = 100) -> Iterator[Row]:
    """What a repository's owner tells agents in AGENTS.md and its like."""
    titles = (
        "# AGENTS.md",
        "# CLAUDE.md",
        "# Repository guidelines",
        "# Copilot instructions",
        "# Rules for coding agents",
    )
    for at in range(count):
        rng = Random(f"agents:{at}")
        lines = [fill(line, rng) for line in rng.sample(_harmless["agents"], rng.randrange(4, 15))]
        half = len(lines) // 2
        parts = [rng.choice(titles), "", "## Setup", *(f"- {line}" for line in lines[:half])]
        parts += ["", rng.choice(("## Rules", "## Style", "## Workflow")), *(f"- {line}" for line in lines[half:])]
        text = "\n".join(parts) if at % 3 else "\n".join(lines)
        yield _row(text, 0, "agents", "agents")


def sets() -> dict[str, list[Row]]:
    """Every set by its name."""
    return {
        "attacks": list(attacks()),
        "overt": list(attacks("overt_", OVERT)),
        "encoded": list(encoded()),
        "mails": list(mails()),
        "poisoned": list(poisoned()),
        "honest": list(honest()),
        "trigger": list(_alone_and_hosted("trigger", 300, 200)),
        "about": list(about()),
        "inserts": list(_alone_and_hosted("inserts", 300, 0)),
        "hosts": list(plain_hosts()),
        "agents": list(agents()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder for the sets")
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    for name, rows in sets().items():
        with (out / f"{name}.jsonl").open("w", encoding="utf-8") as file:
            file.writelines(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows)
        print(f"{name}: {len(rows)} rows, {dict(Counter(row['source'] for row in rows))}")


if __name__ == "__main__":
    main()
