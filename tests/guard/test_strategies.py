"""Each strategy does to a value what it says, the same every time, and what can be given back is."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentflow.config_guard import Strategy
from agentflow.guard import strategies, tokens
from agentflow.guard.pii import validators
from agentflow.guard.rehydration import rehydrate
from agentflow.guard.strategies import Strategies, apply
from agentflow.guard.strategies.checks import luhn, valid_iban
from agentflow.guard.strategies.found import runs
from agentflow.guard.vault import Vault

MAIL = ("EMAIL", "alice@example.com")
CARD = ("CARD", "4111 1111 1111 1111")
SAMPLES: list[tuple[str, str | int]] = [
    MAIL, CARD, ("CARD", 4111111111111111), ("PHONE", "+49 30 1234567"), ("IP", "10.1.2.3"),
    ("IBAN", "DE89 3704 0044 0532 0130 00"), ("SSN", "123-45-6789"), ("PERSON", "Alice Smith"),
    ("UK_NHS", "943 476 5919"), ("MAC", "aa:bb:cc:dd:ee:ff"), ("API_KEY", "sk-abcdefABCDEF0123456789"),
    ("LOCATION", "Berlin"), ("ORGANIZATION", "Acme Corp"), ("AGE", "42"),
]  # fmt: skip


@pytest.fixture(scope="module")
def vault(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vault]:
    opened = Vault(tmp_path_factory.mktemp("vault") / "vault.db", bytes(range(32)))
    yield opened
    opened.close()


def one(vault: Vault, strategy: Strategy, value: tuple[str, str | int], scope: str = "") -> str | int:
    return apply(vault, "t", [value], Strategies({"*": strategy}), "angle", scope)[value].shown


@pytest.mark.parametrize(
    ("value", "mask", "general"),
    [
        (MAIL, "a***@example.com", "*@example.com"), (CARD, "**** **** **** 1111", "<CARD>"),
        (("CARD", 4111111111111111), 1111, 4000000000000000), (("IP", "10.1.2.3"), "**.*.*.3", "10.1.2.0/24"),
        (("IP", "2001:db8:1:2::3"), "****:**8:1:2::3", "2001:db8:1::/48"), (("AGE", "42"), "****", "40-49"),
        (("SSN", "123-45-6789"), "***-**-6789", "<SSN>"), (("DATE_OF_BIRTH", "3 May 1980"), "****", "1980"),
        (("PERSON", "Alice Smith"), "A*** S***", "<PERSON>"), (("ZIP_CODE", "90210"), "****0", "902**"),
        (("API_KEY", "sk-abcdefABCDEF"), "****", "<API_KEY>"), (("LOCATION", "Munich"), "M***", "Germany"),
        (("PHONE", "+49 30 1234567"), "+** ** ***4567", "+49 …"),
    ],
)  # fmt: skip
def test_a_mask_and_a_generalisation_show_so_much_and_no_more(
    vault: Vault, value: tuple[str, str | int], mask: str | int, general: str | int
) -> None:
    assert one(vault, "mask", value) == mask
    assert one(vault, "generalise", value) == general


def test_drop_and_pass(vault: Vault) -> None:
    assert (one(vault, "drop", MAIL), one(vault, "drop", ("CARD", 4111111111111111))) == ("", 0)
    assert one(vault, "pass", MAIL) == MAIL[1]


def test_a_hash_is_the_tenants_own_and_no_token(vault: Vault) -> None:
    shown = one(vault, "hash", MAIL)
    assert shown == one(vault, "hash", MAIL)
    assert apply(vault, "u", [MAIL], Strategies({"*": "hash"}), "angle")[MAIL].shown != shown
    assert tokens.find(str(shown)) == []
    assert isinstance(one(vault, "hash", ("CARD", 4111111111111111)), int)


@pytest.mark.parametrize("strategy", ["synthetic", "format_preserving"])
@pytest.mark.parametrize("value", SAMPLES)
def test_a_stand_in_is_another_value_stays_the_same_and_comes_back(
    vault: Vault, strategy: Strategy, value: tuple[str, str | int]
) -> None:
    shown = one(vault, strategy, value)
    assert shown == one(vault, strategy, value)
    assert type(shown) is type(value[1])
    assert str(shown) != str(value[1])
    body = {"arguments": {"whole": shown, "within": f"send it to {shown}, please"}}
    back = rehydrate(vault, "t", body, ("*",), stand_ins=True)
    assert back.body["arguments"] == {"whole": value[1], "within": f"send it to {value[1]}, please"}
    assert rehydrate(vault, "u", body, ("*",), stand_ins=True).body == body
    held = rehydrate(vault, "t", body, ("TITLE",), stand_ins=True)
    assert held.body == body and held.kept == {value[0]: 2}


@pytest.mark.parametrize("strategy", ["synthetic", "format_preserving"])
@pytest.mark.parametrize("kind", ["PERSON", "LOCATION", "ORGANIZATION"])
def test_another_scope_has_other_stand_ins(vault: Vault, strategy: Strategy, kind: str) -> None:
    # Of many: two scopes may well give one value the same name, as a list of names is finite.
    values = [(kind, f"Name{chr(65 + n)} Other") for n in range(20)]
    assert [one(vault, strategy, each, "session 1") for each in values] != [
        one(vault, strategy, each) for each in values
    ]


@pytest.mark.parametrize("strategy", ["synthetic", "format_preserving"])
def test_a_stand_in_that_comes_along_again_is_left_alone(vault: Vault, strategy: Strategy) -> None:
    shown = one(vault, strategy, CARD)
    assert one(vault, strategy, ("CARD", shown)) == shown


def test_what_is_made_up_is_nobodys(vault: Vault) -> None:
    shown = {value: str(one(vault, "synthetic", value)) for value in SAMPLES}
    assert shown[MAIL].rpartition("@")[2] in ("example.org", "example.net", "example.com")
    assert "555-01" in shown["PHONE", "+49 30 1234567"]
    address = ipaddress.ip_address(shown["IP", "10.1.2.3"])
    assert address.is_private or address.is_reserved
    assert shown[CARD].startswith("9999")
    assert validators.card("4111111111111111") and luhn(shown[CARD].replace(" ", "")) == 0


def test_many_values_get_as_many_stand_ins(vault: Vault) -> None:
    values: list[tuple[str, str | int]] = [("PERSON", f"Person Number{n}") for n in range(3000)]
    shown = apply(vault, "many", values, Strategies({"PERSON": "synthetic"}), "angle")
    assert len({shown[value].shown for value in values}) == 3000


def test_a_type_is_named_as_presidio_names_it_and_the_rest_follows_the_star(vault: Vault) -> None:
    chosen = Strategies({"EMAIL_ADDRESS": "mask", "*": "drop"})
    assert (chosen.of("EMAIL"), chosen.of("SSN")) == ("mask", "drop")
    with pytest.raises(ValueError, match="no name"):
        Strategies({"e-mail!": "mask"})


@given(st.text("0123456789", min_size=12, max_size=18).filter(lambda text: text[0] != "0"))
def test_check_digits_stay_right_and_shapes_the_same(body: str) -> None:
    from agentflow.guard.strategies.checks import with_iban_check, with_luhn
    from agentflow.guard.strategies.scrambled import scramble

    card, iban = with_luhn(body), with_iban_check("DE", body.ljust(18, "0"))
    shown = str(scramble(bytes(32), "CARD", card, 0))
    assert len(shown) == len(card) and luhn(shown) == 0
    shown = str(scramble(bytes(32), "IBAN", iban, 0))
    assert shown[:2] == "DE" and len(shown) == len(iban) and valid_iban(shown)


@given(st.text(min_size=6, max_size=60))
def test_anything_keeps_its_shape(text: str) -> None:
    from agentflow.guard.strategies.scrambled import scramble

    shown = scramble(bytes(32), "CUSTOM", text, 0)
    if shown is not None:
        for old, new in zip(text, str(shown), strict=True):
            assert (old.isdigit() and old.isascii()) == (new.isdigit() and new.isascii())
            assert old == new or (old.isascii() and old.isupper() == new.isupper())


@pytest.mark.parametrize("unit", ["1 ", "a@", "A ", "AB12 ", "x.", "Ann & "])
def test_looking_for_stand_ins_takes_time_in_proportion(unit: str) -> None:
    assert len(runs(unit * (100_000 // len(unit)))) <= 500


def test_the_table_of_strategies_is_complete() -> None:
    assert strategies.__doc__ is not None
    for name in ("token", "mask", "hash", "generalise", "format_preserving", "synthetic", "drop", "pass"):
        assert f"| {name} |" in strategies.__doc__


def test_paths_of_a_vault_are_not_in_the_way(tmp_path: Path) -> None:
    fresh = Vault(tmp_path / "vault.db", bytes(32))
    assert apply(fresh, "t", [], Strategies(), "angle") == {}
    fresh.close()
