"""screen: everything that could be an order in disguise is read before a model reads it.

Towards the client, a message that scores at the block threshold is refused; below it, from the flag threshold on,
it is flagged. Poisoned items of a listing are taken out and the others go on. Towards the upstream it flags only:
what a person typed is theirs to type. Content of an upstream that the operator declared `trusted` is refused from
0.95 on only (several overt findings, or a hidden one); definitions get no such credit.

It refuses content because of what it says, never because of what it is about; see `guard/injection.py`.
"""

from __future__ import annotations

import hashlib
import json
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any, ClassVar, Final, Literal

from agentflow.config_guard import GuardConfig
from agentflow.errors import ContentBlocked
from agentflow.guard.injection import CLEAN, ContentDetector, DescriptionDetector, Detector, Screening
from agentflow.guard.walk import Leaf, leaves, strings
from agentflow.pipeline.call import JSON, Call, Direction, Finding, Message, Verdict
from agentflow.pipeline.stage import PASS, Note

_TRUSTED_THRESHOLD: Final = 0.95
_JOIN: Final = "\n\n"
_GROUP: Final = 16  # strings that are looked at together first
_KEPT_FINDINGS: Final = 50  # of one call
_REMEMBERED: Final = 32_768  # definitions whose screening is kept

# Surface → the member of its body that lists definitions.
_LISTINGS: Final = {
    "tools/list": "tools",
    "prompts/list": "prompts",
    "resources/list": "resources",
    "resources/templates/list": "resourceTemplates",
}
_INSTRUCTIONS: Final = frozenset({"server/instructions", "server/discover", "initialize"})


@cache
def _detectors() -> tuple[Detector, Detector]:
    """Compiled once per process (0.1 s): a changed configuration changes thresholds, not rules."""
    return ContentDetector(), DescriptionDetector()


class Screen:
    """The screen stage."""

    name: ClassVar[str] = "screen"
    kind: ClassVar[Literal["validator", "mutator"]] = "validator"
    directions: ClassVar[frozenset[Direction]] = frozenset(Direction)

    def __init__(self, config: GuardConfig) -> None:
        self._block = config.block_threshold
        self._flag = config.flag_threshold
        self._content, self._descriptions = _detectors()
        self._definitions: OrderedDict[bytes, Screening] = OrderedDict()

    def __call__(self, call: Call, message: Message) -> Note:
        """Screen one message; findings and the highest score are kept in the call.

        Raises:
            ContentBlocked: the message goes to the client and its score reaches the block threshold.
        """
        if message.direction is Direction.OUTBOUND:
            if (key := _LISTINGS.get(message.surface)) is not None:
                return self._listing(call, message, key)
            if message.surface in _INSTRUCTIONS:
                return self._instructions(call, message)
        screening = self._screened(message.body)
        if screening.score < self._flag:
            return PASS
        self._keep(call, screening)
        relaxed = call.upstream.trust == "trusted" and call.upstream.kind != "gateway"
        threshold = max(self._block, _TRUSTED_THRESHOLD) if relaxed else self._block
        if message.direction is Direction.OUTBOUND and screening.score >= threshold:
            raise _blocked(message, screening)
        return Note(Verdict.FLAGGED, _summary(screening))

    # ----------------------------------------------------------------------- content

    def _screened(self, body: JSON) -> Screening:
        detector = self._content
        texts = [leaf for leaf in leaves(body, files=True) if isinstance(leaf.value, str)]
        joined = list(_joined(body))
        doubtful = [
            leaf
            for group in _grouped(texts)
            if not detector.clean(_JOIN.join(str(leaf.value) for leaf in group))
            for leaf in group
            if not detector.clean(str(leaf.value))
        ]
        found = _strongest(detector.score(text, path) for path, text in _unpacked(doubtful))
        spread = _strongest(detector.score(text, path) for path, text in joined)
        return _strongest((found, spread)) if spread.score > found.score else found

    # ----------------------------------------------------------------------- listings

    def _listing(self, call: Call, message: Message, key: str) -> Note:
        items = message.body.get(key)
        if not isinstance(items, list):
            return PASS
        kept, dropped, flagged = [], [], []
        for index, item in enumerate(items):
            screening = self._definition(item)
            if screening.score < self._flag:
                kept.append(item)
                continue
            here = _moved(screening, f"/{key}/{index}")
            self._keep(call, here)
            if screening.score >= self._block:
                dropped.append({"name": _name(item), **_summary(here)})
            else:
                kept.append(item)
                flagged.append({"name": _name(item), **_summary(here)})
        if dropped:
            message.body = {**message.body, key: kept}
        if not dropped and not flagged:
            return PASS
        return Note(Verdict.FLAGGED, {"dropped": dropped, "flagged": flagged})

    def _instructions(self, call: Call, message: Message) -> Note:
        """Instructions are one text: poisoned, they are left out as a whole."""
        screening = _strongest(self._descriptions.score(text, path) for path, text in _every_string(message.body))
        if screening.score < self._flag:
            return PASS
        self._keep(call, screening)
        if screening.score < self._block:
            return Note(Verdict.FLAGGED, _summary(screening))
        if not screening.findings[0].path.startswith("/instructions"):
            raise _blocked(message, screening)
        message.body = {name: value for name, value in message.body.items() if name != "instructions"}
        return Note(Verdict.FLAGGED, {"dropped": [{"name": "instructions", **_summary(screening)}], "flagged": []})

    def _definition(self, item: Any) -> Screening:
        """Screen one definition; remembered by its bytes, since the same thousands are listed again and again."""
        digest = hashlib.blake2b(json.dumps(item).encode(), digest_size=16).digest()
        known = self._definitions.get(digest)
        if known is not None:
            return known
        texts = list(_every_string(item))
        if self._descriptions.clean(_JOIN.join(text for _, text in texts)):
            screening = CLEAN
        else:
            screening = _strongest(self._descriptions.score(text, path) for path, text in texts)
        self._definitions[digest] = screening
        if len(self._definitions) > _REMEMBERED:
            self._definitions.popitem(last=False)
        return screening

    # ----------------------------------------------------------------------- the call's record

    def _keep(self, call: Call, screening: Screening) -> None:
        call.injection_score = max(call.injection_score, screening.score)
        room = _KEPT_FINDINGS - len(call.findings)
        call.findings.extend(screening.findings[: max(0, room)])


def _strongest(screenings: Iterable[Screening]) -> Screening:
    """The highest score of several texts, with the findings of all, strongest text first."""
    found = sorted((s for s in screenings if s.findings), key=lambda s: -s.score)
    if not found:
        return CLEAN
    seen: dict[tuple[str, str, int], Finding] = {}
    for screening in found:
        for finding in screening.findings:
            seen.setdefault((finding.rule, finding.path, finding.start), finding)
    return Screening(found[0].score, tuple(seen.values()))


def _moved(screening: Screening, prefix: str) -> Screening:
    moved = (Finding(f.rule, f.severity, prefix + f.path, f.start, f.end, f.excerpt) for f in screening.findings)
    return Screening(screening.score, tuple(moved))


def _grouped(texts: list[Leaf]) -> Iterator[list[Leaf]]:
    """All of a small message at once, a large one in groups: most are clean, and only the others are looked into."""
    if len(texts) <= _GROUP:
        yield texts
        return
    for start in range(0, len(texts), _GROUP):
        yield texts[start : start + _GROUP]


def _unpacked(texts: list[Leaf]) -> Iterator[tuple[str, str]]:
    """Each text with its pointer, and what is in it if it is JSON itself."""
    for leaf in texts:
        pointer, text = leaf.pointer, str(leaf.value)
        yield pointer, text
        if "\\" in text:
            inner = strings({"": text})
            next(inner)  # the text itself
            yield from ((pointer + place[1:], value) for place, value in inner)


def _joined(body: JSON) -> Iterator[tuple[str, str]]:
    """The concatenation of adjacent text blocks, where an attack may be spread over several."""
    for key in ("content", "contents", "messages"):
        blocks = body.get(key)
        if isinstance(blocks, list) and len(blocks) > 1:
            texts = [text for block in blocks if (text := _text_of(block))]
            if len(texts) > 1:
                yield f"/{key}", " ".join(texts)


def _text_of(block: Any) -> str:
    if not isinstance(block, dict):
        return ""
    inner = block.get("content")
    text = inner.get("text") if isinstance(inner, dict) else block.get("text")
    return text if isinstance(text, str) else ""


def _every_string(item: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Every key and string of a definition, control fields too: a model is shown all of it. Iterative."""
    stack = [(path, item)]
    while stack:
        here, value = stack.pop()
        if isinstance(value, str):
            yield here, value
        elif isinstance(value, dict):
            for key, inner in value.items():
                place = f"{here}/{key.replace('~', '~0').replace('/', '~1')}"
                yield place, key
                stack.append((place, inner))
        elif isinstance(value, list):
            stack.extend((f"{here}/{index}", inner) for index, inner in enumerate(value))


def _name(item: Any) -> str:
    """How an item is named in a note; a name that is an attack itself is cut."""
    name = item.get("name") or item.get("uri") or item.get("uriTemplate") if isinstance(item, dict) else ""
    return str(name)[:64]


def _summary(screening: Screening) -> JSON:
    rules = sorted({finding.rule for finding in screening.findings})
    return {"score": screening.score, "rules": rules, "path": screening.findings[0].path}


def _blocked(message: Message, screening: Screening) -> ContentBlocked:
    first, summary = screening.findings[0], _summary(screening)
    return ContentBlocked(
        f"Blocked: {message.surface} carries what reads as an injected instruction "
        f'({", ".join(summary["rules"][:5])}) at {first.path or "/"}: "{first.excerpt}"',
        fix="If this content is legitimate, declare its server `trust: trusted`, raise guard.block_threshold, or set "
        "pipeline.stages.screen.mode to audit",
        **summary,
    )
