"""`agentflow policy check|build|eval|explain|diff`; `replay` is in `policy_replay.py`, kept bundles in
`policy_bundles.py`.
"""

from __future__ import annotations

import json
import os
import re
import sys
from argparse import Namespace
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from agentflow.commands.output import UsageError, document
from agentflow.config import Config, PolicyConfig
from agentflow.errors import ConfigError
from agentflow.settings import file as config_file

_DEEPEST = 100  # levels of an input document
_REVISION = re.compile(r"[0-9a-f]{4,64}")
_FOLDERS: list[TemporaryDirectory[str]] = []  # gone with the process


def check(args: Namespace) -> int:
    """Compile a bundle with the configured data and run its tests; 1 when one of them fails."""
    from agentflow.policy import engine
    from agentflow.policy.checks import world_of

    settings = _as_far_as_usable(args)
    report = engine.check(configured(args, settings), world_of(settings))
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
                "warnings": list(report.warnings),
            }
        )
        return 0 if report.ok and not failed else 1
    for problem in report.problems:
        print(problem)
    for warning in report.warnings:
        print(f"warning: {warning}")
    for test in failed:
        print(f"{test.name}: {test.error}")
    passed = len(report.tests) - len(failed)
    print(f"{report.path}: revision {report.revision[:12] or '-'}, {passed} of {len(report.tests)} tests passed")
    return 0 if report.ok and not failed else 1


def build(args: Namespace) -> int:
    """Write the bundle, with layers and configured data in it, as an archive that OPA loads."""
    from agentflow.policy import archive, engine
    from agentflow.policy.bundle import read_bundle, refused

    config = configured(args, config_file.load(args.config, os.environ))
    bundle = read_bundle(config)
    problems = list(engine.check(config).problems)
    if problems:
        raise refused(bundle.path, problems)
    revision = args.revision or bundle.revision
    packed = archive.pack(bundle.texts, bundle.data, revision)
    args.output.write_bytes(packed)
    if args.json:
        document({"ok": True, "file": str(args.output), "revision": revision, "bytes": len(packed)})
    else:
        files = len(bundle.texts) + 1
        print(f"{args.output}: revision {revision}, {files} files, {len(packed)} bytes")
    return 0


def evaluate(args: Namespace) -> int:
    """Decide an input document; 1 when it is denied."""
    from agentflow.policy.engine import Engine

    question = _json(args.input)
    for problem in _not_an_input(question):
        print(f"agentflow: {args.input}: {problem}", file=sys.stderr)
    with closing(Engine(configured(args, _as_far_as_usable(args)), tested=True)) as engine:
        return _explained(args, engine, question, {})


def explain(args: Namespace) -> int:
    """Decide a recorded call again and say what it hangs on; 1 where no record, or no input, is there."""
    from agentflow.audit import read
    from agentflow.audit.asked import NotRecorded, restored
    from agentflow.policy.engine import Engine

    settings = config_file.load(args.config, os.environ)
    entry = read.find(settings.data_dir, args.record)
    if entry is None:
        raise ConfigError(f"no record {args.record} in {settings.data_dir}", fix="`agentflow audit tail` shows ids")
    try:
        question = restored(entry.record)
    except NotRecorded as error:
        raise ConfigError(f"record {args.record} cannot be decided again: {error}") from None
    with closing(Engine(configured(args, settings), tested=True)) as engine:
        _explained(args, engine, question, entry.record["decision"])
    return 0


def diff(args: Namespace) -> int:
    """Say what the second bundle has otherwise than the first; 1 when there is a difference."""
    from agentflow.policy.bundle import read_bundle
    from agentflow.policy.compare import differences

    before, after = (read_bundle(_named(args, path)) for path in (args.before, args.after))
    found = differences(before, after)
    if args.json:
        document({"ok": not found, "differences": [asdict(each) for each in found]})
        return 1 if found else 0
    for what, title in (("data", "Settings"), ("rule", "Rules"), ("test", "Tests")):
        of_kind = [each for each in found if each.what == what]
        if of_kind:
            print(f"{title}: {len(of_kind)} changed")
        for each in of_kind:
            first, *rest = each.lines()
            print(f"  {each.kind:8} {first}")
            for line in rest if each.kind == "changed" else ():
                print(f"  {line}")
    if not found:
        print("no difference")
    return 1 if found else 0


def configured(args: Namespace, config: Config) -> PolicyConfig:
    """The policy in force, with the bundle and layers of the command line in place of its own.

    Raises:
        ConfigError: what is in force, or the bundle that is named, cannot be had from the store.
    """
    changes: dict[str, Any] = {"engine": "embedded"}
    if args.bundle is not None and (args.bundle.exists() or not _REVISION.fullmatch(str(args.bundle))):
        changes.update(bundle=args.bundle, layers=())
    elif (kept := _kept(config, str(args.bundle or ""))) is not None:
        changes.update(bundle=kept, layers=(), data={})
    if args.layer:
        changes["layers"] = tuple(args.layer)
    return config.policy.model_copy(update=changes)


def _named(args: Namespace, bundle: Path) -> PolicyConfig:
    """A bundle by itself: a folder, an archive, or what is kept under this revision.

    Raises:
        ConfigError: nothing is.
    """
    if not bundle.exists() and _REVISION.fullmatch(str(bundle)):
        settings = config_file.load(args.config, os.environ)
        return PolicyConfig(bundle=_kept(settings, str(bundle)))
    return PolicyConfig(bundle=bundle)


def _kept(config: Config, revision: str) -> Path | None:
    """A file with the kept bundle of this revision, by default the one in force; None where the file's is."""
    from agentflow.commands.policy_bundles import sealing
    from agentflow.policy.live import LiveBundles
    from agentflow.store.opened import Store

    with closing(Store(config.data_dir, config.store)) as store:
        bundles = LiveBundles(store, sealing(config))
        if not revision and config.policy.engine == "embedded":
            revision = bundles.chosen() or ""
        if not revision:
            return None
        body = bundles.body(revision)
    folder = TemporaryDirectory(prefix="agentflow-")
    _FOLDERS.append(folder)
    place = Path(folder.name) / f"{revision[:12]}.tar.gz"
    place.write_bytes(body)
    return place


def _as_far_as_usable(args: Namespace) -> Config:
    """The configuration; what is wrong with it is said, and left at its default."""
    for problem in config_file.check(args.config, os.environ):
        print(f"agentflow: {problem}", file=sys.stderr)
    return config_file.glance(args.config, os.environ)


def _json(place: str) -> dict[str, Any]:
    try:
        value = json.loads(sys.stdin.read() if place == "-" else Path(place).read_text(encoding="utf-8"))
        if _depth(value) > _DEEPEST:
            raise RecursionError
    except RecursionError:
        raise UsageError(f"{place} is nested too deeply", fix=f"{_DEEPEST} levels are read") from None
    except ValueError as error:
        raise UsageError(f"{place} is not JSON: {error}") from None
    if isinstance(value, dict) and value.keys() == {"input"} and isinstance(value["input"], dict):
        value = value["input"]  # as OPA's REST API takes it
    if not isinstance(value, dict):
        raise UsageError(f"{place} is no input document", fix="write a JSON object, see docs/policy.md")
    return value


def _depth(value: Any) -> int:
    """How many levels of objects and arrays lie in each other, counted up to one more than are read."""
    level, depth = [value], 0
    while depth <= _DEEPEST:
        level = [each for each in level if isinstance(each, dict | list)]
        if not level:
            break
        level = [item for each in level for item in (each.values() if isinstance(each, dict) else each)]
        depth += 1
    return depth


def _not_an_input(question: dict[str, Any]) -> list[str]:
    """What of the document differs from the schema; it is decided all the same."""
    from jsonschema import Draft202012Validator

    from agentflow.policy import document as input_document

    schema = json.loads(Path(input_document.__file__).with_name("input.schema.json").read_bytes())
    errors = sorted(Draft202012Validator(schema).iter_errors(question), key=lambda error: list(error.path))
    return [f"{error.json_path}: {error.message[:200]}" for error in errors]


def _explained(args: Namespace, engine: Any, question: dict[str, Any], before: dict[str, Any]) -> int:
    from agentflow.audit.asked import told
    from agentflow.policy.explain import explain as explanation_of
    from agentflow.policy.explain import in_words

    found = explanation_of(engine.bundle, engine.decide, question)
    decision = told(found.decision)
    code = 0 if found.decision.allow else 1
    if args.json:
        document(
            {
                "ok": True,
                "decision": decision,
                **({"recorded": before} if before else {}),
                "grounds": [asdict(ground) for ground in found.grounds],
                "mattered": [asdict(part) for part in found.mattered],
                "complete": found.complete,
            }
        )
        return code
    print(in_words(found.decision))
    for ground in found.grounds:
        print(f"  {ground.code}: {ground.message}{''.join(f'  [{place}]' for place in ground.places)}")
    for name, value in decision.get("obligations", {}).items():
        print(f"  obligation {name}: {json.dumps(value, ensure_ascii=False)}")
    if found.mattered:
        print("what it hangs on:")
    for part in found.mattered:
        print(f"  {part.path} = {json.dumps(part.value, ensure_ascii=False)}; without it: {part.without}")
    if not found.complete:
        print("  (the input is too large to look into all of it)")
    if before and before.get("revision") != found.decision.revision:
        was = "allowed" if before.get("allow") else "denied"
        print(f"decided at the time by another revision, {str(before.get('revision'))[:12]}: {was}")
    return code
