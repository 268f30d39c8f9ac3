"""Closing the network to a process that reads what tools return.

`forbid` promises that Python code of the process can neither connect, bind, send nor resolve a name afterwards, not
even code that runs later: an audit hook (PEP 578) cannot be taken away. Sockets of the file system stay. Native code
that opens sockets by itself is not held; the libraries in question are told to be offline by their own variables.
"""

from __future__ import annotations

import sys
from typing import Any

_REFUSED = frozenset(
    {
        "socket.connect",
        "socket.bind",
        "socket.sendto",
        "socket.sendmsg",
        "socket.getaddrinfo",
        "socket.gethostbyname",
        "socket.gethostbyaddr",
        "socket.getnameinfo",
    }
)


def forbid() -> None:
    """Refuse the network to this process, for good; whoever tries gets a `PermissionError`."""
    sys.addaudithook(_refuse)


def _refuse(event: str, arguments: tuple[Any, ...]) -> None:
    if event not in _REFUSED:
        return
    if event in ("socket.connect", "socket.bind") and isinstance(arguments[-1], str | bytes):
        return  # a socket of the file system
    raise PermissionError("this process of the guard has no network access")
