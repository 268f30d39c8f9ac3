"""Fixtures and settings that every test may use."""

from __future__ import annotations

import os

import pytest
from hypothesis import settings

# The same examples on every run, so that a failure is the change's; HYPOTHESIS_RANDOM=1 looks for new ones.
settings.register_profile("repeatable", derandomize=not os.environ.get("HYPOTHESIS_RANDOM"))
settings.load_profile("repeatable")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"
