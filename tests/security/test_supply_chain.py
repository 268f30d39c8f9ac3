"""What is installed: exact versions, none that is known to be bad, and lower bounds that keep it so."""

from __future__ import annotations

import re
import tomllib

from gateway_process import REPOSITORY
from packaging.requirements import Requirement
from packaging.version import Version

# Trojaned releases, and for others the first version without a known hole that concerns what is used of it here.
KNOWN_BAD = {"litellm": {Version("1.82.7"), Version("1.82.8")}}
LOWEST = {
    "litellm": Version("1.84"),
    "starlette": Version("1.0.1"),  # Host header confusion
    "h11": Version("0.16.0"),  # chunked bodies read too laxly
    "mcp": Version("2.3"),
    "cryptography": Version("44"),
    "jinja2": Version("3.1.6"),
}


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def pinned() -> dict[str, Version]:
    lines = (REPOSITORY / "constraints.txt").read_text().splitlines()
    wanted = [line for line in lines if line.strip() and not line.startswith("#")]
    found = {}
    for line in wanted:
        name, exactly, version = line.partition("==")
        assert exactly, f"{line!r} is no exact version"
        found[normal(name)] = Version(version.split(";")[0].strip())
    return found


def declared() -> list[Requirement]:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    extras = [
        each
        for name, needs in project["optional-dependencies"].items()
        if name not in ("train", "neural-train", "local", "wasi")
        for each in needs
    ]
    return [Requirement(each) for each in (*project["dependencies"], *extras) if "agentflow-gateway" not in each]


def test_every_version_is_exact_and_none_is_known_to_be_bad() -> None:
    versions = pinned()
    assert len(versions) > 50
    for name, bad in KNOWN_BAD.items():
        assert versions[name] not in bad
    for name, lowest in LOWEST.items():
        assert versions[name] >= lowest, name


def test_everything_that_is_asked_for_is_pinned_and_fits() -> None:
    versions = pinned()
    for requirement in declared():
        if requirement.marker and not requirement.marker.evaluate():
            continue
        version = versions[normal(requirement.name)]
        assert requirement.specifier.contains(version, prereleases=True), f"{requirement} but {version}"


def test_what_is_asked_for_leaves_the_bad_ones_out_without_the_pins() -> None:
    for requirement in declared():
        name = normal(requirement.name)
        for bad in KNOWN_BAD.get(name, ()):
            assert not requirement.specifier.contains(bad), f"{requirement} lets {bad} in"
        if name in LOWEST:
            below = [Version("0.1"), Version(f"{LOWEST[name].major - 1}.999" if LOWEST[name].major else "0.0.1")]
            assert not any(requirement.specifier.contains(each) for each in below), f"{requirement} lets old ones in"
        assert any(each.operator in (">=", "==", "~=", ">") for each in requirement.specifier) or name.startswith(
            "types-"
        ), f"{requirement} has no lower bound"
