"""Owning a volume: its lease, and a live layer that nobody else writes to.

A lease that is seized may still have a living former holder, who writes on until its next flush
is refused. So the live layer is forked before anything is written to it, and the former holder
keeps the old one. That this is due is noted in the volume's record *before* the lease is seized:
who dies between the two leaves the note to the next owner.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from archipelago.errors import VolumeBusy, VolumeNotFound
from archipelago.layers import drop_unused_layer, fork_layer, new_layer, settle_top
from archipelago.lifecycle import find_volume, replace_top
from archipelago.names import check_name
from archipelago.records import VOLUME_PREFIX, VolumeRecord
from archipelago.transaction import Transaction, transact
from blockstore import Lease, LeaseHeld, NotFound, Store


def this_process() -> str:
    """How this process is called to those whom it keeps waiting."""
    return f"process {os.getpid()} on {socket.gethostname()}"


class Ownership:
    """Takes leases of volumes."""

    def __init__(self, store: Store) -> None:
        self._store = store

    @contextmanager
    def leased(self, name: str) -> Iterator[tuple[Lease, VolumeRecord]]:
        """Own a volume for a change that takes a moment."""
        check_name(name)
        lease, record = self.acquire(name, "", seize=False)
        try:
            yield lease, record
        finally:
            self._store.leases.release(lease)

    @contextmanager
    def leased_damaged(self, name: str, volume_id: str) -> Iterator[Lease]:
        """Own a volume whose record can't be read, to remove it. VolumeBusy."""
        lease = self._take(name, VOLUME_PREFIX + volume_id, "", seize=False)
        try:
            yield lease
        finally:
            self._store.leases.release(lease)

    def acquire(self, name: str, holder: str, seize: bool) -> tuple[Lease, VolumeRecord]:
        """The lease of a volume, and its record as it is from then on. VolumeBusy."""
        first = transact(self._store, lambda step: find_volume(step, name))
        if seize:
            self._contest(first.id)
        lease = self._take(name, first.head_name, holder, seize=seize)
        try:
            record = transact(self._store, lambda step: find_volume(step, name))
            if record.id != first.id:
                raise VolumeNotFound(name)
            while record.top is not None and (record.contested or lease.seized):
                forked = self._fork_top(lease, record)
                if forked is not None:
                    return lease, forked
                record = self.held(Transaction(self._store.heads), lease, record)
            return lease, record
        except BaseException:
            self._store.leases.release(lease)
            raise

    def prepare_top(self, lease: Lease, record: VolumeRecord) -> None:
        """See that an owned volume has a live layer, of the size of the volume."""
        if record.top is not None:
            self.settle_top(lease, record)
            return
        layer_id = new_layer(self._store, record.size)
        try:
            transact(
                self._store,
                lambda step: replace_top(step, self.held(step, lease, record), layer_id),
            )
        except BaseException:
            drop_unused_layer(self._store, layer_id)
            raise

    def settle_top(self, lease: Lease, record: VolumeRecord) -> bool:
        """See `layers.settle_top`. LeaseLost when the layer is gone with the ownership."""
        try:
            return settle_top(self._store, record)
        except (NotFound, OSError):
            self._store.leases.check(lease)
            raise

    def held(self, transaction: Transaction, lease: Lease, record: VolumeRecord) -> VolumeRecord:
        """The record as it is now, of a volume that must still be ours. LeaseLost."""
        self._store.leases.check(lease)
        found = transaction.volume(record.id)
        if found is None:
            raise VolumeNotFound(record.name)
        return found

    def _take(self, name: str, head_name: str, holder: str, *, seize: bool) -> Lease:
        try:
            return self._store.leases.acquire(head_name, holder or this_process(), seize=seize)
        except LeaseHeld as error:
            raise VolumeBusy(name, error.holder) from None

    def _contest(self, volume_id: str) -> None:
        def body(step: Transaction) -> None:
            record = step.volume(volume_id)
            if record is not None and record.top is not None:
                step.put(replace(record, contested=True))

        transact(self._store, body)

    def _fork_top(self, lease: Lease, record: VolumeRecord) -> VolumeRecord | None:
        """Replace the live layer by a copy; None when the volume has got another meanwhile."""
        source = record.top
        if source is None:
            return record
        try:
            fork = fork_layer(self._store, source)
        except NotFound:
            if self.held(Transaction(self._store.heads), lease, record).top == source:
                raise
            return None

        def body(step: Transaction) -> VolumeRecord | None:
            own = self.held(step, lease, record)
            return replace_top(step, own, fork) if own.top == source else None

        try:
            return transact(self._store, body)
        finally:
            drop_unused_layer(self._store, fork)
