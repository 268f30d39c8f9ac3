"""A second opinion on doubtful text: when heavy detectors are asked, and what their word counts for.

They are asked about messages whose doubt is in the grey band: from `doubtful_from` on, and not where the rules alone
are already sure. What the rules found stands. For the rest the detectors' opinion counts half and the always-on
model's half: either of them alone, just above its threshold, is not believed against the other.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import accumulate
from typing import Final

from agentflow.config_guard import GuardConfig
from agentflow.guard.detectors.port import Judgement, Spec
from agentflow.guard.detectors.process import HeavyDetectors
from agentflow.guard.injection import Screening, shortened
from agentflow.guard.spans import Matcher
from agentflow.pipeline.call import Finding

RULE: Final = "second-opinion"
_REMOTE: Final = frozenset({"lakera", "llm_judge"})  # services: what they are asked leaves this machine


class SecondOpinion:
    """The heavy detectors of a configuration. `close()` ends their process.

    Where one of them is a service, all are asked about text without personal data and secrets.

    Args:
        matcher: finds those; needed with a service.
    """

    def __init__(self, config: GuardConfig, matcher: Matcher | None = None) -> None:
        settings = config.injection
        self._from = settings.doubtful_from
        self._flag = config.flag_threshold
        self._sure = config.block_threshold
        specs = [
            Spec(one.kind, {**one.options, **{name: key.get_secret_value() for name, key in one.credentials.items()}})
            for one in settings.detectors
        ]
        remote = any(one.kind in _REMOTE for one in settings.detectors)
        if remote and matcher is None:
            raise ValueError("a service is told nothing that no matcher has looked at")
        self._matcher = matcher if remote else None
        self._detectors = HeavyDetectors(specs, settings.timeout, settings.queue) if specs else None

    def wanted(self, screening: Screening) -> bool:
        """Whether this message is worth asking about. Text about attacks is not: it sounds like one to every model."""
        discussed = screening.doubt >= self._flag > screening.score
        return (
            self._detectors is not None
            and screening.doubt >= self._from
            and screening.overt < self._sure
            and not discussed
        )

    async def of(self, screening: Screening, texts: Mapping[str, str], tenant: str = "") -> Screening:
        """Return the screening with the detectors' opinion in it.

        Args:
            texts: what was screened, by path.
            tenant: whose they are.

        Raises:
            StageFailed: no opinion could be had.
        """
        told, whole = _told(texts, self._matcher.for_tenant(tenant) if self._matcher else None)
        if self._detectors is None or not whole:
            return screening
        (judgement,) = await self._detectors.judge([whole])
        return self._weighed(screening, judgement, told)

    def now(self, screening: Screening, texts: Mapping[str, str]) -> Screening:
        """As `of`, for callers without an event loop."""
        told, whole = _told(texts, self._matcher)
        if self._detectors is None or not whole:
            return screening
        (judgement,) = self._detectors.judge_now([whole])
        return self._weighed(screening, judgement, told)

    def close(self) -> None:
        """End the detectors' process."""
        if self._detectors is not None:
            self._detectors.close()

    def _weighed(self, screening: Screening, judgement: Judgement, told: Sequence[tuple[str, str]]) -> Screening:
        score = round((judgement.score + min(screening.doubt, 1.0)) / 2, 3)
        if score < self._flag:
            kept = tuple(finding for finding in screening.findings if finding.rule != "model")
            return replace(screening, score=screening.overt, findings=kept if screening.overt else ())
        found = (_finding(judgement, score, told), *screening.findings)
        return replace(screening, score=max(score, screening.overt), findings=found)


def _told(texts: Mapping[str, str], matcher: Matcher | None) -> tuple[list[tuple[str, str]], str]:
    """The texts that say something, and all of them as one: without what `matcher` finds in them, as long as before."""
    told = [(path, text) for path, text in texts.items() if " " in text]
    return told, "\n".join(text if matcher is None else _filled(text, matcher) for _, text in told)


def _filled(text: str, matcher: Matcher) -> str:
    for match in matcher.find(text):
        text = f"{text[: match.start]}{'x' * (match.end - match.start)}{text[match.end :]}"
    return text


def _finding(judgement: Judgement, score: float, told: Sequence[tuple[str, str]]) -> Finding:
    """Where the detectors point, in the one text that holds most of it."""
    starts = [0, *accumulate(len(text) + 1 for _, text in told)]
    at = min(max(bisect_right(starts, judgement.start) - 1, 0), len(told) - 1)
    path, text = told[at]
    start = judgement.start - starts[at]
    end = max(start, min(len(text), judgement.end - starts[at]))
    return Finding(RULE, score, path, start, end, shortened(text[start:end]))
