"""Whether a value looks drawn or written: randomness, placeholders, identifiers, hashes. Pure functions.

It promises to call a value drawn only where chance would hardly write words that way, and refuses to call UUIDs,
times, versions, paths, addresses, references (`${TOKEN}`, `process.env.X`) and placeholders (`your-api-key`) so.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from typing import Final

# The 240 letter pairs that make up 95 % of the pairs in English words and identifiers; 36 % of those of random letters.
_PAIRS: Final = re.compile(
    "(?=ab|ac|ad|ag|ai|ak|al|am|an|ap|ar|as|at|au|av|ay|ba|be|bi|bj|bl|bo|br|bs|bu|ca|cc|ce|ch|ci|ck|cl|co|cr|ct|cu|da|"
    "dd|de|di|dl|do|ds|du|ea|ec|ed|ee|ef|eg|ei|el|em|en|ep|eq|er|es|et|ev|ew|ex|ey|fa|fe|ff|fi|fl|fo|fr|fu|ge|gh|gi|gl|"
    "gn|gr|gs|gu|ha|he|hi|ho|ht|ia|ib|ic|id|ie|if|ig|il|im|in|io|ip|ir|is|it|iv|ix|iz|ke|ki|ks|la|ld|le|li|ll|lo|ls|lt|"
    "lu|ly|ma|mb|me|mi|mm|mo|mp|ms|mu|na|nc|nd|ne|nf|ng|ni|nk|nl|nn|no|ns|nt|nu|nv|ob|oc|od|of|og|oi|ok|ol|om|on|oo|op|"
    "or|os|ot|ou|ov|ow|pa|pe|pi|pl|po|pp|pr|ps|pt|pu|py|qu|ra|rc|rd|re|rg|ri|rm|rn|ro|rr|rs|rt|ru|ry|sa|sc|se|sh|si|sl|"
    "so|sp|ss|st|su|sy|ta|tc|td|te|th|ti|tl|to|tp|tr|ts|tt|tu|ty|ua|ub|uc|ue|ug|ui|ul|um|un|up|ur|us|ut|va|ve|vi|wa|we|"
    "wh|wi|wo|wr|xc|xe|xi|xp|xt|yp|ys|yt|ze)"
)
# Nats for each: ln(.64/.05), ln(.95/.36), and what a change between letters and digits, or to a capital, is worth.
_UNUSUAL, _USUAL, _MIXED, _CAPITAL = 2.5, 0.97, 1.2, 0.3
_CERTAIN: Final = 8.0
_LETTERS: Final = re.compile("[a-z]{2,}")
_MIX: Final = re.compile(r"(?<=[A-Za-z])(?=\d)|(?<=\d)(?=[A-Za-z])")
_CAPITALS: Final = re.compile("(?<=[a-z])(?=[A-Z])")
_HEX: Final = re.compile(r"[0-9a-f]+|[0-9A-F]+")
UUID: Final = re.compile(r"\{?[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}\}?")
_NUMERIC: Final = re.compile(r"[-+]?[\d.:,/TZ+_-]+Z?")
_DOTTED: Final = re.compile(r"[A-Za-z_$][\w$]*(?:(?:\.|::|->)[A-Za-z_$][\w$]*)+")
_IDENTIFIER: Final = re.compile(r"[A-Za-z_$][\w$]*")
_PATH: Final = re.compile(r"(?:~|\.{1,2})?/[\w.@-]+(?:/|$|\.\w{1,5}$)|[A-Za-z]:\\|[\w-]+(?:/[\w.-]+)*\.[a-z]{2,4}$")
_ADDRESS: Final = re.compile(r"[a-z][a-z0-9+.-]*://|[\w.+-]+@[\w-]+\.\w|arn:|urn:|data:|www\.")
_INTEGRITY: Final = re.compile(r"(?:sha(?:1|224|256|384|512)|md5|h1|blake2b)[-:=]", re.IGNORECASE)
_REFERENCE: Final = re.compile(
    r"[$%]|\{\{|<|\*|#\{|process\.env|os\.environ|(?:get)?env[.(\[:]|secrets?[./:]|vars?\.|vault:|op://|file:|ssm:|aws-sm:|"
    r"@Microsoft\.KeyVault|System\.|config[.\[]|settings[.\[]|self\.|this\.|None\b|null\b|true\b|false\b|undefined\b",
    re.IGNORECASE,
)
_PLACEHOLDER: Final = re.compile(
    r"x{4,}|\.{3}|\*{3}|•|…|^(?:your|example|placeholder|changeme|change[-_]me|redacted|removed|hidden|masked|secret|password|"
    r"todo|fixme|none|null|nil|true|false|undefined|required|optional|string|token|value)(?:$|[-_]?\d{0,3}$)|"
    r"placeholder|goes[-_]?here|[-_]here$|changeme|redacted|replace[-_]?me|your[-_](?:api|token|key|secret|pass)|"
    r"(?:api|secret|access)[-_]?key[-_]?\d?$",
    re.IGNORECASE,
)
_WORDED: Final = re.compile(
    r"(?:your|my|the|some|an?|insert|enter|put|add|replace|example|sample|dummy|fake|foo|test|demo)[-_ ]", re.IGNORECASE
)
_CONSTANT: Final = re.compile("[A-Z]+(?:_[A-Z]+)+")
_LEFT_OUT: Final = re.compile(r"x{4,}|\.{3}|\*{3}|•|…|^your|placeholder|redacted|changeme", re.IGNORECASE)
_SHOWN: Final = re.compile(r"[xX]{6,}|\*{3}")
_TOKEN: Final = re.compile(r"[<\[]?(?:REDACTED_)?[A-Z][A-Z0-9_]{1,31}_[0-9a-f]{8,16}[>\]]?(?:@redacted\.invalid)?")


def entropy(text: str) -> float:
    """Shannon entropy of the characters, in bits per character."""
    count = len(text)
    return -sum(n / count * math.log2(n / count) for n in Counter(text).values()) if count else 0.0


def is_uuid(text: str) -> bool:
    return UUID.fullmatch(text) is not None


def is_hex(text: str) -> bool:
    """Whether the text is hexadecimal of one case, with letters and digits, in groups or in one."""
    plain = text.replace(":", "")
    return _HEX.fullmatch(plain) is not None and not plain.isalpha() and not plain.isdigit()


def is_reference(text: str) -> bool:
    """Whether the text says where a value is kept, or that it was left out: `${X}`, `<token>`, `***`, `xxxx`."""
    return (
        _REFERENCE.match(text) is not None or _LEFT_OUT.search(text) is not None or _TOKEN.fullmatch(text) is not None
    )


def is_left_out(text: str) -> bool:
    """Whether a form is only shown: `xoxb-xxxxxxxx`, `sk-***`."""
    return _SHOWN.search(text) is not None


def stands_for_something(text: str) -> bool:
    """Whether the text is a reference, a placeholder, a token of ours, or nothing anybody would draw: not a value."""
    if _REFERENCE.match(text) or _PLACEHOLDER.search(text) or _TOKEN.fullmatch(text) or _ADDRESS.match(text):
        return True
    if _CONSTANT.fullmatch(text):
        return True
    if _WORDED.match(text) and surprise(text) < _CERTAIN:
        return True
    return len(set(text)) < 4 or _INTEGRITY.match(text) is not None


def is_number(text: str) -> bool:
    """Whether the text is a number, a time or a version."""
    return _NUMERIC.fullmatch(text) is not None


def is_path(text: str) -> bool:
    return _PATH.match(text) is not None and surprise(text) < _CERTAIN


def is_name(text: str) -> bool:
    """Whether the text is a dotted name in code (`settings.API_KEY`)."""
    return _DOTTED.fullmatch(text) is not None and surprise(text) < _CERTAIN


def is_identifier(text: str) -> bool:
    return _IDENTIFIER.fullmatch(text) is not None


def surprise(text: str) -> float:
    """How much likelier it is that the text was drawn than that it was written, in nats (a naive Bayes estimate).

    Evidence are neighbours: two letters that words do or do not put together, a letter next to a digit, a small letter
    before a capital.
    """
    letters = _LETTERS.findall(text.lower())
    pairs = sum(map(len, letters)) - len(letters)
    usual = sum(len(_PAIRS.findall(run)) for run in letters)
    return (
        _UNUSUAL * (pairs - usual)
        - _USUAL * usual
        + _MIXED * len(_MIX.findall(text))
        + _CAPITAL * len(_CAPITALS.findall(text))
    )


def wordy(text: str) -> bool:
    """Whether the text looks written rather than drawn."""
    return surprise(text) < 0


def drawn(text: str, least: int = 16, sure: float = 4.0) -> bool:
    """Whether the text looks drawn: `least` characters, no few repeated ones, and `sure` nats of surprise."""
    if len(text) < least or not any(char.isalpha() for char in text):
        return False
    return entropy(text) >= min(3.0, 0.72 * math.log2(len(text))) and surprise(text) >= sure
