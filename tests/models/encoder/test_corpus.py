"""The text that the encoder is fitted on."""

from __future__ import annotations

from pathlib import Path

import pytest

from agentflow.models.encoder.corpus import draws, held_out, help_topics, meanings, split, words

WORDNET = {
    "index.sense": "bill%1:10:00:: 01 2 7\ninvoice%1:10:00:: 01 1 0\n",
    "data.noun": (
        "  1 the licence\n"
        '01 10 n 02 invoice 0 bill 0 001 @ 02 n 0000 | a statement of money owed; "he paid the bill"\n'
        "02 05 n 01 barnacle 0 000 | marine crustaceans\n"
        "03 10 n 01 NATO 0 000 | an alliance of states\n"
    ),
}


def test_synonyms_come_with_their_gloss_the_commonest_first(tmp_path: Path) -> None:
    for name in ("index.sense", "data.noun", "data.verb", "data.adj", "data.adv"):
        (tmp_path / name).write_text(WORDNET.get(name, ""))
    (found,) = meanings(tmp_path)
    assert found.words == ("bill", "invoice")
    assert found.gloss == "a statement of money owed"


def test_html_becomes_sentences() -> None:
    assert split("<p>Returns a list of &quot;things&quot;. Nothing. Also deletes all of them.</p>") == [
        'Returns a list of "things".',
        "Also deletes all of them.",
    ]
    assert words("DescribeDBInstances") == "describe db instances"


def test_the_same_seed_draws_the_same() -> None:
    vocabulary = ["alpha", "beta", "##ing", "7", "gamma"]
    assert draws(vocabulary, 20, 1) == draws(vocabulary, 20, 1) != draws(vocabulary, 20, 2)
    assert {word for text in draws(vocabulary, 50, 1) for word in text.split()} <= {"alpha", "beta", "gamma"}


def test_services_are_held_out_by_name() -> None:
    assert held_out("s3") == held_out("s3")
    assert 5 < sum(held_out(f"service{n}") for n in range(100)) < 25


def test_python_explains_itself() -> None:
    assert len(help_topics()) > 500


def test_operations_are_read_from_botocore() -> None:
    pytest.importorskip("botocore")
    from agentflow.models.encoder.corpus import operations

    found = operations()
    assert len(found) > 5_000
    assert all(o.sentences for o in found)
