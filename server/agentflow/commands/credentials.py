"""`agentflow credentials list | set | connect | revoke`: what principals present to servers in their own name.

They work beside running gateways, which notice within a second. A value is read from standard input or from an
environment variable, never from the command line, and none is ever printed. Each leaves an event in the audit log.
"""

from __future__ import annotations

import asyncio
import getpass
import os
import sys
import time
import webbrowser
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from agentflow.audit.log import AuditLog
from agentflow.commands.output import UsageError, document, table, user
from agentflow.config import Config, ServerConfig
from agentflow.config_credentials import UpstreamAuth
from agentflow.guard.vault import open_vault
from agentflow.identity.credentials import Credential, Credentials, Owner
from agentflow.settings import file as config_file
from agentflow.store.opened import Store

if TYPE_CHECKING:
    from agentflow.identity.connecting import Connecting

_OURS = "agentflow"
_LONGEST = 16_384  # characters of a value
_WAITS = 600.0  # seconds that `connect` waits for the browser


@dataclass(frozen=True)
class _Open:
    config: Config
    store: Store
    credentials: Credentials
    log: AuditLog
    key: bytes


def show(args: Namespace) -> int:
    """Print which principals have a credential at which server."""
    with _open(args) as opened:
        found = opened.credentials.list(args.tenant, args.server)
    if args.json:
        document([asdict(each) for each in found])
        return 0
    rows = [
        (str(Owner(each.tenant, each.principal)), each.server, each.kind, _when(each.updated), _when(each.expires),
         _when(each.used))
        for each in found
    ]  # fmt: skip
    table([("PRINCIPAL", "SERVER", "KIND", "STORED", "EXPIRES", "FIRST USED"), *rows] if rows else [])
    return 0


def put(args: Namespace) -> int:
    """Store a principal's value for a server with `auth: static`."""
    from agentflow.identity.downstream import bound_to

    with _open(args) as opened:
        server, auth = _server(opened.config, args.server)
        if auth.type != "static":
            raise UsageError(f"{args.server} takes no value", fix=f"run `agentflow credentials connect {args.server}`")
        owner, value = _owner(opened.config, args.principal), _value(args.env)
        credential = Credential("static", value=value, audience=bound_to(server))
        opened.credentials.put(owner, args.server, credential, user())
    if args.json:
        document({"ok": True, "principal": str(owner), "server": args.server})
    else:
        print(f"{args.server}: stored for {owner}")
    return 0


def revoke(args: Namespace) -> int:
    """Remove a principal's credential, and tell its authorization server; 1 when there was none."""
    from agentflow.identity import oauth

    with _open(args) as opened:
        owner = _owner(opened.config, args.principal)
        credential = opened.credentials.revoke(owner, args.server, user())
        told = False
        entry = opened.config.mcp_servers.get(args.server)
        if credential is not None and credential.grant is not None and entry is not None and entry.auth is not None:
            outbound = oauth.outbound_of(entry)
            told = asyncio.run(oauth.revoke(credential.grant, outbound))
    if args.json:
        document({"ok": credential is not None, "told_issuer": told})
    elif credential is None:
        print(f"{args.server}: {owner} has no credential there", file=sys.stderr)
    else:
        print(f"{args.server}: removed for {owner}" + (", and its authorization server told" if told else ""))
    return 0 if credential is not None else 1


def connect(args: Namespace) -> int:
    """Have a person connect in the browser, and store what comes of it."""
    from agentflow.identity.authorizations import Authorizations
    from agentflow.identity.connecting import Connecting

    with _open(args) as opened:
        server, auth = _server(opened.config, args.server)
        if auth.type != "oauth":
            raise UsageError(f"people do not connect to {args.server}", fix="its entry needs `auth: oauth`")
        owner = _owner(opened.config, args.principal)
        authorizations = Authorizations(opened.store, lambda: opened.key)
        flow = Connecting(opened.credentials, authorizations, opened.log.event)
        asyncio.run(_connect(flow, owner, args.server, server, args))
    if args.json:
        document({"ok": True, "principal": str(owner), "server": args.server})
    else:
        print(f"{args.server}: {owner} is connected")
    return 0


async def _connect(flow: Connecting, owner: Owner, name: str, server: ServerConfig, args: Namespace) -> None:
    from agentflow.commands.loopback import Loopback
    from agentflow.identity.connecting import Returned
    from agentflow.identity.oauth import OAuthFailed

    async with Loopback(args.port) as listener:
        url = await flow.begin(owner, name, server, listener.url, browser="", keep_client=False)
        print(f"Open this address in a browser to connect {owner} to {name}:\n\n  {url}\n", file=sys.stderr, flush=True)
        if not args.no_browser:
            await asyncio.to_thread(webbrowser.open, url)
        try:
            async with asyncio.timeout(_WAITS):
                query = await listener.query()
        except TimeoutError:
            raise OAuthFailed("nobody came back from the browser", "timeout", fix="run it again") from None
        returned = Returned(query.get("state", ""), query.get("code", ""), query.get("iss"), query.get("error", ""))
        try:
            await flow.finish(returned, "", lambda _: server)
        except BaseException:
            await listener.answer("Not connected. The terminal says why.")
            raise
        await listener.answer("Connected. You can close this window.")


@contextmanager
def _open(args: Namespace) -> Iterator[_Open]:
    config = config_file.load(args.config, os.environ)
    vault = open_vault(config)
    try:
        key = vault.derived_key(_OURS, b"credentials")
    finally:
        vault.close()
    store, log = Store(config.data_dir, config.store), AuditLog(config.data_dir, config.audit)
    try:
        yield _Open(config, store, Credentials(store, lambda: key, log.event), log, key)
    finally:
        log.close()
        store.close()


def _server(config: Config, name: str) -> tuple[ServerConfig, UpstreamAuth]:
    server = config.mcp_servers.get(name)
    if server is None:
        raise UsageError(f"there is no server {name!r}", fix="name one of `mcpServers`")
    if server.auth is None or not server.auth.personal:
        raise UsageError(f"principals have no credentials of their own at {name}", fix="give its entry an `auth`")
    return server, server.auth


def _owner(config: Config, text: str | None) -> Owner:
    if text is None:
        return Owner(config.auth.local.tenant, config.auth.local.id)
    tenant, slash, principal = text.partition("/")
    if not slash or not tenant or not principal:
        raise UsageError(f"{text!r} is no principal", fix="write TENANT/ID, e.g. default/alice")
    return Owner(tenant, principal)


def _value(variable: str | None) -> str:
    if variable is not None:
        value = os.environ.get(variable, "")
    elif sys.stdin is None:  # closed
        value = ""
    elif sys.stdin.isatty():
        try:
            value = getpass.getpass("Value (not shown): ")
        except EOFError:
            value = ""
    else:
        value = sys.stdin.buffer.read(2 * _LONGEST).decode("latin-1")
    value = value.strip()
    if not value:
        raise UsageError("there is no value", fix="give it on standard input, or name a variable with --env")
    if not all(" " <= character <= "~" for character in value):
        raise UsageError("the value holds characters that no header can", fix="give the bare key or token, on one line")
    if len(value) > _LONGEST:
        raise UsageError(f"the value is longer than {_LONGEST} characters", fix="give the bare key or token")
    return value


def _when(moment: float | None) -> str:
    return "-" if moment is None else time.strftime("%Y-%m-%d %H:%M", time.localtime(moment))
