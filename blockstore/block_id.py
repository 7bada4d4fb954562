"""Block identity: the digest of a block's content without its trailing NUL bytes.

So a short last block and its padded form are one block, as in Pithos. A block of NULs only has no
content left: it is never stored, and `ZERO_ID` stands for it wherever an id is expected.
"""

from __future__ import annotations

import hashlib

ID_SIZE = 32
"""Bytes of a block id, for every supported hash."""

ZERO_ID = bytes(ID_SIZE)
"""The absent id: zeros. No content hashes to it in practice (2^-256)."""

HASH_NAMES = ("blake3", "sha256")

_EMPTY_DIGEST = {
    "blake3": bytes.fromhex("af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"),
    "sha256": hashlib.sha256().digest(),
}


def empty_digest(hash_name: str) -> bytes:
    """The digest of no bytes, by which the Pithos API calls the zero block (32 bytes)."""
    return _EMPTY_DIGEST[hash_name]
