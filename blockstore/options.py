"""What is chosen when a store is made, and never changes after."""

from __future__ import annotations

from dataclasses import dataclass

from blockstore.block_id import HASH_NAMES
from blockstore.errors import StoreUsageError

BLOCK_SIZE_MIN = 64 * 2**10
BLOCK_SIZE_MAX = 4 * 2**20
BLOCK_SIZE_DEFAULT = 64 * 2**10


@dataclass(frozen=True, slots=True)
class StoreOptions:
    """The hash that names blocks, and their size. StoreUsageError when there is no such store."""

    hash_name: str = "blake3"
    block_size: int = BLOCK_SIZE_DEFAULT
    """Bytes: a power of two, 64 KiB to 4 MiB. Small blocks share more, large ones cost less."""

    def __post_init__(self) -> None:
        """Check."""
        if self.hash_name not in HASH_NAMES:
            raise StoreUsageError(
                f"the hash is one of {', '.join(HASH_NAMES)}, not {self.hash_name!r}"
            )
        size = self.block_size
        if not BLOCK_SIZE_MIN <= size <= BLOCK_SIZE_MAX or size & (size - 1):
            raise StoreUsageError(
                f"the block size is a power of two from {BLOCK_SIZE_MIN} to {BLOCK_SIZE_MAX}, "
                f"not {size}"
            )
