"""Connections that break and servers that die."""

import contextlib
import socket
import threading

import pytest
from api_server import BLOCK_SIZE
from kamaki_cloud import Kamaki, make_cloud, noise, running_cloud


class Relay:
    """Passes bytes on to the server; cuts a connection when its client has sent so many."""

    def __init__(self, target: tuple[str, int], budgets: list[int]) -> None:
        self.target, self.budgets = target, budgets
        self.cuts = 0
        self.sockets = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        self.threads = [threading.Thread(target=self.accept)]
        self.threads[0].start()

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            budget = self.budgets.pop(0) if self.budgets else None
            server = socket.create_connection(self.target)
            self.sockets += [client, server]
            for source, sink, limit in ((client, server, budget), (server, client, None)):
                thread = threading.Thread(target=self.forward, args=(source, sink, limit))
                thread.start()
                self.threads.append(thread)

    def forward(self, source, sink, limit):
        passed = 0
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                passed += len(data)
                if limit is not None and passed > limit:
                    self.cuts += 1
                    break
                sink.sendall(data)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)  # wakes the other thread
            end.close()  # with bytes unread: whoever sends on is told so

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for end in self.sockets:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        for thread in self.threads:
            thread.join(10)
        for end in self.sockets:
            end.close()


@pytest.fixture
def relayed(cloud, monkeypatch, tmp_path):
    """kamaki over a line whose first connections break."""
    host, _, port = cloud.url.removeprefix("http://").rpartition(":")
    relay = Relay((host, int(port)), [300_000, 200_000])
    kamaki = Kamaki(monkeypatch, tmp_path, relay.url, "alice")
    yield kamaki, relay
    relay.close()


def test_an_upload_survives_broken_connections(relayed, container, tmp_path):
    kamaki, relay = relayed
    content = noise(4711, 30 * 2**20)
    (tmp_path / "f").write_bytes(content)
    sent = kamaki("file", "upload", tmp_path / "f", container, "--json").json
    assert relay.cuts == 2
    assert sent["sent"] == len(content)
    kamaki("file", "download", f"{container}/f", tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == content


def test_what_was_acknowledged_survives_kill_9(monkeypatch, tmp_path):
    folder = tmp_path / "cloud"
    folder.mkdir()
    make_cloud(folder)
    content = noise(2, 50 * BLOCK_SIZE + 9)
    (tmp_path / "f").write_bytes(content)
    with running_cloud(folder) as first:
        alice = Kamaki(monkeypatch, tmp_path, first.url, "alice")
        alice("container", "create", "c")
        alice("file", "upload", tmp_path / "f", "c")
        alice("image", "register", "disk", "c/f")
        first.kill()
        assert alice("file", "list", "c", ok=False).code == 6
    with running_cloud(folder) as second:
        alice = Kamaki(monkeypatch, tmp_path, second.url, "alice")
        alice("file", "download", "c/f", tmp_path / "out")
        assert (tmp_path / "out").read_bytes() == content
        assert alice("image", "show", "disk", "--json").json["size"] == len(content)
        assert alice("file", "upload", tmp_path / "f", "c", "--json").json["sent"] == 0
