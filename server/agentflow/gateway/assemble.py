"""Puts the pipeline together from a configuration: the one place that knows every stage.

What is expensive or stateful (vault, audit log, policy engine, conversations) is kept from the previous assembly where
its own settings did not change, so that a reload loses nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from importlib.util import find_spec

from agentflow.audit import record
from agentflow.audit.log import AuditLog
from agentflow.config import Config, StageConfig
from agentflow.gateway.logged import logged
from agentflow.gateway.recorded import recorded
from agentflow.guard.conversations import Conversations
from agentflow.guard.detectors.opinion import SecondOpinion
from agentflow.guard.quarantine import Quarantine
from agentflow.guard.taint import SESSION_TTL, Sessions
from agentflow.guard.taint_store import ConversationStore, TaintStore
from agentflow.guard.vault import Vault
from agentflow.pipeline.call import JSON, Call, UpstreamFacts
from agentflow.pipeline.chain import Pipeline, Recorder, ordered
from agentflow.pipeline.pii import PiiKit, build_pii
from agentflow.pipeline.rates import LocalRates, Rates, SharedRates
from agentflow.pipeline.stage import Stage
from agentflow.pipeline.stages.approve import Approve
from agentflow.pipeline.stages.cache import Cache
from agentflow.pipeline.stages.decide import Decide
from agentflow.pipeline.stages.limit import Limit
from agentflow.pipeline.stages.rate import Rate
from agentflow.pipeline.stages.rehydrate import Rehydrate
from agentflow.pipeline.stages.remember import Remember
from agentflow.pipeline.stages.screen import Screen
from agentflow.pipeline.stages.taint import Taint
from agentflow.pipeline.stages.trace import Trace
from agentflow.pipeline.stages.validate import Validate
from agentflow.policy.approvals import Approvals
from agentflow.policy.approvals_memory import MemoryApprovals
from agentflow.policy.approvals_stored import StoredApprovals
from agentflow.policy.port import PolicyEngine
from agentflow.policy.settings import restricts_hosts
from agentflow.store.opened import Store

_Closable = PolicyEngine | AuditLog | Vault | Conversations | SecondOpinion
OURS = "agentflow"  # the name under which the vault keeps the gateways' own key, beside those of the tenants
FactsOf = Callable[[Call, JSON], tuple[UpstreamFacts, str, JSON] | None]


@dataclass(frozen=True)
class Parts:
    """Everything a configuration builds."""

    config: Config
    pipeline: Pipeline
    decide: Decide
    sessions: Sessions
    conversations: Conversations
    engine: PolicyEngine
    pii: PiiKit
    log: AuditLog
    approvals: Approvals
    quarantine: Quarantine
    second: SecondOpinion
    screen: Screen
    rates: Rates

    def judge(self) -> Screen | None:
        """What decides which definitions are not offered, or None where screening leaves nothing out."""
        setting = self.config.pipeline.stages.get(self.screen.name, StageConfig())
        return self.screen if setting.mode == "enforce" else None

    def begin(self) -> None:
        """Put what is kept from the previous parts under this configuration; called once it is in force."""
        taint = self.config.guard.taint
        self.conversations.bound(taint.live, taint.carry_over, taint.after_restart)

    def close(self, *others: Parts) -> None:
        """Close what none of `others` goes on using."""
        if all(other.engine is not self.engine for other in others):
            self.engine.close()
        if all(other.pii.vault is not self.pii.vault for other in others):
            self.pii.vault.close()
            self.pii.deep.close()
        if all(other.log is not self.log for other in others):
            self.log.close()
        if all(other.conversations is not self.conversations for other in others):
            self.conversations.close()
        if all(other.second is not self.second for other in others):
            self.second.close()
        if all(other.rates is not self.rates for other in others):
            self.rates.close()


def assemble(
    config: Config,
    facts_of: FactsOf,
    engine: PolicyEngine,
    in_force: Callable[[], str],
    previous: Parts | None = None,
    store: Store | None = None,
) -> Parts:
    """Build the parts of `config`.

    Args:
        facts_of: what a listed item stands for (see `Decide`).
        engine: the policy; closed here if the rest cannot be built and it is not the previous one.
        in_force: the revision of the policy that new calls are decided by, also once these parts are replaced.
        previous: the parts in use, for what need not change. `data_dir` is fixed for the life of a process.
        store: where approvals are kept, and calls counted if gateways share it; by default the one that `config`
            names, and calls are counted here.

    Raises:
        ConfigError: the vault has another key, or the order of stages is not usable.
        AgentFlowError: the data directory cannot be used.
    """
    fresh: list[_Closable] = [] if previous and previous.engine is engine else [engine]
    try:
        log = _log(config, previous, fresh)
        pii = _pii(config, previous, fresh)
        sessions, conversations = _conversations(config, pii.vault, previous, fresh)
        approvals = _approvals(config, pii.vault, log, store)
        quarantine = previous.quarantine if previous else Quarantine()
        second = _second(config, pii, previous, fresh)
        rates = previous.rates if previous else _rates(store or Store(config.data_dir, config.store))
        decide = Decide(engine, facts_of, pii.label.found)
        cache = Cache()
        validate, screen = Validate(), Screen(config.guard, quarantine, second)
        validating = config.pipeline.stages.get(validate.name, StageConfig()).mode == "enforce"
        tracing = conversations if config.guard.taint.trace else None
        stages: list[Stage] = [
            Limit(config.limits, rates),
            validate,
            screen,
            pii.label,
            Trace(tracing, lambda: restricts_hosts(engine.bundle.data), _trusts(config)),
            decide,
            Rate(config.limits, rates),
            Approve(approvals, in_force, _auto_approved(config), config.approvals.hold),
            Rehydrate(pii.vault, validate.check if validating else None, config.guard),
            cache,
            Taint(config.guard),
            pii.redact,
            Remember(tracing),
        ]
        chain = ordered(stages, config.pipeline.order)
        pipeline = Pipeline(chain, _recorder(log, pii), config.pipeline.stages, cache, log.ready)
    except Exception:
        for part in fresh:
            part.close()
        raise
    return Parts(
        config, pipeline, decide, sessions, conversations, engine, pii, log, approvals, quarantine, second, screen,
        rates,
    )  # fmt: skip


def _recorder(log: AuditLog, pii: PiiKit) -> Recorder:
    mask = lru_cache(maxsize=1024)(lambda tenant, text: pii.matcher.for_tenant(tenant).mask(text))

    def write(call: Call) -> None:
        log.append(record.of(call, call.events, partial(mask, call.principal.tenant)))
        recorded()
        logged(call)

    return write


def _trusts(config: Config) -> bool:
    """Whether some server is declared trusted, so that those which are not are known to be otherwise."""
    return any(server.trust == "trusted" for server in config.mcp_servers.values())


def _log(config: Config, previous: Parts | None, fresh: list[_Closable]) -> AuditLog:
    if previous and previous.config.audit == config.audit:
        return previous.log
    log = AuditLog(config.data_dir, config.audit)
    fresh.append(log)
    return log


def _pii(config: Config, previous: Parts | None, fresh: list[_Closable]) -> PiiKit:
    if previous and previous.config.guard == config.guard:
        return previous.pii
    pii = build_pii(config)
    fresh.append(pii.vault)
    return pii


def _approvals(config: Config, vault: Vault, log: AuditLog, store: Store | None) -> Approvals:
    """In the store; in this process only where it cannot be had."""
    home = config.auth.home_tenant
    if find_spec("sqlalchemy") is None:
        return MemoryApprovals(home, log.event, config.approvals)
    kept = store or Store(config.data_dir, config.store)
    return StoredApprovals(kept, home, lambda: vault.derived_key(OURS, b"approvals"), log.event, config.approvals)


def _rates(store: Store) -> Rates:
    """Where gateways share the store, they count together."""
    return SharedRates(store) if store.shared else LocalRates()


def _second(config: Config, pii: PiiKit, previous: Parts | None, fresh: list[_Closable]) -> SecondOpinion:
    if previous and previous.config.guard == config.guard:
        return previous.second
    second = SecondOpinion(config.guard, pii.matcher)
    fresh.append(second)
    return second


def _conversations(
    config: Config, vault: Vault, previous: Parts | None, fresh: list[_Closable]
) -> tuple[Sessions, Conversations]:
    taint = config.guard.taint
    if previous:
        return previous.sessions, previous.conversations
    conversations = Conversations(_conversation_store(config, vault), taint.live, taint.carry_over, taint.after_restart)
    fresh.append(conversations)
    return Sessions(config.limits.max_sessions), conversations


def _conversation_store(config: Config, vault: Vault) -> ConversationStore:
    """Where the vault is: gateways that share one share the other."""
    url = config.guard.vault.url
    if url is None:
        return TaintStore(config.data_dir / "taint.db", SESSION_TTL)
    from agentflow.guard.taint_postgres import PostgresTaintStore  # needs psycopg

    return PostgresTaintStore(url.get_secret_value(), vault.derived_key(OURS, b"conversations"), SESSION_TTL)


def _auto_approved(config: Config) -> Callable[[Call], bool]:
    names = {name: frozenset(server.auto_approve) for name, server in config.mcp_servers.items()}

    def approved(call: Call) -> bool:
        return call.target in names.get(call.upstream.name, frozenset())

    return approved
