"""Deeds that hang on what outsiders alone have shown: who is paid, who gets access, what is deleted or run.

It judges by where the values of the arguments come from, not by what a text says: a payee, a grantee, a hook or an id
that only outsiders' content has named, in a call that cannot be taken back. Left out is what honest work does with
such content: paying what a bill says, cleaning up the server that showed the id, running what installs a package.
It promises one name per finding (`SWAYED`), and that no call of a conversation without outsiders' content has any.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Protocol

import re2

from agentflow.guard.sinks import words_of
from agentflow.guard.trace import BILLED, FOREIGN, KEPT, KNOWN, OWN, SHIFT, TRUSTED, Trace
from agentflow.guard.values import domain_of, hashed, host_of, pieces

SWAYED: Final = ("payee", "grantee", "target", "command", "protection", "public")


class Part(Protocol):
    """One leaf of the arguments, as `compare` reads it."""

    path: str
    key: str
    text: str
    low: str
    found: list[str]
    leads: bool


# Words of a tool or a member that hand on what comes later, to whoever they name.
_LASTING: Final = frozenset(
    [
        "forward",
        "forwards",
        "forwarding",
        "redirect",
        "redirects",
        "webhook",
        "webhooks",
        "hook",
        "hooks",
        "callback",
        "subscription",
        "rule",
        "filter",
        "payee",
        "beneficiary",
        "recovery",
        "delegate",
        "key",
        "keys",
        "binding",
        "policy",
    ]
)
_ACCOUNT: Final = frozenset(["account", "iban", "bic", "bank", "payee", "beneficiary", "wallet", "payout"])
_LOGINS: Final = frozenset(["login", "handle", "principal", "identity", "grantee", "name"])
_TO_ALL: Final = frozenset(
    [
        "anyone",
        "public-read",
        "public-read-write",
        "anyonewithlink",
        "anonymous",
        "everyone",
        "everybody",
        "public",
        "world",
        "allusers",
        "allauthenticatedusers",
    ]
)
# What protects, by the words for it that a text of outsiders may use; the first word stands in tools and members, too.
_PROTECTIONS: Final = tuple(
    frozenset(words.split())
    for words in (
        "alarm alarms alarma alarme alarmanlage allarme alarmu siren sirena",
        "door doors lock locks garage gate haustür puerta porte porta deur drzwi дверь",
        "mfa 2fa otp two-factor two-step factor authenticator multi-factor zwei-faktor factores facteurs",
        "firewall firewalls brandmauer",
        "antivirus defender malware",
        "logging audit auditing logs protokollierung",
        "backup backups sicherung sauvegarde respaldo",
    )
)
_OFF: Final = frozenset(
    ["off", "false", "disabled", "disable", "disarmed", "disarm", "none", "0", "open", "unlocked", "unlock", "inactive"]
)
_OPTIONS: Final = re2.Options()
_OPTIONS.log_errors = False
# Commands that destroy, open a way in, hand out secrets, or run what they have just loaded.
_RISKY: Final = re2.compile(
    r"\|\s*(?:sudo\s+)?(?:\S*/)?(?:ba|z|da|k)?sh\b|\b(?:nc|ncat|netcat|socat|telnet)\b|/dev/tcp|\brm\s+-\w*[rf]|"
    r"\bmkfs\b|\bdd\s+if=|--(?:extra-)?index-url|--registry\b|\bchmod\b|\bchown\b|authorized_keys|\.ssh\b|\.aws\b|"
    r"\.env\b|\.netrc|credential|id_rsa|/etc/(?:passwd|shadow|sudoers|cron)|\bcrontab\b|base64\s+-|\beval\b|\bsudo\b|"
    r"\biex\b|invoke-expression|downloadstring|\bcurl\b.{0,200}(?:-d|--data|-f|--form|-t|--upload)\b|"
    r"\b(?:drop|truncate)\s+(?:table|database|schema)\b|\bdelete\s+from\b|\bgrant\s+\w+\s+(?:on|to)\b|"
    r"\bgit\s+push\b.{0,100}--force|\bos\.system\b|\bsubprocess\b|__import__",
    _OPTIONS,
)
# Files that are run, or open a way in, without anybody asking for it again.
_PLANTED: Final = re2.compile(
    r"authorized_keys|\.ssh/|\.bash|\.zsh|\.profile|crontab|/cron|\.git/hooks|systemd|autostart|sudoers|"
    r"launchagents|\.npmrc|pip\.conf|\.gitconfig|/etc/",
    _OPTIONS,
)


def swayed(trace: Trace, parts: Sequence[Part], arguments: Any, server: str, tool: str, role: str) -> tuple[str, ...]:
    """Return which of `SWAYED` hold for a call: what it does hangs on values that only outsiders have shown.

    Args:
        parts: the leaves of `arguments`.
        server: the upstream that is called.
        tool: its own name of the tool.
        role: what it does (`guard/sinks.py`).
    """
    if role in ("read", "http") or not any(trace.outsiders(source) for source in trace.sources):
        return ()
    named = frozenset(words_of(tool))
    found = {"protection"} if _exposed(trace, parts, named, _switched_off(arguments)) else set()
    planted = any(len(part.text) < 200 and _PLANTED.search(part.low) for part in parts)
    for part in parts:
        if role == "pay" or (role in ("change", "write") and not _ACCOUNT.isdisjoint(words_of(part.key))):
            found |= _payee(trace, part)
        if role in ("grant", "write", "change", "post", "send"):
            found |= _grantee(trace, part, server, role, named)
        if role == "delete":
            found |= _target(trace, part, server)
        if role in ("execute", "write", "change"):
            found |= _command(trace, part, role, named, planted)
    return tuple(sorted(found))


def foreign(trace: Trace, value: str) -> int:
    """What is known of a value that outsiders alone have shown, 0 for any other; a URL counts by its host."""
    bits = trace.values.get(hashed(value), 0)
    if not bits and "://" in value:
        host = host_of(value)
        bits = trace.values.get(hashed(host), 0) or trace.values.get(hashed(domain_of(host)), 0)
    if not bits & FOREIGN or bits & (OWN | TRUSTED) or (bits & KEPT and not trace.trusting):
        return 0
    # Where no server has a label, tools that show no messages or pages are taken for the caller's own records.
    return bits if trace.labelled or not trace.sources[bits >> SHIFT].kept else 0


def _payee(trace: Trace, part: Part) -> set[str]:
    accounts = [value for value in part.found if part.leads or _is_account(value)]
    hit = [bits for value in accounts if (bits := foreign(trace, value))]
    return {"payee"} if any(not bits & BILLED for bits in hit) else set()


def _exposed(trace: Trace, parts: Sequence[Part], named: frozenset[str], switched: frozenset[str]) -> bool:
    """Whether the call switches a protection off that outsiders have written of, and names nothing of its own."""
    about = named.union(switched, *(words_of(part.key) for part in parts))
    if not named.isdisjoint(_OFF):  # `disable_service`: what, stands in a value
        about = about.union(*(words_of(part.low) for part in parts if len(part.text) < 80))
    for terms in _PROTECTIONS:
        if about.isdisjoint(terms) or not any(trace.said_by_others(term) for term in terms if len(term) > 3):
            continue
        if (
            not switched.isdisjoint(terms)
            or not named.isdisjoint(_OFF)
            or any(part.low.strip() in _OFF for part in parts)
        ):
            return True
    return False


def _switched_off(body: Any) -> frozenset[str]:
    """The words of the members that are false."""
    found: set[str] = set()
    stack = [body]
    while stack:
        here = stack.pop()
        if isinstance(here, dict):
            found.update(*(words_of(str(key)) for key, value in here.items() if value is False))
            stack += here.values()
        elif isinstance(here, list):
            stack += here
    return frozenset(found)


def _is_account(value: str) -> bool:
    digits = sum(map(str.isdigit, value))
    return value.startswith(("iban_", "crypto_", "card_", "0x", "bc1")) or (digits >= 10 and value[:2].isalpha())


def _grantee(trace: Trace, part: Part, server: str, role: str, named: frozenset[str]) -> set[str]:
    keys = set(words_of(part.key))
    lasting = not _LASTING.isdisjoint(named) or not _LASTING.isdisjoint(keys)
    if role != "grant" and (not lasting or (role == "send" and "forward" not in named)):
        return set()
    if role == "grant" and part.low.strip() in _TO_ALL and not {"event", "meeting"} & named:
        return {"public"}
    if not part.leads and not keys & _LOGINS and not keys & _LASTING and not (role == "grant" and _is_address(part)):
        return set()
    name = part.low.strip()
    if role == "grant" and not part.found and "-" in name and " " not in name and trace.said_by_others(name):
        return {"grantee"}  # a login, which is no value as it has neither digits nor a sign
    for value in part.found:
        bits = foreign(trace, value)
        if bits and (lasting or not _is_own(trace, bits, server)) and (role == "grant" or _is_address(part)):
            return {"grantee"}
    return set()


def _is_address(part: Part) -> bool:
    return any("@" in value or "://" in value or value.startswith("email_") for value in part.found)


def _is_own(trace: Trace, bits: int, server: str) -> bool:
    """Whether the server that is called showed it, among its own records."""
    source = trace.sources[bits >> SHIFT]
    return source.server == server and source.kept


def _target(trace: Trace, part: Part, server: str) -> set[str]:
    for value in part.found:
        bits = foreign(trace, value)
        if bits and trace.sources[bits >> SHIFT].server != server and len(part.text) < 200:
            return {"target"}
    bare = part.low.strip()
    short = bare.isdigit() and 1 < len(bare) < 4  # too short to be remembered as a value
    elsewhere = not any(source.server == server and trace.outsiders(source) for source in trace.sources)
    if short and elsewhere and trace.said_by_others(bare) and not trace.values.get(hashed(bare), 0) & KNOWN:
        return {"target"}
    return set()


def _command(trace: Trace, part: Part, role: str, named: frozenset[str], planted: bool) -> set[str]:
    if role == "execute":
        if not _RISKY.search(part.low):
            fetched = "install" in named and any("://" in value and foreign(trace, value) for value in part.found)
            return {"command"} if fetched else set()
    elif not planted and (len(part.text) > 2000 or not _PLANTED.search(part.low)):
        return set()
    words = [word for piece in pieces(part.low) if (word := piece.strip(".:-/&~")) and len(word) > 4]
    said = sum(1 for word in words if trace.said_by_others(word))
    values = any(foreign(trace, value) for value in part.found)
    return {"command"} if values or (said and 2 * said >= len(words)) else set()
