"""The server's side of the control socket: one thread for each client, one request at a time."""

from __future__ import annotations

import logging
import os
import socket
import threading
from collections.abc import Callable

from archipelago import ArchipelagoError
from blockstore import StoreError
from volumes import control_messages as messages
from volumes.manager import Manager
from volumes.unix_socket import UnixListener

log = logging.getLogger(__name__)

CLIENTS_MAX = 32
"""Connections at once; operators and API workers come and go."""

IDLE_SECONDS_MAX = 60.0
"""A client that sends no request for so long is hung up on."""

TAKE_SECONDS_MAX = 10.0
"""A client that does not take its reply for so long is hung up on; `close` waits for no more."""


class ControlServer:
    """Serves a manager's operations on a Unix socket until `close`."""

    def __init__(
        self, manager: Manager, path: str, *, store_url: str, shutdown: Callable[[], None]
    ) -> None:
        """Listens at once, so that a second server on `path` fails early (SocketUnavailable).

        `shutdown` is called when a client asks for the end of the server; it must not wait.
        """
        self._manager = manager
        self._store_url = store_url
        self._shutdown = shutdown
        self._listener = UnixListener(path)
        self._lock = threading.Lock()
        self._clients: dict[socket.socket, threading.Thread] = {}
        self._closing = False
        self._acceptor = threading.Thread(target=self._accept_all, name="control", daemon=True)

    def start(self) -> None:
        """Accept clients in the background."""
        self._acceptor.start()

    def close(self) -> None:
        """Let operations under way finish, and stop."""
        self._closing = True
        if self._acceptor.is_alive():
            # A shut down listener wakes its accept.
            self._listener.socket.shutdown(socket.SHUT_RDWR)
            self._acceptor.join()
        with self._lock:
            clients = dict(self._clients)
        for client, thread in clients.items():
            _end_reading(client)
            thread.join()
        self._listener.close()

    def _accept_all(self) -> None:
        while not self._closing:
            try:
                client, _ = self._listener.socket.accept()
            except OSError as error:
                if not self._closing:
                    log.warning("control: accepting failed: %s", error)
                    threading.Event().wait(0.05)
                continue
            try:
                self._admit(client)
            except (RuntimeError, MemoryError) as error:
                log.warning("control: a client could not be admitted: %s", error)
                client.close()

    def _admit(self, client: socket.socket) -> None:
        with self._lock:
            if len(self._clients) >= CLIENTS_MAX:
                log.warning("control: a client was turned away: %d clients", CLIENTS_MAX)
                client.close()
                return
            thread = threading.Thread(
                target=self._serve, args=(client,), name="control client", daemon=True
            )
            # Under the lock, so that `close` finds only threads that have begun.
            thread.start()
            self._clients[client] = thread

    def _serve(self, client: socket.socket) -> None:
        client.settimeout(IDLE_SECONDS_MAX)
        try:
            with client, client.makefile("rb") as reader:
                while not self._closing:
                    line = reader.readline(messages.LINE_SIZE_MAX + 1)
                    if not line:
                        return
                    if not line.endswith(b"\n"):
                        log.warning("control: a request was cut off or too long")
                        return
                    answer = self._answer(line)
                    client.settimeout(TAKE_SECONDS_MAX)
                    client.sendall(answer)
                    client.settimeout(IDLE_SECONDS_MAX)
        except OSError as error:
            log.info("control: a client went: %s", error)
        finally:
            with self._lock:
                self._clients.pop(client, None)

    def _answer(self, line: bytes) -> bytes:
        try:
            return messages.encode_result(self._carry_out(messages.decode_request(line)))
        except (messages.ControlError, ArchipelagoError, StoreError, OSError) as error:
            log.info("control: refused: %s", error)
            return messages.encode_error(error)
        except Exception as error:
            log.exception("control: defect in serving a request")
            return messages.encode_error(error)

    def _carry_out(self, request: messages.Request) -> messages.Result:
        manager = self._manager
        count = 0
        match request:
            case messages.Ping():
                return messages.Pong(os.getpid(), self._store_url)
            case messages.ListExports():
                return self._exports()
            case messages.TakeSnapshot(name):
                manager.snapshot(name)
            case messages.MakeClone(source, name, size):
                manager.clone(source, name, size)
            case messages.Resize(name, size, shrink):
                manager.resize(name, size, shrink=shrink)
            case messages.Seal(name):
                manager.seal(name)
            case messages.Detach(name):
                count = manager.detach(name)
            case messages.Shutdown():
                self._shutdown()
        return messages.Done(count)

    def _exports(self) -> messages.ExportList:
        return messages.ExportList(
            [
                messages.ExportEntry(entry.name, entry.size, entry.read_only, list(entry.peers))
                for entry in self._manager.attached()
            ]
        )


def _end_reading(client: socket.socket) -> None:
    try:
        client.shutdown(socket.SHUT_RD)
    except OSError:
        # Gone already.
        return
