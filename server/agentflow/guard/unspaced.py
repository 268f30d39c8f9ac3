"""Words run together, set apart again: `ignoreallpreviousinstructions` as `ignore all previous instructions`.

The cheapest division into known words (dynamic programming, linear in the run); what is no known word stays together.
The words are those that orders are made of, with the commonest of English beside them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Final

_COMMON: Final = (
    "adhere strictly accordance mandatory forthwith kindly earlier aforementioned able about above access account "
    "accounts across action actions activate active actual add added address after again against agent ago allow "
    "allowed alone along already also although always among amount another answers anyone anything anyway app apply "
    "around asked asks assume attach attached attacker away back backup bank based became because become been "
    "behave behind being believe below best better between big body book both brief bring browse build button buy "
    "bypass calls came cannot card care carry case cause change character chat check choose city clear click "
    "clients close code codes come comes coming comment comments company complete completely comply computer config "
    "confidential configuration connect consider contain contains continue copied copy correct could cost country "
    "create created credential current currently data date dates day days deal dear debug decide default define "
    "description detail detailed details developer developers device did different direct directly directory "
    "disable display does doing domain done down draft due during each early easy effect either else empty enable "
    "enabled encode end ended ends engage enough ensure entire environment equal error even evening ever exact "
    "exactly example except exit expect explain export external extra extract fact fail false family far fast fetch "
    "few field file filename fill final find fine finish first five fix folder follow follows food forever form "
    "format former forth found four free friend full fully function further future game gave general generate get "
    "gets getting gift girl given gives giving goes going gone good got great group guide had half hand happen "
    "happy hard has have having head hear hello help here hidden hide high hold home hour hours house however human "
    "humans idea ignored ignores ignoring image immediate import inbox included includes including indeed input "
    "inside install instructed issue item items job join just keep kept kind knew know known knows large later "
    "latest law lead learn least leave left less let level life like limit limits line link links list listed "
    "little live load local location lock log login logs long look lost lot love low made main make makes making "
    "man manager many mark may maybe mean means meet meeting member memory mention mine minute mode models moment "
    "month more morning most move much myself near necessary needed needs neither next nice night none nor nothing "
    "notice now obey occur off offer often okay old once one ones online only onto open operator option options "
    "ordered original others our over override overwrite own package paper part parts party pass past path pay "
    "people perform performed permission person phone pick place plan play please point possible post power prefer "
    "prepare present press pretend price print private probably problem proceed process produce profile program "
    "project prompts proper protocol protocols prove provide provided providing publish pull purchase purpose quick "
    "quickly quite quote raw reach ready real really reason receive recent recipient record refer refuse regard "
    "regardless related release remain remember repeat repeating replace replied reply request requested requests "
    "require requires respect rest restart result results return returned reveal rewrite role room root rule "
    "running said same save saw say saying says schedule screen search second secretly section secure see seem seen "
    "select self sell sending sends sent sentence separate serious serve service set sets several shall share she "
    "short show showing shown side sign silent silently simple simply since site six small software some someone "
    "something soon sorry source speak special specific staff standard start started state statement status stay "
    "step steps still stopped stopping store story strict string strong study subject submit such sudo suggest "
    "supersede support sure switch systems table take taken talk target tasks team telling tells test text than "
    "thank thanks their theirs thing things think third though thought three through ticket time times title today "
    "together told tomorrow tool tools top total toward translate treat trick true trust try trying turn turned "
    "twice two type under unless unrestricted until unto upon urgently used useful users uses using value values "
    "version very via view wait walk want wanted wants warning was watch way ways webhook week weeks well went were "
    "whatever where whether while white who whole whom whose why wide wish within won work working works world "
    "worse worth write writing written wrong year years yes yet young yours yourself "
)
_UNKNOWN: Final = 2.6  # what a letter costs that belongs to no word; a word costs 1, a short one more
_SHORT: Final = {1: 2.3, 2: 1.5}


class Divider:
    """Divides runs of letters into words.

    Args:
        words: in lower case; they count beside the commonest of English.
    """

    def __init__(self, words: Iterable[str]) -> None:
        self._words = frozenset((*words, *_COMMON.split()))
        lengths: defaultdict[str, set[int]] = defaultdict(set)
        for word in self._words:
            lengths[word[:3]].add(len(word))
        self._lengths = {start: tuple(sorted(found)) for start, found in lengths.items()}

    def __call__(self, run: str) -> str:
        """Return `run` with a blank between its words."""
        cuts = self._cuts(run.lower())
        out: list[str] = []
        at, unknown = 0, False
        for end, known in cuts:
            if out and not (unknown and not known):
                out.append(" ")
            out.append(run[at:end])
            at, unknown = end, not known
        return "".join(out)

    def _cuts(self, run: str) -> list[tuple[int, bool]]:
        """Where the pieces of the cheapest division end, and whether each is a word."""
        size = len(run)
        cost = [index * _UNKNOWN for index in range(size + 1)]
        back = list(range(-1, size))
        words, lengths = self._words, self._lengths
        for start in range(size):
            here = cost[start]
            if here + _UNKNOWN < cost[start + 1]:
                cost[start + 1], back[start + 1] = here + _UNKNOWN, start
            for width in (1, 2):
                if run[start : start + width] in words:
                    self._offer(cost, back, start, start + width, here + _SHORT[width])
            for width in lengths.get(run[start : start + 3], ()):
                end = start + width
                if end <= size and here + 1 < cost[end] and run[start:end] in words:
                    cost[end], back[end] = here + 1, start
        return self._walked(run, back)

    @staticmethod
    def _offer(cost: list[float], back: list[int], start: int, end: int, price: float) -> None:
        if end < len(cost) and price < cost[end]:
            cost[end], back[end] = price, start

    def _walked(self, run: str, back: list[int]) -> list[tuple[int, bool]]:
        cuts, end = [], len(run)
        while end > 0:
            start = back[end]
            cuts.append((end, run[start:end] in self._words))
            end = start
        return cuts[::-1]
