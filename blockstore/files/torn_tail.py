"""Telling the end of an append-only log that a crash cut off from one that was damaged.

A record is appended with one write and counts from the sync after it on. If that never happened,
the file ends early, or the record has sectors that were never written and read as NULs. Anything
else that fails its check was whole once, perhaps acknowledged: that is damage, not to be dropped.
"""

from __future__ import annotations

SECTOR_SIZE = 512
"""The least that a medium writes whole."""


def has_unwritten_sector(record: bytes | memoryview, offset: int) -> bool:
    """Whether the part of any sector that belongs to `record`, at `offset` of the file, is NULs."""
    view = memoryview(record)
    start = 0
    while start < len(view):
        stop = min(start + SECTOR_SIZE - (offset + start) % SECTOR_SIZE, len(view))
        if not any(view[start:stop]):
            return True
        start = stop
    return False
