"""Every run of base64 that reads as text is seen by the quick look; hashes and ids hardly ever are."""

from __future__ import annotations

import base64
import random

import pytest
import re2
from hypothesis import given
from hypothesis import strategies as st

from agentflow.guard.text_runs import text_run

_OPTIONS = re2.Options()
_OPTIONS.encoding = re2.Options.Encoding.LATIN1
RUN = re2.compile(text_run(20), _OPTIONS)
characters = st.characters(exclude_categories=("Cs", "Cc")) | st.sampled_from("\t\n\r")


@given(st.text(characters, min_size=18), st.sampled_from(["", " ", "\\n", "\\\\n", '"', "x="]), st.booleans())
def test_text_in_base64_is_found_whole(text: str, before: str, for_urls: bool) -> None:
    encode = base64.urlsafe_b64encode if for_urls else base64.b64encode
    run = encode(text.encode()).rstrip(b"=")
    match = RUN.search(before.encode() + run + b"!")
    assert match is not None and match.group(1) == run


@pytest.mark.parametrize("shown", [lambda raw: raw.hex().encode(), base64.b64encode])
def test_few_hashes_and_pictures_are_taken_for_text(shown: object) -> None:
    rng = random.Random(1)
    runs = [shown(rng.randbytes(32)) for _ in range(1000)]  # type: ignore[operator]
    assert sum(RUN.search(run) is not None for run in runs) < 150
