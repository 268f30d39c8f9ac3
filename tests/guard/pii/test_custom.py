"""Recognisers of an operator: Presidio's YAML as it is, words always or never taken, for everybody or one tenant."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentflow.config_guard import GuardConfig, RecognisersConfig
from agentflow.errors import ConfigError
from agentflow.guard.pii.custom import CustomMatcher, Recogniser, denied, load
from agentflow.guard.pii.matcher import PiiMatcher, PiiMatchers
from agentflow.guard.redaction import Tokeniser
from agentflow.guard.sensitive import SensitiveMatcher
from agentflow.guard.vault import Vault

EXAMPLE = """
recognizers:
  - name: "Zip code Recognizer"
    supported_language: "de"
    patterns:
      - name: "zip code (weak)"
        regex: "(\\\\b\\\\d{5}(?:\\\\-\\\\d{4})?\\\\b)"
        score: 0.01
    context: [zip, code]
    supported_entity: "ZIP"
  - name: "Titles recognizer"
    supported_language: "en"
    supported_entity: "TITLE"
    deny_list: [Mr., Mrs., Dr.]
  - CreditCardRecognizer
  - name: UsBankRecognizer
    type: predefined
  - name: Employee
    supported_entity: EMPLOYEE_ID
    supported_languages:
      - language: en
        context: [badge]
    patterns:
      - {name: strong, regex: '(?<![\\w-])EMP\\d{6}(?!\\d)', score: 0.9}
      - {name: weak, regex: '\\bE\\d{4}\\b', score: 0.2}
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "recognisers.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def found(matcher: PiiMatcher, text: str) -> list[tuple[str, str]]:
    return [(match.type, text[match.start : match.end]) for match in matcher.find(text)]


@pytest.fixture
def matcher(tmp_path: Path) -> PiiMatcher:
    return PiiMatcher(custom=CustomMatcher(load(written(tmp_path, EXAMPLE))))


def test_presidios_example_file_means_what_it_means_there(matcher: PiiMatcher) -> None:
    assert found(matcher, "Dr. Who and mrs. X, not Drs.") == [("TITLE", "Dr."), ("TITLE", "mrs.")]
    assert found(matcher, "zip code 10115") == [("ZIP_CODE", "10115")]
    assert found(matcher, "it took 10115 ms") == []


def test_look_around_at_the_edges_is_obeyed(matcher: PiiMatcher) -> None:
    assert found(matcher, "EMP123456, emp654321.") == [("EMPLOYEE_ID", "EMP123456"), ("EMPLOYEE_ID", "emp654321")]
    assert found(matcher, "X-EMP123456 EMP1234567 éEMP123456") == []


def test_a_weak_pattern_needs_its_context(matcher: PiiMatcher) -> None:
    assert found(matcher, "Badge E1234") == [("EMPLOYEE_ID", "E1234")]
    assert found(matcher, "Model E1234") == []


def test_the_sieve_never_says_no_where_a_custom_value_is(matcher: PiiMatcher) -> None:
    for text in ("EMP123456", "a\nDr. Who", 'he said "Dr." twice', "\\Dr."):
        assert matcher.suspect(orjson.dumps({"a": [text]}))


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        (r"(a)\1", "invalid escape"),
        (r"a(?=b)c", "invalid perl operator"),
        (r"(?<!\d)a|b(?!\d)", "invalid perl operator"),
        ("(", "missing"),
    ],
)
def test_a_pattern_that_cannot_run_in_linear_time_is_refused_at_start(
    tmp_path: Path, pattern: str, reason: str
) -> None:
    text = f"recognizers: [{{name: Bad, supported_entity: BAD, patterns: [{{regex: '{pattern}', score: 1}}]}}]"
    with pytest.raises(ConfigError, match=rf"recognisers\.yaml, recogniser Bad.*{reason}"):
        CustomMatcher(load(written(tmp_path, text)))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a: [", "no YAML"),
        ("entities: []", "no list `recognizers`"),
        ("recognizers: [{name: X, patterns: []}]", "supported_entity"),
        ("recognizers: [{supported_entity: X1, name: X}]", "patterns` or `deny_list"),
        ("recognizers: [{supported_entity: X1, patterns: [{name: a}]}]", "needs a `regex`"),
        ("recognizers: [{supported_entity: X1, deny_list: [a], deny_list_score: 7}]", "between 0 and 1"),
        ("recognizers: [{supported_entity: 'no name!', deny_list: [a]}]", "no name of an entity"),
        ("recognizers: [7]", "no mapping"),
    ],
)
def test_a_file_in_another_format_is_refused_with_its_reason(tmp_path: Path, text: str, reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        load(written(tmp_path, text))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.yaml"):
        load(tmp_path / "nowhere.yaml")


def guard(folder: Path) -> GuardConfig:
    return GuardConfig(
        recognisers=RecognisersConfig(deny={"PROJECT": ("Blue Harvest",)}, allow=("help@example.com",)),
        tenants={
            "acme": RecognisersConfig(
                files=(written(folder, EXAMPLE),), deny={"PROJECT": ("Ćevapi",)}, allow=("a@b.de",)
            )
        },
        pii_types=("EMAIL_ADDRESS", "PROJECT"),
    )


def test_each_tenant_has_what_is_common_and_what_is_its_own(tmp_path: Path) -> None:
    matchers = PiiMatchers(guard(tmp_path))
    text = "blue harvest, Ćevapi, EMP123456, a@b.de, help@example.com, c@d.de, 123-45-6789"
    assert found(matchers.common, text) == [("PROJECT", "blue harvest"), ("EMAIL", "a@b.de"), ("EMAIL", "c@d.de")]
    assert found(matchers.for_tenant("acme"), text) == [
        ("PROJECT", "blue harvest"), ("PROJECT", "Ćevapi"), ("EMPLOYEE_ID", "EMP123456"), ("EMAIL", "c@d.de"),
    ]  # fmt: skip
    assert matchers.for_tenant("other") is matchers.common


def test_redaction_uses_the_matcher_of_the_tenant(tmp_path: Path) -> None:
    matchers = PiiMatchers(guard(tmp_path))
    vault = Vault(tmp_path / "vault.db", bytes(range(32)))
    try:
        tokeniser = Tokeniser(SensitiveMatcher(matchers.common, tenants=matchers.own), vault, "angle")
        body = {"content": [{"type": "text", "text": "badge EMP123456 of c@d.de"}]}
        assert tokeniser.redact("acme", body).counts == {"EMPLOYEE_ID": 1, "EMAIL": 1}
        assert tokeniser.redact("other", body).counts == {"EMAIL": 1}
        assert tokeniser.redact("acme", body, ("EMAIL_ADDRESS",)).counts == {"EMAIL": 1}
    finally:
        vault.close()


def test_an_unknown_type_is_refused_unless_somebody_defines_it(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="SHOE_SIZE"):
        PiiMatchers(GuardConfig(pii_types=("SHOE_SIZE",)))
    PiiMatchers(GuardConfig(pii_types=("SHOE_SIZE",), recognisers=RecognisersConfig(deny={"SHOE_SIZE": ("44 EU",)})))


words = st.text(
    st.characters(codec="utf-8", exclude_categories=("Cs", "Cc", "Zs", "Zl", "Zp")), min_size=1, max_size=12
)


@given(words, st.sampled_from([" ", ", ", "\n"]))
def test_a_denied_word_is_found_whole_whatever_it_is(word: str, edge: str) -> None:
    custom = CustomMatcher(denied({"SECRET_WORD": (word,)}, "test"))
    text = f"x{edge}{word}{edge}y"
    spans = [text.encode()[start:end].decode() for start, end, _, _ in custom.spans(text.encode())]
    assert word in spans


def test_a_pattern_without_matches_of_length_finds_nothing() -> None:
    assert list(CustomMatcher([Recogniser("X1", ((r"\d*", 1.0),))]).spans(b"abc")) == []
