"""The entity model and its reader: what is found, what is left alone, and that nothing depends on anything else."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentflow.guard.ner.model import SHIPPED, load
from agentflow.guard.ner.reader import Reader

READER = Reader(load())


def found(text: str, label: str = "") -> set[tuple[str, str]]:
    (entities,) = READER.read([(text, label)])
    return {(entity.type, text[entity.start : entity.end]) for entity in entities}


def test_the_shipped_model_is_small() -> None:
    assert SHIPPED.stat().st_size < 4_000_000


@pytest.mark.parametrize(
    ("text", "entity"),
    [
        ("I talked to Margaret Hamilton about the invoice.", ("PERSON", "Margaret Hamilton")),
        ("Best regards,\nKatarzyna Wójcik", ("PERSON", "Katarzyna Wójcik")),
        ("She moved to Rotterdam last year.", ("LOCATION", "Rotterdam")),
        ("He is employed by Meridian Analytics GmbH since May.", ("ORGANIZATION", "Meridian Analytics GmbH")),
        ('{"customer_name": "Ada Lovelace", "total": 12}', ("PERSON", "Ada Lovelace")),
        ("Ship it to 221 Baker Street, London, please.", ("ADDRESS", "221 Baker Street, London")),
        ("Our Norwegian colleagues are on holiday.", ("NRP", "Norwegian")),
        ("Patient born on 4 March 1961.", ("DATE_OF_BIRTH", "4 March 1961")),
        ("She is 36 years old.", ("AGE", "36")),
        ("Dr. Okonkwo will see you", ("TITLE", "Dr.")),
    ],
)
def test_people_places_and_the_like_are_found(text: str, entity: tuple[str, str]) -> None:
    assert entity in found(text)


@pytest.mark.parametrize(
    "text",
    [
        "The build failed because the module was missing.",
        "def read_file(path: str) -> bytes:\n    return open(path, 'rb').read()",
        '{"tool": "list_directory", "status": "ok", "count": 3}',
        "2 files changed, 14 insertions(+), 3 deletions(-)",
        "Getting Started\n\nInstallation\n\nRelease Notes",
        "GET /api/v1/items?limit=10 200 1532",
        "commit 3f2a9c1e8b7d6a5f4e3d2c1b0a9f8e7d6c5b4a39",
    ],
)
def test_ordinary_output_is_left_alone(text: str) -> None:
    assert found(text) == set()


@pytest.mark.parametrize(
    ("label", "text", "entities"),
    [
        ("first_name", "Zbigniew", {("PERSON", "Zbigniew")}),
        ("contactName", "Xq Vbn", {("PERSON", "Xq Vbn")}),
        ("name", "Grace Hopper", {("PERSON", "Grace Hopper")}),
        ("name", "read_file", set()),
        ("name", "Weekly Report", set()),
        ("name", "Standing Desk", set()),
        ("author", "admin", set()),
        ("city", "Wuppertal", {("LOCATION", "Wuppertal")}),
        ("company", "Umbrella", {("ORGANIZATION", "Umbrella")}),
        ("shipping_address", "5 Rue des Lilas, 75020 Paris", {("ADDRESS", "5 Rue des Lilas, 75020 Paris")}),
        ("ip_address", "10.0.0.7", set()),
        ("dob", "1980-02-29", {("DATE_OF_BIRTH", "1980-02-29")}),
        ("zip", "90210", {("ZIP_CODE", "90210")}),
        ("file_name", "Alice", set()),
    ],
)
def test_the_key_of_a_member_is_evidence(label: str, text: str, entities: set[tuple[str, str]]) -> None:
    strong = {entity for entity in found(text, label) if entity[0] != "DATE_TIME"}
    assert strong == entities


@given(st.lists(st.tuples(st.text(max_size=60), st.sampled_from(["", "name", "city"])), max_size=6))
def test_a_text_reads_the_same_alone_and_among_others(texts: list[tuple[str, str]]) -> None:
    assert READER.read(texts) == [READER.read([one])[0] for one in texts]


@given(st.text(max_size=300))
def test_entities_are_in_order_inside_the_text_and_apart(text: str) -> None:
    (entities,) = READER.read([(text, "")])
    ends = 0
    for entity in entities:
        assert ends <= entity.start < entity.end <= len(text)
        assert 0 < entity.score <= 1
        ends = entity.end


def test_a_long_text_is_read_to_its_end() -> None:
    text = "The build went well. " * 5000 + "It was started by Margaret Hamilton."
    assert ("PERSON", "Margaret Hamilton") in found(text)


@pytest.mark.parametrize(
    "text", ["A" * 100_000, "a b " * 25_000, "(" * 100_000, "1-" * 50_000, "x@" * 50_000, "May " * 25_000]
)
def test_hostile_texts_are_read(text: str) -> None:
    READER.read([(text, "")])


def test_a_file_that_is_no_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.bin").write_bytes(b"something else")
    with pytest.raises(ValueError, match="not a model"):
        load(tmp_path / "model.bin")


def test_a_model_is_the_same_after_saving(tmp_path: Path) -> None:
    model = load()
    model.save(tmp_path / "copy.bin")
    text = "Margaret Hamilton lives in Rotterdam."
    assert load(tmp_path / "copy.bin").read([text]) == model.read([text])
