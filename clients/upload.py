"""Upload by hashes first: only what the server does not have from this project is sent.

The hashmap is put; the server names the blocks it wants from us; those are sent, several at a
time; the hashmap is put again. The server answers each block with its hash, and the file's state is
compared before each put, so a file that changed meanwhile is noticed, and damage under way too.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import BinaryIO

from clients.errors import DataMismatch, ServerFailed
from clients.hashmap import BlockRules, FileState, Hashmap, hash_file, read_block
from clients.pithos import NewContent, Pithos
from clients.progress import Progress

BATCH_SIZE = 8 * 2**20
"""Bytes of blocks sent in one request."""

CONNECTIONS = 3
"""Batches under way at a time: one is read, one travels, one is made durable."""

ROUNDS_MAX = 3
"""How often the server may ask for more (a collection of garbage may take a block meanwhile)."""


@dataclass(frozen=True, slots=True)
class UploadSummary:
    """Where the bytes of an upload were: total = sent + already there + zeros."""

    total: int
    sent: int
    already_there: int
    zeros: int
    hash: str


def upload(pithos: Pithos, file: BinaryIO, target: NewContent, progress: Progress) -> UploadSummary:
    """Make an object of an open regular file. DataMismatch when the file changes meanwhile."""
    rules = pithos.block_rules(target.container)
    fd = file.fileno()
    before = FileState.of(fd)
    progress.start("hashing", before.size)
    sender = _Sender(pithos, fd, target.container, hash_file(fd, rules, progress, before.size))
    for _ in range(ROUNDS_MAX + 1):
        if FileState.of(fd) != before:
            raise DataMismatch("the local file changed while it was uploaded; nothing was stored")
        missing = pithos.put_hashmap(target, sender.hashmap)
        if not missing:
            return _summary(sender.hashmap, sender.sent)
        sender.send(missing, progress)
    raise ServerFailed("the server goes on asking for blocks that it was sent")


def upload_stream(
    pithos: Pithos, file: BinaryIO, target: NewContent, progress: Progress
) -> UploadSummary:
    """Make an object of a pipe: every block but zeros is sent, since nothing can be read twice.

    Nothing of `file` may be buffered: it is read by its descriptor.
    """
    rules = pithos.block_rules(target.container)
    progress.start("sending", 0)
    hashes: list[bytes] = []
    size = sent = 0
    for batch in _batches(file, rules):
        expected = _batch_hashes(batch, rules)
        if any(value != rules.zero_digest for value in expected):
            _check_sent(pithos.send_blocks(target.container, batch), expected)
            sent += len(batch)
        hashes += expected
        size += len(batch)
        progress.advance(len(batch))
    hashmap = Hashmap(rules, size, hashes)
    if pithos.put_hashmap(target, hashmap):
        raise ServerFailed("the server asks for blocks that it was sent")
    return UploadSummary(size, sent, 0, size - sent, hashmap.top_hash)


@dataclass(slots=True)
class _Sender:
    """Sends blocks of one file, and counts their bytes."""

    pithos: Pithos
    fd: int
    container: str
    hashmap: Hashmap
    sent: int = 0

    def send(self, missing: list[bytes], progress: Progress) -> None:
        rules, size = self.hashmap.rules, self.hashmap.size
        indexes = self._indexes(missing)
        progress.start("sending", sum(rules.block_length(i, size) for i in indexes))
        step = max(1, BATCH_SIZE // rules.block_size)
        pool = ThreadPoolExecutor(CONNECTIONS)
        under_way: deque[Future[int]] = deque()
        try:
            for first in range(0, len(indexes), step):
                if len(under_way) == CONNECTIONS:
                    self._account(under_way.popleft(), progress)
                under_way.append(pool.submit(self._send_batch, indexes[first : first + step]))
            while under_way:
                self._account(under_way.popleft(), progress)
        finally:
            # After an error nobody waits for what is still under way: it may be a minute.
            pool.shutdown(wait=False, cancel_futures=True)

    def _account(self, batch: Future[int], progress: Progress) -> None:
        length = batch.result()
        self.sent += length
        progress.advance(length)

    def _send_batch(self, indexes: list[int]) -> int:
        hashmap, rules = self.hashmap, self.hashmap.rules
        blocks = [read_block(self.fd, rules, index, hashmap.size) for index in indexes]
        # Only the last of a request may be short; NULs at its end change no block's name.
        body = b"".join(block.ljust(rules.block_size, b"\0") for block in blocks[:-1]) + blocks[-1]
        answered = self.pithos.send_blocks(self.container, body)
        _check_sent(answered, [hashmap.hashes[index] for index in indexes])
        return sum(map(len, blocks))

    def _indexes(self, missing: list[bytes]) -> list[int]:
        """Where in the file each missing block is first found, in order."""
        wanted = set(missing)
        indexes = []
        for index, value in enumerate(self.hashmap.hashes):
            if value in wanted:
                wanted.remove(value)
                indexes.append(index)
        if wanted or self.hashmap.rules.zero_digest in missing:
            raise ServerFailed("the server asks for blocks that the file does not have")
        return indexes


def _check_sent(answered: list[bytes], expected: list[bytes]) -> None:
    if answered != expected:
        raise DataMismatch(
            "what the server received is not what was hashed:"
            " the file changed, or bytes were damaged under way"
        )


def _summary(hashmap: Hashmap, sent: int) -> UploadSummary:
    zero = hashmap.rules.zero_digest
    zeros = sum(
        hashmap.rules.block_length(index, hashmap.size)
        for index, value in enumerate(hashmap.hashes)
        if value == zero
    )
    there = hashmap.size - zeros - sent
    return UploadSummary(hashmap.size, sent, max(0, there), zeros, hashmap.top_hash)


def _batches(file: BinaryIO, rules: BlockRules) -> Iterator[bytes]:
    """The stream in pieces of whole blocks; only the last may be shorter."""
    fd = file.fileno()
    size = max(1, BATCH_SIZE // rules.block_size) * rules.block_size
    while True:
        batch = bytearray()
        while len(batch) < size:
            # Not file.read: that goes on reading in C where a Ctrl-C finds no way in.
            piece = os.read(fd, size - len(batch))
            if not piece:
                break
            batch += piece
        if batch:
            yield bytes(batch)
        if len(batch) < size:
            return


def _batch_hashes(batch: bytes, rules: BlockRules) -> list[bytes]:
    step = rules.block_size
    return [rules.digest(batch[i : i + step]) for i in range(0, len(batch), step)]
