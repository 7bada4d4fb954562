"""QEMU's monitor (QMP): JSON lines over a socket; answers carry our id, events come between."""

from __future__ import annotations

import itertools
import json
import socket
from collections import deque
from typing import Any

from compute_glue.errors import GuestGone, GuestTimeout, MonitorError

LINE_BYTES_MAX = 1 << 20
"""A message of QEMU longer than this is not believed."""

EVENTS_MAX = 256
"""Events kept for `wait_event`; older ones are forgotten."""


class Monitor:
    """A session on a connected socket, of which it becomes the owner. For one thread."""

    def __init__(self, connection: socket.socket, timeout: float = 10.0) -> None:
        """Negotiate. MonitorError when the peer is no QMP server; `timeout` holds for each wait."""
        self._socket = connection
        self._timeout = timeout
        self._buffer = bytearray()
        self._events: deque[dict[str, Any]] = deque(maxlen=EVENTS_MAX)
        self._ids = itertools.count(1)
        connection.settimeout(timeout)
        if "QMP" not in self._read_message():
            raise MonitorError("the monitor did not greet as QMP")
        self.execute("qmp_capabilities")

    def execute(self, command: str, **arguments: object) -> object:
        """Run a command and return its result. MonitorError when QEMU refuses it."""
        ident = next(self._ids)
        message: dict[str, object] = {"execute": command, "id": ident}
        if arguments:
            message["arguments"] = arguments
        try:
            self._socket.sendall(json.dumps(message).encode() + b"\n")
        except OSError as error:
            raise GuestGone(f"QEMU's monitor is gone: {error}") from error
        while True:
            answer = self._read_message()
            if "event" in answer:
                self._events.append(answer)
            elif answer.get("id") == ident:
                return _result(command, answer)

    def wait_event(self, name: str, timeout: float | None = None) -> dict[str, Any]:
        """The next event of that name, also one that has come already."""
        for event in self._events:
            if event["event"] == name:
                self._events.remove(event)
                return event
        self._socket.settimeout(self._timeout if timeout is None else timeout)
        try:
            while True:
                message = self._read_message()
                if message.get("event") == name:
                    return message
                if "event" in message:
                    self._events.append(message)
        finally:
            self._socket.settimeout(self._timeout)

    def power_down(self) -> None:
        """Press the guest's power button."""
        self.execute("system_powerdown")

    def quit(self) -> None:
        """End QEMU now; what the guest has not flushed is lost to it."""
        self.execute("quit")

    def close(self) -> None:
        """Release the socket. QEMU goes on."""
        self._socket.close()

    def _read_message(self) -> dict[str, Any]:
        while b"\n" not in self._buffer:
            if len(self._buffer) > LINE_BYTES_MAX:
                raise MonitorError("the monitor sent an endless line")
            try:
                data = self._socket.recv(1 << 16)
            except TimeoutError as error:
                raise GuestTimeout("QEMU's monitor did not answer in time") from error
            except OSError as error:
                raise GuestGone(f"QEMU's monitor is gone: {error}") from error
            if not data:
                raise GuestGone("QEMU closed its monitor")
            self._buffer += data
        line, _, rest = bytes(self._buffer).partition(b"\n")
        self._buffer = bytearray(rest)
        try:
            message = json.loads(line)
        except ValueError as error:
            raise MonitorError(f"the monitor sent no JSON: {line[:80]!r}") from error
        if not isinstance(message, dict):
            raise MonitorError(f"the monitor sent no object: {line[:80]!r}")
        return message


def _result(command: str, answer: dict[str, Any]) -> object:
    if "error" in answer:
        error = answer["error"]
        text = error.get("desc", error) if isinstance(error, dict) else error
        raise MonitorError(f"QEMU refused {command}: {text}")
    if "return" not in answer:
        raise MonitorError(f"QEMU answered {command} with neither a result nor an error")
    result: object = answer["return"]
    return result
