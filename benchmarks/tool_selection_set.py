"""A catalogue of 2,000 tools as a company's servers would offer them, and questions that say the same in other words.

Everything is drawn by one seed. What the tools call a thing (`invoice`) and what a question calls it (`bill`) are
written side by side below; neither list was looked at by what chooses tools.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from agentflow.flow.port import ToolView

# server: noun of the tools = noun of the questions; …
_THINGS = """
billing: invoice=bill we sent out; payment=money that came in; credit note=amount we gave back; \
subscription=recurring plan; tax rate=VAT percentage; payout=transfer to our bank; dispute=chargeback; \
price list=what we charge
crm: lead=prospect; contact=person we know there; opportunity=possible deal; account=client company; \
campaign=marketing push; quote=offer we made; territory=sales area; activity=touchpoint
helpdesk: ticket=complaint; agent=support person; macro=canned reply; sla policy=promised response time; \
knowledge article=how-to page; satisfaction survey=customer happiness rating; escalation=urgent hand-over; \
queue=backlog of requests
hr: employee=colleague; leave request=time off; payslip=salary statement; job posting=vacancy; \
applicant=candidate; performance review=appraisal; training course=workshop; shift=working hours
warehouse: stock item=goods on hand; bin location=shelf; purchase order=what we bought from suppliers; \
supplier=vendor; shipment=parcel under way; return=goods sent back; pallet=loaded skid; \
inventory count=stocktake
engineering: repository=code base; pull request=proposed code change; build=compile run; \
deployment=release to production; incident=outage; feature flag=toggle; branch=line of development; \
commit=change in the code history
monitoring: alert=alarm; dashboard=overview of charts; log entry=line written by a program; \
metric=measured value; uptime check=ping of a site; trace=path of a request; \
on-call schedule=who is woken at night; service map=what depends on what
calendar: event=appointment; meeting room=conference space; reminder=nudge; attendee=guest; \
availability=free time; time zone=local clock; recurrence=weekly repetition; holiday=bank holiday
mail: message=letter in the inbox; draft=unsent letter; attachment=enclosed file; \
mailbox rule=automatic sorting; mailing list=distribution group; signature=footer of letters; \
spam report=junk notice; folder=place for letters
files: document=paper; shared drive=common storage; permission=who may open it; version=earlier state; \
comment=remark in the margin; template=blank form; trash item=thrown away paper; link=web address to it
travel: flight=plane trip; hotel booking=overnight stay; car rental=hired vehicle; itinerary=route; \
expense report=costs to be refunded; visa=entry permit; boarding pass=ticket to get on; train ticket=rail fare
finance: budget=planned spending; ledger entry=bookkeeping line; cost center=department that pays; \
bank statement=list of account movements; exchange rate=what a currency is worth; forecast=expected figures; \
asset=company property; journal=set of bookings
legal: contract=agreement; clause=paragraph of an agreement; case=lawsuit; trademark=protected brand; \
nda=confidentiality promise; policy=house rule; signature request=paper to be signed; deadline=latest date
marketing: newsletter=regular mailing; audience=target group; landing page=site for visitors from ads; \
ad=advertisement; keyword=search term; social post=tweet; promo code=discount voucher; \
web visit=click on our site
health: patient=sick person; appointment slot=visit at the doctor; prescription=medicine order; \
lab result=blood test; allergy=intolerance; vaccination=jab; diagnosis=what is wrong with somebody; \
referral=sending on to a specialist
education: student=pupil; lecture=class; exam=test; grade=mark; assignment=homework; teacher=instructor; \
enrollment=signing up for a class; scholarship=grant for studies
logistics: vehicle=truck; driver=person at the wheel; route=way to go; delivery=drop-off; \
fuel card=petrol card; depot=yard; customs form=border paper; freight rate=haulage price
realestate: property=house; lease=rental agreement; tenant=renter; viewing=tour of a flat; \
maintenance job=repair; mortgage=home loan; landlord=owner of the flat; inspection=check of the condition
iot: sensor=measuring device; thermostat=heating control; door lock=entrance latch; camera=video watcher; \
light=lamp; energy meter=power counter; gateway device=hub; firmware=device software
media: song=track; playlist=compilation of tracks; podcast episode=audio show; video=clip; photo=picture; \
subtitle=caption; artist=musician; concert=live show
restaurant: menu=list of dishes; table reservation=seat for dinner; recipe=cooking instructions; \
ingredient=foodstuff; waiter shift=serving duty; dish=meal; tip=gratuity; kitchen order=what guests want to eat
security: user account=login; api token=access credential; role=set of rights; \
audit record=trail of who did what; vulnerability=weak spot; certificate=TLS identity; \
firewall rule=traffic filter; secret=hidden password
"""

# verb of the name; how the description says it; how questions say it
_DEEDS = (
    ("list", "Returns all {n} records, newest first, with optional filters.", "Which {q} do we have at the moment?"),
    ("get", "Fetches one {n} by its identifier.", "Tell me everything about the {q} with number {i}."),
    ("search", "Full-text search over {n} entries.", "I am looking for a {q} that has something to do with {w}."),
    ("create", "Creates a new {n} and returns its id.", "Please set up another {q} for {w}."),
    ("update", "Changes fields of an existing {n}.", "The {q} {i} is wrong, correct it to {w}."),
    ("delete", "Permanently removes a {n}.", "Get rid of the {q} {i}."),
    ("count", "Number of {n} records that match a filter.", "How many times does {w} show up as a {q}?"),
    ("export", "Writes {n} data to a CSV file.", "I need a spreadsheet of every {q} from {w}."),
    ("archive", "Moves a {n} to the archive.", "Put the {q} {i} away, we are done with it."),
    ("assign", "Assigns a {n} to a responsible user.", "{w} should take care of the {q} {i} from now on."),
    ("history", "Change log of a {n}.", "Who touched the {q} {i} last week, and what was different before?"),
    ("summarize", "Aggregated statistics about {n} records.", "Give me the average and the total for each {q} of {w}."),
)
_WORDS = ("Berlin", "last month", "Anna Kovacs", "the north team", "project Atlas", "Acme", "the spring sale", "Oslo")
_STYLES = ("{v}_{n}", "{n}_{v}", "{v}{N}", "{s}_{v}_{n}", "{n}.{v}")


@dataclass(frozen=True, slots=True)
class Asked:
    """A question, the tool that answers it, and whether it calls the thing by another name than the tool does."""

    question: str
    tool: str
    reworded: bool


def catalogue(size: int = 2_000, seed: int = 7) -> tuple[list[ToolView], list[Asked]]:
    """`size` tools, and two questions for one tool in five: one in the tools' own nouns, one in other words."""
    chosen = random.Random(seed)
    offers = [(s, n, q, deed) for s, things in _servers() for n, q in things for deed in _DEEDS]
    chosen.shuffle(offers)
    tools, asked = [], []
    for server, noun, other, (verb, said, question) in offers[:size]:
        style = chosen.choice(_STYLES)
        words = noun.split()
        name = style.format(v=verb, n="_".join(words), N="".join(w.title() for w in words), s=server)
        tools.append(_tool(chosen, server, f"{server}__{name}", noun, verb, said))
        if chosen.random() < 0.2:
            given = {"i": chosen.randint(100, 9_999), "w": chosen.choice(_WORDS)}
            asked += [
                Asked(question.format(q=called, **given), tools[-1].name, called != noun) for called in (noun, other)
            ]
    return tools, asked


def _servers() -> list[tuple[str, list[tuple[str, str]]]]:
    found = []
    for line in _THINGS.strip().splitlines():
        server, _, things = line.partition(":")
        pairs = [thing.partition("=") for thing in things.split(";")]
        found.append((server.strip(), [(noun.strip(), other.strip()) for noun, _, other in pairs]))
    return found


def _tool(chosen: random.Random, server: str, name: str, noun: str, verb: str, said: str) -> ToolView:
    key = f"{noun.replace(' ', '_')}_id"
    one = {"get", "update", "delete", "archive", "assign", "history"}
    properties: dict[str, dict[str, str]] = {key: {"type": "string"}} if verb in one else {"filter": {"type": "string"}}
    for extra in chosen.sample(("limit", "cursor", "locale", "fields", "dry_run", "since", "owner"), 2):
        properties[extra] = {"type": "string"}
    description = said.format(n=noun)
    if chosen.random() < 0.4:
        description += chosen.choice((" Requires a valid session.", " Paginated.", " Times are UTC.", " Rate limited."))
    schema = {"type": "object", "properties": properties, "required": [key] if verb in one else []}
    return ToolView(name, "", description, schema, None, {}, server)
