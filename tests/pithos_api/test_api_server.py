"""The real server: gunicorn in several processes, spoken to in raw bytes where it matters."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from api_server import PASSWORDS, ApiServer, make_installation, start_server, stop_server

MIB = 2**20
TIMEOUT_S = 60


class User:
    """A logged-in user of the server."""

    def __init__(self, server: ApiServer, name: str = "alice") -> None:
        self.server = server
        self.http = requests.Session()
        answer = self.http.get(
            f"{server.url}/auth/v1.0",
            headers={"X-Auth-User": name, "X-Auth-Key": PASSWORDS[name]},
            timeout=TIMEOUT_S,
        )
        assert answer.status_code == 200, answer.text
        self.token = answer.headers["X-Auth-Token"]
        self.storage = answer.headers["X-Storage-Url"]
        self.path = self.storage.removeprefix(server.url)

    def call(self, method: str, path: str, **more: object) -> requests.Response:
        headers = {"X-Auth-Token": self.token, **more.pop("headers", {})}
        url = self.storage + path
        return self.http.request(method, url, headers=headers, timeout=TIMEOUT_S, **more)


@pytest.fixture
def alice(api_server: ApiServer) -> User:
    user = User(api_server)
    yield user
    user.http.close()


def exchange(server: ApiServer, data: bytes, *, finish: bool = False) -> bytes:
    """Send bytes and return all that comes until the server closes; `finish` ends our side."""
    with socket.create_connection(server.address, TIMEOUT_S) as connection:
        connection.sendall(data)
        if finish:
            connection.shutdown(socket.SHUT_WR)
        return receive(connection)


def receive(connection: socket.socket) -> bytes:
    received = b""
    while piece := connection.recv(65536):
        received += piece
    return received


def head(method: str, target: str, *headers: str) -> bytes:
    lines = [f"{method} {target} HTTP/1.1", "Host: x", "Connection: close", *headers]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def test_round_trip_through_several_processes(alice: User) -> None:
    data = random.Random(1).randbytes(5 * MIB + 12345)
    assert alice.call("PUT", "/big").status_code == 201
    put = alice.call("PUT", "/big/o", data=data)
    assert (put.status_code, put.headers["Etag"]) == (201, hashlib.md5(data).hexdigest())
    for _ in range(4):
        answer = requests.get(
            f"{alice.storage}/big/o", headers={"X-Auth-Token": alice.token}, timeout=TIMEOUT_S
        )
        assert answer.content == data


def test_names_come_through_as_sent(alice: User) -> None:
    alice.call("PUT", "/odd")
    sent = ["a%2Fb//c/", "/", "x/../y", "%E2%98%83%20%25", "q%3Fx%23", "a%0Ab"]
    for name in sent:
        request = head(
            "PUT", f"{alice.path}/odd/{name}", f"X-Auth-Token: {alice.token}", "Content-Length: 0"
        )
        assert exchange(alice.server, request).startswith(b"HTTP/1.1 201"), name
    listed = alice.call("GET", "/odd", params={"format": "json"}).json()
    assert {entry["name"] for entry in listed} == {
        "a/b//c/", "/", "x/../y", "\u2603 %", "q?x#", "a\nb",
    }  # fmt: skip


def test_a_chunked_upload(alice: User) -> None:
    data = random.Random(2).randbytes(3 * MIB)
    alice.call("PUT", "/chunked")
    pieces = (data[start : start + 70_000] for start in range(0, len(data), 70_000))
    assert alice.call("PUT", "/chunked/o", data=pieces).status_code == 201
    assert alice.call("GET", "/chunked/o").content == data


@pytest.mark.parametrize(
    "body",
    [
        ("Content-Length: 1000000", b"x" * 300_000),
        ("Transfer-Encoding: chunked", b"10000\r\n" + b"x" * 65536 + b"\r\n"),
        ("Transfer-Encoding: chunked", b"10000\r\n" + b"x" * 1000),
    ],
    ids=["length", "between chunks", "within a chunk"],
)
def test_a_client_that_goes_away_leaves_no_object(alice: User, body: tuple[str, bytes]) -> None:
    alice.call("PUT", "/torn")
    header, data = body
    request = head("PUT", f"{alice.path}/torn/o", f"X-Auth-Token: {alice.token}", header)
    answer = exchange(alice.server, request + data, finish=True)
    assert b" 201 " not in answer
    assert alice.call("GET", "/torn/o").status_code == 404
    assert alice.call("GET", "/torn").status_code == 204


def test_bad_chunks_are_refused(alice: User) -> None:
    alice.call("PUT", "/torn")
    token = f"X-Auth-Token: {alice.token}"
    request = head("PUT", f"{alice.path}/torn/bad", token, "Transfer-Encoding: chunked")
    answer = exchange(alice.server, request + b"zz\r\nhello\r\n0\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 400")
    assert alice.call("GET", "/torn/bad").status_code == 404


@pytest.mark.parametrize(
    ("request_head", "status"),
    [
        (b"GET /info asdf HTTP/1.1\r\nHost: x\r\n\r\n", 412),
        (b"nonsense\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: x\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: nonsense\r\n\r\n", 501),
        (b"GET / HTTP/1.1\r\nHost: x\r\nbad header\r\n\r\n", 400),
        (b"GET /" + b"x" * 10_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 414),
        (b"GET / HTTP/1.1\r\nHost: x\r\nX-A: " + b"x" * 10_000 + b"\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X-A: 1\r\n" * 300 + b"\r\n", 431),
    ],
)
def test_requests_that_never_get_to_the_application(
    api_server: ApiServer, request_head: bytes, status: int
) -> None:
    answer = exchange(api_server, request_head)
    assert answer.startswith(b"HTTP/1.1 %d" % status)
    assert b"X-Trans-Id: tx" in answer
    assert b"X-Openstack-Request-Id: tx" in answer


@pytest.mark.parametrize("method", ["LICK", "GETorHEAD_base"])
def test_unknown_methods(alice: User, method: str) -> None:
    request = head(method, alice.path, f"X-Auth-Token: {alice.token}")
    assert exchange(alice.server, request).startswith(b"HTTP/1.1 405")


def test_many_large_headers(alice: User) -> None:
    metadata = [f"X-Object-Meta-M{number}: {'v' * 30}" for number in range(85)]
    filler = [f"X-Unknown-{number}: {'f' * 8192}" for number in range(100)]
    alice.call("PUT", "/headers")
    token, length = f"X-Auth-Token: {alice.token}", "Content-Length: 0"
    request = head("PUT", f"{alice.path}/headers/o", token, length, *metadata, *filler)
    assert exchange(alice.server, request).startswith(b"HTTP/1.1 201")
    assert alice.call("HEAD", "/headers/o").headers["X-Object-Meta-M84"] == "v" * 30


def test_a_body_is_asked_for(alice: User) -> None:
    alice.call("PUT", "/continue")
    request = head(
        "PUT",
        f"{alice.path}/continue/o",
        f"X-Auth-Token: {alice.token}",
        "Content-Length: 5",
        "Expect: 100-continue",
    )
    with socket.create_connection(alice.server.address, TIMEOUT_S) as connection:
        connection.sendall(request)
        assert connection.recv(100).startswith(b"HTTP/1.1 100")
        connection.sendall(b"hello")
        assert receive(connection).startswith(b"HTTP/1.1 201")


def test_connections_are_kept(alice: User) -> None:
    with socket.create_connection(alice.server.address, TIMEOUT_S) as connection:
        for _ in range(3):
            connection.sendall(b"GET /info HTTP/1.1\r\nHost: x\r\n\r\n")
            answer = b""
            while b"\r\n\r\n" not in answer:
                answer += connection.recv(65536)
            header, _, body = answer.partition(b"\r\n\r\n")
            assert header.startswith(b"HTTP/1.1 200")
            fields = dict(line.split(b": ", 1) for line in header.split(b"\r\n")[1:])
            while len(body) < int(fields[b"Content-Length"]):
                body += connection.recv(65536)


def test_writers_in_parallel(alice: User) -> None:
    alice.call("PUT", "/parallel")
    statuses: list[int] = []

    def put(number: int) -> None:
        answer = requests.put(
            f"{alice.storage}/parallel/o{number}",
            data=random.Random(number).randbytes(200_000),
            headers={"X-Auth-Token": alice.token},
            timeout=TIMEOUT_S,
        )
        statuses.append(answer.status_code)

    threads = [threading.Thread(target=put, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == [201] * 12
    container = alice.call("HEAD", "/parallel").headers
    assert container["X-Container-Object-Count"] == "12"
    assert container["X-Container-Bytes-Used"] == str(12 * 200_000)


def test_no_secret_gets_into_the_log(alice: User) -> None:
    query = f"?X-Auth-Token={alice.token}"
    requests.get(f"{alice.server.url}/v1/x{query}", timeout=TIMEOUT_S).close()
    log = alice.server.log.read_text()
    assert "pithos_api.access" in log
    assert alice.token not in log
    assert PASSWORDS["alice"] not in log


def test_what_was_acknowledged_survives_killing_every_process(tmp_path: Path) -> None:
    make_installation(tmp_path)
    server = start_server(tmp_path)
    data = random.Random(9).randbytes(MIB)
    user = User(server)
    assert user.call("PUT", "/c").status_code == 201
    assert user.call("PUT", "/c/o", data=data).status_code == 201
    user.http.close()
    kill_group(server.process)
    again = start_server(tmp_path)
    user = User(again)
    assert user.call("GET", "/c/o").content == data
    user.http.close()
    stop_server(again)
    assert again.process.returncode == 0


def test_killed_in_the_middle_of_uploads(tmp_path: Path) -> None:
    """All that was acknowledged is there and whole, the rest is absent, the counters agree."""
    make_installation(tmp_path)
    server = start_server(tmp_path)
    user = User(server)
    user.call("PUT", "/c")
    user.http.close()
    acknowledged: list[int] = []
    enough = threading.Event()

    def put(first: int) -> None:
        for number in range(first, first + 1000):
            try:
                answer = requests.put(
                    f"{user.storage}/c/{number}",
                    data=content(number),
                    headers={"X-Auth-Token": user.token},
                    timeout=TIMEOUT_S,
                )
            except requests.ConnectionError:
                return
            if answer.status_code == 201:
                acknowledged.append(number)
            if len(acknowledged) >= 20:
                enough.set()

    threads = [threading.Thread(target=put, args=(number * 1000,)) for number in range(4)]
    for thread in threads:
        thread.start()
    assert enough.wait(TIMEOUT_S)
    kill_group(server.process)
    for thread in threads:
        thread.join()
    again = start_server(tmp_path)
    user = User(again)
    listed = {int(e["name"]): e for e in user.call("GET", "/c", params={"format": "json"}).json()}
    assert set(acknowledged) <= set(listed)
    for number, entry in listed.items():
        assert user.call("GET", f"/c/{number}").content == content(number)
        assert entry["hash"] == hashlib.md5(content(number)).hexdigest()
    counted = user.call("HEAD", "/c").headers
    assert int(counted["X-Container-Object-Count"]) == len(listed)
    used = sum(len(content(number)) for number in listed)
    assert int(counted["X-Container-Bytes-Used"]) == used
    user.http.close()
    stop_server(again)


def content(number: int) -> bytes:
    """Some of it shared between objects, some not."""
    own = random.Random(number)
    return random.Random(number % 3).randbytes(65536) + own.randbytes(own.randrange(200_000))


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[ApiServer]:
    """One process that gives up on idle clients after a second."""
    make_installation(tmp_path)
    server = start_server(tmp_path, workers=1, idle_timeout_s=1)
    yield server
    stop_server(server)


def test_a_client_that_stops_sending_is_given_up(own_server: ApiServer) -> None:
    user = User(own_server)
    user.call("PUT", "/c")
    request = head("PUT", f"{user.path}/c/o", f"X-Auth-Token: {user.token}", "Content-Length: 9")
    with socket.create_connection(own_server.address, TIMEOUT_S) as connection:
        connection.sendall(request + b"half")
        assert b" 201 " not in receive(connection)
    assert user.call("GET", "/c/o").status_code == 404
    user.http.close()


def test_an_upload_under_way_is_finished_before_the_server_ends(own_server: ApiServer) -> None:
    user = User(own_server)
    user.call("PUT", "/c")
    user.http.close()
    token, expect = f"X-Auth-Token: {user.token}", "Expect: 100-continue"
    request = head("PUT", f"{user.path}/c/o", token, "Content-Length: 5", expect)
    with socket.create_connection(own_server.address, TIMEOUT_S) as connection:
        connection.sendall(request)
        assert connection.recv(100).startswith(b"HTTP/1.1 100")
        own_server.process.terminate()
        connection.sendall(b"hello")
        assert receive(connection).startswith(b"HTTP/1.1 201")
    own_server.process.wait(TIMEOUT_S)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(own_server.address, TIMEOUT_S)


def kill_group(process: subprocess.Popen[bytes]) -> None:
    """kill -9 for the parent and its children, which have a process group of their own."""
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@pytest.mark.parametrize(
    ("store", "database"),
    [("files:{0}/none", "sqlite:///{0}/db"), ("files:{0}", "sqlite:///{0}/none/none")],
)
def test_a_server_that_cannot_start_says_so(tmp_path: Path, store: str, database: str) -> None:
    fields = {"store_url": store.format(tmp_path), "database_url": database.format(tmp_path)}
    code = (
        "import sys; from pithos_api.server import run_api_server;"
        "from pithos_api.settings import Settings;"
        "run_api_server(Settings(sys.argv[1], sys.argv[2], port=0))"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code, *fields.values()],
        capture_output=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert ended.returncode != 0
    assert b"StoreUnavailable" in ended.stderr or b"DatabaseUnusable" in ended.stderr
