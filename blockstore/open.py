"""Stores by URL: `files:/absolute/directory` and `memory:NAME`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from blockstore.errors import StoreUsageError
from blockstore.files.recovery import RebuildReport
from blockstore.files.store import create_files_store, open_files_store, rebuild_files_index
from blockstore.memory import create_memory, open_memory
from blockstore.options import StoreOptions

if TYPE_CHECKING:
    from blockstore.interface import Store, StoreInfo


def create_store(url: str, options: StoreOptions | None = None) -> StoreInfo:
    """Make an empty store, durably. StoreUnavailable when something is there already."""
    options = options or StoreOptions()
    scheme, place = _split(url)
    if scheme == "memory":
        return create_memory(place, options.hash_name, options.block_size)
    return create_files_store(Path(place), options)


def open_store(url: str, read_only: bool = False) -> Store:
    """Open a store. StoreUnavailable when there is none that this program can use."""
    scheme, place = _split(url)
    if scheme == "memory":
        return open_memory(place, read_only)
    return open_files_store(Path(place), read_only=read_only)


def rebuild_index(url: str, *, salvage: bool = False) -> RebuildReport:
    """Make the index of a `files:` store anew from its packs and its log of heads.

    Nobody may have it open: StoreUnavailable. Damaged parts of packs are passed over and reported;
    a damaged log of heads is Corrupt, unless `salvage` says to take what can be read of it.
    """
    scheme, place = _split(url)
    if scheme == "memory":
        raise StoreUsageError(f"{url} has no index to rebuild")
    return rebuild_files_index(Path(place), salvage=salvage)


def _split(url: str) -> tuple[str, str]:
    scheme, colon, place = url.partition(":")
    if not colon or scheme not in ("files", "memory"):
        raise StoreUsageError(f"a store is files:/DIRECTORY or memory:NAME, not {url!r}")
    if not place or "\0" in place:
        raise StoreUsageError(f"{url!r} names no place")
    if scheme == "files" and not place.startswith("/"):
        raise StoreUsageError(f"the directory of {url!r} must be absolute")
    return scheme, place
