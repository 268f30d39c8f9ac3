"""`${VAR}` and `${VAR:-default}` in configuration values; `$$` stands for one `$`.

Promises: a variable that is not set and has no default is reported, never replaced by nothing. `${env:VAR}`, as
editors write it, is `${VAR}`; their other forms (`${input:…}`) are refused by name. A lone `$` is itself.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

REFERENCE = re.compile(r"\$\$|\$\{([^}]*)(\}?)")
_BODY = re.compile(r"(?:env:)?([A-Za-z_][A-Za-z0-9_]*)(?::-(.*))?", re.DOTALL)


@dataclass(slots=True)
class Expanded:
    """What came of one string. `problems` holds (message, fix); `used` the variables by name."""

    text: str
    problems: list[tuple[str, str]] = field(default_factory=list)
    used: dict[str, str] = field(default_factory=dict)


def expand(text: str, variables: Mapping[str, str]) -> Expanded:
    """Replace every reference. As in a shell, a default also stands in for an empty variable."""
    result = Expanded("")

    def one(match: re.Match[str]) -> str:
        if match.group() == "$$":
            return "$"
        body = _BODY.fullmatch(match.group(1))
        if body is None or not match.group(2):
            result.problems.append(_malformed(match.group()))
            return match.group()
        name, default = body.group(1), body.group(2)
        value = variables.get(name)
        if not value and default is not None:
            return str(default)
        if value is None:
            result.problems.append((f"the environment variable {name} is not set", _set(name)))
            return match.group()
        result.used[name] = value
        return value

    result.text = REFERENCE.sub(one, text)
    return result


def escape(text: str) -> str:
    """The text that `expand` turns into `text` whatever the environment."""
    return text.replace("$", "$$") if "${" in text or "$$" in text else text


def literal_part(text: str) -> str:
    """What of `text` stands in the file itself: the defaults, or all of it when it names no variable."""
    references = [m for m in REFERENCE.finditer(text) if m.group() != "$$"]
    if not references:
        return text
    bodies = (_BODY.fullmatch(m.group(1)) for m in references)
    return "".join(body.group(2) or "" for body in bodies if body)


def _set(name: str) -> str:
    return f"set {name}, add it to secrets.env in the data directory, or write ${{{name}:-default}}"


def _malformed(text: str) -> tuple[str, str]:
    if text.startswith("${input:"):
        return f"{text} asks an editor's user; a gateway has nobody to ask", "write ${NAME} and set that variable"
    return f"{text[:40]} is not ${{NAME}} or ${{NAME:-default}}", "correct it, or write $$ for a plain $"
