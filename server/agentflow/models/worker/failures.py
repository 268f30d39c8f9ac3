"""What an HTTP answer that is none means: one `ProviderFailure` for status, headers and error body.

Of the provider's own words only codes and names of parameters are repeated, and only where they look like ones: its
sentences may quote the prompt, or the key.
"""

from __future__ import annotations

import email.utils
import re
import time
from collections.abc import Mapping
from typing import Any, Final

from agentflow.models.worker.provider import FailureKind, ProviderFailure

_CODE: Final = re.compile(r"[A-Za-z][A-Za-z0-9_.\-]{0,60}(\[\d{1,4}\][A-Za-z0-9_.]{0,40})?")
_TOO_LONG: Final = re.compile(
    r"(?i)context[_ ](?:length|window|limit)|maximum context|too many (?:input )?tokens|(?:prompt|input|request) "
    r"(?:is )?too (?:long|large)|exceeds? (?:the )?(?:model'?s )?(?:maximum|max|available) (?:input |context )?"
    r"(?:length|size|tokens?|number of tokens)|input (?:token count|length)|string_above_max_length"
)
_FILTERED: Final = re.compile(
    r"(?i)content[_ ]?(?:filter|policy)|responsible ?ai|safety (?:system|settings)|moderation|blocked by"
)
_NO_QUOTA: Final = re.compile(r"(?i)insufficient_quota|billing|credit balance|quota exceeded for the month")
_LONGEST_PAUSE: Final = 86_400.0


def refusal(status: int, headers: Mapping[str, str], error: object) -> ProviderFailure:
    """The failure that an HTTP status other than 2xx stands for.

    Args:
        error: the body as JSON, or its beginning as text, or None.
    """
    words, code, param = _said(error)
    again = retry_after(headers)
    if status == 429:
        if _NO_QUOTA.search(words):
            return ProviderFailure("auth", "the account's quota is used up (429)", fix="check the account's billing")
        return ProviderFailure("rate_limit", "it is rate-limiting us (429)", retry_after=again)
    if status in (401, 403):
        return ProviderFailure("auth", f"it refused the key ({status})", fix="check the provider's api_key")
    if status == 402:
        return ProviderFailure("auth", "the account has no credit (402)", fix="check the account's billing")
    if status == 408:
        return ProviderFailure("server", "it gave up waiting (408)", retry_after=again)
    if status >= 500:
        return ProviderFailure("server", f"it failed ({status})", retry_after=again)
    if 300 <= status < 400:
        return ProviderFailure("not_found", f"it redirects elsewhere ({status})", fix="check the provider's base_url")
    if status == 404 and not _TOO_LONG.search(words):
        return ProviderFailure(
            "not_found", "it knows no such model or path (404)", fix="check the provider's base_url and model names"
        )
    return ProviderFailure(_meant(status, words), f"it refused the request ({status}{code})", param=param)


def _meant(status: int, words: str) -> FailureKind:
    if status == 413 or _TOO_LONG.search(words):
        return "context_window"
    return "content_filter" if _FILTERED.search(words) else "bad_request"


def _said(error: object) -> tuple[str, str, str]:
    """Everything it said, to be searched; what of it may be repeated; the member of the request that it names."""
    inner = error.get("error", error) if isinstance(error, Mapping) else error
    if isinstance(inner, list) and inner:
        inner = inner[0]
    if not isinstance(inner, Mapping):
        return str(inner or "")[:4000], "", ""
    names = [inner.get(name) for name in ("code", "param", "type", "status")]
    shown = [name for name in names if isinstance(name, str) and _CODE.fullmatch(name)]
    words = " ".join(str(inner.get(name) or "")[:4000] for name in ("message", "code", "type", "status", "detail"))
    param = inner.get("param")
    return words, f", {' '.join(dict.fromkeys(shown))}" if shown else "", param if param in shown else ""


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that a provider wants to be left alone (RFC 9110, section 10.2.3; also `retry-after-ms`)."""
    found: Any = headers.get("retry-after-ms")
    try:
        if found is not None:
            return min(_LONGEST_PAUSE, max(0.0, float(found) / 1000))
        found = headers.get("retry-after")
        return None if found is None else min(_LONGEST_PAUSE, max(0.0, float(found)))
    except ValueError:
        pass
    try:
        when = email.utils.parsedate_to_datetime(str(found)).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None
    return min(_LONGEST_PAUSE, max(0.0, when - time.time()))
