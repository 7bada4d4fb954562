"""Sealing: frozen layers become blocks of the map below them.

All users of a frozen layer have the same layers and the same root below it: a clone or snapshot
takes over the stack as it is. So the bottom layer is merged over its root once, and one
transaction gives the new root to all of its users. Nothing is lost when that fails anywhere: the
blocks found so far stay in the store, and the next attempt finds them there. Two processes may
seal the same layer at the same time; one of them finds the work done.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from archipelago.content import Content
from archipelago.errors import SealingStopped
from archipelago.layers import open_layer
from archipelago.map import Maps
from archipelago.map_format import MapRoot
from archipelago.records import LAYER_PREFIX, SnapshotRecord, VolumeRecord
from archipelago.stack import LayerStack
from archipelago.transaction import Transaction, transact
from blockstore import ZERO_ID, Corrupt, Layer, NotFound, PageState, Run, Store

READ_SIZE_MAX = 8 * 2**20
"""Bytes that are merged, hashed and put at a time (one block, if that is more)."""

WINDOW_SIZE = 2**30
"""Bytes of a layer whose page states are listed at a time; a multiple of every block size."""

MAP_CHANGES_MAX = 2**16
"""Block ids gathered before the map is updated with them."""


class Sealer:
    """Seals the layers of one store, and tells who has to know."""

    def __init__(
        self, store: Store, maps: Maps, on_change: Callable[[Sequence[str]], None]
    ) -> None:
        """`on_change` is called after each sealed layer with the heads that got a new root."""
        self._store = store
        self._maps = maps
        self._on_change = on_change

    def seal(self, head_name: str, stop: Callable[[], bool] = lambda: False) -> None:
        """Seal all frozen layers of a volume or snapshot. A head that is gone: nothing happens.

        `stop` is asked now and then; SealingStopped once it says yes.
        """
        before: VolumeRecord | SnapshotRecord | None = None
        while (record := self._record(head_name)) is not None and record.frozen:
            if record == before:
                raise NotFound("layer", record.frozen[-1])
            before = None if self._seal_bottom(record, stop) else record

    def layer_ids(self) -> Iterable[str]:
        """All layers that have a head, even a damaged one."""
        names = self._store.heads.names(LAYER_PREFIX)
        return (name.removeprefix(LAYER_PREFIX) for name in names)

    def pending(self, layer_id: str) -> tuple[str, ...]:
        """The users of a layer, if it could be sealed now; else ()."""
        transaction = Transaction(self._store.heads)
        layer = transaction.layer(layer_id)
        if layer is None or not layer.users:
            return ()
        record = transaction.user(layer.users[0])
        return layer.users if record and record.frozen[-1:] == (layer_id,) else ()

    def _seal_bottom(self, record: VolumeRecord | SnapshotRecord, stop: Callable[[], bool]) -> bool:
        """Seal the record's oldest layer; False when somebody else did."""
        layer_id = record.frozen[-1]
        try:
            layer = open_layer(self._store, layer_id, writable=False)
        except NotFound:
            return False
        try:
            root = merge_layer(self._store, self._maps, layer, record.root, stop)
        finally:
            layer.close()
        self._store.blocks.commit()
        users = transact(
            self._store, lambda transaction: _publish(transaction, layer_id, record.root, root)
        )
        self._on_change(users)
        return bool(users)

    def _record(self, head_name: str) -> VolumeRecord | SnapshotRecord | None:
        return Transaction(self._store.heads).user(head_name)


def merge_layer(
    store: Store,
    maps: Maps,
    layer: Layer,
    root: MapRoot,
    stop: Callable[[], bool] = lambda: False,
) -> MapRoot:
    """The map of what `layer` over `root` reads as. Its blocks are put, not committed.

    `stop` is asked before each piece is read; SealingStopped once it says yes.
    """
    block_size = maps.block_size
    base = Content(maps, store.blocks, root, layer.size + -layer.size % block_size)
    stack = LayerStack((layer,), base)
    new_root = root
    changes: dict[int, bytes] = {}
    for span in _spans(layer, block_size):
        for first, ids in _span_ids(store, maps, stack, span):
            if stop():
                raise SealingStopped
            changes.update(enumerate(ids, first))
            if len(changes) >= MAP_CHANGES_MAX:
                new_root = maps.update(new_root, changes)
                changes.clear()
    return maps.update(new_root, changes)


@dataclass(frozen=True, slots=True)
class _Span:
    """Neighbouring blocks that a layer touches: only with zeros, or with anything."""

    first: int
    count: int
    zero: bool


def _span_ids(
    store: Store, maps: Maps, stack: LayerStack, span: _Span
) -> Iterator[tuple[int, Iterable[bytes]]]:
    """(first index, ids) of the blocks of the merged content, in pieces."""
    end = span.first + span.count
    if span.zero:
        for index, _ in maps.iterate(stack.base.root, span.first):
            if index >= end:
                break
            yield index, (ZERO_ID,)
        return
    block_size = maps.block_size
    count_max = max(1, READ_SIZE_MAX // block_size)
    for first in range(span.first, end, count_max):
        data = bytearray((min(end, first + count_max) - first) * block_size)
        stack.read_into(first * block_size, memoryview(data))
        yield first, store.blocks.put_many(data)


def _spans(layer: Layer, block_size: int) -> Iterator[_Span]:
    """The touched blocks of a layer in order, neighbours of one kind together."""
    for start in range(0, layer.size, WINDOW_SIZE):
        runs = layer.runs(start, min(WINDOW_SIZE, layer.size - start))
        yield from _merge_spans(_run_spans(runs, block_size))


def _run_spans(runs: Iterable[Run], block_size: int) -> Iterator[_Span]:
    for run in runs:
        if run.state is PageState.INHERIT:
            continue
        first, end = run.offset // block_size, -(-(run.offset + run.length) // block_size)
        whole_first = -(-run.offset // block_size)
        whole_end = (run.offset + run.length) // block_size
        if run.state is PageState.DATA or whole_first >= whole_end:
            yield _Span(first, end - first, zero=False)
            continue
        if first < whole_first:
            yield _Span(first, 1, zero=False)
        yield _Span(whole_first, whole_end - whole_first, zero=True)
        if whole_end < end:
            yield _Span(whole_end, 1, zero=False)


def _merge_spans(spans: Iterable[_Span]) -> Iterator[_Span]:
    """Join spans that meet, and those that share a block: it is in several runs then."""
    last: _Span | None = None
    for span in spans:
        if last is not None and last.zero == span.zero and span.first <= last.first + last.count:
            end = max(last.first + last.count, span.first + span.count)
            last = _Span(last.first, end - last.first, last.zero)
            continue
        if last is not None:
            yield last
        last = span
    if last is not None:
        yield last


def _publish(
    transaction: Transaction, layer_id: str, old_root: MapRoot, new_root: MapRoot
) -> tuple[str, ...]:
    """Give `new_root` to all users of the layer and free it; () when somebody else did."""
    layer = transaction.layer(layer_id)
    if layer is None:
        return ()
    for user in layer.users:
        record = transaction.user(user)
        if record is None or record.frozen[-1:] != (layer_id,) or record.root != old_root:
            raise Corrupt(f"layer {layer_id}", f"head {user!r}", "it is not in the user's place")
        transaction.put(replace(record, root=new_root, frozen=record.frozen[:-1]))
    transaction.free_layer(layer)
    return layer.users
