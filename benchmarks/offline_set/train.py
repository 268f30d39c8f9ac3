"""Templates the offline planner was improved on."""

from __future__ import annotations

import hashlib
import random
from typing import Any

from offline_set.world import (
    Row,
    Slots,
    Template,
    World,
    day,
    later,
    median,
    minus,
    money,
    portion,
    roman,
    total,
    weekday,
)

Made = tuple[Slots, Any]
_ORDINALS = (("first", 0), ("last", -1))


def _name(customer: Row, **more: Any) -> Slots:
    return {"name": customer["name"], **more}


def status(w: World, rng: random.Random) -> Made:
    c, (which, at) = w.customer(rng), rng.choice(_ORDINALS)
    return _name(c, which=which), w.orders(c)[at]["status"]


def item_of_cheapest(w: World, rng: random.Random) -> Made:
    c = w.customer(rng, 2)
    return _name(c), min(w.orders(c), key=lambda o: o["total"])["item"]


def last_order_converted(w: World, rng: random.Random) -> Made:
    c = w.customer(rng)
    o = w.orders(c)[-1]
    target = {"EUR": ("GBP", "British pounds"), "USD": ("SEK", "Swedish kronor")}[o["currency"]]
    return _name(c, code=target[0], currency=target[1]), money(o["total"], o["currency"], target[0])


def between_own_orders(w: World, rng: random.Random) -> Made:
    c = w.customer(rng, 2)
    orders = w.orders(c)
    return _name(c), (day(orders[-1]["ordered_on"]) - day(orders[0]["ordered_on"])).days


def joined_weekday(w: World, rng: random.Random) -> Made:
    c = w.customer(rng)
    return _name(c), weekday(day(c["customer_since"]))


def percent_of_order(w: World, rng: random.Random) -> Made:
    o, percent = w.order(rng), rng.choice((5, 15, 20, 25, 40))
    return {"id": o["order_id"], "p": percent}, portion(percent, o["total"])


_TOPICS = {
    "https://docs.example/returns-policy": "returns policy",
    "https://travel.example/stockholm-in-a-day": "Stockholm in a day",
    "https://weather.example/berlin": "the weather in Berlin",
    "https://news.example/office-furniture-recall": "standing desks recalled",
}


def words_on_page(w: World, rng: random.Random) -> Made:
    url, topic = rng.choice(sorted(_TOPICS.items()))
    return {"topic": topic}, len(w.pages[url][1].split())


def subject_upper(w: World, rng: random.Random) -> Made:
    c = w.customer(rng, tickets=1)
    return _name(c), w.tickets(c)[-1]["subject"].upper()


def who_ordered(w: World, rng: random.Random) -> Made:
    o = w.order(rng)
    return {"id": o["order_id"]}, w.owner(o)["name"]


def since_of_buyer(w: World, rng: random.Random) -> Made:
    o = w.order(rng)
    return {"id": o["order_id"]}, w.owner(o)["customer_since"]


def who_spent_more(w: World, rng: random.Random) -> Made:
    a, b = w.two(rng, 2)
    while total(w.orders(a)) == total(w.orders(b)):
        a, b = w.two(rng, 2)
    return {"a": a["name"], "b": b["name"]}, max((a, b), key=lambda c: total(w.orders(c)))["name"]


def order_count_roman(w: World, rng: random.Random) -> Made:
    c = w.customer(rng)
    return _name(c), roman(len(w.orders(c)))


def due_date(w: World, rng: random.Random) -> Made:
    o, n = w.order(rng), rng.choice((14, 30, 45, 90))
    return {"id": o["order_id"], "n": n}, later(o["ordered_on"], n).isoformat()


def due_weekday(w: World, rng: random.Random) -> Made:
    o, n = w.order(rng), rng.choice((10, 30, 45))
    return {"id": o["order_id"], "n": n}, weekday(later(o["ordered_on"], n))


def median_total(w: World, rng: random.Random) -> Made:
    c = w.customer(rng, 2)
    return _name(c), median(w.orders(c))


_FACTS = (
    ("grams of butter", "apple cake", 150),
    ("grams of red lentils", "lentil curry", 250),
    ("millilitres of water", "lentil curry", 600),
    ("grams of flour", "apple cake", 200),
    ("cloves of garlic", "tomato soup", 4),
)


def quantity(w: World, rng: random.Random) -> Made:
    what, dish, n = rng.choice(_FACTS)
    return {"what": what, "dish": dish}, n


def oven(w: World, rng: random.Random) -> Made:
    dish, n = rng.choice((("roasted tomato soup", 200), ("apple cake", 180)))
    return {"dish": dish}, round(n * 9 / 5 + 32, 6)


def item_hash(w: World, rng: random.Random) -> Made:
    o = w.order(rng)
    name, algorithm = rng.choice((("SHA-256", "sha256"), ("MD5", "md5")))
    return {"id": o["order_id"], "h": name}, hashlib.new(algorithm, o["item"].encode()).hexdigest()


def items_sorted(w: World, rng: random.Random) -> Made:
    c = w.customer(rng, 2)
    return _name(c), sorted(o["item"] for o in w.orders(c))


def totals_apart(w: World, rng: random.Random) -> Made:
    a, b = sorted((w.order(rng), w.order(rng)), key=lambda o: -o["total"])
    while a["total"] == b["total"]:
        a, b = sorted((w.order(rng), w.order(rng)), key=lambda o: -o["total"])
    return {"a": a["order_id"], "b": b["order_id"]}, minus(a["total"], b["total"])


def open_tickets(w: World, rng: random.Random) -> Made:
    c = w.customer(rng)
    state = rng.choice(("open", "closed", "pending"))
    return _name(c, state=state), sum(t["status"] == state for t in w.tickets(c))


TRAIN = (
    Template("status", 2, "find list_orders", (
        "What is the status of {name}'s {which} order?",
        "Tell me what state the {which} order of {name} is in."), status),
    Template("item_of_cheapest", 2, "find list_orders +min", (
        "Which item was in the cheapest order of {name}?", "What did {name} buy in the lowest-priced order?"),
        item_of_cheapest),
    Template("last_order_converted", 3, "find list_orders convert_currency", (
        "How much is the last order of {name} in {currency}?",
        "Convert the total of {name}'s latest order to {code}."), last_order_converted),
    Template("between_own_orders", 3, "find list_orders date_difference", (
        "How many days lie between the first and the last order of {name}?",
        "How many days passed from {name}'s first order to {name}'s last order?"), between_own_orders),
    Template("joined_weekday", 3, "find get_customer calendar_facts", (
        "On which weekday did {name} become a customer?",
        "What day of the week was it when {name} became a customer?"), joined_weekday),
    Template("percent_of_order", 2, "get_order percentage", (
        "What is {p}% of the total of order {id}?", "How much is {p} percent of what order {id} cost?"),
        percent_of_order),
    Template("words_on_page", 3, "search_pages fetch_page count_text", (
        "How many words does the page about {topic} have?", "Count the words in the text of the page on {topic}."),
        words_on_page),
    Template("subject_upper", 3, "find list_tickets change_case", (
        "Write the subject of {name}'s latest ticket in upper case.",
        "What is the subject of the newest ticket of {name} in capital letters?"), subject_upper),
    Template("who_ordered", 2, "get_order get_customer", (
        "Who placed order {id}?", "What is the name of the customer behind order {id}?"), who_ordered),
    Template("since_of_buyer", 2, "get_order get_customer", (
        "Since when has the buyer of order {id} been a customer?",
        "When did the customer who placed order {id} become a customer?"), since_of_buyer),
    Template("who_spent_more", 4, "find find list_orders list_orders +compare", (
        "Who has spent more in total, {a} or {b}?",
        "Which of {a} and {b} has the higher sum of order totals?"), who_spent_more),
    Template("order_count_roman", 3, "find list_orders roman_numeral", (
        "How many orders does {name} have, as a Roman numeral?",
        "Write the number of {name}'s orders in Roman numerals."), order_count_roman),
    Template("due_date", 2, "get_order shift_date", (
        "What date is {n} days after order {id} was placed?",
        "Which date do I get when I add {n} days to the date of order {id}?"), due_date),
    Template("due_weekday", 3, "get_order shift_date calendar_facts", (
        "On which weekday does the date {n} days after order {id} fall?",
        "What weekday is it {n} days after the date of order {id}?"), due_weekday),
    Template("median_total", 3, "find list_orders statistics", (
        "What is the median of {name}'s order totals?", "Compute the median total of all orders by {name}."),
        median_total),
    Template("quantity", 2, "search_pages fetch_page +extract", (
        "How many {what} does the {dish} recipe need?", "According to the {dish} page, how many {what} are used?"),
        quantity),
    Template("oven", 3, "search_pages fetch_page convert_units", (
        "What is the oven temperature of the {dish} recipe in Fahrenheit?",
        "At how many degrees Fahrenheit is the {dish} made?"), oven),
    Template("item_hash", 2, "get_order hash_text", (
        "What is the {h} hash of the item of order {id}?", "Give me the {h} of the item name in order {id}."),
        item_hash),
    Template("items_sorted", 3, "find list_orders sort_values", (
        "List the items {name} ordered in alphabetical order.", "Sort the items of {name}'s orders alphabetically."),
        items_sorted),
    Template("totals_apart", 2, "get_order get_order +subtract", (
        "By how much is the total of order {a} higher than that of order {b}?",
        "What is the difference between the totals of orders {a} and {b}?"), totals_apart),
    Template("open_tickets", 2, "find list_tickets +count", (
        "How many {state} tickets does {name} have?", "Count the {state} tickets of {name}."), open_tickets),
)  # fmt: skip
