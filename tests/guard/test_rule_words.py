"""A text is only held against the patterns that its words allow, and none is missed for that."""

from __future__ import annotations

import zlib
from functools import cache
from importlib.resources import files
from random import Random

import pytest
import re2

from agentflow.guard import rule_words
from agentflow.guard.normalise import View, views
from agentflow.guard.rule_file import LINES, SURFACES, Rule, Surface, parsed, rules, sources
from agentflow.guard.rule_matcher import Matcher
from agentflow.guard.training.rule_index import index, needs


@cache
def _needs() -> tuple[rule_words.Index, rule_words.Needs]:
    shipped = rule_words.shipped()
    return shipped, rule_words.Needs(shipped.clauses, [need for rule in shipped.rules for need in rule.needs])


def test_the_shipped_index_is_that_of_the_rule_files() -> None:
    """After a change: python -m agentflow.guard.training.rule_index."""
    assert zlib.decompress(files("agentflow.guard").joinpath(rule_words.INDEX).read_bytes()) == index()


@pytest.mark.parametrize("surface", SURFACES)
def test_no_match_is_missed_for_the_words(surface: Surface) -> None:
    """Every example, between others and cut anywhere, matches what RE2 finds in it without looking at words."""
    rng, matcher = Random(7), Matcher(surface)
    ruleset = rules(surface)
    compiled = [(rule.id, _compiled(pattern)) for rule in ruleset for pattern in rule.patterns]
    said = [text for rule in ruleset for text in (*rule.positive, *rule.negative)]
    for _ in range(150):
        text = rng.choice((" ", "\n", "_", "0", '"')).join(rng.choices(said, k=3))
        text = text[rng.randrange(20) :].lower()
        view = next((view for view in views(text) if view.how == ("fold",)), View(text))
        folded = view.text.lower()
        wanted = {name for name, pattern in compiled if pattern.search(folded.encode())}
        possible = {rule.id for rule, _ in matcher._possible(folded, folded.encode())}
        assert wanted <= possible, text


def _compiled(pattern: str) -> re2._Regexp:
    options = re2.Options()
    if pattern.isascii():
        options.encoding = re2.Options.Encoding.LATIN1
    return re2.compile(pattern.encode(), options)


def test_ordinary_text_needs_few_patterns() -> None:
    text = "The meeting moved to Thursday, 14:00, in room 4. Anna sends the slides before; nobody needs to print them."
    shipped, told = _needs()
    assert len(told.met(text.lower(), text.lower().encode())) * 50 < sum(len(rule.patterns) for rule in shipped.rules)


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        (r"\bignore (?:all )?previous", "ignore previous"),
        (r"\bsend[a-z]* it", "sending it"),
        (r"(?:foo|bar)baz qux", "foobaz qux"),
        (r"<\|im_start\|>", "<|im_start|>"),
        (r"忽略(?:所有)?指令", "忽略指令"),
        (r"\b(?:ai|llm)s?: go", "ais: go"),
        (r"(?:a|b)(?:word)+ end", "bwordword end"),
        (r"(?:the )?(?:very )?last word", "last word"),
    ],
)
def test_what_a_pattern_needs_is_in_what_it_matches(pattern: str, text: str) -> None:
    wanted = needs(pattern)
    clauses = [tuple(keys) for keys in wanted]
    told = rule_words.Needs(clauses, [range(len(clauses))])
    assert told.met(text, text.encode()) == [0]
    assert told.met("something else", b"something else") == []


def test_a_pattern_that_needs_no_word_is_refused() -> None:
    with pytest.raises(ValueError, match="give it a literal word"):
        needs(r"[a-z]+ [0-9]*")


def test_two_rules_of_one_name_and_files_of_another_version_are_refused() -> None:
    with pytest.raises(ValueError, match="version 1"):
        parsed(["version: 2\nrules: []"])
    with pytest.raises(ValueError, match="occurs twice"):
        parsed(["version: 1\nrules: [{id: a}, {id: a}]"])
    assert isinstance(rules("result")[0], Rule)
    assert LINES in rules("result")[0].patterns[0]
    assert len(sources()) == 6
