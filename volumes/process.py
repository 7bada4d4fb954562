"""A volume server as a process: one store, its NBD sockets and its control socket."""

from __future__ import annotations

import logging
import os
import resource
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from types import FrameType

from archipelago import Catalog
from blockstore import open_store
from volumes.control_server import ControlServer
from volumes.manager import Manager
from volumes.nbd.server import NbdServer, TcpAddress

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class VolumeServerSettings:
    """What a volume server serves, and where."""

    store_url: str
    control_socket: str
    """Path of the Unix socket for `volumes.control`."""
    unix_socket: str | None = None
    """Path of the Unix socket for NBD."""
    tcp: TcpAddress | None = None
    """TCP for NBD, without TLS and without authentication."""
    ready_fd: int | None = None
    """Gets one line, `ready ...`, when connections are taken. It is not closed."""
    holder: str = ""
    """What others are told when they find a volume in use; empty: the library's own words."""


def run_volume_server(settings: VolumeServerSettings) -> None:
    """Serve until SIGTERM, SIGINT or a request to shut down; call it in the main thread.

    In an orderly end requests in flight are finished, volumes flushed and leases released. Errors
    of starting pass through: SocketUnavailable, `blockstore` errors.
    """
    with ExitStack() as stack:
        stopping = stack.enter_context(_Stopping())
        stack.enter_context(_signals(stopping))
        _raise_descriptor_limit()
        store = open_store(settings.store_url)
        stack.callback(store.close)
        manager = Manager(Catalog(store), settings.holder)
        stack.callback(manager.close)
        control = ControlServer(
            manager,
            settings.control_socket,
            store_url=settings.store_url,
            shutdown=stopping.request,
        )
        stack.callback(control.close)
        server = NbdServer(manager)
        stack.callback(server.close)
        # First of all: an operation of the control socket may be waiting for it.
        stack.callback(manager.stop_sealing)
        places = _listen(server, settings)
        manager.start()
        control.start()
        server.start()
        _announce(settings, places)
        stopping.wait()
        log.info("stopping")
    log.info("stopped")


class _Stopping:
    """The wish to end. A counter of the kernel, since it is set in signal handlers: those run in
    the main thread at any moment, and would wait for ever for the lock of an Event it holds."""

    def __init__(self) -> None:
        self._counter = os.eventfd(0, os.EFD_CLOEXEC)

    def __enter__(self) -> _Stopping:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._counter)

    def request(self) -> None:
        """Also from a signal handler, and more than once."""
        os.eventfd_write(self._counter, 1)

    def wait(self) -> None:
        """Until the first request."""
        # Not eventfd_read, which does not go on after a signal.
        os.read(self._counter, 8)


def _raise_descriptor_limit() -> None:
    """As many open files as we may: the usual soft limit is for programs that use select."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    except (OSError, ValueError) as error:
        log.warning("the limit of open files stays as it is: %s", error)


def _listen(server: NbdServer, settings: VolumeServerSettings) -> list[str]:
    places = []
    if settings.unix_socket is not None:
        server.listen_unix(settings.unix_socket)
        places.append(f"unix:{settings.unix_socket}")
    if settings.tcp is not None:
        port = server.listen_tcp(settings.tcp)
        places.append(f"tcp:{settings.tcp.host}:{port}")
    return places


def _announce(settings: VolumeServerSettings, places: list[str]) -> None:
    line = f"ready {' '.join(places)} control:{settings.control_socket}"
    log.info("%s store %s", line, settings.store_url)
    if settings.ready_fd is not None:
        try:
            os.write(settings.ready_fd, line.encode() + b"\n")
        except OSError as error:
            log.warning("nobody to tell that the server is ready: %s", error)


@contextmanager
def _signals(stopping: _Stopping) -> Iterator[None]:
    """SIGTERM and SIGINT ask for the end meanwhile."""

    def stop(number: int, frame: FrameType | None) -> None:
        stopping.request()

    numbers = (signal.SIGTERM, signal.SIGINT)
    before = [signal.signal(number, stop) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
