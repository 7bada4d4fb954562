"""Leases: a record in the index of who has a name, and a kernel lock that tells whether he lives.

Every acquisition, of any name, gets an epoch that no other ever had, and its owner locks the byte
at that offset of DIR/leases.lock (an open-file-description lock: it excludes other open stores of
the same process too, and the kernel drops it at the owner's death, however he dies). So nothing
expires on this host and no clock matters: the record says who was the last to take the name, the
lock on the byte of its epoch whether he is there. Whoever seizes locks another byte.

Records change in write transactions of the index, which exclude each other.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
import threading
import time
import weakref
from pathlib import Path
from typing import TYPE_CHECKING

from blockstore.argument_checks import lease_holder, lease_key
from blockstore.errors import Corrupt, LeaseHeld, LeaseLost, StoreUnavailable
from blockstore.files.index import Index
from blockstore.interface import Lease
from native.digest import checksum

if TYPE_CHECKING:
    import lmdb

EPOCH_KEY = b"lease_epoch"
"""In the table `meta` of the index: the last epoch given."""

_RECORD = struct.Struct("<QQ")  # epoch checksum
_EPOCH = struct.Struct("<Q")
_FLOCK = struct.Struct("@hhqqi4x")  # type whence start length pid; the kernel's struct flock


class FilesLeases:
    """`interface.Leases` over an index and DIR/leases.lock. `close` frees what it holds."""

    def __init__(self, index: Index, path: Path) -> None:
        self._index = index
        self._path = path
        self._lock = threading.Lock()
        self._descriptor = -1
        """The open file description that all leases of this object are locked through."""
        self._closed = False
        _open_leases.add(self)

    def close(self) -> None:
        """Free all leases of this object. Idempotent."""
        with self._lock:
            self._closed = True
            if self._descriptor >= 0:
                os.close(self._descriptor)
                self._descriptor = -1

    def acquire(self, name: str, holder: str, *, seize: bool = False) -> Lease:
        key, holder_bytes = lease_key(name), lease_holder(holder)

        def take(transaction: lmdb.Transaction[bytes]) -> Lease:
            epoch, present = self._record(transaction, key, name)
            alive = bool(present) and self._is_locked(epoch)
            if alive and not seize:
                raise LeaseHeld(name, present.decode(errors="replace"))
            new_epoch = self._new_epoch(transaction, epoch)
            _lock_byte(descriptor, new_epoch, fcntl.F_WRLCK)
            locked.append(new_epoch)
            self._put(transaction, key, new_epoch, holder_bytes)
            return Lease(name, holder, new_epoch, seized=alive)

        locked: list[int] = []
        with self._lock:
            descriptor = self._open_lock_file()
            try:
                return self._index.transact(take)
            except BaseException:
                for epoch in locked:
                    _lock_byte(descriptor, epoch, fcntl.F_UNLCK)
                raise

    def check(self, lease: Lease) -> None:
        if not self._is_newest(lease):
            raise LeaseLost(lease.name)

    def release(self, lease: Lease) -> None:
        key = lease_key(lease.name)

        def give_up(transaction: lmdb.Transaction[bytes]) -> None:
            epoch, present = self._record(transaction, key, lease.name)
            if present and epoch == lease.epoch:
                transaction.delete(key, db=self._index.leases)

        try:
            if self._is_newest(lease):
                self._index.transact(give_up)
        finally:
            # Also when there is no room to say so: a record whose byte is free holds nothing.
            with self._lock:
                if self._descriptor >= 0:
                    _lock_byte(self._descriptor, lease.epoch, fcntl.F_UNLCK)

    def holder(self, name: str) -> str | None:
        key = lease_key(name)
        with self._index.read() as transaction:
            epoch, present = self._record(transaction, key, name)
        if not present or not self._is_locked(epoch):
            return None
        return present.decode(errors="replace")

    def abandon(self) -> None:
        """In the child of a fork: let go of what is the parent's, so that it can die."""
        self._lock = threading.Lock()
        self.close()

    def _is_newest(self, lease: Lease) -> bool:
        key = lease_key(lease.name)
        with self._index.read() as transaction:
            epoch, present = self._record(transaction, key, lease.name)
        return bool(present) and epoch == lease.epoch

    def _record(
        self, transaction: lmdb.Transaction[bytes], key: bytes, name: str
    ) -> tuple[int, bytes]:
        """(epoch, holder) of the last acquisition; (0, b"") when it was given up."""
        packed = transaction.get(key, db=self._index.leases)
        if packed is None:
            return 0, b""
        where = str(self._index.path)
        if len(packed) <= _RECORD.size:
            raise Corrupt(f"the lease on {name}", where, "its record is cut off")
        epoch, check = _RECORD.unpack_from(packed)
        holder = packed[_RECORD.size :]
        if _record_checksum(key, epoch, holder) != check:
            raise Corrupt(f"the lease on {name}", where, "its record fails the check")
        return epoch, holder

    def _put(
        self, transaction: lmdb.Transaction[bytes], key: bytes, epoch: int, holder: bytes
    ) -> None:
        packed = _RECORD.pack(epoch, _record_checksum(key, epoch, holder)) + holder
        transaction.put(key, packed, db=self._index.leases)

    def _new_epoch(self, transaction: lmdb.Transaction[bytes], epoch: int) -> int:
        # Microseconds, so that epochs also grow when the index was lost and made anew.
        packed = transaction.get(EPOCH_KEY, db=self._index.meta)
        last = _EPOCH.unpack(packed)[0] if packed and len(packed) == _EPOCH.size else 0
        new_epoch: int = max(last + 1, epoch + 1, time.time_ns() // 1000)
        transaction.put(EPOCH_KEY, _EPOCH.pack(new_epoch), db=self._index.meta)
        return new_epoch

    def _open_lock_file(self) -> int:
        if self._index.read_only:
            raise StoreUnavailable(f"the store of {self._path} is open read-only")
        if self._closed:
            raise StoreUnavailable(f"the store of {self._path} is closed")
        if self._descriptor < 0:
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
            self._descriptor = os.open(self._path, flags, 0o600)
        return self._descriptor

    def _is_locked(self, epoch: int) -> bool:
        # Through another open file description than ours, whose locks would not be in the way.
        try:
            descriptor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            question = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, epoch, 1, 0)
            answer = fcntl.fcntl(descriptor, fcntl.F_OFD_GETLK, question)
        finally:
            os.close(descriptor)
        return bool(_FLOCK.unpack(answer)[0] != fcntl.F_UNLCK)


_open_leases: weakref.WeakSet[FilesLeases] = weakref.WeakSet()


def _abandon_after_fork() -> None:
    # A child shares the open file description, and would keep its parent's leases alive.
    for leases in list(_open_leases):
        leases.abandon()


os.register_at_fork(after_in_child=_abandon_after_fork)


def _lock_byte(descriptor: int, epoch: int, kind: int) -> None:
    try:
        request = _FLOCK.pack(kind, os.SEEK_SET, epoch, 1, 0)
        fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, request)
    except OSError as error:
        if error.errno in (errno.EAGAIN, errno.EACCES):
            raise StoreUnavailable(
                "the lock of a new lease is taken; is the index a copy?"
            ) from None
        raise


def _record_checksum(key: bytes, epoch: int, holder: bytes) -> int:
    return checksum(b"".join((_EPOCH.pack(epoch), key, b"\0", holder)))
