"""A child process that speaks raw JSON lines, and misbehaves on request. Standard library only, so it starts fast.

Options: `--era legacy|modern|both`, `--on-probe error|exit|ignore`, `--stubborn` (ignores SIGTERM and a closed stdin),
`--count FILE` (one line per tool call), `--starts FILE` (one line per start), `--fail-start N` (exit in the first N
starts), `--tools N`, `--hint` (tools say they are idempotent).
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import time

options = argparse.ArgumentParser()
options.add_argument("--era", default="legacy")
options.add_argument("--on-probe", default="error")
options.add_argument("--stubborn", action="store_true")
options.add_argument("--hint", action="store_true")
options.add_argument("--count")
options.add_argument("--starts")
options.add_argument("--fail-start", type=int, default=0)
options.add_argument("--tools", type=int, default=0)
args = options.parse_args()

NAMES = ["echo", "env", "garbage", "crash", "hang", "big", "twice", "pid", "ask", "progress", "log", "grow", "orphan"]
pending: dict[str, object] = {}
cancelled: list[object] = []


def out(message: object) -> None:
    sys.stdout.buffer.write(json.dumps(message).encode() + b"\n")
    sys.stdout.buffer.flush()


def answer(number: object, result: object) -> None:
    out({"jsonrpc": "2.0", "id": number, "result": result})


def error(number: object, code: int, text: str) -> None:
    out({"jsonrpc": "2.0", "id": number, "error": {"code": code, "message": text}})


def text(value: object) -> dict[str, object]:
    return {"content": [{"type": "text", "text": value if isinstance(value, str) else json.dumps(value)}]}


def note(file: str | None) -> int:
    if file is None:
        return 0
    with open(file, "a") as log:
        log.write("x\n")
    with open(file) as log:
        return len(log.readlines())


def call(number: object, params: dict) -> None:
    note(args.count)
    name = params["name"]
    arguments = params.get("arguments", {})
    if name == "echo":
        answer(number, {**text(arguments), "_meta": {"seen": params.get("_meta", {})}})
    elif name == "env":
        answer(number, text(dict(os.environ)))
    elif name == "pid":
        answer(number, text(str(os.getpid())))
    elif name == "garbage":
        sys.stdout.buffer.write(b'Listening on stdio...\n\xff\xfe\n{"half": \n[1]\n\n7\n')
        sys.stdout.buffer.flush()
        out({"jsonrpc": "2.0", "id": 999, "result": {}})
        out({"jsonrpc": "2.0", "method": "notifications/progress", "params": []})
        answer(number, text("after garbage"))
    elif name == "crash":
        print("database is on fire", file=sys.stderr, flush=True)
        os._exit(3)
    elif name == "big":
        sys.stdout.buffer.write(b'{"jsonrpc": "2.0", "id": %d, "result": {"x": "' % number)
        for _ in range(100):
            sys.stdout.buffer.write(b"y" * 1024 * 1024)
        sys.stdout.buffer.write(b'"}}\n')
        sys.stdout.buffer.flush()
    elif name == "twice":
        answer(number, text("first"))
        answer(number, text("second"))
    elif name == "progress":
        token = params["_meta"]["progressToken"]
        for step in range(arguments.get("steps", 3)):
            time.sleep(arguments.get("pause", 0))
            out(
                {
                    "jsonrpc": "2.0",
                    "method": "notifications/progress",
                    "params": {"progressToken": token, "progress": step},
                }
            )
        answer(number, text("done"))
    elif name == "log":
        out({"jsonrpc": "2.0", "method": "notifications/message", "params": {"level": "info", "data": "hello"}})
        answer(number, text("logged"))
    elif name == "ask":
        pending["q1"] = number
        out({"jsonrpc": "2.0", "id": "q1", "method": arguments["method"], "params": {"message": "Which?"}})
    elif name == "grow":
        NAMES.append("grown")
        out({"jsonrpc": "2.0", "method": "notifications/tools/list_changed"})
        answer(number, text("grew"))
    elif name == "orphan":
        child = subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(600)"])
        answer(number, text(str(child.pid)))
    elif name == "cancelled":
        answer(number, text(cancelled))
    elif name != "hang":
        error(number, -32602, f"no tool {name}")


def handle(message: dict) -> None:
    number, method, params = message.get("id"), message.get("method"), message.get("params") or {}
    if method is None:
        waiting = pending.pop(str(number), None)
        if waiting is not None:
            answer(waiting, text(message.get("result") or message.get("error")))
    elif method == "notifications/cancelled":
        cancelled.append(params["requestId"])
    elif method == "server/discover":
        if args.era != "legacy":
            answer(number, {"supportedVersions": ["2026-07-28"], "capabilities": {"tools": {"listChanged": True}}})
        elif args.on_probe == "exit":
            os._exit(1)
        elif args.on_probe == "error":
            error(number, -32601, "Method not found")
    elif method == "initialize":
        if args.era == "modern":
            error(number, -32022, "Unsupported protocol version")
            return
        answer(
            number,
            {
                "protocolVersion": params["protocolVersion"],
                "capabilities": {"tools": {"listChanged": True}, "resources": {"subscribe": True}},
                "serverInfo": {"name": "raw", "version": "1", "client": params["clientInfo"]},
                "instructions": "Be careful.",
            },
        )
    elif method == "tools/list":
        names = [*NAMES, *(f"tool{n}" for n in range(args.tools))]
        hints = {"annotations": {"idempotentHint": True}} if args.hint else {}
        answer(number, {"tools": [{"name": name, "inputSchema": {"type": "object"}, **hints} for name in names]})
    elif method == "resources/list":
        answer(number, {"resources": [{"uri": "raw://one", "name": "one"}]})
    elif method == "resources/subscribe":
        answer(number, {})
        out({"jsonrpc": "2.0", "method": "notifications/resources/updated", "params": {"uri": params["uri"]}})
    elif method == "tools/call":
        call(number, params)
    elif number is not None:
        error(number, -32601, "Method not found")


if args.stubborn:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
if args.starts and note(args.starts) <= args.fail_start:
    print("not ready yet", file=sys.stderr, flush=True)
    os._exit(2)
for line in sys.stdin:
    handle(json.loads(line))
while args.stubborn:
    time.sleep(1)
