"""What a question computes: lookups, functions of their results, arithmetic, comparisons, choices. A tree of values.

A program holds no results. It is evaluated against the results of a run (`evaluate.py`), which says its value, or
which calls are to be made next.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal as OneOf

from agentflow.flow.functions import Function

Want = OneOf["any", "number", "date", "text", "numbers", "list", "person"]
Operator = OneOf["add", "subtract", "apart", "multiply", "divide", "round", "larger", "smaller", "mean"]
Test = OneOf[">", "<", ">=", "<=", "=="]


@dataclass(frozen=True, slots=True)
class Constant:
    """A value that stands in the question, with its unit or currency."""

    value: str | int | float
    unit: str = ""


@dataclass(frozen=True, slots=True)
class Lookup:
    """A question to be answered by looking things up, and what sort of value is wanted.

    Attributes:
        order: the field that a list is to be sorted by, and whether it falls.
    """

    text: str
    want: Want = "any"
    order: tuple[str, bool] | None = None


@dataclass(frozen=True, slots=True)
class Apply:
    """A function of values.

    Attributes:
        arguments: role of the parameter → its value; see `Function.slots`.
        choices: role of the parameter → enum value.
        output: the property of the result that is wanted, or "" for its only value.
    """

    function: Function
    arguments: tuple[tuple[str, Node], ...]
    choices: tuple[tuple[str, str], ...] = ()
    output: str = ""


@dataclass(frozen=True, slots=True)
class Compute:
    """Arithmetic over values; `apart` is the distance, `round` takes the number of places second."""

    operator: Operator
    operands: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Compare:
    """A yes or no: left stands so to right."""

    test: Test
    left: Node
    right: Node


@dataclass(frozen=True, slots=True)
class Choose:
    """The label whose value is highest (or lowest)."""

    options: tuple[tuple[str, Node], ...]
    highest: bool


@dataclass(frozen=True, slots=True)
class YearOf:
    """The year of a date."""

    date: Node


Node = Constant | Lookup | Apply | Compute | Compare | Choose | YearOf


def lookups(node: Node) -> list[Lookup]:
    """The lookups of a program, from left to right."""
    match node:
        case Lookup():
            return [node]
        case Apply():
            return [found for _, inner in node.arguments for found in lookups(inner)]
        case Compute():
            return [found for inner in node.operands for found in lookups(inner)]
        case Compare():
            return lookups(node.left) + lookups(node.right)
        case Choose():
            return [found for _, inner in node.options for found in lookups(inner)]
        case YearOf():
            return lookups(node.date)
    return []
