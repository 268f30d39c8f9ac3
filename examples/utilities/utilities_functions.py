"""The utilities themselves, free of any protocol: pure functions of their arguments.

Promises the same result everywhere; refuses what has no answer with a `ValueError` that says why. Numbers are rounded
to six decimal places, money to two.
"""

from __future__ import annotations

import calendar
import hashlib
import re
import statistics as stats
import zlib
from collections.abc import Callable, Sequence
from datetime import date, timedelta
from typing import Any

RATES_AS_OF = "2026-01-02"
# Units of each currency for one euro.
_RATES = {"EUR": 1.0, "USD": 1.25, "GBP": 0.8, "SEK": 10.0, "CHF": 0.9, "PLN": 4.0, "JPY": 160.0}

# Kind and size in the kind's base unit.
_UNITS: dict[str, tuple[str, float]] = {
    "millimeters": ("length", 0.001), "centimeters": ("length", 0.01), "meters": ("length", 1.0),
    "kilometers": ("length", 1000.0), "inches": ("length", 0.0254), "feet": ("length", 0.3048),
    "yards": ("length", 0.9144), "miles": ("length", 1609.344),
    "milligrams": ("mass", 0.000001), "grams": ("mass", 0.001), "kilograms": ("mass", 1.0),
    "ounces": ("mass", 0.028349523125), "pounds": ("mass", 0.45359237),
    "milliliters": ("volume", 0.001), "liters": ("volume", 1.0), "teaspoons": ("volume", 0.00492892159375),
    "tablespoons": ("volume", 0.01478676478125), "cups": ("volume", 0.2365882365),
    "pints": ("volume", 0.473176473), "gallons": ("volume", 3.785411784),
    "seconds": ("duration", 1.0), "minutes": ("duration", 60.0), "hours": ("duration", 3600.0),
    "days": ("duration", 86400.0), "weeks": ("duration", 604800.0),
}  # fmt: skip
_TO_CELSIUS = {"celsius": (1.0, 0.0), "fahrenheit": (5 / 9, -32.0), "kelvin": (1.0, -273.15)}


def convert_units(value: float, from_unit: str, to_unit: str) -> float:
    """`value` in another unit of the same kind."""
    if from_unit in _TO_CELSIUS and to_unit in _TO_CELSIUS:
        scale, offset = _TO_CELSIUS[from_unit]
        celsius = (value + offset) * scale
        scale, offset = _TO_CELSIUS[to_unit]
        return round(celsius / scale - offset, 6)
    source, target = _UNITS.get(from_unit), _UNITS.get(to_unit)
    if source is None or target is None or source[0] != target[0]:
        raise ValueError(f"{from_unit} cannot be converted to {to_unit}.")
    return round(value * source[1] / target[1], 6)


def rate(from_currency: str, to_currency: str) -> float:
    return round(_RATES[to_currency] / _RATES[from_currency], 6)


def convert_currency(amount: float, from_currency: str, to_currency: str) -> float:
    """`amount` in another currency, rounded to cents."""
    return round(amount * _RATES[to_currency] / _RATES[from_currency], 2)


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text[:10])
    except ValueError:
        raise ValueError(f"{text!r} is no ISO date.") from None


def _add_months(day: date, months: int) -> date:
    month = day.month - 1 + months
    year, month = day.year + month // 12, month % 12 + 1
    return date(year, month, min(day.day, calendar.monthrange(year, month)[1]))


def date_difference(start: str, end: str, unit: str) -> int:
    """Whole units from `start` to `end`; negative where `end` is earlier."""
    first, last = _day(start), _day(end)
    if unit in ("days", "weeks"):
        days = (last - first).days
        return days if unit == "days" else int(days / 7)
    if last < first:
        return -date_difference(end, start, unit)
    months = (last.year - first.year) * 12 + last.month - first.month
    if _add_months(first, months) > last:
        months -= 1
    return months if unit == "months" else months // 12


def shift_date(text: str, amount: int, unit: str) -> str:
    """The ISO date `amount` units after `text`; the 31st becomes the last day of a shorter month."""
    day = _day(text)
    if unit in ("days", "weeks"):
        return (day + timedelta(days=amount * (7 if unit == "weeks" else 1))).isoformat()
    return _add_months(day, amount * (12 if unit == "years" else 1)).isoformat()


def calendar_facts(text: str) -> dict[str, Any]:
    day = _day(text)
    return {
        "date": day.isoformat(),
        "weekday": calendar.day_name[day.weekday()],
        "month": calendar.month_name[day.month],
        "iso_week": day.isocalendar().week,
        "quarter": (day.month + 2) // 3,
        "day_of_year": day.timetuple().tm_yday,
        "days_in_month": calendar.monthrange(day.year, day.month)[1],
        "leap_year": calendar.isleap(day.year),
    }


def statistic(numbers: Sequence[float], measure: str) -> float:
    """A measure of the numbers; variance and standard deviation are those of the whole population."""
    measures: dict[str, Callable[[Sequence[float]], float]] = {
        "mean": stats.fmean, "median": stats.median, "mode": stats.mode, "sum": sum, "minimum": min, "maximum": max,
        "range": lambda n: max(n) - min(n), "variance": stats.pvariance, "standard deviation": stats.pstdev,
    }  # fmt: skip
    return round(float(measures[measure](numbers)), 6)


def count_text(text: str, what: str) -> int:
    letters = [c for c in text.lower() if c.isalpha()]
    words = re.findall(r"[^\W_]+(?:[-'’][^\W_]+)*", text)
    counts = {
        "characters": len(text),
        "letters": len(letters),
        "digits": sum(c.isdigit() for c in text),
        "vowels": sum(c in "aeiou" for c in letters),
        "consonants": sum(c not in "aeiou" for c in letters),
        "words": len(words),
        "unique words": len({w.lower() for w in words}),
        "sentences": len(re.findall(r"[^.!?]*[^\W_][^.!?]*(?:[.!?]+|$)", text)),
    }
    return counts[what]


def sort_values(values: Sequence[str | float], order: str) -> list[str | float]:
    """Numbers by size where all are numbers, else everything as text, case left aside."""
    numeric = all(not isinstance(v, str) for v in values)
    return sorted(values, key=lambda v: v if numeric else str(v).casefold(), reverse=order == "descending")


def percentage(mode: str, value: float, base: float) -> float:
    if base == 0 and mode in ("share", "change"):
        raise ValueError("A share or change of nothing cannot be told: base is 0.")
    results = {
        "share": lambda: 100 * value / base,
        "portion": lambda: value * base / 100,
        "change": lambda: 100 * (value - base) / base,
        "increase": lambda: base + base * value / 100,
        "decrease": lambda: base - base * value / 100,
    }
    return round(results[mode](), 6)


def change_case(text: str, style: str) -> str:
    words = re.findall(r"[^\W_]+", text)
    styles = {
        "upper": text.upper(),
        "lower": text.lower(),
        "title": re.sub(r"[^\W_]+", lambda m: m.group().capitalize(), text),
        "sentence": text[:1].upper() + text[1:].lower(),
        "snake": "_".join(w.lower() for w in words),
        "kebab": "-".join(w.lower() for w in words),
        "camel": "".join(w.lower() if i == 0 else w.capitalize() for i, w in enumerate(words)),
    }
    return styles[style]


def hash_text(text: str, algorithm: str) -> str:
    data = text.encode()
    if algorithm == "crc32":
        return f"{zlib.crc32(data):08x}"
    return hashlib.new(algorithm, data, usedforsecurity=False).hexdigest()


_ROMAN = ((1000, "M"), (900, "CM"), (500, "D"), (400, "CD"), (100, "C"), (90, "XC"), (50, "L"), (40, "XL"),
          (10, "X"), (9, "IX"), (5, "V"), (4, "IV"), (1, "I"))  # fmt: skip


def roman_numeral(number: int) -> str:
    """`number` (1–3999) in Roman numerals."""
    written = ""
    for size, sign in _ROMAN:
        count, number = divmod(number, size)
        written += sign * count
    return written
