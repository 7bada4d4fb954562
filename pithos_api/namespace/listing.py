"""Walking names in order with prefix, delimiter and markers, by seeks into an index.

A roll-up costs one seek past everything below it, however much that is; nothing is ever loaded
but the entries of the answer and a bounded page of rows beyond the last.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Generic, Protocol, TypeVar

from pithos_api.namespace.records import ListQuery, Subdir

PAGE_ROWS_MIN = 32
"""Rows of the first fetch where names may roll up; doubled while they don't."""

PAGE_ROWS_MAX = 2000

_CODE_POINT_MAX = 0x10FFFF
_SURROGATES = (0xD800, 0xDFFF)


class Named(Protocol):
    """Anything with a name to be listed by."""

    @property
    def name(self) -> str: ...


Entry = TypeVar("Entry", bound=Named)


@dataclass(frozen=True, slots=True)
class Span:
    """An interval of names. `upper` None = to the end."""

    lower: str
    lower_inclusive: bool
    upper: str | None
    upper_inclusive: bool = False


Fetch = Callable[[Span, int], Sequence[Entry]]
"""Return the first so many rows of a span, in the direction of the listing."""


def scan(query: ListQuery, fetch: Fetch[Entry]) -> list[Entry | Subdir]:
    """The entries that `query` asks for, in order."""
    return _Walk[Entry](query).run(fetch)


def successor(prefix: str) -> str | None:
    """The least name greater than all that begin with `prefix`; None when there is none."""
    for index in reversed(range(len(prefix))):
        code = ord(prefix[index]) + 1
        if _SURROGATES[0] <= code <= _SURROGATES[1]:
            code = _SURROGATES[1] + 1  # not characters: no name has them
        if code <= _CODE_POINT_MAX:
            return prefix[:index] + chr(code)
    return None


def first_span(query: ListQuery) -> Span | None:
    """Where a listing starts and must end; None = it is empty."""
    start, stop = query.marker, query.end_marker
    low, high = (stop, start) if query.reverse else (start, stop)
    span = Span(query.prefix, True, successor(query.prefix))
    if low and low >= query.prefix:
        span = replace(span, lower=low, lower_inclusive=False)
    if high and (span.upper is None or high < span.upper):
        span = replace(span, upper=high)
    if span.upper is not None and span.upper <= span.lower:
        return None
    return span


class _Walk(Generic[Entry]):
    """One listing in progress."""

    def __init__(self, query: ListQuery) -> None:
        if query.path is not None:
            prefix = query.path.rstrip("/") + "/" if query.path else ""
            query = replace(query, prefix=prefix, delimiter="/")
        self._query = query
        self._exact_names = query.path is not None or query.directory_objects
        # Whether a name that ends with its first delimiter is an entry of its own.
        self._entries: list[Entry | Subdir] = []
        self._inside = ""
        # The roll-up that the rows now fetched belong to.

    def run(self, fetch: Fetch[Entry]) -> list[Entry | Subdir]:
        span = first_span(self._query)
        rolls_up = bool(self._query.delimiter)
        page = PAGE_ROWS_MIN if rolls_up else PAGE_ROWS_MAX
        while span is not None and self._room() > 0:
            count = page if rolls_up else min(page, self._room())
            rows = fetch(span, count)
            for row in rows:
                if not self._take(row):
                    return self._entries
            if len(rows) < count:
                break
            if self._inside and rows[-1].name.startswith(self._inside):
                span = self._span_past_roll_up(span)
                page = PAGE_ROWS_MIN
            else:
                span = self._span_after(span, rows[-1].name)
                page = min(2 * page, PAGE_ROWS_MAX)
        return self._entries

    def _room(self) -> int:
        return self._query.limit - len(self._entries)

    def _take(self, row: Entry) -> bool:
        """Add what the row stands for; False = the listing is complete."""
        roll_up = self._roll_up_of(row.name)
        if roll_up is not None and roll_up == self._inside:
            return True
        if self._room() <= 0 or self._must_stay_together(row.name):
            return False
        if roll_up is None:
            if row.name != self._query.prefix or self._query.path is None:
                self._entries.append(row)
            return True
        self._inside = roll_up
        if self._query.path is None and roll_up != self._query.marker:
            self._entries.append(Subdir(roll_up))
        return True

    def _roll_up_of(self, name: str) -> str | None:
        """The roll-up that a name disappears in, or None where it is listed itself."""
        delimiter = self._query.delimiter
        if not delimiter:
            return None
        found = name.find(delimiter, len(self._query.prefix))
        if found < 0:
            return None
        end = found + len(delimiter)
        if end == len(name) and self._exact_names:
            return None
        return name[:end]

    def _must_stay_together(self, name: str) -> bool:
        """Pithos lists `f1/` and the roll-up `f1/`: a marker between them could not tell which was
        last, so both go to the next page, unless a page has room for one entry only."""
        query = self._query
        return (
            query.directory_objects
            and self._room() == 1
            and query.limit > 1
            and bool(query.delimiter)
            and name.endswith(query.delimiter)
        )

    def _span_past_roll_up(self, span: Span) -> Span | None:
        if self._query.reverse:
            return replace(span, upper=self._inside, upper_inclusive=self._exact_names)
        after = successor(self._inside)
        if after is None or (span.upper is not None and span.upper <= after):
            return None
        return replace(span, lower=after, lower_inclusive=True)

    def _span_after(self, span: Span, name: str) -> Span:
        if self._query.reverse:
            return replace(span, upper=name, upper_inclusive=False)
        return replace(span, lower=name, lower_inclusive=False)
