"""Worlds behind a real `Caller`: async functions over plain data, with JSON schemas as servers publish them.

`helpdesk` publishes no output schemas and answers in three ways (structured, wrapped, JSON as text); `office` has
other entities and publishes some output schemas; `clinic` was never used while the planner was written.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agentflow.errors import InvalidArguments, UnknownName
from agentflow.flow.port import ToolView, Who

JSON = dict[str, Any]
Run = Callable[..., Awaitable[Any]]

READ: JSON = {"readOnlyHint": True}
WRITE: JSON = {"readOnlyHint": False}


@dataclass
class World:
    """A `Caller` over functions in this process.

    Attributes:
        calls: every call that was made, (tool, arguments).
        notes: every event that was noted, (event, detail).
        says: what the person at the client answers, from the front; without any nobody can be asked.
        asked: every question that was put, (message, schema).
        style: how results travel: `structured`, `wrapped` (FastMCP's {"result": …}) or `text`.
    """

    server: str = "world"
    style: str = "structured"
    says: list[JSON | None] = field(default_factory=list)
    asked: list[tuple[str, JSON]] = field(default_factory=list)
    calls: list[tuple[str, JSON]] = field(default_factory=list)
    notes: list[tuple[str, JSON]] = field(default_factory=list)
    _views: dict[str, ToolView] = field(default_factory=dict)
    _runs: dict[str, Run] = field(default_factory=dict)

    def add(
        self,
        name: str,
        run: Run,
        description: str,
        properties: JSON | None = None,
        required: list[str] | None = None,
        *,
        annotations: JSON | None = None,
        output: JSON | None = None,
    ) -> None:
        properties = properties or {}
        schema = {
            "type": "object",
            "properties": properties,
            "required": list(properties) if required is None else required,
            "additionalProperties": False,
        }
        self._views[name] = ToolView(
            name, "", description, schema, output, READ if annotations is None else annotations, self.server
        )
        self._runs[name] = run

    async def tools(self) -> list[ToolView]:
        return list(self._views.values())

    async def call(self, name: str, arguments: JSON) -> JSON:
        if name not in self._runs:
            raise UnknownName(f"unknown tool {name}")
        self.calls.append((name, arguments))
        try:
            value = await self._runs[name](**arguments)
        except LookupError as missing:
            return {"isError": True, "content": [{"type": "text", "text": str(missing.args[0])}]}
        except TypeError as wrong:
            raise InvalidArguments(str(wrong)) from None
        return self._result(value)

    def _result(self, value: Any) -> JSON:
        text = value if isinstance(value, str) else json.dumps(value)
        content = [{"type": "text", "text": text}]
        if self.style == "text":
            return {"content": content}
        wrapped = value if self.style == "structured" and isinstance(value, dict) else {"result": value}
        return {"content": content, "structuredContent": wrapped}

    @property
    def who(self) -> Who:
        return Who("default", "ada")

    @property
    def can_ask(self) -> bool:
        return bool(self.says)

    async def ask(self, message: str, schema: JSON) -> JSON | None:
        self.asked.append((message, schema))
        return self.says.pop(0) if self.says else None

    async def note(self, event: str, detail: JSON) -> None:
        json.dumps(detail)  # a record must be able to hold it
        self.notes.append((event, detail))


STRING: JSON = {"type": "string"}
NUMBER: JSON = {"type": "number"}
INTEGER: JSON = {"type": "integer"}

_DATA: dict[str, Any] = json.loads(Path(__file__).with_name("worlds.json").read_text())
CUSTOMERS: Any = _DATA["customers"]
ORDERS: Any = _DATA["orders"]
ITEMS: Any = _DATA["items"]
CARRIERS: Any = _DATA["carriers"]
PRODUCTS: Any = _DATA["products"]
TICKETS: Any = _DATA["tickets"]
AGENTS: Any = _DATA["agents"]
PAGES: Any = _DATA["pages"]
EMPLOYEES: Any = _DATA["employees"]
DEPARTMENTS: Any = _DATA["departments"]
LOANS: Any = _DATA["loans"]
WEATHER: Any = _DATA["weather"]
PATIENTS: Any = _DATA["patients"]
DOCTORS: Any = _DATA["doctors"]
VISITS: Any = _DATA["visits"]
DRUGS: Any = _DATA["drugs"]


def _one(rows: list[JSON], key: str, value: Any, kind: str) -> JSON:
    for row in rows:
        if row[key] == value:
            return dict(row)
    raise LookupError(f"no {kind} {value}")


def make_helpdesk(style: str = "structured") -> World:
    world = World("helpdesk", style)
    tickets = [dict(t) for t in TICKETS]

    async def find_customer(query: str) -> Any:
        wanted = query.lower()
        return [c for c in CUSTOMERS if wanted in str(c["name"]).lower() or wanted == str(c["email"]).lower()]

    async def list_orders(customer_id: str, status: str | None = None) -> Any:
        return [o for o in ORDERS if o["customer_id"] == customer_id and status in (None, o["status"])]

    async def get_order(order_id: str) -> Any:
        order = _one(ORDERS, "id", order_id, "order")
        return {**order, "items": ITEMS[order_id], "carrier": CARRIERS[order_id]}

    async def get_customer(customer_id: str) -> Any:
        return _one(CUSTOMERS, "id", customer_id, "customer")

    async def list_tickets(customer_id: str) -> Any:
        return [t for t in tickets if t["customer_id"] == customer_id]

    async def get_ticket(ticket_id: str) -> Any:
        return _one(tickets, "id", ticket_id, "ticket")

    async def get_agent(agent_id: str) -> Any:
        return _one(AGENTS, "id", agent_id, "agent")

    async def search_products(query: str) -> Any:
        return [p for p in PRODUCTS if query.lower() in str(p["name"]).lower()]

    async def get_product(product_id: str) -> Any:
        return _one(PRODUCTS, "id", product_id, "product")

    async def search_pages(query: str) -> Any:
        words = query.lower().split()
        return [
            {"url": url, "title": title}
            for url, (title, text) in PAGES.items()
            if any(w.rstrip("s") in f"{title} {text}".lower() for w in words)
        ]

    async def read_page(url: str) -> Any:
        if url not in PAGES:
            raise LookupError(f"no page {url}")
        return PAGES[url][1]

    async def close_ticket(ticket_id: str) -> Any:
        for ticket in tickets:
            if ticket["id"] == ticket_id:
                ticket["status"] = "closed"
                return dict(ticket)
        raise LookupError(f"no ticket {ticket_id}")

    async def create_ticket(customer_id: str, subject: str, priority: str = "medium") -> Any:
        new = {
            "id": f"T-{len(tickets) + 1}",
            "customer_id": customer_id,
            "subject": subject,
            "status": "open",
            "priority": priority,
        }
        tickets.append(new)
        return dict(new)

    async def send_email(to: str, subject: str, body: str) -> Any:
        return {"sent": True, "to": to, "subject": subject}

    world.add("helpdesk__find_customer", find_customer, "Find customers by name or e-mail address.", {"query": STRING})
    world.add("helpdesk__get_customer", get_customer, "One customer's record.", {"customer_id": STRING})
    status = {"type": "string", "enum": ["pending", "shipped", "delivered", "cancelled"]}
    world.add(
        "helpdesk__list_orders",
        list_orders,
        "List the orders of a customer with date, status and total.",
        {"customer_id": STRING, "status": status},
        ["customer_id"],
    )
    world.add("helpdesk__get_order", get_order, "One order with its items and carrier.", {"order_id": STRING})
    world.add("helpdesk__list_tickets", list_tickets, "List a customer's support tickets.", {"customer_id": STRING})
    world.add("helpdesk__get_ticket", get_ticket, "One support ticket.", {"ticket_id": STRING})
    world.add("helpdesk__get_agent", get_agent, "A support agent: name and team.", {"agent_id": STRING})
    world.add(
        "helpdesk__search_products",
        search_products,
        "Search products by name; gives price and stock.",
        {"query": STRING},
    )
    world.add("helpdesk__get_product", get_product, "One product.", {"product_id": STRING})
    world.add("helpdesk__search_pages", search_pages, "Search the help pages.", {"query": STRING})
    world.add("helpdesk__read_page", read_page, "The text of a page.", {"url": {"type": "string", "format": "uri"}})
    world.add(
        "helpdesk__close_ticket", close_ticket, "Close a support ticket.", {"ticket_id": STRING}, annotations=WRITE
    )
    world.add(
        "helpdesk__create_ticket",
        create_ticket,
        "Open a new support ticket for a customer.",
        {"customer_id": STRING, "subject": STRING, "priority": {"type": "string", "enum": ["low", "medium", "high"]}},
        ["customer_id", "subject"],
        annotations=WRITE,
    )
    mail = {"to": {"type": "string"}, "subject": STRING, "body": STRING}
    world.add("helpdesk__send_email", send_email, "Send an e-mail.", mail, annotations=WRITE)
    return world


RATES = {("EUR", "USD"): 1.25, ("USD", "EUR"): 0.8, ("EUR", "GBP"): 0.9}


def _schema(fields: JSON, *, many: bool = False) -> JSON:
    item: JSON = {"type": "object", "properties": fields}
    if not many:
        return item
    return {"type": "object", "properties": {"result": {"type": "array", "items": item}}, "x-fastmcp-wrap-result": True}


def make_office(style: str = "wrapped") -> World:
    world = World("office", style)

    async def lookup_employee(name: str) -> Any:
        for employee in EMPLOYEES:
            if name.lower() in str(employee["full_name"]).lower():
                return dict(employee)
        raise LookupError(f"nobody is called {name}")

    async def get_employee(employee_id: int) -> Any:
        return _one(EMPLOYEES, "employee_id", employee_id, "employee")

    async def list_employees(department_id: int | None = None) -> Any:
        return [e for e in EMPLOYEES if department_id in (None, e["department_id"])]

    async def get_department(department_id: int) -> Any:
        return _one(DEPARTMENTS, "department_id", department_id, "department")

    async def list_departments() -> Any:
        return DEPARTMENTS

    async def list_loans(employee_id: int) -> Any:
        return [loan for loan in LOANS if loan["employee_id"] == employee_id]

    async def convert_currency(amount: float, from_currency: str, to_currency: str) -> Any:
        if (from_currency, to_currency) not in RATES:
            raise LookupError(f"no rate from {from_currency} to {to_currency}")
        return {"amount": round(amount * RATES[from_currency, to_currency], 2), "currency": to_currency}

    async def get_weather(city: str) -> Any:
        if city not in WEATHER:
            raise LookupError(f"no weather for {city}")
        condition, temperature = WEATHER[city]
        return {"condition": condition, "temperature": temperature}

    employee = {
        "employee_id": INTEGER,
        "full_name": STRING,
        "department_id": INTEGER,
        "manager_id": INTEGER,
        "salary": INTEGER,
        "hired_on": STRING,
        "office": STRING,
    }
    world.add(
        "lookup_employee", lookup_employee, "Look an employee up by name.", {"name": STRING}, output=_schema(employee)
    )
    world.add("get_employee", get_employee, "Employee by number.", {"employee_id": INTEGER}, output=_schema(employee))
    world.add(
        "list_employees",
        list_employees,
        "Employees, of one department if given.",
        {"department_id": INTEGER},
        [],
        output=_schema(employee, many=True),
    )
    world.add("get_department", get_department, "A department: name, budget, floor.", {"department_id": INTEGER})
    world.add("list_departments", list_departments, "All departments.", {})
    world.add("list_loans", list_loans, "Books an employee has on loan from the library.", {"employee_id": INTEGER})
    money = {"amount": NUMBER, "from_currency": STRING, "to_currency": STRING}
    world.add("convert_currency", convert_currency, "Convert an amount of money between currencies.", money)
    world.add("get_weather", get_weather, "Current weather in a city: condition and temperature.", {"city": STRING})
    return world


def make_clinic(style: str = "text") -> World:
    world = World("clinic", style)

    async def fetch_patient(full_name: str) -> Any:
        return _one(PATIENTS, "full_name", full_name, "patient")

    async def visits_of_patient(patient_id: str) -> Any:
        return {"visits": [v for v in VISITS if v["patient_id"] == patient_id], "count": len(VISITS)}

    async def visit_details(visit_id: str) -> Any:
        return {"visit": _one(VISITS, "visit_id", visit_id, "visit")}

    async def doctor_details(doctor_id: str) -> Any:
        return {"doctor": _one(DOCTORS, "doctor_id", doctor_id, "doctor")}

    async def query_doctors(specialty: str) -> Any:
        return [d for d in DOCTORS if d["specialty"] == specialty]

    async def get_prescriptions(patient_id: str) -> Any:
        return DRUGS[patient_id]

    async def cancel_visit(visit_id: str) -> Any:
        return {"visit_id": visit_id, "state": "cancelled"}

    world.add(
        "clinic.fetch_patient",
        fetch_patient,
        "Fetch a patient's file by full name.",
        {"full_name": STRING},
        annotations={},
    )
    world.add(
        "clinic.visits_of_patient", visits_of_patient, "Get a patient's visits.", {"patient_id": STRING}, annotations={}
    )
    world.add("clinic.visit_details", visit_details, "Get one visit.", {"visit_id": STRING}, annotations={})
    world.add(
        "clinic.doctor_details",
        doctor_details,
        "Returns a doctor's name, specialty and room.",
        {"doctor_id": STRING},
        annotations={},
    )
    world.add("clinic.query_doctors", query_doctors, "Doctors of one specialty.", {"specialty": STRING}, annotations={})
    world.add(
        "clinic.get_prescriptions",
        get_prescriptions,
        "Prescribed drugs with dose.",
        {"patient_id": STRING},
        annotations={},
    )
    world.add("clinic.cancel_visit", cancel_visit, "Cancels a visit.", {"visit_id": STRING}, annotations={})
    return world
