"""Measure how many secrets are found and what is wrongly taken for one.

Secrets are generated from a file of rules in gitleaks' format: for every rule, strings that match its expression,
put into an env file, JSON, YAML, code, a log line, a curl command and prose. What must stay is generated too (hashes,
UUIDs, integrity strings, base64) and read from lock files and other files at hand. Nothing of the rules is kept.

    python benchmarks/secret_rules.py --rules gitleaks.toml [--files DIR ...] [--each 20] [--seed 1] [--out report.json]
"""

from __future__ import annotations

import argparse
import base64
import json
import random
import re
import re._constants as sre  # type: ignore[import-not-found]
import re._parser as parser  # type: ignore[import-not-found]
import string
import time
import tomllib
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from agentflow.guard.secrets.matcher import SecretMatcher

_LOCKS = ("*lock.json", "*.lock", "go.sum", "*lock.yaml", "constraints*.txt", "*shrinkwrap.json")
_NAMED = (r"(?i)[\w.-]{0,50}", r"[\w.-]{0,50}")  # rules that find a value by the name in front of it
_CONTEXTS = {
    "env": "{KW}_API_KEY={v}\nDEBUG=false\n",
    "export": 'export {KW}_TOKEN="{v}"',
    "name only": '{kw} = "{v}"',
    "json": '{{"region": "eu", "{kw}_api_key": "{v}", "retries": 3}}',
    "yaml": "{kw}:\n  enabled: true\n{kw}_secret: {v}\n",
    "code": "client = Client({kw}_token='{v}')",
    "const": "const {kw}ApiKey = '{v}';",
    "log": "2026-01-15T10:30:00Z INFO connecting with {kw}_key={v} attempt=1",
    "curl": 'curl -H "X-{Kw}-Token: {v}" https://api.{kw}.com/v1/items',
    "prose": "The {kw} API key is {v} and must be rotated.",
}


def python_regex(pattern: str) -> str:
    """Return a Go expression in Python's syntax: flags in the middle of a group reach to the end of it."""
    pattern = pattern.replace("[[:alnum:]]", "[A-Za-z0-9]").replace(r"\z", r"\Z")
    out, stack, at = [], [0], 0
    while at < len(pattern):
        char = pattern[at]
        if char == "\\":
            out.append(pattern[at : at + 2])
            at += 2
            continue
        if char == "[":
            end = at + 1
            while pattern[end] != "]" or end == at + 1:
                end += 2 if pattern[end] == "\\" else 1
            out.append(pattern[at : end + 1])
            at = end + 1
            continue
        flag = re.match(r"\(\?([ims-]+)\)", pattern[at:])
        if flag:
            out.append(f"(?{flag[1]}:")
            stack[-1] += 1
            at += flag.end()
            continue
        if char == "(":
            stack.append(0)
        elif char == ")":
            out.append(")" * stack.pop())
        out.append(char)
        at += 1
    return "".join(out) + ")" * stack[0]


class Generator:
    """Writes strings that match an expression; groups are kept."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self.groups: dict[int, str] = {}

    def text(self, tree: Any, fold: bool = False) -> str:
        return "".join(self._one(kind, value, fold) for kind, value in tree)

    def _one(self, kind: Any, value: Any, fold: bool) -> str:
        rng = self._rng
        if kind is sre.LITERAL:
            return chr(value)
        if kind is sre.NOT_LITERAL:
            return rng.choice([c for c in string.ascii_letters + string.digits if ord(c) != value])
        if kind is sre.ANY:
            return "."  # alone it is a dot that nobody escaped
        if kind is sre.IN:
            return rng.choice(self._members(value))
        if kind is sre.BRANCH:
            return self.text(rng.choice(value[1]), fold)
        if kind is sre.SUBPATTERN:
            group, add, remove, inner = value
            text = self.text(inner, (fold or bool(add & re.IGNORECASE)) and not remove & re.IGNORECASE)
            if group is not None:
                self.groups[group] = text
            return text
        if kind in (sre.MAX_REPEAT, sre.MIN_REPEAT):
            least, most, inner = value
            most = min(most, least + 12)
            if len(inner) == 1 and inner[0][0] is sre.ANY:
                return "".join(rng.choices(string.ascii_letters + string.digits, k=rng.randint(least, most)))
            return "".join(self.text(inner, fold) for _ in range(rng.randint(least, most)))
        if kind is sre.AT:
            return ""
        raise ValueError(f"cannot write {kind}")

    def _members(self, items: Any) -> list[str]:
        chars: set[str] = set()
        negate = False
        for kind, value in items:
            if kind is sre.NEGATE:
                negate = True
            elif kind is sre.LITERAL:
                chars.add(chr(value))
            elif kind is sre.RANGE:
                chars.update(map(chr, range(value[0], value[1] + 1)))
            else:
                chars.update(_category(value))
        if negate:
            chars = set(string.ascii_letters + string.digits) - chars
        return sorted(chars) or [" "]


def _category(value: Any) -> str:
    name = str(value)
    if "NOT" in name:
        return string.ascii_letters + string.digits + "+/"
    if "DIGIT" in name:
        return string.digits
    return " " if "SPACE" in name else string.ascii_letters + string.digits + "_"


def samples(rule: dict[str, Any], rng: random.Random, each: int) -> Iterator[tuple[str, str]]:
    """Yield (the secret, the whole match) for one rule."""
    tree = parser.parse(python_regex(rule["regex"]))
    for _ in range(each):
        generator = Generator(rng)
        whole = generator.text(tree)
        named = set(tree.state.groupdict.values())
        secret = max((text for number, text in generator.groups.items() if number not in named), key=len, default="")
        if not rule["regex"].startswith(_NAMED) and len(secret) < 8:
            secret = whole
        yield secret.strip("\"'` \n"), whole


def covered(matcher: SecretMatcher, text: str, value: str) -> bool:
    start = text.find(value)
    found = sum(max(0, min(m.end, start + len(value)) - max(m.start, start)) for m in matcher.find(text))
    return found >= 0.9 * len(value)


def recall(matcher: SecretMatcher, rules: list[dict[str, Any]], rng: random.Random, each: int) -> dict[str, Any]:
    by_rule: dict[str, list[int]] = {}
    by_context: dict[str, list[int]] = {}
    missed: dict[str, str] = {}
    for rule in rules:
        if "regex" not in rule:
            continue
        service = re.sub(r"[^a-z0-9]+", "_", rule["id"].split("-")[0])
        for value, whole in samples(rule, rng, each):
            texts = {
                name: form.format(kw=service, KW=service.upper(), Kw=service.title(), v=value)
                for name, form in _CONTEXTS.items()
                if not re.search(r"[\s\"'`]", value)  # what brings its own context needs no other
            }
            texts["match"] = f"config: {whole} "
            for name, text in texts.items():
                hit = covered(matcher, text, value)
                by_rule.setdefault(rule["id"], []).append(hit)
                by_context.setdefault(name, []).append(hit)
                if not hit:
                    missed.setdefault(f"{rule['id']} / {name}", text[:240])
    total = [hit for hits in by_rule.values() for hit in hits]
    return {
        "recall": sum(total) / len(total),
        "recall, mean of rules": sum(sum(h) / len(h) for h in by_rule.values()) / len(by_rule),
        "samples": len(total),
        "contexts": {name: round(sum(hits) / len(hits), 4) for name, hits in by_context.items()},
        "rules below 98 %": {
            n: round(sum(h) / len(h), 3) for n, h in sorted(by_rule.items()) if sum(h) < 0.98 * len(h)
        },
        "missed": missed,
    }


def negatives(rng: random.Random, count: int) -> Iterator[tuple[str, str]]:
    """Yield (kind, text) of what must stay as it is."""
    for _ in range(count):
        raw = rng.randbytes(64)
        b64 = base64.b64encode(raw).decode()
        sha1, sha256, md5 = raw[:20].hex(), raw[:32].hex(), raw[:16].hex()
        some = str(uuid.UUID(bytes=raw[:16], version=4))
        yield "uuid", f'{{"id": "{some}", "request_id": "{some}", "name": "x"}} trace {some}'
        yield "git", f"commit {sha1}\nAuthor: A\n\nindex {sha1[:7]}..{sha256[:7]} 100644\nmerge {sha1[:10]} into main"
        yield "git json", json.dumps({"sha": sha1, "commit": sha1, "tree": {"sha": sha256}, "etag": f'W/"{md5}"'})
        yield "npm", json.dumps({"resolved": f"https://r.example/x/-/x-1.2.3.tgz#{sha1}", "integrity": f"sha512-{b64}"})
        yield "pip", f"flask==3.0.{raw[0]} --hash=sha256:{sha256}"
        yield "go.sum", f"golang.org/x/crypto v0.{raw[1]}.0 h1:{base64.b64encode(raw[:32]).decode()}"
        yield "cargo", f'checksum = "{sha256}"\n[[package]]\nname = "tokio"'
        yield "poetry", f'{{file = "requests-2.31.0-py3-none-any.whl", hash = "sha256:{sha256}"}}'
        yield "docker", f"FROM python@sha256:{sha256}\nimage: repo/app:{sha1[:12]}"
        yield "md5", f"{md5}  token-1.0.tar.gz\nMD5 ({md5}) cache_key={md5} key: {sha256}"
        yield "page", json.dumps({"nextPageToken": b64[:40], "cursor": b64[:24], "next_token": b64[:60], "key": md5})
        image = base64.b64encode(rng.randbytes(600)).decode()
        yield "image", f'<img src="data:image/png;base64,{image}"> ![x](data:image/jpeg;base64,{image})'
        yield "base64", "\n".join(image[i : i + 76] for i in range(0, len(image), 76))
        yield "aws ids", f"i-{sha1[:17]} vol-{md5[:17]} arn:aws:iam::123456789012:role/{some} sg-{md5[:8]}"
        yield "places", f'token: ${{API_TOKEN}} api_key=<your-api-key> password: {{{{ vault.pw }}}} key="{some}"'


def false_positives(matcher: SecretMatcher, rng: random.Random, folders: list[Path], count: int) -> dict[str, Any]:
    kinds: dict[str, list[int]] = {}
    shown: list[str] = []
    for kind, text in negatives(rng, count):
        found = matcher.find(text)
        kinds.setdefault(kind, []).append(len(found))
        shown += [f"{kind}: {m.type} {text[max(0, m.start - 30) : m.end]}" for m in found[:1]]
    files: dict[str, Any] = {}
    for folder in folders:
        for path in sorted(p for glob in _LOCKS for p in folder.rglob(glob) if p.is_file()):
            text = path.read_text(errors="replace")
            found = matcher.find(text)
            files[path.name] = files.get(path.name, 0) + len(found)
            shown += [f"{path.name}: {m.type} {text[max(0, m.start - 30) : m.end]}" for m in found[:3]]
    return {
        "generated": {kind: f"{sum(map(bool, hits))}/{len(hits)}" for kind, hits in kinds.items()},
        "lock files": {"files": len(files), "hits": sum(files.values())},
        "shown": shown[:40],
    }


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--rules", type=Path, required=True)
    arguments.add_argument("--files", type=Path, nargs="*", default=[])
    arguments.add_argument("--each", type=int, default=20)
    arguments.add_argument("--seed", type=int, default=1)
    arguments.add_argument("--out", type=Path)
    given = arguments.parse_args()
    rng = random.Random(given.seed)
    matcher = SecretMatcher()
    began = time.process_time()
    found = recall(matcher, tomllib.loads(given.rules.read_text())["rules"], rng, given.each)
    report = {**found, "false positives": false_positives(matcher, rng, given.files, 50 * given.each)}
    report["cpu_s"] = round(time.process_time() - began, 1)
    text = json.dumps(report, indent=2)
    if given.out:
        given.out.write_text(text)
    print(text)


if __name__ == "__main__":
    main()
