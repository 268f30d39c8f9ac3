"""Which id a model has in which region, and which region is asked first.

An inference profile's id begins with its geography (`us.anthropic.…`); asked in a region of another one, the same
model's profile there is meant. Regions that failed lately come last; none is ever left out for that.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from agentflow.models.worker.provider import FailureKind

GEOGRAPHIES: Final = ("us-gov", "us", "eu", "apac", "jp", "au", "ca", "global")
_GEOGRAPHY: Final = re.compile(rf"^({'|'.join(GEOGRAPHIES)})\.(?=[a-z])")
_REGION: Final = re.compile(r"^([a-z]{2}(?:-[a-z]+)+-\d+)/(.+)$")
_ARN: Final = re.compile(r"^arn:[\w-]+:bedrock:([a-z0-9-]*):")
_SERVED: Final[Mapping[str, tuple[str, ...]]] = {
    "us-gov": ("us-gov",),
    "us": ("us",),
    "ca": ("ca", "us"),
    "eu": ("eu",),
    "ap-northeast-1": ("jp", "apac"),
    "ap-northeast-3": ("jp", "apac"),
    "ap-southeast-2": ("au", "apac"),
    "ap-southeast-4": ("au", "apac"),
    "ap": ("apac",),
}
# Seconds that a region counts as troubled, for one model, after a failure of a kind.
_TROUBLE: Final[Mapping[FailureKind, float]] = {
    "rate_limit": 15.0,
    "server": 15.0,
    "protocol": 15.0,
    "timeout": 30.0,
    "unreachable": 30.0,
    "auth": 300.0,
    "not_found": 300.0,
}


@dataclass(frozen=True, slots=True)
class Place:
    """A model where it can be asked: the region, and its id there."""

    region: str
    model: str


def split(model: str) -> tuple[str | None, str]:
    """`("eu-west-1", id)` of `eu-west-1/id`, or of an ARN of a region; `(None, id)` of any other."""
    if found := _REGION.match(model):
        return found[1], found[2]
    if (arn := _ARN.match(model)) and arn[1]:
        return arn[1], model
    return None, model


def geographies_of(region: str) -> tuple[str, ...]:
    """The prefixes of inference profiles that a region serves, the nearest first; `global` is served everywhere."""
    if region.startswith("us-gov-"):
        return _SERVED["us-gov"]
    return _SERVED.get(region) or _SERVED.get(region.split("-")[0], ())


def bare(model: str) -> str:
    """The foundation model's id: without the geography of a profile."""
    return _GEOGRAPHY.sub("", model)


def ids_in(region: str, model: str) -> tuple[str, ...]:
    """The ids that `model` may have in `region`, the likeliest first."""
    found = _GEOGRAPHY.match(model)
    here = geographies_of(region)
    if found is None or found[1] == "global" or found[1] in here or not here:
        return (model,)
    return tuple(f"{geography}.{bare(model)}" for geography in here)


def profiles_in(region: str, model: str) -> tuple[str, ...]:
    """The inference profiles in `region` of a foundation model that is served only through one."""
    return tuple(f"{geography}.{bare(model)}" for geography in (*geographies_of(region), "global"))


class Places:
    """Where a model is asked, in order.

    Args:
        regions: in order of preference.
        clock: seconds, monotonic.
    """

    def __init__(self, regions: Sequence[str], clock: Callable[[], float] = time.monotonic) -> None:
        self.regions = tuple(regions)
        self._clock = clock
        self._troubled: dict[tuple[str, str], float] = {}
        self._known: dict[tuple[str, str], str] = {}

    def of(self, model: str) -> list[Place]:
        """The places, those without trouble first; at least one for every region. `model` may name its region."""
        pinned, name = split(model)
        places = []
        for region in (pinned,) if pinned else self.regions:
            known = self._known.get((region, name))
            ids: Collection[str] = (known,) if known else ids_in(region, name)
            places += [Place(region, found) for found in ids]
        now = self._clock()
        return sorted(places, key=lambda place: self._troubled.get((place.region, place.model), 0.0) > now)

    def worked(self, asked: str, place: Place) -> None:
        """Remember the id that `asked` turned out to have in the region; its trouble is over."""
        _, name = split(asked)
        if name != place.model:
            self._known[(place.region, name)] = place.model
        self._troubled.pop((place.region, place.model), None)

    def failed(self, place: Place, kind: FailureKind) -> None:
        """The region comes last for this model, for a while."""
        if seconds := _TROUBLE.get(kind):
            self._troubled[(place.region, place.model)] = self._clock() + seconds
