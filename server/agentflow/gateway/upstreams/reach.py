"""Where a connection may lead: for servers that the operator's own file does not vouch for, to public addresses only.

It promises that the address which was judged is the one connected to: a name is looked up once, and what it resolves to
is handed on, so that a name that changes its mind in between (DNS rebinding) leads nowhere else. It refuses a name of
which any address is not the open Internet's; see `identity.fetching`.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Collection

from agentflow.errors import UpstreamUnavailable
from agentflow.identity.fetching import permitted


async def resolved(host: str, port: int, label: str, private: bool = False) -> list[str]:
    """The addresses of a host, every one of them public.

    Args:
        label: how messages name the server.
        private: whether those of a private network or this machine will do; a metadata service's never do.

    Raises:
        UpstreamUnavailable: one is not, or there is none.
    """
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise UpstreamUnavailable(f"{label} cannot be reached: its name is not known", sent=False) from None
    addresses = list(dict.fromkeys(str(each[4][0]).partition("%")[0] for each in found))
    if not addresses or not all(permitted(ipaddress.ip_address(each), private) for each in addresses):
        raise UpstreamUnavailable(
            f"{label} is not at a public address",
            fix="servers inside this network are for the configuration file, or admin.private_servers",
            sent=False,
        )
    return addresses


def listed(host: str, port: int, allowed: Collection[str]) -> bool:
    """Whether the operator named this place (`host`, or `host:port`; IPv6 in brackets), inside or not."""
    bare = host.lower().strip("[]")
    shown = f"[{bare}]" if ":" in bare else bare
    return not {shown, f"{shown}:{port}"}.isdisjoint(each.lower() for each in allowed)
