"""What is known of the eras a server speaks, and the connecting that finds it out."""

from __future__ import annotations

from agentflow.errors import Unsupported
from agentflow.gateway.upstreams.connection import Connection, Connector, OnNotification
from agentflow.gateway.upstreams.port import ClientIdentity, Era

_OTHER: dict[Era, Era] = {"legacy": "modern", "modern": "legacy"}


class Eras:
    """Learns which eras a server speaks and whether its connections in each are stateful. Believes the best at first.

    Attributes:
        spoken: eras it was seen to speak, sorted.
    """

    def __init__(self) -> None:
        self.spoken: tuple[str, ...] = ()
        self._refused: set[Era] = set()
        self._stateful: dict[Era, bool] = {}

    def best(self, era: Era) -> Era:
        """The era to speak on behalf of a client that speaks `era`."""
        return _OTHER[era] if era in self._refused else era

    def stateful(self, era: Era) -> bool:
        """Whether connections of `era` belong to one principal; yes until the contrary was seen."""
        return self._stateful.get(era, True)

    async def connect(
        self, connector: Connector, identity: ClientIdentity, heard: OnNotification, *, newest: bool = False
    ) -> Connection:
        """Connect in the client's own era, or else in the other one; with `newest`, in the newest there is.

        Raises:
            Unsupported: the server speaks neither era.
            AgentFlowError: as `Connector.connect`.
        """
        if newest:
            connection = await connector.connect(identity, None, heard)
            self._refused.discard(connection.era)
            if connection.era == "legacy":
                self._refused.add("modern")
        else:
            era = self.best(identity.era)
            try:
                connection = await connector.connect(identity, era, heard)
            except Unsupported:
                # What is known outlives an outage, so that clients keep their connections; it may be out of date.
                connection = await connector.connect(identity, _OTHER[era], heard)
                self._refused = {era}
        self._stateful[connection.era] = connection.stateful
        self.spoken = tuple(sorted({*self.spoken, connection.era}))
        return connection
