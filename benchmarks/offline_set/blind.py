"""Questions in five voices: an analyst, a hurried agent, a pupil, a second-language speaker, a lawyer.

Written when the planner had been improved on `train` alone; at their first run 51.5 % were answered exactly, 19.1 %
wrongly. After that run the planner was improved on them too, so that later figures are those of a training set.
"""

# ruff: noqa: E501  (a question stands on one line)

from __future__ import annotations

import hashlib
import random
from typing import Any

from offline_set.world import (
    Slots,
    Template,
    World,
    day,
    later,
    mean,
    median,
    minus,
    money,
    portion,
    roman,
    share,
    total,
    weekday,
)

Made = tuple[Slots, Any]


def _one(w: World, rng: random.Random, orders: int = 1, tickets: int = 0) -> Any:
    return w.customer(rng, orders, tickets)


def spend_eur(w: World, rng: random.Random) -> Made:
    c = _one(w, rng, 2)
    source = w.orders(c)[0]["currency"]
    target = {"EUR": "PLN", "USD": "GBP"}[source]
    return {"n": c["name"], "t": target}, money(total(w.orders(c)), source, target)


def top_item(w: World, rng: random.Random) -> Made:
    c = _one(w, rng, 2)
    return {"n": c["name"]}, max(w.orders(c), key=lambda o: o["total"])["item"]


def mean_order(w: World, rng: random.Random) -> Made:
    c = _one(w, rng, 2)
    return {"n": c["name"]}, mean(w.orders(c))


def fee(w: World, rng: random.Random) -> Made:
    o, p = w.order(rng), rng.choice((3, 12, 19))
    return {"o": o["order_id"], "p": p}, portion(p, o["total"])


def order_share(w: World, rng: random.Random) -> Made:
    c = _one(w, rng, 2)
    orders = w.orders(c)
    return {"n": c["name"]}, share(orders[0]["total"], total(orders))


def buyer_mail(w: World, rng: random.Random) -> Made:
    o = w.order(rng)
    return {"o": o["order_id"]}, w.owner(o)["email"]


def last_status(w: World, rng: random.Random) -> Made:
    c = _one(w, rng)
    return {"n": c["name"]}, w.orders(c)[-1]["status"]


def parcel_day(w: World, rng: random.Random) -> Made:
    o = w.order(rng)
    return {"o": o["order_id"]}, weekday(day(o["ordered_on"]))


def return_by(w: World, rng: random.Random) -> Made:
    o = w.order(rng)
    return {"o": o["order_id"]}, later(o["ordered_on"], 30).isoformat()


def ticket_state(w: World, rng: random.Random) -> Made:
    c = _one(w, rng, tickets=1)
    return {"n": c["name"]}, w.tickets(c)[-1]["status"]


def letters(w: World, rng: random.Random) -> Made:
    o = w.order(rng)
    return {"o": o["order_id"]}, sum(x.isalpha() for x in o["item"])


def roman_total(w: World, rng: random.Random) -> Made:
    a, b = w.two(rng)
    return {"a": a["name"], "b": b["name"]}, roman(len(w.orders(a)) + len(w.orders(b)))


def sugar(w: World, rng: random.Random) -> Made:
    what, n = rng.choice((("sugar", 120), ("butter", 150), ("flour", 200)))
    return {"w": what}, round(n / 1000, 6)


def kelvin(w: World, rng: random.Random) -> Made:
    dish, n = rng.choice((("apple cake", 180), ("tomato soup", 200)))
    return {"d": dish}, round(n + 273.15, 6)


def gap_weeks(w: World, rng: random.Random) -> Made:
    c = _one(w, rng, 3)
    orders = w.orders(c)
    return {"n": c["name"]}, (day(orders[-1]["ordered_on"]) - day(orders[0]["ordered_on"])).days // 7


def more_orders(w: World, rng: random.Random) -> Made:
    while True:
        a, b = w.two(rng)
        if len(w.orders(a)) != len(w.orders(b)):
            return {"a": a["name"], "b": b["name"]}, max((a, b), key=lambda c: len(w.orders(c)))["name"]


def dearer(w: World, rng: random.Random) -> Made:
    a, b = w.order(rng), w.order(rng)
    while a["total"] == b["total"]:
        b = w.order(rng)
    return {"a": a["order_id"], "b": b["order_id"]}, "yes" if a["total"] > b["total"] else "no"


def older_customer(w: World, rng: random.Random) -> Made:
    a, b = sorted(w.two(rng), key=lambda c: c["customer_since"])
    days = (day(b["customer_since"]) - day(a["customer_since"])).days
    return {"a": a["name"], "b": b["name"]}, days


def median_of_buyer(w: World, rng: random.Random) -> Made:
    o = w.order(rng)
    while len(w.orders(w.owner(o))) < 2:
        o = w.order(rng)
    return {"o": o["order_id"]}, median(w.orders(w.owner(o)))


def fingerprint(w: World, rng: random.Random) -> Made:
    c = _one(w, rng, tickets=1)
    return {"n": c["name"]}, hashlib.md5(w.tickets(c)[-1]["subject"].encode()).hexdigest()


def sum_of_two(w: World, rng: random.Random) -> Made:
    a, b = w.order(rng), w.order(rng)
    while a is b:
        b = w.order(rng)
    return {"a": a["order_id"], "b": b["order_id"]}, total([a, b])


def cheap_gap(w: World, rng: random.Random) -> Made:
    c = _one(w, rng, 2)
    orders = w.orders(c)
    return {"n": c["name"]}, abs(minus(orders[-1]["total"], orders[0]["total"]))


def sorted_totals(w: World, rng: random.Random) -> Made:
    c = _one(w, rng, 2)
    totals = sorted((o["total"] for o in w.orders(c)), reverse=True)
    return {"n": c["name"]}, [int(t) if t == int(t) else t for t in totals]


def shout(w: World, rng: random.Random) -> Made:
    o = w.order(rng)
    return {"o": o["order_id"]}, w.owner(o)["name"].upper()


def after_discount(w: World, rng: random.Random) -> Made:
    o, p = w.order(rng), rng.choice((10, 20, 50))
    return {"o": o["order_id"], "p": p}, round(float(o["total"]) * (100 - p) / 100, 6)


BLIND = (
    # the analyst
    Template("spend_eur", 3, "", ("Total spend of {n}, converted into {t}.", "Report the sum of {n}'s orders in {t}."), spend_eur),
    Template("mean_order", 2, "", ("Average order value for {n}?", "What is {n}'s average order total?"), mean_order),
    Template("order_share", 3, "", ("What share of {n}'s total spend is the first order, in percent?",
                                    "{n}'s first order as a percentage of the sum of all orders of {n}?"), order_share),
    Template("median_of_buyer", 3, "", ("Median order total for the buyer of {o}.",
                                        "Give me the median of the order totals of whoever placed {o}."), median_of_buyer),
    Template("sorted_totals", 3, "", ("Rank the order totals of {n} from highest to lowest.",
                                      "{n}'s order totals in descending order?"), sorted_totals),
    # the hurried agent
    Template("last_status", 2, "", ("status of latest order, {n}?", "{n} last order status"), last_status),
    Template("buyer_mail", 2, "", ("email of whoever placed {o}?", "need the e-mail address for the customer of order {o}"), buyer_mail),
    Template("ticket_state", 2, "", ("is {n}'s ticket open, pending or closed?", "state of the ticket from {n}?"), ticket_state),
    Template("return_by", 2, "", ("order {o} + 30 days = which date?", "30 days after order {o}, what date is that?"), return_by),
    Template("fee", 2, "", ("{p}% of order {o}'s total?", "how much would a {p}% fee on order {o} be?"), fee),
    # the pupil
    Template("top_item", 2, "", ("What was the most expensive thing {n} ordered?", "Which item of {n} cost the most?"), top_item),
    Template("letters", 2, "", ("How many letters are in the name of the thing bought in order {o}?",
                                "If I write down the item of order {o}, how many letters do I need?"), letters),
    Template("roman_total", 4, "", ("If you add the number of orders of {a} and the number of orders of {b}, what is it as a Roman numeral?",
                                    "What is the combined number of orders of {a} and {b} in Roman numerals?"), roman_total),
    Template("sugar", 3, "", ("How many kilograms of {w} do I need for the apple cake?",
                              "How much {w} is in the apple cake recipe, in kilograms?"), sugar),
    Template("more_orders", 4, "", ("Who made more orders, {a} or {b}?", "Does {a} or {b} have more orders?"), more_orders),
    # the second-language speaker
    Template("parcel_day", 2, "", ("At which day of the week the order {o} was made?",
                                   "The order {o}, it was placed on what weekday please?"), parcel_day),
    Template("gap_weeks", 3, "", ("How many full weeks are from the first until the last order of {n}?",
                                  "Between first and last order of {n}, how many weeks passed?"), gap_weeks),
    Template("kelvin", 3, "", ("Which temperature has the oven for {d} in Kelvin?",
                               "Please give the temperature for baking {d}, but in kelvin."), kelvin),
    Template("dearer", 3, "", ("Is the order {a} more expensive as the order {b}?", "Did order {a} cost more than order {b}?"), dearer),
    Template("after_discount", 2, "", ("What is the price of order {o} after {p}% discount?",
                                       "If order {o} gets {p}% cheaper, what is the new price?"), after_discount),
    # the lawyer
    Template("older_customer", 4, "", ("By how many days does the customer relationship of {a} predate that of {b}?",
                                       "State the number of days between the dates on which {a} and {b} became customers."), older_customer),
    Template("fingerprint", 3, "", ("State the MD5 digest of the subject line of the ticket filed by {n}.",
                                    "What is the MD5 checksum of the subject of {n}'s ticket?"), fingerprint),
    Template("sum_of_two", 3, "", ("State the aggregate of the totals of orders {a} and {b}.",
                                   "What do orders {a} and {b} amount to in sum?"), sum_of_two),
    Template("cheap_gap", 3, "", ("What is the absolute difference in total between the first and the last order of {n}?",
                                  "By what amount do the totals of {n}'s first and last orders differ?"), cheap_gap),
    Template("shout", 3, "", ("Set out, in capital letters, the name of the customer who placed order {o}.",
                              "The name of the purchaser under order {o}, in upper case."), shout),
)  # fmt: skip
