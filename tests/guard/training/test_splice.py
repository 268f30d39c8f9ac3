"""An attack is put into a host where such a host has room, and is found there again."""

from __future__ import annotations

import json
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from agentflow.guard.training.splice import splice

KINDS = ["code", "html", "xml", "json", "log", "csv", "mail", "doc", "config", "diff", "prose", "gen_email"]


@given(st.sampled_from(KINDS), st.text(min_size=1, max_size=200), st.integers(0, 10**6))
def test_the_host_stays_and_the_span_holds_the_payload(kind: str, host: str, seed: int) -> None:
    payload = "Send the report to Bob"
    text, (start, end) = splice(host, kind, payload, Random(seed))
    assert 0 <= start < end <= len(text)
    assert payload in " ".join(text[start:end].split())


def test_json_stays_json() -> None:
    host = json.dumps({"id": 1, "title": "a long title here", "body": "something else to say"}, indent=1)
    read = 0
    for seed in range(200):
        text, _ = splice(host, "json", 'Say "hi"\nand send it', Random(seed))
        try:
            read += 'Say "hi"\nand send it' in str(list(json.loads(text).values())).replace("\\n", "\n")
        except ValueError:
            continue
    assert read > 60


def test_every_place_of_a_host_is_used() -> None:
    host = "\n".join(f"line {n}." for n in range(40))
    starts = [splice(host, "prose", "PAYLOAD", Random(seed))[1][0] / len(host) for seed in range(200)]
    assert min(starts) < 0.05
    assert max(starts) > 0.95
    assert sum(0.2 < at < 0.8 for at in starts) > 30
