"""Random requests, snapshots, sealings, kills and restarts against an oracle; prints its seed."""

from __future__ import annotations

import os
import random

import pytest
from nbd_client import NbdClient
from volume_server import VolumeServer

from volumes.control import ControlClient
from volumes.nbd import wire
from volumes.nbd.wire import Command

SIZE = 4 * 2**20
LENGTHS = (1, 512, 4096, 65536, 300_000, 1_500_000)
SNAPSHOTS_MAX = 8


class Soak:
    """One volume, what it has to read as, and what its snapshots have to."""

    def __init__(self, server: VolumeServer, rng: random.Random):
        self.server = server
        self.rng = rng
        self.content = bytearray(SIZE)
        self.snapshots: dict[str, bytes] = {}

    def round(self) -> None:
        with (
            NbdClient(self.server.socket) as first,
            NbdClient(self.server.socket) as second,
            ControlClient(self.server.control) as control,
        ):
            first.attach("disk")
            second.attach("disk", structured=self.rng.random() < 0.8)
            for _ in range(self.rng.randrange(10, 60)):
                self.request(self.rng.choice([first, second]))
            self.operate(control)
            self.interrupt(second, control)

    def request(self, client: NbdClient) -> None:
        rng = self.rng
        offset = rng.randrange(SIZE)
        if rng.random() < 0.5:
            offset -= offset % 4096
        length = min(rng.choice(LENGTHS), SIZE - offset)
        span = slice(offset, offset + length)
        flags = rng.choice([0, 0, wire.COMMAND_FUA])
        action = rng.randrange(6)
        if action < 3:
            data = rng.randbytes(length)
            assert client.write(offset, data, flags).errno == 0
            self.content[span] = data
        elif action == 3:
            command = rng.choice([Command.TRIM, Command.WRITE_ZEROES])
            if command == Command.WRITE_ZEROES and rng.random() < 0.5:
                flags |= wire.COMMAND_NO_HOLE
            assert client.request(command, offset, length, flags=flags).errno == 0
            self.content[span] = bytes(length)
        else:
            assert client.read(offset, length) == self.content[span], (offset, length)

    def operate(self, control: ControlClient) -> None:
        action = self.rng.randrange(3)
        if action == 0 and len(self.snapshots) < SNAPSHOTS_MAX:
            name = f"disk@{len(self.snapshots)}"
            control.snapshot(name)
            self.snapshots[name] = bytes(self.content)
        elif action == 1:
            control.seal("disk")

    def interrupt(self, client: NbdClient, control: ControlClient) -> None:
        action = self.rng.randrange(4)
        if action == 0:
            assert client.flush().errno == 0
            self.server.kill()
            self.server.start()
        elif action == 1:
            assert self.server.stop() == 0
            self.server.start()
        elif action == 2:
            assert control.detach("disk") == 2

    def check(self) -> None:
        for name, content in {**self.snapshots, "disk": bytes(self.content)}.items():
            with NbdClient(self.server.socket) as client:
                client.attach(name)
                assert client.read(0, SIZE) == content, name
                client.disconnect()


@pytest.mark.parametrize(
    "rounds", [12, pytest.param(400, marks=pytest.mark.stress)], ids=["short", "long"]
)
def test_nothing_flushed_is_lost_and_nothing_else_is_read(volume_server, catalog, rounds):
    seed = int.from_bytes(os.urandom(4), "big")
    print(f"seed {seed}")  # noqa: T201
    catalog.create("disk", SIZE)
    soak = Soak(volume_server, random.Random(seed))
    for _ in range(rounds):
        soak.round()
    soak.check()
    assert " ERROR " not in volume_server.log
