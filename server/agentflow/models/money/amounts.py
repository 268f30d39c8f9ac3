"""Amounts of money between whole nano-dollars, as everything here counts them, and dollars, as people write them.

Nothing is ever a float: what is written with more than nine decimals is refused, and sums are exact.
"""

from __future__ import annotations

import re
from decimal import ROUND_HALF_UP, Decimal
from typing import Final

from agentflow.models.port import NANO

MOST: Final = 1_000_000_000 * NANO  # a thousand million dollars: sums of it still fit the database's 64 bits
_WRITTEN: Final = re.compile(r"\$?\s?(\d{1,3}(?:,\d{3})+|\d{1,10})?(?:\.(\d{1,9}))?\s?(?:USD)?", re.ASCII)


def nano_of(text: str) -> int:
    """Read an amount: `50`, `$12.50`, `1,000.00`, `0.005 USD`; whole nano-dollars.

    Raises:
        ValueError: it is none, or beyond a thousand million dollars.
    """
    found = _WRITTEN.fullmatch(text.strip())
    if found is None or (found[1] is None and found[2] is None):
        raise ValueError(f"{text!r} is no amount in US dollars, such as 50 or 12.50")
    nano = int((found[1] or "0").replace(",", "")) * NANO + int((found[2] or "0").ljust(9, "0"))
    if nano > MOST:
        raise ValueError(f"{text!r} is more than can be counted here")
    return nano


def dollars(nano: int) -> str:
    """`$12.35`, rounded to the cent; what is less than one with two digits, `$0.00017`, for it is not nothing."""
    if 0 < nano < NANO // 100:
        little = Decimal(nano) / NANO
        digits = max(little.adjusted() - 1, -9)
        return f"${little.quantize(Decimal(1).scaleb(digits), ROUND_HALF_UP):f}"
    cents = (Decimal(nano) / NANO).quantize(Decimal("0.01"), ROUND_HALF_UP)
    return f"-${-cents:,}" if cents < 0 else f"${cents:,}"


def exact(nano: int) -> str:
    """All of it, as a decimal without needless zeros: `12.345000001`, `50.00`."""
    whole, rest = divmod(abs(nano), NANO)
    return f"{'-' if nano < 0 else ''}{whole}.{f'{rest:09}'.rstrip('0').ljust(2, '0')}"
