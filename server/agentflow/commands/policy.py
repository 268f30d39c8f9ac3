"""`agentflow policy check`."""

from __future__ import annotations

import os
from argparse import Namespace

from agentflow.commands.output import document
from agentflow.settings import file as config_file


def check(args: Namespace) -> int:
    """Compile a bundle with the configured data and run its tests; 1 when one of them fails."""
    from agentflow.policy import engine

    policy = config_file.glance(args.config, os.environ).policy
    report = engine.check(args.bundle or policy.bundle, dict(policy.data))
    failed = [test for test in report.tests if test.error]
    if args.json:
        tests = [{"name": test.name, "ok": not test.error, "error": test.error} for test in report.tests]
        document(
            {
                "ok": report.ok and not failed,
                "bundle": str(report.path),
                "revision": report.revision,
                "tests": tests,
                "problems": list(report.problems),
            }
        )
        return 0 if report.ok and not failed else 1
    for problem in report.problems:
        print(problem)
    for test in failed:
        print(f"{test.name}: {test.error}")
    passed = len(report.tests) - len(failed)
    print(f"{report.path}: revision {report.revision[:12] or '-'}, {passed} of {len(report.tests)} tests passed")
    return 0 if report.ok and not failed else 1
