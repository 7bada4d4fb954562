"""Byte ranges (RFC 9110 section 14): the Range header, and multipart/byteranges answers."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from pithos_api.object_store.limits import RANGE_COUNT_MAX, RANGE_OVERLAP_MAX

_SPEC = re.compile(r"(\d*)\s*-\s*(\d*)", re.ASCII)
_DIGITS_MAX = 18  # keeps the numbers below 2**63


@dataclass(frozen=True, slots=True)
class ByteRange:
    """A satisfiable range: `offset` < size of the content, `length` > 0."""

    offset: int
    length: int

    def content_range(self, size: int) -> str:
        """Value of the Content-Range header."""
        return f"bytes {self.offset}-{self.offset + self.length - 1}/{size}"


class RangeNotSatisfiable(Exception):
    """No range of the request touches the content."""


def parse_range(header: str, size: int) -> list[ByteRange] | None:
    """The ranges in the order asked for, clamped to `size`.

    None where the whole content is the answer: the header is malformed or speaks of another unit
    (RFC 9110 14.2 has it ignored then), or a suffix of an empty content is asked for.
    RangeNotSatisfiable when it is well-formed, but nothing of it exists or it asks for too much.
    """
    specs = _split(header)
    if specs is None:
        return None
    if len(specs) > RANGE_COUNT_MAX:
        raise RangeNotSatisfiable(f"more than {RANGE_COUNT_MAX} ranges")
    if size == 0 and any(first is None and last for first, last in specs):
        return None
    ranges = [found for spec in specs if (found := _clamp(spec, size)) is not None]
    if not ranges:
        raise RangeNotSatisfiable("no range within the content")
    if _overlaps(ranges) > RANGE_OVERLAP_MAX:
        raise RangeNotSatisfiable(f"more than {RANGE_OVERLAP_MAX} overlapping ranges")
    return ranges


def _split(header: str) -> list[tuple[int | None, int | None]] | None:
    unit, equals, rest = header.partition("=")
    if not equals or unit.strip().lower() != "bytes":
        return None
    specs: list[tuple[int | None, int | None]] = []
    for text in rest.split(","):
        stripped = text.strip()
        if not stripped:
            continue
        match = _SPEC.fullmatch(stripped)
        if match is None or any(len(number) > _DIGITS_MAX for number in match.groups()):
            return None
        first, last = (int(number) if number else None for number in match.groups())
        if first is None and last is None:
            return None
        if first is not None and last is not None and last < first:
            return None
        specs.append((first, last))
    return specs or None


def _clamp(spec: tuple[int | None, int | None], size: int) -> ByteRange | None:
    first, last = spec
    if first is None:
        length = min(last or 0, size)
        return ByteRange(size - length, length) if length else None
    if first >= size:
        return None
    end = size if last is None else min(last + 1, size)
    return ByteRange(first, end - first)


def _overlaps(ranges: Sequence[ByteRange]) -> int:
    ordered = sorted(ranges, key=lambda item: item.offset)
    count = 0
    reached = 0
    for item in ordered:
        count += item.offset < reached
        reached = max(reached, item.offset + item.length)
    return count


@dataclass(frozen=True, slots=True)
class MultipartRanges:
    """A multipart/byteranges body whose length is known before it is sent."""

    ranges: Sequence[ByteRange]
    size: int
    """Bytes of the whole content."""
    content_type: str
    """Of the content; header text (bytes as latin-1)."""
    boundary: str

    @property
    def media_type(self) -> str:
        """Value of the answer's Content-Type."""
        return f"multipart/byteranges;boundary={self.boundary}"

    @property
    def content_length(self) -> int:
        """Bytes of the whole body."""
        parts = sum(len(self._head(item)) + item.length + len(b"\r\n") for item in self.ranges)
        return parts + len(self._tail())

    def stream(self, read: Callable[[ByteRange], Iterator[bytes]]) -> Iterator[bytes]:
        """The body; `read` yields the bytes of one range."""
        for item in self.ranges:
            yield self._head(item)
            yield from read(item)
            yield b"\r\n"
        yield self._tail()

    def _head(self, item: ByteRange) -> bytes:
        lines = (
            f"--{self.boundary}",
            f"Content-Type: {self.content_type}",
            f"Content-Range: {item.content_range(self.size)}",
            "",
            "",
        )
        return "\r\n".join(lines).encode("latin-1")

    def _tail(self) -> bytes:
        return f"--{self.boundary}--".encode("latin-1")
