"""The event-stream parser gives the same events however the bytes arrive."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentflow.errors import UpstreamProtocolError
from agentflow.gateway.upstreams.sse_stream import Event, SseParser


def parse(data: bytes, *cuts: int) -> tuple[list[Event], str, float | None]:
    parser = SseParser(1 << 20)
    events: list[Event] = []
    edges = [0, *sorted(cuts), len(data)]
    for start, end in itertools.pairwise(edges):
        events += parser.feed(data[start:end])
    return events, parser.last_event_id, parser.retry


@pytest.mark.parametrize("eol", [b"\n", b"\r", b"\r\n"])
def test_every_line_ending_ends_a_line(eol: bytes) -> None:
    data = eol.join([b"event: ping", b"id: 7", b"retry: 250", b"data: one", b"data:two", b"", b""])
    assert parse(data) == ([Event("ping", b"one\ntwo")], "7", 0.25)


def test_comments_and_unknown_fields_are_skipped() -> None:
    assert parse(b": keep-alive\n\nfoo: bar\nretry: soon\nid: a\0b\ndata: x\n\n") == (
        [Event("message", b"x")],
        "",
        None,
    )


def test_a_priming_event_without_data_only_moves_the_id() -> None:
    assert parse(b"id: 12\ndata:\n\n") == ([], "12", None)


def test_the_id_counts_only_once_its_event_is_complete() -> None:
    assert parse(b"id: 1\ndata: a\n\nid: 2\ndata: b\n") == ([Event("message", b"a")], "1", None)


def test_a_byte_order_mark_is_skipped() -> None:
    assert parse(b"\xef\xbb\xbfdata: x\n\n")[0] == [Event("message", b"x")]


def test_exactly_one_space_is_removed() -> None:
    assert parse(b"data:  x\n\n")[0] == [Event("message", b" x")]


def test_a_reopened_stream_forgets_half_an_event_and_keeps_its_place() -> None:
    parser = SseParser(1000)
    parser.feed(b"id: 3\nretry: 9\ndata: a\n\ndata: half")
    parser.reopen()
    assert parser.feed(b"data: b\n\n") == [Event("message", b"b")]
    assert (parser.last_event_id, parser.retry) == ("3", 0.009)


@pytest.mark.parametrize("flood", [b"data: " + b"x" * 2000, b"data: xxxxxxxx\n" * 300, b"x" * 2000])
def test_an_endless_event_is_refused(flood: bytes) -> None:
    parser = SseParser(1000)
    pieces = (flood[start : start + 100] for start in range(0, len(flood), 100))
    with pytest.raises(UpstreamProtocolError, match="larger than 1000 bytes"):
        list(map(parser.feed, pieces))


line = st.one_of(
    st.sampled_from([b"", b"", b"data: a", b"data", b"data:", b"event: e", b"id: 1", b"id", b"retry: 5", b": c", b"x"]),
    st.binary(max_size=12),
)
stream = st.lists(st.tuples(line, st.sampled_from([b"\n", b"\r", b"\r\n"])), max_size=20).map(
    lambda lines: b"".join(text + eol for text, eol in lines)
)


@given(stream, st.lists(st.integers(0, 200), max_size=12))
def test_where_the_bytes_are_cut_makes_no_difference(data: bytes, cuts: list[int]) -> None:
    assert parse(data, *[min(cut, len(data)) for cut in cuts]) == parse(data)


@given(
    st.lists(
        st.text(alphabet=st.characters(codec="utf-8", exclude_characters="\r\n"), min_size=1, max_size=30), max_size=8
    )
)
def test_what_was_written_as_events_is_read_back(texts: list[str]) -> None:
    data = "".join(f"data: {text}\n\n" for text in texts).encode()
    assert parse(data)[0] == [Event("message", text.encode()) for text in texts]
