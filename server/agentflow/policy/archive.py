"""Bundles as OPA packs them: a gzipped tar with `.manifest`, `data.json` files and Rego modules.

It promises the same bytes for the same content, and to read an archive of anybody's without writing a file: what is
larger than its bounds, no plain file, not below the archive's root, there twice or outside the manifest's roots is
refused. Format: OPA documentation, "Bundles", section "Bundle File Format".
"""

from __future__ import annotations

import gzip
import io
import re
import tarfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, cast

import orjson

from agentflow.pipeline.call import JSON

MANIFEST = ".manifest"
MAX_PACKED = 32 * 2**20  # bytes of the archive as it is stored
MAX_BYTES = 32 * 2**20  # bytes of everything in it, headers included
MAX_REGO = 2**20  # bytes of one Rego file
MAX_FILES = 10_000
MAX_DEPTH = 32  # folders
MAX_LEVELS = 100  # objects and arrays in each other, in one data document
_PACKAGE = re.compile(r"^package\s+([\w.]+)", re.MULTILINE)
# Beside Rego and data, what an archive may hold without a meaning here.
_IGNORED = frozenset({".signatures.json", "plan.json"})
_FOREIGN = {
    "policy.wasm": "is WebAssembly, and policies are evaluated from their Rego here: build without -t wasm",
    "patch.json": "makes it a delta bundle, and only whole bundles can be loaded",
    "data.yaml": "is not read here: write data.json",
    "data.yml": "is not read here: write data.json",
}


class BadArchive(ValueError):
    """The archive may not be used; the text says why."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """What `.manifest` says. `roots` are paths such as `agentflow` or `teams/eu`; `""` stands for everything."""

    revision: str = ""
    roots: tuple[str, ...] = ("",)


@dataclass(frozen=True, slots=True)
class Contents:
    """What an archive holds: Rego text and data documents, by name within it."""

    manifest: Manifest = Manifest()
    modules: dict[str, str] = field(default_factory=dict)
    data: dict[str, JSON] = field(default_factory=dict)


def pack(modules: Mapping[str, str], data: JSON, revision: str) -> bytes:
    """Return the archive, the same bytes for the same content.

    Args:
        modules: Rego text by file name, tests too.
        data: the base documents, written as one `data.json`.
        revision: what `.manifest` calls it; OPA shows it in its status and its answers.
    """
    manifest = {"revision": revision, "roots": roots_of(modules.values(), data), "rego_version": 1}
    files = {name: text.encode() for name, text in modules.items()}
    files[MANIFEST] = orjson.dumps(manifest, option=orjson.OPT_SORT_KEYS)
    files["data.json"] = orjson.dumps(data, option=orjson.OPT_SORT_KEYS | orjson.OPT_INDENT_2)
    packed = io.BytesIO()
    with (
        gzip.GzipFile(filename="", mode="wb", fileobj=packed, mtime=0) as zipped,
        tarfile.open(fileobj=zipped, mode="w|", format=tarfile.PAX_FORMAT) as archive,
    ):
        for name in sorted(files):
            member = tarfile.TarInfo(name)
            member.size = len(files[name])
            archive.addfile(member, io.BytesIO(files[name]))
    return packed.getvalue()


def roots_of(modules: Iterable[str], data: JSON) -> list[str]:
    """Return the shortest list of paths under which all packages and data lie."""
    paths = {*(key for key in data), *(_package(text) for text in modules)}
    return sorted(path for path in paths if not any(_below(path, other) for other in paths if other != path))


def unpack(path: Path) -> Contents:
    """Read an archive.

    Raises:
        BadArchive: it is none, or holds what may not be loaded.
        OSError: it cannot be read.
    """
    if path.stat().st_size > MAX_PACKED:
        raise BadArchive(f"the archive is larger than {MAX_PACKED // 2**20} MiB")
    with path.open("rb") as file:
        return _contents(_unpacked(file))


def unpack_bytes(body: bytes) -> Contents:
    """Read an archive that is in memory already.

    Raises:
        BadArchive: it is none, or holds what may not be loaded.
    """
    if len(body) > MAX_PACKED:
        raise BadArchive(f"the archive is larger than {MAX_PACKED // 2**20} MiB")
    return _contents(_unpacked(io.BytesIO(body)))


def contents_of(files: Mapping[str, str]) -> Contents:
    """What these files, by their names in a bundle, would be as an archive.

    Raises:
        BadArchive: they could be none.
    """
    if len(files) > MAX_FILES:
        raise BadArchive(f"the bundle holds more than {MAX_FILES} files")
    found: dict[str, bytes] = {}
    try:
        for given, text in files.items():
            name = _meaning(given)
            if name is None:
                continue
            if name in found:
                raise BadArchive(f"{name} is there twice")
            found[name] = text.encode()
            if name.endswith(".rego") and len(found[name]) > MAX_REGO:
                raise BadArchive(f"{name} is larger than {MAX_REGO // 2**20} MiB")
    except UnicodeEncodeError:
        raise BadArchive("a file is not UTF-8") from None
    if sum(map(len, found.values())) > MAX_BYTES:
        raise BadArchive(f"the bundle is larger than {MAX_BYTES // 2**20} MiB")
    return _contents(found)


def manifest_of(content: bytes) -> Manifest:
    """Read a `.manifest`.

    Raises:
        BadArchive: it is not one.
    """
    body = data_of(content, MANIFEST)
    revision, roots = body.get("revision", ""), body.get("roots", [""])
    if not isinstance(revision, str):
        raise BadArchive(f"{MANIFEST}: revision is not a string")
    if not isinstance(roots, list) or not all(isinstance(root, str) for root in roots):
        raise BadArchive(f"{MANIFEST}: roots is not an array of strings")
    if body.get("rego_version", 1) != 1:
        raise BadArchive(f"{MANIFEST}: rego_version is not 1, the only one that is evaluated here")
    if body.get("wasm"):
        raise BadArchive(f"{MANIFEST}: WebAssembly modules are not evaluated here")
    return Manifest(revision, tuple(root.strip("/") for root in roots))


def outside(manifest: Manifest, modules: Mapping[str, str], data: Mapping[str, JSON]) -> list[str]:
    """Return one line for each module and data document that is not under the manifest's roots.

    Args:
        data: documents by the name of their file, `teams/eu/data.json`.
    """
    found = [
        f"{name}: package {package.replace('/', '.')} is under none of the roots of {MANIFEST}"
        for name, text in modules.items()
        if not any(_below(package := _package(text), root) for root in manifest.roots)
    ]
    for name, document in data.items():
        folder = name.split("/")[:-1]
        for path in _leaves(document, folder, max((root.count("/") + 1 for root in manifest.roots), default=1)):
            if not any(_below(path, root) for root in manifest.roots):
                found.append(f"{name}: {path} is under none of the roots of {MANIFEST}")
    return found


class _Bounded(io.RawIOBase):
    """A stream that ends in an error after so many bytes: tar headers can announce anything."""

    def __init__(self, stream: gzip.GzipFile) -> None:
        self._stream = stream
        self._left = MAX_BYTES

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        content = self._stream.read(min(size, self._left + 1) if size >= 0 else self._left + 1)
        self._left -= len(content)
        if self._left < 0:
            raise BadArchive(f"the archive unpacks to more than {MAX_BYTES // 2**20} MiB")
        return content


def _unpacked(file: BinaryIO) -> dict[str, bytes]:
    try:
        return _files(file)
    except (tarfile.TarError, EOFError, gzip.BadGzipFile, OverflowError) as error:
        raise BadArchive(f"not a gzipped tar archive: {error}") from None
    except OSError as error:  # zlib's errors are OSErrors in some versions
        raise BadArchive(f"the archive cannot be unpacked: {error}") from None
    except ValueError as error:
        raise error if isinstance(error, BadArchive) else BadArchive(f"a broken archive: {error}") from None


def _files(file: BinaryIO) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    with gzip.GzipFile(fileobj=file) as zipped:
        stream = cast(Any, _Bounded(zipped))
        with tarfile.open(fileobj=stream, mode="r|", errorlevel=2) as archive:
            for number, member in enumerate(archive):
                if number >= MAX_FILES:
                    raise BadArchive(f"the archive holds more than {MAX_FILES} files")
                name = _name(member)
                if name is None:
                    continue
                if name in found:
                    raise BadArchive(f"{name} is there twice")
                if name.endswith(".rego") and member.size > MAX_REGO:
                    raise BadArchive(f"{name} is larger than {MAX_REGO // 2**20} MiB")
                content = archive.extractfile(member)
                found[name] = content.read() if content is not None else b""
        while stream.read(65536):  # what stands after the archive's end counts, too
            pass
    return found


def _name(member: tarfile.TarInfo) -> str | None:
    """The member's name within the archive; None for what has no meaning."""
    if member.isdir():
        return None
    if not member.isreg() or member.issparse():
        raise BadArchive(f"{member.name[:200]} is a link or another special file")
    return _meaning(member.name)


def _meaning(written: str) -> str | None:
    """A file's name as it counts; None for what has no meaning. OPA writes names with a leading slash."""
    parts = [part for part in written.split("/") if part not in ("", ".")]
    name = "/".join(parts)
    if not parts or ".." in parts or "\\" in name or not name.isprintable() or len(parts) > MAX_DEPTH:
        raise BadArchive(f"{name[:200]!r} is no name for a file of a bundle")
    if parts[-1] in _FOREIGN:
        raise BadArchive(f"{name} {_FOREIGN[parts[-1]]}")
    if name == MANIFEST or parts[-1] == "data.json" or name.endswith(".rego"):
        return name
    if name in _IGNORED or not name.endswith((".json", ".yaml", ".yml")):
        return None
    raise BadArchive(f"{name} is neither Rego nor data.json")


def _contents(files: dict[str, bytes]) -> Contents:
    try:
        modules = {name: content.decode() for name, content in files.items() if name.endswith(".rego")}
    except UnicodeDecodeError:
        raise BadArchive("a Rego file is not UTF-8") from None
    data = {name: data_of(content, name) for name, content in sorted(files.items()) if name.endswith("data.json")}
    manifest = manifest_of(files[MANIFEST]) if MANIFEST in files else Manifest()
    return Contents(manifest, dict(sorted(modules.items())), data)


def data_of(content: bytes, name: str) -> JSON:
    """Read a `data.json`.

    Raises:
        BadArchive: it is no JSON object, or nested too deeply.
    """
    try:
        body = orjson.loads(content)
    except ValueError as error:
        raise BadArchive(f"{name}: {error}") from None
    if not isinstance(body, dict):
        raise BadArchive(f"{name}: not a JSON object")
    if _deeper(body, MAX_LEVELS):
        raise BadArchive(f"{name}: nested more than {MAX_LEVELS} levels deep")
    return body


def _deeper(value: Any, levels: int) -> bool:
    """Whether more than so many objects and arrays lie in each other."""
    level = [value]
    for _ in range(levels + 1):
        level = [each for each in level if isinstance(each, dict | list)]
        if not level:
            return False
        level = [item for each in level for item in (each.values() if isinstance(each, dict) else each)]
    return True


def _package(text: str) -> str:
    found = _PACKAGE.search(text)
    return found[1].replace(".", "/") if found else ""


def _below(path: str, root: str) -> bool:
    return not root or path == root or path.startswith(f"{root}/")


def _leaves(document: Any, folder: list[str], levels: int) -> list[str]:
    """The paths of a document's members, no deeper than roots go."""
    if not isinstance(document, dict) or len(folder) >= levels:
        return ["/".join(folder)]
    return [path for key, value in document.items() for path in _leaves(value, [*folder, key], levels)]
