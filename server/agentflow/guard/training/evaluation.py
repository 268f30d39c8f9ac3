"""How good a detector is, on rows nobody trained it on: per document, by source and kind, with the worst mistakes.

`evaluate(rows, score)` promises figures that can be held against a promise: ranking (AUC), recall where 1 % and
0.1 % of harmless texts are flagged, and what the shipped thresholds really do. A report is text, JSON and a ROC
curve as SVG. Rows without a label are refused.
"""

from __future__ import annotations

import json
import math
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

_EXAMPLES: Final = 20
_SHOWN: Final = 240  # characters of an example


@dataclass(frozen=True, slots=True)
class Share:
    """How many of a group were flagged and blocked at the shipped thresholds."""

    group: str
    label: int
    count: int
    flagged: float
    blocked: float


@dataclass(frozen=True, slots=True)
class Mistake:
    """A harmless text with a high score, or an attack with a low one."""

    score: float
    label: int
    source: str
    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class Report:
    """What `evaluate` found. Shares are of documents, 0..1; nan where there is nothing to measure."""

    attacks: int
    harmless: int
    auc: float
    recall_at: dict[str, float]  # by share of harmless texts flagged: "0.01", "0.001"
    threshold_at: dict[str, float]
    false_positives: float
    recall: float
    blocked_harmless: float
    blocked_attacks: float
    by_source: tuple[Share, ...]
    by_kind: tuple[Share, ...]
    false_alarms: tuple[Mistake, ...]
    misses: tuple[Mistake, ...]
    roc: tuple[tuple[float, float], ...]

    def text(self) -> str:
        """The report as a table for a terminal."""
        lines = [
            f"{self.harmless} harmless texts, {self.attacks} attacks; AUC {self.auc:.4f}",
            *(f"recall {value:.3f} at {float(at):.1%} false positives" for at, value in self.recall_at.items()),
            f"as shipped: false positives {self.false_positives:.2%} (blocked {self.blocked_harmless:.2%}), "
            f"recall {self.recall:.1%} (blocked {self.blocked_attacks:.1%})",
        ]
        for title, shares in (("source", self.by_source), ("kind", self.by_kind)):
            lines += ["", f"{title:<36} {'':<8} {'texts':>6} {'flagged':>8} {'blocked':>8}"]
            lines += [
                f"{s.group[:36]:<36} {'attack' if s.label else 'harmless':<8} {s.count:>6} "
                f"{s.flagged:>8.2%} {s.blocked:>8.2%}"
                for s in shares
            ]
        for title, mistakes in (("highest harmless", self.false_alarms), ("lowest attacks", self.misses)):
            lines += ["", title, *(f"{m.score:.3f} {m.source} {m.kind}: {m.text}" for m in mistakes)]
        return "\n".join(lines) + "\n"

    def json(self) -> str:
        """The report as JSON."""
        return json.dumps(asdict(self), ensure_ascii=False, indent=1, default=str)

    def svg(self) -> str:
        """The ROC curve, false positives on a log scale from 0.01 % on."""
        points = " ".join(f"{60 + _x(fpr) * 500:.1f},{380 - tpr * 340:.1f}" for fpr, tpr in self.roc)
        ticks = "".join(
            f'<line x1="{60 + _x(at) * 500:.0f}" y1="40" x2="{60 + _x(at) * 500:.0f}" y2="380" stroke="#ddd"/>'
            f'<text x="{60 + _x(at) * 500:.0f}" y="398" text-anchor="middle">{at:.2%}</text>'
            for at in (0.0001, 0.001, 0.01, 0.1, 1)
        )
        grid = "".join(
            f'<line x1="60" y1="{380 - at * 340:.0f}" x2="560" y2="{380 - at * 340:.0f}" stroke="#ddd"/>'
            f'<text x="52" y="{384 - at * 340:.0f}" text-anchor="end">{at:.1f}</text>'
            for at in (0, 0.2, 0.4, 0.6, 0.8, 1)
        )
        return (
            '<svg xmlns="http://www.w3.org/2000/svg" width="600" height="420" font-family="sans-serif" font-size="12">'
            f'<rect width="600" height="420" fill="white"/>{ticks}{grid}'
            f'<polyline points="{points}" fill="none" stroke="#1559b0" stroke-width="2"/>'
            f'<text x="60" y="26">recall by false positives, AUC {self.auc:.4f}</text></svg>\n'
        )


def evaluate(
    rows: Iterable[Mapping[str, Any]],
    score: Callable[[Mapping[str, Any]], float],
    *,
    flag: float = 0.4,
    block: float = 0.8,
) -> Report:
    """Score every row and compare with its label.

    Args:
        rows: objects with `text` and `label` (0 or 1), and perhaps `source`, `kind`, `surface`.
        score: a row's score, 0..1; it sees the row without its label.

    Raises:
        ValueError: a row lacks `text` or a label of 0 or 1, or there are no rows.
    """
    scored = []
    for number, row in enumerate(rows, 1):
        if not isinstance(row.get("text"), str) or row.get("label") not in (0, 1):
            raise ValueError(f"row {number}: `text` (a string) and `label` (0 or 1) are needed")
        scored.append((score({key: row[key] for key in row if key != "label"}), row))
    if not scored:
        raise ValueError("no rows")
    good = sorted(value for value, row in scored if not row["label"])
    bad = sorted(value for value, row in scored if row["label"])
    thresholds = {f"{share:g}": _threshold(good, share) for share in (0.01, 0.001)}
    mistakes = [_mistake(value, row) for value, row in scored]
    return Report(
        attacks=len(bad),
        harmless=len(good),
        auc=_auc(good, bad),
        recall_at={share: _above(bad, at) for share, at in thresholds.items()},
        threshold_at=thresholds,
        false_positives=_reaching(good, flag),
        recall=_reaching(bad, flag),
        blocked_harmless=_reaching(good, block),
        blocked_attacks=_reaching(bad, block),
        by_source=_shares(scored, "source", flag, block),
        by_kind=_shares(scored, "kind", flag, block),
        false_alarms=tuple(
            sorted((m for m in mistakes if not m.label and m.score > 0), key=lambda m: -m.score)[:_EXAMPLES]
        ),
        misses=tuple(sorted((m for m in mistakes if m.label), key=lambda m: m.score)[:_EXAMPLES]),
        roc=_roc(good, bad),
    )


def _x(share: float) -> float:
    return 1 + math.log10(max(share, 0.0001)) / 4


def _reaching(values: Sequence[float], threshold: float) -> float:
    """The share of sorted values at or above a threshold."""
    return (len(values) - bisect_left(values, threshold)) / len(values) if values else math.nan


def _above(values: Sequence[float], threshold: float) -> float:
    return sum(value > threshold for value in values) / len(values) if values else math.nan


def _threshold(good: Sequence[float], share: float) -> float:
    """The score above which at most `share` of the harmless texts lie."""
    allowed = math.floor(len(good) * share)
    return good[len(good) - allowed - 1] if good else math.nan


def _auc(good: Sequence[float], bad: Sequence[float]) -> float:
    """The chance that an attack scores higher than a harmless text, ties counting half."""
    if not good or not bad:
        return math.nan
    wins = 0.0
    for value in bad:
        below = bisect_left(good, value)
        upto = bisect_left(good, math.nextafter(value, math.inf))
        wins += below + (upto - below) / 2
    return wins / len(good) / len(bad)


def _roc(good: Sequence[float], bad: Sequence[float]) -> tuple[tuple[float, float], ...]:
    if not good or not bad:
        return ()
    points = [(_reaching(good, at), _reaching(bad, at)) for at in sorted({*good, *bad}, reverse=True)]
    step = max(1, len(points) // 400)
    return ((0.0, 0.0), *points[::step], (1.0, 1.0))


def _shares(
    scored: Sequence[tuple[float, Mapping[str, Any]]], key: str, flag: float, block: float
) -> tuple[Share, ...]:
    groups: dict[tuple[int, str], list[float]] = defaultdict(list)
    for value, row in scored:
        groups[int(row["label"]), str(row.get(key, ""))].append(value)
    return tuple(
        Share(group, label, len(values), _reaching(sorted(values), flag), _reaching(sorted(values), block))
        for (label, group), values in sorted(groups.items())
    )


def _mistake(value: float, row: Mapping[str, Any]) -> Mistake:
    text = " ".join(str(row["text"]).split())[:_SHOWN]
    return Mistake(value, int(row["label"]), str(row.get("source", "")), str(row.get("kind", "")), text)


def write(report: Report, folder: Path) -> list[Path]:
    """Write `report.txt`, `report.json` and `roc.svg` into a folder, which is made if need be; return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    contents = {"report.txt": report.text(), "report.json": report.json(), "roc.svg": report.svg()}
    for name, content in contents.items():
        (folder / name).write_text(content, "utf-8")
    return [folder / name for name in contents]
