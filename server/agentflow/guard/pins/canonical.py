"""What makes two definitions the same: one canonical form, and its SHA-256.

The whole definition counts, also members that this version does not know, for clients are shown all of it. It is
written as canonical JSON in the manner of RFC 8785: members sorted, no white space, UTF-8. Texts are compared as
they were sent, without Unicode normalisation, because models read the difference.

Not a change: the order of members, and of the names in a `required` list, which is a set (JSON Schema 2020-12,
validation § 6.5.3). A change: everything else, the order of `enum` and of `examples` included. Of a listed resource
`size` and `annotations.lastModified` are left out: they tell of its content, and change with it.
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any, Final, Literal

import orjson

JSON = dict[str, Any]
Kind = Literal["tool", "prompt", "resource", "template", "instructions"]
KINDS: Final[tuple[Kind, ...]] = ("tool", "prompt", "resource", "template", "instructions")

_STRING: Final = rb'"(?:[^"\\]|\\.)*"'
# Quotes inside a string are escaped, so this never begins inside one.
_REQUIRED: Final = re.compile(rb'"required":\[(' + _STRING + rb"(?:," + _STRING + rb")+)\]")
_STRINGS: Final = re.compile(_STRING)
_TITLE: Final = re.compile(rb'"title":' + _STRING + rb",?")


def canonical(kind: Kind, definition: JSON) -> bytes:
    """The canonical form of a definition as its server sent it."""
    if kind == "resource":
        definition = _lasting(definition)
    try:
        data = orjson.dumps(definition, option=orjson.OPT_SORT_KEYS)
    except TypeError:  # integers beyond 64 bits, lone surrogates
        data = json.dumps(definition, sort_keys=True, separators=(",", ":")).encode()
    return _REQUIRED.sub(_sorted_names, data) if b'"required":[' in data else data


def parsed(data: bytes | str) -> Any:
    """The definition that a canonical form stands for.

    Raises:
        ValueError: it is none, or was cut.
    """
    try:
        return orjson.loads(data)
    except ValueError:  # lone surrogates
        return json.loads(data)


def digest(data: bytes) -> bytes:
    """SHA-256 of a canonical form: 32 bytes."""
    return hashlib.sha256(data).digest()


def body(kind: Kind, name: str, data: bytes) -> bytes:
    """What a definition is apart from its names and titles: 16 bytes, or none where that says too little to tell.

    Two definitions of the same body, one gone and one new, are a tool that was renamed.
    """
    if kind == "instructions" or b'"description":"' not in data:
        return b""
    key = {"resource": "uri", "template": "uriTemplate"}.get(kind, "name")
    for form in _forms(name):
        data = data.replace(b'"%s":%s' % (key.encode(), form), b"", 1)
    return hashlib.blake2b(_TITLE.sub(b"", data), digest_size=16).digest()


def _forms(name: str) -> tuple[bytes, ...]:
    try:
        return (orjson.dumps(name),)
    except TypeError:
        return (json.dumps(name).encode(),)


def _sorted_names(match: re.Match[bytes]) -> bytes:
    return b'"required":[' + b",".join(sorted(_STRINGS.findall(match[1]))) + b"]"


def _lasting(resource: JSON) -> JSON:
    kept = {key: value for key, value in resource.items() if key != "size"}
    notes = kept.get("annotations")
    if isinstance(notes, dict) and "lastModified" in notes:
        kept["annotations"] = {key: value for key, value in notes.items() if key != "lastModified"}
    return kept
