"""The sample world as the question sets see it: the raw data, and an oracle that knows neither planner nor tools.

Everything here computes from the help-desk's rows and the web's pages in its own words; no utility of
`examples/utilities` and nothing of `agentflow` is imported, so that a mistake there cannot confirm itself.
"""

from __future__ import annotations

import random
import statistics
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any

Row = dict[str, Any]
Slots = dict[str, Any]
EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
PER_EURO = {"EUR": 1.0, "USD": 1.25, "GBP": 0.8, "SEK": 10.0, "CHF": 0.9, "PLN": 4.0, "JPY": 160.0}
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
MONTHS = ("January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
          "December")  # fmt: skip


@dataclass(frozen=True)
class Template:
    """A sort of question.

    Attributes:
        steps: tool calls that a person would need.
        combination: the tools, in order; `+` names a step of plain arithmetic or comparison.
        wordings: with slots in braces.
        make: draws the slots and computes the answer (a list where several values are the answer).
    """

    name: str
    steps: int
    combination: str
    wordings: tuple[str, ...]
    make: Callable[[World, random.Random], tuple[Slots, Any]]


@dataclass(frozen=True)
class Asked:
    template: str
    steps: int
    text: str
    answer: Any


class World:
    """Customers with their orders and tickets (oldest first), and the pages."""

    def __init__(self) -> None:
        for folder in ("helpdesk", "webnotes"):
            if str(EXAMPLES / folder) not in sys.path:
                sys.path.append(str(EXAMPLES / folder))
        from helpdesk_store import Store
        from webnotes_pages import PAGES

        with tempfile.TemporaryDirectory() as folder:
            store = Store(Path(folder) / "questions.db")
            self.customers = store.rows("SELECT * FROM customers ORDER BY customer_id")
            self._orders = store.rows("SELECT * FROM orders ORDER BY ordered_on")
            self._tickets = store.rows("SELECT * FROM tickets ORDER BY opened_at")
        self.pages = {url: (page.title, page.text) for url, page in PAGES.items()}

    def orders(self, customer: Row) -> list[Row]:
        return [o for o in self._orders if o["customer_id"] == customer["customer_id"]]

    def tickets(self, customer: Row) -> list[Row]:
        return [t for t in self._tickets if t["customer_id"] == customer["customer_id"]]

    def customer(self, rng: random.Random, orders: int = 1, tickets: int = 0) -> Row:
        """Someone with at least that many orders and tickets."""
        fit = [c for c in self.customers if len(self.orders(c)) >= orders and len(self.tickets(c)) >= tickets]
        return rng.choice(fit)

    def two(self, rng: random.Random, orders: int = 1, **more: int) -> tuple[Row, Row]:
        one = self.customer(rng, orders, **more)
        while (other := self.customer(rng, orders, **more)) is one:
            pass
        return one, other

    def order(self, rng: random.Random) -> Row:
        return rng.choice(self._orders)

    def owner(self, order: Row) -> Row:
        return next(c for c in self.customers if c["customer_id"] == order["customer_id"])


def day(text: str) -> date:
    return date.fromisoformat(text[:10])


def later(text: str, days: int) -> date:
    return day(text) + timedelta(days=days)


def weekday(of: date) -> str:
    return WEEKDAYS[of.weekday()]


def money(amount: float, source: str, target: str) -> float:
    exact = Decimal(str(amount)) / Decimal(str(PER_EURO[source])) * Decimal(str(PER_EURO[target]))
    return float(exact.quantize(Decimal("0.01"), rounding=ROUND_HALF_UP))


def total(rows: Sequence[Row]) -> float:
    return float(sum((Decimal(str(r["total"])) for r in rows), Decimal(0)))


def minus(a: float, b: float) -> float:
    return float(Decimal(str(a)) - Decimal(str(b)))


def share(part: float, whole: float) -> float:
    return round(part / whole * 100, 6)


def portion(percent: float, of: float) -> float:
    return round(float(Decimal(str(percent)) * Decimal(str(of)) / 100), 6)


def median(rows: Sequence[Row]) -> float:
    return round(statistics.median(r["total"] for r in rows), 6)


def mean(rows: Sequence[Row]) -> float:
    return round(total(rows) / len(rows), 6)


def roman(number: int) -> str:
    signs = dict(zip((90, 50, 40, 10, 9, 5, 4, 1), ("XC", "L", "XL", "X", "IX", "V", "IV", "I"), strict=True))
    written = "C" * (number // 100)
    rest = number % 100
    for size, sign in signs.items():
        while rest >= size:
            written, rest = written + sign, rest - size
    assert number < 400
    return written


def generate(templates: Sequence[Template], each: int, seed: int) -> list[Asked]:
    """`each` distinct questions of every template (fewer where there are no more), wordings in turn."""
    world = World()
    asked: list[Asked] = []
    for template in templates:
        rng = random.Random(f"{seed}/{template.name}")
        seen: set[str] = set()
        for attempt in range(each * 20):
            slots, answer = template.make(world, rng)
            text = template.wordings[len(seen) % len(template.wordings)].format(**slots)
            if text in seen:
                continue
            seen.add(text)
            asked.append(Asked(template.name, template.steps, text, answer))
            if len(seen) == each or attempt == each * 20 - 1:
                break
    return asked
