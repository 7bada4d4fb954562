"""A socket as a stream of exact reads and whole sends: one reader at a time, many senders."""

from __future__ import annotations

import socket
import threading
import time

READ_BUFFER_SIZE = 64 * 2**10
"""Bytes taken from the socket at once, so that several small requests cost one system call."""


class StreamEnded(Exception):
    """The connection is over: closed, broken or timed out. `clean` = closed between two reads."""

    def __init__(self, reason: str, *, clean: bool = False) -> None:
        super().__init__(reason)
        self.clean = clean


class SocketStream:
    """Buffered exact reads and serialised sends over one connected socket.

    `send_lock` is re-entrant: whoever has to send one message in several calls holds it meanwhile.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._buffer = bytearray(READ_BUFFER_SIZE)
        self._view = memoryview(self._buffer)
        self._start = 0
        self._end = 0
        self._deadline: float | None = None
        self.send_lock = threading.RLock()

    def set_deadline(self, seconds: float | None) -> None:
        """All reads and sends from now on have to be over in this time; None: any time."""
        self._deadline = None if seconds is None else time.monotonic() + seconds
        self._socket.settimeout(seconds)

    def read_into(self, out: memoryview) -> None:
        """Fill `out` with the rest of a message. StreamEnded, never clean."""
        self._fill(out, clean=False)

    def read(self, size: int) -> bytes:
        """Exactly `size` bytes: the head of a message. StreamEnded, clean if there was none."""
        if self._end - self._start >= size:
            data = bytes(self._view[self._start : self._start + size])
            self._start += size
            return data
        out = bytearray(size)
        self._fill(memoryview(out), clean=True)
        return bytes(out)

    def skip(self, size: int) -> None:
        """Read and forget."""
        scratch = memoryview(bytearray(min(size, READ_BUFFER_SIZE)))
        while size:
            count = min(size, len(scratch))
            self.read_into(scratch[:count])
            size -= count

    def send(self, *parts: bytes | memoryview) -> None:
        """Send all parts as one piece. StreamEnded when the peer has gone."""
        with self.send_lock:
            total = sum(len(part) for part in parts)
            sent = self._send_some(parts)
            while sent < total:
                parts = _after(parts, sent)
                total -= sent
                sent = self._send_some(parts)

    def end_reading(self) -> None:
        """Wake a blocked reader; replies can still be sent."""
        self._shutdown(socket.SHUT_RD)

    def hang_up(self) -> None:
        """Wake a blocked reader and blocked senders; nothing more can be sent."""
        self._shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Give the socket back. Idempotent."""
        self._socket.close()

    def _fill(self, out: memoryview, *, clean: bool) -> None:
        filled = 0
        size = len(out)
        while filled < size:
            buffered = self._end - self._start
            if buffered:
                count = min(buffered, size - filled)
                out[filled : filled + count] = self._view[self._start : self._start + count]
                self._start += count
            elif size - filled >= READ_BUFFER_SIZE:
                count = self._receive(out[filled:], clean=clean and filled == 0)
            else:
                self._start = self._end = 0
                self._end = self._receive(self._view, clean=clean and filled == 0)
                count = 0
            filled += count

    def _meet_deadline(self) -> None:
        if self._deadline is None:
            return
        seconds = self._deadline - time.monotonic()
        # A peer that always sends or takes a little would never be waited for.
        if seconds <= 0:
            raise StreamEnded("the peer was not done in time")
        self._socket.settimeout(seconds)

    def _receive(self, out: memoryview, *, clean: bool) -> int:
        self._meet_deadline()
        try:
            count = self._socket.recv_into(out)
        except TimeoutError as error:
            raise StreamEnded("the peer sent nothing in time") from error
        except OSError as error:
            raise StreamEnded(f"receiving failed: {error}") from error
        if count == 0:
            where = "between" if clean else "in the middle of"
            raise StreamEnded(f"disconnected {where} requests", clean=clean)
        return count

    def _send_some(self, parts: tuple[bytes | memoryview, ...]) -> int:
        self._meet_deadline()
        try:
            return self._socket.sendmsg(parts)
        except OSError as error:
            raise StreamEnded(f"sending failed: {error}") from error

    def _shutdown(self, how: int) -> None:
        try:
            self._socket.shutdown(how)
        except OSError:
            # Not connected any more: what it was to bring about has happened.
            return


def _after(parts: tuple[bytes | memoryview, ...], count: int) -> tuple[bytes | memoryview, ...]:
    """What is left of `parts` when the first `count` bytes are gone."""
    rest: list[bytes | memoryview] = []
    for part in parts:
        if count >= len(part):
            count -= len(part)
        else:
            rest.append(memoryview(part)[count:])
            count = 0
    return tuple(rest)
