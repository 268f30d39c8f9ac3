"""To whom the tokens of a call mean something (`guard.vault.scope`)."""

from __future__ import annotations

from typing import Literal

from agentflow.pipeline.call import Call

Scope = Literal["tenant", "principal", "session"]


def scope_of(call: Call, scope: Scope) -> str:
    """Return the scope of a call's tokens, as the vault takes it; empty for the whole tenant."""
    if scope == "tenant":
        return ""
    return f"principal {call.principal.id}" if scope == "principal" else f"session {call.session.id}"
