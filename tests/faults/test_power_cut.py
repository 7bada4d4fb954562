"""Power fails under a store: the file system stops at once, without writing out its journal.

What ext4 then has on the medium is what had been synced, plus what it happened to write. Everything
acknowledged before must be there; what was under way may be, wholly or not at all.
"""

from __future__ import annotations

import fcntl
import os
import random
import shutil
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from power_cut_child import PAGE

from archipelago import Catalog, Volume
from blockstore import Store, open_store

CHILD = Path(__file__).with_name("power_cut_child.py")
EXT4_IOC_SHUTDOWN = 0x8004587D
NO_LOG_FLUSH = 2
IMAGE_BYTES = 400 * 2**20
WAIT_S = 60

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("mkfs.ext4", path="/sbin:/usr/sbin"),
    reason="mounting a file system of its own needs root and mkfs.ext4",
)


class Disk:
    """An ext4 file system in a file, that can lose its power."""

    def __init__(self, folder: Path) -> None:
        self.image = folder / "image"
        self.mounted_at = folder / "disk"
        self.mounted_at.mkdir()
        with self.image.open("wb") as file:
            file.truncate(IMAGE_BYTES)
        subprocess.run(["/sbin/mkfs.ext4", "-q", "-F", self.image], check=True)
        self.mount()

    def mount(self) -> None:
        subprocess.run(["mount", "-o", "loop", self.image, self.mounted_at], check=True)

    def unmount(self) -> None:
        subprocess.run(["umount", self.mounted_at], check=True)

    def cut_power(self) -> None:
        descriptor = os.open(self.mounted_at, os.O_RDONLY)
        try:
            fcntl.ioctl(descriptor, EXT4_IOC_SHUTDOWN, struct.pack("I", NO_LOG_FLUSH))
        finally:
            os.close(descriptor)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    disk = Disk(tmp_path)
    yield disk
    disk.unmount()


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_what_was_acknowledged_is_there(disk: Disk, seed: int) -> None:
    store_directory = disk.mounted_at / "store"
    acknowledged = write_until(disk, seed, random.Random(seed).randrange(200, 700))
    disk.unmount()
    disk.mount()
    store = open_store(f"files:{store_directory}")
    try:
        check(store, acknowledged)
    finally:
        store.close()


def write_until(disk: Disk, seed: int, count: int) -> list[list[str]]:
    """Run the child, cut the power after `count` acknowledgements; all that it gave."""
    words = [sys.executable, str(CHILD), str(disk.mounted_at / "store"), str(seed)]
    child = subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=disk.image.parent
    )
    assert child.stdout is not None
    with child.stdout:
        lines = [child.stdout.readline() for _ in range(count)]
        disk.cut_power()
        lines += child.stdout.readlines()
    assert child.wait(WAIT_S) != 0, "a disk without power took a write"
    assert lines[count - 1], f"the child ended before the power did, seed {seed}"
    return [line.split() for line in lines if line.endswith("\n")]


def check(store: Store, acknowledged: list[list[str]]) -> None:
    pages: dict[int, int] = {}
    catalog = Catalog(store)
    for kind, *words in acknowledged:
        if kind == "flush":
            page, value, zeroed = map(int, words)
            pages[page] = value
            pages[zeroed] = 0
        elif kind == "blocks":
            check_blocks(store, int(words[0]), int(words[1]), words[2:])
        else:
            with catalog.open(f"disk@{words[0]}", read_only=True) as snapshot:
                assert differing(snapshot, pages) == [], f"snapshot {words[0]}"
    with catalog.open("disk", holder="check") as volume:
        # One write and one zeroing were under way, and may have got there.
        assert len(differing(volume, pages)) <= 2


def check_blocks(store: Store, content_seed: int, size: int, ids: list[str]) -> None:
    content = random.Random(content_seed).randbytes(size)
    block_size = store.info.block_size
    for number, block_id in enumerate(ids):
        expected = content[number * block_size : (number + 1) * block_size].rstrip(b"\0")
        assert store.blocks.get(bytes.fromhex(block_id)) == expected


def differing(volume: Volume, pages: dict[int, int]) -> list[int]:
    return [
        page
        for page, value in pages.items()
        if volume.read(page * PAGE, PAGE) != bytes([value]) * PAGE
    ]
