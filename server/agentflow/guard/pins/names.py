"""Names that can be taken for one another.

Two readings of a name: `skeleton` is what the eye sees (UTS #39, section 4), `plain` is what the ear hears, without
case, separators and plural. Names of different bytes and one skeleton are told apart by nobody; names of one plain
form are merely alike. `oddity` says what is wrong with a name by itself.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from typing import Final

# The letter that is meant, then those that look like it: Unicode's confusables.txt (UTS #39), cut down to single
# letters and digits of the basic plane that NFKC leaves alone.
_LOOKALIKES: Final = (
    "AΑАᎪᗅꓮ",
    "aɑαа",
    "BΒВᏴᗷꓐꞴ",
    "bƄЬᏏᑲᖯ",
    "CСᏟⲤꓚ",
    "cсᴄⲥꮯ",
    "DᎠᗞᗪꓓ",
    "dԁᏧᑯꓒ",
    "EΕЕᎬⴹꓰ",
    "eеҽꬲ",
    "FϜᖴꓝꞘ",
    "fքẝꞙꬵ",
    "GԌᏀᏳꓖ",
    "gƍɡցᶃ",
    "HΗНᎻᕼⲎꓧ",
    "hһհᏂ",
    "iıɩɪιіӏᎥꙇꭵ",
    "JͿЈᎫᒍꓙꞲ",
    "jϳј",
    "KΚКᏦᛕⲔꓗ",
    "LᏞᒪⳐꓡ",
    "lƖǀΙІӀ۱ᛁⲒⵏꓲ",
    "MΜϺМᎷᗰᛖⲘꓟ",
    "NΝⲚꓠ",
    "nոռ",
    "OΟОՕ০ଠ୦ዐⲞⵔ〇ꓳ",
    "oοσоօ۵०੦૦௦౦೦ഠ൦๐໐ဝ၀ჿᴏᴑⲟꬽ",
    "PΡРᏢᑭⲢꓑ",
    "pρрⲣ",
    "Qⵕ",
    "qԛգզ",
    "RƦᎡᏒᖇꓣ",
    "rгᴦⲅꭇꭈꮁ",
    "SЅՏᏕᏚꓢ",
    "sƽѕꜱꮪ",
    "TΤТᎢⲦꓔ",
    "UՍሀᑌꓴ",
    "uʋυսᴜꞟꭎꭒ",
    "VѴ۷Ꮩᐯⴸꓦꛟ",
    "vνѵᴠꮩ",
    "WԜᎳᏔꓪ",
    "wɯѡԝաᴡꮃ",
    "XΧХᚷⲬⵝꓫꞳ",
    "xхᕁᕽ",
    "YΥУҮᎩᎽⲨꓬ",
    "yɣʏγуүყᶌỿꭚ",
    "ZΖᏃꓜ",
    "zᴢꮓ",
    "2ƧϨᒿꙄꛯꝚ",
    "3ƷȜЗӠⳌꝪꞫ",
    "4Ꮞ",
    "5Ƽ",
    "6бᏮⳒ",
    "8Ȣȣ৪੪",
    "9৭੧୨൭ⳊꝮ",
)
_TABLE: Final = str.maketrans(
    {odd: line[0] for line in _LOOKALIKES for odd in line[1:]} | {"I": "l", "1": "l", "|": "l", "0": "O", "m": "rn"}
)
_CONVENTION: Final = re.compile(r"[A-Za-z0-9_.\-/]{1,128}")  # SEP-986, MCP 2025-11-25
_SEPARATORS: Final = re.compile(r"[\W_]+")
# Scripts that are written together with Latin: UTS #39, section 5.2, "highly restrictive".
_EAST_ASIAN: Final = frozenset({"CJK", "HIRAGANA", "KATAKANA", "HANGUL", "BOPOMOFO", "IDEOGRAPHIC"})


def skeleton(name: str) -> str:
    """What the name looks like; equal for names that look the same."""
    if not name.isascii():
        name = "".join(c for c in unicodedata.normalize("NFKC", name) if not unseen(c))
    return name.translate(_TABLE)


def disguises(name: str) -> int:
    """How many of its characters pass for others: of two names of one skeleton the one with fewer is the real one."""
    odd = sum(not c.isascii() or c in "1|0" for c in name)
    # A capital among small letters: what looks like an l.
    return odd + sum(c == "I" and at > 0 and name[at - 1].islower() for at, c in enumerate(name))


def plain(name: str) -> str:
    """The name without case, separators and plural: `List-Files` and `list_file` are one."""
    bare = _SEPARATORS.sub("", unicodedata.normalize("NFKC", name)).casefold()
    return bare[:-1] if len(bare) > 3 and bare.endswith("s") and not bare.endswith("ss") else bare


def near(name: str) -> Iterator[str]:
    """Forms by which two plain names meet that differ in one letter, added, left out or changed, or two exchanged.

    Short names have none: there a letter makes another word.
    """
    if len(name) >= 8:
        yield name
        for at in range(len(name)):
            yield name[:at] + name[at + 1 :]


def oddity(name: str) -> str:
    """What is wrong with a tool's or prompt's name by itself, or "": `invisible`, `lookalike` or `mixed_scripts`."""
    return "" if name.isascii() and _CONVENTION.fullmatch(name) else _oddity(name)


@lru_cache(maxsize=4096)
def _oddity(name: str) -> str:
    if any(unseen(c) for c in name):
        return "invisible"
    if name.isascii():
        return ""
    if unicodedata.normalize("NFKC", name) != unicodedata.normalize("NFC", name):
        return "lookalike"  # full width, mathematical and other disguises of plain letters
    scripts = {_script(c) for c in name if c.isalpha()}
    if skeleton(name).isascii() and scripts - {"LATIN"}:
        return "lookalike"  # every letter of it could be Latin, and is not
    return "mixed_scripts" if len(scripts) > 1 and not scripts <= _EAST_ASIAN | {"LATIN"} else ""


def _script(char: str) -> str:
    """The script of a letter, by the first word of its name ("CYRILLIC SMALL LETTER A")."""
    return unicodedata.name(char, "UNKNOWN").partition(" ")[0].partition("-")[0]


def unseen(char: str) -> bool:
    """Whether a character cannot be seen: controls, format and tag characters, private use, odd spaces."""
    category = unicodedata.category(char)
    return (
        category in ("Cc", "Cf", "Co", "Cn", "Cs", "Zl", "Zp")
        or (category == "Zs" and char != " ")
        or (
            "\ufe00" <= char <= "\ufe0f"
            or char in "\u034f\u115f\u1160\u3164\uffa0"
            or "\U000e0100" <= char <= "\U000e01ef"
        )
    )
