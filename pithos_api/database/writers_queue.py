"""The queue of a SQLite database's writers, in all processes: `flock` on a file beside it.

SQLite's own way to wait for a lock is to sleep and try again, which starves some writers for half
a second; the kernel wakes the next one of a `flock` at once. But it lets nobody wait for a limited
time, and a process that is stopped in its turn would stop all others. So a thread of this module's
waits, one for a process, and the writers wait for that thread.

The queue decides who is next, not who may write: that is SQLite's lock. A writer whose turn does
not come goes on without one.
"""

from __future__ import annotations

import fcntl
import os
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

TURN_TIMEOUT_S = 30
"""How long a writer waits for its turn."""


@dataclass(slots=True, eq=False)
class _Place:
    """One writer's, from the moment it has to wait."""

    come: threading.Event = field(default_factory=threading.Event)
    done: threading.Event = field(default_factory=threading.Event)


class WritersQueue:
    """The queue as one process sees it. The file at `path` is made where it is absent."""

    def __init__(self, path: str, timeout_s: float = TURN_TIMEOUT_S) -> None:
        self._path = path
        self._timeout_s = timeout_s
        self._guard = threading.Lock()
        self._waiting: deque[_Place] = deque()
        self._served = False

    def open(self) -> int:
        """The file for one connection. OSError."""
        return os.open(self._path, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)

    @contextmanager
    def turn(self, file: int) -> Iterator[None]:
        """Wait for the turn, but not for ever. `file` is the caller's own, from `open`."""
        if _take(file):
            try:
                yield
            finally:
                fcntl.flock(file, fcntl.LOCK_UN)
            return
        place = self._join()
        try:
            place.come.wait(self._timeout_s)
            yield
        finally:
            self._leave(place)

    def _join(self) -> _Place:
        place = _Place()
        with self._guard:
            if not self._served:
                threading.Thread(target=self._serve, name="writers-queue", daemon=True).start()
                self._served = True
            self._waiting.append(place)
        return place

    def _leave(self, place: _Place) -> None:
        with self._guard:
            if place in self._waiting:
                self._waiting.remove(place)
        place.done.set()

    def _serve(self) -> None:
        """Take turns for those who wait, until there is nobody."""
        with suppress(OSError):  # no file, no turns: the writers go on without
            file = self.open()
            try:
                while self._serve_next(file):
                    pass
            finally:
                os.close(file)
            return
        with self._guard:
            self._served = False

    def _serve_next(self, file: int) -> bool:
        fcntl.flock(file, fcntl.LOCK_EX)
        with self._guard:
            if not self._waiting:
                self._served = False
                return False
            place = self._waiting.popleft()
            place.come.set()
        place.done.wait()
        fcntl.flock(file, fcntl.LOCK_UN)
        return True


def _take(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
