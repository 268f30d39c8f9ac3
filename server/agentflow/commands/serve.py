"""`agentflow serve`."""

from __future__ import annotations

import os
from argparse import Namespace

from agentflow.commands.output import UsageError, document
from agentflow.settings import file as config_file


def serve(args: Namespace) -> int:
    """Serve until a signal ends it, or the client on stdio leaves."""
    if args.stdio and (args.host or args.port is not None or args.json):
        raise UsageError("--stdio goes with neither --host, --port nor --json", fix="leave one of them out")
    # As variables, the words of the command line still hold when the file is read again.
    if args.host:
        os.environ["AGENTFLOW_SERVE__HOST"] = args.host
    if args.port is not None:
        os.environ["AGENTFLOW_SERVE__PORT"] = str(args.port)
    path = args.config or config_file.find(os.environ)
    config = config_file.load(path, os.environ)
    from agentflow.gateway.serve import serve_http, serve_stdio

    if args.stdio:
        return serve_stdio(config, path)
    code = serve_http(config, path)
    if args.json:
        document({"ok": code == 0})
    return code
