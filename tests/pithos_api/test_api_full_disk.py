"""The real server on a disk that fills up: clear answers, nothing half made, and on it goes."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
from api_server import (
    PASSWORDS,
    ApiServer,
    database_url,
    make_installation,
    start_server,
    stop_server,
    store_url,
)
from small_disks import MIB, SmallDisk, mounted_small_disk

from blockstore import open_store
from pithos_api.database.engine import DatabaseFull
from pithos_api.database.migrations import upgrade

if TYPE_CHECKING:
    from swift_session import SwiftConnection

    LogIn = Callable[[tuple[str, int], str, str], SwiftConnection]

pytest_plugins = ("swift_session",)

DISK_SIZE = 48 * MIB
LEFT = 6 * MIB
KEPT = random.Random(1).randbytes(MIB + 1)
LARGE = random.Random(2).randbytes(2 * LEFT)
NO_SPACE = 507
SMALL_OBJECTS_MAX = 2000
"""More rows than fit into what a database has set aside."""


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[SmallDisk]:
    with mounted_small_disk(tmp_path / "disk", DISK_SIZE) as disk:
        yield disk


@pytest.fixture
def full_server(small_disk: SmallDisk) -> Iterator[ApiServer]:
    """Store, database and log on the small disk."""
    make_installation(small_disk.path)
    server = start_server(small_disk.path)
    yield server
    if server.process.poll() is None:
        stop_server(server)


@pytest.fixture
def swift(full_server: ApiServer, swift_log_in: LogIn) -> Iterator[SwiftConnection]:
    with swift_log_in(full_server.address, "alice", PASSWORDS["alice"]) as connection:
        assert connection.call("PUT", "/box").status == 201
        assert connection.call("PUT", "/box/kept", KEPT).status == 201
        yield connection


def put_chunked(swift: SwiftConnection, path: str, body: bytes) -> int:
    """In chunks, of a size that is not known to begin with.

    The server does not wait for the end of those that it refuses: it answers, and hangs up.
    """
    pieces = (body[place : place + 100_000] for place in range(0, len(body), 100_000))
    headers = {"X-Auth-Token": swift.token, "Transfer-Encoding": "chunked"}
    with swift.again() as other:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            other.connection.request("PUT", swift.path + path, pieces, headers, encode_chunked=True)
        answer = other.connection.getresponse()
        answer.read()
        return answer.status


def post_blocks(swift: SwiftConnection, blocks: bytes) -> int:
    """As kamaki sends what a hashmap lacks."""
    account = swift.path.removeprefix("/v1/AUTH_")
    headers = {"X-Auth-Token": swift.token, "Content-Type": "application/octet-stream"}
    path = f"/pithos/object-store/v1/{account}/box?update"
    swift.connection.request("POST", path, blocks, headers)
    answer = swift.connection.getresponse()
    answer.read()
    return answer.status


def totals(swift: SwiftConnection) -> tuple[str | None, str | None]:
    headers = swift.call("HEAD", "/box").headers
    return headers["X-Container-Object-Count"], headers["X-Container-Bytes-Used"]


def worker_pids(server: ApiServer) -> list[str]:
    """Of all workers; it waits until they are there."""
    parent = server.process.pid
    children, pause = Path(f"/proc/{parent}/task/{parent}/children"), threading.Event()
    for _ in range(600):
        if len(found := children.read_text().split()) == server.settings.workers:
            return found
        pause.wait(0.05)
    pytest.fail("not all workers run")


def verify_all(folder: Path) -> int:
    """Read every block that the index names; how many there are."""
    store = open_store(store_url(folder))
    try:
        records = list(store.blocks.scan())
        for record in records:
            store.blocks.verify(record.block_id)
    finally:
        store.close()
    return len(records)


def test_uploads_larger_than_what_is_left(
    swift: SwiftConnection, full_server: ApiServer, small_disk: SmallDisk
) -> None:
    workers, before = worker_pids(full_server), totals(swift)
    small_disk.fill(leave_bytes=LEFT)
    assert swift.call("PUT", "/box/large", LARGE).status == NO_SPACE
    assert put_chunked(swift, "/box/large", LARGE) == NO_SPACE
    assert put_chunked(swift, "/box/kept", LARGE) == NO_SPACE
    assert post_blocks(swift, LARGE) == NO_SPACE
    assert swift.call("GET", "/box/kept").body == KEPT
    assert swift.call("HEAD", "/box/large").status == 404
    assert totals(swift) == before == ("1", str(len(KEPT)))
    small_disk.empty()
    assert swift.call("PUT", "/box/large", LARGE).status == 201
    assert put_chunked(swift, "/box/chunked", LARGE[::-1]) == 201
    assert post_blocks(swift, LARGE) == 202
    assert swift.call("GET", "/box/large").body == LARGE
    assert swift.call("GET", "/box/chunked").body == LARGE[::-1]
    assert worker_pids(full_server) == workers
    stop_server(full_server)
    assert verify_all(small_disk.path) >= (2 * len(LARGE) + len(KEPT)) // 65536


def test_a_disk_without_a_byte_left(
    swift: SwiftConnection, full_server: ApiServer, small_disk: SmallDisk
) -> None:
    workers = worker_pids(full_server)
    small_disk.fill()
    assert swift.call("PUT", "/box/large", LARGE).status == NO_SPACE
    assert put_chunked(swift, "/box/large", LARGE) == NO_SPACE
    assert post_blocks(swift, LARGE) == NO_SPACE
    with swift.again() as other:
        assert other.call("GET", "/box/kept").body == KEPT
        assert other.call("GET", "/box").text == "kept\n"
    small_disk.empty()
    assert swift.call("PUT", "/box/large", LARGE).status == 201
    assert worker_pids(full_server) == workers


def test_a_killed_server_starts_again_on_a_full_disk(
    swift: SwiftConnection, full_server: ApiServer, small_disk: SmallDisk
) -> None:
    small_disk.fill()
    os.killpg(full_server.process.pid, signal.SIGKILL)
    full_server.process.wait()
    again = start_server(small_disk.path)
    try:
        with type(swift)(again.address, swift.path, swift.token) as other:
            assert other.call("GET", "/box/kept").body == KEPT
            assert other.call("PUT", "/box/large", LARGE).status == NO_SPACE
            small_disk.empty()
            assert other.call("PUT", "/box/large", LARGE).status == 201
    finally:
        stop_server(again)


def test_a_database_that_cannot_be_opened_for_want_of_room(small_disk: SmallDisk) -> None:
    """SQLite needs 32 KiB beside it, where no process has it open already."""
    make_installation(small_disk.path)
    small_disk.fill()
    for _ in range(2):
        with pytest.raises(DatabaseFull, match=r"no room for the database sqlite:.*/api\.sqlite"):
            upgrade(database_url(small_disk.path))
    small_disk.empty()
    upgrade(database_url(small_disk.path))


@pytest.mark.parametrize("coding", [f"Content-Length: {DISK_SIZE}", "Transfer-Encoding: chunked"])
def test_who_sends_on_and_on_is_told(
    swift: SwiftConnection, small_disk: SmallDisk, coding: str
) -> None:
    """More than the server reads away: it hangs up, but its answer can be read."""
    small_disk.fill(leave_bytes=LEFT)
    head = f"PUT {swift.path}/box/large HTTP/1.1\r\nHost: x\r\nX-Auth-Token: {swift.token}\r\n"
    source = random.Random(3)
    with socket.create_connection(swift.address, timeout=60) as connection:
        connection.sendall(f"{head}{coding}\r\n\r\n".encode())
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            for _ in range(DISK_SIZE // MIB):
                piece = source.randbytes(MIB)
                if "chunked" in coding:
                    piece = b"%x\r\n%b\r\n" % (len(piece), piece)
                connection.sendall(piece)
        assert connection.recv(12) == f"HTTP/1.1 {NO_SPACE}".encode()
    assert swift.call("HEAD", "/box/large").status == 404
    assert totals(swift) == ("1", str(len(KEPT)))


@pytest.fixture
def database_swift(
    small_disk: SmallDisk, tmp_path: Path, swift_log_in: LogIn
) -> Iterator[SwiftConnection]:
    """Only the database is on the small disk."""
    make_installation(tmp_path)
    database = small_disk.path / "api.sqlite"
    shutil.move(tmp_path / "api.sqlite", database)
    server = start_server(tmp_path, database_url=f"sqlite:///{database}")
    try:
        with swift_log_in(server.address, "alice", PASSWORDS["alice"]) as connection:
            assert connection.call("PUT", "/box").status == 201
            assert connection.call("PUT", "/box/kept", KEPT).status == 201
            yield connection
    finally:
        stop_server(server)


def test_a_full_disk_under_the_database(
    database_swift: SwiftConnection, small_disk: SmallDisk
) -> None:
    swift = database_swift
    small_disk.fill()
    names, size = ["kept"], len(KEPT)
    for number in range(SMALL_OBJECTS_MAX):
        body = f"{number}".encode()
        status = swift.call("PUT", f"/box/o{number:04d}", body).status
        if status != 201:
            break
        names.append(f"o{number:04d}")
        size += len(body)
    assert status == NO_SPACE
    assert swift.call("PUT", "/box/more", KEPT[:100]).status == NO_SPACE
    assert swift.call("PUT", "/other").status == NO_SPACE
    assert swift.call("DELETE", "/box/kept").status == NO_SPACE
    assert swift.call("GET", "/box").text.split() == sorted(names)
    assert totals(swift) == (str(len(names)), str(size))
    assert swift.call("GET", "/box/kept").body == KEPT
    assert swift.call("HEAD", "/other").status == 404
    assert log_in_status(swift) in (NO_SPACE, 503)
    small_disk.empty()
    assert log_in_status(swift) in (200, 204)
    assert swift.call("PUT", "/box/more", KEPT[:100]).status == 201
    assert swift.call("DELETE", "/box/kept").status == 204
    assert totals(swift) == (str(len(names)), str(size - len(KEPT) + 100))


def log_in_status(swift: SwiftConnection) -> int:
    """Needs a new row: a token."""
    headers = {"X-Auth-User": "alice", "X-Auth-Key": PASSWORDS["alice"]}
    with swift.again() as other:
        other.connection.request("GET", "/auth/v1.0", headers=headers)
        answer = other.connection.getresponse()
        answer.read()
        assert urlsplit(answer.headers.get("X-Storage-Url", "")).path in ("", swift.path)
        return answer.status
