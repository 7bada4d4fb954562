"""Memory for the data of requests: a small buffer for each worker, large ones from a shared pool.

The bound: a connection has `transmission.WORKERS_MAX` workers, each with one request and thus at
most one small and one large buffer, whatever lengths the client asks for; longer requests are
served in pieces.
"""

from __future__ import annotations

import threading

PIECE_SIZE = 2**20
"""Bytes moved in one step: a large buffer. Bigger requests are cut; more gains no speed."""

SMALL_SIZE = 64 * 2**10
"""Bytes of a worker's own buffer: most requests of guests are no longer."""

IDLE_MAX = 32
"""Large buffers kept for the next request; those beyond are freed."""


class BufferPool:
    """Large buffers, reused. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._idle: list[bytearray] = []

    def take(self) -> bytearray:
        """A buffer of PIECE_SIZE with any content."""
        with self._lock:
            if self._idle:
                return self._idle.pop()
        return bytearray(PIECE_SIZE)

    def give(self, buffer: bytearray) -> None:
        """Return what `take` gave."""
        with self._lock:
            if len(self._idle) < IDLE_MAX:
                self._idle.append(buffer)


class Workspace:
    """One worker's memory. Not thread-safe."""

    def __init__(self, pool: BufferPool) -> None:
        self._pool = pool
        self._small = memoryview(bytearray(SMALL_SIZE))
        self._large: bytearray | None = None

    def view(self, size: int) -> memoryview:
        """`size` bytes (at most PIECE_SIZE) to fill; valid until the next call or `release`."""
        if size <= SMALL_SIZE:
            return self._small[:size]
        if self._large is None:
            self._large = self._pool.take()
        return memoryview(self._large)[:size]

    def release(self) -> None:
        """Give the large buffer back; called after each request."""
        if self._large is not None:
            self._pool.give(self._large)
            self._large = None
