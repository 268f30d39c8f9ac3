"""A gateway with callers of every sort, before a server whose tools a test may change."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from admin.offices import AUTH, KEYS, Office
from gateway_process import Gateway, running_gateway, wait_until
from security.test_changing_tools import Mail

JSON = dict[str, Any]


# Everything goes, sending mail once somebody has said yes.
POLICY = """package agentflow

import rego.v1

decision := {"allow": true, "reasons": [{"code": "open", "message": "all may"}], "obligations": obligations}

obligations := {"redact": ["*"], "approval": {"who": "role:admin", "ttl": 120, "prompt": "Mail is sent."}} if {
	input.call.tool == "send_email"
} else := {"redact": ["*"]}
"""
POLICY_TEST = """package agentflow_test

import rego.v1

test_allowed if {
	data.agentflow.decision.allow with input.call.tool as "list_drafts"
}
"""


@dataclass
class Headquarters:
    """A running gateway.

    Attributes:
        office: the REST interface for one of `KEYS`; None for somebody without a key.
        mail: the server behind it, `mail`.
    """

    gateway: Gateway
    office: Callable[[str | None], Office]
    mail: Mail


def settings(folder: Path, mail: Mail, **more: Any) -> JSON:
    """The configuration of a gateway with the policy above."""
    bundle = folder / "policy" / "agentflow"
    bundle.mkdir(parents=True, exist_ok=True)
    (bundle / "policy.rego").write_text(POLICY)
    (bundle / "policy_test.rego").write_text(POLICY_TEST)
    servers = {"mail": mail.over_stdio()}
    own = {"mcpServers": servers, "auth": AUTH, "flow": {"enabled": False}, "policy": {"bundle": str(bundle.parent)}}
    return {**own, **more}


def opened(gateway: Gateway, mail: Mail) -> Headquarters:
    """Everybody's office at this gateway, the OpenAPI document held against every answer."""
    root = Office(gateway, KEYS["ROOT"])
    described = root.good("GET", "/openapi.json")

    def listed() -> bool:
        return all(each["tools"] for each in root.good("GET", "/servers")["items"] if each["enabled"])

    wait_until(listed, "the servers' tools", evidence=gateway.log_text)
    return Headquarters(gateway, lambda name: Office(gateway, KEYS.get(name or ""), described), mail)


@pytest.fixture(scope="package")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Headquarters]:
    """For tests that leave it as it was."""
    folder = tmp_path_factory.mktemp("admin")
    mail = Mail(folder)
    with running_gateway(settings(folder, mail), folder, env=KEYS) as gateway:
        yield opened(gateway, mail)


@pytest.fixture(scope="package")
def yard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Headquarters]:
    """For tests that change it, each something of its own. Servers of this machine may be added to it."""
    folder = tmp_path_factory.mktemp("yard")
    mail = Mail(folder)
    servers = {"mail": mail.over_stdio(), "spare": mail.over_stdio(namespace="spare")}
    config = settings(folder, mail, mcpServers=servers, admin={"private_servers": ["127.0.0.1"]})
    with running_gateway(config, folder, env=KEYS) as gateway:
        yield opened(gateway, mail)


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Callable[..., Headquarters]]:
    """Starts a gateway of a test's own, with further settings."""
    with ExitStack() as stack:

        def start(**more: Any) -> Headquarters:
            mail = Mail(tmp_path)
            return opened(
                stack.enter_context(running_gateway(settings(tmp_path, mail, **more), tmp_path, env=KEYS)), mail
            )

        yield start
