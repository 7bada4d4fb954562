"""Deleting what is damaged: heads that can't be read are removed all the same.

Else one bad head would keep its name, its layers and (nobody knows its root) every collection for
ever. Which layers it used is found in the heads of the layers. Steps of a transaction, like those
of `lifecycle`.
"""

from __future__ import annotations

from collections.abc import Sequence

from archipelago.lifecycle import find_volume
from archipelago.names import split_snapshot_name
from archipelago.records import LAYER_PREFIX, SNAPSHOT_PREFIX, VOLUME_PREFIX
from archipelago.transaction import Transaction
from blockstore import Corrupt, Heads


def mend_name(transaction: Transaction, heads: Heads, name: str) -> str | None:
    """The id of the volume of that name. Where the name's own head is damaged it is made anew from
    the volume's; None when no volume says that the name is its."""
    try:
        return transaction.volume_id(name)
    except Corrupt:
        for head_name in heads.names(VOLUME_PREFIX):
            volume_id = head_name.removeprefix(VOLUME_PREFIX)
            try:
                record = transaction.volume(volume_id)
            except Corrupt:
                continue
            if record is not None and record.name == name:
                transaction.put_name(name, volume_id)
                return volume_id
        return None


def forget_volume(
    transaction: Transaction,
    heads: Heads,
    name: str,
    volume_id: str,
    snapshots: Sequence[str],
) -> None:
    """Remove a volume and all its snapshots (their names), whatever is in their heads."""
    transaction.put_name(name, None)
    for snapshot in snapshots:
        _forget_snapshot(transaction, heads, volume_id, snapshot)
    _forget_user(transaction, heads, VOLUME_PREFIX + volume_id)


def forget_snapshot(transaction: Transaction, heads: Heads, full_name: str) -> None:
    """Remove a snapshot, whatever is in its heads, of a volume that can be read."""
    volume_name, name = split_snapshot_name(full_name)
    volume = find_volume(transaction, volume_name)
    transaction.put(volume)
    _forget_snapshot(transaction, heads, volume.id, name)


def _forget_snapshot(transaction: Transaction, heads: Heads, volume_id: str, name: str) -> None:
    snapshot_id = _snapshot_id(transaction, heads, volume_id, name)
    transaction.put_snapshot_name(volume_id, name, None)
    if snapshot_id is not None:
        _forget_user(transaction, heads, SNAPSHOT_PREFIX + snapshot_id)


def _snapshot_id(transaction: Transaction, heads: Heads, volume_id: str, name: str) -> str | None:
    try:
        return transaction.snapshot_id(volume_id, name)
    except Corrupt:
        for head_name in heads.names(SNAPSHOT_PREFIX):
            snapshot_id = head_name.removeprefix(SNAPSHOT_PREFIX)
            try:
                record = transaction.snapshot(snapshot_id)
            except Corrupt:
                continue
            if record is not None and (record.volume, record.name) == (volume_id, name):
                return snapshot_id
        return None


def _forget_user(transaction: Transaction, heads: Heads, user: str) -> None:
    """Remove a head, and let go of the layers that name it."""
    transaction.remove_head(user)
    for head_name in heads.names(LAYER_PREFIX):
        layer_id = head_name.removeprefix(LAYER_PREFIX)
        try:
            layer = transaction.layer(layer_id)
        except Corrupt:
            continue
        if layer is not None and user in layer.users:
            transaction.drop_user(layer_id, user)
