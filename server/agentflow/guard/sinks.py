"""What a tool does with what it is given, judged by its annotations and its name: the role it plays in a flow.

It promises one of `ROLES` for every tool, and believes `readOnlyHint` only of servers that are trusted, or where the
name says nothing else: a hint is the server's own claim. It refuses nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
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
    "change": "update set change modify edit reset rename configure patch replace rotate fill give manage upsert grade "
    "score adjust amend override correct",
    "write": "create add write save insert append schedule register make draft store record log generate "
    "copy merge commit fork import apply complete react join mark convert include put note",
}
# Words that are things as often as deeds: they count where a name holds no verb.
_NOUNS: Final = {
    "send": "email mail message dm sms text call",
    "post": "comment upload post paste tweet reply gist article story",
    "grant": "permission permissions access share sharing member members "
    "collaborator collaborators binding iam acl acls group groups role roles webhook webhooks participant participants "
    "attendee attendees guest guests ingress",
    "pay": "payment order purchase booking reservation transaction refund payout transfer payee beneficiary",
    "execute": "terminal shell command bash script code",
    "control": "lock",
    "http": "http request url web",
    "read": "info details history report",
}
# The same in German, French, Spanish, Italian, Portuguese and Dutch.
_ELSEWHERE: Final = {
    "read": "lies lesen hole holen suche suchen zeige liste lire lister chercher obtenir voir leer obtener buscar ver "
    "listar leggi leggere cerca cercare ler obter lees zoek toon abrufen anzeigen consultar consulter",
    "send": "sende senden schicke schicken antworte antworten weiterleiten envoyer repondre transmettre enviar mandar "
    "responder reenviar inviare invia rispondere rispondi verstuur verzend stuur antwoord",
    "post": "veröffentliche veröffentlichen hochladen publier publicar publicare pubblica subir carregar plaats",
    "grant": "teile teilen freigeben einladen partager inviter autoriser compartir invitar autorizar condividi "
    "condividere invita compartilhar convidar delen uitnodigen",
    "pay": "zahle zahlen überweise überweisen kaufe kaufen bestelle bestellen buche buchen payer acheter commander "
    "virer reserver pagar comprar transferir reservar paga pagare acquista prenota betaal koop",
    "delete": "lösche löschen entferne entfernen storniere supprimer effacer annuler eliminar borrar cancelar anular "
    "elimina cancella apagar excluir verwijder annuleer",
    "change": "ändere ändern aktualisiere aktualisieren setze modifier changer actualiser cambiar actualizar modificar "
    "modifica aggiorna alterar atualizar wijzig",
    "control": "öffne öffnen entsperre ausschalten einschalten ouvrir desactiver activer abrir desactivar activar apri",
    "write": "erstelle erstellen schreibe schreiben speichere creer ecrire crear escribir guardar crea scrivi criar "
    "escrever salvar maak schrijf",
}
ROLE_OF: Final = {
    verb: role for table in (_ELSEWHERE, _VERBS) for role, verbs in table.items() for verb in verbs.split()
}
NOUN_OF: Final = {noun: role for role, nouns in _NOUNS.items() for noun in nouns.split()}
ROLES: Final = frozenset(_VERBS)
READING: Final = frozenset({"read", "http"})

_ADDRESSED: Final = frozenset({"http", "https", "url", "web", "webpage", "website", "link", "uri"})
_MONEY: Final = frozenset({"money", "payment", "payments", "funds", "crypto", "cash", "bitcoin", "ether", "standing"})

_WORD: Final = re.compile(r"[A-Z]+(?![a-zà-ÿ])|[A-Z]?[a-zà-ÿ]+|\d+")
# Names of tools that show what other people wrote, whoever runs the server.
_OTHERS: Final = frozenset(
    word
    for words in (
        "inbox email emails mail mails message messages chat chats channel thread review reviews comment comments",
        "event events issue issues ticket tickets post posts feed web webpage page website url fetch browse transcript",
        "invitation navigate browser conversation conversations extract crawl attachment attachments download pdf ocr",
        "incident incidents survey surveys submission submissions feedback",
        "nachricht nachrichten courriel mensaje mensajes correo correos messaggio messaggi mensagem bericht berichten",
    )
    for word in words.split()
)

# Servers that are named for such places. Not those that keep the caller's own beside it: code hosts, drives.
_PLACES: Final = frozenset(
    word
    for words in (
        "www internet browser search gmail imap pop3 outlook whatsapp telegram discord sms signal twitter reddit rss",
        "downloads attachments uploads",
        "news forum zendesk intercom freshdesk jira tavily brave firecrawl playwright puppeteer wikipedia hackernews",
    )
    for word in words.split()
)
# Servers that are named for what their owner writes himself.
_KEEPING: Final = frozenset(
    ["wiki", "notion", "confluence", "docs", "drive", "files", "filesystem", "notes", "obsidian"]
)
# What is kept even there by whoever uses it.
_OWN: Final = frozenset(
    word
    for words in ("contact contacts people directory address addresses settings profile account accounts me members",)
    for word in words.split()
)
_LOOKUPS: Final = frozenset({"fetch", "browse", "url", "page", "pages", "extract", "crawl", "download", "pdf", "ocr"})
STATEMENT: Final = frozenset(["sql", "query", "statement", "soql", "command"])  # members that hold one
_CHANGING: Final = ("insert ", "update ", "delete ", "drop ", "alter ", "create ", "grant ", "truncate ", "merge ")
# Members that say what a tool for everything is to do: `call_service(domain, service)`.
DOING: Final = frozenset({"service", "action", "operation", "verb"})


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


def role_with(role: str, arguments: Iterable[tuple[str, str]]) -> str:
    """What a call does whose tool does anything, by those of its `(key, value)` that say so; else `role`."""
    for key, value in arguments:
        if role in ("read", "http"):
            if not STATEMENT.isdisjoint(words_of(key)) and value.lstrip(" (\n\t;")[:9].startswith(_CHANGING):
                return "execute"
            continue
        if len(value) < 40 and not DOING.isdisjoint(words_of(key)):
            named = next((ROLE_OF[word] for word in words_of(value) if word in ROLE_OF), "")
            if named and named != "read":
                return named
    return role


@lru_cache(maxsize=8192)
def _role(name: str, read_only: bool, trusted: bool) -> str:
    words = words_of(name)
    role = next((ROLE_OF[word] for word in words if word in ROLE_OF), "")
    if role == "pay" and "call" in words:  # `place_call`
        role = "send"
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
def shows_others_words(name: str, private: bool = False, server: str = "") -> bool:
    """Whether a tool returns text that outsiders write: mail, messages, reviews, pages.

    Args:
        name: the tool's own name.
        private: the server holds private records: there to fetch is to look up.
        server: the upstream's name, where it may tell as well: it is not declared trusted.
    """
    telling = _OTHERS - _LOOKUPS if private or not _KEEPING.isdisjoint(words_of(server)) else _OTHERS
    if not telling.isdisjoint(words_of(name)):
        return True
    place = any(word in telling or word in _PLACES or word.startswith("web") for word in words_of(server))
    return place and _OWN.isdisjoint(words_of(name))
