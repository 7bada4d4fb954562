"""One layer of a volume in the file system: its data files and the log of its page states.

A flush has two phases: sync the data, then append the changes of state and sync them, so that no
state is ever durable before its data. Where no state has changed the second phase falls away.
Callers that wait at the same time share one flush: it covers every write that returned before it
began, so a caller waits for the first that begins after its call.
"""

from __future__ import annotations

import errno
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from blockstore.argument_checks import check_layer_size, check_page_range
from blockstore.errors import Corrupt, StoreFull, StoreUsageError
from blockstore.files.durable_writes import no_room_is_store_full
from blockstore.files.layer_data import LayerData
from blockstore.files.layer_states import (
    STATES_NAME,
    StatesLog,
    clip_entries,
    load_states,
    pack_entry,
    pack_resize,
    pack_states,
)
from blockstore.interface import PAGE_SIZE, PageState, Run

if TYPE_CHECKING:
    from collections.abc import Buffer  # type: ignore[attr-defined]  # Python 3.12
else:
    Buffer = object


PENDING_SIZE_MAX = 16 * 2**20
"""Bytes of unflushed changes of state (a million), above which a write flushes by itself."""


class FilesLayer:
    """`interface.Layer` over a directory; from `FilesExtents.open`."""

    def __init__(self, directory: Path, layer_id: str, *, writable: bool) -> None:
        """FileNotFoundError when there is no such layer; Corrupt."""
        self.layer_id = layer_id
        self._directory = directory
        self._log: StatesLog | None = None
        path = directory / STATES_NAME
        if writable:
            self._log = StatesLog(path, layer_id)
            loaded = self._log.loaded
        else:
            loaded = load_states(path, layer_id)
        self.size = loaded.size
        self._states = loaded.states
        try:
            self._data = LayerData(directory, layer_id, writable=writable)
        except BaseException:
            if self._log is not None:
                self._log.close()
            raise
        self._changed = threading.Condition()
        """Guards all that follows, and the states."""
        self._pending = bytearray()
        """Packed changes of state since the last flush began."""
        self._round_next = 1
        self._round_done = 0
        self._syncing = False
        self._users = 0
        self._closed = False
        self._failure: BaseException | None = None

    def read_into(self, offset: int, out: memoryview) -> None:
        view = out.cast("B")
        with self._using(offset, len(view)):
            for missing_offset, missing_length in self._data.read_into(offset, view):
                self._check_missing(missing_offset, missing_length)

    def write(self, offset: int, data: Buffer) -> None:
        view = memoryview(data).cast("B")
        with self._using(offset, len(view), write=True):
            if self._is_partly_data(offset, len(view)):
                self._reserve(offset, len(view))
            with no_room_is_store_full(f"layer {self.layer_id}"):
                self._data.write(offset, view)
            self._set(offset, len(view), PageState.DATA)

    def zero(self, offset: int, length: int) -> None:
        with self._using(offset, length, write=True):
            with no_room_is_store_full(f"layer {self.layer_id}"):
                self._data.punch(offset, length)
            self._set(offset, length, PageState.ZERO)

    def allocate(self, offset: int, length: int) -> None:
        with self._using(offset, length, write=True):
            if self._is_partly_data(offset, length):
                self._reserve(offset, length)
            with no_room_is_store_full(f"layer {self.layer_id}"):
                self._data.allocate(offset, length)
            self._set(offset, length, PageState.DATA)

    def runs(self, offset: int, length: int) -> list[Run]:
        with self._using(offset, length), self._changed:
            return self._states.byte_runs(offset, length)

    def flush(self) -> None:
        with self._using(0, 0, write=True):
            self._join_round()

    def resize(self, size: int) -> None:
        check_layer_size(size)
        with self._using(0, 0, write=True):
            self._lead_round(self._begin_round(), resize_to=size)

    def stored_bytes(self) -> int:
        with self._changed:
            return self._states.data_pages * PAGE_SIZE

    def close(self) -> None:
        with self._changed:
            if self._closed:
                return
            self._closed = True
            while self._users:
                self._changed.wait()
        self._data.close()
        if self._log is not None:
            self._log.close()

    @contextmanager
    def _using(self, offset: int, length: int, write: bool = False) -> Iterator[None]:
        """Check the arguments; in the block the files stay open."""
        with self._changed:
            self._check_usable(write)
            check_page_range(self.layer_id, self.size, offset, length)
            self._users += 1
        try:
            yield
        finally:
            with self._changed:
                self._users -= 1
                if self._closed:
                    self._changed.notify_all()

    def _check_usable(self, write: bool) -> None:
        if self._closed:
            raise StoreUsageError(f"layer {self.layer_id} was closed")
        if not write:
            return
        if self._log is None:
            raise StoreUsageError(f"layer {self.layer_id} is open for reading only")
        if self._failure is not None:
            # What the kernel failed to write it no longer has; only the medium knows what is there.
            raise OSError(
                errno.EIO,
                f"an earlier flush of layer {self.layer_id} failed; it must be opened anew",
            ) from self._failure

    def _check_missing(self, offset: int, length: int) -> None:
        first = offset // PAGE_SIZE
        count = (offset + length - 1) // PAGE_SIZE - first + 1
        with self._changed:
            runs = list(self._states.runs(first, count))
        for start, _, state in runs:
            if state is PageState.DATA:
                where = f"{self._directory}:{start * PAGE_SIZE}"
                raise Corrupt(f"layer {self.layer_id}", where, "its data is cut off")

    def _is_partly_data(self, offset: int, length: int) -> bool:
        """Whether a write that fails halfway would have replaced pages that count."""
        with self._changed:
            found = {
                state for _, _, state in self._states.runs(offset // PAGE_SIZE, length // PAGE_SIZE)
            }
        return len(found) > 1 and PageState.DATA in found

    def _reserve(self, offset: int, length: int) -> None:
        with no_room_is_store_full(f"layer {self.layer_id}"):
            self._data.reserve(offset, length)

    def _set(self, offset: int, length: int, state: PageState) -> None:
        first, count = offset // PAGE_SIZE, length // PAGE_SIZE
        with self._changed:
            # The layer may have shrunk since the range was checked.
            check_page_range(self.layer_id, self.size, offset, length)
            if not self._states.is_state(first, count, state):
                self._pending += pack_entry(first, count, state)
                self._states.set(first, count, state)
            crowded = len(self._pending) > PENDING_SIZE_MAX
        if crowded:
            self._join_round()

    def _join_round(self) -> None:
        """Wait for, or do, a flush that begins after now."""
        with self._changed:
            needed = self._round_next
            while self._syncing and self._round_done < needed:
                self._changed.wait()
            if self._round_done >= needed:
                return
            self._check_usable(write=True)
            number = self._take_round()
        self._lead_round(number)

    def _begin_round(self) -> int:
        with self._changed:
            while self._syncing:
                self._changed.wait()
            self._check_usable(write=True)
            return self._take_round()

    def _take_round(self) -> int:
        self._syncing = True
        number = self._round_next
        self._round_next += 1
        return number

    def _lead_round(self, number: int, resize_to: int | None = None) -> None:
        try:
            self._sync(resize_to)
            with self._changed:
                self._round_done = number
        except StoreFull:
            raise
        except BaseException as error:
            # The changes it had taken are neither durable nor pending any more.
            with self._changed:
                self._failure = error
            raise
        finally:
            with self._changed:
                self._syncing = False
                self._changed.notify_all()

    def _sync(self, resize_to: int | None) -> None:
        assert self._log is not None
        with self._changed:
            entries, self._pending = self._pending, bytearray()
            dirty = self._data.take_dirty()
            compact = None if resize_to is not None else self._compact_entries(self._log)
        try:
            self._data.sync(dirty)
            if resize_to is not None:
                self._log.append(entries + pack_resize(resize_to))
                self._apply_resize(resize_to)
            elif not self._replace_log(self._log, compact) and entries:
                self._log.append(entries)
        except StoreFull:
            with self._changed:
                self._pending = entries + self._pending
            raise

    def _compact_entries(self, log: StatesLog) -> bytes | None:
        """All states there are, if it is time to begin the log anew with them."""
        if not log.is_long():
            return None
        entries = pack_states(self._states.changed_runs())
        return entries if log.is_worth_replacing(entries) else None

    def _replace_log(self, log: StatesLog, entries: bytes | None) -> bool:
        if entries is None:
            return False
        try:
            log.replace(self.size, entries)
        except StoreFull:
            return False  # the long log goes on
        return True

    def _apply_resize(self, size: int) -> None:
        with self._changed:
            self._states.forget(size // PAGE_SIZE)
            self._pending = clip_entries(self._pending, size)
            self.size = size
        # Only now: until the new size was durable, what is beyond it was still part of the layer.
        self._data.truncate(size)
