"""Questions written after everything else, for one run: nothing in the planner was changed for them."""

# ruff: noqa: E501  (a question stands on one line)

from __future__ import annotations

import hashlib
import random
from typing import Any

from offline_set.world import Slots, Template, World, day, later, mean, median, money, portion, roman, total, weekday

Made = tuple[Slots, Any]


def _c(w: World, rng: random.Random, orders: int = 1, tickets: int = 0) -> Any:
    return w.customer(rng, orders, tickets)


def t1(w: World, rng: random.Random) -> Made:
    c = _c(w, rng, tickets=1)
    return {"n": c["name"]}, weekday(day(w.tickets(c)[-1]["opened_at"]))


def t2(w: World, rng: random.Random) -> Made:
    c = _c(w, rng, tickets=1)
    return {"n": c["name"]}, later(w.tickets(c)[-1]["opened_at"], 14).isoformat()


def t3(w: World, rng: random.Random) -> Made:
    c = _c(w, rng, 2)
    o = min(w.orders(c), key=lambda x: x["total"])
    target = {"EUR": "JPY", "USD": "CHF"}[o["currency"]]
    return {"n": c["name"], "t": target}, money(o["total"], o["currency"], target)


def t4(w: World, rng: random.Random) -> Made:
    o = w.order(rng)
    return {"o": o["order_id"]}, hashlib.sha512(o["status"].encode()).hexdigest()


def t5(w: World, rng: random.Random) -> Made:
    c = _c(w, rng, 2)
    return {"n": c["name"]}, median(w.orders(c))


def t6(w: World, rng: random.Random) -> Made:
    o = w.order(rng)
    return {"o": o["order_id"]}, w.owner(o)["customer_since"][:4]


def t7(w: World, rng: random.Random) -> Made:
    a, b = w.two(rng, tickets=1)
    while len(w.orders(a)) == len(w.orders(b)):
        a, b = w.two(rng)
    return {"a": a["name"], "b": b["name"]}, abs(len(w.orders(a)) - len(w.orders(b)))


def t8(w: World, rng: random.Random) -> Made:
    c = _c(w, rng)
    o = w.orders(c)[0]
    return {"n": c["name"]}, o["item"].upper()


def t9(w: World, rng: random.Random) -> Made:
    o, p = w.order(rng), rng.choice((8, 21))
    return {"o": o["order_id"], "p": p}, round(o["total"] + portion(p, o["total"]), 6)


def t10(w: World, rng: random.Random) -> Made:
    c = _c(w, rng, 2)
    return {"n": c["name"]}, roman(round(mean(w.orders(c)) + 1e-9))


def t11(w: World, rng: random.Random) -> Made:
    a, b = w.two(rng, 1)
    while total(w.orders(a)) == total(w.orders(b)):
        a, b = w.two(rng, 1)
    return {"a": a["name"], "b": b["name"]}, "yes" if total(w.orders(a)) > total(w.orders(b)) else "no"


def t12(w: World, rng: random.Random) -> Made:
    c = _c(w, rng, tickets=1)
    first = w.orders(c)[0]["ordered_on"]
    return {"n": c["name"]}, abs((day(w.tickets(c)[-1]["opened_at"]) - day(first)).days)


FRESH = (
    Template("ticket weekday", 3, "", ("What weekday was it when {n} opened a ticket?", "The ticket of {n} was opened on which day of the week?"), t1),
    Template("ticket shifted", 3, "", ("A reply is due 14 days after {n}'s ticket was opened. Which date is that?", "What is the date two weeks after the ticket of {n} was opened?"), t2),
    Template("cheapest abroad", 3, "", ("How many {t} is {n}'s cheapest order?", "Price of the least expensive order of {n} in {t}?"), t3),
    Template("status digest", 2, "", ("SHA-512 of the status of order {o}, please.", "Hash the status of order {o} with SHA-512."), t4),
    Template("middle total", 3, "", ("Among the totals of {n}'s orders, what is the median?", "Find the median of what {n}'s orders cost."), t5),
    Template("since which year", 3, "", ("In what year did the person behind order {o} sign up as a customer?", "Which year did the buyer of order {o} become a customer?"), t6),
    Template("orders apart", 4, "", ("What is the difference between the number of orders of {a} and the number of orders of {b}?", "By how many orders do {a} and {b} differ?"), t7),
    Template("first item", 3, "", ("Which item did {n} order first? Answer in capital letters.", "First item ever bought by {n}, in uppercase?"), t8),
    Template("with tax", 2, "", ("Add {p}% tax to the total of order {o}.", "What does order {o} come to once {p}% VAT is added?"), t9),
    Template("mean roman", 4, "", ("Round the average order total of {n} to a whole number and write it as a Roman numeral.", "The mean of {n}'s order totals, rounded to an integer, in Roman numerals?"), t10),
    Template("outspent", 4, "", ("Did {a} spend more than {b} in total?", "Is {a}'s total spending higher than {b}'s?"), t11),
    Template("order to ticket", 4, "", ("How many days separate {n}'s first order and {n}'s ticket?", "How many days after the first order did {n} open the ticket?"), t12),
)  # fmt: skip
