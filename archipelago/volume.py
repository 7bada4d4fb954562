"""An open volume or snapshot.

Reads ask the layers, newest first, then the map. Writes go to the live layer, whole pages as they
are, others by read-modify-write of their page. What changes the stack itself (snapshot, resize,
news of a sealed layer) is prepared beside the requests and swapped in while none is under way.

A flush checks the lease *after* the data is durable: whoever seizes the lease copies what was
durable before, so an acknowledged flush is in the copy, and any later one is refused here.
"""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from types import TracebackType
from typing import TYPE_CHECKING, TypeVar

from archipelago.content import Content
from archipelago.errors import (
    ArchipelagoError,
    InvalidArgument,
    MapCorrupt,
    VolumeNotFound,
    VolumeReadOnly,
)
from archipelago.extent import Extent, ExtentKind
from archipelago.fit import fit_root
from archipelago.gate import Gate, PageLocks
from archipelago.info import SnapshotInfo, VolumeInfo, snapshot_info, volume_info
from archipelago.layers import (
    drop_unused_layer,
    fit_layer,
    is_untouched,
    new_layer,
    open_layer,
)
from archipelago.lifecycle import (
    FROZEN_LAYERS_MAX,
    add_clone,
    add_snapshot,
    freeze_top,
    new_volume,
)
from archipelago.map import Maps
from archipelago.map_format import EMPTY_MAP
from archipelago.names import check_name, check_size, layer_size
from archipelago.page_range import clip_extents, page_range, split_pages
from archipelago.records import SnapshotRecord, VolumeRecord
from archipelago.seal import Sealer
from archipelago.stack import LayerStack
from archipelago.transaction import Transaction, transact
from blockstore import PAGE_SIZE, Layer, Lease, LeaseLost, NotFound, Store, StoreError

if TYPE_CHECKING:
    from collections.abc import Buffer  # type: ignore[attr-defined]  # Python 3.12
else:
    Buffer = object

OPEN_RETRIES_MAX = 100
"""How often layers may be sealed away between reading a head and opening what it names."""

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class VolumeParts:
    """What an open volume works with."""

    store: Store
    maps: Maps
    sealer: Sealer
    on_close: Callable[[Volume], None]


class Volume:
    """From `Catalog.open`. Thread-safe; offsets and lengths are bytes and need no alignment.

    Errors: InvalidArgument outside of the volume or after `close`; VolumeReadOnly; LeaseLost once
    another process has taken the volume over, from then on for everything; those of the store.
    An OSError of a flush is final: what was written may be lost, and only what a new `open` finds
    is certain. This one then only reads.
    """

    def __init__(
        self,
        parts: VolumeParts,
        name: str,
        head_name: str,
        lease: Lease | None,
        *,
        read_only: bool,
    ) -> None:
        self.name = name
        """`VOLUME` or `VOLUME@SNAPSHOT`."""
        self.head_name = head_name
        self.read_only = read_only
        self._parts = parts
        self._store = parts.store
        self._lease = lease
        self._change = threading.RLock()
        self._gate = Gate()
        self._pages = PageLocks()
        self._closed = False
        self._failure: str = ""
        self._lost = False
        self._handles: dict[str, Layer] = {}
        try:
            self._record, self._stack = self._load()
        except BaseException:
            self._close_handles()
            raise

    @property
    def size(self) -> int:
        """Bytes."""
        return self._record.size

    @property
    def block_size(self) -> int:
        """Bytes of a block of the map below: the grain at which content is shared."""
        return self._parts.maps.block_size

    @property
    def volume_id(self) -> str:
        """The id of the volume or snapshot."""
        return self._record.id

    def __enter__(self) -> Volume:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def read(self, offset: int, length: int) -> bytes:
        """The `length` bytes at `offset`."""
        self._check_range(offset, length)
        out = bytearray(length)
        self.read_into(offset, memoryview(out))
        return bytes(out)

    def read_into(self, offset: int, out: memoryview) -> None:
        """Fill `out` with the bytes at `offset`."""
        self._with_fresh_map(lambda: self._read_into(offset, out))

    def write(self, offset: int, data: Buffer) -> None:
        """Replace the bytes at `offset`. Durable after `flush`."""
        view = memoryview(data).cast("B")
        self._with_fresh_map(lambda: self._write(offset, view))

    def zero(self, offset: int, length: int, allocate: bool = False) -> None:
        """Make a range NULs: with space set aside for later writes (`allocate`), or without."""
        self._with_fresh_map(lambda: self._zero(offset, length, allocate))

    def discard(self, offset: int, length: int) -> None:
        """Give the space of a range back. It reads as NULs afterwards, to the byte."""
        self.zero(offset, length)

    def flush(self) -> None:
        """Return when every write, zero and discard that returned before the call is durable."""
        with self._request(0, 0, write=not self.read_only):
            if not self.read_only:
                self._flush_top()

    def extents(self, offset: int, length: int) -> list[Extent]:
        """What the range consists of: maximal extents in order that cover it exactly."""
        return self._with_fresh_map(lambda: self._extents(offset, length))

    def snapshot(self, snap_name: str) -> SnapshotInfo:
        """Keep the content of this moment as `VOLUME@snap_name`. NameTaken.

        Everything written by then is in it, flushed or not, and is durable on return.
        """
        check_name(snap_name)
        snapshot = self._freeze(lambda step, record: add_snapshot(step, record, snap_name))
        return snapshot_info(self.name, snapshot)

    def clone(self, new_name: str, size: int | None = None) -> VolumeInfo:
        """Make a volume with the content of this moment; afterwards the two are independent."""
        check_name(new_name)
        wanted = self.size if size is None else size
        clone = new_volume(new_name, wanted, EMPTY_MAP, self.name)
        return volume_info(self._freeze(lambda step, record: add_clone(step, record, clone)))

    def freeze(self) -> None:
        """Make the layers so far immutable, as a snapshot does, so that they can be sealed."""
        self._freeze(lambda step, record: None)

    def resize(self, size: int, shrink: bool = False) -> None:
        """Change the size, durably. New bytes are NULs. Bytes beyond a smaller size are gone for
        good; that has to be asked for with `shrink`, else InvalidArgument."""
        check_size(size)
        while True:
            if size < self.size:
                if not shrink:
                    raise InvalidArgument(
                        f"{self.name} has {self.size} bytes; making it {size} loses what is beyond"
                    )
                self._seal()
            with self._change:
                self._check_usable(write=True)
                if size >= self.size or not self._record.frozen:
                    self._resize(size)
                    return

    def refresh(self) -> None:
        """Take notice of layers that were sealed, by whomever."""
        with self._change:
            if self._closed or self._lost:
                return
            try:
                self._reload()
            except LeaseLost:
                return
            except VolumeNotFound:
                # A snapshot that another process deleted stays readable; a volume is not ours.
                self._lost = self._lease is not None

    def close(self) -> None:
        """Flush (unless the lease is lost), release everything. Idempotent."""
        with self._change, self._gate.exclusive():
            if self._closed:
                return
            self._closed = True
            try:
                if not self.read_only and not self._lost and not self._failure:
                    self._flush_top()
            finally:
                self._close_handles()
                if self._lease is not None:
                    self._store.leases.release(self._lease)
                self._parts.on_close(self)

    @property
    def _top(self) -> Layer:
        return self._stack.layers[0]

    @contextmanager
    def _request(self, offset: int, length: int, *, write: bool = False) -> Iterator[None]:
        with self._gate.shared():
            self._check_usable(write)
            self._check_range(offset, length)
            try:
                yield
            except OSError:
                # Who took the volume over has removed the files of its former layer.
                self._check_lease()
                raise

    def _check_usable(self, write: bool) -> None:
        if self._closed:
            raise InvalidArgument(f"{self.name} was closed")
        if self._lost and self._lease is not None:
            raise LeaseLost(self._lease.name)
        if write and self.read_only:
            raise VolumeReadOnly(self.name)
        if self._failure:
            # Reads too: after a failed flush the kernel may drop what it could not write, and
            # a read would quietly find the bytes from before.
            raise OSError(errno.EIO, f"{self.name} failed before and must be reopened", self.name)

    def _check_range(self, offset: int, length: int) -> None:
        if offset < 0 or length < 0 or offset + length > self.size:
            raise InvalidArgument(
                f"{length} bytes at {offset} are not inside {self.name}, which has {self.size}"
            )

    def _with_fresh_map(self, request: Callable[[], Result]) -> Result:
        """Answer a request. When the map lacks something, see first whether another process has
        sealed layers and the blocks of the former map were collected since."""
        known = self._record
        try:
            return request()
        except (NotFound, MapCorrupt):
            # Another thread may have been told of it since.
            self.refresh()
            if self._record == known:
                raise
            return request()

    def _write(self, offset: int, view: memoryview) -> None:
        with self._request(offset, len(view), write=True):
            for start, end, whole in split_pages(offset, offset + len(view)):
                piece = view[start - offset : end - offset]
                if whole:
                    with self._pages.hold(start, end, exclusive=False):
                        self._top.write(start, piece)
                else:
                    self._patch_page(start, piece)

    def _zero(self, offset: int, length: int, allocate: bool) -> None:
        with self._request(offset, length, write=True):
            for start, end, whole in split_pages(offset, offset + length):
                if not whole:
                    self._patch_page(start, bytes(end - start), keep=allocate)
                    continue
                with self._pages.hold(start, end, exclusive=False):
                    if allocate:
                        self._top.allocate(start, end - start)
                    else:
                        self._zero_pages(start, end - start)

    def _extents(self, offset: int, length: int) -> list[Extent]:
        with self._request(offset, length):
            start, end = page_range(offset, offset + length)
            found = self._stack.extents(start, end - start) if length else iter(())
            return list(clip_extents(found, offset, offset + length))

    def _read_into(self, offset: int, out: memoryview) -> None:
        with self._request(offset, len(out)):
            self._read_pages(offset, out)

    def _read_pages(self, offset: int, out: memoryview) -> None:
        start, end = page_range(offset, offset + len(out))
        if end - start == len(out):
            self._stack.read_into(offset, out)
            return
        pages = bytearray(end - start)
        self._stack.read_into(start, memoryview(pages))
        out[:] = memoryview(pages)[offset - start : offset - start + len(out)]

    def _patch_page(self, offset: int, data: Buffer, keep: bool = True) -> None:
        """Replace bytes of one page. Unless `keep`, a page of NULs gives its space back."""
        view = memoryview(data)
        start = offset - offset % PAGE_SIZE
        with self._pages.hold(start, start + PAGE_SIZE, exclusive=True):
            page = bytearray(PAGE_SIZE)
            self._stack.read_into(start, memoryview(page))
            page[offset - start : offset - start + len(view)] = view
            if keep or any(page):
                self._top.write(start, page)
            else:
                self._zero_pages(start, PAGE_SIZE)

    def _zero_pages(self, start: int, length: int) -> None:
        # Discarding what is a hole already would fill the layer with states that say nothing.
        for extent in self._stack.extents(start, length):
            if extent.kind is ExtentKind.DATA:
                self._top.zero(extent.offset, extent.length)

    def _flush_top(self) -> None:
        try:
            self._top.flush()
        except OSError as error:
            self._check_lease()
            self._failure = str(error)
            raise
        self._check_lease()

    def _check_lease(self) -> None:
        if self._lease is None:
            return
        try:
            self._store.leases.check(self._lease)
        except LeaseLost:
            self._lost = True
            raise

    def _freeze(self, attach: Callable[[Transaction, VolumeRecord], Result]) -> Result:
        """Freeze the live layer and, in the same transaction, `attach` what wants to share it."""
        if len(self._record.frozen) >= FROZEN_LAYERS_MAX:
            self._seal()
        with self._change:
            self._check_usable(write=True)
            if is_untouched(self._top):
                # Whatever is written meanwhile came after this moment.
                return transact(self._store, lambda step: attach(step, self._own(step)))
            new_top = new_layer(self._store, self.size)
            try:
                return self._freeze_over(new_top, attach)
            except BaseException:
                drop_unused_layer(self._store, new_top)
                raise

    def _freeze_over(
        self, new_top: str, attach: Callable[[Transaction, VolumeRecord], Result]
    ) -> Result:
        def body(step: Transaction) -> tuple[VolumeRecord, Result]:
            record = freeze_top(step, self._own(step), new_top)
            return record, attach(step, record)

        opened = [open_layer(self._store, new_top, writable=True)]
        try:
            with self._gate.exclusive(), self._final_errors():
                self._flush_top()
                # Not later: as soon as it is frozen, another process may seal it away.
                opened.append(open_layer(self._store, self._top.layer_id, writable=False))
                record, result = transact(self._store, body)
                former = self._top
                self._handles |= {layer.layer_id: layer for layer in opened}
                self._install(record)
                former.close()
        except BaseException:
            for layer in opened:
                layer.close()
            raise
        return result

    def _resize(self, size: int) -> None:
        shrinks = size < self.size

        def body(step: Transaction) -> VolumeRecord:
            own = self._own(step)
            resized = replace(own, size=size, root=root if shrinks else own.root)
            step.put(resized)
            return resized

        with self._gate.exclusive(), self._final_errors():
            self._flush_top()
            root = self._record.root
            if shrinks:
                root = fit_root(self._store, self._parts.maps, root, size)
            else:
                self._top.resize(layer_size(size))
            record = transact(self._store, body)
            if shrinks:
                fit_layer(self._top, size)
            self._install(record)

    def _seal(self) -> None:
        """Seal the frozen layers. Takes other volumes' locks: hold none of one's own."""
        self._check_usable(write=True)
        self._parts.sealer.seal(self.head_name)
        self.refresh()

    def _own(self, transaction: Transaction) -> VolumeRecord:
        """The record of this volume, which must still be ours to change."""
        self._check_lease()
        record = transaction.user(self.head_name)
        if not isinstance(record, VolumeRecord) or record.top != self._top.layer_id:
            self._lost = True
            raise LeaseLost(self.head_name)
        return record

    @contextmanager
    def _final_errors(self) -> Iterator[None]:
        """An error that leaves open what was done ends the use of this volume."""
        try:
            yield
        except (ArchipelagoError, StoreError) as error:
            known, found = self._record, Transaction(self._store.heads).user(self.head_name)
            if found is None or (found.size, found.layers[:1]) != (known.size, known.layers[:1]):
                self._failure = str(error)
            raise
        except BaseException as error:
            self._failure = self._failure or repr(error)
            raise

    def _reload(self) -> None:
        record, stack = self._load()
        if record == self._record:
            return
        with self._gate.exclusive():
            self._record, self._stack = record, stack
            self._close_handles(but=record.layers)

    def _load(self) -> tuple[VolumeRecord | SnapshotRecord, LayerStack]:
        """The record as it is now, and its layers opened."""
        for attempt in range(OPEN_RETRIES_MAX):
            record = Transaction(self._store.heads).user(self.head_name)
            if record is None:
                raise VolumeNotFound(self.name)
            # After the reading: the live layer of another owner must not be opened here, since
            # opening it for writing cuts off what he is just adding.
            self._check_lease()
            try:
                return record, self._open_stack(record)
            except NotFound:
                # Sealed in between, unless the record still names what is not there.
                again = Transaction(self._store.heads).user(self.head_name)
                if again == record or attempt + 1 == OPEN_RETRIES_MAX:
                    raise
        raise AssertionError("the last attempt returns or raises")

    def _install(self, record: VolumeRecord) -> None:
        """Take over a record that this volume wrote, with all requests at rest."""
        self._stack = self._open_stack(record)
        self._record = record
        self._close_handles(but=record.layers)

    def _open_stack(self, record: VolumeRecord | SnapshotRecord) -> LayerStack:
        for layer_id in record.layers:
            if layer_id not in self._handles:
                writable = not self.read_only and layer_id == record.layers[0]
                layer = open_layer(self._store, layer_id, writable=writable)
                self._handles[layer_id] = layer
        blocks, maps = self._store.blocks, self._parts.maps
        base = Content(maps, blocks, record.root, layer_size(record.size))
        return LayerStack(tuple(self._handles[layer_id] for layer_id in record.layers), base)

    def _close_handles(self, but: Sequence[str] = ()) -> None:
        for layer_id in self._handles.keys() - set(but):
            self._handles.pop(layer_id).close()
