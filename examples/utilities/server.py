"""Twelve deterministic utilities as an MCP server over stdio: units, currency, dates, statistics, text, percentages.

    python examples/utilities/server.py

No network, no clock, no state: equal arguments give equal answers on every machine and day. The currency table is
fixed and says of which date it is; it is no market data.
"""

from __future__ import annotations

from typing import Annotated, Literal

import utilities_functions as functions
from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp_types import ToolAnnotations
from pydantic import BaseModel, Field

PURE = ToolAnnotations(read_only_hint=True, idempotent_hint=True, open_world_hint=False)

Unit = Literal[
    "millimeters", "centimeters", "meters", "kilometers", "inches", "feet", "yards", "miles",
    "milligrams", "grams", "kilograms", "ounces", "pounds",
    "milliliters", "liters", "teaspoons", "tablespoons", "cups", "pints", "gallons",
    "celsius", "fahrenheit", "kelvin",
    "seconds", "minutes", "hours", "days", "weeks",
]  # fmt: skip
Currency = Literal["EUR", "USD", "GBP", "SEK", "CHF", "PLN", "JPY"]
Span = Literal["days", "weeks", "months", "years"]
Measure = Literal["mean", "median", "mode", "sum", "minimum", "maximum", "range", "variance", "standard deviation"]
Counted = Literal["characters", "letters", "digits", "vowels", "consonants", "words", "unique words", "sentences"]
Style = Literal["upper", "lower", "title", "sentence", "snake", "kebab", "camel"]
Algorithm = Literal["md5", "sha1", "sha256", "sha512", "crc32"]
IsoDate = Annotated[str, Field(description="ISO date, or date and time", min_length=10, max_length=35)]
ShortText = Annotated[str, Field(max_length=100_000)]


class Quantity(BaseModel):
    value: float
    unit: Unit


class Money(BaseModel):
    """An amount, rounded to cents."""

    amount: float
    currency: Currency
    rate: float
    as_of: str


class Difference(BaseModel):
    """Whole units; negative where the end comes before the start."""

    difference: int
    unit: Span


class Day(BaseModel):
    date: str


class DayFacts(BaseModel):
    date: str
    weekday: str
    month: str
    iso_week: int
    quarter: int
    day_of_year: int
    days_in_month: int
    leap_year: bool


class Statistic(BaseModel):
    measure: Measure
    value: float


class Count(BaseModel):
    what: Counted
    count: int


class Sorted(BaseModel):
    values: list[str | float]


class Percentage(BaseModel):
    value: float


class Text(BaseModel):
    text: str


class Digest(BaseModel):
    algorithm: Algorithm
    digest: str


class Roman(BaseModel):
    number: int
    roman: str


server = MCPServer(
    "utilities",
    title="Utilities",
    version="1.0.0",
    instructions="Pure functions: the same arguments always give the same answer.",
    log_level="WARNING",
)


@server.tool(title="Convert units", annotations=PURE)
def convert_units(
    value: float,
    from_unit: Annotated[Unit, Field(description="Unit the value is in")],
    to_unit: Annotated[Unit, Field(description="Unit wanted, of the same kind")],
) -> Quantity:
    """Convert a length, mass, volume, temperature or duration from one unit to another."""
    try:
        return Quantity(value=functions.convert_units(value, from_unit, to_unit), unit=to_unit)
    except ValueError as problem:
        raise ToolError(str(problem)) from None


@server.tool(title="Convert currency", annotations=PURE)
def convert_currency(amount: float, from_currency: Currency, to_currency: Currency) -> Money:
    """Convert an amount of money from one currency to another, by a fixed table of rates."""
    rate = functions.rate(from_currency, to_currency)
    converted = functions.convert_currency(amount, from_currency, to_currency)
    return Money(amount=converted, currency=to_currency, rate=rate, as_of=functions.RATES_AS_OF)


@server.tool(title="Difference between dates", annotations=PURE)
def date_difference(start: IsoDate, end: IsoDate, unit: Span = "days") -> Difference:
    """Count the whole days, weeks, months or years from one date to another."""
    try:
        return Difference(difference=functions.date_difference(start, end, unit), unit=unit)
    except ValueError as problem:
        raise ToolError(str(problem)) from None


@server.tool(title="Shift a date", annotations=PURE)
def shift_date(
    date: IsoDate,
    amount: Annotated[int, Field(description="Negative goes back", ge=-1_000_000, le=1_000_000)],
    unit: Span = "days",
) -> Day:
    """Add days, weeks, months or years to a date, or take them away: the date so long after or before it."""
    try:
        return Day(date=functions.shift_date(date, amount, unit))
    except (ValueError, OverflowError) as problem:
        raise ToolError(str(problem)) from None


@server.tool(title="Calendar facts of a date", annotations=PURE)
def calendar_facts(date: IsoDate) -> DayFacts:
    """Tell of a date the day of the week, the calendar week, month, quarter, day of the year, and leap year."""
    try:
        return DayFacts.model_validate(functions.calendar_facts(date))
    except ValueError as problem:
        raise ToolError(str(problem)) from None


@server.tool(title="Statistics of numbers", annotations=PURE)
def statistics(numbers: Annotated[list[float], Field(min_length=1, max_length=10_000)], measure: Measure) -> Statistic:
    """Compute a statistical measure of a list of numbers: mean, median, range, standard deviation (population), …"""
    return Statistic(measure=measure, value=functions.statistic(numbers, measure))


@server.tool(title="Count in a text", annotations=PURE)
def count_text(text: ShortText, what: Counted = "words") -> Count:
    """Count the characters, letters, vowels, words or sentences of a text."""
    return Count(what=what, count=functions.count_text(text, what))


@server.tool(title="Sort values", annotations=PURE)
def sort_values(
    values: Annotated[list[str | float], Field(max_length=10_000)],
    order: Literal["ascending", "descending"] = "ascending",
) -> Sorted:
    """Sort or rank a list: numbers by size, texts alphabetically."""
    return Sorted(values=functions.sort_values(values, order))


@server.tool(title="Percentages", annotations=PURE)
def percentage(
    mode: Annotated[
        Literal["share", "portion", "change", "increase", "decrease"],
        Field(
            description="share: value in percent of base; portion: value percent of base; change: percent from base to "
            "value; increase, decrease: base plus or minus value percent"
        ),
    ],
    value: float,
    base: float,
) -> Percentage:
    """Work out a percentage: a share, a portion, a relative change, or an increase or decrease by some percent."""
    try:
        return Percentage(value=functions.percentage(mode, value, base))
    except ValueError as problem:
        raise ToolError(str(problem)) from None


@server.tool(title="Change case", annotations=PURE)
def change_case(text: ShortText, style: Style) -> Text:
    """Write a text in upper case, lower case, title case, snake_case, kebab-case or camelCase."""
    return Text(text=functions.change_case(text, style))


@server.tool(title="Hash a text", annotations=PURE)
def hash_text(text: ShortText, algorithm: Algorithm = "sha256") -> Digest:
    """Compute the hash (digest, checksum) of a text in UTF-8, in hexadecimal."""
    return Digest(algorithm=algorithm, digest=functions.hash_text(text, algorithm))


@server.tool(title="Roman numeral", annotations=PURE)
def roman_numeral(number: Annotated[int, Field(ge=1, le=3999)]) -> Roman:
    """Write a whole number as a Roman numeral."""
    return Roman(number=number, roman=functions.roman_numeral(number))


if __name__ == "__main__":
    server.run("stdio")
