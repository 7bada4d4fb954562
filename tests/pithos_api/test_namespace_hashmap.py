"""The Pithos top hash, by the published vectors and by a plain second implementation."""

from __future__ import annotations

import hashlib

import pytest

from blockstore import ZERO_ID
from pithos_api.namespace.hashmap import MerkleTree, merkle_hash

BLOCK_SIZE = 4 * 2**20
X = b"x" * BLOCK_SIZE

VECTORS = [
    (b"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
    (b"\0", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
    (bytes(BLOCK_SIZE), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
    (b"a", "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"),
    (b"a\0\0\0", "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"),
    (X, "baa7a6d36ffa957552df230235c2d51d735f28d49c58a5f3438a3a973a25a37d"),
    (X + b"y", "1eade5f3b5aea8599453d8d1950d0d0cea8e9ef096b1c069cbd6f3f1d62276e0"),
    (X * 2 + b"y", "1f19c99bc28c9a137ca4a37a89844380fc9acaf2c166f2832af88cb3b89b8c12"),
    (X * 4 + b"y", "102d1acc12ddf909415854302f391ed06c113b126b066e0a512f8c80fe3723f7"),
    (b"y", "a1fce4363854ff888cff4b8e7875d600c2682390412a8cf79b37d0b11148b0fa"),
]


def block_ids(content: bytes) -> list[bytes]:
    cut = [content[start : start + BLOCK_SIZE] for start in range(0, len(content), BLOCK_SIZE)]
    stripped = [block.rstrip(b"\0") for block in cut]
    return [hashlib.sha256(block).digest() if block else ZERO_ID for block in stripped]


def plain_merkle(digests: list[bytes]) -> bytes:
    """Level by level, as the definition says."""
    if not digests:
        return hashlib.sha256().digest()
    if len(digests) == 1:
        return digests[0]
    level = list(digests)
    while len(level) & (len(level) - 1):
        level.append(bytes(32))
    while len(level) > 1:
        pairs = zip(level[::2], level[1::2], strict=True)
        level = [hashlib.sha256(left + right).digest() for left, right in pairs]
    return level[0]


@pytest.mark.parametrize(("content", "expected"), VECTORS)
def test_published_vectors(content: bytes, expected: str) -> None:
    assert merkle_hash(block_ids(content), "sha256").hex() == expected


@pytest.mark.parametrize("count", range(70))
def test_any_count_of_blocks(count: int) -> None:
    digests = [hashlib.sha256(bytes([number])).digest() for number in range(count)]
    assert merkle_hash(iter(digests), "sha256") == plain_merkle(digests)


def test_a_zero_block_counts_as_the_digest_of_nothing() -> None:
    nothing = hashlib.sha256().digest()
    one = hashlib.sha256(b"1").digest()
    assert merkle_hash([one, ZERO_ID, one], "sha256") == plain_merkle([one, nothing, one])


def test_the_top_may_be_asked_in_between() -> None:
    tree = MerkleTree("sha256")
    digests = [hashlib.sha256(bytes([number])).digest() for number in range(5)]
    for count, digest in enumerate(digests, 1):
        tree.add(digest)
        assert tree.top() == plain_merkle(digests[:count])


def test_blake3_of_nothing() -> None:
    assert merkle_hash([], "blake3").hex().startswith("af1349b9f5f9a1a6")
    assert merkle_hash([ZERO_ID], "blake3") == merkle_hash([], "blake3")
