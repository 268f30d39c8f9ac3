"""HTML from templates: everything is escaped, and nothing that a person could be deceived by stays as it is.

What comes from servers, callers and records goes through `visible`: characters that cannot be seen, that reorder what
is read or that pass for Latin letters are spelled out, and what is too long is cut with a word about how much. A name
that a template does not have is an error, not an empty place.
"""

from __future__ import annotations

import hashlib
import json
import re
import time
from datetime import UTC, datetime
from difflib import unified_diff
from functools import cache
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import jinja2
from markupsafe import Markup, escape

from agentflow import __version__
from agentflow.guard.pins.diff import visible as spelled_out

HERE: Final = Path(__file__).parent
STATIC: Final = {
    "page.css": "text/css; charset=utf-8",
    "page.js": "text/javascript; charset=utf-8",
    "htmx.min.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
}
_LONG: Final = 4_000  # characters of one text that are shown
_WIDEST: Final = 200_000  # characters of one text that are looked at at all
_LINES: Final = 2_000  # of a difference
_UNSEEN: Final = re.compile("⟨U\\+[0-9A-F]{4,6}⟩")
_DIGEST: Final = re.compile("[0-9a-f]{24,128}")
_UNITS: Final = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))


def visible(value: object, limit: int = _LONG) -> Markup:
    """Text of unknown origin as it may be shown: escaped, cut, and with what cannot be seen marked."""
    text = value if isinstance(value, str) else str(value)
    cut = text[: min(limit, _WIDEST)]
    shown = _UNSEEN.sub(lambda found: f'<span class="unseen">{found[0]}</span>', str(escape(spelled_out(cut))))
    if len(cut) < len(text):
        shown += f'<span class="cut">… {len(text) - len(cut):,} more characters</span>'
    return Markup(shown)  # noqa: S704 - escaped above


def short(value: str) -> Markup:
    """A digest by its first characters, the whole of it on hovering; any other text as `visible` shows it."""
    if _DIGEST.fullmatch(value):
        return Markup('<code title="{}">{}…</code>').format(value, value[:12])
    return visible(value, 120)


def pretty(value: object, limit: int = 20_000) -> Markup:
    """JSON, indented, as it may be shown."""
    return visible(json.dumps(value, indent=2, ensure_ascii=False, default=str), limit)


def moment(seconds: float | None, *, day: bool = True) -> Markup:
    """A time of epoch seconds, in UTC, as a `time` element."""
    if seconds is None:
        return Markup("–")
    try:
        at = datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, ValueError, OSError):
        return visible(seconds)
    shown = at.strftime("%Y-%m-%d %H:%M:%S" if day else "%H:%M:%S")
    return Markup('<time datetime="{}" title="{} UTC">{}</time>').format(
        at.isoformat(timespec="milliseconds"), at.strftime("%Y-%m-%d %H:%M:%S.%f")[:-3], shown
    )


def ago(seconds: float | None) -> Markup:
    """How long ago a time was, or how soon it will be, as a `time` element."""
    if not seconds:
        return Markup("never")
    away = seconds - time.time()
    said = "just now" if abs(away) < 1 else f"in {span(away)}" if away > 0 else f"{span(-away)} ago"
    at = datetime.fromtimestamp(seconds, UTC)
    return Markup('<time datetime="{}" title="{} UTC">{}</time>').format(
        at.isoformat(timespec="seconds"), at.strftime("%Y-%m-%d %H:%M:%S"), said
    )


def span(seconds: float) -> str:
    """A duration in its two largest units: `2 min 10 s`."""
    left = max(0, round(seconds))
    parts = []
    for size, unit in _UNITS:
        count, left = divmod(left, size)
        if count:
            parts.append(f"{count} {unit}")
        elif parts:
            break
    return " ".join(parts[:2]) or "0 s"


def micros(value: float | None) -> str:
    """Microseconds in a unit that is easy to read."""
    if value is None:
        return "–"
    if value < 1_000:
        return f"{value:.0f} µs"
    if value < 1_000_000:
        return f"{value / 1_000:.1f} ms"
    return f"{value / 1_000_000:.2f} s"


def number(value: float) -> str:
    """A count with separators."""
    return f"{value:,}"


def plural(count: int, one: str, many: str = "") -> str:
    """`1 call`, `2 calls`."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def difference(before: str, after: str, context: int = 3) -> list[tuple[str, str]]:
    """Lines that came, went or stayed: pairs of `plus`, `minus`, `at` or `same`, and the line with its mark."""
    kinds = {"+": "plus", "-": "minus", "@": "at"}
    lines = list(unified_diff(before.splitlines(), after.splitlines(), lineterm="", n=context))[2:]
    return [(kinds.get(line[:1], "same"), line) for line in lines[:_LINES]]


@cache
def environment() -> jinja2.Environment:
    """The templates, with what they may use."""
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    made.filters.update(
        visible=visible,
        pretty=pretty,
        short=short,
        moment=moment,
        ago=ago,
        span=span,
        micros=micros,
        number=number,
        plural=plural,
        part=lambda name: quote(name, safe=""),
    )
    made.globals.update(version=__version__, static=lambda name: f"/ui/static/{name}?v={_mark(name)}", now=time.time)
    return made


def render(template: str, context: dict[str, Any]) -> bytes:
    """The page as UTF-8. A character that UTF-8 does not have (half a surrogate pair) is spelled out."""
    return environment().get_template(template).render(context).encode("utf-8", "backslashreplace")


@cache
def static_file(name: str) -> bytes:
    """One of `STATIC`."""
    return (HERE / "static" / name).read_bytes()


@cache
def _mark(name: str) -> str:
    """Changes with the file, so that a browser may keep it for good."""
    return hashlib.sha256(static_file(name)).hexdigest()[:12]
