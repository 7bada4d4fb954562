"""Files that change while they are uploaded; servers that lie, break off, or answer nonsense."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from api_server import BLOCK_SIZE
from kamaki_cloud import PASSWORD, Kamaki, noise

from clients.errors import DataMismatch
from clients.hashmap import BlockRules
from clients.http import Login, Session
from clients.pithos import NewContent, Pithos
from clients.token_cache import TokenCache
from clients.upload import upload

CONTENT = noise(1, 5 * BLOCK_SIZE + 10)
RULES = BlockRules(BLOCK_SIZE, "blake3")


class Meddler:
    """Writes to the file when a stage begins."""

    def __init__(self, path: Path, stage: str, data: bytes, offset: int) -> None:
        self.path, self.stage, self.data, self.offset = path, stage, data, offset

    def start(self, label: str, total: int) -> None:
        if label == self.stage:
            with self.path.open("r+b") as file:
                file.seek(self.offset)
                file.write(self.data)
                file.truncate(max(self.offset, 1))

    def advance(self, count: int) -> None:
        pass


@pytest.mark.parametrize(("data", "offset"), [(b"zz", 5), (b"", 4 * BLOCK_SIZE), (b"z", 10**6)])
def test_a_file_that_changes_is_not_stored(cloud, alice, container, tmp_path, data, offset):
    path = tmp_path / "f"
    path.write_bytes(CONTENT)
    login = Login(cloud.url, "alice", "", "Default", lambda: PASSWORD)
    session = Session(login, TokenCache(tmp_path / "state"))
    target = NewContent(container, "o")
    try:
        with path.open("rb") as file, pytest.raises(DataMismatch):
            upload(Pithos(session), file, target, Meddler(path, "sending", data, offset))
    finally:
        session.close()
    assert alice("file", "info", f"{container}/o", ok=False).code == 3


class Interruptor:
    """As if Ctrl-C were pressed when some blocks have been sent."""

    def __init__(self) -> None:
        self.stage = ""

    def start(self, label: str, total: int) -> None:
        self.stage = label

    def advance(self, count: int) -> None:
        if self.stage == "sending":
            raise KeyboardInterrupt


def test_an_interrupted_upload_is_taken_up(cloud, alice, container, tmp_path):
    path = tmp_path / "f"
    path.write_bytes(noise(2, 40 * 2**20))
    login = Login(cloud.url, "alice", "", "Default", lambda: PASSWORD)
    session = Session(login, TokenCache(tmp_path / "state"))
    with path.open("rb") as file, pytest.raises(KeyboardInterrupt):
        upload(Pithos(session), file, NewContent(container, "f"), Interruptor())
    session.close()
    summary = alice("file", "upload", path, container, "--json").json
    assert summary["total"] == 40 * 2**20
    assert 0 < summary["sent"] <= 32 * 2**20


class Liar(BaseHTTPRequestHandler):
    """One object, told wrongly. `faults`: what is still to go wrong, one for each range."""

    protocol_version = "HTTP/1.1"
    faults: list[str]
    hashmap: dict[str, object]
    ranges: list[str]

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        root = f"http://127.0.0.1:{self.server.server_address[1]}"
        token = {
            "expires_at": "2999-01-01T00:00:00.000000Z",
            "user": {"name": "u"},
            "project": {"id": "p", "name": "p"},
            "catalog": [
                {"type": kind, "endpoints": [{"interface": "public", "url": root}]}
                for kind in ("pithos", "object-store")
            ],
        }
        self.answer(201, json.dumps({"token": token}).encode(), {"X-Subject-Token": "t"})

    def do_GET(self):
        if "hashmap" in urlsplit(self.path).query:
            self.answer(200, json.dumps(self.hashmap).encode())
            return
        first, last = map(int, self.headers["Range"].removeprefix("bytes=").split("-"))
        self.ranges.append(self.headers["Range"])
        data = CONTENT[first : last + 1]
        fault = self.faults.pop(0) if self.faults else ""
        if fault == "damage":
            data = data[:-1] + b"?"
        if fault == "ignore":
            self.answer(200, CONTENT)
        elif fault == "break":
            self.answer(206, data, cut=2 * BLOCK_SIZE + 5)
        elif fault == "short":
            self.answer(206, data[:-1])
        elif fault == "replaced":
            self.answer(412, b"{}")
        else:
            self.answer(206, data)

    def answer(self, status, body, headers=None, cut=None):
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[:cut])
        if cut is not None:
            self.close_connection = True

    def log_message(self, *arguments):
        pass


@pytest.fixture
def liar():
    class Handler(Liar):
        faults: list[str] = []  # noqa: RUF012
        ranges: list[str] = []  # noqa: RUF012
        hashmap = {  # noqa: RUF012
            "block_size": BLOCK_SIZE,
            "block_hash": "blake3",
            "bytes": len(CONTENT),
            "hashes": [
                RULES.digest(CONTENT[i : i + BLOCK_SIZE]).hex()
                for i in range(0, len(CONTENT), BLOCK_SIZE)
            ],
        }

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        server.handle_error = lambda request, address: None  # clients go away here
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        Handler.port = server.server_address[1]
        yield Handler
        server.shutdown()
        thread.join()


@pytest.fixture
def kamaki(liar, monkeypatch, tmp_path):
    return Kamaki(monkeypatch, tmp_path, f"http://127.0.0.1:{liar.port}", "u")


def test_an_honest_answer(kamaki, tmp_path):
    kamaki("file", "download", "c/o", tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == CONTENT


def test_damage_is_noticed_and_what_was_good_is_kept(kamaki, liar, tmp_path):
    liar.faults.append("damage")
    result = kamaki("file", "download", "c/o", tmp_path / "out", ok=False)
    assert result.code == 7
    assert "block 5 of c/o" in result.err
    assert not (tmp_path / "out").exists()
    again = kamaki("file", "download", "c/o", tmp_path / "out", "--json").json
    assert again["received"] == 10
    assert (tmp_path / "out").read_bytes() == CONTENT


def test_a_broken_connection_is_taken_up_where_it_broke(kamaki, liar, tmp_path):
    liar.faults += ["break", "short"]
    kamaki("file", "download", "c/o", tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == CONTENT
    assert [text.partition("-")[0] for text in liar.ranges] == [
        "bytes=0",
        f"bytes={2 * BLOCK_SIZE}",
        f"bytes={5 * BLOCK_SIZE}",
    ]


def test_no_progress_is_given_up(kamaki, liar, tmp_path):
    liar.faults += ["break", *["short"] * 10]
    liar.hashmap = {**liar.hashmap, "bytes": 10, "hashes": liar.hashmap["hashes"][5:]}
    result = kamaki("file", "download", "c/o", tmp_path / "out", ok=False)
    assert result.code in (6, 7)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("fault", "code"), [("ignore", 6), ("replaced", 5)])
def test_a_range_that_is_not_served(kamaki, liar, tmp_path, fault, code):
    liar.faults.append(fault)
    assert kamaki("file", "download", "c/o", tmp_path / "out", ok=False).code == code


@pytest.mark.parametrize(
    "fields",
    [
        {"block_size": 0},
        {"block_size": 2**40},
        {"block_size": "x"},
        {"block_hash": "md5"},
        {"bytes": -1},
        {"bytes": "5"},
        {"bytes": 2**70},
        {"hashes": ["x"]},
        {"hashes": None},
        {"hashes": [None] * 6},
    ],
)
def test_a_hashmap_that_makes_no_sense(kamaki, liar, tmp_path, fields):
    liar.hashmap = {**liar.hashmap, **fields}
    result = kamaki("file", "download", "c/o", tmp_path / "out", ok=False)
    assert result.code == 6
    assert len(result.err.splitlines()) == 1
    assert not (tmp_path / "out.part").exists()


def test_a_message_of_the_server_is_not_obeyed_by_the_terminal(kamaki, liar, tmp_path):
    liar.hashmap = {**liar.hashmap, "block_hash": "\x1b]0;owned\x07"}
    result = kamaki("file", "download", "c/o", tmp_path / "out", ok=False)
    assert "\x1b" not in result.err
