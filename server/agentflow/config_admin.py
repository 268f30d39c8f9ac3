"""Settings of the administration: the REST interface under /api/v1 and the page under /ui."""

from __future__ import annotations

from pydantic import Field

from agentflow.config_base import Section


class AdminConfig(Section):
    """The REST interface and the page. They answer on the gateway's own address, to callers with a role."""

    enabled: bool = Field(default=True, description="Answer below /api and /ui; otherwise those paths do not exist.")
    private_servers: tuple[str, ...] = Field(
        default=(),
        description="Hosts (`name` or `name:port`) at which servers may be added although they are inside this "
        "network; others are refused, as are addresses that are not public.",
    )
