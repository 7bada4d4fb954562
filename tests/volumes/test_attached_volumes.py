"""What happens to a volume while guests use it: snapshots under load, damage, clients that go."""

from __future__ import annotations

import struct
import threading
from pathlib import Path

from nbd_client import NbdClient
from volume_server import VolumeServer

from volumes.control import ControlClient
from volumes.nbd import wire
from volumes.nbd.wire import Command, Errno

SIZE = 4 * 2**20
PAGES = SIZE // 4096


class CounterWriter(threading.Thread):
    """Numbers the pages 1, 2, 3, ... over and over, each write waiting for the one before."""

    def __init__(self, client: NbdClient):
        super().__init__()
        self.client = client
        self.count = 0
        self.stopping = threading.Event()
        self.failures: list[int] = []

    def run(self) -> None:
        while not self.stopping.is_set() and not self.failures:
            number = self.count + 1
            answer = self.client.write(number % PAGES * 4096, struct.pack(">Q", number) * 512)
            if answer.errno:
                self.failures.append(answer.errno)
            self.count = number

    def wait_for_more(self, count: int) -> None:
        target = self.count + count
        while self.count < target:
            assert not self.failures
            assert self.is_alive()
            self.stopping.wait(0.002)


def test_a_snapshot_under_load_is_of_one_moment(volume_server, catalog):
    """Writes come one after the other, so the newest of the snapshot implies all before it."""
    catalog.create("disk", SIZE)
    acknowledged = []
    with NbdClient(volume_server.socket) as client, ControlClient(volume_server.control) as control:
        client.attach("disk")
        writer = CounterWriter(client)
        writer.start()
        for number in range(3):
            writer.wait_for_more(400)
            acknowledged.append(writer.count)
            control.snapshot(f"disk@{number}")
        writer.stopping.set()
        writer.join(30)
    assert writer.failures == []
    for number, count in enumerate(acknowledged):
        with NbdClient(volume_server.socket) as reader:
            reader.attach(f"disk@{number}")
            content = reader.read(0, SIZE)
        found = [struct.unpack_from(">Q", content, page * 4096)[0] for page in range(PAGES)]
        newest = max(found)
        assert count <= newest <= writer.count
        for page in range(PAGES):
            expected = max(newest - (newest - page) % PAGES, 0)
            data = struct.pack(">Q", expected) * 512
            assert content[page * 4096 : page * 4096 + 4096] == data


def test_snapshots_with_many_requests_in_flight(volume_server, catalog):
    catalog.create("disk", SIZE)
    with NbdClient(volume_server.socket) as client, ControlClient(volume_server.control) as control:
        client.attach("disk")
        for number in range(5):
            sent = {
                client.start(Command.WRITE, page * 4096, 4096, payload=bytes([number + 1]) * 4096)
                for page in range(64)
            }
            control.snapshot(f"disk@{number}")
            assert {client.answer()[0] for _ in sent} == sent
        assert client.read(0, 64 * 4096) == bytes([5]) * 64 * 4096


def test_a_damaged_block_is_an_error_and_never_other_bytes(store_url, tmp_path, catalog):
    server = VolumeServer(store_url, tmp_path).start()
    catalog.create("disk", SIZE)
    content = bytes(range(1, 251)) * 1000
    with NbdClient(server.socket) as client:
        client.attach("disk")
        client.write(0, content)
        client.disconnect()
    catalog.snapshot("disk@one")
    catalog.seal("disk")
    catalog.seal("disk@one")
    assert server.stop() == 0
    damage_packs(Path(store_url.removeprefix("files:")), content[1000:1100])
    server.start()
    try:
        with NbdClient(server.socket) as client:
            client.attach("disk")
            answer = client.request(Command.READ, 0, 4096)
            assert answer.errno == Errno.EIO
            assert "damaged" in answer.message
            # What is whole or new is served on.
            assert client.read(SIZE - 4096, 4096) == bytes(4096)
            assert client.write(SIZE - 4096, b"x" * 4096).errno == 0
        assert "ERROR disk (client" in server.log
    finally:
        assert server.stop() == 0


def damage_packs(store: Path, pattern: bytes) -> None:
    """Flip bits wherever the stored payload holds the pattern."""
    hits = 0
    for path in (store / "packs").rglob("*"):
        if not path.is_file():
            continue
        data = bytearray(path.read_bytes())
        at = data.find(pattern)
        while at >= 0:
            data[at] ^= 0xFF
            hits += 1
            at = data.find(pattern, at + 1)
        path.write_bytes(data)
    assert hits, "the content was not found in the packs"


def test_discarded_space_is_given_back(volume_server, catalog):
    catalog.create("disk", SIZE)
    with NbdClient(volume_server.socket) as client:
        client.attach("disk", status=True)
        client.write(0, b"x" * SIZE)
        assert client.status(0, SIZE) == [(SIZE, 0)]
        assert client.request(Command.TRIM, 0, SIZE).errno == 0
        assert client.status(0, SIZE) == [(SIZE, wire.ALLOCATION_HOLE | wire.ALLOCATION_ZERO)]
        client.disconnect()
    assert catalog.usage("disk").mapped == 0
