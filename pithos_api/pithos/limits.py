"""What the endpoint accepts at most."""

from __future__ import annotations

from typing import Final

BLOCK_COUNT_MAX: Final = 2**21
"""Blocks of one hashmap: 128 GiB of content in blocks of 64 KiB, 8 TiB in blocks of 4 MiB.

While one of this size is put it takes some 400 MB of memory.
"""

BLOCK_COUNT_LARGE: Final = 2**17
"""A hashmap of more blocks than that waits for its turn."""

LARGE_AT_ONCE: Final = 2
"""Large hashmaps that one process works on at a time; others have been read, and wait."""

HASHMAP_REST_SIZE_MAX: Final = 2**16
"""Bytes of a hashmap's JSON besides the list of hashes."""

HASHMAP_BODY_SIZE_MAX: Final = BLOCK_COUNT_MAX * 80 + HASHMAP_REST_SIZE_MAX
"""A hash takes 64 digits, two quotes and a comma; the rest is for white space."""
