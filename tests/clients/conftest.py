"""A gateway in front of the conformance fixture (no namespace) and the help-desk, shared by the client tests.

Both are trusted: a conversation that has read untrusted content and private data may write nowhere outside, which
the walkthrough and the policy's own tests are about.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from gateway_process import Gateway, running_gateway
from upstream_processes import fixture_over_http, fixture_over_stdio, helpdesk_over_stdio


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """Over HTTP, with an HTTP and a stdio upstream."""
    folder = tmp_path_factory.mktemp("clients")
    with fixture_over_http(folder) as url:
        servers = {
            "fixture": {"type": "http", "url": url, "namespace": "", "trust": "trusted"},
            "helpdesk": helpdesk_over_stdio(folder / "helpdesk.db"),
        }
        with running_gateway({"mcpServers": servers}, folder) as gateway:
            gateway.wait_for_tools("test_simple_text", "helpdesk__find_customer")
            yield gateway


@pytest.fixture
def stdio_config(tmp_path: Path) -> dict[str, Any]:
    """The same upstreams for a gateway that a client starts itself, both as stdio children."""
    return {
        "mcpServers": {
            "fixture": {**fixture_over_stdio(), "namespace": "", "trust": "trusted"},
            "helpdesk": helpdesk_over_stdio(tmp_path / "helpdesk.db"),
        }
    }
