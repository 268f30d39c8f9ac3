"""`agentflow config check|schema|show` and `agentflow version`."""

from __future__ import annotations

import os
from argparse import Namespace
from dataclasses import asdict

from agentflow import __version__
from agentflow.commands.output import document
from agentflow.settings import file as config_file


def check(args: Namespace) -> int:
    """Print every problem; 1 if any of them stops the gateway."""
    path = args.file or args.config or config_file.find(os.environ)
    problems = config_file.check(path, os.environ)
    errors = sum(problem.severity == "error" for problem in problems)
    if args.json:
        listed = [asdict(problem) for problem in problems]
        document({"ok": not errors, "file": str(path) if path else None, "problems": listed})
        return 1 if errors else 0
    for problem in problems:
        print(problem)
    warnings = len(problems) - errors
    subject = str(path) if path else "no configuration file found; the defaults"
    print(f"{subject}: {_count(errors, 'error')}, {_count(warnings, 'warning')}" if problems else f"{subject}: fine")
    return 1 if errors else 0


def schema(_: Namespace) -> int:
    """Print the JSON Schema."""
    document(config_file.schema())
    return 0


def show(args: Namespace) -> int:
    """Print what is in force, as JSON with --json and as YAML otherwise."""
    shown = config_file.effective(args.config, os.environ)
    if args.json:
        document(shown)
    else:
        from agentflow.settings.documents import dump_yaml

        print(dump_yaml(shown), end="")
    return 0


def version(args: Namespace) -> int:
    """Print the version."""
    if args.json:
        document({"agentflow": __version__})
    else:
        print(f"agentflow {__version__}")
    return 0


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
