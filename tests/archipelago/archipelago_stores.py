"""Stores for the tests of archipelago."""

from __future__ import annotations

import itertools
from pathlib import Path

from blockstore import Store, StoreOptions, create_store, open_store

_numbers = itertools.count()


def new_memory_store(block_size: int = 64 * 2**10) -> Store:
    url = f"memory:archipelago-{next(_numbers)}"
    create_store(url, StoreOptions(block_size=block_size))
    return open_store(url)


def new_files_store(directory: Path, block_size: int = 64 * 2**10) -> Store:
    url = f"files:{directory}"
    create_store(url, StoreOptions(block_size=block_size))
    return open_store(url)
