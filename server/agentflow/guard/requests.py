"""What a text asks its reader to do: sentences that order, ask or urge, found by their form.

This is no detector of attacks: instructions to people, advertisements and bills ask for things too, and nothing is
refused because a text asks. It is remembered, and compared with what the agent does next (`guard/trace.py`).

It promises linear time, and that a sentence which merely says how to reach somebody ("write to us at …") is none.
"""

from __future__ import annotations

import re
from typing import Any, Final, NamedTuple

import re2

_VERBS: Final = (
    "accept|access|acknowledge|activate|add|address|adjust|allocate|allow|alter|analy[sz]e|answer|append|apply|"
    "approve|archive|arm|arrange|ask|assign|attach|audit|authori[sz]e|ban|block|blacklist|book|boost|bring|"
    "broadcast|browse|buy|bypass|call|cancel|capture|change|charge|check|choose|clear|click|close|collect|commit|"
    "compile|complete|compress|conduct|configure|confirm|connect|convert|copy|create|credit|deactivate|debit|"
    "decode|decrypt|delete|deliver|deploy|deposit|describe|detach|disable|disarm|disclose|disconnect|dispatch|"
    "display|distribute|donate|download|drop|dump|edit|eject|elevate|e-?mail|embed|enable|encode|encrypt|enrol+|"
    "ensure|enter|erase|escalate|execute|export|expose|extract|fetch|fill|find|flag|follow|force|forward|gather|"
    "generate|get|give|go|grant|guide|hand|hide|import|include|increase|inform|initiate|inject|insert|install|invite|"
    "issue|join|keep|kick|kill|launch|leak|leave|let|like|link|list|load|lock|log|look|lower|mail|make|mark|"
    "merge|message|migrate|mirror|modify|move|mute|navigate|note|notify|obtain|open|order|overwrite|paste|pause|"
    "pay|perform|permit|pick|ping|place|play|point|post|prepare|print|proceed|process|promote|provide|publish|"
    "pull|purchase|push|put|quote|raise|rate|react|read|rebook|reboot|recommend|record|redeem|redirect|reduce|"
    "refund|register|reinstall|release|relay|remit|remove|rename|render|renew|repeat|replace|reply|report|"
    "request|reroute|reschedule|reserve|reset|resolve|respond|restart|restore|retrieve|return|reveal|reverse|"
    "review|revoke|roll|rotate|route|run|save|say|scan|schedule|search|select|sell|send|set|settle|share|ship|"
    "shut|sign|sort|spend|spin|spread|start|state|stop|store|stream|submit|subscribe|summari[sz]e|suspend|swap|switch|sync|"
    "take|tell|terminate|test|text|tip|trade|transcribe|transfer|translate|transmit|trigger|trust|try|turn|tweet|"
    "unblock|uninstall|unlock|unmute|unsubscribe|update|upgrade|upload|use|verify|view|visit|vote|whitelist|wipe|"
    "wire|withdraw|write|zip|appl(?:ies|ied)|copies|replies|modifies|notifies|verifies|"
    "scale|resize|patch|roll back|provision|flash|mount|unmount|format|announce|hang|cut|"
    # German, French, Spanish
    "sende[nt]?|schick(?:e|en|t)?|überweise[nt]?|lösche[nt]?|öffne[nt]?|teile[nt]?|leite[nt]?|"
    "envoyez|envoie|transférez|supprimez|partagez|ouvrez|virez|"
    "env[ií]a(?:r|los|las)?|transfiere|borra|elimina|comparte|abre|reenv[ií]a|"
    # Dutch, Italian, Portuguese, Swedish, Danish, Polish, Turkish, Russian
    "stuur|verzend|verstuur|betaal|verwijder|deel|invi(?:a|are|ate)|inoltra(?:re|te)?|mand(?:a|are|ate)|cancell(?:a|are)|"
    "pag(?:a|are|ate|ue)|condivid(?:i|ere|ete)|aggiung(?:i|ere)|envie|encaminhe|transfira|apague|exclua|compartilhe|"
    "adicione|skicka|vidarebefordra|betala|radera|dela|slet|betal|wyślij|prześlij|usuń|przelej|udostępnij|dodaj|"
    "gönder(?:in|iniz)?|ilet(?:in|iniz)?|отправь(?:те)?|перешли(?:те)?|удали(?:те)?|переведи(?:те)?"
)
_OPTIONS: Final = re2.Options()
_OPTIONS.log_errors = False


def _compiled(pattern: str) -> Any:
    return re2.compile(pattern, _OPTIONS)


# Where sentences end; each ending becomes as many line feeds, so that offsets stay.
_ENDS: Final = tuple(
    (end, end[0] + "\n" if end[0] in ".!?;" else "\n" * len(end))
    for end in (
        ". ",
        "! ",
        "? ",
        "; ",
        "': '",
        '": "',
        "', '",
        '", "',
        "'}",
        '"}',
        "': \"",
        "':'",
        '":"',
        "','",
        '","',
        "|",
        "\\n",
        "{",
        "}",
        "\r",
    )
)
_TAG: Final = re.compile(r"</?[a-z][a-z0-9]*(?:\s[^>]{0,200})?/?>")
_PLAINLY: Final = (
    r"(?:please|kindly|pls|bitte|(?:can|could|would|will) you|you (?:must|should|need to|have to|are required to)|"
    r"make sure (?:to|that you|you)|be sure to|remember to|i(?:'d| would) like you to|"
    r"(?:i|we) (?:want|need|ask) you to)"
)
_LEAD: Final = (
    r"(?:(?:please|pls|kindly|also|then|first|next|finally|now|and|so|but|hey|hi|hello|ok|okay|important|urgent|"
    r"note|todo|attention|action required|reminder|step \d+|system|assistant|agent|ai|bot|bitte|por favor|"
    r"s'il vous plaît|"
    r"(?:before|after|while) (?:you )?\w+ing(?: (?:on )?(?:it|this|that|them|the \w+|any \w+|anything))?|"
    r"immediately|just|simply|always|automatically|"
    r"as an? (?:\w+ )?(?:workaround|fix|step|favou?r|reminder)|afterwards?|later|additionally|furthermore|meanwhile|"
    r"(?:to|for|if|when|once|while) [a-z ]+,|"
    r"[a-z_ ]+:|\[[^\]\n]*\]|[-*•#>\d.)]+)[ \t,:!.-]*)*"
)
_YOU: Final = (
    r"(?:(?:can|could|would|will) you|you (?:must|should|need to|have to|can|may|are required to)|let'?s|let us|"
    r"make sure (?:to|that you|you)|be sure to|remember to|don'?t forget to|"
    r"i(?:'d| would) like you to|(?:i|we) (?:want|need|ask) you to|(?:it is|is) (?:required|necessary|important) to|"
    r"(?:must|should|need to|has to|have to)|(?:your|the) (?:task|job) is to)"
)
_READERS: Final = (
    "assistants?|agents?|bots?|chatbots?|copilots?|ai|ais|llms?|models?|automations?|crawlers?|"
    "assistenten?|agenten|agentes?|asistentes?|assistentes?|helpers|helfer|"
    "claude|gemini|chatgpt|codex|cursor|cline|windsurf|devin|grok|alexa|siri|perplexity"
)
# "… with access to the reader's account", "… reading this page"
_WHO: Final = r"(?: (?:that|who|which|with|reading|working|helping|using|having|processing|handling|seeing) [\w' -]*?)?"
_ASKING: Final = _compiled(
    rf"(?m)^[ \t\"'`*_#>•([-]*{_LEAD}(?:{_YOU}[ \t]+)?(?:\w+ly[ \t]+|please[ \t]+|also[ \t]+)?"
    rf"(?:{_VERBS})[ \t]+[^ \t\n:=]"
    rf"|\b{_PLAINLY}[,:]?[ \t]+\w+"
    rf"|(?:\b(?:then|and|{_YOU})[ \t]+(?:\w+ly[ \t]+|also[ \t]+)?|[,:][ \t]*(?:and[ \t]+|then[ \t]+|please[ \t]+)?)"
    rf"(?:{_VERBS})[ \t]+[^ \t\n:=]"
    # Software is spoken of, by what it does or is to do: "the billing agent adds …", "assistants are to inform …".
    rf"|\b(?:{_READERS}){_WHO}(?:,[\w ',-]* (?:you|please))?[,:]? (?:(?:are|is|has|have) to |"
    r"(?:must|should|shall|will|may|can|then|always|also|please|now|next|first|simply|instead|from now on|\w+ly) ){0,3}"
    rf"(?:{_VERBS})(?:e?s)?[ \t]+[^ \t\n:=]"
    rf"|\b(?:{_READERS}|software){_WHO}: \w+"
    r"|\b(?:must|should|shall|need(?:s)? to|ha(?:s|ve) to|(?:is|are) to|want(?:s)?|required to) be "
    r"\w+(?:ed|nt|de|id|wn)\b"
)
# … and speaks to it: what follows a colon, or what it is to do.
_SPOKEN_TO: Final = _compiled(
    rf"\b(?:{_READERS}|software|systems?|programs?|programm|logiciel){_WHO}"
    rf"(?:[:,]| (?:is|are|has|have) to | (?:must|should|shall|will) "
    rf"| (?:(?:now|then|also|always|next|first|simply|instead|\w+ly) ){{0,2}}(?:{_VERBS})(?:e?s)?[ \t]+[^ \t\n:=])"
)
_STRONG: Final = _compiled(
    r"\b(?:please|kindly|my|mine|me|you (?:must|should|need to|have to)|can you|could you|would you|make sure|be sure|"
    r"immediately|urgent|important|ignore|instead|before (?:you|doing|continuing|answering|proceeding)|"
    r"assistants?|agents?|bots?|copilots?|ai|the user|user's|users'|without (?:asking|telling|mentioning|confirm\w*)|"
    r"do not (?:tell|mention|ask|inform)|don't (?:tell|mention|ask)|first|then|let's|"
    r"your (?:task|instructions?|tools?)|"
    r"bitte|por favor)\b"
)
# How to reach somebody: no deed is asked of the reader but to get in touch.
_CONTACT: Final = _compiled(
    r"(?:^|[,:;?!)]\s*|\b(?:please|kindly|can|may|must|should|or|to|you|simply|just|then|and)\s+)"
    r"(?:contact|reach(?: out to)?|call|write(?: to)?|visit|e-?mail|mail|message|text|phone|reply|rsvp|see|find us|"
    r"send (?:an? )?(?:e-?mail|message|mail|inquiry|enquiry|cv|resume|application|bug reports?|feedback|questions?|"
    r"patches))"
    r"\s*(?:us|me|our \w+(?: \w+)?|the (?:team|office|organi[sz]ers?|authors?|maintainers?|support|sales|help ?desk|"
    r"front desk|editors?|staff))?\s*(?:at|on|via|to|by e-?mail(?: at| to)?)?[:\s]+[<(]*"
    r"(?:https?://|www\.|[\w.+-]*[@_/\d])"
)


_REACHED: Final = re.compile(r"[@_/\d]|www\.")
# What is moved, not who is reached.
_MOVES: Final = _compiled(
    r"\b(?:send|forward|share|transfer|upload|post|e-?mail|mail|submit|export|copy|give|pay|wire|deliver|report)\b"
    r"(?: out| over)? (?:[\w' -]{0,40} )?"
    r"(?:my|his|her|their|our|all|the|this|that|these|those|any|every|them|it|everything|"
    r"a (?:copy|list|summary)|an? \w+ (?:of|with))\b"
    r"|\b(?:forward|share|export|upload|transfer) your\b"
    r"|\bwith (?:the |a )?(?:subject|body|text|title|message|content|words|note|description|list|copy)\b"
    r"|\b(?:saying|telling|containing|attaching|including)\b"
    r"|\b(?:tell|inform|notify|advise|remind|urge|dm) (?:[a-tv-z]|u[a-rt-z])\w+ .{0,60}\b(?:to|that)\b"
)


_BILL: Final = _compiled(
    r"\b(?:invoices?|bills?|receipt|amount due|payable|due date|rechnung\w*|fällig|facture|échéance|factura|fattura|"
    r"fatura|faktur\w*|rachunek|räkning|lasku|nota fiscal|счёт|счет)\b|发票|账单|請求書|请求书|청구서|فاتورة"
)
_AMOUNT: Final = _compiled(r"\d[.,]\d\d\b|[€$£¥₹]|\b(?:eur|usd|gbp|chf|nok|sek|dkk|pln|euros?|dollars?)\b|\btotal\b")


_SHORTEST: Final = 12  # characters of a sentence
_LONGEST: Final = 500  # characters before and after what asks


class Request(NamedTuple):
    """A sentence that asks: `text[start:end]`, and how plainly.

    Attributes:
        strength: 1 an imperative, 2 addressed or in the user's name, 3 said to software.
    """

    start: int
    end: int
    strength: int


def bill(text: str) -> bool:
    """Whether a text (lower case) is a bill by its form: it says so, and names an amount."""
    return bool(_BILL.search(text)) and bool(_AMOUNT.search(text))


def requests(text: str) -> list[Request]:
    """Return the sentences of `text` (lower case, plain) that ask for something, in order."""
    for end, instead in _ENDS:
        text = text.replace(end, instead)
    if "<" in text:
        text = _TAG.sub(lambda tag: "\n" * len(tag[0]), text)
    found: list[Request] = []
    done = 0
    for match in _ASKING.finditer(text):
        place = match.end() - 1
        if place < done:
            continue
        start = max(text.rfind("\n", 0, place) + 1, done, place - _LONGEST)
        stop = text.find("\n", place)
        done = stop = min(stop if stop >= 0 else len(text), start + 2 * _LONGEST)
        sentence = text[start:stop]
        reach = _REACHED.search(sentence) is not None and _CONTACT.search(sentence)  # the first look is the cheap one
        spoken = _SPOKEN_TO.search(sentence) is not None
        if stop - start >= _SHORTEST and (spoken or not reach or _MOVES.search(sentence)):
            found.append(Request(start, stop, 3 if spoken else 2 if _STRONG.search(sentence) else 1))
    return found
