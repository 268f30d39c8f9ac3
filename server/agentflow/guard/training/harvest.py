"""Harmless text from the machine that trains: manuals, package documentation, code, data, logs, translations.

What is found differs from machine to machine; the order and the choice do not. Every text knows its source (a
package, a manual's section, a language) and its kind, so that training can be uniform over kinds, then sources,
and measuring can be on sources that were never trained on. Nothing that is read here is shipped: only weights are.
Texts about prompt injection are left out, and whatever is not text.
"""

from __future__ import annotations

import gettext
import gzip
import math
import os
import re
import subprocess
import sys
import sysconfig
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Final

_KINDS: Final = {
    **dict.fromkeys(("md", "rst", "txt", "adoc", "tex", "markdown"), "doc"),
    **dict.fromkeys(("html", "htm", "xhtml"), "html"),
    **dict.fromkeys(("json", "jsonl", "ipynb", "webmanifest", "geojson"), "json"),
    **dict.fromkeys(("csv", "tsv", "tab"), "csv"),
    **dict.fromkeys(("py", "pyx", "pyi", "js", "mjs", "cjs", "ts", "mts", "cts", "tsx", "jsx"), "code"),
    **dict.fromkeys(("c", "h", "cc", "cpp", "hpp", "cuh", "java", "go", "rs", "pl", "pm", "php", "rb"), "code"),
    **dict.fromkeys(("sql", "sh", "bash", "lua", "cmake", "css", "vim", "el", "tcl", "m4", "awk", "proto"), "code"),
    **dict.fromkeys(("yaml", "yml", "toml", "ini", "conf", "cfg", "service", "properties", "rules"), "config"),
    **dict.fromkeys(("xml", "svg", "xsl", "pom", "dtd"), "xml"),
    **dict.fromkeys(("log", "out"), "log"),
    **dict.fromkeys(("diff", "patch"), "diff"),
    **dict.fromkeys(("eml", "mbox"), "mail"),
    **dict.fromkeys(("list", "md5sums", "symbols", "shlibs"), "listing"),
    "mo": "locale",
}
_NAMES: Final = (
    (re.compile(r"(?i)^(readme|news|todo|faq|install|authors|contributing|metadata|pkg-info)\b"), "doc"),
    (re.compile(r"(?i)^(change|history|release)"), "changelog"),
    (re.compile(r"(?i)^(licen[sc]e|copying|copyright|notice)"), "licence"),
)
_ABOUT: Final = re.compile(
    r"(?i)prompt[ _-]?injection|jail-?break|ignore (?:all |any )?(?:the )?(?:previous|prior|above) instructions"
)
# Not text worth reading, our own, or packages that hold attacks themselves.
_SKIPPED: Final = frozenset(
    {
        "__pycache__",
        ".git",
        "agentflow",
        "stackone_defender",
        "garak",
        "pyrit",
        "llm_guard",
        "guardrails",
        "presidio_evaluator",
    }
)
_LARGEST: Final = 3_000_000  # bytes of one file that is read
_PER_KIND: Final = 140  # sources of one kind
_LANGUAGES: Final = 400  # halves of languages
_PER_SOURCE: Final = 10  # texts of one source
_PER_LANGUAGE: Final = 12  # texts of half a language
_BY_LANGUAGE: Final = frozenset({"locale", "man_foreign"})
_LONGEST: Final = 9_000  # characters of one text


@dataclass(frozen=True, slots=True)
class Document:
    """One text to train or measure with.

    Attributes:
        label: 1 where it holds an injected instruction.
        spans: where that stands, as (start, end) in characters.
        source, kind: what it was taken from, and what sort of text it is.
        family: which set of attacks it belongs to; "" for harmless ones.
        surface: `result` or `description`.
    """

    text: str
    source: str
    kind: str
    label: int = 0
    spans: tuple[tuple[int, int], ...] = ()
    family: str = ""
    surface: str = "result"


def roots() -> list[Path]:
    """Folders that are searched: system documentation, this Python, and tool chains in the home folder."""
    home = [Path.home() / name for name in (".rustup", ".cargo", ".m2", ".npm", ".nvm", ".local/share")]
    python = [Path(sysconfig.get_path("stdlib")), Path(sysconfig.get_path("purelib"))]
    system = [Path(f"/usr/{name}") for name in ("share", "lib", "include", "local")]
    system += [Path(f"/var/{name}") for name in ("log", "lib/dpkg", "lib/apt")]
    return [path for path in (*system, Path("/etc"), *python, *home, Path.cwd() / ".cache") if path.is_dir()]


def harvest(seed: int = 7) -> list[Document]:
    """Texts of every source found, at most `_PER_KIND` sources a kind and `_PER_SOURCE` texts a source; sorted."""
    found: dict[tuple[str, str], list[str]] = defaultdict(list)
    for root in roots():
        for path in _walk(root):
            if (where := _classified(path)) is not None:
                found[where].append(path)
    kinds: dict[str, list[str]] = defaultdict(list)
    for kind, source in found:
        kinds[kind].append(source)
    documents: list[Document] = list(_outputs())
    for kind in sorted(kinds):
        chosen = sorted(kinds[kind])
        Random(f"{seed}:{kind}").shuffle(chosen)
        for source in chosen[: _LANGUAGES if kind in _BY_LANGUAGE else _PER_KIND]:
            rng = Random(f"{seed}:{kind}:{source}")
            paths = sorted(set(found[kind, source]))
            rng.shuffle(paths)
            documents += _texts(kind, source, paths, rng)
    return documents


def _walk(root: Path) -> Iterator[str]:
    for folder, names, entries in os.walk(root):
        names[:] = sorted(name for name in names if name not in _SKIPPED)
        for entry in entries:
            yield f"{folder}/{entry}"


def _classified(path: str) -> tuple[str, str] | None:
    """(kind, source) of a file by its name and place; None where it is of no use."""
    parts = path.split("/")
    name = parts[-1].removesuffix(".gz")
    stem, _, suffix = name.rpartition(".")
    if "/share/man/" in path:
        section = parts[-2]
        language = parts[parts.index("man") + 1]
        if not section.startswith("man"):
            return None
        if language != section:
            return "man_foreign", f"man:{language}:{name[:1].lower() < 'm'}"
        return "man", f"{section}:{name[:1].lower()}"
    kind = next((kind for pattern, kind in _NAMES if pattern.match(name)), None) if suffix != "py" else None
    kind = kind or (_KINDS.get(suffix.lower()) if stem else None)
    if kind is None:
        return None
    if kind == "locale":
        place = parts.index("locale") + 1 if "locale" in parts[:-1] else 0
        return ("locale", f"locale:{parts[place]}:{name[:1].lower() < 'i'}") if place else None
    source = _source(parts)
    return kind, f"{suffix}:{source}" if kind == "code" else source


def _source(parts: list[str]) -> str:
    """The package a file belongs to."""
    for marker in ("node_modules", "site-packages", "html", "doc", "gems", "vendor", "repository"):
        if marker in parts[:-1]:
            at = len(parts) - 1 - parts[::-1].index(marker)
            rest = parts[at + 1 : -1]
            if not rest:
                continue
            name = "/".join(rest[:2]) if rest[0].startswith("@") else rest[0]
            return f"{marker}:{re.sub(r'-[0-9].*$', '', name)}"
    return ":".join(parts[2:5] if parts[1] in ("usr", "root", "home") else parts[1:4])


# --------------------------------------------------------------------------- reading


def _texts(kind: str, source: str, paths: list[str], rng: Random) -> Iterator[Document]:
    count, most = 0, _PER_LANGUAGE if kind in _BY_LANGUAGE else _PER_SOURCE
    for path in paths[: most * 3]:
        try:
            text = _read(path, kind)
        except (OSError, ValueError, EOFError, LookupError):
            continue
        share = 1 if len(paths) >= most else math.ceil(most / len(paths))
        for _ in range(min(share, 1 + len(text) // 4000)):
            piece = cut(text, rng)
            if len(piece) >= 40 and not _ABOUT.search(piece):
                yield Document(piece, source, kind)
                count += 1
        if count >= most:
            return


def cut(text: str, rng: Random, longest: int = _LONGEST) -> str:
    """A stretch of `text` of random size (200 characters to `longest`, even on a log scale), at line ends if any."""
    size = int(200 * (longest / 200) ** rng.random())
    if len(text) <= size:
        return text.strip("\n")
    start = rng.randrange(len(text) - size) if rng.random() < 0.8 else 0
    if start and (line := text.find("\n", start, start + 300)) >= 0:
        start = line + 1
    end = text.rfind("\n", start + size // 2, start + size)
    return text[start : end if end > 0 else start + size]


def _read(path: str, kind: str) -> str:
    if os.path.getsize(path) > _LARGEST:
        raise ValueError(path)
    if kind == "locale":
        with open(path, "rb") as stream:
            catalogue: dict[object, str] = getattr(gettext.GNUTranslations(stream), "_catalog", {})
        return "\n".join(str(text) for key, text in catalogue.items() if key)
    with gzip.open(path) if path.endswith(".gz") else open(path, "rb") as stream:
        data = stream.read(_LARGEST)
    if b"\x00" in data[:4000]:
        raise ValueError(path)
    text = data.decode("utf-8", "strict" if kind == "man_foreign" else "replace")
    if text.count("\ufffd") > len(text) // 50:
        raise ValueError(path)
    return _rendered(text) if kind.startswith("man") else text


_MACRO: Final = re.compile(r"^[.'](?:(SH|SS|TH|B|I|BR|IR|RB|BI|IP|TP|Nm|Fl|Ar|Sh|Pp|It|Xr|Op)\b)?(.*)$", re.MULTILINE)
_ROFF: Final = re.compile(r"\\f(?:\[\w*\]|\(\w\w|.)|\\&|\\[|/^]|\\s[-+]?\d|\\\".*$", re.MULTILINE)
_GLYPHS: Final = {r"\-": "-", r"\(aq": "'", r"\e": "\\", r"\(bu": "*", r"\(co": "(c)", r"\ ": " ", r"\(em": "--"}


def _rendered(text: str) -> str:
    """A manual page as a terminal would show it, roughly."""
    text = _ROFF.sub("", text)
    for glyph, plain in _GLYPHS.items():
        text = text.replace(glyph, plain)
    return re.sub(r"\n{3,}", "\n\n", _MACRO.sub(lambda m: (m.group(2) or "").strip().replace('"', ""), text))


_COMMANDS: Final = (
    ("ls", "-la", "/usr/bin"), ("ls", "-lR", "/etc"), ("ls", "-la", "/usr/lib"), ("dpkg", "-l"), ("mount",),
    ("git", "log", "--stat", "-n", "60"), ("git", "log", "--oneline", "-n", "200"), ("git", "log", "-p", "-n", "12"),
    (sys.executable, "-m", "pip", "list"), (sys.executable, "-m", "pip", "--help"), ("git", "help", "-a"),
    ("find", "/usr/share/doc", "-maxdepth", "2"), ("apt-cache", "show", "bash", "curl", "git"),
    ("cat", "/etc/services"),
)  # fmt: skip


def _outputs() -> Iterator[Document]:
    """What common commands print here."""
    for command in _COMMANDS:
        try:
            ran = subprocess.run(command, capture_output=True, timeout=20, check=False)
        except (OSError, subprocess.TimeoutExpired):
            continue
        text = ran.stdout.decode("utf-8", "replace")[:400_000]
        rng = Random(" ".join(command[:2]))
        for _ in range(min(_PER_SOURCE, len(text) // 500)):
            piece = cut(text, rng)
            if not _ABOUT.search(piece):
                yield Document(piece, f"command:{Path(command[0]).name}-{command[-1]}", "command")
