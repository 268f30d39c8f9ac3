"""The documents that the injection detectors are trained and measured with.

`build(data)` promises harmless texts of many sources, attacks spliced into harmless hosts, and the hosts again as
they were; every attack knows where it stands and which family it is of, every text which part it belongs to. Parts
are by source: what a detector is calibrated on and measured on, it has not been trained on. Equal machines and
equal data give equal documents. `windows` cuts them for models that read a bounded stretch.
"""

from __future__ import annotations

import gzip
import hashlib
import json
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any, Final, Literal, cast, get_args

from agentflow.guard.training import descriptions
from agentflow.guard.training.generate import Use, Wordings
from agentflow.guard.training.harvest import Document, cut, harvest
from agentflow.guard.training.splice import splice

Part = Literal["train", "calibrate", "test"]

# Attack files by family, with the most rows that are taken of each.
FAMILIES: Final[dict[str, tuple[str, ...]]] = {
    "injecagent": ("injecagent_payload", "injecagent_base_in_context", "injecagent_enhanced_in_context"),
    "asb": ("asb_payload", "asb_in_context"),
    "cyberseceval": ("cyberseceval", "cyberseceval_multilingual"),
    "satml": ("satml",),
    "gandalf": ("gandalf",),
    "safeguard": ("safeguard",),
    "jailbreak": ("jailbreak_inthewild", "trustai_wild", "pyrit_jailbreak", "giskard"),
    "deepset": ("deepset",),
    "user_attacks": ("openai_guardrails_demo", "piguard_valid"),
}
_CAP: Final = {"satml": 900, "jailbreak": 700, "injecagent": 1400, "asb": 1100, "safeguard": 700, "cyberseceval": 700}
_MANY: Final = 4  # generated attacks for two harmless twins: their openers and goals need the breadth
# Harmless files and the kind of text in them.
BENIGN: Final[dict[str, str]] = {
    "tau2_records": "records", "injecagent_tool_responses": "tool_output", "asb_benign": "tool_output",
    "debian_docs": "doc", "wildguard_benign": "user", "notinject_one": "trigger", "deepset": "user",
    "openai_guardrails_demo": "user", "piguard_valid": "user", "cyberseceval_frr": "user_security",
}  # fmt: skip
_ENTITIES: Final = (
    "btc_a",
    "btc_b",
    "btc_e",
    "btc_f",
    "btc_g",
    "btc_h",
    "emerging.dev",
    "wikigold.conll.txt",
    "wnut17train",
    "sec_FIN3.txt",
    "sec_FIN5.txt",
)
_NOT_HOSTS: Final = frozenset({"trigger", "twin", "about", "user", "user_security", "licence"})


@dataclass(frozen=True, slots=True)
class Corpus:
    """Documents with their parts, and what they were built from."""

    documents: tuple[Document, ...]
    parts: tuple[Part, ...]
    manifest: dict[str, Any]

    def part(self, *names: Part) -> list[Document]:
        return [document for document, part in zip(self.documents, self.parts, strict=True) if part in names]


def build(
    data: Path,
    *,
    seed: int = 7,
    generated: int = 8000,
    hosts: int = 2,
    machine: bool = True,
    wordings: Wordings | None = None,
) -> Corpus:
    """Build everything.

    Args:
        data: folder with `injection/*.jsonl.gz` and, if there, `ner/`.
        generated: poisoned descriptions and twice the harmless twins; attacks are several times as many.
        hosts: harmless texts that every attack of the files is put into.
        machine: also read what documentation, code and logs this machine has; without, a tenth of the breadth.
        wordings: the templates to use; everybody's if not given.

    Raises:
        FileNotFoundError: `data/injection` is not there.
    """
    folder = data / "injection"
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is not there; give the folder that holds `injection`")
    rows = {path.name.removesuffix(".jsonl.gz"): _rows(path) for path in sorted(folder.glob("*.jsonl.gz"))}
    wordings = wordings or Wordings()
    benign = [*_benign(rows, seed), *_prose(data / "ner", seed), *wordings.harmless(seed, max(20, generated // 72))]
    benign += harvest(seed) if machine else []
    parts: list[Part] = [part_of(document.source, document.kind) for document in benign]
    pool = _Pool(benign, parts)
    attacks = [*_known_attacks(rows, pool, seed, hosts), *_generated(wordings, pool, seed, _MANY * generated)]
    twins = list(_twins(wordings, pool, seed, generated // 2))
    honest = descriptions.honest(wordings, rows.get("tool_descriptions", []), seed, machine=machine)
    extra = [*attacks, *twins, *_described(wordings, honest, seed, generated)]
    documents = (*benign, *(document for document, _ in extra))
    all_parts = (*parts, *(part for _, part in extra))
    return Corpus(documents, all_parts, _manifest(documents))


def part_of(source: str, kind: str) -> Part:
    """Which part a source belongs to, for ever: 55 : 30 : 15 by its digest; of generated sentences, what they say."""
    for use in get_args(Use):
        if kind in ("trigger", "twin") and source.startswith(f"{use}:"):
            return cast(Part, use)
    draw = hashlib.blake2b(f"{kind}/{source}".encode(), digest_size=2).digest()[0] / 256
    return "calibrate" if draw < 0.30 else "test" if draw < 0.45 else "train"


def _rows(path: Path) -> list[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") as stream:
        return [json.loads(line) for line in stream]


def _benign(rows: dict[str, list[dict[str, Any]]], seed: int) -> Iterator[Document]:
    for name, kind in BENIGN.items():
        for index, row in enumerate(row for row in rows.get(name, ()) if row["label"] == 0):
            rng = Random(f"{seed}:{name}:{index}")
            source = f"{row['source']}:{index // 40}" if kind in ("records", "user", "trigger") else row["source"]
            kept = "html" if row["kind"] == "benign_html" else kind
            yield Document(cut(row["text"], rng), f"{source}:{index % 7}", kept)


def _prose(folder: Path, seed: int) -> Iterator[Document]:
    """Tweets, encyclopaedia and filings of the entity sets (CC BY), as text."""
    for name in _ENTITIES:
        path = next((p for p in (folder / name, *folder.glob(f"{name}.*")) if p.is_file()), None)
        if path is None:
            continue
        opener = gzip.open if path.suffix == ".gz" else open
        with opener(path, "rt", encoding="utf-8", errors="replace") as stream:
            sentences = [
                " ".join(line.split()[0] for line in block.split("\n") if line.split())
                for block in stream.read().split("\n\n")
            ]
        sentences = [s for s in sentences if len(s) > 20 and "DOCSTART" not in s]
        rng = Random(f"{seed}:{name}")
        at = 0
        while at < len(sentences) and at < 2500:
            size = int(12 ** rng.random())
            kind = "tweets" if name.startswith(("btc", "wnut", "emerging")) else "prose"
            yield Document(rng.choice(("\n", " ")).join(sentences[at : at + size]), f"{name}:{at // 150}", kind)
            at += size


class _Pool:
    """Hosts by part, drawn evenly over kinds, then sources."""

    def __init__(self, documents: Sequence[Document], parts: Sequence[Part]) -> None:
        self._kinds: dict[Part, dict[str, dict[str, list[Document]]]] = {}
        for document, part in zip(documents, parts, strict=True):
            if document.kind not in _NOT_HOSTS:
                kinds = self._kinds.setdefault(part, {})
                kinds.setdefault(document.kind, defaultdict(list))[document.source].append(document)

    def draw(self, part: Part, rng: Random) -> Document:
        kinds = self._kinds[part]
        kind = kinds[rng.choice([*kinds, *(name for name in _LIKELY if name in kinds for _ in range(2))])]
        document = rng.choice(kind[rng.choice(list(kind))])
        return replace(document, text=cut(document.text, rng, 4000))


_LIKELY: Final = (
    "gen_email",
    "tool_output",
    "records",
    "gen_review",
    "gen_json",
    "gen_chat",
    "json",
    "html",
    "doc",
    "gen_issue",
    "prose",
    "code",
)


def _placed(payload: str, host: Document, family: str, rng: Random) -> Document:
    if rng.random() < 0.12:
        return Document(payload, f"attack:{family}", "bare", 1, ((0, len(payload)),), family)
    text, span = splice(host.text, host.kind, payload, rng)
    return Document(text, f"attack:{family}", host.kind, 1, (span,), family)


def _drawn_part(rng: Random) -> Part:
    draw = rng.random()
    return "train" if draw < 0.8 else "calibrate" if draw < 0.85 else "test"


def _known_attacks(
    rows: dict[str, list[dict[str, Any]]], pool: _Pool, seed: int, hosts: int
) -> Iterator[tuple[Document, Part]]:
    for family, names in FAMILIES.items():
        known = [row["text"] for name in names for row in rows.get(name, ()) if row["kind"] == "indirect_payload"]
        chosen = [row for name in names for row in rows.get(name, ()) if row["label"] == 1]
        rng = Random(f"{seed}:{family}")
        rng.shuffle(chosen)
        for row in chosen[: _CAP.get(family, 10_000)]:
            text, part = row["text"], _drawn_part(rng)
            if row["kind"] == "indirect_in_context":
                yield Document(text, f"attack:{family}", "in_context", 1, _located(text, known), family), part
                continue
            payload = text if len(text) <= 2500 else text[:2500]
            for _ in range(hosts):
                yield _placed(payload, pool.draw(part, rng), family, rng), part


def _located(text: str, known: Sequence[str]) -> tuple[tuple[int, int], ...]:
    for payload in known:
        at = text.find(payload)
        if at >= 0:
            return ((at, at + len(payload)),)
    return ((len(text) // 3, len(text)),)


def _generated(wordings: Wordings, pool: _Pool, seed: int, count: int) -> Iterator[tuple[Document, Part]]:
    for index in range(count):
        rng = Random(f"{seed}:attack:{index}")
        payload, family = wordings.attack(rng)
        part = _drawn_part(rng)
        yield _placed(payload, pool.draw(part, rng), f"gen_{family}", rng), part


def _twins(wordings: Wordings, pool: _Pool, seed: int, count: int) -> Iterator[tuple[Document, Part]]:
    """Harmless inserts in the wrappers of attacks."""
    for index in range(count):
        rng = Random(f"{seed}:twin:{index}")
        part = _drawn_part(rng)
        use: Use = "train" if part == "train" else "calibrate"
        host = pool.draw(part, rng)
        maker = rng.choice((wordings.twin, wordings.twin, wordings.trigger, _instructions(wordings)))
        text, _ = splice(host.text, host.kind, maker(rng, use), rng)
        yield Document(text, f"twinned:{host.kind}", "twinned"), part


def _instructions(wordings: Wordings) -> Callable[[Random, Use], str]:
    return lambda rng, _: wordings.manual(rng)[0][:400]


def _described(
    wordings: Wordings, honest: Sequence[Document], seed: int, generated: int
) -> Iterator[tuple[Document, Part]]:
    """Tool descriptions: real ones by source, and poisoned ones whose hosts are of the same part."""
    parts = [part_of(document.source, document.kind) for document in honest]
    yield from zip(honest, parts, strict=True)
    shares: dict[Part, tuple[float, float]] = {"train": (0.66, 0.25), "calibrate": (0.03, 0.08), "test": (0.13, 0.05)}
    for part, (poisoned, twins) in shares.items():
        hosts = [document for document, own in zip(honest, parts, strict=True) if own == part]
        if not hosts:  # only generated ones, which have no such part
            continue
        hosts += [document for document in hosts if document.kind == "tool_desc"] * 8
        own_seed = seed + len(part)
        made = (*descriptions.poisoned(wordings, hosts, int(generated * poisoned), own_seed),
                *descriptions.honest_twins(wordings, hosts, int(generated * twins), own_seed))  # fmt: skip
        yield from ((document, part) for document in made)


def _manifest(documents: Sequence[Document]) -> dict[str, Any]:
    digest = hashlib.sha256()
    kinds: dict[str, int] = defaultdict(int)
    sources: dict[str, set[str]] = defaultdict(set)
    for document in documents:
        digest.update(document.text.encode("utf-8", "replace"))
        name = document.family or document.kind
        kinds[name] += 1
        sources[name].add(document.source)
    return {
        "documents": len(documents),
        "attacks": sum(document.label for document in documents),
        "benign_sources": len({document.source for document in documents if not document.label}),
        "sha256": digest.hexdigest(),
        "kinds": {kind: [kinds[kind], len(sources[kind])] for kind in sorted(kinds)},
    }


@dataclass(frozen=True, slots=True)
class Window:
    """A stretch of a document. `spans` are the parts of an attack in it, in characters of `text`."""

    text: str
    label: int
    spans: tuple[tuple[int, int], ...]
    source: str
    kind: str
    family: str


def windows(documents: Sequence[Document], *, size: int = 500, seed: int = 7) -> Iterator[Window]:
    """One window of about `size` characters of every document: around the attack, or anywhere in a harmless one."""
    for index, document in enumerate(documents):
        rng = Random(f"{seed}:window:{index}")
        if document.spans:
            a = document.spans[0][0]
            a = max(0, min(a - rng.randrange(size // 2 + 1), len(document.text) - size))
        else:
            a = rng.randrange(max(1, len(document.text) - size))
        text = document.text[a : a + size]
        spans = tuple((max(0, x - a), min(size, y - a)) for x, y in document.spans if x < a + size and y > a)
        yield Window(text, int(bool(spans)), spans, document.source, document.kind, document.family)
