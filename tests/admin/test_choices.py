"""Putting a policy in force only if nobody else has meanwhile: whatever database, however many at once."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from admin.conftest import POLICY
from pydantic import SecretStr

from agentflow.config import StoreConfig
from agentflow.errors import Conflict
from agentflow.policy.live import LiveBundles
from agentflow.store.opened import Store


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_of_many_who_expect_the_same_choice_one_is_followed(
    request: pytest.FixtureRequest, tmp_path: Path, kind: str
) -> None:
    url = SecretStr(request.getfixturevalue("database")) if kind == "postgresql" else None
    store = Store(tmp_path, StoreConfig(url=url))
    bundles = LiveBundles(store, lambda: bytes(32))
    revision = bundles.upload({"agentflow/policy.rego": POLICY}, "default/root").revision
    made: list[int] = []
    refused: list[Conflict] = []
    ready = threading.Barrier(6)

    def choose() -> None:
        ready.wait()
        try:
            made.append(bundles.activate(revision, "default/root", expected=0).number)
        except Conflict as error:
            refused.append(error)

    threads = [threading.Thread(target=choose) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(made) == 1 and len(refused) == 5
    with pytest.raises(Conflict):
        bundles.roll_back("default/root", expected=0)
    assert bundles.roll_back("default/root", expected=made[0]).revision == ""
    store.close()
