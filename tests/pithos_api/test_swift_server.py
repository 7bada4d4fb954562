"""The Swift endpoint behind the real server: broken uploads, races, memory, damage."""

from __future__ import annotations

import hashlib
import http.client
import os
import random
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from api_server import ApiServer
    from swift_session import SwiftConnection

pytest_plugins = ("swift_session",)

MIB = 2**20
WAIT_S = 30
RSS_GROWTH_MAX = 96 * MIB
"""Of one worker over an upload and download of 256 MiB: batches, caches, the allocator's slack."""


@pytest.fixture
def box(swift_connection: SwiftConnection) -> SwiftConnection:
    assert swift_connection.call("PUT", "/box").status in (201, 202)
    for name in swift_connection.call("GET", "/box").text.split("\n")[:-1]:
        swift_connection.call("DELETE", f"/box/{name}")
    assert swift_connection.call("PUT", "/box/kept", b"12345").status == 201
    return swift_connection


def totals(swift: SwiftConnection) -> tuple[str | None, str | None]:
    headers = swift.call("HEAD", "/box").headers
    return headers["X-Container-Object-Count"], headers["X-Container-Bytes-Used"]


def raw_put(swift: SwiftConnection, name: str, headers: str, body: bytes) -> socket.socket:
    """A connection on which all of `body` has been sent."""
    connection = socket.create_connection(swift.address, timeout=WAIT_S)
    head = f"PUT {swift.path}/box/{name} HTTP/1.1\r\nHost: x\r\nX-Auth-Token: {swift.token}\r\n"
    connection.sendall(f"{head}{headers}\r\n\r\n".encode() + body)
    return connection


def status_line(connection: socket.socket) -> bytes:
    with connection, connection.makefile("rb") as answer:
        return answer.readline()


@pytest.mark.parametrize(
    ("headers", "body", "status"),
    [
        ("Content-Length: 3000000", b"x" * 2_999_999, 499),
        ("Content-Length: 10", b"", 499),
        ("Transfer-Encoding: chunked", b"5\r\nhello\r\n10\r\nabc", 499),
        ("Transfer-Encoding: chunked", b"5\r\nhello\r\nzz\r\n", 400),
        ("Transfer-Encoding: chunked", b"5\r\nhello!!", 400),
        ("Transfer-Encoding: chunked", b"5\r\nhello\r\n0\r\n", 400),
    ],
)
def test_broken_upload_leaves_nothing(
    box: SwiftConnection, headers: str, body: bytes, status: int
) -> None:
    for name in ("new", "kept"):
        connection = raw_put(box, name, headers, body)
        connection.shutdown(socket.SHUT_WR)
        assert status_line(connection).split()[1] == str(status).encode()
    assert box.call("GET", "/box/kept").body == b"12345"
    assert box.call("HEAD", "/box/new").status == 404
    assert totals(box) == ("1", "5")


def test_reset_connection_leaves_nothing(box: SwiftConnection, api_server: ApiServer) -> None:
    connection = raw_put(box, "reset", "Content-Length: 9000000", b"x" * 5_000_000)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
    connection.close()
    wait_for_text(api_server.log, "/box/reset 499")
    assert box.call("HEAD", "/box/reset").status == 404
    assert totals(box) == ("1", "5")


def wait_for_text(path: Path, text: str) -> None:
    pause = threading.Event()
    for _ in range(WAIT_S * 20):
        if text in path.read_text():
            return
        pause.wait(0.05)
    pytest.fail(f"{path} never said {text!r}")


def test_oversized_is_refused_from_its_header(box: SwiftConnection) -> None:
    connection = raw_put(box, "big", f"Content-Length: {6 * 2**30}", b"")
    assert status_line(connection).split()[1] == b"413"


def test_bad_requests_of_the_wire(box: SwiftConnection) -> None:
    for headers, status in [
        ("Connection: close", b"411"),
        ("Content-Length: many", b"400"),
        ("Transfer-Encoding: gzip,chunked", b"501"),
    ]:
        assert status_line(raw_put(box, "bad", headers, b"")).split()[1] == status


def test_chunked_upload(box: SwiftConnection) -> None:
    body = b"5\r\nhello\r\n7;x=y\r\n, world\r\n0\r\n\r\n"
    connection = raw_put(box, "chunked", "Transfer-Encoding: chunked", body)
    assert status_line(connection).split()[1] == b"201"
    assert box.call("GET", "/box/chunked").body == b"hello, world"


def test_connection_serves_on_after_a_refused_body(box: SwiftConnection) -> None:
    body = b"x" * 100_000
    assert box.call("PUT", "/none/o", body).status == 404
    assert box.call("PUT", "/none/o", bytes(9 * MIB)).status == 404
    assert box.call("PUT", "/box/o", body, {"ETag": "0" * 32}).status == 422
    assert box.call("GET", "/box/kept").body == b"12345"


def test_one_of_concurrent_uploads_wins_whole(box: SwiftConnection) -> None:
    bodies = [bytes([letter]) * (MIB + letter) for letter in b"abcdef"]
    statuses: list[int] = []

    def put(body: bytes) -> None:
        with box.again() as connection:
            statuses.append(connection.call("PUT", "/box/raced", body).status)

    threads = [threading.Thread(target=put, args=(body,)) for body in bodies]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == [201] * len(bodies)
    got = box.call("GET", "/box/raced")
    assert got.body in bodies
    assert got.headers["Etag"] == hashlib.md5(got.body).hexdigest()
    assert totals(box) == ("2", str(5 + len(got.body)))


def test_only_one_of_concurrent_creations_wins(box: SwiftConnection) -> None:
    statuses: list[int] = []

    def put(number: int) -> None:
        with box.again() as connection:
            headers = {"If-None-Match": "*"}
            body = bytes([number]) * 1000
            statuses.append(connection.call("PUT", "/box/first", body, headers).status)

    threads = [threading.Thread(target=put, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [201, *[412] * 5]


def large_pieces(count: int) -> Iterator[bytes]:
    """`count` MiB: one in four has data of its own, the others are NULs."""
    source = random.Random(1)
    for number in range(count):
        yield bytes(MIB) if number % 4 else source.randbytes(MIB)


def worker_pids(server: ApiServer) -> list[int]:
    parent = server.process.pid
    return [int(pid) for pid in Path(f"/proc/{parent}/task/{parent}/children").read_text().split()]


def memory(pid: int, field: str) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024
    raise AssertionError(f"no {field} of {pid}")


def test_memory_does_not_grow_with_the_object(box: SwiftConnection, api_server: ApiServer) -> None:
    count = 256
    before = {pid: memory(pid, "VmRSS") for pid in worker_pids(api_server)}
    connection = box.connection
    headers = {"X-Auth-Token": box.token, "Content-Length": str(count * MIB)}
    connection.request("PUT", f"{box.path}/box/large", large_pieces(count), headers)
    answer = connection.getresponse()
    answer.read()
    assert answer.status == 201
    connection.request("GET", f"{box.path}/box/large", headers={"X-Auth-Token": box.token})
    answer = connection.getresponse()
    for piece in large_pieces(count):
        assert answer.read(MIB) == piece
    assert answer.read() == b""
    growth = {pid: memory(pid, "VmHWM") - before[pid] for pid in worker_pids(api_server)}
    assert max(growth.values()) < RSS_GROWTH_MAX


def test_damage_in_the_middle_breaks_the_answer_off(
    box: SwiftConnection, api_server: ApiServer
) -> None:
    data = random.Random(2).randbytes(8 * MIB)
    assert box.call("PUT", "/box/damaged", data).status == 201
    damage(api_server.settings.store_url, data[5 * MIB : 5 * MIB + 4096])
    box.connection.request("GET", f"{box.path}/box/damaged", headers={"X-Auth-Token": box.token})
    answer = box.connection.getresponse()
    assert answer.status == 200
    with pytest.raises(http.client.IncompleteRead) as caught:
        answer.read()
    assert data.startswith(caught.value.partial)
    box.connection.close()
    for ranges in ("5242880-5242890", "5242880-5242890,0-1"):
        answer = box.call("GET", "/box/damaged", None, {"Range": f"bytes={ranges}"})
        assert answer.status == 500
        assert data[5 * MIB : 5 * MIB + 10] not in answer.body
    answer = box.call("GET", "/box/damaged", None, {"Range": "bytes=0-9"})
    assert answer.body == data[:10]
    assert "box/damaged from byte" in api_server.log.read_text()
    assert box.call("GET", "/box/kept").body == b"12345"


def damage(store_url: str, content: bytes) -> None:
    """Flip a bit of `content` where the store keeps it."""
    for path in Path(store_url.removeprefix("files:")).rglob("*"):
        if not path.is_file():
            continue
        found = path.read_bytes().find(content)
        if found >= 0:
            with path.open("r+b") as file:
                file.seek(found + 100)
                file.write(bytes([content[100] ^ 1]))
                os.fsync(file.fileno())
            return
    pytest.fail("the content is nowhere in the store")
