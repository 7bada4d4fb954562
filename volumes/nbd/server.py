"""The NBD server: listening sockets, one thread for each connection, an orderly end."""

from __future__ import annotations

import ipaddress
import logging
import selectors
import socket
import threading
import time
from dataclasses import dataclass

from volumes.exports import Exports
from volumes.nbd.connection import Connection
from volumes.nbd.wire import DEFAULT_PORT
from volumes.nbd.workspace import BufferPool
from volumes.unix_socket import BACKLOG, SocketUnavailable, UnixListener

log = logging.getLogger(__name__)

CONNECTIONS_MAX = 256
"""Clients at once; each may hold `transmission.WORKERS_MAX` requests and their buffers, so this
also bounds threads (2048) and memory (about 2.3 GiB if all read large pieces at one moment)."""

ACCEPT_PAUSE_SECONDS = 0.05
"""After a failed accept: whatever is short may be free again, and we do not spin."""

STOP_SECONDS_MAX = 10.0
"""How long an orderly end waits for clients to take their last replies."""


@dataclass(frozen=True, slots=True)
class TcpAddress:
    """Where to listen on TCP; port 0 lets the system choose. There is no TLS: keep to loopback."""

    host: str = "127.0.0.1"
    port: int = DEFAULT_PORT


class NbdServer:
    """Serves `exports` on any number of sockets until `close`."""

    def __init__(self, exports: Exports) -> None:
        self._exports = exports
        self._pool = BufferPool()
        self._selector = selectors.DefaultSelector()
        self._wake_reader, self._wake_writer = socket.socketpair()
        self._selector.register(self._wake_reader, selectors.EVENT_READ)
        self._unix: list[UnixListener] = []
        self._tcp: list[socket.socket] = []
        self._lock = threading.Lock()
        self._connections: dict[Connection, threading.Thread] = {}
        self._acceptor = threading.Thread(target=self._accept_all, name="nbd accept", daemon=True)
        self._closing = False

    def listen_unix(self, path: str) -> None:
        """Add a Unix socket. Before `start`. SocketUnavailable."""
        listener = UnixListener(path)
        self._unix.append(listener)
        self._selector.register(listener.socket, selectors.EVENT_READ)

    def listen_tcp(self, address: TcpAddress) -> int:
        """Add a TCP socket; return its port. Before `start`. SocketUnavailable."""
        family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
        place = (address.host, address.port)
        try:
            listener = socket.create_server(place, family=family, backlog=BACKLOG)
        except OSError as error:
            raise SocketUnavailable(f"{address.host}:{address.port}: {error.strerror}") from error
        self._tcp.append(listener)
        self._selector.register(listener, selectors.EVENT_READ)
        bound, port = listener.getsockname()[:2]
        if not ipaddress.ip_address(bound).is_loopback:
            log.warning(
                "%s:%d: whoever reaches it can use every volume: no TLS, no users", bound, port
            )
        return int(port)

    def start(self) -> None:
        """Accept connections in the background."""
        self._acceptor.start()

    def close(self) -> None:
        """Stop accepting, let requests in flight finish, end all connections, free the sockets."""
        self._closing = True
        self._wake_writer.send(b"x")
        if self._acceptor.is_alive():
            self._acceptor.join()
        with self._lock:
            remaining = dict(self._connections)
        for connection in remaining:
            connection.stop()
        deadline = time.monotonic() + STOP_SECONDS_MAX
        for connection, thread in remaining.items():
            thread.join(max(deadline - time.monotonic(), 0))
            if thread.is_alive():
                log.warning("NBD client %s does not take its replies; dropped", connection.peer)
                connection.kill()
                thread.join()
        self._selector.close()
        for sock in (*self._tcp, self._wake_reader, self._wake_writer):
            sock.close()
        for listener in self._unix:
            listener.close()

    def _accept_all(self) -> None:
        while not self._closing:
            for key, _ in self._selector.select():
                listener = key.fileobj
                if isinstance(listener, socket.socket) and listener is not self._wake_reader:
                    self._accept(listener)

    def _accept(self, listener: socket.socket) -> None:
        """One client more. What fails here is logged, and the others are served on."""
        try:
            sock, address = listener.accept()
        except OSError as error:
            # Out of descriptors, or gone before we came.
            log.warning("NBD: accepting failed: %s", error)
            threading.Event().wait(ACCEPT_PAUSE_SECONDS)
            return
        try:
            self._admit(sock, _peer_name(sock, address))
        except (OSError, RuntimeError, MemoryError) as error:
            log.warning("NBD: a client could not be admitted: %s", error)
            sock.close()

    def _admit(self, sock: socket.socket, peer: str) -> None:
        with self._lock:
            if len(self._connections) >= CONNECTIONS_MAX:
                log.warning("NBD client %s turned away: %d connections", peer, CONNECTIONS_MAX)
                sock.close()
                return
            connection = Connection(sock, self._exports, peer, self._pool)
            thread = threading.Thread(
                target=self._serve, args=(connection,), name=f"nbd {peer}", daemon=True
            )
            # Under the lock, so that `close` finds only threads that have begun.
            thread.start()
            self._connections[connection] = thread

    def _serve(self, connection: Connection) -> None:
        try:
            connection.run()
        finally:
            with self._lock:
                self._connections.pop(connection, None)


def _peer_name(sock: socket.socket, address: object) -> str:
    """Who is at the other end, for the log; sets what TCP needs."""
    if sock.family == socket.AF_UNIX:
        credentials = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 4)
        return f"process {int.from_bytes(credentials, 'little')}"
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if isinstance(address, tuple):
        return f"{address[0]}:{address[1]}"
    return str(address)
