"""The modules of a run: by rules or by a model, and the reasoning pattern that drives them.

Promises: every pattern works with a model and without one; what thinks is decided once, before the run. Where the
settings leave it open (`auto`) a model plans if there is any, and the rules go on where none answers.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from agentflow.config_flow import FlowConfig, Pattern
from agentflow.errors import ConfigError
from agentflow.flow.account import Pieces
from agentflow.flow.local import LocalPlanner, LocalWriter
from agentflow.flow.offline import OfflinePlanner
from agentflow.flow.patterns.direct import Direct
from agentflow.flow.patterns.plan_solve import ModelOutliner, PlanAndSolve, RuleOutliner
from agentflow.flow.patterns.react import ObservingVerifier, ReActPlanner, ReActWriter
from agentflow.flow.patterns.reflection import ModelCritic, ReflectivePlanner, ReflectiveWriter, RuleCritic
from agentflow.flow.patterns.thinking import ChainOfThought, ModelThinker, RuleThinker
from agentflow.flow.patterns.tree import ModelProposer, RuleProposer, TreeOfThought
from agentflow.flow.planner import Planner
from agentflow.flow.prompted import ModelPlanner, ModelVerifier, ModelWriter
from agentflow.flow.run import Modules, Procedure
from agentflow.flow.verifier import RuleVerifier
from agentflow.flow.writer import EvidenceWriter
from agentflow.models.local.client import LOCAL
from agentflow.models.port import MODELS

_FORKING: frozenset[Pattern] = frozenset({"direct", "chain-of-thought", "reflection"})


@dataclass(frozen=True, slots=True)
class Assembled:
    """What a run is made of.

    Attributes:
        planned_by: `offline`, `model` or `local`.
        fallback: modules that need no model, where the settings allow them in place of one.
    """

    modules: Modules
    procedure: Procedure
    planned_by: str
    fallback: Modules | None = None


def assemble(
    config: FlowConfig, pattern: Pattern = "direct", *, may_ask: bool = False, pieces: Pieces | None = None
) -> Assembled:
    """The modules and the procedure that settings and pattern ask for.

    Args:
        may_ask: whether a planner may ask the person at the client.
        pieces: is told the answer as a model writes it.

    Raises:
        ConfigError: a model is demanded and none is there.
    """
    if config.planner == "local":
        return _by_small_model(config, pattern)
    there = MODELS.get(None) is not None
    if config.planner == "model" and not there:
        raise ConfigError(
            "flow.planner is `model` without a model",
            fix="set models.providers (or the endpoint in short: flow.base_url and flow.model), or flow.planner: auto",
        )
    if config.planner == "model" or (config.planner == "auto" and there):
        fallback = _by_rules(config, OfflinePlanner(), "direct").modules if config.planner == "auto" else None
        return _by_model(config, pattern, may_ask, pieces, fallback)
    return _by_rules(config, OfflinePlanner(), pattern)


def _by_rules(config: FlowConfig, planner: Planner, pattern: Pattern, planned_by: str = "offline") -> Assembled:
    verifier, writer = RuleVerifier(patience=config.replans + 1), EvidenceWriter()
    procedure: Procedure = Direct()
    modules = Modules(planner, verifier, writer)
    if pattern == "chain-of-thought":
        modules = Modules(ChainOfThought(planner, RuleThinker()), verifier, writer)
    elif pattern == "react":
        modules = Modules(planner, ObservingVerifier(by_model=False), writer)
    elif pattern == "reflection":
        critic = RuleCritic()
        modules = Modules(ReflectivePlanner(planner, critic), verifier, ReflectiveWriter(writer, critic))
    elif pattern == "tree-of-thought":
        procedure = TreeOfThought(RuleProposer(planner))
    elif pattern == "plan-and-solve":
        procedure = PlanAndSolve(RuleOutliner(), by_parts=True)
    return Assembled(modules, procedure, planned_by)


def _by_small_model(config: FlowConfig, pattern: Pattern) -> Assembled:
    """The rules' procedures and verdicts, with plans and answers of the small model; the rules go on where it fails."""
    model = LOCAL.get(None)
    if model is None:
        raise ConfigError("flow.planner is `local`, and there is no gateway with a small model here", fix="use `auto`")
    ruled = _by_rules(config, LocalPlanner(model), pattern, "local")
    modules = replace(ruled.modules, writer=LocalWriter(model))
    return replace(ruled, modules=modules, fallback=_by_rules(config, OfflinePlanner(), "direct").modules)


def _by_model(
    config: FlowConfig, pattern: Pattern, may_ask: bool, pieces: Pieces | None, fallback: Modules | None
) -> Assembled:
    forks = config.branches > 1 and pattern in _FORKING
    planner = ModelPlanner(config.shown_tools, forks=forks, may_ask=may_ask)
    verifier, writer = ModelVerifier(), ModelWriter(pieces)
    procedure: Procedure = Direct()
    modules = Modules(planner, verifier, writer)
    if pattern == "chain-of-thought":
        modules = Modules(ChainOfThought(planner, ModelThinker(planner)), verifier, writer)
    elif pattern == "react":
        modules = Modules(ReActPlanner(planner), ObservingVerifier(by_model=True), ReActWriter())
    elif pattern == "reflection":
        critic = ModelCritic()  # a draft is not told to anybody: the answer is not streamed here
        modules = Modules(ReflectivePlanner(planner, critic), verifier, ReflectiveWriter(ModelWriter(), critic))
    elif pattern == "tree-of-thought":
        procedure = TreeOfThought(ModelProposer(planner))
    elif pattern == "plan-and-solve":
        procedure = PlanAndSolve(ModelOutliner(planner))
    return Assembled(modules, procedure, "model", fallback)
