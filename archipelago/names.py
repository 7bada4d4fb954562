"""The rules for names and sizes of volumes and snapshots."""

from __future__ import annotations

import unicodedata

from archipelago.errors import InvalidArgument
from blockstore import PAGE_SIZE

NAME_SIZE_MAX = 255
"""UTF-8 bytes of a volume's name, and of a snapshot's part."""

SECTOR_SIZE = 512
"""The grain of volume sizes."""

VOLUME_SIZE_MAX = 64 * 2**40

_FORBIDDEN_CATEGORIES = ("Cc", "Cs", "Zl", "Zp")
"""Unicode's control characters, lone surrogates, line and paragraph separators."""


def check_name(name: str) -> None:
    """InvalidArgument unless `name` may be the name of a volume, or a snapshot's part."""
    bad = sorted(c for c in set(name) if unicodedata.category(c) in _FORBIDDEN_CATEGORIES)
    if bad:
        raise InvalidArgument(f"a name has no control characters, but {name[:64]!a} has")
    size = len(name.encode())
    if not 1 <= size <= NAME_SIZE_MAX:
        raise InvalidArgument(f"a name has 1 to {NAME_SIZE_MAX} bytes of UTF-8, not {size}")
    if "/" in name or "@" in name:
        raise InvalidArgument(f"a name has no '/' and no '@', but {name!r} has")
    if name[0] in "-.":
        raise InvalidArgument(f"a name does not begin with '-' or '.': {name!r}")


def split_name(name: str) -> tuple[str, str | None]:
    """(volume, snapshot part or None) of `VOLUME` or `VOLUME@SNAP`, both checked."""
    volume, at, snapshot = name.partition("@")
    check_name(volume)
    if at:
        check_name(snapshot)
    return volume, snapshot if at else None


def split_snapshot_name(name: str) -> tuple[str, str]:
    """(volume, snapshot part) of `VOLUME@SNAP`; InvalidArgument when there is no snapshot part."""
    volume, snapshot = split_name(name)
    if snapshot is None:
        raise InvalidArgument(f"a snapshot is named VOLUME@SNAPSHOT; {name!r} is a volume")
    return volume, snapshot


def check_size(size: int) -> None:
    """InvalidArgument unless a volume may have that many bytes."""
    if size % SECTOR_SIZE or not SECTOR_SIZE <= size <= VOLUME_SIZE_MAX:
        raise InvalidArgument(
            f"a volume has a multiple of {SECTOR_SIZE} bytes, {SECTOR_SIZE} to"
            f" {VOLUME_SIZE_MAX} (64 TiB), not {size}"
        )


def layer_size(size: int) -> int:
    """The size of a volume in whole pages, in bytes."""
    return size + -size % PAGE_SIZE
