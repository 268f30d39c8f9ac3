"""One text through everything the guard knows, without a gateway: what `agentflow guard scan` says about it.

It promises the verdict, the findings and the redacted form that the stages of a gateway with this configuration
would come to, and leaves nothing behind: tokens are kept in a vault of its own that ends with the scanner.
It refuses rows that are not what they say they are (`InvalidRow`), before anything is made of them.
"""

from __future__ import annotations

import inspect
import re
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from agentflow.config import Config
from agentflow.config_guard import VaultConfig
from agentflow.errors import AgentFlowError
from agentflow.guard.deep.beside import Deep, within
from agentflow.guard.detectors.opinion import RULE as OPINION
from agentflow.guard.detectors.opinion import SecondOpinion
from agentflow.guard.embedded import Edit, scan
from agentflow.guard.entities import DEEP
from agentflow.guard.injection import Screening
from agentflow.guard.readable import screened
from agentflow.guard.secrets import TYPES
from agentflow.guard.spans import Matcher
from agentflow.guard.verdict import Thresholds
from agentflow.guard.walk import leaves
from agentflow.identity.principal import Principal
from agentflow.pipeline.call import JSON, Call, Decision, Direction, Message, Obligations, Session
from agentflow.pipeline.pii import PiiKit, build_pii
from agentflow.pipeline.stages.screen import detectors

# A row's `surface` decides who reads its text: the descriptions' detector, or that of content, which every other
# surface is; arguments are what a person typed, and never refused.
_DESCRIBING: Final = ("description", "instructions", "listing")
_INBOUND: Final = "argument"
MODEL: Final = "agentflow-linear"  # what a finding of the trained model is attributed to
_MODELS: Final = {"model": MODEL, OPINION: OPINION}
_SECRETS: Final = frozenset(TYPES)
_CALLER: Final = Principal("scan")
_STEP: Final = re.compile(r"\\u[0-9a-fA-F]{4}|\\.|[^\\]", re.DOTALL)


class InvalidRow(AgentFlowError):
    """A row lacks `text`, or a member of it is of the wrong kind."""

    kind = "invalid_row"


@dataclass(frozen=True, slots=True)
class _Row:
    text: str
    describes: bool
    inbound: bool
    trusted: bool
    fields: JSON


class Scanner:
    """The guard of one configuration. Close it: its vault lies in a temporary folder.

    Args:
        deep: look for names, places and the like as well, whatever the configuration says.

    Raises:
        ConfigError: the configuration's guard cannot be built.
    """

    def __init__(self, config: Config, *, deep: bool = False) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="agentflow-scan-")
        guard = config.guard.model_copy(update={"vault": VaultConfig(), "master_key": None})
        if deep and guard.deep.mode == "off":
            guard = guard.model_copy(update={"deep": guard.deep.model_copy(update={"mode": "policy"})})
        own = config.model_copy(update={"data_dir": Path(self._folder.name), "guard": guard})
        try:
            self._pii: PiiKit = build_pii(own)
        except BaseException:
            self._folder.cleanup()
            raise
        self._thresholds = Thresholds.of(guard)
        self._content, self._descriptions = detectors(guard)
        self._second = SecondOpinion(guard, self._pii.matcher)
        self._decision = Decision(True, obligations=Obligations(deep=deep))
        self._deep = Deep(self._pii.matcher, self._pii.deep, guard) if deep else None

    def score(self, row: JSON) -> float:
        """Return the injection score of a row.

        Raises:
            InvalidRow: as for `row`.
        """
        read = _read(row)
        screening, texts = self._screened(read)
        return (self._second.now(screening, texts) if self._doubtful(read, screening) else screening).score

    def close(self) -> None:
        """End the vault and remove its folder."""
        self._pii.vault.close()
        self._pii.deep.close()
        self._second.close()
        self._folder.cleanup()

    async def row(self, row: JSON) -> JSON:
        """Return `row` with `injection`, `pii`, `secrets` and `redacted` (and `redacted_fields` where it has `fields`).

        Offsets are characters of `text`; what stands in `fields` carries the JSON pointer of its place as `path`.

        Raises:
            InvalidRow: `text` is missing, or a member is not what it should be.
        """
        read = _read(row)
        screening, texts = self._screened(read)
        if self._doubtful(read, screening):
            screening = await self._second.of(screening, texts)
        pii, secret = self._values(read, await self._matcher(read))
        text, fields = await self._redacted(read)
        found = {"injection": self._injection(read, screening, texts), "pii": pii, "secrets": secret, "redacted": text}
        return {**row, **found, **({"redacted_fields": fields} if read.fields else {})}

    # ----------------------------------------------------------------------- injection

    def _screened(self, row: _Row) -> tuple[Screening, dict[str, str]]:
        """What was found in a row, and the texts that were read, by path; that of `text` itself is empty."""
        detector = self._descriptions if row.describes else self._content
        if not row.fields:
            return detector.score_many([("", row.text)]), {"": row.text}
        body = {"content": [{"type": "text", "text": row.text}], "structuredContent": row.fields}
        screening, read = screened(detector, body)
        moved = tuple(replace(finding, path=_own(finding.path)) for finding in screening.findings)
        return replace(screening, findings=moved), {_own(path): text for path, text in read().items()}

    def _doubtful(self, row: _Row, screening: Screening) -> bool:
        return not row.describes and self._second.wanted(screening)

    def _injection(self, row: _Row, screening: Screening, read: dict[str, str]) -> JSON:
        trusted = row.trusted and not row.describes
        verdict = self._thresholds.verdict(screening, trusted=trusted, refusable=not row.inbound)
        findings = []
        for finding in screening.findings:
            source = {"model": _MODELS[finding.rule]} if finding.rule in _MODELS else {"rule": finding.rule}
            place = {"path": finding.path} if finding.path else {}
            span = {"start": finding.start, "end": finding.end, **source, "severity": finding.severity}
            findings.append({**span, "text": read.get(finding.path, "")[finding.start : finding.end], **place})
        return {"score": screening.score, "verdict": verdict.value, "findings": findings}

    # ----------------------------------------------------------------------- PII and secrets

    async def _matcher(self, row: _Row) -> Matcher:
        """The matcher of the hot tier, or where the deep tier is wanted of both; it reports all that they find."""
        if self._deep is None:
            return self._pii.matcher
        found = leaves({"structuredContent": row.fields}) if row.fields else ()
        inner = [(leaf.value, leaf.label) for leaf in found if isinstance(leaf.value, str)]
        return await self._deep.over(within([(row.text, ""), *inner]), DEEP | {"URL"})

    def _values(self, row: _Row, matcher: Matcher) -> tuple[list[JSON], list[JSON]]:
        found = list(_found(matcher, row.text, ""))
        for leaf in leaves({"structuredContent": row.fields}) if row.fields else ():
            pointer = leaf.pointer.removeprefix("/structuredContent")
            found += [{**value, "path": pointer} for value in _found(matcher, str(leaf.value), leaf.label)]
        secret = [value for value in found if value["type"] in _SECRETS]
        return [value for value in found if value["type"] not in _SECRETS], secret

    async def _redacted(self, row: _Row) -> tuple[str, Any]:
        body: JSON = {"content": [{"type": "text", "text": row.text}]}
        if row.fields:
            body["structuredContent"] = row.fields
        call = Call("tools/call", _CALLER, Session("scan", _CALLER), {}, decision=self._decision)
        message = Message("tools/call", Direction.OUTBOUND, body)
        note = self._pii.redact(call, message)
        if inspect.isawaitable(note):
            await note
        return message.body["content"][0]["text"], message.body.get("structuredContent")


def _found(matcher: Matcher, text: str, context: str) -> Iterator[JSON]:
    spans = list(_spans(scan(matcher, text, context), text))
    scores = {(start, end): score for _, start, end, score in matcher.find(text, context)} if spans else {}
    for kind, start, end in spans:
        yield {"type": kind, "start": start, "end": end, "score": scores.get((start, end), 1.0)}


def _read(row: JSON) -> _Row:
    text, fields = row.get("text"), row.get("fields")
    surface, trust = row.get("surface") or "result", row.get("trust") or "untrusted"
    if not isinstance(text, str):
        raise InvalidRow("`text` is missing or is not a string")
    if not isinstance(surface, str):
        raise InvalidRow("`surface` is not a string such as result, description or argument")
    if trust not in ("trusted", "untrusted"):
        raise InvalidRow("`trust` is neither trusted nor untrusted")
    if fields is not None and not isinstance(fields, dict):
        raise InvalidRow("`fields` is not a JSON object")
    describes = any(word in surface for word in _DESCRIBING)
    return _Row(text, describes, surface.startswith(_INBOUND), trust == "trusted", fields or {})


def _own(path: str) -> str:
    """A path in a message as a path in its row: nothing for the text, a pointer into `fields` for the rest."""
    return path.removeprefix("/content/0/text").removeprefix("/structuredContent")


def _spans(edits: Iterable[Edit], text: str) -> Iterator[tuple[str, int, int]]:
    """Where the values of `edits` stand in `text`; one inside an escaped JSON string, as it is spelled there."""
    for edit in edits:
        if edit.value is not None:
            yield edit.value[0], edit.start, edit.end
            continue
        starts = [edit.start + match.start() for match in _STEP.finditer(text[edit.start : edit.end])]
        starts.append(edit.end)
        # Not where a surrogate pair is two escapes and one character, nor in base64: there the whole run is named.
        aligned = edit.codec == "json" and len(starts) == len(edit.decoded) + 1
        for kind, start, end in _spans(edit.inner, edit.decoded):
            yield (kind, starts[start], starts[end]) if aligned else (kind, edit.start, edit.end)
