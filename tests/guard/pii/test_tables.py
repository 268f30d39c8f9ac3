"""Every rule of the tables finds what it describes, by word and by form, and only where it stands alone."""

from __future__ import annotations

import random
import sys
from typing import Any

import pytest

from agentflow.guard.entities import ENTITIES
from agentflow.guard.pii import checksums
from agentflow.guard.pii.contextual import Unmistakable, holds
from agentflow.guard.pii.matcher import PiiMatcher
from agentflow.guard.pii.patterns import compile_, trigger_set
from agentflow.guard.pii.rule import Rule
from agentflow.guard.pii.tables import RULES
from tests.guard.pii.from_pattern import sample

EVERYTHING = PiiMatcher(ENTITIES)
NAMED = [pytest.param(rule, id=f"{rule.type}-{number}") for number, rule in enumerate(RULES) if rule.words]
SURE = [pytest.param(rule, id=f"{rule.type}-{number}") for number, rule in enumerate(RULES) if rule.sure]


def values(rule: Rule, pattern: str, count: int) -> list[str]:
    """Values of a rule's form whose check holds."""
    rng = random.Random(rule.type)
    found = []
    for _ in range(20_000):
        text = sample(pattern, rng)
        if any(char.isdigit() for char in text) and holds(rule, text.encode()):
            found.append(text)
            if len(found) == count:
                break
    return found


def covered(text: str, value: str) -> bool:
    start = text.index(value)
    return any(match.start <= start and match.end >= start + len(value) for match in EVERYTHING.find(text))


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.type)
def test_patterns_need_no_look_around(rule: Rule) -> None:
    for pattern in filter(None, (rule.shape, rule.sure)):
        assert compile_(pattern.encode()).groups == 0


@pytest.mark.parametrize("rule", NAMED)
def test_a_value_is_found_next_to_its_word(rule: Rule) -> None:
    made = values(rule, rule.shape, 3)
    if not made:
        pytest.skip("values of this check are too rare to draw; tests/guard/pii/test_checksums.py has one")
    word = max(rule.words, key=len)
    for value in made:
        assert covered(f"The {word} is {value}.", value), (word, value)
        assert covered(f'{{"id": 7, "{word.replace(" ", "_")}": "{value}", "n": 1}}', value), (word, value)


@pytest.mark.parametrize("rule", SURE)
def test_an_unmistakable_form_needs_no_word_and_wakes_its_trigger(rule: Rule) -> None:
    look = Unmistakable(rule)
    trigger = trigger_set([look.trigger])
    for value in values(rule, rule.sure, 2):
        assert trigger.Match(f"x {value} y".encode()) is not None
        assert [(start, end) for start, end, _, _ in look.spans(f"x {value} y".encode())] == [(2, 2 + len(value))]
        assert list(look.spans(f"x{value} y".encode())) == []


SAMPLES = [
    ("UK_NHS", "NHS number: 943 476 5919", "943 476 5919"),
    ("UK_NHS", '{"nhsNumber":"9434765919"}', "9434765919"),
    ("UK_NINO", "AB 12 34 56 C", "AB 12 34 56 C"),
    ("BR_CPF", "111.444.777-35", "111.444.777-35"),
    ("IT_FISCAL_CODE", "RSSMRA85T10A562S", "RSSMRA85T10A562S"),
    ("ES_NIF", "DNI 12345678Z", "12345678Z"),
    ("ES_NIE", "X1234567L", "X1234567L"),
    ("FI_PERSONAL_IDENTITY_CODE", "131052-308T", "131052-308T"),
    ("SE_PERSONNUMMER", "personnummer 811218-9876", "811218-9876"),
    ("PL_PESEL", "PESEL 44051401359", "44051401359"),
    ("NL_BSN", "BSN: 111222333", "111222333"),
    ("CH_AHV", "756.9217.0769.85", "756.9217.0769.85"),
    ("CN_RIC", "11010519491231002X", "11010519491231002X"),
    ("CA_SIN", "SIN 130 692 544", "130 692 544"),
    ("AU_TFN", "TFN: 123 456 782", "123 456 782"),
    ("AU_ABN", "ABN 51 824 753 556", "51 824 753 556"),
    ("US_NPI", "NPI 1234567893", "1234567893"),
    ("CRYPTO", "1BoatSLRHtKNngkdXEeobR76b53LETtpyT", "1BoatSLRHtKNngkdXEeobR76b53LETtpyT"),
    ("CRYPTO", "bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq", "bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq"),
    ("VIN", "1M8GDM9AXKP042788", "1M8GDM9AXKP042788"),
    ("US_PASSPORT", "His passport number is A12345678.", "A12345678"),
    ("DATE_OF_BIRTH", "She was born on 12 March 1985 in Ghent", "12 March 1985"),
    ("DATE_OF_BIRTH", '{"dob": "1985-03-12"}', "1985-03-12"),
    ("DATE_OF_BIRTH", "生年月日: 1985年3月12日", "1985年3月12日"),
    ("ADDRESS", "at 10 Downing Street, London SW1A 2AA today", "10 Downing Street, London SW1A 2AA"),
    ("ADDRESS", "Musterstraße 12, 12345 Berlin", "Musterstraße 12, 12345 Berlin"),
    ("ADDRESS", "12 rue de la Paix, 75002 Paris", "12 rue de la Paix, 75002 Paris"),
    ("ADDRESS", "P.O. Box 1234, Springfield, IL 62704", "P.O. Box 1234, Springfield, IL 62704"),
    ("MEDICAL_RECORD", "MRN: 00123456", "00123456"),
    ("US_BANK_NUMBER", "account number 000123456789", "000123456789"),
    ("LICENSE_PLATE", "Plate no: 7ABC 123", "7ABC 123"),
    ("ZIP_CODE", "zip: 94105-1234", "94105-1234"),
    ("SSN", "id,ssn\n1,536229876", "536229876"),
    ("US_PASSPORT", "| name | passport |\n|---|---|\n| x | A12345678 |", "A12345678"),
    ("CARD", "card 584528792610", "584528792610"),
    ("PHONE", "+41 (0)85 806 98 67", "+41 (0)85 806 98 67"),
    ("PHONE", "(415)555-2671x123", "(415)555-2671x123"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "text", "value"), SAMPLES)
def test_a_known_example_is_found_with_its_type(kind: str, text: str, value: str) -> None:
    assert [(match.type, text[match.start : match.end]) for match in PiiMatcher().find(text)] == [(kind, value)]


@pytest.mark.parametrize(
    "text",
    [
        '{"passport": "jwt", "passport_scan_id": 123456789, "plate_id": 1234567}',
        '{"phone_verified": true, "order": "3069-3291-0761"}',
        '{"passport_no": null, "order_id": 123456789}',
        "In 2008 Wall Street fell. See line 12 of the passport module.",
        "NHS number 143 476 5919",
        "Passport strategies. Order 123456789 was sent.",
        "<US_PASSPORT_1f3a9c2e5d6b7a8c> 123456789",
        "sent from my phone\n1752224284",
        "[*0209.0020.0002.0020] 5099 5091 5080 5096 5098 509A",
        "member_count: 123456, account_id: 1234567890, license: MIT",
    ],
)
def test_what_a_word_does_not_mean_is_left_alone(text: str) -> None:
    assert PiiMatcher().find(text) == []


@pytest.mark.parametrize("value", ["943 476 5919", "046 454 286", "44051401359", "A12345678", "1985-03-12"])
def test_a_form_that_is_not_unmistakable_needs_a_word(value: str) -> None:
    assert [match.type for match in PiiMatcher().find(f"x {value} y")] in ([], ["PHONE"])


def work(text: str) -> int:
    """Steps the interpreter takes to look at a text."""
    steps = 0

    def count(frame: Any, event: str, arg: Any) -> Any:
        nonlocal steps
        steps += 1
        return count

    sys.settrace(count)
    try:
        EVERYTHING.find(text)
    finally:
        sys.settrace(None)
    return steps


WORDS = sorted({max(rule.words, key=len) + ": 1A " for rule in RULES if rule.words})
HOSTILE = [
    "5 Main St ",
    "1 A A Street ",
    "12 rue de ",
    "Astraße 1",
    "Calle A A ",
    "ssn,b\n1,2\n",
    "phone: [",
    '|"',
    '\\"',
]


@pytest.mark.parametrize("unit", [*WORDS, *HOSTILE])
def test_the_work_of_every_rule_grows_linearly(unit: str) -> None:
    EVERYTHING.find(unit * 320)  # what is compiled at first use is not the text's work
    assert work(unit * 320) <= 5 * work(unit * 80) + 400


@pytest.mark.parametrize(
    "unit", ["1 1 1 1 ", "a@a@a@", ":::::", "((((", "0123456789", "passport ", "nhs 1", "A St ", '"']
)
def test_a_hundred_kilobytes_of_hostile_text_come_to_an_end(unit: str) -> None:
    EVERYTHING.find((unit * (100_000 // len(unit) + 1))[:100_000])


def test_checks_take_any_text_of_their_shape() -> None:
    for rule in RULES:
        rng = random.Random(1)
        for _ in range(50):
            holds(rule, sample(rule.shape, rng).encode())
    assert checksums.verhoeff("2363")
    assert not checksums.verhoeff("2364")
