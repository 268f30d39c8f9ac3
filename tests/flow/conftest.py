"""Fresh worlds, and a local endpoint that speaks the OpenAI chat-completions protocol."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.flow.worlds import World, make_clinic, make_helpdesk, make_office
from tests.models.scripted_endpoint import Endpoint, running_endpoint


@pytest.fixture
def helpdesk() -> World:
    return make_helpdesk()


@pytest.fixture
def office() -> World:
    return make_office()


@pytest.fixture
def clinic() -> World:
    return make_clinic()


@pytest.fixture
async def endpoint() -> AsyncIterator[Endpoint]:
    async with running_endpoint() as running:
        yield running
