"""The map of threats names tests that there are."""

from __future__ import annotations

import re

from gateway_process import REPOSITORY

TESTS = REPOSITORY / "tests"


def test_every_test_that_the_map_names_is_there() -> None:
    text = (REPOSITORY / "docs" / "threats.md").read_text(encoding="utf-8")
    file, gone, seen = "", [], 0
    for before, name in re.findall(r"`([\w/]+\.py)?::(test_\w+)`", text):
        file = before or file
        source = TESTS / file
        seen += 1
        if not source.is_file() or not re.search(rf"def {name}\(", source.read_text(encoding="utf-8")):
            gone.append(f"{file}::{name}")
    assert gone == [] and seen > 90


def test_every_threat_and_every_room_that_the_map_names_is_there() -> None:
    text = (REPOSITORY / "docs" / "threats.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d+) \|(.*)\|$", text, re.M)
    assert [int(number) for number, _ in rows] == list(range(1, 26))
    places = {place for _, row in rows for place in re.findall(r"`([\w./*]+)`", row.split("|")[2])}
    gone = [
        place
        for place in places
        if not list((REPOSITORY / "server" / "agentflow").glob(place)) and not (REPOSITORY / place).exists()
    ]
    assert gone == []
