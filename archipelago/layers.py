"""The life of layers: made under a head that comes first and goes first.

A layer's head is written before its data exists, and removed before its data goes. So whatever a
crash leaves behind is known: a head without users, or data without a head; `sweep_layers` takes
both. Ids are random and never used twice.
"""

from __future__ import annotations

import secrets
import time

from archipelago.names import layer_size
from archipelago.records import LAYER_PREFIX, LayerRecord, VolumeRecord
from archipelago.transaction import Transaction, transact
from blockstore import PAGE_SIZE, Corrupt, Layer, NotFound, PageState, Store

SWEEP_AGE_S = 3600
"""A layer without users is left alone for so long: somebody may be about to use it."""


def new_id() -> str:
    """32 hex digits: an id for a volume, snapshot or layer."""
    return secrets.token_hex(16)


def new_layer(store: Store, size: int) -> str:
    """Make an empty layer over `size` bytes without users; return its id."""
    layer_id = _announce(store)
    try:
        store.extents.create(layer_id, layer_size(size))
    except BaseException:
        drop_unused_layer(store, layer_id)
        raise
    return layer_id


def fork_layer(store: Store, source: str) -> str:
    """Make a copy of a layer's flushed state, without users; return its id."""
    layer_id = _announce(store)
    try:
        store.extents.fork(source, layer_id)
    except BaseException:
        drop_unused_layer(store, layer_id)
        raise
    return layer_id


def drop_unused_layer(store: Store, layer_id: str) -> None:
    """Remove a layer unless it has got users."""

    def body(transaction: Transaction) -> None:
        layer = transaction.layer(layer_id)
        if layer is not None and not layer.users:
            transaction.free_layer(layer)

    transact(store, body)


def sweep_layers(store: Store, age_s: int = SWEEP_AGE_S) -> int:
    """Remove what crashes left behind and is at least `age_s` old; return how many layers.

    Damage in a layer's head keeps that layer; it is raised last.
    """
    # The data is listed before the heads are read: a head is there before its data is.
    with_data = set(store.extents.list())
    known = {name.removeprefix(LAYER_PREFIX) for name in store.heads.names(LAYER_PREFIX)}
    damage: list[Corrupt] = []
    swept = 0
    for layer_id in sorted(known.union(with_data)):
        try:
            layer = Transaction(store.heads).layer(layer_id)
        except Corrupt as error:
            damage.append(error)
            continue
        if layer is None and layer_id in with_data:
            store.extents.delete(layer_id)
            swept += 1
        elif layer is not None and not layer.users and layer.created + age_s <= time.time():
            drop_unused_layer(store, layer_id)
            swept += 1
    if damage:
        raise damage[-1]
    return swept


def open_layer(store: Store, layer_id: str, *, writable: bool) -> Layer:
    """Open a layer. NotFound also when it is removed at this very moment."""
    try:
        return store.extents.open(layer_id, writable=writable)
    except (OSError, Corrupt):
        # Its head goes first: while it is there, the layer should be as well.
        if store.heads.get(LAYER_PREFIX + layer_id) is None:
            raise NotFound("layer", layer_id) from None
        raise


def fit_layer(layer: Layer, size: int) -> None:
    """Make a live layer end where the volume of `size` bytes does, durably.

    A crash in a resize leaves a layer of another size than the volume; what it has beyond the
    end must not come back when the volume grows again.
    """
    if layer.size != layer_size(size):
        layer.resize(layer_size(size))
    tail = size % PAGE_SIZE
    if not tail:
        return
    last = size - tail
    [run] = layer.runs(last, PAGE_SIZE)
    if run.state is not PageState.DATA:
        return
    page = bytearray(PAGE_SIZE)
    layer.read_into(last, memoryview(page))
    if any(page[tail:]):
        layer.write(last, page[:tail] + bytes(PAGE_SIZE - tail))
        layer.flush()


def is_untouched(layer: Layer) -> bool:
    """Whether nothing was ever written to or discarded in it."""
    if layer.stored_bytes():
        return False
    return all(run.state is PageState.INHERIT for run in layer.runs(0, layer.size))


def settle_top(store: Store, record: VolumeRecord) -> bool:
    """Fit the live layer of a volume that nobody has open; whether it has anything in it."""
    if record.top is None:
        return False
    layer = open_layer(store, record.top, writable=True)
    try:
        fit_layer(layer, record.size)
        return not is_untouched(layer)
    finally:
        layer.close()


def _announce(store: Store) -> str:
    layer = LayerRecord(id=new_id(), created=int(time.time()), users=())
    transact(store, lambda transaction: transaction.put(layer))
    return layer.id
