"""A guest's writes on a full disk, by qemu's own client: told, survived, and kept over kill -9."""

from __future__ import annotations

import os
import select
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from small_disks import MIB, SmallDisk, mounted_small_disk
from volume_server import VolumeServer

from archipelago import Catalog
from blockstore import StoreOptions, create_store, open_store

pytestmark = pytest.mark.interop

DISK_SIZE = 32 * MIB
LEFT = 5 * MIB
VOLUME_SIZE = 64 * MIB
ANSWER_SECONDS_MAX = 30
PROMPT = b"qemu-io> "
NO_SPACE = "No space left on device"


class QemuIo:
    """One connection of qemu-io, told one command after another."""

    def __init__(self, program: str, uri: str) -> None:
        self._process = subprocess.Popen(
            [program, "-f", "raw", "-t", "writeback", uri],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            bufsize=0,
        )
        self._answer()

    def __call__(self, command: str) -> str:
        """What it says to a command."""
        self._process.stdin.write(command.encode() + b"\n")
        return self._answer()

    def __enter__(self) -> QemuIo:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        self._process.stdin.close()
        self._process.stdout.close()

    def _answer(self) -> str:
        text = b""
        while not text.endswith(PROMPT):
            ready, _, _ = select.select([self._process.stdout], [], [], ANSWER_SECONDS_MAX)
            piece = os.read(self._process.stdout.fileno(), 65536) if ready else b""
            assert piece, f"no answer from qemu-io after {text!r}"
            text += piece
        return text.removesuffix(PROMPT).decode()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[SmallDisk]:
    with mounted_small_disk(tmp_path / "small", DISK_SIZE) as disk:
        yield disk


@pytest.fixture
def server(small_disk: SmallDisk, tmp_path: Path) -> Iterator[VolumeServer]:
    """Over a store on the small disk, with the volume `disk`."""
    url = f"files:{small_disk.path}/store"
    create_store(url, StoreOptions(block_size=2**16))
    store = open_store(url)
    Catalog(store).create("disk", VOLUME_SIZE)
    store.close()
    running = VolumeServer(url, tmp_path).start()
    yield running
    assert running.stop() == 0, running.log


def fill_by_writes(guest: QemuIo) -> int:
    """Write MiB after MiB, each of its own pattern, until one fails; how many succeeded."""
    for number in range(DISK_SIZE // MIB):
        said = guest(f"write -P {number + 1} {number}M 1M")
        if "wrote 1048576" not in said:
            assert NO_SPACE in said
            return number
    pytest.fail("the disk never got full")


def check_patterns(guest: QemuIo, count: int) -> None:
    for number in range(count):
        said = guest(f"read -P {number + 1} {number}M 1M")
        assert "read 1048576/1048576" in said, said
        assert "verification failed" not in said, said


def flushed(guest: QemuIo) -> bool:
    return guest("flush").strip() == ""


def test_a_guest_on_a_full_disk(tool, server: VolumeServer, small_disk: SmallDisk) -> None:
    uri = server.uri("disk")
    small_disk.fill(leave_bytes=LEFT)
    with QemuIo(tool("qemu-io"), uri) as guest:
        count = fill_by_writes(guest)
        assert count >= 2
        check_patterns(guest, count)
        assert flushed(guest)
        assert NO_SPACE in guest(f"write -P 99 {count}M 1M")
        check_patterns(guest, count)
        small_disk.empty()
        assert "wrote 1048576" in guest(f"write -P {count + 1} {count}M 1M")
        assert flushed(guest)
        count += 1
        check_patterns(guest, count)
    server.kill()
    server.start()
    with QemuIo(tool("qemu-io"), uri) as guest:
        check_patterns(guest, count)
        assert "wrote 1048576" in guest(f"write -P {count + 1} {count}M 1M")
        assert flushed(guest)
        check_patterns(guest, count + 1)


def test_killed_while_the_disk_is_full(tool, server: VolumeServer, small_disk: SmallDisk) -> None:
    uri = server.uri("disk")
    small_disk.fill(leave_bytes=LEFT)
    with QemuIo(tool("qemu-io"), uri) as guest:
        count = fill_by_writes(guest)
        assert flushed(guest)
        small_disk.fill()
        server.kill()
    server.start()
    with QemuIo(tool("qemu-io"), uri) as guest:
        check_patterns(guest, count)
        assert NO_SPACE in guest(f"write -P 99 {count + 2}M 4M")
        check_patterns(guest, count)
        small_disk.empty()
        assert "wrote 1048576" in guest(f"write -P {count + 1} {count}M 1M")
        assert flushed(guest)
        check_patterns(guest, count + 1)
