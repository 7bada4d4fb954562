"""What the endpoint accepts at most."""

from __future__ import annotations

from typing import Final

BLOCK_COUNT_MAX: Final = 2**21
"""Blocks of one hashmap: 8 TiB of content at 4 MiB, and some 200 MB of memory while it is put."""

HASHMAP_REST_SIZE_MAX: Final = 2**16
"""Bytes of a hashmap's JSON besides the list of hashes."""

HASHMAP_BODY_SIZE_MAX: Final = BLOCK_COUNT_MAX * 80 + HASHMAP_REST_SIZE_MAX
"""A hash takes 64 digits, two quotes and a comma; the rest is for white space."""

BLOCK_UPLOAD_SIZE_MAX: Final = 256 * 2**20
"""Bytes of blocks in one request; clients send some MiB at a time."""
