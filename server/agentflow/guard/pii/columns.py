"""Tables in text (CSV, TSV, Markdown): which cell stands under which head.

It promises one pass over the lines. A text is a table when its first line is short names between one kind of
delimiter and the second has as many cells; what else it may be is no concern of this module.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Final

_HEAD: Final = re.compile(rb"[\w .#/()'?*-]{0,40}")
_QUOTED_CELL: Final = {
    delimiter: re.compile(rb'\s*"((?:[^"\n]|"")*)"\s*(?=' + re.escape(delimiter) + rb"|$)|([^" + delimiter + rb"\n]*)")
    for delimiter in (b",", b";", b"\t", b"|")
}
_LONGEST_HEAD: Final = 2000


def cells(data: bytes, wanted: Callable[[bytes], bool]) -> Iterator[tuple[bytes, int, int]]:
    """Yield `(head, start, end)` of each cell under a head that is `wanted`, when `data` is a table."""
    line_end = data.find(b"\n", 0, _LONGEST_HEAD)
    if line_end < 0:
        return
    head = data[:line_end].rstrip(b"\r")
    delimiter = max(_QUOTED_CELL, key=head.count)
    names = [name.strip(b' "*') for name in head.split(delimiter)]
    if len(names) < 2 or not all(_HEAD.fullmatch(name) for name in names):
        return
    second = data[line_end + 1 : data.find(b"\n", line_end + 1) % (len(data) + 1)]
    if second.count(delimiter) < len(names) - 1:
        return
    columns = {at: name for at, name in enumerate(names) if name and wanted(name)}
    if columns:
        yield from _rows(data, line_end + 1, delimiter, columns)


def _rows(data: bytes, start: int, delimiter: bytes, columns: dict[int, bytes]) -> Iterator[tuple[bytes, int, int]]:
    last = max(columns)
    while start < len(data):
        end = data.find(b"\n", start)
        end = end if end >= 0 else len(data)
        for at, (first, stop) in enumerate(_cells(data, start, end, delimiter)):
            if at in columns and stop > first:
                yield columns[at], first, stop
            if at >= last:
                break
        start = end + 1


def _cells(data: bytes, start: int, end: int, delimiter: bytes) -> Iterator[tuple[int, int]]:
    if data.find(b'"', start, end) < 0:
        while True:
            stop = data.find(delimiter, start, end)
            yield start, stop if stop >= 0 else end
            if stop < 0:
                return
            start = stop + 1
    cell = _QUOTED_CELL[delimiter]
    while start <= end:
        match = cell.match(data, start, end)
        if match is None:
            return
        yield match.span(1) if match[1] is not None else match.span(2)
        start = match.end() + 1
