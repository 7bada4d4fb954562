"""Digests and checksums against the libraries of other people."""

from __future__ import annotations

import random
import threading

import oracles
import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st

from native import digest

HASH_NAMES = ("blake3", "sha256")
SLICE = 256 * 1024  # the kernel changes its way of working above this


@pytest.mark.parametrize("hash_name", HASH_NAMES)
@pytest.mark.parametrize(
    "size", [0, 1, 63, 64, 65, 1023, 1024, 1025, 4096, SLICE - 1, SLICE, SLICE + 1, 3 * SLICE + 7]
)
def test_digest_is_the_published_one(hash_name, size):
    data = random.Random(size).randbytes(size)
    assert digest.digest(data, hash_name) == oracles.digest(data, hash_name)
    assert digest.checksum(data) == xxhash.xxh3_64_intdigest(data)


@pytest.mark.parametrize("hash_name", HASH_NAMES)
@given(
    pieces=st.lists(st.one_of(st.binary(max_size=40), st.integers(1, 200).map(bytes)), max_size=12),
    block_size=st.integers(1, 130),
)
def test_scan_of_small_blocks(hash_name, pieces, block_size):
    data = b"".join(pieces)
    expected = oracles.scan_blocks(data, block_size, hash_name)
    assert digest.scan_blocks(data, block_size, hash_name) == expected


@pytest.mark.parametrize("hash_name", HASH_NAMES)
@pytest.mark.parametrize("block_size", [64 * 1024, SLICE, 2 * SLICE, 2**20])
def test_scan_of_large_blocks(hash_name, block_size):
    source = random.Random(block_size)
    data = (
        source.randbytes(block_size)
        + bytes(block_size)
        + source.randbytes(block_size // 2 + 5)
        + bytes(block_size - block_size // 2 - 5)
        + source.randbytes(SLICE + 1)
    )
    expected = oracles.scan_blocks(data, block_size, hash_name)
    assert digest.scan_blocks(data, block_size, hash_name) == expected


def test_scan_of_nothing():
    assert digest.scan_blocks(b"", 4096, "blake3") == (b"", [], [])


def test_block_size_larger_than_memory_can_be():
    assert digest.scan_blocks(b"a", 2**63 - 1, "blake3")[1] == [1]


@pytest.mark.parametrize("block_size", [0, -1])
def test_block_size_must_be_positive(block_size):
    with pytest.raises(ValueError, match="block_size"):
        digest.scan_blocks(b"abc", block_size, "blake3")


def test_unknown_hash():
    with pytest.raises(ValueError, match="md5"):
        digest.digest(b"", "md5")
    with pytest.raises(ValueError, match="md5"):
        digest.scan_blocks(b"", 4096, "md5")


def test_any_contiguous_buffer_is_taken_and_released():
    data = bytearray(b"some bytes here!")
    expected = digest.digest(bytes(data), "blake3")
    assert digest.digest(memoryview(data), "blake3") == expected
    assert digest.digest(memoryview(data).cast("H"), "blake3") == expected
    data.append(0)  # a buffer still exported would refuse to grow


@pytest.mark.parametrize("bad", ["text", None, 7])
def test_what_is_no_buffer_is_refused(bad):
    with pytest.raises(TypeError):
        digest.digest(bad, "blake3")


def test_strided_buffer_is_refused():
    with pytest.raises(BufferError):
        digest.checksum(memoryview(b"abcdef")[::2])


def test_threads_agree():
    data = random.Random(1).randbytes(2**20)
    expected = digest.scan_blocks(data, 65536, "blake3")
    results = []
    threads = [
        threading.Thread(target=lambda: results.append(digest.scan_blocks(data, 65536, "blake3")))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [expected] * 4
