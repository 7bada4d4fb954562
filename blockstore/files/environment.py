"""One LMDB environment, made safe for threads, for growth, and for what can go wrong with it.

LMDB wants three things done while no transaction of the process runs: changing the map size,
adopting the size another process chose, and reopening after a failed write of its meta page. So
every transaction passes a gate, which those three close. Transactions of one thread do not nest.

LMDB's names for what happened become ours in `index_error`. What a transaction did before an error
is gone: there is nothing to undo.
"""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import lmdb

from blockstore.errors import Corrupt, StoreFull, StoreUnavailable
from blockstore.files.durable_writes import sync_directory
from blockstore.files.index_pages import IndexPages, PageDamaged

if TYPE_CHECKING:
    from lmdb import _Database as Table

MAP_SIZE_INITIAL = 4 * 2**30
"""Bytes of address space at first; the file takes only what is used. Doubled when half full."""

READERS_MAX = 1024
"""Read transactions at one time, over all processes: 64 bytes each in lock.mdb."""

ATTEMPTS_MAX = 16
"""Tries to begin a transaction while other processes enlarge the map or fill the reader table."""

NEARLY_FULL_BYTES = 2**20
"""LMDB reports a short write as EIO; with less than this free, it was for lack of room."""

DATA_FILE = "data.mdb"
LOCK_FILE = "lock.mdb"

LOCK_FILE_SIZE = 17 * 4096
"""Bytes that lock.mdb has for READERS_MAX readers, rounded up."""

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class MapFull(StoreFull):
    """One transaction did not fit into the address space set aside. Again, and it will."""


class Environment:
    """An open LMDB environment with its named tables."""

    def __init__(self, path: Path, tables: Sequence[str], *, read_only: bool) -> None:
        self.path = path
        self.read_only = read_only
        self.references = 1
        """Kept by the registry in `index`."""
        self._names = tuple(tables)
        self._gate = _Gate()
        self._broken = False
        self._abandoned = False
        self._grow = False
        self._sound: set[str] = set()
        self._lmdb, self.tables = _open(path, self._names, read_only=read_only, create=False)

    @contextmanager
    def transaction(self, *, write: bool) -> Iterator[lmdb.Transaction[bytes]]:
        """One transaction: committed at the end of the block, gone when it raises."""
        transaction = self._enter(write)
        try:
            yield transaction
            transaction.commit()
        except lmdb.PanicError as error:
            self._broken = True
            raise index_error(error, self.path) from error
        except lmdb.MapFullError as error:
            self._grow = True
            raise MapFull(f"the index {self.path} has outgrown its address space") from error
        except lmdb.Error as error:
            raise index_error(error, self.path) from error
        finally:
            transaction.abort()  # nothing happens after a commit
            self._gate.leave()

    def check_table(self, transaction: lmdb.Transaction[bytes], name: str) -> None:
        """Before a table is walked: Corrupt if LMDB would step on a page that is none of it.

        Once for a table, since it reads all of it.
        """
        if name in self._sound:
            return
        descriptor = os.open(self.path / DATA_FILE, os.O_RDONLY | os.O_CLOEXEC)
        try:
            pages = IndexPages(descriptor, _page_size(self._lmdb))
            if pages.check(transaction.id(), name.encode()):
                self._sound.add(name)
        except PageDamaged as error:
            why = f"table {name}: {error}; rebuild-index makes it anew"
            raise Corrupt("the index", str(self.path / DATA_FILE), why) from error
        finally:
            os.close(descriptor)

    def become_writable(self) -> None:
        """Reopen an environment that was opened only to be read."""
        with self._gate.closed():
            if self.read_only:
                self._broken = True  # should it fail, the next transaction opens it again
                self._reopen(read_only=False)
                self._broken = False

    def close(self) -> None:
        """Wait for running transactions, then close."""
        with self._gate.closed():
            if not self._abandoned:
                self._lmdb.close()

    def before_fork(self) -> None:
        """Wait for the transactions of other threads, and let none begin.

        Readers' slots and the writers' mutex lie in memory that a child shares: what it closes
        there would end transactions of the parent.
        """
        self._gate.close()

    def after_fork(self) -> None:
        """In the parent: let transactions begin again."""
        self._gate.open()

    def abandon(self) -> None:
        """In the child of a fork: never use it again."""
        inside = self._gate.is_inside()
        self._gate = _Gate()
        self._abandoned = True
        if not inside:  # else closing would end the parent's transaction
            self._lmdb.close()

    def _enter(self, write: bool) -> lmdb.Transaction[bytes]:
        if self._abandoned:
            raise StoreUnavailable(f"the index {self.path} was opened before a fork")
        for _ in range(ATTEMPTS_MAX):
            if self._broken:
                self._repair()
            self._gate.enter()
            try:
                if not (write and self._is_crowded()):
                    return self._lmdb.begin(write=write)
                change = self._enlarge
            except lmdb.MapResizedError:
                change = self._adopt_size
            except lmdb.PanicError:
                change = self._mark_broken
            except lmdb.ReadersFullError:
                change = self._forget_dead_readers
            except lmdb.Error as error:
                self._gate.leave()
                raise index_error(error, self.path) from error
            except BaseException:
                self._gate.leave()
                raise
            self._gate.leave()
            change()
        raise StoreUnavailable(f"the index {self.path} is too busy: no transaction could begin")

    def _is_crowded(self) -> bool:
        if self._grow:
            return True
        info = self._lmdb.info()
        return (info["last_pgno"] + 1) * _page_size(self._lmdb) * 2 > info["map_size"]

    def _enlarge(self) -> None:
        with self._gate.closed():
            if not self._is_crowded():
                return  # another thread was faster
            size = self._lmdb.info()["map_size"] * 2
            try:
                self._lmdb.set_mapsize(size)
            except lmdb.Error as error:
                raise index_error(error, self.path) from error
            self._grow = False

    def _adopt_size(self) -> None:
        with self._gate.closed():
            self._lmdb.set_mapsize(0)

    def _mark_broken(self) -> None:
        self._broken = True

    def _forget_dead_readers(self) -> None:
        with self._gate.closed():
            self._lmdb.reader_check()

    def _repair(self) -> None:
        with self._gate.closed():
            if self._broken:
                self._reopen(read_only=self.read_only)
                self._broken = False

    def _reopen(self, *, read_only: bool) -> None:
        self._lmdb.close()
        self._lmdb, self.tables = _open(self.path, self._names, read_only=read_only, create=False)
        self.read_only = read_only


def create_environment(path: Path, tables: Sequence[str]) -> None:
    """Make an empty environment with these tables in the existing directory `path`; durable."""
    environment, _ = _open(path, tables, read_only=False, create=True)
    environment.close()
    sync_directory(path)


def index_error(error: lmdb.Error, path: Path) -> Exception:
    """What an error of LMDB is called here."""
    if isinstance(error, lmdb.MapFullError) or error.code in _NO_ROOM:
        return StoreFull(f"no room for the index {path}: {error}")
    if error.code == errno.EIO and _is_nearly_full(path):
        return StoreFull(f"no room for the index {path}: {error}")
    if isinstance(
        error,
        (
            lmdb.CorruptedError,
            lmdb.PageNotFoundError,
            lmdb.InvalidError,
            lmdb.NotFoundError,
            lmdb.BadTxnError,  # the transaction met damage before
        ),
    ):
        return Corrupt("the index", str(path), f"{error}; rebuild-index makes it anew")
    if error.code > 0:
        return _device_error(error, path)
    return StoreUnavailable(f"the index {path} failed: {error}")


def _device_error(error: lmdb.Error, path: Path) -> Exception:
    if error.code in (errno.EACCES, errno.EROFS, errno.EPERM, errno.ENOENT):
        return StoreUnavailable(f"the index {path} cannot be opened: {error}")
    if error.code in (errno.EINVAL, errno.EAGAIN):
        return StoreUnavailable(f"the index {path} failed: {error}")
    return OSError(error.code, os.strerror(error.code), str(path))


def _open(
    path: Path, names: Sequence[str], *, read_only: bool, create: bool
) -> tuple[lmdb.Environment, dict[str, Table]]:
    if not create:
        _check_present(path)
    _reserve_lock_file(path)
    try:
        environment = lmdb.open(
            str(path),
            map_size=MAP_SIZE_INITIAL,
            max_dbs=len(names),
            max_readers=READERS_MAX,
            readonly=read_only,
            create=create,
        )
    except lmdb.Error as error:
        raise index_error(error, path) from error
    try:
        _check_size(environment, path)
        environment.reader_check()  # readers that were killed hold back the reuse of pages
        return environment, {
            name: environment.open_db(name.encode(), create=create) for name in names
        }
    except lmdb.Error as error:
        environment.close()
        raise index_error(error, path) from error
    except BaseException:
        environment.close()
        raise


def _check_present(path: Path) -> None:
    # LMDB takes an empty file for a new environment; here that is a loss.
    data_file = path / DATA_FILE
    try:
        size = data_file.stat().st_size
    except FileNotFoundError:
        raise Corrupt("the index", str(data_file), "absent; rebuild-index makes it anew") from None
    if size == 0:
        raise Corrupt("the index", str(data_file), "empty; rebuild-index makes it anew")


def _reserve_lock_file(path: Path) -> None:
    # LMDB makes it sparse and writes to it through a mapping: on a full disk, that is a SIGBUS.
    try:
        descriptor = os.open(path / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        if error.errno in (errno.EROFS, errno.EACCES):
            return  # LMDB does without, or says that it cannot
        raise _room_error(error, path) from error
    try:
        if os.fstat(descriptor).st_blocks * 512 < LOCK_FILE_SIZE:
            os.posix_fallocate(descriptor, 0, LOCK_FILE_SIZE)
    except OSError as error:
        raise _room_error(error, path) from error
    finally:
        os.close(descriptor)


def _room_error(error: OSError, path: Path) -> Exception:
    if error.errno in _NO_ROOM:
        return StoreFull(f"no room for the index {path}: {error.strerror}")
    return error


def _check_size(environment: lmdb.Environment, path: Path) -> None:
    # A page that the file does not have would be a SIGBUS when it is looked at.
    data_file = path / DATA_FILE
    needed = (environment.info()["last_pgno"] + 1) * _page_size(environment)
    found = data_file.stat().st_size
    if found < needed:
        why = f"{found} bytes of {needed}; rebuild-index makes it anew"
        raise Corrupt("the index", str(data_file), why)


def _page_size(environment: lmdb.Environment) -> int:
    return int(environment.stat()["psize"])


def _is_nearly_full(path: Path) -> bool:
    status = os.statvfs(path)
    return status.f_bavail * status.f_frsize < NEARLY_FULL_BYTES


class _Gate:
    """Lets any number pass, or, closed, nobody."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._inside: set[int] = set()
        self._closed = False

    def enter(self) -> None:
        thread = threading.get_ident()
        with self._condition:
            if thread in self._inside:
                raise RuntimeError("transactions of one thread do not nest")
            while self._closed:
                self._condition.wait()
            self._inside.add(thread)

    def leave(self) -> None:
        with self._condition:
            self._inside.discard(threading.get_ident())
            self._condition.notify_all()

    def is_inside(self) -> bool:
        return threading.get_ident() in self._inside

    def close(self) -> None:
        """Wait until all others have left."""
        with self._condition:
            while self._closed:
                self._condition.wait()
            self._closed = True
            while self._inside - {threading.get_ident()}:
                self._condition.wait()

    def open(self) -> None:
        with self._condition:
            self._closed = False
            self._condition.notify_all()

    @contextmanager
    def closed(self) -> Iterator[None]:
        self.close()
        try:
            yield
        finally:
            self.open()
