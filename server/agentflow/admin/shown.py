"""What servers say, as it is shown to administrators: with personal data and secrets taken out."""

from __future__ import annotations

from typing import Any, Protocol, cast

JSON = dict[str, Any]


class Masks(Protocol):
    """What takes personal data out of a text."""

    def mask(self, text: str) -> str: ...


def shown(masks: Masks, value: JSON) -> JSON:
    """The object with every text in it masked, keys among them."""
    return cast("JSON", _masked(masks, value))


def _masked(masks: Masks, value: object) -> object:
    if isinstance(value, str):
        return masks.mask(value)
    if isinstance(value, dict):
        return {masks.mask(str(name)): _masked(masks, item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_masked(masks, item) for item in value]
    return value
