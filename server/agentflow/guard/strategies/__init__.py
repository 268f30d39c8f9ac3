"""What takes the place of a value, by its type: a token, or what an administrator prefers to one.

| strategy | `alice@example.com`, `4111 1111 1111 1111` | given back |
|---|---|---|
| token | `<EMAIL_1f3a9c2e>` | yes |
| synthetic | `mara.holt417@example.org`: plausible, and nobody's | yes |
| format_preserving | `qjzdk@vbnrwpe.com`, `8302 7719 4460 2175` (FF1, check digits right) | yes |
| mask | `a***@example.com`, `**** **** **** 1111` | no |
| hash | `EMAIL#9f2c41d07a33be51` (HMAC-SHA256 of the tenant) | no |
| generalise | `*@example.com`, the /24 of an address, the year of a date | no |
| drop | nothing | no |
| pass | the value itself | - |

It promises: equal values get equal replacements within a tenant and scope, a number stays a number, and where a
strategy cannot do its work on a value (too short to encrypt, no stand-in left) a token stands there instead.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from hashlib import sha256
from hmac import digest
from typing import Final, NamedTuple

from agentflow.config_guard import Strategy
from agentflow.guard import tokens
from agentflow.guard.entities import canonical
from agentflow.guard.strategies.generalised import generalise
from agentflow.guard.strategies.masked import mask
from agentflow.guard.strategies.scrambled import scramble
from agentflow.guard.strategies.synthetic import invent
from agentflow.guard.vault import Vault

Value = tuple[str, str | int]

STAND_INS: Final = frozenset({"synthetic", "format_preserving"})
_HASHED_FIRST: Final = 7_000_000_000_000_000
_HASHED_RANGE: Final = 1_000_000_000_000_000


class Replacement(NamedTuple):
    """What stands in a value's place. `name` is the token's name, where it is a token in text."""

    shown: str | int
    name: str = ""


class Strategies:
    """The strategy of each type.

    Args:
        chosen: by type, in our names or Presidio's; `*` for the others.

    Raises:
        ValueError: what should be a type is not spelled like one.
    """

    def __init__(self, chosen: Mapping[str, Strategy] | None = None) -> None:
        chosen = chosen or {}
        self._default: Strategy = chosen.get("*", "token")
        self._by_type = {canonical(kind): strategy for kind, strategy in chosen.items() if kind != "*"}
        used = {self._default, *self._by_type.values()}
        self.only_tokens = used == {"token"}
        self.stand_ins = bool(used & STAND_INS)
        self.passes = "pass" in used

    def masking(self, types: Collection[str]) -> Strategies:
        """The same with these types masked, `*` for all."""
        if "*" in types:
            return Strategies({"*": "mask"})
        return Strategies({"*": self._default, **self._by_type, **dict.fromkeys(types, "mask")})

    def of(self, kind: str) -> Strategy:
        """The strategy of a type."""
        return self._by_type.get(kind, self._default)


def apply(
    vault: Vault,
    tenant: str,
    values: Sequence[Value],
    strategies: Strategies,
    style: tokens.TokenFormat,
    scope: str = "",
) -> dict[Value, Replacement]:
    """Return what takes the place of each `(type, value)`; an `int` is replaced by an `int`.

    Values whose strategy is `pass` stand for themselves.

    Raises:
        VaultUnavailable: what can be given back could not be kept.
    """
    if strategies.only_tokens:
        return _tokens(vault, tenant, values, style, scope)
    done: dict[Value, Replacement] = {}
    plain: list[Value] = []
    for strategy, group in _grouped(values, strategies).items():
        if strategy == "token":
            plain += group
        elif strategy in STAND_INS:
            make = invent if strategy == "synthetic" else _preserve
            for value, shown in zip(group, vault.stand_ins(tenant, group, make, scope), strict=True):
                if shown is None:
                    plain.append(value)
                else:
                    done[value] = Replacement(shown)
        elif strategy == "hash":
            key = vault.derived_key(tenant, b"hash\0" + scope.encode("utf-8", "surrogatepass"))
            done.update((value, Replacement(_hashed(key, *value))) for value in group)
        else:
            done.update((value, Replacement(_changed(strategy, *value))) for value in group)
    if plain:
        done.update(_tokens(vault, tenant, plain, style, scope))
    return done


def _tokens(
    vault: Vault, tenant: str, values: Sequence[Value], style: tokens.TokenFormat, scope: str
) -> dict[Value, Replacement]:
    names = vault.tokens(tenant, values, scope)
    return {
        value: Replacement(int(name)) if name[0].isdigit() else Replacement(tokens.render(name, style), name)
        for value, name in zip(values, names, strict=True)
    }


def _grouped(values: Sequence[Value], strategies: Strategies) -> dict[Strategy, list[Value]]:
    groups: dict[Strategy, list[Value]] = {}
    for value in dict.fromkeys(values):
        groups.setdefault(strategies.of(value[0]), []).append(value)
    return groups


def _changed(strategy: Strategy, kind: str, value: str | int) -> str | int:
    if strategy == "pass":
        return value
    if strategy == "drop":
        return 0 if isinstance(value, int) else ""
    return mask(kind, value) if strategy == "mask" else generalise(kind, value)


def _preserve(key: bytes, kind: str, value: str | int, turn: int) -> str | int | None:
    # Digits of an address are no digits: what else they could be is no address, or somebody's.
    return (invent if kind == "IP" else scramble)(key, kind, value, turn)


def _hashed(key: bytes, kind: str, value: str | int) -> str | int:
    mac = digest(key, f"{kind}\0{value}".encode("utf-8", "surrogatepass"), sha256)
    if isinstance(value, int):
        return _HASHED_FIRST + int.from_bytes(mac[:8]) % _HASHED_RANGE
    return f"{kind}#{mac.hex()[:16]}"
