"""A layer of a volume in memory."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from blockstore.argument_checks import check_layer_size, check_page_range
from blockstore.errors import StoreUsageError
from blockstore.interface import PAGE_SIZE, PageState, Run
from blockstore.page_states import PageStates

if TYPE_CHECKING:
    from collections.abc import Buffer  # type: ignore[attr-defined]  # Python 3.12
else:
    Buffer = object

_NUL_PAGE = bytes(PAGE_SIZE)


@dataclass(slots=True)
class LayerState:
    """What all handles of one layer share; under the lock of its store."""

    size: int
    states: PageStates = field(default_factory=PageStates)
    pages: dict[int, bytes] = field(default_factory=dict)


class MemoryLayer:
    """`interface.Layer` over a dict of pages."""

    def __init__(
        self, layer_id: str, layer: LayerState, lock: threading.RLock, writable: bool
    ) -> None:
        self.layer_id = layer_id
        self.size = layer.size
        self._layer = layer
        self._lock = lock
        self._writable = writable
        self._closed = False

    def read_into(self, offset: int, out: memoryview) -> None:
        first, count = self._check(offset, len(out))
        with self._lock:
            pages = [self._layer.pages.get(first + step, _NUL_PAGE) for step in range(count)]
        out[:] = b"".join(pages)

    def write(self, offset: int, data: Buffer) -> None:
        view = memoryview(data).cast("B")
        first, count = self._check(offset, len(view), write=True)
        with self._lock:
            for step in range(count):
                page = view[step * PAGE_SIZE : (step + 1) * PAGE_SIZE]
                self._layer.pages[first + step] = bytes(page)
            self._layer.states.set(first, count, PageState.DATA)

    def zero(self, offset: int, length: int) -> None:
        first, count = self._check(offset, length, write=True)
        with self._lock:
            self._drop_pages(first, count)
            self._layer.states.set(first, count, PageState.ZERO)

    def allocate(self, offset: int, length: int) -> None:
        first, count = self._check(offset, length, write=True)
        with self._lock:
            self._drop_pages(first, count)
            self._layer.states.set(first, count, PageState.DATA)

    def runs(self, offset: int, length: int) -> list[Run]:
        self._check(offset, length)
        with self._lock:
            return self._layer.states.byte_runs(offset, length)

    def flush(self) -> None:
        self._check_open(write=True)

    def resize(self, size: int) -> None:
        self._check_open(write=True)
        check_layer_size(size)
        with self._lock:
            page_count = size // PAGE_SIZE
            for page in [page for page in self._layer.pages if page >= page_count]:
                del self._layer.pages[page]
            self._layer.states.forget(page_count)
            self._layer.size = self.size = size

    def stored_bytes(self) -> int:
        self._check_open()
        return self._layer.states.data_pages * PAGE_SIZE

    def close(self) -> None:
        self._closed = True

    def _drop_pages(self, first: int, count: int) -> None:
        pages = self._layer.pages
        if count < len(pages):
            dropped = [page for page in range(first, first + count) if page in pages]
        else:
            dropped = [page for page in pages if first <= page < first + count]
        for page in dropped:
            del pages[page]

    def _check(self, offset: int, length: int, write: bool = False) -> tuple[int, int]:
        self._check_open(write)
        check_page_range(self.layer_id, self._layer.size, offset, length)
        return offset // PAGE_SIZE, length // PAGE_SIZE

    def _check_open(self, write: bool = False) -> None:
        if self._closed:
            raise StoreUsageError(f"layer {self.layer_id} was closed")
        if write and not self._writable:
            raise StoreUsageError(f"layer {self.layer_id} is open for reading only")
