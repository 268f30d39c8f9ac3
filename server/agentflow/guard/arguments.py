"""The arguments of a call, taken apart for `guard/compare.py`: one `Part` for every string and number.

It promises at most `_MAX_LEAVES` parts and `_MAX_LEAF` characters of each, their values in canonical form
(`guard/values.py`), and which of them, by their keys, say where something goes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from agentflow.guard.messages import leaves
from agentflow.guard.sinks import words_of
from agentflow.guard.values import composed, grouped, host_of, identifying, phones, pieces, plain

_MAX_LEAVES: Final = 500
_MAX_LEAF: Final = 20_000  # characters


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


# Keys under which a destination stands, by the words in them.
_LEADS: Final = _set(
    "to cc bcc recipient recipients receiver receivers email emails mail address addresses channel channels user users "
    "username usernames url urls uri link links endpoint webhook host hostname domain domains site website account "
    "accounts iban payee destination dest target targets repo repository owner phone phones participant participants "
    "attendee attendees invitee invitees guest guests member members contact contacts beneficiary wallet friend "
    "collaborator bucket assignee chat chats room an empfänger para destinatario "
    "destinatarios destinataire destinataires "
    "destinatari correo aan ontvanger deliver"
)
_CONTENT: Final = _set(
    "subject title body text message content contents description note notes reason comment summary prompt query "
    "caption snippet data payload details purpose memo html markdown betreff inhalt nachricht asunto "
    "cuerpo texto mensaje "
    "sujet corps oggetto corpo testo messaggio assunto onderwerp bericht"
)
_WHOLE: Final = _set("payload body content data fields form records rows properties")


@dataclass(slots=True)
class Part:
    """One leaf of the arguments."""

    path: str
    key: str
    text: str
    low: str
    typed: str  # lower case; `low` where it was not labelled
    found: list[str]  # its values, as typed and as labelled
    shown: list[str]  # as labelled
    leads: bool  # its key says that something goes there
    inside: bool  # of something that is content
    pieces: list[str]  # of `low`

    @property
    def is_content(self) -> bool:
        """Whether it is what is said, and not who or what is named."""
        return len(self.text) > 80 or not _CONTENT.isdisjoint(words_of(self.key))


def parts_of(arguments: Any, clear: Any = None) -> list[Part]:
    """Take arguments apart; `clear` is the same as typed, before personal data was labelled."""
    typed = {path: value for path, _, value in leaves(clear)} if clear is not None and clear != arguments else {}
    found = []
    for path, key, value in leaves(arguments):
        text = str(value)[:_MAX_LEAF]
        low, as_typed = plain(text), plain(str(typed.get(path, text))[:_MAX_LEAF])
        split = pieces(low)
        shown = identifying(split)
        words = words_of(key)
        leads = not _LEADS.isdisjoint(words) and _CONTENT.isdisjoint(words)
        split_typed = split if as_typed == low else pieces(as_typed)
        every = (shown if as_typed == low else [*shown, *identifying(split_typed)]) + grouped(as_typed, split_typed)
        every += [*phones(as_typed, split_typed), *composed(every)]
        found.append(Part(path, key, text, low, as_typed, every, shown, leads, _inside(path), split))
        if len(found) >= _MAX_LEAVES:
            break
    return found


def _inside(path: str) -> bool:
    """Whether something stands in a structure that is content as a whole."""
    above = path.split("/")[2:-1]
    return any(not _WHOLE.isdisjoint(words_of(step)) for step in above)


def hosts_of(parts: Iterable[Part]) -> tuple[str, ...]:
    """The hosts that arguments name, in URLs and mail addresses."""
    found = set()
    for part in parts:
        for value in part.found:
            if "://" in value:
                found.add(host_of(value))
            elif "@" in value[1:] and not value.startswith("@"):
                found.add(value.rpartition("@")[2])
    return tuple(sorted(found))
