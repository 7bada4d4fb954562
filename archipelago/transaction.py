"""Changes of several heads that happen together or not at all.

A transaction remembers the version of every head it reads and writes its changes with one
compare-and-swap. `transact` runs a body again from the start when another process was faster, so a
body only reads and writes through its transaction and may run any number of times.

Layers are counted by their users: a layer that loses its last one loses its head in the same
transaction, and after the commit, its data.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

from archipelago.errors import ArchipelagoError
from archipelago.records import (
    LAYER_PREFIX,
    NAME_PREFIX,
    SNAPSHOT_PREFIX,
    VOLUME_PREFIX,
    LayerRecord,
    Record,
    SnapshotRecord,
    VolumeRecord,
    decode_id,
    decode_layer,
    decode_snapshot,
    decode_volume,
    encode_id,
    encode_record,
    snapname_prefix,
)
from blockstore import Head, HeadChange, HeadConflict, Heads, NotFound, Store, StoreError

CONFLICT_RETRIES_MAX = 100
"""Each conflict means that somebody else got something done."""

Result = TypeVar("Result")


def transact(store: Store, body: Callable[[Transaction], Result]) -> Result:
    """Run `body` and commit what it wrote; return its result. HeadConflict after many failures.

    An error that the body raises counts only if what it read still holds: heads are read one
    after the other, and those of two moments may not fit together.
    """
    for attempt in range(1, CONFLICT_RETRIES_MAX + 1):
        transaction = Transaction(store.heads)
        try:
            result = body(transaction)
            freed = transaction.commit()
        except HeadConflict:
            if attempt == CONFLICT_RETRIES_MAX:
                raise
            continue
        except (ArchipelagoError, StoreError):
            if attempt == CONFLICT_RETRIES_MAX or transaction.is_current():
                raise
            continue
        for layer_id in freed:
            store.extents.delete(layer_id)
        return result
    raise AssertionError("the last attempt returns or raises")


class Transaction:
    """Reads see the writes before them. Not for several threads."""

    def __init__(self, heads: Heads) -> None:
        self._heads = heads
        self._versions: dict[str, int] = {}
        self._values: dict[str, bytes | None] = {}
        self._written: set[str] = set()
        self._freed: list[str] = []

    def volume_id(self, name: str) -> str | None:
        """The id of the volume of that name."""
        return self._id(NAME_PREFIX + name)

    def snapshot_id(self, volume_id: str, name: str) -> str | None:
        """The id of the snapshot `name` of a volume."""
        return self._id(snapname_prefix(volume_id) + name)

    def volume(self, volume_id: str) -> VolumeRecord | None:
        head_name = VOLUME_PREFIX + volume_id
        value = self._read(head_name)
        return None if value is None else decode_volume(head_name, value)

    def snapshot(self, snapshot_id: str) -> SnapshotRecord | None:
        head_name = SNAPSHOT_PREFIX + snapshot_id
        value = self._read(head_name)
        return None if value is None else decode_snapshot(head_name, value)

    def layer(self, layer_id: str) -> LayerRecord | None:
        head_name = LAYER_PREFIX + layer_id
        value = self._read(head_name)
        return None if value is None else decode_layer(head_name, value)

    def user(self, head_name: str) -> VolumeRecord | SnapshotRecord | None:
        """The volume or snapshot of that head."""
        if head_name.startswith(VOLUME_PREFIX):
            return self.volume(head_name.removeprefix(VOLUME_PREFIX))
        return self.snapshot(head_name.removeprefix(SNAPSHOT_PREFIX))

    def put(self, record: Record) -> None:
        """Write a record, new or changed. Unchanged, it is a guard: nobody else changed it."""
        self._write(record.head_name, encode_record(record))

    def put_name(self, name: str, volume_id: str | None) -> None:
        """Give a volume's name to an id, or (None) free it."""
        value = None if volume_id is None else encode_id(volume_id)
        self._write(NAME_PREFIX + name, value)

    def put_snapshot_name(self, volume_id: str, name: str, snapshot_id: str | None) -> None:
        """Give a snapshot's name to an id, or (None) free it."""
        value = None if snapshot_id is None else encode_id(snapshot_id)
        self._write(snapname_prefix(volume_id) + name, value)

    def remove(self, record: Record) -> None:
        self.remove_head(record.head_name)

    def remove_head(self, head_name: str) -> None:
        """Remove a head, whatever is in it."""
        self._write(head_name, None)

    def add_user(self, layer_id: str, user: str) -> None:
        """Count a head among the users of a layer. NotFound when the layer is gone."""
        layer = self.layer(layer_id)
        if layer is None:
            raise NotFound("layer", layer_id)
        if user not in layer.users:
            self.put(replace(layer, users=(*layer.users, user)))

    def drop_user(self, layer_id: str, user: str) -> None:
        """The inverse; the last user takes the layer with it."""
        layer = self.layer(layer_id)
        if layer is None:
            return
        users = tuple(other for other in layer.users if other != user)
        if users:
            self.put(replace(layer, users=users))
        else:
            self.free_layer(layer)

    def free_layer(self, layer: LayerRecord) -> None:
        """Remove a layer: its head now, its data after the commit."""
        self.remove(layer)
        self._freed.append(layer.id)

    def commit(self) -> list[str]:
        """Write everything, or raise HeadConflict; return the layers to delete."""
        changes = [
            HeadChange(name, self._versions[name], self._values[name])
            for name in sorted(self._written)
            if self._versions[name] or self._values[name] is not None
        ]
        if changes:
            self._heads.update(changes)
        return self._freed

    def is_current(self) -> bool:
        """Whether all heads that were read are still as they were."""
        return all(
            _version(self._heads.get(name)) == version for name, version in self._versions.items()
        )

    def _id(self, head_name: str) -> str | None:
        value = self._read(head_name)
        return None if value is None else decode_id(head_name, value)

    def _read(self, head_name: str) -> bytes | None:
        if head_name not in self._values:
            head = self._heads.get(head_name)
            self._versions[head_name] = _version(head)
            self._values[head_name] = head.value if head else None
        return self._values[head_name]

    def _write(self, head_name: str, value: bytes | None) -> None:
        self._read(head_name)
        self._values[head_name] = value
        self._written.add(head_name)


def _version(head: Head | None) -> int:
    return head.version if head else 0
