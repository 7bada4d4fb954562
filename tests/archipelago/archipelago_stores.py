"""Stores for the tests of archipelago."""

from __future__ import annotations

import itertools

from blockstore.interface import Store
from blockstore.memory import create_memory, open_memory

_numbers = itertools.count()


def new_memory_store(block_size: int = 64 * 2**10) -> Store:
    name = f"archipelago-{next(_numbers)}"
    create_memory(name, "blake3", block_size)
    return open_memory(name)
