"""Templates the offline planner was measured on and never improved on: other wordings, other tool combinations."""

from __future__ import annotations

import hashlib
import random
from typing import Any

from offline_set.world import (
    MONTHS,
    Row,
    Slots,
    Template,
    World,
    day,
    later,
    mean,
    minus,
    money,
    portion,
    roman,
    share,
    total,
    weekday,
)

Made = tuple[Slots, Any]


def _name(customer: Row, **more: Any) -> Slots:
    return {"name": customer["name"], **more}


_TARGETS = {"EUR": (("USD", "US dollars"), ("CHF", "Swiss francs")), "USD": (("EUR", "euros"), ("JPY", "Japanese yen"))}


def order_abroad(w: World, rng: random.Random) -> Made:
    o = w.order(rng)
    code, currency = rng.choice(_TARGETS[o["currency"]])
    return {"id": o["order_id"], "code": code, "currency": currency}, money(o["total"], o["currency"], code)


def two_order_dates(w: World, rng: random.Random) -> Made:
    a, b = sorted((w.order(rng), w.order(rng)), key=lambda o: o["ordered_on"])
    while a["ordered_on"] == b["ordered_on"]:
        a, b = sorted((w.order(rng), w.order(rng)), key=lambda o: o["ordered_on"])
    return {"a": a["order_id"], "b": b["order_id"]}, (day(b["ordered_on"]) - day(a["ordered_on"])).days


def order_quarter(w: World, rng: random.Random) -> Made:
    o = w.order(rng)
    return {"id": o["order_id"]}, (day(o["ordered_on"]).month - 1) // 3 + 1


def order_week(w: World, rng: random.Random) -> Made:
    o = w.order(rng)
    return {"id": o["order_id"]}, day(o["ordered_on"]).isocalendar()[1]


def biggest_share(w: World, rng: random.Random) -> Made:
    c = w.customer(rng, 2)
    orders = w.orders(c)
    return _name(c), share(max(o["total"] for o in orders), total(orders))


def subject_letters(w: World, rng: random.Random) -> Made:
    c = w.customer(rng, tickets=1)
    subject = w.tickets(c)[-1]["subject"]
    what, count = rng.choice(
        (("letters", sum(x.isalpha() for x in subject)), ("vowels", sum(x in "aeiouAEIOU" for x in subject)))
    )
    return _name(c, what=what), count


def item_snake(w: World, rng: random.Random) -> Made:
    o = w.order(rng)
    style, done = rng.choice(
        (("snake", o["item"].lower().replace(" ", "_")), ("kebab", o["item"].lower().replace(" ", "-")))
    )
    return {"id": o["order_id"], "style": style}, done


def sibling_orders(w: World, rng: random.Random) -> Made:
    o = w.order(rng)
    return {"id": o["order_id"]}, len(w.orders(w.owner(o)))


def longer_customer(w: World, rng: random.Random) -> Made:
    a, b = w.two(rng)
    return {"a": a["name"], "b": b["name"]}, min((a, b), key=lambda c: c["customer_since"])["name"]


def days_roman(w: World, rng: random.Random) -> Made:
    slots, days = two_order_dates(w, rng)
    return slots, roman(days)


def trial_end(w: World, rng: random.Random) -> Made:
    c, n = w.customer(rng), rng.choice((7, 21, 60))
    return _name(c, n=n), later(c["customer_since"], n).isoformat()


def warranty_end(w: World, rng: random.Random) -> Made:
    c, n = w.customer(rng), rng.choice((2, 3, 6))
    return _name(c, n=n), later(w.orders(c)[-1]["ordered_on"], 7 * n).isoformat()


def sibling_mean(w: World, rng: random.Random) -> Made:
    o = w.order(rng)
    while len(w.orders(w.owner(o))) < 2:
        o = w.order(rng)
    return {"id": o["order_id"]}, mean(w.orders(w.owner(o)))


_GRAMS = (("butter", "apple cake", 150), ("sugar", "apple cake", 120), ("red lentils", "lentil curry", 250))


def scaled_recipe(w: World, rng: random.Random) -> Made:
    what, dish, n = rng.choice(_GRAMS)
    p = rng.choice((10, 30, 50))
    return {"what": what, "dish": dish, "p": p}, portion(p, n)


def item_digest(w: World, rng: random.Random) -> Made:
    c = w.customer(rng)
    return _name(c), hashlib.sha1(w.orders(c)[-1]["item"].encode()).hexdigest()


def sibling_items(w: World, rng: random.Random) -> Made:
    o = w.order(rng)
    while len(w.orders(w.owner(o))) < 2:
        o = w.order(rng)
    return {"id": o["order_id"]}, sorted(x["item"] for x in w.orders(w.owner(o)))


def own_spread(w: World, rng: random.Random) -> Made:
    c = w.customer(rng, 2)
    totals = [o["total"] for o in w.orders(c)]
    return _name(c), minus(max(totals), min(totals))


def joined_apart(w: World, rng: random.Random) -> Made:
    a, b = sorted(w.two(rng), key=lambda c: c["customer_since"])
    return {"a": a["name"], "b": b["name"]}, (day(b["customer_since"]) - day(a["customer_since"])).days


def last_order_weekday(w: World, rng: random.Random) -> Made:
    c = w.customer(rng)
    return _name(c), weekday(day(w.orders(c)[-1]["ordered_on"]))


def first_order_month(w: World, rng: random.Random) -> Made:
    c = w.customer(rng)
    return _name(c), MONTHS[day(w.orders(c)[0]["ordered_on"]).month - 1]


def joined_to_first_order(w: World, rng: random.Random) -> Made:
    c = w.customer(rng)
    return _name(c), (day(w.orders(c)[0]["ordered_on"]) - day(c["customer_since"])).days


def item_length(w: World, rng: random.Random) -> Made:
    c = w.customer(rng)
    return _name(c), len(w.orders(c)[-1]["item"])


_TITLES = (("lentil curry", "Weeknight lentil curry"), ("Berlin", "Weather in Berlin"),
           ("agents and guards", "Why agents need guards"))  # fmt: skip


def title_shouted(w: World, rng: random.Random) -> Made:
    topic, title = rng.choice(_TITLES)
    return {"topic": topic}, title.upper()


def both_count(w: World, rng: random.Random) -> Made:
    a, b = w.two(rng)
    return {"a": a["name"], "b": b["name"]}, len(w.orders(a)) + len(w.orders(b))


def both_total(w: World, rng: random.Random) -> Made:
    a, b = w.two(rng)
    return {"a": a["name"], "b": b["name"]}, total(w.orders(a) + w.orders(b))


def spent_over(w: World, rng: random.Random) -> Made:
    c, n = w.customer(rng), rng.choice((100, 250, 500))
    return _name(c, n=n), "yes" if total(w.orders(c)) > n else "no"


def discounted(w: World, rng: random.Random) -> Made:
    c, p = w.customer(rng), rng.choice((10, 25))
    o = w.orders(c)[-1]
    target = {"EUR": "USD", "USD": "EUR"}[o["currency"]]
    return _name(c, p=p, code=target), portion(p, money(o["total"], o["currency"], target))


_MINUTES = (("apple cake", "bake", 45), ("tomato soup", "roast", 40), ("lentil curry", "simmer", 20))


def baking_seconds(w: World, rng: random.Random) -> Made:
    dish, _, n = rng.choice(_MINUTES)
    return {"dish": dish}, n * 60


def ticket_opened(w: World, rng: random.Random) -> Made:
    c = w.customer(rng, tickets=1)
    return _name(c), w.tickets(c)[-1]["opened_at"][:10]


def order_after(w: World, rng: random.Random) -> Made:
    c = w.customer(rng, 2)
    cut = rng.choice(("2026-03-15", "2026-05-01", "2026-06-01"))
    return _name(c, cut=cut), sum(o["ordered_on"] > cut for o in w.orders(c))


def delivered_count(w: World, rng: random.Random) -> Made:
    c = w.customer(rng, 2)
    return _name(c), sum(o["status"] == "delivered" for o in w.orders(c))


HELD_OUT = (
    Template("order_abroad", 2, "get_order convert_currency", (
        "What would order {id} have cost in {currency}?", "I need the price of order {id} expressed in {code}."),
        order_abroad),
    Template("two_order_dates", 3, "get_order get_order date_difference", (
        "How many days after order {a} was order {b} placed?",
        "Number of days separating the dates of orders {a} and {b}?"), two_order_dates),
    Template("order_quarter", 2, "get_order calendar_facts(quarter)", (
        "In which quarter of the year was order {id} placed?", "Order {id} belongs to what quarter?"), order_quarter),
    Template("order_week", 2, "get_order calendar_facts(week)", (
        "Which calendar week was order {id} made in?", "Tell me the ISO week of order {id}."), order_week),
    Template("biggest_share", 3, "find list_orders percentage", (
        "What percentage of {name}'s total spending is the most expensive order?",
        "{name}'s largest order is what percent of the sum of all of {name}'s orders?"), biggest_share),
    Template("subject_letters", 3, "find list_tickets count_text", (
        "How many {what} are there in the subject of {name}'s ticket?",
        "The subject line of the ticket opened by {name} contains how many {what}?"), subject_letters),
    Template("item_snake", 2, "get_order change_case", (
        "Put the item of order {id} into {style} case.", "How is the product in order {id} spelled in {style} case?"),
        item_snake),
    Template("sibling_orders", 2, "get_order list_orders", (
        "The customer who placed order {id} has how many orders altogether?",
        "How many orders has the customer of order {id} placed?"), sibling_orders),
    Template("longer_customer", 4, "find find get_customer get_customer +compare", (
        "Who has been a customer longer, {a} or {b}?", "Which person became a customer earlier: {a} or {b}?"),
        longer_customer),
    Template("days_roman", 4, "get_order get_order date_difference roman_numeral", (
        "Express the number of days between order {a} and order {b} as a Roman numeral.",
        "In Roman numerals, how many days are there between order {a} and order {b}?"), days_roman),
    Template("trial_end", 3, "find get_customer shift_date", (
        "What was the date {n} days after {name} became a customer?",
        "Take the day {name} became a customer and add {n} days: which date is that?"), trial_end),
    Template("warranty_end", 3, "find list_orders shift_date", (
        "Which date comes {n} weeks after {name}'s most recent order?",
        "If something is due {n} weeks after the latest order of {name}, when is that?"), warranty_end),
    Template("sibling_mean", 3, "get_order list_orders statistics", (
        "What is the mean order total of the customer who made order {id}?",
        "For the customer of order {id}, what do all orders cost on average?"), sibling_mean),
    Template("scaled_recipe", 3, "search_pages fetch_page percentage", (
        "What is {p}% of the grams of {what} in the {dish} recipe?",
        "How many grams are {p} percent of the {what} that the {dish} recipe calls for?"), scaled_recipe),
    Template("item_digest", 3, "find list_orders hash_text", (
        "Compute the SHA-1 checksum of the item in the latest order from {name}.",
        "What SHA1 digest does the item name of {name}'s last order have?"), item_digest),
    Template("sibling_items", 3, "get_order list_orders sort_values", (
        "Give all items ordered by the customer of order {id}, from A to Z.",
        "Put the items bought by the customer behind order {id} in alphabetical order."), sibling_items),
    Template("own_spread", 2, "find list_orders +subtract", (
        "How much more did {name}'s most expensive order cost than the cheapest one?",
        "What is the gap between the highest and the lowest order total of {name}?"), own_spread),
    Template("joined_apart", 4, "find find get_customer get_customer date_difference", (
        "How many days earlier than {b} did {a} become a customer?",
        "What is the number of days between {a} and {b} becoming customers?"), joined_apart),
    Template("last_order_weekday", 3, "find list_orders calendar_facts", (
        "What day of the week did {name} place the most recent order?",
        "{name}'s last order was made on which weekday?"), last_order_weekday),
    Template("first_order_month", 3, "find list_orders calendar_facts(month)", (
        "In what month did {name} place the first order?", "Name the month of {name}'s earliest order."),
        first_order_month),
    Template("joined_to_first_order", 4, "find get_customer list_orders date_difference", (
        "How many days passed between {name} becoming a customer and {name}'s first order?",
        "After how many days as a customer did {name} place the first order?"), joined_to_first_order),
    Template("item_length", 3, "find list_orders count_text", (
        "How many characters long is the item name of {name}'s newest order?",
        "Count the characters of the item in the last order of {name}."), item_length),
    Template("title_shouted", 2, "search_pages change_case", (
        "What is the title of the page about {topic} in all caps?",
        "Give the title of the page on {topic}, written in capitals."), title_shouted),
    Template("both_count", 4, "find find list_orders list_orders +add", (
        "How many orders do {a} and {b} have together?", "What's the combined number of orders of {a} and {b}?"),
        both_count),
    Template("both_total", 4, "find find list_orders list_orders +sum", (
        "What did {a} and {b} spend together on all their orders?",
        "Add the sum of {a}'s orders to the sum of {b}'s orders."), both_total),
    Template("spent_over", 3, "find list_orders +sum +compare", (
        "Has {name} spent more than {n} in total?", "Is the sum of all order totals of {name} above {n}?"), spent_over),
    Template("discounted", 4, "find list_orders convert_currency percentage", (
        "What is {p}% of the total of {name}'s last order in {code}?",
        "Convert the last order total of {name} to {code} and take {p}% of it."), discounted),
    Template("baking_seconds", 3, "search_pages fetch_page convert_units(duration)", (
        "How many seconds does the {dish} take to cook?", "The cooking time of the {dish} in seconds, please."),
        baking_seconds),
    Template("ticket_opened", 2, "find list_tickets", (
        "On what date did {name} open a ticket?", "What's the opening date of {name}'s ticket?"), ticket_opened),
    Template("order_after", 2, "find list_orders +filter +count", (
        "How many of {name}'s orders were placed after {cut}?", "Since {cut}, how many orders has {name} made?"),
        order_after),
    Template("delivered_count", 2, "find list_orders +count(status)", (
        "How many of the orders of {name} have been delivered?", "{name}: number of delivered orders?"),
        delivered_count),
)  # fmt: skip
