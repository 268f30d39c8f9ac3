"""A report says what a detector is worth on rows it has not seen."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from agentflow.guard.training.evaluation import evaluate, write

ROWS = [
    *({"text": f"good {n}", "label": 0, "source": "docs", "kind": "doc", "value": n / 1000} for n in range(1000)),
    {"text": "loud but good", "label": 0, "source": "logs", "kind": "log", "value": 0.995},
    *({"text": f"bad {n}", "label": 1, "source": "mail", "kind": "mail", "value": 0.95 + n / 1000} for n in range(50)),
    {"text": "quiet but bad", "label": 1, "source": "web", "kind": "html", "value": 0.1},
]


def value(row: Mapping[str, Any]) -> float:
    assert "label" not in row
    return float(row["value"])


def test_recall_is_given_where_so_many_harmless_texts_are_flagged() -> None:
    report = evaluate(ROWS, value, flag=0.9, block=0.99)
    assert (report.attacks, report.harmless) == (51, 1001)
    assert report.threshold_at["0.01"] == pytest.approx(0.99)
    assert report.recall_at["0.01"] == pytest.approx(9 / 51)
    assert report.recall == pytest.approx(50 / 51)
    assert report.false_positives == pytest.approx(101 / 1001)
    assert report.blocked_harmless == pytest.approx(11 / 1001)


def test_sources_and_the_worst_mistakes_are_named() -> None:
    report = evaluate(ROWS, value, flag=0.9)
    shares = {share.group: share for share in report.by_source}
    assert shares["web"].flagged == 0.0
    assert shares["mail"].flagged == 1.0
    assert report.false_alarms[0].text == "good 999"
    assert report.misses[0].text == "quiet but bad"
    assert "quiet but bad" in report.text()


def test_ranking_is_the_chance_that_an_attack_is_higher() -> None:
    rows = [{"text": "", "label": label, "value": score} for label, score in ((0, 0.1), (0, 0.5), (1, 0.5), (1, 0.9))]
    assert evaluate(rows, value).auc == pytest.approx(3.5 / 4)


def test_one_sided_data_has_figures_for_that_side_only(tmp_path: Path) -> None:
    report = evaluate([{"text": "x", "label": 1}], lambda row: 1.0)
    assert report.recall == 1.0
    assert math.isnan(report.false_positives)
    assert math.isnan(report.auc)
    write(report, tmp_path)


def test_a_report_is_text_json_and_a_picture(tmp_path: Path) -> None:
    paths = write(evaluate(ROWS, value), tmp_path / "new")
    assert [path.name for path in paths] == ["report.txt", "report.json", "roc.svg"]
    assert json.loads(paths[1].read_text())["attacks"] == 51
    assert ElementTree.fromstring(paths[2].read_text()).tag.endswith("svg")


@pytest.mark.parametrize("row", [{"text": "x"}, {"label": 1}, {"text": "x", "label": 2}, {"text": 1, "label": 1}])
def test_a_row_without_text_or_label_is_refused(row: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="row 1"):
        evaluate([row], lambda row: 0.0)


def test_no_rows_are_refused() -> None:
    with pytest.raises(ValueError, match="no rows"):
        evaluate([], lambda row: 0.0)
