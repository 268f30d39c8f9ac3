"""The caller's own token, for the time of its request: what a token exchange (RFC 8693) begins with.

It lives in memory only, in a holder that is emptied when the request has been answered; background work that the
request left behind finds it empty. It has no text form, so that no log line or record can quote it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import Context, ContextVar


class Subject:
    """A caller's token while its request lasts.

    Attributes:
        digest: of the token; stays when the token is gone.
    """

    __slots__ = ("_token", "digest")

    def __init__(self, token: str) -> None:
        self._token = token
        self.digest = hashlib.sha256(token.encode()).hexdigest()

    def token(self) -> str:
        """The token, or "" once the request is over."""
        return self._token

    def forget(self) -> None:
        """The request is over."""
        self._token = ""

    def __repr__(self) -> str:
        return "Subject(…)"


SUBJECT: ContextVar[Subject | None] = ContextVar("agentflow_subject", default=None)


@contextmanager
def presented(token: str | None) -> Iterator[None]:
    """Hold the caller's token while the block lasts; None where the caller has no token that could be exchanged."""
    if token is None:
        yield
        return
    subject = Subject(token)
    former = SUBJECT.set(subject)
    try:
        yield
    finally:
        SUBJECT.reset(former)
        subject.forget()


# Whom a request to an API is made for (`Principal.key`), where nothing else of the caller's context comes along.
ACTING: ContextVar[str] = ContextVar("agentflow_acting", default="")


def acting_for(principal: str) -> Context:
    """An empty context, save for whom it acts and that one's token."""
    context = Context()
    context.run(ACTING.set, principal)
    context.run(SUBJECT.set, SUBJECT.get())
    return context
