"""Deeds that hang on what outsiders alone have shown: who is paid, who gets access, what is deleted or run.

It judges by where the values of the arguments come from, not by what a text says: a payee, a grantee, a hook or an id
that only outsiders' content has named, in a call that cannot be taken back. Left out is what honest work does with
such content: paying what a bill says, cleaning up the server that showed the id, running what installs a package.
It promises one name per finding (`SWAYED`), and that no call of a conversation without outsiders' content has any.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import re2

from agentflow.guard.arguments import Part
from agentflow.guard.origins import foreign, names_something, said, strange
from agentflow.guard.sinks import words_of
from agentflow.guard.trace import BILLED, FIELD, KNOWN, PROSE, SENDER, SHIFT, Trace
from agentflow.guard.values import hashed, pieces

SWAYED: Final = ("payee", "grantee", "target", "command", "protection", "public", "setting")


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
# What is written once and lasts: where names lead, what lets in, what is run by itself, what an assistant believes.
_KEPT: Final = frozenset(
    word
    for words in (
        "dns zone route routes proxy redirect webhook webhooks hook hooks callback rule rules policy key",
        "keys token tokens secret secrets oauth credential credentials cron schedule trigger workflow pipeline",
        "env config configuration setting settings preference preferences memory memories fact facts",
        "instruction instructions",
    )
    for word in words.split()
)
# Members by which somebody gets in: a bill does not name them.
_ENTRY: Final = frozenset(
    word
    for words in ("password passwords passcode pin secret mfa otp phone recovery email login totp factor key keys",)
    for word in words.split()
)
FORMS: Final = frozenset(["form", "fill", "field", "fields", "type", "select", "click", "browser"])
_BUYING: Final = frozenset(
    ["buy", "purchase", "book", "booking", "reserve", "order", "checkout", "subscribe", "cart", "place", "redeem"]
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
_SHOWN_TO: Final = frozenset(
    ["visibility", "acl", "access", "sharing", "audience", "scope", "permission", "permissions"]
)
# What protects, by the words for it that a text of outsiders may use; the first word stands in tools and members, too.
_PROTECTIONS: Final = tuple(
    frozenset(words.split())
    for words in (
        "alarm alarms alarma alarme alarmanlage allarme alarmu siren sirena",
        "camera cameras motion detection doorbell sensor sensors smoke kamera bewegungsmelder",
        "door doors lock locks garage gate haustür puerta porte porta deur drzwi дверь",
        "mfa 2fa otp two-factor two-step factor authenticator multi-factor zwei-faktor factores facteurs",
        "firewall firewalls brandmauer",
        "antivirus defender malware",
        "logging audit auditing logs protokollierung",
        "backup backups sicherung sauvegarde respaldo",
        "monitoring monitor alerts alerting überwachung surveillance",
        "encryption tls ssl https certificate verschlüsselung",
        "protection protections branch review reviews approval approvals",
        "filter filters spam phishing quarantine",
        "verification verify signature signatures signing",
    )
)
_GIVING: Final = frozenset(["grant", "send", "post", "change", "control"])
_NUMBER: Final = 4  # digits by which a number can be known again
_OFF: Final = frozenset(
    ["off", "false", "disabled", "disable", "disarmed", "disarm", "none", "0", "open", "unlocked", "unlock", "inactive"]
)
_ON: Final = frozenset(["enabled", "enable", "active", "on", "armed", "locked"])
_OPTIONS: Final = re2.Options()
_OPTIONS.log_errors = False
# Commands that destroy, open a way in, hand out secrets, or run what they have just loaded.
RISKY: Final = re2.compile(
    r"\|\s*(?:sudo\s+)?(?:\S*/)?(?:ba|z|da|k)?sh\b|\b(?:nc|ncat|netcat|socat|telnet)\b|/dev/tcp|\brm\s+-\w*[rf]|"
    r"\bmkfs\b|\bdd\s+if=|--(?:extra-)?index-url|--registry\b|\bchmod\b|\bchown\b|authorized_keys|\.ssh\b|\.aws\b|"
    r"\.env\b|\.netrc|credential|id_rsa|/etc/(?:passwd|shadow|sudoers|cron)|\bcrontab\b|base64\s+-|\beval\b|\bsudo\b|"
    r"\biex\b|invoke-expression|downloadstring|\bcurl\b.{0,200}(?:-d|--data|-f|--form|-t|--upload)\b|"
    r"\b(?:drop|truncate)\s+(?:table|database|schema)\b|\bdelete\s+from\b|\bgrant\s+\w+\s+(?:on|to)\b|"
    r"\bset\b.{0,60}\b(?:role|admin|is_\w+|password|permissions?|balance|owner)\b|"
    r"\bdocker\b.{0,100}(?:--privileged|(?:-v|--volume)[ =]?/)|"
    r"\bgit\s+push\b.{0,100}--force|\bos\.system\b|\bsubprocess\b|__import__",
    _OPTIONS,
)
# Files by which others build and work: run as well, and edited every day, so that only a foreign address counts.
_BUILT: Final = re2.compile(
    r"\.github/|\.gitlab-ci|\.circleci|jenkinsfile|dockerfile|makefile|package\.json|requirements[\w-]*\.txt|"
    r"pyproject\.toml|setup\.py|\.pre-commit|\.vscode/|claude\.md|agents\.md|\.cursor",
    _OPTIONS,
)
# Files that say what an assistant or an editor may do by itself.
_OBEYED: Final = re2.compile(
    r"\.(?:vscode|cursor|claude|windsurf|gemini|zed|codex|continue|amazonq|idea)/|\bmcp(?:\.\w+)?\.json|\.mcp\.json|"
    r"claude\.md|agents\.md|gemini\.md|\.cursorrules|\.windsurfrules|copilot-instructions|settings\.json",
    _OPTIONS,
)
# What installs, builds, tests or fetches what one works on: honest work takes that from any page.
BUILDS: Final = re2.compile(
    r"\s*(?:\$ )?(?:python3? -m )?(?:npm|npx|yarn|pnpm|pip3?|uv|uvx|poetry|conda|cargo|go|make|cmake|mvn|gradle|dotnet|"
    r"pytest|tox|git (?:clone|pull|checkout|status|log|diff)|docker(?: compose|-compose)? (?:build|up|run|pull)|"
    r"brew|apt(?:-get)?|gem|bundle|composer|cd|ls|cat|echo|select)\b",
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
    found = {"protection"} if _exposed(trace, parts, named, _set_to(arguments, False)) else set()
    if role in ("grant", "change", "control") and _opened(parts, arguments, role, named):
        found.add("public")
    if role in ("control", "execute") and _setting(trace, parts, named):
        found.add("setting")
    brought = any(_is_address(part) and not any(map(trace.known, part.found)) for part in parts) and not any(
        _is_address(part) and strange(trace, part) for part in parts
    )
    own = any(
        (_is_address(part) or any(map(_is_account, part.shown))) and not any(map(trace.known, part.found))
        for part in parts
    ) and not any(part.shown and strange(trace, part) for part in parts)
    planted = any(len(part.text) < 200 and _PLANTED.search(part.low) for part in parts)
    if any(len(part.text) < 200 and _BUILT.search(part.low) for part in parts) and _addresses(trace, parts):
        found.add("command")
    if role != "delete" and any(len(part.text) < 200 and _OBEYED.search(part.low) for part in parts):
        content = [part for part in parts if not _OBEYED.search(part.low)]
        if any(foreign(trace, value) for part in content for value in part.found) or _named_there(trace, content):
            found.add("setting")
    for part in parts:
        if role == "pay" or (role in ("change", "write") and not _ACCOUNT.isdisjoint(words_of(part.key))):
            found |= _payee(trace, part, server, not _BUYING.isdisjoint(named))
        if role in ("grant", "write", "change", "post", "send"):
            found |= _grantee(trace, part, server, role, named, brought)
        if role == "delete":
            found |= _target(trace, part, server)
        if (
            role == "change"
            and (not trace.billed or not _ENTRY.isdisjoint(words_of(part.key)))
            and FORMS.isdisjoint(named)
            and names_something(part)
            and (part.shown or not own)
            and (not _is_short_number(part) or any(map(trace.said_by_others, words_of(part.key))))
            and strange(trace, part)
        ):
            found.add("setting")
        if role == "write" and _lasts(part, named) and (part.shown or len(said(part)) > 1) and strange(trace, part):
            found.add("setting")
        if role in ("execute", "write", "change", "post"):
            found |= _command(trace, part, role, named, planted)
    return tuple(sorted(found - {"setting"} or found))


def _named_there(trace: Trace, content: list[Part]) -> bool:
    """Whether names of packages or settings that outsiders alone have said are in it: `shed-mcp-x`."""
    said = [
        word for part in content for piece in part.pieces if "-" in (word := piece.strip(".:-/&~")) and len(word) > 5
    ]
    return any(map(trace.said_by_others, said))


def _is_short_number(part: Part) -> bool:
    """Whether it is a number that two texts may have by chance."""
    return part.low.isdigit() and len(part.low) < _NUMBER


def _payee(trace: Trace, part: Part, server: str, bought: bool) -> set[str]:
    accounts = [value for value in part.found if part.leads or _is_account(value)]
    hit = [bits for value in accounts if (bits := foreign(trace, value))]
    if any(not bits & BILLED for bits in hit):
        return {"payee"}
    if trace.billed or bought or not names_something(part) or not strange(trace, part):
        return set()
    return {"payee"} if not _shown_here(trace, part, server) else set()


def _shown_here(trace: Trace, part: Part, server: str) -> bool:
    """Whether the server that is called may have shown what an argument names: a flight that was searched there."""
    if part.shown:
        return any(trace.sources[foreign(trace, value) >> SHIFT].server == server for value in part.found)
    return any(source.server == server and trace.outsiders(source) for source in trace.sources)


def _exposed(trace: Trace, parts: Sequence[Part], named: frozenset[str], switched: frozenset[str]) -> bool:
    """Whether the call switches a protection off that outsiders have written of, and names nothing of its own."""
    about = named.union(switched, *(words_of(part.key) for part in parts))
    # `disable_service`, `call_service(domain, "unlock")`: what, stands in a value
    if not named.isdisjoint(_OFF) or any(part.low.strip() in _OFF for part in parts):
        about = about.union(*(words_of(part.low) for part in parts if len(part.text) < 80))
    for terms in _PROTECTIONS:
        if about.isdisjoint(terms) or not any(trace.said_by_others(term) for term in terms if len(term) > 3):
            continue
        if (
            not switched.isdisjoint(terms)
            or not (named.isdisjoint(terms) or switched.isdisjoint(_ON))
            or not named.isdisjoint(_OFF)
            or any(part.low.strip() in _OFF for part in parts)
        ):
            return True
    return False


def _opened(parts: Sequence[Part], arguments: Any, role: str, named: frozenset[str]) -> bool:
    """Whether a call gives everybody access."""
    if {"event", "meeting"} & named:
        return False
    for part in parts:
        if part.low.strip() in _TO_ALL and (role == "grant" or not _SHOWN_TO.isdisjoint(words_of(part.key))):
            return True
    return not _set_to(arguments, True).isdisjoint(_TO_ALL) or "private" in _set_to(arguments, False)


def _set_to(body: Any, wanted: bool) -> frozenset[str]:
    """The words of the members that are true, or false."""
    found: set[str] = set()
    stack = [body]
    while stack:
        here = stack.pop()
        if isinstance(here, dict):
            found.update(*(words_of(str(key)) for key, value in here.items() if value is wanted))
            stack += here.values()
        elif isinstance(here, list):
            stack += here
    return frozenset(found)


def _is_account(value: str) -> bool:
    digits = sum(map(str.isdigit, value))
    return value.startswith(("iban_", "crypto_", "card_", "0x", "bc1")) or (digits >= 10 and value[:2].isalpha())


def _grantee(trace: Trace, part: Part, server: str, role: str, named: frozenset[str], brought: bool) -> set[str]:
    keys = set(words_of(part.key))
    lasting = not _LASTING.isdisjoint(named) or not _LASTING.isdisjoint(keys)
    if role != "grant" and (not lasting or (role == "send" and "forward" not in named)):
        return set()
    if _is_writer(trace, part):
        return set()
    strangely = role == "grant" and names_something(part) and strange(trace, part)
    if strangely and not _is_listed(trace, part, server) and (part.shown or not brought):
        return {"grantee"}  # who, or what is opened to him
    if not part.leads and not keys & _LOGINS and not keys & _LASTING and not (role == "grant" and _is_address(part)):
        return set()
    for value in part.found:
        bits = foreign(trace, value)
        if bits and (lasting or not _is_own(trace, bits, server)) and (role == "grant" or _is_address(part)):
            return {"grantee"}
    return set()


def _is_writer(trace: Trace, part: Part) -> bool:
    """Whether it is somebody who wrote, on a server where nobody asked for anything of the kind."""
    known = [bits for value in part.found if (bits := trace.values.get(hashed(value), 0)) & KNOWN]
    if not any(bits & SENDER for bits in known) or any(bits & PROSE for bits in known):
        return False
    servers = {trace.sources[bits >> SHIFT].server for bits in known}
    return not any(
        trace.sources[source].server in servers and (ask.strength > 1 or not _GIVING.isdisjoint(ask.roles))
        for ask, source in trace.asks.items()
    )


def _lasts(part: Part, named: frozenset[str]) -> bool:
    """Whether what is written goes on working, or is believed, without anybody asking for it again."""
    return not _KEPT.isdisjoint(words_of(part.key)) or (not _KEPT.isdisjoint(named) and len(part.text) <= 200)


def _is_address(part: Part) -> bool:
    return any("@" in value or "://" in value or value.startswith("email_") for value in part.found)


def _is_own(trace: Trace, bits: int, server: str) -> bool:
    """Whether the server that is called showed it, among its own records and not in a sentence of one."""
    source = trace.sources[bits >> SHIFT]
    return source.server == server and source.kept and bits & (PROSE | FIELD) != PROSE


def _is_listed(trace: Trace, part: Part, server: str) -> bool:
    """Whether it is what the server that is called has shown among its own records."""
    return any(bits and _is_own(trace, bits, server) for value in part.found if (bits := foreign(trace, value)))


def _target(trace: Trace, part: Part, server: str) -> set[str]:
    for value in part.found:
        bits = foreign(trace, value)
        elsewhere = bits and trace.sources[bits >> SHIFT].server != server
        if bits and (elsewhere or bits & (PROSE | FIELD) == PROSE) and len(part.text) < 200:
            return {"target"}
    bare = part.low.strip()
    short = bare.isdigit() and 1 < len(bare) < 4  # too short to be remembered as a value
    elsewhere = not any(source.server == server and trace.outsiders(source) for source in trace.sources)
    if short and elsewhere and trace.said_by_others(bare) and not trace.values.get(hashed(bare), 0) & KNOWN:
        return {"target"}
    named = elsewhere and not part.shown and names_something(part)
    return {"target"} if named and strange(trace, part) else set()


def _setting(trace: Trace, parts: Sequence[Part], named: frozenset[str]) -> bool:
    """Whether outsiders have named all that a call sets, and what it sets: nothing in it is the caller's."""
    naming = [part for part in parts if len(part.text) <= 80 and said(part)]
    spoken = any(len(word) > 3 and trace.said_by_others(word) for word in named)
    return bool(naming) and spoken and all(strange(trace, part) for part in naming)


def _addresses(trace: Trace, parts: Sequence[Part]) -> bool:
    """Whether an address of outsiders is in what is said."""
    said = [value for part in parts for value in part.found if "://" in value or "@" in value[1:]]
    return any(foreign(trace, value) for value in said)


def _command(trace: Trace, part: Part, role: str, named: frozenset[str], planted: bool) -> set[str]:
    much = False
    if role == "execute":
        much = not RISKY.search(part.low)
        if much and (BUILDS.match(part.low) or part.low.count(" ") < 2):
            fetched = "install" in named and any("://" in value and foreign(trace, value) for value in part.found)
            return {"command"} if fetched else set()
    elif not planted and (len(part.text) > 2000 or not _PLANTED.search(part.low)):
        return set()
    words = [word for piece in pieces(part.low) if (word := piece.strip(".:-/&~")) and len(word) > 4]
    said = sum(1 for word in words if trace.said_by_others(word))
    if much:
        return {"command"} if said > 2 and 5 * said >= 4 * len(words) else set()
    values = any(foreign(trace, value) for value in part.found)
    return {"command"} if values or (said and 2 * said >= len(words)) else set()
