"""Byte ranges as pages."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from archipelago.extent import Extent
from blockstore import PAGE_SIZE


def page_range(start: int, end: int) -> tuple[int, int]:
    """The whole pages around a range."""
    return start - start % PAGE_SIZE, end + -end % PAGE_SIZE


def split_pages(start: int, end: int) -> Iterator[tuple[int, int, bool]]:
    """(start, end, whole) of the parts of a range: whole pages together, parts of pages apart."""
    first_whole = start + -start % PAGE_SIZE
    last_whole = end - end % PAGE_SIZE
    if first_whole > last_whole:
        yield start, end, False
        return
    if start < first_whole:
        yield start, first_whole, False
    if first_whole < last_whole:
        yield first_whole, last_whole, True
    if last_whole < end:
        yield last_whole, end, False


def clip_extents(extents: Iterable[Extent], start: int, end: int) -> Iterator[Extent]:
    """The parts of extents that are inside a range."""
    for extent in extents:
        first = max(start, extent.offset)
        last = min(end, extent.offset + extent.length)
        if first < last:
            yield Extent(first, last - first, extent.kind)
