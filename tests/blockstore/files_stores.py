"""Making, opening and damaging `files:` stores."""

import random
from pathlib import Path

from blockstore import StoreOptions, create_store, open_store

BLOCK = 64 * 1024


def noise(seed, size=BLOCK):
    """Bytes that depend on the seed and do not end with NUL."""
    return random.Random(seed).randbytes(size - 1) + b"\x01"


class Stores:
    """One store directory, and what is open of it."""

    def __init__(self, directory):
        self.directory = Path(directory)
        self.url = f"files:{self.directory}"
        self._opened = []

    def create(self, **options):
        return create_store(self.url, StoreOptions(**options))

    def open(self, read_only=False):
        store = open_store(self.url, read_only)
        self._opened.append(store)
        return store

    def close_all(self):
        while self._opened:
            self._opened.pop().close()

    def packs(self):
        return sorted(path for path in (self.directory / "packs").glob("*/*") if path.is_file())

    def find(self, content):
        """(pack, offset) of stored bytes."""
        for pack in self.packs():
            offset = pack.read_bytes().find(content)
            if offset >= 0:
                return pack, offset
        raise AssertionError("these bytes are in no pack")


def flip(path, offset, mask=0x10):
    """Change one byte of a file."""
    with path.open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ mask]))


def contents(blocks):
    """Every committed block with its content."""
    return {record.block_id: blocks.get(record.block_id) for record in blocks.scan()}
