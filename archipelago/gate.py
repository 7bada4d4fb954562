"""The two locks of an open volume."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Gate:
    """Requests pass it together; now and then somebody needs the volume at rest.

    Who waits for `exclusive` goes before requests that come later, so a busy volume can't keep it
    waiting for longer than the requests under way take. Not re-entrant.
    """

    def __init__(self) -> None:
        self._condition = threading.Condition(threading.Lock())
        self._inside = 0
        self._exclusive = 0

    @contextmanager
    def shared(self) -> Iterator[None]:
        with self._condition:
            while self._exclusive:
                self._condition.wait()
            self._inside += 1
        try:
            yield
        finally:
            with self._condition:
                self._inside -= 1
                if not self._inside:
                    self._condition.notify_all()

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Only one thread at a time may ask for it: callers hold a lock of their own."""
        with self._condition:
            self._exclusive += 1
            while self._inside:
                self._condition.wait()
        try:
            yield
        finally:
            with self._condition:
                self._exclusive -= 1
                self._condition.notify_all()


class PageLocks:
    """Keeps a read-modify-write of a page apart from every other change of that page.

    Changes of whole pages need no order among themselves: clients that write the same bytes at
    the same time get either. But a read-modify-write also puts back bytes that it was not asked
    to change, and must not put them over what another request wrote meanwhile.
    """

    def __init__(self) -> None:
        self._condition = threading.Condition(threading.Lock())
        self._held: list[tuple[int, int, bool]] = []

    @contextmanager
    def hold(self, start: int, end: int, *, exclusive: bool) -> Iterator[None]:
        """Hold the bytes from `start` to `end`; wait while a holder in the way is exclusive, or
        this one is."""
        holding = (start, end, exclusive)
        with self._condition:
            while any(_collide(holding, other) for other in self._held):
                self._condition.wait()
            self._held.append(holding)
        try:
            yield
        finally:
            with self._condition:
                self._held.remove(holding)
                self._condition.notify_all()


def _collide(one: tuple[int, int, bool], other: tuple[int, int, bool]) -> bool:
    return (one[2] or other[2]) and one[0] < other[1] and other[0] < one[1]
