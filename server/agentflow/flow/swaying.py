"""Text in results that may be meant for whoever judges them (THREATS row 25).

Two degrees. What addresses the judge ("verifier: success", "mark this as complete") takes the verdict from the model:
the rules alone decide. What could be meant so (talk of being done, of the next step, of "you") is withheld in a second
look (its sentences, not the whole text: the data beside them is still to be judged), and a verdict that does not
outlive it does not count. Both read a text as a model would: letters of other scripts that look Latin, full width,
characters that nobody sees. Refuses: to say that a text is harmless; what no word betrays is bounded by the veto alone.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from typing import Any

from agentflow.flow.memory import ExecutedAction
from agentflow.guard.lookalikes import LOOKALIKES

_DONE = r"(?:complete[d]?|done|solved|verified|finished|(?:fully |already )?answered|success(?:ful)?)"
_ADDRESSED = re.compile(
    r"verif(?:ier|ication)[\s_\w]{0,20}[:=\"']|next_action|verification_status|\bjudge\s*:|"
    r"(?:^|[\n.!?>\])}\"'])\s*(?:system|assistant)\s*:\s*\S+\s+\S|"
    rf"\b(?:task|goal|question|query)\s+(?:is|was|has been)\s+(?:now\s+)?{_DONE}\b|"
    rf"\bmark (?:this|it|the \w+) (?:as )?{_DONE}\b|"
    r"\b(?:ignore|disregard|forget) (?:all|any|every|previous|prior|the|your)\b|"
    r"\b(?:as|you are|you're|act as|being)\s+(?:now\s+)?(?:the|a|an)\s+(?:verifier|judge|planner|solver|critic)\b|"
    rf"\bnext[ _-]action\s*(?::|=|to\b|is\b|should\b|must\b)|\bverdict\s*(?:is|:|=|should|must)|"
    rf"\b(?:output|answer|respond|reply|return|report|say)\s+(?:with\s+|only\s+)*[\"'“]?{_DONE}\b|"
    r"\bno (?:further|more|additional|other)\s+(?:tool[- ]?|api )?(?:calls?|steps?|actions?|turns?|tools?)\b|"
    r"</?data\b",
    re.IGNORECASE,
)
_DOUBTFUL = re.compile(
    r"\b(?:verif\w+|judge|assistant|agent|model|ai|llm|task|question|goal|query|answer\w*|complet\w+|done|finish\w*|"
    r"stop|continue|proceed|wrap|further|nothing|enough|sufficient|satisf\w+|approv\w+|accept\w*|success\w*|fail\w*|"
    r"escalat\w*|verdict|instructions?|you|your|please|must|should)\b",
    re.IGNORECASE,
)
_SENTENCE = re.compile(r"[^.!?;\n]*(?:[.!?;\n]+|$)")
_BETWEEN = "\n\0\n"  # so that nothing is read across two texts
_HITS = 2  # such words in a text from which it is doubtful
_WORDS = 4  # words from which a text can say anything
_READ = 200_000  # characters of a text that are looked at


def addresses_judge(results: Sequence[ExecutedAction]) -> bool:
    """Whether text in a result (or in an error it gave) reads like a verdict or an order."""
    return _ADDRESSED.search(_BETWEEN.join(text for a in results for text in _texts(a))) is not None


def doubtful(results: Sequence[ExecutedAction]) -> bool:
    """Whether text in a result could be meant to sway whoever reads it."""
    return any(_is_doubtful(text) for a in results for text in _texts(a))


def withheld(action: ExecutedAction) -> ExecutedAction:
    """The result without what of its texts is doubtful."""
    error = action.error
    if error is not None and _is_doubtful(plain(error.message)):
        error = error.model_copy(update={"message": _hidden(error.message)})
    return action.model_copy(update={"output": _without(action.output), "error": error})


def _is_doubtful(text: str) -> bool:
    if len(text.split(None, _WORDS)) < _WORDS:
        return False
    return len({hit.lower() for hit in _DOUBTFUL.findall(text)}) >= _HITS


def _hidden(text: str) -> str:
    """The text without its sentences that hold one of the words."""
    return "".join(
        f"[{len(part)} characters withheld]" if _DOUBTFUL.search(plain(part)) else part
        for part in _SENTENCE.findall(text)
    )


def _without(value: Any) -> Any:
    if isinstance(value, str):
        return _hidden(value) if _is_doubtful(plain(value)) else value
    if isinstance(value, dict):
        return dict(_member(name, inner) for name, inner in value.items())
    if isinstance(value, list):
        return [_without(inner) for inner in value]
    return value


def _member(name: str, value: Any) -> tuple[str, Any]:
    if isinstance(value, str) and _is_doubtful(plain(f"{name}: {value}")):
        value = _hidden(value)
    return _hidden(name) if _is_doubtful(plain(name)) else name, _without(value)


def _texts(action: ExecutedAction) -> Iterator[str]:
    if action.error is not None:
        yield plain(action.error.message)
    queue: list[Any] = [action.output]
    while queue:
        value = queue.pop()
        if isinstance(value, str):
            yield plain(value)
        elif isinstance(value, dict):
            yield from (plain(f"{name}: {inner}" if isinstance(inner, str) else name) for name, inner in value.items())
            queue += value.values()
        elif isinstance(value, list):
            queue += value


def plain(text: str) -> str:
    """A text as it is read: compatibility forms and lookalikes folded, invisible characters gone."""
    text = text[:_READ]
    if text.isascii():
        return text
    folded = unicodedata.normalize("NFKC", text)
    return "".join(c for c in folded if unicodedata.category(c) != "Cf").translate(LOOKALIKES)
