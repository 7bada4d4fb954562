"""A serial console as a conversation: send a line, wait for a pattern, always with a deadline."""

from __future__ import annotations

import os
import re
import select
import time
from collections.abc import Callable

from compute_glue.errors import GuestGone, GuestTimeout

UNMATCHED_BYTES_MAX = 1 << 20
"""Output kept while a pattern is waited for; older output is forgotten."""

READ_BYTES = 1 << 16
TAIL_BYTES = 300
"""Output quoted in an error."""

DONE_MARK = "archipelago-exit"


class Console:
    """Reads the guest's output from one descriptor and types into another.

    The descriptors stay the caller's. `tee` gets all output as it comes.
    """

    def __init__(
        self, output_fd: int, input_fd: int, tee: Callable[[bytes], None] | None = None
    ) -> None:
        self._output_fd = output_fd
        self._input_fd = input_fd
        self._tee = tee
        self._seen = bytearray()

    def expect(self, pattern: bytes, timeout: float) -> re.Match[bytes]:
        """Wait for `pattern` in output not yet consumed, and consume up to its end.

        GuestTimeout after `timeout` seconds, GuestGone when the output ends first.
        """
        compiled = re.compile(pattern)
        deadline = time.monotonic() + timeout
        while True:
            match = compiled.search(bytes(self._seen))
            if match is not None:
                del self._seen[: match.end()]
                return match
            left = deadline - time.monotonic()
            if left <= 0 or not self._wait(left):
                raise GuestTimeout(
                    f"the console did not show {pattern!r} in {timeout:g} s; "
                    f"it ends with {self._tail()}"
                )
            if not self.pump():
                raise GuestGone(
                    f"the console closed before it showed {pattern!r}; it ends with {self._tail()}"
                )

    def send_line(self, text: str) -> None:
        """Type `text` and Enter."""
        self.type(f"{text}\n".encode())

    def type(self, keys: bytes) -> None:
        """Type what is given. GuestGone when nobody takes it."""
        data = memoryview(keys)
        while data:
            try:
                data = data[os.write(self._input_fd, data) :]
            except BrokenPipeError as error:
                raise GuestGone("the console closed while something was typed") from error

    def run(self, command: str, timeout: float) -> int:
        """Type a shell command at a prompt and wait for its end; return its exit code."""
        # The terminal echoes the line with "$?" in it, so only the shell's own output matches.
        self.send_line(f"{command}; echo {DONE_MARK}-$?")
        return int(self.expect(rf"{DONE_MARK}-(\d+)\r?\n".encode(), timeout)[1])

    def drain(self, timeout: float) -> bool:
        """Read until the output ends; False when it has not in `timeout` seconds."""
        deadline = time.monotonic() + timeout
        while self._wait(max(0.0, deadline - time.monotonic())):
            if not self.pump():
                return True
        return False

    def pump(self) -> bool:
        """Take what output there is (waits for some); False when it has ended."""
        data = os.read(self._output_fd, READ_BYTES)
        if self._tee is not None and data:
            self._tee(data)
        self._seen += data
        del self._seen[:-UNMATCHED_BYTES_MAX]
        return bool(data)

    def _wait(self, seconds: float) -> bool:
        poll = select.poll()
        poll.register(self._output_fd, select.POLLIN)
        return bool(poll.poll(seconds * 1000))

    def _tail(self) -> str:
        return repr(bytes(self._seen[-TAIL_BYTES:]).decode("utf-8", "replace"))
