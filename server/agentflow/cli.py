"""The `agentflow` command: its words, its exit codes, and how it says that something went wrong.

Promises: 0 fine, 1 the thing asked about is bad, 2 wrong usage; an error is one clear line on stderr, with what to
do about it, never a traceback; with `--json` stdout is one JSON document. What a command does lives in `commands/`
and is imported only when it runs, so that `--help` answers at once.
"""

from __future__ import annotations

import argparse
import importlib
import json
import math
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from agentflow import __version__
from agentflow.errors import AgentFlowError

OK, BAD, USAGE = 0, 1, 2


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code (argparse itself exits with 2 on wrong usage)."""
    args = _parser().parse_args(argv)
    module, _, function = args.run.partition(":")
    try:
        code: int = getattr(importlib.import_module(f"agentflow.commands.{module}"), function)(args)
        sys.stdout.flush()
        return code
    except AgentFlowError as error:
        return _failed(args, error.message, error.fix, error.payload(), USAGE if error.kind == "usage" else BAD)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # the reader of a pipe has left; nothing more can be said there
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BAD
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        return _failed(args, f"{where}{error.strerror or error}", "", {"type": "os_error"}, BAD)


def _failed(args: argparse.Namespace, message: str, fix: str, payload: dict[str, Any], code: int) -> int:
    line = f"agentflow: {message}"
    if fix:
        line += f". {fix[0].upper()}{fix[1:]}"
    print(line, file=sys.stderr)
    for problem in payload.get("problems", ()):
        print(f"  {_problem(problem)}", file=sys.stderr)
    if args.json and not getattr(args, "stdio", False):
        print(json.dumps({"ok": False, "error": {"message": message, **payload}}, ensure_ascii=False, default=str))
    return code


def _problem(problem: Any) -> str:
    if not isinstance(problem, dict):
        return str(problem)
    place = f"{problem['file']}:{problem['line']}" if problem["line"] else problem["file"]
    path = f"{problem['path']}: " if problem["path"] else ""
    return f"{place}: {problem['severity']}: {path}{problem['message']}; {problem['fix']}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="agentflow", description="One MCP endpoint between AI clients and all their tools."
    )
    parser.add_argument("--version", action="version", version=f"agentflow {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for add in (
        _serve, _config, _import, _restore, _status, _tools, _call, _solve, _audit, _policy, _pins, _guard, _vault,
        _keys, _credentials, _approvals, _db, _models, _trajectories, _memory, _budget, _usage, _version,
    ):  # fmt: skip
        add(commands)
    return parser


def _command(commands: Any, name: str, run: str, help: str, **more: Any) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(name, help=help, description=help, **more)
    parser.set_defaults(run=run)
    parser.add_argument("--json", action="store_true", help="print one JSON document on stdout")
    return parser


def _with_config(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help="default: ./agentflow.yaml, ./agentflow.yml, ./mcp.json or the one in the data directory",
    )


def _with_url(parser: argparse.ArgumentParser) -> None:
    _with_config(parser)
    parser.add_argument(
        "--url", help="address of the gateway; default the configured one. AGENTFLOW_API_KEY holds the key, if any"
    )


def _port(text: str) -> int:
    if not text.isdigit() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port: write a number from 0 to 65535")
    return int(text)


def _count(text: str) -> int:
    if not text.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is not a count")
    return int(text)


def _days(text: str) -> float:
    try:
        days = float(text)
    except ValueError:
        days = math.nan
    if not (math.isfinite(days) and days > 0):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of days above 0")
    return days


def _serve(commands: Any) -> None:
    parser = _command(commands, "serve", "serve:serve", "Serve MCP over streamable HTTP, or stdio with --stdio.")
    _with_config(parser)
    parser.add_argument("--host", help="address to listen on (default 127.0.0.1)")
    parser.add_argument("--port", type=_port, help="TCP port (default 8808; 0 takes a free one)")
    parser.add_argument("--stdio", action="store_true", help="serve one client on standard input and output")


def _config(commands: Any) -> None:
    parser = commands.add_parser("config", help="Check, describe or show the configuration.")
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    check = _command(actions, "check", "config:check", "Print every problem with file, line and a fix.")
    check.add_argument("file", nargs="?", type=Path, help="default: the file `serve` would use")
    _with_config(check)
    _command(actions, "schema", "config:schema", "Print the JSON Schema of agentflow.yaml.")
    show = _command(actions, "show", "config:show", "Print the configuration in force, secrets left out.")
    _with_config(show)


def _import(commands: Any) -> None:
    parser = _command(
        commands, "import", "clients:import_servers", "Move an MCP client's servers behind one agentflow entry."
    )
    parser.add_argument(
        "client",
        nargs="?",
        help="claude-desktop, claude-code, vscode, cursor, gemini, goose, windsurf or project; default all",
    )
    parser.add_argument("--apply", action="store_true", help="write it; without, only the differences are shown")
    _with_config(parser)


def _restore(commands: Any) -> None:
    parser = _command(commands, "restore", "clients:restore", "Put a client's file back as it was before the import.")
    parser.add_argument("client", nargs="?", help="default: every client that was imported")
    parser.add_argument("--force", action="store_true", help="also where the file was changed since")
    _with_config(parser)


def _status(commands: Any) -> None:
    _with_url(_command(commands, "status", "gateway:status", "Show the servers behind a running gateway."))


def _tools(commands: Any) -> None:
    _with_url(_command(commands, "tools", "gateway:tools", "List the tools of a running gateway."))


def _call(commands: Any) -> None:
    parser = _command(commands, "call", "gateway:call", "Call a tool through a running gateway.")
    parser.add_argument("tool", help="its name, as `agentflow tools` shows it")
    parser.add_argument("pairs", nargs="*", metavar="KEY=VALUE", help="arguments, read by the tool's input schema")
    parser.add_argument("--args", dest="arguments", metavar="JSON", help="all arguments as one JSON object")
    parser.add_argument("--explain", action="store_true", help="show every stage the call passed, and its verdict")
    _with_url(parser)


def _solve(commands: Any) -> None:
    parser = _command(
        commands, "solve", "solve:solve", "Answer a question with the tools of a running gateway, or of one of its own."
    )
    parser.add_argument("question", help="the question or task")
    patterns = ("direct", "chain-of-thought", "react", "tree-of-thought", "reflection", "plan-and-solve")
    parser.add_argument("--pattern", choices=patterns, help="how to reason; default as configured (flow.pattern)")
    parser.add_argument("--model", help="model to ask, by its name in `models`; default as routed")
    parser.add_argument("--tier", choices=("bronze", "silver", "gold"), help="least strength of the models asked")
    parser.add_argument("--max-turns", type=_count, metavar="N", help="turns before a person has to take over")
    parser.add_argument("--timeout", type=float, metavar="S", help="seconds; no more than configured (flow.timeout)")
    parser.add_argument("--max-tokens", type=_count, metavar="N", help="most model tokens of the whole run")
    parser.add_argument("--max-cost", type=float, metavar="USD", help="most US dollars that its models may cost")
    parser.add_argument("--know", action="append", metavar="NAME=VALUE", help="a fact to bring along (repeatable)")
    _with_url(parser)


def _audit(commands: Any) -> None:
    parser = commands.add_parser("audit", help="Read, search, export or verify the audit log.")
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    tail = _command(actions, "tail", "audit:tail", "Print the newest records.")
    tail.add_argument("-n", type=_count, default=10, help="how many (default 10)")
    tail.add_argument("-f", dest="follow", action="store_true", help="go on as records are written")
    _with_config(tail)
    verify = _command(actions, "verify", "audit:verify", "Check that no record was changed, removed or added.")
    verify.add_argument("--witness", type=Path, metavar="FILE", help="signed heads that `audit heads` printed earlier")
    key = _command(actions, "key", "audit:key", "Print the public key of the log's signatures.")
    key.add_argument("--out", type=Path, metavar="FILE", help="write it there")
    heads = _command(actions, "heads", "audit:heads", "Print the newest signed heads, to be kept elsewhere.")
    query = _command(actions, "query", "audit:query", "Print the newest records that fit.")
    query.add_argument("-n", "--limit", dest="n", type=_count, default=100, help="how many (default 100; 0: all)")
    query.add_argument("--jsonl", action="store_true", help="print one JSON document per line")
    query.add_argument("--no-index", action="store_true", help="read the segments only")
    export = _command(actions, "export", "audit:export", "Write records for a SIEM, one per line.")
    export.add_argument("--format", choices=["jsonl", "ocsf", "cef"], default="jsonl", help="default: jsonl")
    export.add_argument("--out", type=Path, metavar="FILE", help="default: standard output")
    retire = _command(actions, "retire", "audit:retire", "Remove old records behind a signed checkpoint.")
    retire.add_argument("--keep-days", type=_days, metavar="DAYS", help="default: audit.keep_days")
    retire.add_argument("--keep-bytes", type=_count, metavar="BYTES", help="default: audit.keep_bytes")
    index = _command(actions, "index", "audit:index", "Bring the index of the log up to date.")
    index.add_argument("--rebuild", action="store_true", help="make it anew from the segments")
    for action in (query, export):
        _with_filter(action)
    for action in (verify, retire):
        action.add_argument(
            "--public-key", action="append", metavar="KEY", help="file or base64; default: the key that signs here"
        )
    for action in (verify, key, heads, query, export, retire, index):
        _with_config(action)


def _with_filter(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--since", metavar="WHEN", help="7d, 2h, 30m (ago), 2026-11-01, 2026-11-01T12:30")
    parser.add_argument("--until", metavar="WHEN", help="before then; default: now")
    for name, help in (
        ("id", "of the record"),
        ("kind", "call, request, policy, approval, key, vault, definition, gateway, admin, log"),
        ("event", "what happened, of records that are no calls"),
        ("tenant", "of the caller"),
        ("principal", "id of the caller"),
        ("surface", "tools/call, tools/list, resources/read …"),
        ("server", "by its name in the configuration"),
        ("tool", "or prompt or resource, as callers or its server name it"),
        ("outcome", "ok, tool_error, policy_denied, content_blocked …"),
        ("reason", "code of a reason"),
        ("pii", "type of personal data found, EMAIL …"),
    ):
        parser.add_argument(f"--{name}", help=help)
    parser.add_argument("--decision", choices=["allow", "ask", "deny"], help="of policy")
    parser.add_argument("--refused", action="store_true", help="only what ended otherwise than well")
    parser.add_argument("--injection", type=float, metavar="SCORE", help="at least this score of the screen, 0 to 1")


def _policy(commands: Any) -> None:
    parser = commands.add_parser("policy", help="Work with the Rego bundle.")
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    check = _command(actions, "check", "policy:check", "Compile a bundle and run its tests.", aliases=["test"])
    check.add_argument("bundle", nargs="?", type=Path, help="a folder or an OPA bundle; default: the one in force")
    build = _command(actions, "build", "policy:build", "Write the bundle as an archive that OPA loads.")
    build.add_argument("-o", dest="output", type=Path, default=Path("bundle.tar.gz"), help="default: bundle.tar.gz")
    build.add_argument("--revision", help="what its manifest says; default: a hash of its content")
    evaluate = _command(actions, "eval", "policy:evaluate", "Decide an input document, and say why; 1 when denied.")
    evaluate.add_argument("input", help="file with the document as JSON; - for standard input")
    explain = _command(actions, "explain", "policy:explain", "Decide a recorded call again, and say why.")
    explain.add_argument("record", metavar="RECORD-ID", help="`agentflow audit tail` shows ids")
    diff = _command(actions, "diff", "policy:diff", "Say what another bundle has otherwise; 1 when something.")
    diff.add_argument("before", type=Path, metavar="BUNDLE-A", help="a folder, an archive, a kept revision")
    diff.add_argument("after", type=Path, metavar="BUNDLE-B")
    replay = _command(actions, "replay", "policy_replay:replay", "Decide recorded calls again by another bundle.")
    replay.add_argument("--since", required=True, metavar="WHEN", help="7d, 12h, 2026-11-01, 2026-11-01T12:30")
    replay.add_argument("--until", metavar="WHEN", help="default: now")
    replay.add_argument("-n", type=_count, default=50, help="lines of the table (default 50)")
    upload = _command(actions, "upload", "policy_bundles:upload", "Test a bundle and keep it in the store.")
    upload.add_argument("bundle", nargs="?", type=Path, help="a folder or an OPA bundle; default: the configured one")
    upload.add_argument("--note", metavar="TEXT", help="what it is about")
    upload.add_argument("--activate", action="store_true", help="and put it in force")
    activate = _command(actions, "activate", "policy_bundles:activate", "Put a kept bundle in force, in gateways too.")
    activate.add_argument("revision", metavar="REVISION", help="the first characters are enough")
    back = _command(actions, "rollback", "policy_bundles:rollback", "Put in force what was before the last choice.")
    back.add_argument("--to-file", action="store_true", help="what the configuration file says, instead")
    shown = _command(actions, "list", "policy_bundles:show", "List the bundles that are kept; say what is in force.")
    shown.add_argument("-n", type=_count, default=50, help="choices told with --json (default 50)")
    for action in (diff, activate, back, shown):
        _with_config(action)
    for action in (build, evaluate, explain, replay):
        action.add_argument(
            "--bundle", type=Path, metavar="PATH", help="or the revision of a kept one; default: the one in force"
        )
    for action in (check, build, evaluate, explain, replay, upload):
        action.add_argument(
            "--layer", type=Path, action="append", metavar="DIR", help="lay this folder over it; library/NAME ships"
        )
        _with_config(action)


def _guard(commands: Any) -> None:
    parser = commands.add_parser("guard", help="Scan text, measure the detectors, train the model.")
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    scan = _command(actions, "scan", "guard:scan", "Say what the guard finds in a text; 1 where it is not allowed.")
    scan.add_argument("file", nargs="?", metavar="FILE", help="default: - for standard input")
    scan.add_argument("--jsonl", metavar="IN", help="scan each line's `text` (and `surface`, `trust`, `fields`)")
    scan.add_argument("--out", metavar="OUT", help="where the rows go, with what was found; - for standard output")
    scan.add_argument("--deep", action="store_true", help="also look for names, places and organisations")
    scan.add_argument("--surface", default="result", help="what the text is: result (default), description, argument …")
    scan.add_argument("--trust", default="untrusted", choices=["untrusted", "trusted"], help="of the server it is from")
    _with_config(scan)
    measure = _command(actions, "eval", "guard:evaluate", "Measure the detectors on labelled rows (text, label).")
    measure.add_argument("dataset", type=Path, metavar="DATASET", help="JSONL: text, label (1 is an attack), source")
    measure.add_argument("--plot", type=Path, metavar="FILE", help="write the ROC curve there, as SVG")
    _with_config(measure)
    train = _command(actions, "train", "guard:train", "Train the injection model.")
    train.add_argument("--data", type=Path, required=True, metavar="DIR", help="folder of labelled *.jsonl.gz")
    train.add_argument("--out", type=Path, metavar="FILE", help="default: the model that ships; with --neural a folder")
    train.add_argument("--neural", action="store_true", help="fine-tune the neural stage instead")
    train.add_argument(
        "--windows", type=int, default=14_000, metavar="N", help="passages that --neural learns from (40 a second)"
    )


def _pins(commands: Any) -> None:
    parser = commands.add_parser("pins", help="See and decide which definitions of servers are in force.")
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    named = "SERVER or SERVER/NAME, by the server's own names"
    listed = _command(actions, "list", "pins:show", "List what is remembered of definitions, what is held first.")
    listed.add_argument("names", nargs="*", metavar="NAME", help=named)
    listed.add_argument("--held", action="store_true", help="only what is held")
    _with_config(listed)
    changed = _command(actions, "diff", "pins:diff", "Show what changed in what is held, word by word.")
    changed.add_argument("names", nargs="*", metavar="NAME", help=f"{named}; default everything that is held")
    _with_config(changed)
    for name, help in (
        ("approve", "Put what is held in force, in running gateways too."),
        ("reject", "Keep what is held out, until its server offers something else."),
        ("forget", "Remember nothing of it: what comes next is seen as if for the first time."),
    ):
        decided = _command(actions, name, f"pins:{name}", help)
        decided.add_argument("names", nargs="*", metavar="NAME", help=named)
        decided.add_argument("--all", action="store_true", help="everything")
        if name != "forget":
            decided.add_argument("--digest", metavar="HEX", help="only what has this digest, as `diff` showed it")
        _with_config(decided)


def _models(commands: Any) -> None:
    parser = commands.add_parser("models", help="See language models, try them, and see where requests would go.")
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    listed = _command(actions, "list", "models:show", "List the models of every provider, with tiers and prices.")
    tried = _command(actions, "test", "models:test", "Ask each model for a word; 1 when one does not answer.")
    tried.add_argument("model", nargs="?", metavar="NAME", help="only this one, or this provider's; default: all")
    routed = _command(actions, "route", "models:route", "Say where a request would go now; nothing is asked.")
    routed.add_argument("question", nargs="?", default="Hello.", help="the request's text; default: a greeting")
    routed.add_argument("--explain", action="store_true", help="say how every model stands, and why")
    routed.add_argument("--kind", choices=("chat", "embedding"), default="chat", help="default: chat")
    routed.add_argument("--model", metavar="NAME", help="a model by name; default: as routed")
    routed.add_argument("--tier", choices=("bronze", "silver", "gold"), help="default as configured")
    strategies = ("simple-complex", "cheapest", "fastest", "least-busy", "ucb1", "thompson")
    routed.add_argument("--strategy", choices=strategies, help="default as configured")
    purposes = ("planner", "executor", "verifier", "solver", "summary", "judge", "chat")
    routed.add_argument("--purpose", choices=purposes, help="what the answer is for; default: chat")
    routed.add_argument("--max-tokens", type=_count, metavar="N", help="most tokens of the answer")
    routed.add_argument("--max-cost", type=float, metavar="USD", help="most US dollars that it may cost")
    routed.add_argument("--max-latency", type=float, metavar="S", help="seconds that are aimed at")
    for each in (listed, tried, routed):
        _with_config(each)


def _trajectories(commands: Any) -> None:
    parser = commands.add_parser("trajectories", help="See the records of runs, and export them for training.")
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    listed = _command(actions, "list", "trajectories:show_list", "List runs, newest first.")
    listed.add_argument("--limit", type=_count, default=50, metavar="N", help="at most so many; default 50")
    shown = _command(actions, "show", "trajectories:show", "Show one run, turn by turn.")
    shown.add_argument("id", metavar="ID", help="the run's id, or how it begins")
    exported = _command(actions, "export", "trajectories:export", "Write runs as Parquet, oldest first.")
    exported.add_argument("--out", type=Path, required=True, metavar="FILE")
    exported.add_argument("--limit", type=_count, metavar="N", help="at most so many; default all")
    for chosen in (listed, exported):
        chosen.add_argument("--tenant", help="only of this tenant")
        chosen.add_argument("--principal", help="only of this principal")
        chosen.add_argument("--outcome", help="only what ended so: complete, escalated, …")
        chosen.add_argument("--planner", help="only of this planner: offline, model, local")
        chosen.add_argument("--unflagged", action="store_true", help="without runs that met injected instructions")
        chosen.add_argument("--since", metavar="TIME", help="7d, 12h, 2026-11-01")
        chosen.add_argument("--until", metavar="TIME")
    for each in (listed, shown, exported):
        _with_config(each)


def _memory(commands: Any) -> None:
    parser = commands.add_parser("memory", help="See what is remembered of principals' runs, and forget it.")
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    listed = _command(actions, "list", "memory:show", "List memories, newest first.")
    listed.add_argument("--about", metavar="TEXT", help="those nearest in meaning first")
    listed.add_argument("--limit", type=_count, default=50, metavar="N", help="at most so many; default 50")
    forget = _command(actions, "forget", "memory:forget", "Forget memories, in running gateways too.")
    forget.add_argument("ids", nargs="*", metavar="ID")
    forget.add_argument("--all", action="store_true", help="all of --principal, or of --tenant")
    for each in (listed, forget):
        each.add_argument("--tenant", default="default", help="default: default")
        each.add_argument("--principal", help="only of this principal")
        _with_config(each)


def _vault(commands: Any) -> None:
    parser = commands.add_parser("vault", help="Look into the vault of tokens, forget a person, change its keys.")
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    _with_config(_command(actions, "status", "vault:status", "Show its keys and how much each tenant has in it."))
    forget = _command(actions, "forget", "vault:forget", "Remove a person's values, in running gateways too.")
    forget.add_argument("--tenant", default="default", help="default: default")
    forget.add_argument("--value", metavar="TEXT", help="the value, however written; - reads it from standard input")
    forget.add_argument("--type", help="only where it was taken for this type (EMAIL, …)")
    forget.add_argument("--token", metavar="TOKEN", help="the value behind this token")
    forget.add_argument("--all", action="store_true", help="destroy the tenant's keys, and everything with them")
    _with_config(forget)
    rotate = _command(actions, "rotate", "vault:rotate", "Wrap all keys by the new master key.")
    rotate.add_argument("--data-keys", action="store_true", help="make new data keys and seal every entry anew")
    rotate.add_argument("--tenant", help="with --data-keys: only this tenant")
    _with_config(rotate)


def _credentials(commands: Any) -> None:
    parser = commands.add_parser("credentials", help="What callers present to servers in their own name.")
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    listed = _command(actions, "list", "credentials:show", "List who has a credential at which server.")
    listed.add_argument("server", nargs="?", metavar="SERVER", help="default: every server")
    listed.add_argument("--tenant", help="default: every tenant")
    stored = _command(actions, "set", "credentials:put", "Store a caller's key or token, read from standard input.")
    stored.add_argument("--env", metavar="NAME", help="read it from this environment variable instead")
    connected = _command(actions, "connect", "credentials:connect", "Connect a caller in the browser (OAuth).")
    connected.add_argument("--no-browser", action="store_true", help="only print the address")
    connected.add_argument(
        "--port", type=_port, default=0, help="loopback port that the browser comes back to (default: a free one)"
    )
    revoked = _command(actions, "revoke", "credentials:revoke", "Remove a credential, in running gateways too.")
    for action in (stored, connected, revoked):
        action.add_argument("server", metavar="SERVER", help="by its name in the configuration")
        action.add_argument("--principal", metavar="TENANT/ID", help="whose; default: the local caller's")
    for action in (listed, stored, connected, revoked):
        _with_config(action)


def _approvals(commands: Any) -> None:
    parser = commands.add_parser("approvals", help="See what waits for people's approval, and answer it.")
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    listed = _command(actions, "list", "approvals:show_all", "List what waits for approval, newest first.")
    states = ["open", "approved", "denied", "expired", "used", "void"]
    which = listed.add_mutually_exclusive_group()
    which.add_argument("--state", choices=states, default="open", help="default: open")
    which.add_argument("--all", action="store_true", help="whatever has become of it")
    listed.add_argument("--tenant", help="only calls of this tenant's principals")
    listed.add_argument("-n", dest="limit", type=_count, default=100, help="at most so many (default 100)")
    shown = _command(actions, "show", "approvals:show", "Say everything about one.")
    yes = _command(actions, "approve", "approvals:approve", "Let the call go on, in running gateways within a second.")
    no = _command(actions, "deny", "approvals:deny", "Refuse the call, also where it was approved and not made yet.")
    for action in (shown, yes, no):
        action.add_argument("id", metavar="ID", help="as `list` shows it; its first characters are enough")
    for action in (yes, no):
        action.add_argument("--comment", metavar="TEXT", help="kept with the vote")
    for action in (listed, shown, yes, no):
        _with_config(action)


def _keys(commands: Any) -> None:
    parser = commands.add_parser("keys", help="Make, list, replace and revoke the API keys of callers.")
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    create = _command(actions, "create", "keys:create", "Make a key for a caller and print it, this once.")
    create.add_argument("principal", metavar="PRINCIPAL", help="the caller's name, unique within its tenant")
    create.add_argument("--roles", default="agent", metavar="ROLE,…", help="as policy knows them; default: agent")
    create.add_argument("--tenant", default="default", help="default: default")
    create.add_argument("--kind", default="agent", choices=["user", "agent", "service"], help="default: agent")
    create.add_argument("--scopes", default="", metavar="SCOPE,…", help="as policy knows them; default: none")
    create.add_argument("--expires", default="90d", metavar="WHEN", help="90d (default), 2027-01-31, never")
    create.add_argument("--label", metavar="TEXT", help="what it is for")
    listed = _command(actions, "list", "keys:show_all", "List the keys that count, newest first.")
    listed.add_argument("--all", action="store_true", help="expired and revoked ones, too")
    listed.add_argument("--tenant", help="only this tenant's")
    listed.add_argument("--principal", metavar="ID", help="only this caller's")
    shown = _command(actions, "show", "keys:show", "Say everything about a key but the key.")
    rotate = _command(actions, "rotate", "keys:rotate", "Make a new key in the place of one, and print it.")
    rotate.add_argument("--grace", default="24h", metavar="TIME", help="how long the old one goes on (default 24h)")
    rotate.add_argument("--expires", metavar="WHEN", help="of the new one; default as long as the old one was made for")
    for action in (shown, rotate):
        action.add_argument("key", metavar="ID", help="as `list` shows it")
    revoke = _command(actions, "revoke", "keys:revoke", "End keys for good, in running gateways within a second.")
    revoke.add_argument("keys", nargs="+", metavar="ID", help="as `list` shows it, or a whole key that has leaked")
    for action in (create, listed, shown, rotate, revoke):
        _with_config(action)


def _db(commands: Any) -> None:
    parser = commands.add_parser("db", help="Check the databases, and bring their tables up to date.")
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    check = _command(actions, "check", "db:check", "Say where state is kept and of which version; 1 when one is off.")
    up = _command(actions, "upgrade", "db:upgrade", "Make missing tables, and bring the store's up to date.")
    up.add_argument("--grant", metavar="ROLE", help="let this role of PostgreSQL use the tables, and no more")
    down = _command(actions, "downgrade", "db:downgrade", "Take the store's tables back, and say what is lost.")
    down.add_argument("revision", metavar="REV", help="as `check` shows it; base for none, -1 for the one before")
    down.add_argument("--yes", action="store_true", help="do it; without, only say what would be lost")
    for action in (check, up, down):
        _with_config(action)


def _budget(commands: Any) -> None:
    parser = commands.add_parser("budget", help="Say what models may cost, and see how it stands.")
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    create = _command(actions, "create", "budget:create", "Make a budget; it counts from the next request.")
    create.add_argument("name", nargs="?", metavar="NAME", help="default: from what it says")
    create.add_argument("--tenant", default="default", help="default: default; '*' for each one separately")
    whose = create.add_mutually_exclusive_group()
    whose.add_argument("--project", metavar="NAME", help="of this project; '*' for each one separately")
    whose.add_argument("--principal", metavar="ID", help="of this caller; '*' for each one separately")
    periods = ["daily", "weekly", "monthly", "run"]
    create.add_argument("--period", choices=periods, default="monthly", help="UTC; weeks from Monday; default monthly")
    listed = _command(actions, "list", "budget:show_all", "List the budgets.")
    status = _command(actions, "status", "budget:status", "Say what is spent, reserved and left, and until when.")
    status.add_argument("--history", type=_count, metavar="N", help="of one budget: its last periods, too")
    update = _command(actions, "update", "budget:update", "Change a limit or a quota, for the next request.")
    update.add_argument("--rename", metavar="NAME", help="its new name")
    delete = _command(actions, "delete", "budget:delete", "Delete a budget; what was used stays known.")
    forecast = _command(actions, "forecast", "budget:forecast", "Say what will be spent when the period ends.")
    for action in (create, update):
        none = "" if action is create else "; none takes it away"
        action.add_argument("--limit", metavar="DOLLARS", help=f"for one period: 50 or 12.50{none}")
        action.add_argument("--requests-per-minute", metavar="N", help=f"quota{none}")
        action.add_argument("--tokens-per-minute", metavar="N", help=f"quota{none}")
        action.add_argument("--max-concurrent", metavar="N", help=f"requests under way{none}")
    for action in (status, forecast):
        action.add_argument("name", nargs="?", metavar="NAME", help="or its id; default: all")
    for action in (update, delete):
        action.add_argument("name", metavar="NAME", help="or its id")
    for action in (listed, status, update, delete, forecast):
        action.add_argument("--tenant", help="whose; default: whoever has one of that name")
    for action in (create, listed, status, update, delete, forecast):
        _with_config(action)


def _usage(commands: Any) -> None:
    parser = _command(commands, "usage", "usage:show", "Show what models were used for, and what it cost.")
    by = ["provider", "model", "principal", "tool", "tenant", "project", "run", "purpose", "tier", "day", "outcome"]
    parser.add_argument("--by", choices=by, default="model", help="default: model")
    parser.add_argument("--since", default="30d", metavar="WHEN", help="30d (default), 2h, 2026-11-01")
    parser.add_argument("--until", metavar="WHEN", help="before then; default: now")
    for name in ("tenant", "project", "principal", "provider", "model", "tool"):
        parser.add_argument(f"--{name}", help="only this one's")
    parser.add_argument("--run", dest="run_id", metavar="ID", help="only this run's")
    parser.add_argument("-n", "--limit", type=_count, default=50, help="at most so many rows (default 50)")
    parser.add_argument("--suggest", action="store_true", help="say what would make the same work cheaper")
    _with_config(parser)


def _version(commands: Any) -> None:
    _command(commands, "version", "config:version", "Print the version.")


if __name__ == "__main__":
    sys.exit(main())
