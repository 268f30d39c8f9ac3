"""The merged catalogue: names, collisions, templates and pages."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentflow.config import CatalogueConfig, ServerConfig
from agentflow.errors import InvalidArguments
from agentflow.gateway.catalogue import Member, build, page
from agentflow.gateway.upstreams.port import Health, Listing
from agentflow.pipeline.call import UpstreamFacts


class Listed:
    """An upstream of which only the listing matters here."""

    def __init__(self, name: str, listing: Listing) -> None:
        self.facts, self.listing, self.health = UpstreamFacts(name, "http"), listing, Health("ready")


def member(name: str, listing: Listing, **config: Any) -> Member:
    return Member(name, ServerConfig(url="http://x/mcp", **config), Listed(name, listing))  # type: ignore[arg-type]


def tools(*names: str) -> Listing:
    return Listing(tools=tuple({"name": n, "inputSchema": {"$defs": {"a": {}}}, "x-future": 1} for n in names))


def test_names_get_the_server_s_namespace_and_definitions_keep_everything_else() -> None:
    catalogue = build([member("mail", tools("send"))], CatalogueConfig())
    entry = catalogue.tools["mail__send"]
    assert entry.target == "send"
    assert entry.definition == {"name": "mail__send", "inputSchema": {"$defs": {"a": {}}}, "x-future": 1}


def test_namespace_separator_and_aliases_are_the_operator_s() -> None:
    members = [
        member("a", tools("x", "y"), namespace="", aliases={"x": "ex"}),
        member("b", tools("x"), namespace="bee"),
    ]
    catalogue = build(members, CatalogueConfig(separator="."))
    assert list(catalogue.tools) == ["ex", "y", "bee.x"]


def test_a_collision_is_refused_by_name_and_the_first_owner_keeps_it() -> None:
    members = [member("a", tools("x"), namespace=""), member("b", tools("x"), namespace="")]
    catalogue = build(members, CatalogueConfig())
    assert catalogue.tools["x"].upstream.facts.name == "a"
    assert any("'x'" in problem and "b:" in problem for problem in catalogue.problems)


def test_resources_are_found_by_uri_and_by_template() -> None:
    listing = Listing(
        resources=({"uri": "memo://1", "name": "one"},),
        templates=({"uriTemplate": "memo://{id}/page", "name": "p"}, {"uriTemplate": "{", "name": "broken"}),
    )
    catalogue = build([member("m", listing)], CatalogueConfig())
    for uri in ("memo://1", "memo://7/page", "memo://{id}/page"):
        assert catalogue.resource(uri) is not None
    assert catalogue.resource("memo://nothing") is None
    assert any("RFC 6570" in problem for problem in catalogue.problems)


@pytest.mark.parametrize("own", ["agentflow://quarantine/x", "AgentFlow://quarantine/x", "agentflow:x"])
def test_an_upstream_cannot_answer_for_the_gateways_own_uris(own: str) -> None:
    listing = Listing(
        resources=({"uri": own, "name": "r"},),
        templates=tuple(
            {"uriTemplate": uri, "name": "t"} for uri in ("{+any}", "agentflow://{+id}", "{scheme}://quarantine/{id}")
        ),
    )
    catalogue = build([member("m", listing)], CatalogueConfig())
    assert catalogue.resource(own) is None
    assert not catalogue.resources and "agentflow://{+id}" not in catalogue.templates
    assert sum("reserved" in problem for problem in catalogue.problems) == 2
    assert catalogue.resource("memo://1") is not None


@given(st.lists(st.text(min_size=1), unique=True, max_size=60), st.integers(1, 20))
def test_following_cursors_gives_every_name_once_in_order(names: list[str], size: int) -> None:
    seen: list[str] = []
    cursor = None
    while True:
        chunk, cursor = page(names, cursor, size)
        seen += chunk
        if cursor is None:
            break
    assert seen == names


def test_a_cursor_survives_a_change_of_the_catalogue() -> None:
    _, cursor = page(["a", "b", "c", "d"], None, 2)
    assert page(["new", "a", "b", "c", "d"], cursor, 2)[0] == ["c", "d"]


@pytest.mark.parametrize("cursor", ["", "!!", "bm90LWEtbnVtYmVy", "MTA"])
def test_a_foreign_cursor_is_refused(cursor: str) -> None:
    if cursor == "MTA":  # decodes, but not as one of ours without its padding
        cursor = "MTA="[:-1]
    with pytest.raises(InvalidArguments):
        page(["a"], cursor, 1)
