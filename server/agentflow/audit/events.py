"""Records of what is no call: typed kinds, one shape, nothing clear.

    {"kind": "policy", "id": "<32 hex>", "time": …, "event": "activated", "by"?, "tenant"?, "subject"?, "outcome"?,
     "reasons"?: [[code, text]], "details"?: {name: text | number | true | false | [text]}}

Who records an event vouches that nothing in it is a value of somebody's message: names, ids, digests, counts, codes.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

JSON = dict[str, Any]
Kind = Literal[
    "gateway",  # started, stopping, reconfigured, configuration_refused
    "policy",  # loaded, activated, refused, tested, replayed
    "request",  # refused, left_out: HTTP requests that were refused before they became calls
    "approval",  # asked, approved, denied, expired, used
    "key",  # created, rotated, revoked, used, refused: API keys and credentials
    "identity",  # jwks_loaded, jwks_failed, credential_refreshed, credential_revoked
    "admin",  # whatever an administrator did through the API, the page or the command line
    "definition",  # held, flagged, released, …: see guard/pins/offers.py
    "vault",  # forgotten, rotated
    "budget",  # warned: the spending of a budget has reached 75, 90 or 100 per cent
    "log",  # of the log itself: recovered, records_missing, writable_again, retired, …
]
Detail = str | int | float | bool | None | Sequence[str]
_TEXT = 512  # characters of one text that are kept


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened beside the calls.

    Attributes:
        event: what happened, one word: `activated`.
        by: who did it: `tenant/principal`, or the user of the command line.
        tenant: whom it is about, where it is about one tenant.
        subject: what it is about: a revision, the id of an approval or a key.
        outcome: `ok`, or the code of what went wrong.
        reasons: pairs of a code and a sentence.
        details: members that only this kind has.
    """

    kind: Kind
    event: str
    by: str = ""
    tenant: str = ""
    subject: str = ""
    outcome: str = ""
    reasons: Sequence[tuple[str, str]] = ()
    details: Mapping[str, Detail] = field(default_factory=dict)

    def record(self) -> JSON:
        """The record, with an id and the time of now; members that say nothing are left out."""
        made: JSON = {"kind": self.kind, "id": uuid.uuid4().hex, "time": round(time.time(), 6), "event": self.event}
        for name in ("by", "tenant", "subject", "outcome"):
            if value := getattr(self, name):
                made[name] = _short(value)
        if self.reasons:
            made["reasons"] = [[code, _short(text)] for code, text in self.reasons]
        details = {name: _short(value) for name, value in self.details.items() if value is not None}
        if details:
            made["details"] = details
        return made


def _short(value: Any) -> Any:
    if isinstance(value, str):
        return value if len(value) <= _TEXT else value[: _TEXT - 1] + "…"
    return [_short(item) for item in value] if isinstance(value, list | tuple) else value
