"""Replacements that fit: what stands for a value in structured content still satisfies the tool's `outputSchema`.

It promises, for one string and what the schema says about its place (`format`, `pattern`, `minLength`, `maxLength`),
the first of these that fits: the token; the token as a mail address, percent-encoded, bare, or padded; a value that is
nobody's (`0.0.0.0`, `1970-01-01`, the nil UUID); the value with zeros for digits and x for letters. The last two cannot
be turned back. Where an `enum` or `const` lists the value, its token fits, for the client's copy of the schema shows
the same token. It refuses to let the value stand: where nothing fits, `redaction` withholds the result.
"""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date, datetime
from functools import lru_cache
from typing import Any, Final

import orjson

from agentflow.guard import tokens
from agentflow.guard.complaints import matches
from agentflow.guard.validation import Schema, UnusableSchema

Constraints = Sequence[Mapping[str, Any]]

_KEYWORDS: Final = ("format", "pattern", "minLength", "maxLength")
_NOBODY: Final = {
    "ipv4": "0.0.0.0",  # noqa: S104 - an address that is nobody's, and nothing is bound to it
    "ipv6": "::",
    "date": "1970-01-01",
    "date-time": "1970-01-01T00:00:00Z",
    "time": "00:00:00Z",
    "duration": "P0D",
    "uuid": "00000000-0000-0000-0000-000000000000",
    "hostname": "redacted.invalid",
    "idn-hostname": "redacted.invalid",
    "uri": "urn:redacted",
    "iri": "urn:redacted",
}
_ADDRESSES: Final = frozenset({"uri", "iri", "uri-reference", "iri-reference", "uri-template"})
_MAIL: Final = re.compile(r"[^\s@<>\[\]()]+@[^\s@<>\[\]()]+\.[^\s@<>\[\]()]+")
_URI: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[^\s<>\"{}|\\^`\[\]]*")
_UUID: Final = re.compile(r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}")
_HOST: Final = re.compile(r"(?=.{1,253}$)[A-Za-z0-9](?:[A-Za-z0-9-]{0,62})(?:\.[A-Za-z0-9][A-Za-z0-9-]{0,62})*")
_TIME: Final = re.compile(r"\d\d:\d\d:\d\d(?:\.\d+)?(?:[Zz]|[+-]\d\d:\d\d)")
_DURATION: Final = re.compile(r"P(?=.)(?:\d+[YMWD])*(?:T(?:\d+[HMS])+)?")


def fitted(original: str, rendered: str, name: str, place: Constraints, clean: Callable[[str], bool]) -> str:
    """Return what stands for `original` at a place of a schema.

    Args:
        rendered: `original` with tokens in it.
        name: the token's name where it stands for the whole of `original`, else "".
        place: the subschemas that apply there.
        clean: whether a text holds nothing that would be redacted again.
    """
    # Of several forms a place may have, those that the value has; another form may ask for anything.
    place = [node for node in place if any(keyword in node for keyword in _KEYWORDS) and _fits(original, (node,))]
    if not place or _listed(original, place):
        return rendered
    fitting = [choice for choice in _candidates(original, rendered, name, place) if _fits(choice[0], place)]
    best = next((text for text, is_token in fitting if is_token or clean(text)), None)
    if best is not None:
        return best
    return next((text for text, _ in fitting if text != original or _is_masked(text)), rendered)


def valid(output_schema: Any, content: Any) -> bool:
    """Whether redacted content satisfies its schema, whatever its tokens stand for; a broken schema bars none."""
    try:
        return not _compiled(orjson.dumps(output_schema)).judge(content, 1)[0]
    except (UnusableSchema, orjson.JSONEncodeError):
        return True


@lru_cache(maxsize=256)
def _compiled(schema: bytes) -> Schema:
    return Schema(orjson.loads(schema))


def rewritten(text: str, content: Any) -> str:
    """Return `content` as JSON in the layout of `text`."""
    lines = text.split("\n", 2)
    indent = len(lines[1]) - len(lines[1].lstrip()) if len(lines) > 1 else None
    separators = (",", ": ") if indent is not None else (", ", ": ") if '": ' in text else (",", ":")
    return json.dumps(content, indent=indent, separators=separators, ensure_ascii=text.isascii())


def _listed(original: str, place: Constraints) -> bool:
    listed = [value for node in place if isinstance(node.get("enum"), list) for value in node["enum"]]
    return original in listed or any(node.get("const") == original for node in place)


def _candidates(original: str, rendered: str, name: str, place: Constraints) -> Iterator[tuple[str, bool]]:
    """Yield (text, whether it is a token) from the best to the last resort."""
    formats = {node["format"] for node in place if isinstance(node.get("format"), str)}
    yield rendered, True
    if name:
        if formats & {"email", "idn-email"}:
            yield name + tokens.MAIL_DOMAIN, True
        yield name, True
    if formats & _ADDRESSES:
        yield re.sub(r"[<>\[\]]", lambda bracket: f"%{ord(bracket[0]):02X}", rendered), True
        if name:
            yield f"urn:redacted:{name}", True
    least = max((node["minLength"] for node in place if type(node.get("minLength")) is int), default=0)
    if 0 < least <= 4096:
        yield rendered.ljust(least, "."), True
    for form in sorted(formats & _NOBODY.keys()):
        yield _NOBODY[form], False
    for digit in "091":
        for small, capital in (("x", "X"), ("a", "A")):
            yield _masked(original, digit, small, capital), False


def _is_masked(text: str) -> bool:
    """Whether a text is already nothing but zeros and x."""
    return _masked(text, "0", "x", "X") == text


def _masked(text: str, digit: str, small: str, capital: str) -> str:
    return "".join(
        digit if char.isdigit() else capital if char.isupper() else small if char.isalpha() else char for char in text
    )


def _fits(text: str, place: Constraints) -> bool:
    for node in place:
        pattern, form = node.get("pattern"), node.get("format")
        if isinstance(pattern, str) and not matches(pattern, text):
            return False
        if type(node.get("minLength")) is int and len(text) < node["minLength"]:
            return False
        if type(node.get("maxLength")) is int and len(text) > node["maxLength"]:
            return False
        if isinstance(form, str) and not _has_format(form, text):
            return False
    return True


def _has_format(form: str, text: str) -> bool:
    """Whether a text has a format of JSON Schema 2020-12, section 7.3; formats of nobody's hold for every text."""
    try:
        match form:
            case "email" | "idn-email":
                return _MAIL.fullmatch(text) is not None
            case "uri" | "iri":
                return _URI.fullmatch(text) is not None
            case "uri-reference" | "iri-reference":
                return re.search(r"[\s<>\"{}|\\^`]", text) is None
            case "uuid":
                return _UUID.fullmatch(text) is not None
            case "date":
                return len(text) == 10 and date.fromisoformat(text) is not None
            case "date-time":
                return "T" in text.upper() and datetime.fromisoformat(text).tzinfo is not None
            case "time":
                return _TIME.fullmatch(text) is not None
            case "duration":
                return _DURATION.fullmatch(text) is not None
            case "ipv4":
                return ipaddress.IPv4Address(text) is not None
            case "ipv6":
                return ipaddress.IPv6Address(text) is not None
            case "hostname" | "idn-hostname":
                return _HOST.fullmatch(text) is not None
            case _:
                return True
    except ValueError:
        return False
