"""Pure-Python twins of the native kernels: slow, obvious, and written without looking at them."""

from __future__ import annotations

import hashlib
import itertools

import blake3
import xxhash


def digest(data: bytes, hash_name: str) -> bytes:
    """The digest of all of `data`, by the libraries of other people."""
    if hash_name == "blake3":
        return bytes(blake3.blake3(data).digest())
    return hashlib.new(hash_name, data).digest()


def scan_blocks(data: bytes, block_size: int, hash_name: str) -> tuple[bytes, list[int], list[int]]:
    """What `native.digest.scan_blocks` promises."""
    pieces = [
        data[start : start + block_size].rstrip(b"\0") for start in range(0, len(data), block_size)
    ]
    return (
        b"".join(digest(piece, hash_name) if piece else bytes(32) for piece in pieces),
        [len(piece) for piece in pieces],
        [xxhash.xxh3_64_intdigest(piece) if piece else 0 for piece in pieces],
    )


def byte_runs(states: bytes) -> list[tuple[int, int, int]]:
    """What `native.pages.runs` promises."""
    found = []
    start = 0
    for value, group in itertools.groupby(states):
        count = len(list(group))
        found.append((start, count, value))
        start += count
    return found


def zero_runs(data: bytes, grain: int) -> list[tuple[int, int, bool]]:
    """What `native.zeros.zero_runs` promises."""
    pieces = [data[start : start + grain] for start in range(0, len(data), grain)]
    found = []
    offset = 0
    for is_zero, group in itertools.groupby(pieces, key=lambda piece: not any(piece)):
        length = sum(map(len, group))
        found.append((offset, length, is_zero))
        offset += length
    return found
