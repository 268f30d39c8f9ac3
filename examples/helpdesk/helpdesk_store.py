"""The help-desk's database: customers, their orders and their tickets, in one SQLite file.

Promises the same twenty customers on every machine: the file is seeded once, in one transaction, so that
several processes may start on it at the same time. All people, numbers and addresses are made up.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

Row = dict[str, Any]

SCHEMA = """
CREATE TABLE customers (
    customer_id INTEGER PRIMARY KEY, name TEXT NOT NULL, email TEXT NOT NULL UNIQUE, phone TEXT NOT NULL,
    ssn TEXT, iban TEXT, address TEXT NOT NULL, customer_since TEXT NOT NULL
);
CREATE TABLE orders (
    order_id TEXT PRIMARY KEY, customer_id INTEGER NOT NULL REFERENCES customers ON DELETE CASCADE,
    ordered_on TEXT NOT NULL, status TEXT NOT NULL, item TEXT NOT NULL, total REAL NOT NULL, currency TEXT NOT NULL
);
CREATE TABLE tickets (
    ticket_id INTEGER PRIMARY KEY, customer_id INTEGER NOT NULL REFERENCES customers ON DELETE CASCADE,
    opened_at TEXT NOT NULL, status TEXT NOT NULL, subject TEXT NOT NULL, body TEXT NOT NULL
);
"""

# name, e-mail, phone, social security number or None, IBAN or None, address
_PEOPLE = (
    ("Ada Lindqvist", "ada.lindqvist@example.com", "+46 70 174 06 32", None, "SE4550000000058398257466",
     "Strandvägen 12, 114 56 Stockholm"),
    ("Marcus Bell", "marcus.bell@example.org", "+1 206 555 0143", "536-22-8411", None,
     "418 Pine Street, Seattle, WA 98101"),
    ("Ingrid Sommer", "ingrid.sommer@example.net", "+49 1512 3456789", None, "DE89370400440532013000",
     "Lindenstraße 7, 10969 Berlin"),
    ("Tomás Herrera", "tomas.herrera@example.com", "+34 612 345 678", None, "ES9121000418450200051332",
     "Calle de Atocha 31, 28012 Madrid"),
    ("Grace Okafor", "grace.okafor@example.org", "+1 312 555 0177", "341-58-2906", None,
     "2250 N Clark Street, Chicago, IL 60614"),
    ("Oliver Whitfield", "o.whitfield@example.co.uk", "+44 7700 900142", None, "GB29NWBK60161331926819",
     "9 Orchard Lane, Bath BA1 4PT"),
    ("Camille Laurent", "camille.laurent@example.com", "+33 6 12 34 56 78", None, "FR1420041010050500013M02606",
     "14 rue des Lilas, 75019 Paris"),
    ("Hiro Tanaka", "hiro.tanaka@example.net", "+1 415 555 0119", "552-41-7730", None,
     "77 Post Street, San Francisco, CA 94108"),
    ("Femke de Vries", "femke.devries@example.org", "+31 6 12345678", None, "NL91ABNA0417164300",
     "Prinsengracht 263, 1016 GV Amsterdam"),
    ("Nadia Haddad", "nadia.haddad@example.com", "+1 617 555 0166", "029-64-1187", None,
     "35 Beacon Street, Boston, MA 02108"),
    ("Luca Moretti", "luca.moretti@example.net", "+39 347 123 4567", None, "IT60X0542811101000000123456",
     "Via Garibaldi 22, 20121 Milano"),
    ("Priya Raman", "priya.raman@example.org", "+1 512 555 0184", "461-33-9052", None,
     "1100 Congress Avenue, Austin, TX 78701"),
    ("Johannes Gruber", "j.gruber@example.com", "+43 664 1234567", None, "AT611904300234573201",
     "Mariahilfer Straße 88, 1070 Wien"),
    ("Sarah Whitaker", "sarah.whitaker@example.net", "+1 303 555 0121", "523-77-4068", None,
     "900 Larimer Street, Denver, CO 80204"),
    ("Elise Dubois", "elise.dubois@example.org", "+32 470 12 34 56", None, "BE68539007547034",
     "Rue Royale 41, 1000 Bruxelles"),
    ("Daniel Kim", "daniel.kim@example.com", "+1 213 555 0158", "570-19-6243", None,
     "640 S Spring Street, Los Angeles, CA 90014"),
    ("Reto Baumann", "reto.baumann@example.net", "+41 79 123 45 67", None, "CH9300762011623852957",
     "Bahnhofstrasse 3, 8001 Zürich"),
    ("Amelia Stone", "amelia.stone@example.org", "+1 404 555 0132", "258-90-3314", None,
     "50 Peachtree Place, Atlanta, GA 30309"),
    ("Yusuf Demir", "yusuf.demir@example.com", "+1 718 555 0195", "112-46-8079", None,
     "221 Court Street, Brooklyn, NY 11201"),
    ("Zofia Nowak", "zofia.nowak@example.net", "+1 602 555 0107", "527-35-6691", None,
     "15 E Monroe Street, Phoenix, AZ 85004"),
)  # fmt: skip

_ITEMS = (("Desk lamp", 49.0), ("Standing desk", 389.0), ("Office chair", 219.5), ("Monitor arm", 84.9),
          ("Keyboard", 119.0), ("Footrest", 32.5), ("Cable tray", 18.9))  # fmt: skip
_STATUSES = ("shipped", "delivered", "processing", "returned", "delivered")
_TICKETS = (
    ("Invoice shows the wrong address", "pending",
     "Please correct the address on my last invoice and send it to {email} again."),
    ("Parcel did not arrive", "open",
     "The courier says it was delivered, but nobody was here. Call me on {phone}."),
    ("Charged twice", "open",
     "My card 4111 1111 1111 1111 was charged twice for the same order."),
    ("How do I return a chair?", "closed", "It squeaks. Where do I send it?"),
)  # fmt: skip


def default_path() -> Path:
    """`HELPDESK_DB`, or a file in the user's cache folder."""
    if given := os.environ.get("HELPDESK_DB"):
        return Path(given)
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "agentflow-examples" / "helpdesk.db"


class Store:
    """The database at `path`, made and seeded when it is not there yet. One connection per call."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._connection(immediate=True) as db:
            if db.execute("PRAGMA user_version").fetchone()[0] == 0:
                _seed(db)

    @contextmanager
    def _connection(self, *, immediate: bool = False) -> Iterator[sqlite3.Connection]:
        db = sqlite3.connect(self.path, timeout=30, isolation_level=None)
        db.row_factory = sqlite3.Row
        try:
            db.execute("PRAGMA foreign_keys = ON")
            db.execute("BEGIN IMMEDIATE" if immediate else "BEGIN")
            yield db
            db.execute("COMMIT")
        finally:
            db.close()  # without COMMIT nothing of the transaction stays

    def rows(self, sql: str, *values: Any) -> list[Row]:
        """What `sql` selects."""
        with self._connection() as db:
            return [dict(row) for row in db.execute(sql, values)]

    def change(self, sql: str, *values: Any) -> tuple[int, int]:
        """Run one statement that writes; returns `(rows changed, id of the new row)`."""
        with self._connection(immediate=True) as db:
            cursor = db.execute(sql, values)
            return cursor.rowcount, cursor.lastrowid or 0

    def find_customers(self, query: str, limit: int = 10) -> list[Row]:
        """Customers whose name or e-mail contains every word of `query`, or whose id it is."""
        words = query.lower().split()
        clause = " AND ".join("lower(name || ' ' || email || ' ' || customer_id) LIKE ?" for _ in words) or "0"
        sql = f"SELECT * FROM customers WHERE {clause} ORDER BY customer_id LIMIT ?"
        return self.rows(sql, *(f"%{word}%" for word in words), limit)

    def customer(self, customer_id: int) -> Row | None:
        return next(iter(self.rows("SELECT * FROM customers WHERE customer_id = ?", customer_id)), None)

    def customer_by_email(self, email: str) -> Row | None:
        return next(iter(self.rows("SELECT * FROM customers WHERE lower(email) = lower(?)", email.strip())), None)

    def orders(self, customer_id: int) -> list[Row]:
        """Newest first."""
        return self.rows("SELECT * FROM orders WHERE customer_id = ? ORDER BY ordered_on DESC", customer_id)

    def order(self, order_id: str) -> Row | None:
        return next(iter(self.rows("SELECT * FROM orders WHERE order_id = ?", order_id)), None)

    def tickets(self, customer_id: int) -> list[Row]:
        """Newest first."""
        return self.rows("SELECT * FROM tickets WHERE customer_id = ? ORDER BY ticket_id DESC", customer_id)

    def ticket(self, ticket_id: int) -> Row | None:
        return next(iter(self.rows("SELECT * FROM tickets WHERE ticket_id = ?", ticket_id)), None)

    def search_tickets(self, query: str, status: str | None, limit: int = 20) -> list[Row]:
        sql = (
            "SELECT * FROM tickets WHERE lower(subject || ' ' || body) LIKE lower(?) AND (? IS NULL OR status = ?)"
            " ORDER BY ticket_id DESC LIMIT ?"
        )
        return self.rows(sql, f"%{query}%", status, status, limit)

    def add_ticket(self, customer_id: int, subject: str, body: str) -> Row:
        now = datetime.now(UTC).isoformat(timespec="seconds")
        sql = "INSERT INTO tickets (customer_id, opened_at, status, subject, body) VALUES (?, ?, 'open', ?, ?)"
        _, ticket_id = self.change(sql, customer_id, now, subject, body)
        ticket = self.ticket(ticket_id)
        assert ticket is not None
        return ticket

    def set_ticket_status(self, ticket_id: int, status: str) -> Row | None:
        self.change("UPDATE tickets SET status = ? WHERE ticket_id = ?", status, ticket_id)
        return self.ticket(ticket_id)

    def delete_customer(self, customer_id: int) -> bool:
        """Remove the customer with all orders and tickets; False when there was none."""
        return self.change("DELETE FROM customers WHERE customer_id = ?", customer_id)[0] > 0


def _seed(db: sqlite3.Connection) -> None:
    for statement in SCHEMA.split(";"):
        db.execute(statement)
    start = date(2026, 2, 3)
    order_number = 10_001
    for number, (name, email, phone, ssn, iban, address) in enumerate(_PEOPLE, 1):
        since = (date(2019, 1, 14) + timedelta(days=97 * number)).isoformat()
        db.execute(
            "INSERT INTO customers VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (number, name, email, phone, ssn, iban, address, since),
        )
        count = 1 + number % 4
        for turn in range(count):
            item, price = _ITEMS[(number + 3 * turn) % len(_ITEMS)]
            ordered_on = (start + timedelta(days=5 * number + 41 * turn)).isoformat()
            # Older orders have long arrived; only the last one is on its way somewhere.
            status = _STATUSES[(number - 1) % len(_STATUSES)] if turn == count - 1 else "delivered"
            db.execute(
                "INSERT INTO orders VALUES (?, ?, ?, ?, ?, ?, ?)",
                (f"SO-{order_number}", number, ordered_on, status, item, price, "EUR" if iban else "USD"),
            )
            order_number += 1
        if number % 3 != 0:
            subject, status, body = _TICKETS[number % len(_TICKETS)]
            opened = datetime(2026, 5, 1 + number, 9, 30, tzinfo=UTC).isoformat(timespec="seconds")
            db.execute(
                "INSERT INTO tickets (customer_id, opened_at, status, subject, body) VALUES (?, ?, ?, ?, ?)",
                (number, opened, status, subject, body.format(email=email, phone=phone)),
            )
    db.execute("PRAGMA user_version = 1")
