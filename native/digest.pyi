"""Digests and checksums of buffers, with the GIL released.

`data` is any C-contiguous buffer (BufferError otherwise). Hash names: "blake3", "sha256"
(ValueError otherwise).
"""

from typing_extensions import Buffer

def digest(data: Buffer, hash_name: str) -> bytes:
    """The 32 bytes of the digest of all of `data`."""

def checksum(data: Buffer) -> int:
    """XXH3-64 of all of `data`, seed 0."""

def scan_blocks(
    data: Buffer, block_size: int, hash_name: str
) -> tuple[bytes, list[int], list[int]]:
    """Cut `data` at multiples of `block_size` bytes; describe each piece without trailing NULs.

    Returns the digests (32 bytes a piece, NULs for a piece of NULs only), the lengths without
    trailing NULs (bytes), and the XXH3-64 of those bytes (0 for a piece of NULs only).
    """
