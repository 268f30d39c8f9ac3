"""Whatever is done to approvals, in whatever order: they are as a model of a page says, in SQLite and PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from pydantic import SecretStr

from agentflow.audit.events import Event
from agentflow.config import StoreConfig
from agentflow.errors import AgentFlowError
from agentflow.identity.principal import Principal
from agentflow.policy.approvals import Binding, State, Wanted
from agentflow.policy.approvals_stored import StoredApprovals
from agentflow.store.opened import Store
from agentflow.store.tables import APPROVALS

CALLERS = ["ada", "bob"]
VOTERS = [
    Principal("ada", roles=("agent",)),
    Principal("bob", roles=("finance",)),
    Principal("cat", roles=("finance",)),
    Principal("dan", roles=("operator",)),
    Principal("eve", roles=("finance", "admin"), tenant="other"),
    Principal("root", roles=("admin",)),
]
TTL = 100.0


@dataclass
class Modelled:
    """One approval, as it should be."""

    binding: Binding
    asked: str
    needed: int
    expires: float
    state: str = "open"
    yes: set[str] = field(default_factory=set)
    no: set[str] = field(default_factory=set)

    @property
    def live(self) -> bool:
        return self.state in ("open", "approved")


def may(each: Modelled, voter: Principal, in_band: bool) -> bool:
    if voter.tenant == "default" and voter.id == each.binding.principal:
        return in_band and each.asked == "caller"
    if in_band or voter.tenant != "default":
        return False
    return "admin" in voter.roles or (each.asked == "role:finance" and "finance" in voter.roles)


class Machine(RuleBasedStateMachine):
    store: Store

    def __init__(self) -> None:
        super().__init__()
        self.now, self.revision = 1000.0, 0
        self.model: dict[str, Modelled] = {}
        self.uses: dict[str, int] = {}
        self.gateways = [StoredApprovals(self.store, "default", bytes, self.note, clock=lambda: self.now) for _ in "ab"]

    def note(self, event: Event) -> None:
        if event.event == "used":
            self.uses[event.subject] = self.uses.get(event.subject, 0) + 1

    @initialize()
    def empty(self) -> None:
        with self.store.database().begin() as db:
            db.execute(APPROVALS.delete())

    def pick(self, data: Any) -> str | None:
        return data.draw(st.sampled_from(sorted(self.model, key=list(self.model).index))) if self.model else None

    @rule(
        gateway=st.integers(0, 1),
        caller=st.sampled_from(CALLERS),
        arguments=st.sampled_from("xy"),
        asked=st.sampled_from(["caller", "role:finance"]),
        needed=st.integers(1, 2),
    )
    def ask(self, gateway: int, caller: str, arguments: str, asked: str, needed: int) -> None:
        binding = Binding("default", caller, "tools/call", "s", "t", arguments, str(self.revision))
        got = self.gateways[gateway].ask(binding, Wanted((asked,), needed, TTL))
        for each in self.model.values():
            same = (each.binding.principal, each.binding.arguments) == (caller, arguments)
            if same and each.live and each.binding.revision != binding.revision:
                each.state = "void"
        fitting = [
            id
            for id, each in self.model.items()
            if (each.binding, each.asked, each.needed) == (binding, asked, needed)
            and (each.live or (each.state == "denied" and f"default/{caller}" not in each.no))
            and each.expires > self.now
        ]
        if fitting:
            order = ["approved", "open", "denied"]
            assert got.id in fitting
            assert order.index(got.state) == min(order.index(self.model[id].state) for id in fitting)
        else:
            assert got.id not in self.model and got.state is State.OPEN
            self.model[got.id] = Modelled(binding, asked, needed, self.now + TTL)

    @rule(
        data=st.data(),
        gateway=st.integers(0, 1),
        voter=st.sampled_from(VOTERS),
        approve=st.booleans(),
        in_band=st.booleans(),
    )
    def vote(self, data: Any, gateway: int, voter: Principal, approve: bool, in_band: bool) -> None:
        if (id := self.pick(data)) is not None:
            self.voted(id, gateway, voter, approve, in_band)

    @rule(data=st.data(), gateway=st.integers(0, 1), uses=st.integers(0, 3))
    def everybody_says_yes(self, data: Any, gateway: int, uses: int) -> None:
        if (id := self.pick(data)) is not None:
            for voter in VOTERS:
                self.voted(id, gateway, voter, True, voter.id == self.model[id].binding.principal)
            for number in range(uses):
                self.taken(id, number % 2, True)

    def voted(self, id: str, gateway: int, voter: Principal, approve: bool, in_band: bool) -> None:
        each, name = self.model[id], f"{voter.tenant}/{voter.id}"
        repeated = name in (each.yes if approve else each.no)
        allowed = may(each, voter, in_band) and (repeated or (each.live and not (approve and each.state != "open")))
        try:
            self.gateways[gateway].vote(id, voter, approve, in_band=in_band)
        except AgentFlowError:
            assert not allowed
            return
        assert allowed
        if repeated:
            return
        (each.yes if approve else each.no).add(name)
        (each.no if approve else each.yes).discard(name)
        if not approve:
            each.state = "denied"
        elif len(each.yes) >= each.needed:
            each.state = "approved"

    @rule(data=st.data(), mine=st.booleans())
    def take_at_both(self, data: Any, mine: bool) -> None:
        if (id := self.pick(data)) is not None:
            for gateway in (0, 1):
                self.taken(id, gateway, mine)

    def taken(self, id: str, gateway: int, mine: bool) -> None:
        each = self.model[id]
        binding = each.binding if mine else Binding("default", "ada", "tools/call", "s", "t", "z", "0")
        taken = self.gateways[gateway].take(id, binding, "call")
        assert taken is (mine and each.state == "approved")
        if taken:
            each.state = "used"

    @rule(seconds=st.sampled_from([1.0, 1.0, 1.0, 1.0, 50.0, 100.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds
        for each in self.model.values():
            if each.live and each.expires <= self.now:
                each.state = "expired"

    @rule(changed=st.sampled_from([False, False, True]))
    def another_policy(self, changed: bool) -> None:
        self.revision += changed

    @invariant()
    def everything_is_as_modelled(self) -> None:
        found = self.gateways[0].look(list(self.model))
        assert {id: str(each.state) for id, each in found.items()} == {id: m.state for id, m in self.model.items()}
        assert all(count == 1 for count in self.uses.values())
        for id, each in found.items():
            assert {vote.voter for vote in each.votes if vote.approve} == self.model[id].yes


@contextmanager
def machine(folder: Path, url: str | None) -> Iterator[type[Machine]]:
    with ExitStack() as stack:
        opened = Store(folder, StoreConfig(url=SecretStr(url) if url else None))
        stack.callback(opened.close)
        yield type("Opened", (Machine,), {"store": opened})


@pytest.mark.parametrize("place", ["sqlite", "postgres"])
def test_approvals_do_what_their_model_does(request: pytest.FixtureRequest, tmp_path: Path, place: str) -> None:
    url = request.getfixturevalue("database") if place == "postgres" else None
    with machine(tmp_path, url) as opened:
        run_state_machine_as_test(
            opened,
            settings=settings(
                max_examples=40 if url is None else 20,
                stateful_step_count=25,
                deadline=None,
                suppress_health_check=list(HealthCheck),
            ),
        )
