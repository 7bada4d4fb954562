"""Local content as the server names it: a list of block hashes, and the one hash over them.

A block is named by the digest of its bytes without trailing NULs, so a short last block and its
padded form are one block, and every block of zeros has the digest of nothing. The top hash is the
Pithos Merkle hash: the list padded with all-NUL digests to a power of two and hashed in pairs.
"""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from blake3 import blake3

from clients.errors import DataMismatch, ServerFailed
from clients.progress import Progress
from pithos_api.wire import DIGEST_SIZE

BLOCK_SIZE_MAX = 64 * 2**20
"""No server of ours has larger ones; a larger one would make us allocate what it likes."""

_THREADED_FROM = 2**20
"""BLAKE3 gains from several threads from about this many bytes."""


@dataclass(frozen=True, slots=True)
class BlockRules:
    """How a store cuts and names content."""

    block_size: int
    hash_name: str

    def __post_init__(self) -> None:
        if self.hash_name not in ("blake3", "sha256"):
            raise ServerFailed(f"the server names blocks by {self.hash_name!r}, unknown here")
        if not 0 < self.block_size <= BLOCK_SIZE_MAX:
            raise ServerFailed(f"the server has an impossible block size: {self.block_size}")

    def block_count(self, size: int) -> int:
        """Blocks of content of `size` bytes."""
        return -(-size // self.block_size)

    def block_length(self, index: int, size: int) -> int:
        """Bytes of block `index` of content of `size` bytes."""
        return min(self.block_size, size - index * self.block_size)

    def digest(self, block: bytes) -> bytes:
        """The name of a block: trailing NULs do not count."""
        return self._hash(block.rstrip(b"\0"))

    @property
    def zero_digest(self) -> bytes:
        """The name of every block of zeros: the digest of nothing."""
        return self._hash(b"")

    def merkle(self, hashes: Sequence[bytes]) -> bytes:
        """The Pithos top hash of a list of block hashes."""
        if not hashes:
            return self.zero_digest
        row = list(hashes)
        row += [bytes(DIGEST_SIZE)] * ((1 << (len(row) - 1).bit_length()) - len(row))
        while len(row) > 1:
            row = [self._hash(row[i] + row[i + 1]) for i in range(0, len(row), 2)]
        return row[0]

    def _hash(self, data: bytes) -> bytes:
        if self.hash_name == "sha256":
            return hashlib.sha256(data).digest()
        threads = blake3.AUTO if len(data) >= _THREADED_FROM else 1
        return blake3(data, max_threads=threads).digest()


@dataclass(frozen=True, slots=True)
class Hashmap:
    """Content as a list of blocks. `hashes` has one entry for each block, none when it is empty."""

    rules: BlockRules
    size: int
    hashes: list[bytes]

    def __post_init__(self) -> None:
        if self.size < 0 or len(self.hashes) != self.rules.block_count(self.size):
            raise ServerFailed(
                f"a hashmap of {len(self.hashes)} blocks does not fit {self.size} bytes"
            )

    @property
    def top_hash(self) -> str:
        """The Merkle hash, in hex."""
        return self.rules.merkle(self.hashes).hex()


@dataclass(frozen=True, slots=True)
class FileState:
    """Enough of a file's stat to notice that it was written to."""

    inode: int
    size: int
    modified_ns: int

    @classmethod
    def of(cls, fd: int) -> FileState:
        """The state of an open file now."""
        found = os.fstat(fd)
        return cls(found.st_ino, found.st_size, found.st_mtime_ns)


def hash_file(fd: int, rules: BlockRules, progress: Progress, size: int | None = None) -> Hashmap:
    """Hash an open regular file by blocks; holes are not read. DataMismatch when it shrinks."""
    size = os.fstat(fd).st_size if size is None else size
    hashes = [rules.zero_digest] * rules.block_count(size)
    reported = 0
    for index in _data_blocks(fd, size, rules.block_size):
        hashes[index] = rules.digest(read_block(fd, rules, index, size))
        done = index * rules.block_size + rules.block_length(index, size)
        progress.advance(done - reported)
        reported = done
    progress.advance(size - reported)
    return Hashmap(rules, size, hashes)


def read_block(fd: int, rules: BlockRules, index: int, size: int) -> bytes:
    """Block `index` of a file that has `size` bytes; DataMismatch when it has become shorter."""
    length = rules.block_length(index, size)
    offset = index * rules.block_size
    data = os.pread(fd, length, offset)
    while len(data) < length:
        more = os.pread(fd, length - len(data), offset + len(data))
        if not more:
            raise DataMismatch("the local file became shorter while it was read")
        data += more
    return data


def _data_blocks(fd: int, size: int, block_size: int) -> Iterator[int]:
    """Indexes, in order, of the blocks that are not wholly in a hole."""
    index = 0
    while index * block_size < size:
        begin, end = _next_data(fd, index * block_size, size)
        index = max(index, begin // block_size)
        stop = -(-end // block_size)
        yield from range(index, stop)
        index = max(index, stop)


def _next_data(fd: int, offset: int, size: int) -> tuple[int, int]:
    """The next stretch of the file that may hold data; (size, size) where only a hole follows."""
    try:
        begin = os.lseek(fd, offset, os.SEEK_DATA)
    except OSError as error:
        if error.errno == errno.ENXIO:
            return size, size
        if error.errno == errno.EINVAL:  # the file system knows no holes
            return offset, size
        raise
    return begin, min(size, os.lseek(fd, begin, os.SEEK_HOLE))
