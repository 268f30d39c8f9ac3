"""Putting a payload where real ones are found: inside harmless text, in the ways that kind of text has room for.

`splice` promises the whole host around the payload, and where the payload stands afterwards. The same wrappers take
harmless inserts, so that no wrapper tells anything by itself.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable
from random import Random
from typing import Final

Placed = tuple[str, tuple[int, int]]
_Wrapper = Callable[[str, Random], tuple[str, str, str]]  # payload → before, payload as it stands there, after

_VALUE: Final = re.compile(r'(?<=: ")((?:[^"\\]|\\.){3,400})(?=")')
_LINE_END: Final = re.compile(r"\n")
_SENTENCE: Final = re.compile(r"(?<=[.!?。])\s+(?=\S)")
_CELL: Final = re.compile(r"(?<=[|,;\t>])([^|,;\t<>\n]{2,60})(?=[|,;\t<])")


def _plain(before: str = "", after: str = "") -> _Wrapper:
    return lambda text, rng: (before, text, after)


def _prefixed(prefix: str) -> _Wrapper:
    return lambda text, rng: ("", "\n".join(f"{prefix}{line}" for line in text.split("\n")), "")


def _one_line(before: str, after: str = "") -> _Wrapper:
    return lambda text, rng: (before, " ".join(text.split()), after)


def _escaped(before: str, after: str) -> _Wrapper:
    return lambda text, rng: (before, html.escape(text, quote=False), after)


def _json(before: str, after: str) -> _Wrapper:
    return lambda text, rng: (before, json.dumps(text, ensure_ascii=rng.random() < 0.3)[1:-1], after)


def _logged(text: str, rng: Random) -> tuple[str, str, str]:
    level = rng.choice(("INFO", "WARN", "ERROR", "NOTICE", "DEBUG"))
    before = rng.choice(
        (f"2026-0{rng.randrange(1, 9)}-1{rng.randrange(9)}T0{rng.randrange(9)}:12:44Z {level} ", f"[{level}] app: ",
         f"{level}:root:", f"Nov {rng.randrange(1, 30)} 10:42:07 host app[{rng.randrange(99, 9999)}]: ")
    )  # fmt: skip
    return before, " ".join(text.split()), ""


# Each kind of host: the wrappers that stand on lines of their own.
_ANY: Final[tuple[_Wrapper, ...]] = (
    _plain(), _plain(), _plain("\n", "\n"), _plain("\n\n", "\n\n"), _plain("> "), _plain("- "), _plain("* "),
    _plain('"', '"'), _plain("(", ")"), _plain("**", "**"), _plain("Note: "), _plain("P.S. "), _plain("---\n", "\n---"),
    _plain("```\n", "\n```"), _plain("<!-- ", " -->"), _plain("[", "]"), _plain("Comment: "), _plain("Description: "),
    _one_line("Title: "), _one_line("1. "), _plain("\n\n\n\n"), _one_line("Summary: "), _one_line("message: "),
)  # fmt: skip
_BY_KIND: Final[dict[str, tuple[_Wrapper, ...]]] = {
    "code": (_prefixed("# "), _prefixed("// "), _plain("/* ", " */"), _plain('"""', '"""'), _one_line('print("', '")'),
             _one_line("raise ValueError('", "')"), _prefixed(" * "), _one_line("# TODO: "), _one_line("# NOTE: ")),
    "html": (_escaped("<p>", "</p>"), _escaped("<li>", "</li>"), _plain("<!-- ", " -->"), _escaped("<td>", "</td>"),
             _escaped('<div style="display:none">', "</div>"), _escaped('<span style="font-size:0">', "</span>"),
             _one_line('<img src="x.png" alt="', '">'), _escaped("<h2>", "</h2>"), _escaped("<em>", "</em>"),
             _escaped("<blockquote>", "</blockquote>"), _one_line('<meta name="description" content="', '">'),
             _escaped('<a href="https://example.com">', "</a>")),
    "xml": (_escaped("<note>", "</note>"), _plain("<!-- ", " -->"), _escaped("<description>", "</description>")),
    "json": (_json('"note": "', '",'), _json('{"comment": "', '"},'), _json('  "description": "', '",'),
             _json('"content": "', '"'), _json("'text': '", "',"), _json('"message": "', '",')),
    "log": (_logged, _logged, _one_line('"GET / HTTP/1.1" 200 "-" "', '"'), _one_line("User-Agent: ")),
    "csv": (_one_line("17,", ",open"), _one_line('204,"', '",12.50'), _one_line("9;", ";")),
    "mail": (_plain("\n", "\n"), _plain("\n\n", "\n\n"), _prefixed("> "), _plain("--\n"), _one_line("Subject: "),
             _plain("PS: "), _plain("-----Original Message-----\n"), _plain("Hi,\n\n", "\n\nBest regards")),
    "doc": (_plain("\n> "), _one_line("### "), _one_line("| note | ", " |"), _one_line("[//]: # (", ")"),
            _plain("```sh\n", "\n```"), _one_line("[link](https://example.com \"", '")'), _one_line("**Note:** ")),
    "config": (_prefixed("# "), _one_line("description: "), _one_line('note = "', '"'), _prefixed("; ")),
    "diff": (_prefixed("+"), _prefixed("+# "), _one_line("    ")),
}  # fmt: skip
_ALIASES: Final = {
    "command": "log", "tool_output": "json", "records": "json", "gen_json": "json", "gen_log": "log",
    "gen_email": "mail", "gen_csv": "csv", "gen_table": "html", "gen_git": "diff", "changelog": "doc",
    "gen_issue": "doc", "man": "doc", "gen_chat": "mail", "gen_review": "mail",
}  # fmt: skip


def splice(host: str, kind: str, payload: str, rng: Random) -> Placed:
    """Return the host with the payload in it, and the payload's span there.

    Inside a JSON string, a table cell, a sentence, or on lines of its own, at the start, in the middle or at the end.
    """
    kind = _ALIASES.get(kind, kind)
    draw = rng.random()
    if kind == "json" and (draw < 0.75) and (values := list(_VALUE.finditer(host))):
        return _into(host, rng.choice(values), json.dumps(payload, ensure_ascii=rng.random() < 0.3)[1:-1], rng)
    if kind in ("csv", "html") and draw < 0.3 and (cells := list(_CELL.finditer(host))):
        return _into(host, rng.choice(cells), " ".join(payload.split()), rng)
    if draw < 0.25 and (ends := [m.start() for m in _SENTENCE.finditer(host)]):
        at = rng.choice(ends)
        return f"{host[:at]} {payload}{host[at:]}", (at + 1, at + 1 + len(payload))
    wrappers = _BY_KIND.get(kind)
    wrapper = rng.choice(wrappers if wrappers and rng.random() < 0.65 else _ANY)
    before, text, after = wrapper(payload, rng)
    return _on_lines(host, before, text, after, rng)


def _into(host: str, match: re.Match[str], text: str, rng: Random) -> Placed:
    """Replace a value, or go on after it."""
    a, b = match.span()
    if rng.random() < 0.5:
        return f"{host[:a]}{text}{host[b:]}", (a, a + len(text))
    glue = rng.choice((" ", ". ", " - ", "; "))
    return f"{host[:b]}{glue}{text}{host[b:]}", (b + len(glue), b + len(glue) + len(text))


def _on_lines(host: str, before: str, text: str, after: str, rng: Random) -> Placed:
    where = rng.random()
    ends = [m.end() for m in _LINE_END.finditer(host)]
    if where < 0.2:
        at = 0
    elif where < 0.5 or not ends:
        at = len(host)
        before = f"{'' if host.endswith(chr(10)) or rng.random() < 0.2 else chr(10)}{before}"
    else:
        at = rng.choice(ends)
    start = at + len(before)
    glue = "" if at == len(host) else "\n"
    return f"{host[:at]}{before}{text}{after}{glue}{host[at:]}", (start, start + len(text))
