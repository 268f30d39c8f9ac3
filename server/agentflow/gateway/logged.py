"""One line in the gateway's log about a call, where policy wants one (obligation `log_level`): ids, names, outcome."""

from __future__ import annotations

import logging

from agentflow.pipeline.call import Call
from agentflow.policy.document import kind_of

log = logging.getLogger("agentflow.calls")
_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


def logged(call: Call) -> None:
    """Write the line of a call that has its record. Arguments, answers and addresses of resources are not in it."""
    decision = call.decision
    if decision is None or decision.obligations.log_level is None:
        return
    what = f"{call.upstream.name}/{call.target}" if kind_of(call) in ("tool", "prompt", "model") else call.upstream.name
    log.log(
        _LEVELS[decision.obligations.log_level],
        "call %s: %s %s by %s/%s: %s (%s)",
        call.id,
        call.surface,
        what or "gateway",
        call.principal.tenant,
        call.principal.id,
        call.outcome,
        ", ".join(code for code, _ in decision.reasons),
    )
