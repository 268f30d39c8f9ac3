"""A help-desk as an MCP server over stdio: customers, orders and tickets in SQLite.

    HELPDESK_DB=/path/to/helpdesk.db python examples/helpdesk/server.py

It answers with real personal data, as such systems do: what a model may see of it is the gateway's business.
`create_ticket` finds its customer by the real e-mail address only; a placeholder is refused.
"""

from __future__ import annotations

import json
from typing import Annotated, Literal

from helpdesk_store import SCHEMA, Store, default_path
from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ResourceNotFoundError, ToolError
from mcp_types import (
    Completion,
    CompletionArgument,
    CompletionContext,
    PromptReference,
    ResourceTemplateReference,
    ToolAnnotations,
)
from pydantic import BaseModel, Field

TicketStatus = Literal["open", "pending", "closed"]
OrderStatus = Literal["processing", "shipped", "delivered", "returned", "cancelled"]
CustomerId = Annotated[int, Field(description="Number of the customer, as find_customer gives it", ge=1)]

READ = ToolAnnotations(read_only_hint=True, idempotent_hint=True, open_world_hint=False)
ADD = ToolAnnotations(read_only_hint=False, destructive_hint=False, idempotent_hint=False, open_world_hint=False)
SET = ToolAnnotations(read_only_hint=False, destructive_hint=False, idempotent_hint=True, open_world_hint=False)
DESTROY = ToolAnnotations(read_only_hint=False, destructive_hint=True, idempotent_hint=True, open_world_hint=False)

FAQ = """# Help-desk FAQ

- **Returns** are free within 30 days; the customer gets the money back within 5 working days of arrival.
- **A parcel marked delivered but missing**: wait two working days, then open a ticket for the courier.
- **Charged twice**: never ask for the card number; the payment team finds the charge by order number.
- **Change of address**: only before the order is shipped.
"""


class CustomerSummary(BaseModel):
    """A customer as a search shows it."""

    customer_id: int
    name: str
    email: str


class Customers(BaseModel):
    """What a search found, at most ten."""

    customers: list[CustomerSummary]


class Customer(CustomerSummary):
    """Everything the help-desk knows of a customer."""

    phone: str
    ssn: str | None
    iban: str | None
    address: str
    customer_since: str = Field(description="ISO date")


class Order(BaseModel):
    order_id: str
    customer_id: int
    ordered_on: str = Field(description="ISO date")
    status: OrderStatus
    item: str
    total: float
    currency: str


class Orders(BaseModel):
    """Newest first, so the first one is the last order."""

    orders: list[Order]


class Ticket(BaseModel):
    ticket_id: int
    customer_id: int
    opened_at: str = Field(description="ISO date and time")
    status: TicketStatus
    subject: str
    body: str


class Tickets(BaseModel):
    """Newest first."""

    tickets: list[Ticket]


class Deleted(BaseModel):
    customer_id: int
    deleted: bool


server = MCPServer(
    "helpdesk",
    title="Help-desk",
    version="1.0.0",
    instructions="Look a customer up with find_customer first; the other tools take the customer_id it returns.",
    log_level="WARNING",
)
store = Store(default_path())


def _known(customer_id: int) -> None:
    if store.customer(customer_id) is None:
        raise ToolError(f"There is no customer {customer_id}.")


@server.tool(title="Find customers", annotations=READ)
def find_customer(
    query: Annotated[str, Field(description="Name, part of a name, e-mail address or number", min_length=1)],
) -> Customers:
    """Find customers by name, e-mail address or customer number."""
    return Customers.model_validate({"customers": store.find_customers(query)})


@server.tool(title="Customer record", annotations=READ)
def get_customer(customer_id: CustomerId) -> Customer:
    """Get the full record of one customer: contact, address, identifiers."""
    record = store.customer(customer_id)
    if record is None:
        raise ToolError(f"There is no customer {customer_id}.")
    return Customer.model_validate(record)


@server.tool(title="Orders of a customer", annotations=READ)
def list_orders(customer_id: CustomerId) -> Orders:
    """List the orders of a customer with date, status and total, the last order first."""
    _known(customer_id)
    return Orders.model_validate({"orders": store.orders(customer_id)})


@server.tool(title="One order", annotations=READ)
def get_order(order_id: Annotated[str, Field(description="Such as SO-10001")]) -> Order:
    """Get one order by its number."""
    record = store.order(order_id)
    if record is None:
        raise ToolError(f"There is no order {order_id}.")
    return Order.model_validate(record)


@server.tool(title="Tickets of a customer", annotations=READ)
def list_tickets(customer_id: CustomerId) -> Tickets:
    """List the support tickets of a customer, the newest first."""
    _known(customer_id)
    return Tickets.model_validate({"tickets": store.tickets(customer_id)})


@server.tool(title="Search tickets", annotations=READ)
def search_tickets(
    query: Annotated[str, Field(description="Text to look for in subject and body", min_length=1)],
    status: Annotated[TicketStatus | None, Field(description="Only tickets with this status")] = None,
) -> Tickets:
    """Search support tickets by their text."""
    return Tickets.model_validate({"tickets": store.search_tickets(query, status)})


@server.tool(title="Open a ticket", annotations=ADD)
def create_ticket(
    customer_email: Annotated[str, Field(description="E-mail address of the customer the ticket is for")],
    subject: Annotated[str, Field(min_length=1, max_length=200)],
    body: Annotated[str, Field(max_length=10_000)],
) -> Ticket:
    """Open a support ticket for the customer with this e-mail address."""
    customer = store.customer_by_email(customer_email)
    if customer is None:
        raise ToolError("No customer has this e-mail address.")
    return Ticket.model_validate(store.add_ticket(customer["customer_id"], subject, body))


@server.tool(title="Set a ticket's status", annotations=SET)
def update_ticket_status(ticket_id: Annotated[int, Field(ge=1)], status: TicketStatus) -> Ticket:
    """Set the status of a support ticket."""
    ticket = store.set_ticket_status(ticket_id, status)
    if ticket is None:
        raise ToolError(f"There is no ticket {ticket_id}.")
    return Ticket.model_validate(ticket)


@server.tool(title="Delete a customer", annotations=DESTROY)
def delete_customer(customer_id: CustomerId) -> Deleted:
    """Delete a customer with all orders and tickets. This cannot be undone."""
    return Deleted(customer_id=customer_id, deleted=store.delete_customer(customer_id))


@server.resource("helpdesk://faq", title="Help-desk FAQ", mime_type="text/markdown")
def faq() -> str:
    """What agents at the help-desk need to know."""
    return FAQ


@server.resource("helpdesk://schema", title="Database schema", mime_type="application/sql")
def schema() -> str:
    """The tables of the help-desk."""
    return SCHEMA.strip()


@server.resource("helpdesk://customers/{customer_id}", title="Customer record", mime_type="application/json")
def customer_record(customer_id: str) -> str:
    """The full record of one customer."""
    record = store.customer(int(customer_id)) if customer_id.isdecimal() else None
    if record is None:
        raise ResourceNotFoundError(f"There is no customer {customer_id}.")
    return json.dumps(record, ensure_ascii=False)


TONES = ("apologetic", "brief", "formal", "friendly")


@server.prompt(title="Reply to a customer")
def reply_to_customer(customer: str, tone: str = "friendly") -> str:
    """Draft a reply to the newest open ticket of a customer."""
    return (
        f"Find the customer {customer!r}, read their newest open ticket and their last order, and draft a "
        f"{tone} reply. Follow the help-desk FAQ (helpdesk://faq). Do not repeat personal data in the reply."
    )


@server.completion()  # type: ignore[no-untyped-call, untyped-decorator]  # the SDK leaves it untyped
async def complete(
    reference: PromptReference | ResourceTemplateReference,
    argument: CompletionArgument,
    context: CompletionContext | None,
) -> Completion | None:
    """Complete customer names and numbers, and tones."""
    if argument.name == "tone":
        options = list(TONES)
    elif argument.name == "customer":
        options = [row["name"] for row in store.rows("SELECT name FROM customers ORDER BY name")]
    elif argument.name == "customer_id":
        options = [str(row["customer_id"]) for row in store.rows("SELECT customer_id FROM customers")]
    else:
        return None
    values = [option for option in options if option.lower().startswith(argument.value.lower())]
    return Completion(values=values[:100], total=len(values), has_more=len(values) > 100)


if __name__ == "__main__":
    server.run("stdio")
