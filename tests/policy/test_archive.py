"""OPA's bundle format: the same bytes for the same content, and nothing that an archive may not hold."""

from __future__ import annotations

import contextlib
import gzip
import io
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentflow.config import PolicyConfig
from agentflow.errors import ConfigError
from agentflow.policy import archive
from agentflow.policy.archive import BadArchive, pack, roots_of, unpack
from agentflow.policy.bundle import read_bundle
from agentflow.policy.engine import Engine

REGO = 'package agentflow\n\nimport rego.v1\n\ndecision := {"allow": true} if input.n == data.settings.n\n'
Make = Callable[..., Path]


@pytest.fixture
def made(tmp_path: Path) -> Make:
    """Write a tar.gz of members: (name, content), or (name, TarInfo changes)."""

    def write(*members: tuple[str, Any]) -> Path:
        path = tmp_path / "made.tar.gz"
        with tarfile.open(path, "w:gz") as packed:
            for name, content in members:
                member = tarfile.TarInfo(name)
                if isinstance(content, dict):
                    for field, value in content.items():
                        setattr(member, field, value)
                    packed.addfile(member)
                else:
                    member.size = len(content)
                    packed.addfile(member, io.BytesIO(content))
        return path

    return write


def test_a_packed_bundle_is_the_bundle(tmp_path: Path) -> None:
    shipped = read_bundle(PolicyConfig())
    path = tmp_path / "bundle.tar.gz"
    path.write_bytes(pack(shipped.texts, shipped.data, "v1"))
    again = read_bundle(PolicyConfig(bundle=path))
    assert (again.modules, again.tests, again.data) == (shipped.modules, shipped.tests, shipped.data)
    assert again.revision == shipped.revision
    assert again.label == "v1"
    assert again.selectors is not None


def test_equal_content_gives_equal_bytes_in_any_order() -> None:
    one = pack({"a.rego": REGO, "b/c.rego": REGO}, {"x": 1, "y": 2}, "r")
    assert one == pack({"b/c.rego": REGO, "a.rego": REGO}, {"y": 2, "x": 1}, "r")
    assert one != pack({"a.rego": REGO, "b/c.rego": REGO}, {"x": 1, "y": 2}, "s")


def test_the_manifest_says_what_opa_needs(tmp_path: Path) -> None:
    path = tmp_path / "b.tar.gz"
    path.write_bytes(pack({"p.rego": REGO, "q.rego": "package agentflow.teams.eu\n"}, {"settings": {}}, "r7"))
    with tarfile.open(path) as packed:
        content = packed.extractfile(".manifest")
        assert content is not None
        manifest = orjson.loads(content.read())
        assert all(member.mtime == member.uid == 0 for member in packed.getmembers())
    assert manifest == {"revision": "r7", "roots": ["agentflow", "settings"], "rego_version": 1}


def test_roots_do_not_overlap() -> None:
    assert roots_of(["package a.b", "package a", "package c.d"], {"e": 1, "a": 2}) == ["a", "c/d", "e"]


def test_an_archive_as_opa_writes_it_decides(made: Make) -> None:
    path = made(
        ("/data.json", b'{"settings": {"n": 1}}'),
        ("/agentflow/p.rego", REGO.encode()),
        ("/.manifest", b'{"revision": "r1", "roots": ["agentflow", "settings"], "rego_version": 1}'),
        ("/.signatures.json", b"{}"),
    )
    engine = Engine(PolicyConfig(bundle=path))
    assert engine.decide({"n": 1}).allow
    assert not engine.decide({"n": 2}).allow
    assert engine.bundle.label == "r1"
    engine.close()


GOOD = ("agentflow/p.rego", REGO.encode())


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        ([("../p.rego", b"")], "no name for a file"),
        ([("a/../../p.rego", b"")], "no name for a file"),
        ([("a\\b.rego", b"")], "no name for a file"),
        ([("a\n.rego", b"")], "no name for a file"),
        ([("/".join(["d"] * 40) + "/p.rego", b"")], "no name for a file"),
        ([("p.rego", {"type": tarfile.SYMTYPE, "linkname": "/etc/passwd"})], "special file"),
        ([("p.rego", {"type": tarfile.LNKTYPE, "linkname": "q.rego"})], "special file"),
        ([("p.rego", {"type": tarfile.FIFOTYPE})], "special file"),
        ([("p.rego", {"type": tarfile.CHRTYPE})], "special file"),
        ([GOOD, GOOD], "there twice"),
        ([GOOD, ("/./agentflow/p.rego", b"")], "there twice"),
        ([GOOD, ("policy.wasm", b"")], "WebAssembly"),
        ([GOOD, ("patch.json", b"{}")], "delta bundle"),
        ([GOOD, ("settings/data.yaml", b"")], "write data.json"),
        ([("p.rego", b"\xff")], "not UTF-8"),
        ([GOOD, ("data.json", b"[]")], "not a JSON object"),
        ([GOOD, ("data.json", b"{")], "data.json"),
        ([GOOD, (".manifest", b'{"rego_version": 0}')], "rego_version"),
        ([GOOD, (".manifest", b'{"roots": "agentflow"}')], "roots"),
        ([GOOD, (".manifest", b'{"revision": 1}')], "revision"),
        ([GOOD, (".manifest", b'{"roots": ["other"]}')], "under none of the roots"),
        ([GOOD, ("data.json", b'{"x": {"y": 1}}'), (".manifest", b'{"roots": ["agentflow", "x/z"]}')], "x/y is under"),
    ],
)
def test_what_no_archive_may_hold_is_refused(made: Make, members: list[tuple[str, Any]], reason: str) -> None:
    with pytest.raises(ConfigError, match="refused") as caught:
        read_bundle(PolicyConfig(bundle=made(*members)))
    assert reason in caught.value.message


def test_an_archive_that_unpacks_to_more_than_its_bound_is_refused(made: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    path = made(GOOD, ("data.json", b'{"a": "' + b"x" * 3_000_000 + b'"}'))
    assert path.stat().st_size < 20_000
    unpack(path)
    monkeypatch.setattr(archive, "MAX_BYTES", 1_000_000)
    with pytest.raises(BadArchive, match="unpacks to more"):
        unpack(path)


def test_a_header_that_announces_too_much_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "MAX_BYTES", 1_000_000)
    path = tmp_path / "b.tar.gz"
    with tarfile.open(path, "w:gz", format=tarfile.PAX_FORMAT) as packed:
        member = tarfile.TarInfo("p.rego")
        member.pax_headers = {"comment": "x" * 5_000_000}
        packed.addfile(member)
    with pytest.raises(BadArchive, match="unpacks to more"):
        unpack(path)


def test_zeros_behind_the_end_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "MAX_BYTES", 1_000_000)
    path = tmp_path / "b.tar.gz"
    whole = gzip.decompress(pack({"p.rego": REGO}, {}, "")) + b"\0" * 2_000_000
    path.write_bytes(gzip.compress(whole))
    with pytest.raises(BadArchive, match="unpacks to more"):
        unpack(path)


def test_too_many_files_and_too_large_a_file_are_refused(made: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    path = made(*((f"{number}/data.json", b"{}") for number in range(6)))
    monkeypatch.setattr(archive, "MAX_FILES", 5)
    with pytest.raises(BadArchive, match="more than 5 files"):
        unpack(path)
    monkeypatch.setattr(archive, "MAX_PACKED", 10)
    with pytest.raises(BadArchive, match="larger than"):
        unpack(path)


@given(st.binary(max_size=400), st.integers(0, 2000), st.binary(max_size=8))
@settings(max_examples=150, deadline=None)
def test_broken_archives_are_refused_in_one_way(
    tmp_path_factory: pytest.TempPathFactory, noise: bytes, at: int, patch: bytes
) -> None:
    path = tmp_path_factory.mktemp("noise") / "b.tar.gz"
    whole = pack({"agentflow/p.rego": REGO}, {"a": 1}, "r")
    damaged = whole[:at] + patch + whole[at + len(patch) :]
    plain = gzip.decompress(whole)
    for content in (noise, damaged, gzip.compress(plain[:at] + patch + plain[at + len(patch) :]), whole[:at]):
        path.write_bytes(content)
        with contextlib.suppress(BadArchive):
            unpack(path)


def test_a_rego_file_of_more_than_a_mebibyte_is_refused(made: Make) -> None:
    unpack(made(GOOD))
    with pytest.raises(BadArchive, match=r"big\.rego is larger than 1 MiB"):
        unpack(made(GOOD, ("big.rego", b"package agentflow\n" + b"#" * archive.MAX_REGO)))
