"""The Pithos top hash: a Merkle tree over the digests of an object's blocks.

No blocks: the digest of nothing. One block: its digest. More: padded with NUL digests to a power
of two, then pairs are hashed until one is left. The size is not part of it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable

from blake3 import blake3

from blockstore import ID_SIZE, ZERO_ID, empty_digest

_PAD = bytes(ID_SIZE)


def merkle_hash(ids: Iterable[bytes], hash_name: str) -> bytes:
    """The top hash of blocks in order; `ZERO_ID` counts as the digest of nothing, its Pithos name.

    Memory grows with the logarithm of the count, so that `ids` may be a stream.
    """
    tree = MerkleTree(hash_name)
    for block_id in ids:
        tree.add(block_id)
    return tree.top()


class MerkleTree:
    """The top hash of a growing list of block ids."""

    def __init__(self, hash_name: str) -> None:
        self._empty = empty_digest(hash_name)
        self._digest = _DIGESTS[hash_name]
        self._nodes: list[bytes | None] = []
        # Position i: the finished subtree over 2**i blocks that waits for its right sibling.

    def add(self, block_id: bytes) -> None:
        """Append one block."""
        node = self._empty if block_id == ZERO_ID else block_id
        for level, left in enumerate(self._nodes):
            if left is None:
                self._nodes[level] = node
                return
            node = self._digest(left + node)
            self._nodes[level] = None
        self._nodes.append(node)

    def top(self) -> bytes:
        """The hash of all that was added; more may follow."""
        if not self._nodes:
            return self._empty
        pad, carry = _PAD, None
        for left in self._nodes[:-1]:
            if left is not None:
                carry = self._digest(left + (pad if carry is None else carry))
            elif carry is not None:
                carry = self._digest(carry + pad)
            pad = self._digest(pad + pad)
        last = self._nodes[-1]
        assert last is not None
        return last if carry is None else self._digest(last + carry)


def _sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def _blake3(data: bytes) -> bytes:
    return bytes(blake3(data).digest())


_DIGESTS: dict[str, Callable[[bytes], bytes]] = {"sha256": _sha256, "blake3": _blake3}
