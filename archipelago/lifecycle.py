"""What the life of volumes and snapshots does to their heads. Everything here is a step of a
transaction; nothing touches data.

Every change of a volume's snapshots also writes the volume's head, so that two changes that need
to know of each other meet in a conflict.
"""

from __future__ import annotations

import time
from dataclasses import replace

from archipelago.errors import InvalidArgument, NameTaken, VolumeNotFound
from archipelago.layers import new_id
from archipelago.map_format import MapRoot
from archipelago.names import check_name, check_size, split_snapshot_name
from archipelago.records import SnapshotRecord, VolumeRecord
from archipelago.transaction import Transaction
from blockstore import Corrupt

FROZEN_LAYERS_MAX = 32
"""Frozen layers of a volume; one more snapshot first seals them."""


def find_volume(transaction: Transaction, name: str) -> VolumeRecord:
    """The volume of that name, or VolumeNotFound."""
    volume_id = transaction.volume_id(name)
    if volume_id is None:
        raise VolumeNotFound(name)
    record = transaction.volume(volume_id)
    if record is None:
        raise Corrupt(f"head 'name/{name}'", "its value", f"there is no volume {volume_id}")
    return record


def find_snapshot(transaction: Transaction, full_name: str) -> tuple[VolumeRecord, SnapshotRecord]:
    """The snapshot `VOLUME@SNAPSHOT` and its volume, or VolumeNotFound."""
    volume_name, name = split_snapshot_name(full_name)
    volume = find_volume(transaction, volume_name)
    snapshot_id = transaction.snapshot_id(volume.id, name)
    if snapshot_id is None:
        raise VolumeNotFound(full_name)
    record = transaction.snapshot(snapshot_id)
    if record is None:
        raise Corrupt(
            f"the name {full_name!r}", f"volume {volume.id}", f"there is no snapshot {snapshot_id}"
        )
    return volume, record


def new_volume(name: str, size: int, root: MapRoot, origin: str) -> VolumeRecord:
    """The record of a volume that has no layers."""
    check_name(name)
    check_size(size)
    return VolumeRecord(
        id=new_id(),
        name=name,
        size=size,
        root=root,
        top=None,
        frozen=(),
        created=int(time.time()),
        origin=origin,
    )


def add_volume(transaction: Transaction, record: VolumeRecord) -> None:
    """Let a new volume appear. NameTaken."""
    if transaction.volume_id(record.name) is not None:
        raise NameTaken(record.name)
    transaction.put_name(record.name, record.id)
    transaction.put(record)
    for layer_id in record.layers:
        transaction.add_user(layer_id, record.head_name)


def add_clone(
    transaction: Transaction,
    source: VolumeRecord | SnapshotRecord,
    clone: VolumeRecord,
) -> VolumeRecord:
    """Let `clone` appear with the content of `source`, without its live layer."""
    if clone.size < source.size:
        raise InvalidArgument(
            f"a clone has at least the size of its source, {source.size} bytes, not {clone.size}"
        )
    record = replace(clone, root=source.root, frozen=source.frozen)
    # The guard: whoever deletes the source and whoever collects blocks sees one of the two.
    transaction.put(source)
    add_volume(transaction, record)
    return record


def add_snapshot(transaction: Transaction, volume: VolumeRecord, name: str) -> SnapshotRecord:
    """Let a snapshot appear with the volume's content without its live layer. NameTaken."""
    check_name(name)
    if transaction.snapshot_id(volume.id, name) is not None:
        raise NameTaken(f"{volume.name}@{name}")
    record = SnapshotRecord(
        id=new_id(),
        name=name,
        volume=volume.id,
        size=volume.size,
        root=volume.root,
        frozen=volume.frozen,
        created=int(time.time()),
    )
    transaction.put_snapshot_name(volume.id, name, record.id)
    transaction.put(record)
    transaction.put(volume)
    for layer_id in record.frozen:
        transaction.add_user(layer_id, record.head_name)
    return record


def freeze_top(transaction: Transaction, volume: VolumeRecord, new_top: str | None) -> VolumeRecord:
    """Make the live layer a frozen one, and `new_top` the live one."""
    if volume.top is None:
        return volume
    record = replace(volume, top=new_top, frozen=(volume.top, *volume.frozen))
    transaction.put(record)
    if new_top is not None:
        transaction.add_user(new_top, record.head_name)
    return record


def replace_top(transaction: Transaction, volume: VolumeRecord, new_top: str) -> VolumeRecord:
    """Give the volume another live layer; the one it had loses its user."""
    record = replace(volume, top=new_top, contested=False)
    transaction.put(record)
    transaction.add_user(new_top, record.head_name)
    if volume.top is not None:
        transaction.drop_user(volume.top, record.head_name)
    return record


def rename_volume(transaction: Transaction, volume: VolumeRecord, name: str) -> None:
    """Move the volume to another name. NameTaken."""
    check_name(name)
    if transaction.volume_id(name) is not None:
        raise NameTaken(name)
    transaction.put_name(volume.name, None)
    transaction.put_name(name, volume.id)
    transaction.put(replace(volume, name=name))


def rename_snapshot(
    transaction: Transaction, volume: VolumeRecord, snapshot: SnapshotRecord, name: str
) -> None:
    """Move the snapshot to another name of the same volume. NameTaken."""
    check_name(name)
    if transaction.snapshot_id(volume.id, name) is not None:
        raise NameTaken(f"{volume.name}@{name}")
    transaction.put_snapshot_name(volume.id, snapshot.name, None)
    transaction.put_snapshot_name(volume.id, name, snapshot.id)
    transaction.put(replace(snapshot, name=name))
    transaction.put(volume)


def roll_back(transaction: Transaction, volume: VolumeRecord, snapshot: SnapshotRecord) -> None:
    """Give the volume the content of its snapshot; what it had since then is gone."""
    record = replace(
        volume,
        size=snapshot.size,
        root=snapshot.root,
        top=None,
        frozen=snapshot.frozen,
        contested=False,
    )
    transaction.put(record)
    transaction.put(snapshot)
    for layer_id in set(volume.layers) - set(record.frozen):
        transaction.drop_user(layer_id, volume.head_name)
    for layer_id in record.frozen:
        transaction.add_user(layer_id, volume.head_name)


def remove_volume(transaction: Transaction, volume: VolumeRecord) -> None:
    """Let the volume disappear; its snapshots must be gone."""
    transaction.put_name(volume.name, None)
    transaction.remove(volume)
    for layer_id in volume.layers:
        transaction.drop_user(layer_id, volume.head_name)


def remove_snapshot(
    transaction: Transaction, volume: VolumeRecord, snapshot: SnapshotRecord
) -> None:
    """Let the snapshot disappear."""
    transaction.put_snapshot_name(volume.id, snapshot.name, None)
    transaction.remove(snapshot)
    transaction.put(volume)
    for layer_id in snapshot.frozen:
        transaction.drop_user(layer_id, snapshot.head_name)
