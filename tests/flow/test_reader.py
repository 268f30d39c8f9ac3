"""From a question to a program: constructions of English, whatever the tools are called."""

from __future__ import annotations

from typing import Any

import pytest

from agentflow.flow.functions import functions_of
from agentflow.flow.port import ToolView
from agentflow.flow.program import Apply, Choose, Compare, Compute, Constant, Lookup, Node
from agentflow.flow.reader import Reader

READ = {"readOnlyHint": True}
STRING, NUMBER = {"type": "string"}, {"type": "number"}


def view(name: str, properties: dict[str, Any], outputs: dict[str, Any]) -> ToolView:
    schema = {"type": "object", "properties": properties, "required": list(properties)}
    return ToolView(name, "", "", schema, {"type": "object", "properties": outputs}, READ, "tools")


# Names that no question says: only the schemas tell what these do.
TOOLS = [
    view(
        "f1",
        {
            "n": NUMBER,
            "from": {"enum": ["EUR", "USD"], "type": "string"},
            "to": {"enum": ["EUR", "USD"], "type": "string"},
        },
        {"n": NUMBER},
    ),
    view("f2", {"begin": {**STRING, "format": "date"}, "end": {**STRING, "format": "date"}}, {"days": NUMBER}),
    view("f3", {"day": {**STRING, "format": "date"}, "shift": {"type": "integer"}}, {"day": STRING}),
    view("f4", {"date": {**STRING, "format": "date"}}, {"weekday": STRING, "quarter": NUMBER}),
    view(
        "f5",
        {"values": {"type": "array", "items": NUMBER}, "kind": {"enum": ["median", "range"], "type": "string"}},
        {"value": NUMBER},
    ),
    view("f6", {"text": STRING, "form": {"enum": ["upper", "snake"], "type": "string"}}, {"text": STRING}),
    view("f7", {"text": STRING, "what": {"enum": ["words", "vowels"], "type": "string"}}, {"count": NUMBER}),
    view("to_roman", {"value": {"type": "integer"}}, {"roman": STRING}),
    view("get_order", {"order_id": STRING}, {"order_id": STRING, "total": NUMBER, "ordered_on": STRING}),
]


def shape(node: Node) -> str:
    """A program in one line."""
    match node:
        case Lookup():
            return f"<{node.text}>"
        case Constant():
            return str(node.value)
        case Apply():
            inner = ", ".join(shape(argument) for _, argument in node.arguments)
            chosen = "".join(f", {v}" for _, v in node.choices) + (f", {node.output}" if node.output else "")
            return f"{node.function.tool.name}({inner}{chosen})"
        case Compute():
            return f"{node.operator}({', '.join(map(shape, node.operands))})"
        case Compare():
            return f"{shape(node.left)} {node.test} {shape(node.right)}"
        case Choose():
            return (
                f"{'highest' if node.highest else 'lowest'}({', '.join(f'{k}: {shape(v)}' for k, v in node.options)})"
            )
    return type(node).__name__


def read(text: str) -> str:
    return shape(Reader(functions_of(TOOLS)).read(text))


@pytest.mark.parametrize(
    ("question", "program"),
    [
        ("What is the total of order A-1 in US dollars?", "f1(<the total of order A-1>, USD)"),
        ("How many days lie between order A-1 and order A-2?", "f2(<order A-1>, <order A-2>)"),
        ("How many days are there between Ann Lee's first and last order?",
         "f2(<Ann Lee's first order>, <Ann Lee's last order>)"),
        ("Which date is two weeks after order A-1?", "f3(<order A-1>, 14)"),
        ("On which weekday was order A-1 placed?", "f4(<when was order A-1 placed>, weekday)"),
        ("What is the median of Ann Lee's order totals?", "f5(<Ann Lee's order totals>, median)"),
        ("Write the item of order A-1 in upper case.", "f6(<the item of order A-1>, upper)"),
        ("How many vowels are in the item of order A-1?", "f7(<the item of order A-1>, vowels)"),
        ("How many orders does Ann Lee have, as a Roman numeral?", "to_roman(<How many orders does Ann Lee have>)"),
        ("What is 15% of the total of order A-1?", "divide(multiply(<the total of order A-1>, 15), 100)"),
        ("By how much is the total of A-1 higher than that of A-2?", "apart(<the total of A-1>, <the total of A-2>)"),
        ("Is the total of A-1 above 100?", "<the total of A-1> > 100"),
        ("Who has more orders, Ann Lee or Bob Ray?",
         "highest(Ann Lee: <how many orders does Ann Lee have>, Bob Ray: <how many orders does Bob Ray have>)"),
        ("Take the total of order A-1, then convert it to USD.", "f1(<the total of order A-1>, USD)"),
        ("What is the status of order A-1?", "<the status of order A-1>"),
    ],
)  # fmt: skip
def test_a_question_is_read_into_the_program_it_asks_for(question: str, program: str) -> None:
    assert read(question) == program


def test_without_a_function_for_it_a_conversion_is_not_invented() -> None:
    orders = [tool for tool in TOOLS if tool.name == "get_order"]
    found = Reader(functions_of(orders)).read("What is the total of order A-1 in US dollars?")
    assert isinstance(found, Lookup)
