"""Whether the HTTP request being answered has a record of its own already: a call's, written by the pipeline."""

from __future__ import annotations

from contextvars import ContextVar

_REQUEST: ContextVar[list[bool] | None] = ContextVar("agentflow_recorded", default=None)


def watch() -> list[bool]:
    """Begin to watch this task's request; the list is not empty once a call of it is recorded."""
    seen: list[bool] = []
    _REQUEST.set(seen)
    return seen


def recorded() -> None:
    """A call of this request has its record."""
    seen = _REQUEST.get()
    if seen is not None and not seen:
        seen.append(True)
