from __future__ import annotations

from collections.abc import Iterator

import pytest
from archipelago_stores import new_memory_store

from blockstore.interface import Store


@pytest.fixture
def store() -> Iterator[Store]:
    store = new_memory_store()
    yield store
    store.close()
