"""What a tool does with what it is given, judged by its annotations and its name: the role it plays in a flow.

It promises one of `ROLES` for every tool, and believes `readOnlyHint` only of servers that are trusted, or where the
name says nothing else: a hint is the server's own claim. It refuses nothing.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any, Final

# role → verbs that give it. The first verb of a name decides ("get_email" reads, "email_send" sends).
_VERBS: Final = {
    "read": "get list search read view find show query check lookup describe count retrieve track summarize summarise "
    "analyze analyse is has select inspect monitor explain compare validate calculate estimate status peek scan "
    "recall browse",
    "http": "fetch navigate visit download crawl scrape curl goto wget",
    "send": "send reply forward notify dispatch",
    "post": "post publish tweet broadcast announce submit upload push paste export sync attach",
    "grant": "share grant invite authorize authorise assign allow whitelist approve accept",
    "pay": "pay transfer purchase buy withdraw deposit donate refund wire trade sell checkout book reserve subscribe "
    "place charge redeem",
    "delete": "delete remove drop erase wipe purge cancel revoke terminate destroy clear unsubscribe deactivate kick "
    "ban uninstall leave archive block close",
    "control": "unlock open disarm disable enable activate start stop restart reboot turn move guide redirect switch "
    "scale control arm play shutdown",
    "execute": "execute exec run eval install deploy spawn invoke launch",
    "change": "update set change modify edit reset rename configure patch replace rotate fill give manage",
    "write": "create add write save insert append schedule register make upsert draft store record log generate "
    "copy merge commit fork import apply complete react join mark convert include put note",
}
# Words that are things as often as deeds: they count where a name holds no verb.
_NOUNS: Final = {
    "send": "email mail message dm sms text call",
    "post": "comment upload post paste tweet reply gist article story",
    "grant": "permission permissions access share sharing member members "
    "collaborator collaborators binding iam acl acls group groups role roles webhook webhooks",
    "pay": "payment order purchase booking reservation transaction refund payout transfer payee beneficiary",
    "execute": "terminal shell command bash script code",
    "control": "lock",
    "http": "http request url web",
    "read": "info details history report",
}
ROLE_OF: Final = {verb: role for role, verbs in _VERBS.items() for verb in verbs.split()}
NOUN_OF: Final = {noun: role for role, nouns in _NOUNS.items() for noun in nouns.split()}
ROLES: Final = frozenset(_VERBS)
READING: Final = frozenset({"read", "http"})

_ADDRESSED: Final = frozenset({"http", "https", "url", "web", "webpage", "website", "link", "uri"})
_MONEY: Final = frozenset({"money", "payment", "payments", "funds", "crypto", "cash", "bitcoin", "ether", "standing"})

_WORD: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
# Names of tools that show what other people wrote, whoever runs the server.
_OTHERS: Final = frozenset(
    word
    for words in (
        "inbox email emails mail mails message messages chat chats channel thread review reviews comment comments",
        "event events issue issues ticket tickets post posts feed web webpage page website url fetch browse transcript",
        "invitation navigate browser conversation conversations extract crawl",
    )
    for word in words.split()
)

_LOOKUPS: Final = frozenset({"fetch", "browse", "url"})


@lru_cache(maxsize=8192)
def words_of(name: str) -> tuple[str, ...]:
    """The words of a tool's name, lower case: `sendEmail`, `send_email` and `SendEmail` are the same two."""
    return tuple(word.lower() for word in _WORD.findall(name))


def role_of(name: str, annotations: dict[str, Any], trusted: bool) -> str:
    """Return what the tool does: a member of `ROLES`.

    Args:
        annotations: MCP tool annotations as the server states them.
        trusted: whether the operator trusts the server.
    """
    return _role(name, annotations.get("readOnlyHint") is True, trusted)


@lru_cache(maxsize=8192)
def _role(name: str, read_only: bool, trusted: bool) -> str:
    words = words_of(name)
    role = next((ROLE_OF[word] for word in words if word in ROLE_OF), "")
    if not role:
        role = next((NOUN_OF[word] for word in words if word in NOUN_OF), "")
    if role in ("write", "change"):  # of what: a post is published, a permission granted
        role = next((of for word in words if (of := NOUN_OF.get(word)) in ("post", "grant", "pay")), role)
    if role == "read" and not _ADDRESSED.isdisjoint(words):
        role = "http"
    elif role in ("send", "write") and not _MONEY.isdisjoint(words):
        role = "pay"
    if read_only and (trusted or role in ("", "change", "write", "control")):
        return "http" if role == "http" else "read"
    return role or "write"


@lru_cache(maxsize=8192)
def shows_others_words(name: str, private: bool = False) -> bool:
    """Whether a tool, by its name, returns text that outsiders write: mail, messages, reviews, pages.

    Args:
        private: the server holds private records: there to fetch is to look up.
    """
    return not (_OTHERS - _LOOKUPS if private else _OTHERS).isdisjoint(words_of(name))
