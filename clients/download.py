"""Download by hashmap: zeros are not fetched, a block that occurs twice is fetched once.

What arrives is checked block by block against the hashmap before it is written. The file grows as
NAME.part and takes its name when it is complete and durable; a NAME.part left by an earlier attempt
is hashed first, and only what it lacks is fetched.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from clients.errors import Conflict, DataMismatch, Unreachable
from clients.hashmap import Hashmap, hash_file
from clients.pithos import Pithos
from clients.progress import Progress

ATTEMPTS_MAX = 4
"""How often one stretch is asked for when the connection breaks without a block of progress."""


@dataclass(frozen=True, slots=True)
class DownloadSummary:
    """Where the bytes came from: total = received + already there (repeats too) + zeros."""

    total: int
    received: int
    already_there: int
    zeros: int
    hash: str


@dataclass(frozen=True, slots=True)
class Source:
    """One version of an object."""

    pithos: Pithos
    container: str
    name: str
    hashmap: Hashmap
    etag: str

    @classmethod
    def find(cls, pithos: Pithos, container: str, name: str) -> Source:
        """The present version. NotFound."""
        hashmap, etag = pithos.hashmap(container, name)
        return cls(pithos, container, name, hashmap, etag)

    def blocks(self, first: int, count: int) -> Iterator[tuple[int, bytes]]:
        """Consecutive blocks as they arrive, checked; goes on where a broken connection stopped."""
        done = failures = 0
        while done < count:
            try:
                for index, block in self._receive(first + done, count - done):
                    yield index, block
                    done += 1
                    failures = 0
            except Unreachable:
                failures += 1
                if failures == ATTEMPTS_MAX:
                    raise

    def _receive(self, first: int, count: int) -> Iterator[tuple[int, bytes]]:
        rules, size = self.hashmap.rules, self.hashmap.size
        offset = first * rules.block_size
        length = min((first + count) * rules.block_size, size) - offset
        pieces = self.pithos.read_range((self.container, self.name), self.etag, offset, length)
        index, pending = first, bytearray()
        for piece in pieces:
            pending += piece
            while index < first + count and len(pending) >= (n := rules.block_length(index, size)):
                block = bytes(pending[:n])
                del pending[:n]
                self._check(index, block)
                yield index, block
                index += 1
        if index != first + count or pending:
            raise Unreachable("the server sent another length than was asked for")

    def _check(self, index: int, block: bytes) -> None:
        if self.hashmap.rules.digest(block) != self.hashmap.hashes[index]:
            raise DataMismatch(
                f"block {index} of {self.container}/{self.name} is not what its hash says"
            )


def download(source: Source, path: Path, progress: Progress) -> DownloadSummary:
    """Write the object to `path`, replacing what is there. Directories must exist."""
    part = path.with_name(path.name + ".part")
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    with open(os.open(part, flags, 0o666), "r+b") as file:
        _lock(file, part)
        summary = _fill(source, file, progress)
        os.fsync(file.fileno())
        part.replace(path)
    _sync_directory(path.parent)
    return summary


def download_stream(source: Source, out: BinaryIO, progress: Progress) -> DownloadSummary:
    """Write the object, in order, to something that cannot seek."""
    hashmap = source.hashmap
    progress.start("receiving", hashmap.size)
    zero = hashmap.rules.zero_digest
    wanted = [i for i, value in enumerate(hashmap.hashes) if value != zero]
    received, position = 0, 0
    for first, count in _stretches(wanted):
        for index, block in source.blocks(first, count):
            _write_zeros(out, index * hashmap.rules.block_size - position)
            out.write(block)
            position = index * hashmap.rules.block_size + len(block)
            received += len(block)
            progress.advance(len(block))
    _write_zeros(out, hashmap.size - position)
    return DownloadSummary(hashmap.size, received, 0, hashmap.size - received, hashmap.top_hash)


def _fill(source: Source, file: BinaryIO, progress: Progress) -> DownloadSummary:
    fd, hashmap = file.fileno(), source.hashmap
    rules, zero = hashmap.rules, hashmap.rules.zero_digest
    fresh = os.fstat(fd).st_size == 0
    os.ftruncate(fd, hashmap.size)
    progress.start("checking what is there", 0 if fresh else hashmap.size)
    present = hash_file(fd, rules, progress).hashes  # of a fresh file: one hole, not read
    lacking: dict[bytes, list[int]] = {}
    for index, value in enumerate(hashmap.hashes):
        if present[index] != value:
            lacking.setdefault(value, []).append(index)
    for index in lacking.pop(zero, ()):
        length = rules.block_length(index, hashmap.size)
        _write_at(fd, bytes(length), index * rules.block_size)
    received = 0
    wanted = [indexes[0] for indexes in lacking.values()]
    progress.start("receiving", sum(rules.block_length(i, hashmap.size) for i in wanted))
    for first, count in _stretches(wanted):
        for index, block in source.blocks(first, count):
            content = block.rstrip(b"\0")
            for target in lacking[hashmap.hashes[index]]:
                length = rules.block_length(target, hashmap.size)
                # Over an old file the NULs at the end must be written, in a fresh one they are.
                data = content if fresh else content.ljust(length, b"\0")
                _write_at(fd, data, target * rules.block_size)
            received += len(block)
            progress.advance(len(block))
    zeros = sum(
        rules.block_length(i, hashmap.size) for i, v in enumerate(hashmap.hashes) if v == zero
    )
    there = hashmap.size - received - zeros
    return DownloadSummary(hashmap.size, received, there, zeros, hashmap.top_hash)


def _lock(file: BinaryIO, part: Path) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise Conflict(f"{part} is being written by another download") from error


def _stretches(indexes: Iterable[int]) -> Iterator[tuple[int, int]]:
    """Rising indexes as (first, count) of neighbours."""
    first = count = 0
    for index in indexes:
        if count and index == first + count:
            count += 1
            continue
        if count:
            yield first, count
        first, count = index, 1
    if count:
        yield first, count


def _write_at(fd: int, data: bytes, offset: int) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(fd, view, offset)
        offset += written
        view = view[written:]


def _write_zeros(out: BinaryIO, count: int) -> None:
    chunk = bytes(min(count, 1 << 20))
    while count > 0:
        count -= out.write(chunk[:count])


def _sync_directory(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
