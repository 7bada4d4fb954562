"""Extents: what a range of a volume or content consists of."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Iterator
from dataclasses import dataclass


class ExtentKind(enum.StrEnum):
    """`zero` and `hole` both read as NULs. Neither takes space."""

    DATA = "data"
    ZERO = "zero"
    """Zeroed or discarded since the last sealing."""
    HOLE = "hole"
    """Never written, or sealed zeros."""


@dataclass(frozen=True, slots=True)
class Extent:
    """`length` bytes from `offset` on, of one kind."""

    offset: int
    length: int
    kind: ExtentKind


def merge_extents(extents: Iterable[Extent]) -> Iterator[Extent]:
    """The same extents, given in order, with neighbours that meet and are of one kind made one."""
    last: Extent | None = None
    for extent in extents:
        if last and last.kind is extent.kind and last.offset + last.length == extent.offset:
            last = Extent(last.offset, last.length + extent.length, last.kind)
            continue
        if last is not None:
            yield last
        last = extent
    if last is not None:
        yield last
