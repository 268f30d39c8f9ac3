"""Listings, page by page: cut from the catalogue, taken through the whole pipeline, remembered while nothing changes.

A page that has been screened, redacted and filtered for a principal stays valid until the catalogue, the
pipeline (policy and guard) or the principal changes, and is served again from memory until then.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from time import monotonic
from typing import Any

from agentflow.gateway.catalogue import Catalogue, Entry, page
from agentflow.pipeline.call import JSON, Call
from agentflow.pipeline.chain import Pipeline

_KEYS = {"tools": "tools", "prompts": "prompts", "resources": "resources", "resourceTemplates": "templates"}
_REMEMBERED = 512
# Policy may depend on the hour: what was decided is not remembered for longer than this many seconds.
FRESH = 30.0


class Listings:
    """Pages of at most `size` entries; `_REMEMBERED` of them are kept.

    Args:
        per_session: whether a page is one session's alone, because the tokens in it mean nothing to another.
    """

    def __init__(self, size: int, per_session: bool = False) -> None:
        self._size = size
        self._per_session = per_session
        self._ready: OrderedDict[tuple[Any, ...], tuple[float, JSON]] = OrderedDict()

    async def page(
        self, key: str, catalogue: Catalogue, pipeline: Pipeline, call: Call, shown: Mapping[str, JSON] | None = None
    ) -> JSON:
        """Return `{key: [definition, …], "nextCursor"?}` as this principal may see it.

        Args:
            key: the result's member, e.g. `tools`.
            shown: list these definitions, by name, instead of the catalogue's own.

        Raises:
            AgentFlowError: the listing is refused as a whole, or the cursor is not ours.
        """
        cursor = call.params.get("cursor")
        entries: Mapping[str, Entry] = getattr(catalogue, _KEYS[key])
        taint = frozenset(call.session.taint)
        session = call.session.id if self._per_session else ""
        remembered = (key, cursor, catalogue.revision, pipeline.revision, call.principal, session, taint, shown is None)
        ready = self._recall(remembered)

        async def cut(_: Call) -> JSON:
            names, following = page(list(entries if shown is None else shown), cursor, self._size)
            body: JSON = {key: [entries[n].definition if shown is None else shown[n] for n in names]}
            if following is not None:
                body["nextCursor"] = following
            return body

        result = await pipeline.handle(call, cut, ready=ready)
        if ready is None:
            self._ready[remembered] = (monotonic(), result)
            while len(self._ready) > _REMEMBERED:
                self._ready.popitem(last=False)
        return result

    def _recall(self, key: tuple[Any, ...]) -> JSON | None:
        made, result = self._ready.get(key, (0.0, None))
        return result if result is not None and monotonic() - made < FRESH else None
