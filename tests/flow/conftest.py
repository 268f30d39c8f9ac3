"""Fresh worlds, and models that answer by script."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from agentflow.models.port import MODELS
from tests.flow.scripted_models import ScriptedModels
from tests.flow.worlds import World, make_clinic, make_helpdesk, make_office


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
def models() -> Iterator[ScriptedModels]:
    """The models of the calls made in the test."""
    served = ScriptedModels()
    token = MODELS.set(served)
    yield served
    MODELS.reset(token)
