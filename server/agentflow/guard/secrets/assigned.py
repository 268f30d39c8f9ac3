"""Values that a name calls a secret: `DB_PASSWORD=…`, `"api_key": "…"`, `the Datadog key is …`.

A candidate is a word (of secrecy, or the name of a service that issues keys), the rest of the name, something that
assigns, and a value. How drawn the value must look depends on what the name says; some names say it is none (`key_id`,
`nextPageToken`, `token_type`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from itertools import pairwise
from typing import Final

from agentflow.guard.secrets import looks
from agentflow.guard.secrets.formats import compiled
from agentflow.guard.spans import Span

_SECRECY: Final = (
    r"passw(?:or)?d|passphrase|passcode|passwort|contrase(?:\xc3\xb1|n)a|mot_?de_?passe|senha|pwd|secret|"
    r"api[_ -]?key|apikey|access[_ -]?key|private[_ -]?key|account[_ -]?key|token|credential|creds|"
    r"(?:encryption|signing|shared|master|license|auth|write|storage|app|application|server|service|session|webhook|"
    r"deploy|sdk|project)[_ -]?key|\bpass[\"']?\s?[=:]|_pass\b|\bpsk\b|login[_ -]?key"
)
_WEAK: Final = r"(?:\b|_)(?:key|KEY|Key|auth|AUTH|Auth|access|ACCESS)(?:\b|_)|[a-z]Key|\bsig\b"
# Services whose keys have no form of their own, by names that are not everyday words.
_SERVICES: Final = (
    r"adafruit|adobe|airtable|algolia|alibaba|amplitude|artifactory|asana|atlassian|beamer|bintray|bitbucket|bittrex|"
    r"browserstack|bundle_(?:gems|enterprise)|buildkite|circleci|cloudflare|cloudinary|codeclimate|codecov|cohere|coinbase|"
    r"confluence|confluent|contentful|co_api|datadog|deepgram|discord|droneci|dropbox|etsy|eventbrite|facebook|fastly|"
    r"finicity|finnhub|flickr|foursquare|freshbooks|freshdesk|gitter|gocardless|heroku|honeycomb|hubspot|infura|instagram|"
    r"intercom|ipinfo|jfrog|jira|kraken|kucoin|launch_?darkly|linear|linked[_-]?in|\blob|_lob|looker|mailchimp|mailgun|"
    r"mailjet|mandrill|mapbox|mattermost|meraki|message[_-]?bird|mixpanel|netlify|new[_-]?relic|new-?york-?times|nytimes|"
    r"okta|openweather|opsgenie|pagerduty|pinecone|pingdom|plaid|postmark|private[_-]?ai|pusher|rapid_?api|rollbar|"
    r"salesforce|scaleway|sendbird|sendgrid|sentry|shodan|sidekiq|snyk|sonar|soundcloud|sourcegraph|spotify|squarespace|"
    r"statuspage|strava|sumo|supabase|telegr|tomtom|travis|trello|tumblr|twilio|twitch|twitter|typeform|unsplash|"
    r"uptimerobot|virustotal|wakatime|xray|yandex|yelp|zendesk|zoho"
)
# … and those among them whose keys are UUIDs.
_UUID_SERVICES: Final = re.compile(
    r"(?:heroku|hubspot|message[_-]?bird|sendbird|snyk|squarespace|kucoin|coinbase|mailjet)", re.IGNORECASE
)
_UUID_NAMES: Final = re.compile(
    r"secret|passw|cred|api|(?:access|auth|refresh|bearer|client|bot|personal|admin|private|service|deploy|vault)"
    r"[_.\- ]?(?:token|key)",
    re.IGNORECASE,
)
_REST: Final = r"[\w.\-]{0,128}+(?:[ \t][\w.\-]{1,16}+(?![\w.\-])){0,3}"
_SAYING: Final = r"(?:=>|:=|->|==|\?=|\|\||:{1,3}=|[=:>,|]|\b(?:is|was|set to)\b)"
_ASSIGN: Final = rf"(?:[\\\"'\x60\])}}*\s]{{0,8}}{_SAYING}|[ \t])[\\\"'\x60\s=(*>]{{0,8}}"
_VALUE: Final = r"[^\s\"'\x60<>\[\](){},;&|\\*]"
_ANY: Final = f"(?i:{_SECRECY}|{_SERVICES})|{_WEAK}"
# What follows such a word: tried at each, with repetitions that are bounded and do not vie with each other.
_FOLLOWING: Final = re.compile(
    f"({_REST}){_ASSIGN}(?:(?i:bearer|basic|token|password) )?(?P<value>{_VALUE}{{6}})".encode()
)


def _sign(words: str, least: int) -> str:
    """The pattern of a word and a value of `least` characters in serialised JSON.

    There a quote may have any number of backslashes, an escape may stand before a word, and a member may hold a list.
    """
    edged = words.replace(r"(?:\b|_)", r"(?:\b|_|\\[nrtbf])").replace(r"|\b", r"|(?:\b|\\[nrtbf])")
    return (
        rf"(?:{edged})[\w.\-\t ]*(?:[\\\"'\x60\])}}*\s]*{_SAYING}|[ \t])(?:\\[nrt]|[\\\"'\x60\s=(*>])*"
        rf"(?:(?:(?i:bearer|basic|token|password) )?{_VALUE}{{{least}}}|\[)"
    )


# No password goes by a weak name, and nothing else is shorter than ten characters (`_LEAST`).
SIGN: Final = _sign(f"(?i:{_SECRECY}|{_SERVICES}|\\bpass\\b)", 6) + "|" + _sign(_WEAK, 10)
PAIR_SIGN: Final = r"(?i:(?:passw(?:or)?d|secret|token|api_?key|pwd|credential)[\w.-]*(?:[\\\"',\s]|\\[nrt])+value)"
NAME_VALUE: Final = (
    r"(?i:(?:name|key|id)[\"']?\s{0,3}[=:]\s{0,3}[\"']?([\w.-]*(?:passw(?:or)?d|secret|token|api_?key|pwd|credential)[\w.-]*)"
    r"[\"']?,?\s{1,20}[\"']?value[\"']?\s{0,3}[=:]\s{0,3}[\"']?)([^\s\"'<>]{6})"
)

# Last words of names that say: not a secret, or not the secret itself.
_PLAIN: Final = frozenset(
    {
        "id", "ids", "uuid", "guid", "name", "names", "type", "types", "kind", "hash", "sha", "md5", "digest",
        "checksum", "fingerprint", "thumbprint", "etag", "nonce", "commit", "rev", "revision", "ref", "version",
        "release", "build", "url", "uri", "endpoint", "host", "path", "file", "filename", "dir", "directory",
        "folder", "length", "len", "size", "count", "max", "min", "num", "limit", "total", "expires", "expiry",
        "expiration", "ttl", "exp", "at", "date", "time", "timestamp", "age", "index", "field", "format", "header",
        "prefix", "suffix", "label", "hint", "policy", "rule", "rules", "scope", "alg", "algorithm", "usage",
        "status", "state", "enabled", "required", "valid", "provider", "issuer", "manager", "class", "arn", "store",
        "ring", "exists", "changed", "updated", "created", "bucket", "region", "zone", "email", "user", "username",
        "login", "title", "description", "message", "error", "location", "source", "issue", "ticket", "note", "page",
        "public", "pub", "cert", "certificate", "crt", "pem", "integrity", "resolved", "signature", "node", "tokens",
        "regex", "pattern", "attempts", "retries", "level", "mode", "options", "parser", "module", "placeholder",
        "example", "locator", "selector",
    }
)  # fmt: skip
# Words anywhere in a name that only holds places, pages and parts.
_PLACES: Final = frozenset(
    {
        "next", "prev", "previous", "page", "paging", "continuation", "cursor", "sync", "progress", "csrf", "xsrf",
        "etag", "resume", "cancel", "cancellation", "idempotency", "dedup", "deduplication", "cache", "primary",
        "foreign", "sort", "partition", "object", "s3", "route", "row", "public", "pub", "hash", "commit",
        "integrity", "checksum", "digest", "sha256", "sha1", "sha512", "md5", "version", "revision", "release",
        "build", "fingerprint", "thumbprint", "nonce", "pad", "eos", "bos", "unk", "mask", "stop", "start", "end",
        "request", "trace", "span", "correlation", "node", "event", "message", "resolved", "ref", "image", "img",
        "blob", "snapshot", "dist", "shasum", "index", "translation", "i18n",
    }
)  # fmt: skip
_PASSWORDS: Final = frozenset(
    {
        "password", "passwd", "pass", "pwd", "passphrase", "passcode", "passwort", "contrasena", "contraseña",
        "senha", "passe", "psk",
    }
)  # fmt: skip
_SURE: Final = frozenset(
    {
        "secret", "apikey", "token", "credential", "credentials", "creds", "secrets", "jwt", "bearer",
    }
)  # fmt: skip
_BEFORE_KEY: Final = frozenset(
    {
        "api", "access", "private", "account", "encryption", "signing", "shared", "master", "license", "auth",
        "write", "storage", "app", "application", "server", "service", "session", "webhook", "deploy", "sdk",
        "project", "secret", "client", "login", "admin",
    }
)  # fmt: skip
_CLOUDS: Final = frozenset(
    {
        "aws", "azure", "gcp", "google", "account", "storage", "alibaba", "digitalocean", "scaleway",
    }
)  # fmt: skip
_NAMES: Final = re.compile(r"[A-Z]?[a-zñ]+|[A-Z]+(?![a-zñ])|\d+")
_SERVICE: Final = re.compile(_SERVICES.replace(r"\b", "(?<![a-z])").replace("_lob|", ""), re.IGNORECASE)
_NAME_BEFORE: Final = re.compile(rb"[\w.\-]+")
_SAYS: Final = re.compile(rb"[=:>,|]|\b(?:is|was|to)\b")
_RUN: Final = re.compile(_VALUE.encode() + b"+")
_LONGEST: Final = 1024
_JUDGED: Final = 256  # bytes of a value that say whether it is drawn
_TRIES: Final = 2  # candidates of one run that are judged wherever they stand
_ARGUMENT: Final = re.compile(r"[a-z_]+=(?:$|[A-Za-z_.]+$)")
_BEFORE: Final = 40
_NO_NAMES: Final = (b"/", b"@", b"+")  # before a word: part of an address, or of base64
# Characters without which `likely` calls no value of a name of this strength the secret.
_LEAST: Final = {"password": 6, "secret": 10, "service": 14, "weak": 20}


class Named:
    """What a name says about its value: how sure it is that it is a secret, and of which type.

    Attributes:
        strength: "password", "secret", "service", "weak" or "" for none.
    """

    __slots__ = ("name", "strength", "type")

    def __init__(self, name: bytes) -> None:
        self.name = name.decode("utf-8", "replace")
        words = [word.lower() for word in _NAMES.findall(self.name)]
        known = set(words)
        self.strength, self.type = self._said(words, known, self.name)

    @staticmethod
    def _said(words: list[str], known: set[str], name: str) -> tuple[str, str]:
        while words and (words[-1].isdigit() or words[-1] in ("is", "was", "value", "the", "set", "to", "of")):
            words.pop()
        if not words or words[-1] in _PLAIN or known & _PLACES:
            return "", ""
        if words[-1] in _PASSWORDS or words[-1].endswith("password"):
            return "password", "PASSWORD"
        if known & _PASSWORDS - {"pass"}:
            return "secret", "PASSWORD"
        after = {b for a, b in pairwise(words) if a in _BEFORE_KEY and b == "key"}
        joined = "".join(words)
        service = _SERVICE.search(name) is not None
        sure = bool(known & _SURE or after or "apikey" in joined or "secret" in joined or joined.endswith("token"))
        sure = sure or (service and words[-1] in ("key", "auth"))
        if sure:
            return "secret", "CLOUD_KEY" if known & _CLOUDS else "API_KEY" if service or "key" in joined else "SECRET"
        if service:
            return "service", "API_KEY"
        return ("weak", "SECRET") if known & {"key", "auth", "access", "sig", "signature"} else ("", "")


_named = lru_cache(maxsize=1024)(Named)


def assigned(data: bytes) -> Iterator[Span]:
    """Values that a name calls a secret."""
    at = 0
    values = _Values(data)
    for word in compiled(_ANY).finditer(data):
        begin, end = word.span()
        if begin < at:
            continue
        match = _FOLLOWING.match(data, end)
        if match is None:
            continue
        end, start = match.end(1), match.start(2)
        at = start
        if not values.worth(start):
            continue
        reverse = _NAME_BEFORE.match(data[max(0, begin - _BEFORE) : begin][::-1]) if begin else None
        before = reverse.group()[::-1] if reverse else b""
        named = _named(before + data[begin:end])
        if not named.strength or data[max(0, begin - 1) : begin] in _NO_NAMES:
            continue
        span = _judged(data, values, start, named, b"--" in before or _SAYS.search(data, end - 4, start) is not None)
        if span is not None:
            yield span
            at = span[1]


class _Values:
    """Where values end, each run of their characters measured once, and how many candidates in one are looked at.

    A run may assign to many names (`key=key=key=…`), and all that follows is the value of each: the first few are
    judged, then one for every `_JUDGED` bytes, so that the work stays in proportion to the text.
    """

    __slots__ = ("_data", "_end", "_next", "_tried")

    def __init__(self, data: bytes) -> None:
        self._data, self._end, self._next, self._tried = data, 0, 0, 0

    def end(self, start: int) -> int:
        """Where the run that holds `start` ends."""
        if start >= self._end:
            self._end = _RUN.match(self._data, start).end()  # type: ignore[union-attr]  # a candidate has six of it
            self._next, self._tried = start, 0
        return self._end

    def worth(self, start: int) -> bool:
        """Whether the candidate at `start` is to be judged; it counts."""
        self.end(start)
        if start < self._next and self._tried >= _TRIES:
            return False
        self._tried += 1
        self._next = start + _JUDGED
        return True


def paired(data: bytes) -> Iterator[Span]:
    """Values beside a name that calls them a secret: `name: DB_PASSWORD, value: …`."""
    values = _Values(data)
    for match in compiled(NAME_VALUE).finditer(data):
        span = _judged(data, values, match.start(2), _named(match.group(1)), True)
        if span is not None:
            yield span


def _judged(data: bytes, values: _Values, start: int, named: Named, said: bool) -> Span | None:
    """Judge one candidate; `said` is whether anything more than a space assigns the value to the name."""
    if not named.strength:
        return None
    end = min(values.end(start), start + _LONGEST)
    end = _whole(data, start, end) if named.strength == "password" else end
    if end - start < _LEAST[named.strength]:
        return None
    value = data[start:end].rstrip(b".:!?" if named.strength != "password" else b".:").decode("utf-8", "replace")
    if not said and (named.strength not in ("secret", "password") or not looks.drawn(value[:_JUDGED], 16, 6.0)):
        return None
    quoted = data[start - 1 : start] in (b'"', b"'", b"`")
    in_code = not quoted and (data[end : end + 1] in (b"(", b"[") or _ARGUMENT.match(value))
    if in_code or not likely(value[:_JUDGED], named.name, named.strength, quoted):
        return None
    return start, start + len(value.encode()), 0.85 if named.strength != "weak" else 0.7, named.type


def _whole(data: bytes, start: int, end: int) -> int:
    """Where a quoted password ends: at the quote that it began with, whatever it holds."""
    quote = data[start - 1 : start]
    if quote not in (b'"', b"'"):
        return end
    close = data.find(quote, end, end + 128)
    inside = data[end:close] if close > 0 else b""
    return close if close > 0 and not any(char in b" \n\t\\=" for char in inside) else end


def likely(value: str, name: str, strength: str, quoted: bool = False) -> bool:
    """Whether a value under a name of this strength is the secret itself."""
    if len(value) < 6 or looks.stands_for_something(value) or looks.is_name(value):
        return False
    if strength == "password":
        return _password(value, quoted)
    if looks.is_number(value):
        return strength == "secret" and value.isdigit() and len(value) >= 14
    if looks.is_path(value):
        return False
    if looks.is_uuid(value):
        return _UUID_SERVICES.search(name) is not None or (
            strength == "secret" and _UUID_NAMES.search(name) is not None
        )
    if strength == "weak":
        return not looks.is_hex(value) and looks.drawn(value, 20, 8.0)
    if looks.is_hex(value):
        return len(value) >= (16 if strength == "secret" else 24)
    return looks.drawn(value, 10, 3.0) if strength == "secret" else looks.drawn(value, 14)


def _password(value: str, quoted: bool) -> bool:
    if value[0] in "/~" or (looks.is_number(value) and (not value.isdigit() or not quoted)):
        return False
    if looks.is_path(value) and not quoted:
        return False
    letters = any(char.isalpha() for char in value)
    other = any(not char.isalpha() and char not in "_-." for char in value)
    if letters and other:
        named_so = looks.is_identifier(value) and "passw" in value.lower() and not quoted
        return not named_so
    return len(value) >= 8 and quoted and not looks.wordy(value)
