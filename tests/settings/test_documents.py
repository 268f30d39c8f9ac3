"""What the readers of YAML and JSON-with-comments promise."""

from __future__ import annotations

import json

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from agentflow.settings.documents import DocumentError, dump_yaml, parse

texts = st.text(alphabet=st.characters(exclude_categories=["Cs", "Cc"]) | st.sampled_from("\n\t "), max_size=20)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**12), 10**12) | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)
mappings = st.dictionaries(texts, values, max_size=5)


@given(mappings)
def test_json_text_reads_as_the_json_module_reads_it(value: dict[str, object]) -> None:
    text = json.dumps(value, indent=2)
    assert parse(text, as_json=True).plain() == json.loads(text)


@given(mappings)
def test_dumped_yaml_reads_back_here_and_in_any_yaml_reader(value: dict[str, object]) -> None:
    text = dump_yaml(value)
    assert parse(text, as_json=False).plain() == value
    assert yaml.safe_load(text) == value


@given(st.text(max_size=60))
def test_any_text_is_a_document_or_a_document_error_with_a_line(text: str) -> None:
    for as_json in (True, False):
        line = 1
        try:
            parse(text, as_json=as_json)
        except DocumentError as error:
            line = error.line
        assert 1 <= line <= len(text.splitlines()) + 2


@given(mappings)
def test_every_json_node_knows_its_own_text(value: dict[str, object]) -> None:
    text = json.dumps(value, indent=1, ensure_ascii=False)
    for _, node in parse(text, as_json=True).walk():
        assert json.loads(text[node.start : node.end]) == node.plain()


def test_comments_and_trailing_commas_are_read_past() -> None:
    text = '// one\n{ "a": [1, 2,], /* two\n */ "b": "// not a comment", }\n'
    assert parse(text, as_json=True).plain() == {"a": [1, 2], "b": "// not a comment"}


def test_yaml_words_stay_words() -> None:
    text = "a: off\nb: no\nc: 12:30\nd: 2026-01-01\ne: 0755\nf: true\n"
    plain = parse(text, as_json=False).plain()
    assert plain == {"a": "off", "b": "no", "c": "12:30", "d": "2026-01-01", "e": 755, "f": True}


def test_merge_keys_give_way_to_a_mappings_own_keys() -> None:
    root = parse("d: &d {x: 1, y: 2}\ne:\n  <<: *d\n  y: 3\nf:\n  <<: *d\n", as_json=False)
    assert root.plain()["e"] == {"x": 1, "y": 3}
    assert not [node for _, node in root.walk() if node.duplicates]


def test_a_doubled_key_is_kept_for_the_report() -> None:
    for as_json, text in ((False, "a: 1\nb: 2\na: 3\n"), (True, '{"a": 1,\n"b": 2,\n"a": 3}')):
        (double,) = parse(text, as_json=as_json).duplicates
        assert (double.key, double.line) == ("a", 3)


@pytest.mark.parametrize(
    ("text", "as_json", "line"),
    [
        ("a: &x [*x]", False, 1),
        ("a: &x\n  b: *x", False, 1),
        ("a: 1\nb: [", False, 2),
        ("a: !!python/object:os.system x", False, 1),
        ("a: \x00", False, 1),
        ("[" * 4000, False, 1),
        ("[" * 4000, True, 1),
        ('{"a": 1\n"b": 2}', True, 2),
        ('{"a": tru}', True, 1),
        ('{"a": 1} x', True, 1),
        ('{"a": "x\n"}', True, 1),
        ('{"a": 1', True, 1),
    ],
)
def test_what_cannot_be_read_is_refused_at_its_line(text: str, as_json: bool, line: int) -> None:
    with pytest.raises(DocumentError) as caught:
        parse(text, as_json=as_json)
    assert caught.value.line == line


def test_a_line_is_known_for_values_and_for_what_is_missing() -> None:
    root = parse("a:\n  b:\n    - 1\n    - c: 2\n", as_json=False)
    assert root.line_of(("a", "b", 1, "c")) == 4
    assert root.line_of(("a", "b", 1, "gone")) == 4
    assert root.line_of(("a", "x")) == 1
