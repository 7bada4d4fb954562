"""The index of a `files:` store: named tables in one LMDB environment at DIR/index.

An environment may be open only once in a process, so stores opened twice share it. It does not
survive a fork: a child opens the store again and gets its own.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import lmdb

from blockstore.errors import Corrupt, StoreUnavailable
from blockstore.files.environment import Environment, MapFull, create_environment

if TYPE_CHECKING:
    from lmdb import _Database as Table

TABLES = ("blocks", "packs", "heads", "head_versions", "leases", "meta")

STORE_ID_KEY = b"store_id"

MAP_FULL_RETRIES_MAX = 8
"""Each doubles the address space."""

Result = TypeVar("Result")


class Index:
    """The tables of one store. Close it when done."""

    def __init__(self, path: Path, environment: Environment, *, read_only: bool) -> None:
        self.path = path
        self.read_only = read_only
        self._environment = environment
        self._closed = False

    @property
    def blocks(self) -> Table:
        """Block id to location."""
        return self._environment.tables["blocks"]

    @property
    def packs(self) -> Table:
        """Pack id to committed length."""
        return self._environment.tables["packs"]

    @property
    def heads(self) -> Table:
        """Head name to version and value."""
        return self._environment.tables["heads"]

    @property
    def head_versions(self) -> Table:
        """Head name to the last version it ever had."""
        return self._environment.tables["head_versions"]

    @property
    def leases(self) -> Table:
        """Lease name to holder and epoch."""
        return self._environment.tables["leases"]

    @property
    def meta(self) -> Table:
        """Single values, by ASCII names."""
        return self._environment.tables["meta"]

    @contextmanager
    def read(self) -> Iterator[lmdb.Transaction[bytes]]:
        """A read transaction: keep it short, since it holds back the reuse of pages.

        Transactions of one thread do not nest (RuntimeError).
        """
        self._check_open()
        with self._environment.transaction(write=False) as transaction:
            yield transaction

    @contextmanager
    def write(self) -> Iterator[lmdb.Transaction[bytes]]:
        """A write transaction: durable at the end of the block, gone when it raises.

        StoreUnavailable when opened read-only, StoreFull when there is no room.
        """
        self._check_open()
        if self.read_only:
            raise StoreUnavailable(f"the store of {self.path} is open read-only")
        with self._environment.transaction(write=True) as transaction:
            yield transaction

    def transact(self, change: Callable[[lmdb.Transaction[bytes]], Result]) -> Result:
        """Run `change` in a write transaction, again when the map had to grow for it."""
        for _ in range(MAP_FULL_RETRIES_MAX):
            try:
                with self.write() as transaction:
                    return change(transaction)
            except MapFull:
                continue
        with self.write() as transaction:
            return change(transaction)

    def check_table(self, transaction: lmdb.Transaction[bytes], name: str) -> None:
        """To be called before a cursor walks over a table. Corrupt names a page that is damaged."""
        self._environment.check_table(transaction, name)

    def close(self) -> None:
        """Let go of the environment. Idempotent."""
        if not self._closed:
            self._closed = True
            _release(self._environment)

    def _check_open(self) -> None:
        if self._closed:
            raise StoreUnavailable(f"the index {self.path} is closed")


def create_index(path: Path, store_id: str) -> None:
    """Make the directory `path` with an empty index for the store; durable."""
    path.mkdir()
    create_environment(path, TABLES)
    index = _index_of(path, read_only=False)
    try:
        with index.write() as transaction:
            transaction.put(STORE_ID_KEY, store_id.encode(), db=index.meta)
    finally:
        index.close()


def open_index(path: Path, store_id: str, *, read_only: bool) -> Index:
    """Open the index of the store. Corrupt when it is damaged, absent or of another store."""
    index = _index_of(path, read_only=read_only)
    try:
        with index.read() as transaction:
            found = transaction.get(STORE_ID_KEY, db=index.meta)
        if found != store_id.encode():
            why = f"it belongs to the store {found!r}; rebuild-index makes it anew"
            raise Corrupt("the index", str(path), why)
    except BaseException:
        index.close()
        raise
    return index


def _index_of(path: Path, *, read_only: bool) -> Index:
    return Index(path, _acquire(path, read_only=read_only), read_only=read_only)


class _Registry:
    """The environments open in this process, by device and inode of their directory."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.environments: dict[tuple[int, int], Environment] = {}


_registry = _Registry()


def _acquire(path: Path, *, read_only: bool) -> Environment:
    try:
        status = path.stat()
    except FileNotFoundError:
        raise Corrupt("the index", str(path), "absent; rebuild-index makes it anew") from None
    key = (status.st_dev, status.st_ino)
    with _registry.lock:
        environment = _registry.environments.get(key)
        if environment is None:
            environment = Environment(path, TABLES, read_only=read_only)
            _registry.environments[key] = environment
            return environment
        if environment.read_only and not read_only:
            environment.become_writable()
        environment.references += 1
        return environment


def _release(environment: Environment) -> None:
    with _registry.lock:
        environment.references -= 1
        if environment.references > 0:
            return
        for key, known in list(_registry.environments.items()):
            if known is environment:
                del _registry.environments[key]
        environment.close()


def _before_fork() -> None:
    _registry.lock.acquire()
    for environment in _registry.environments.values():
        environment.before_fork()


def _go_on_after_fork() -> None:
    for environment in _registry.environments.values():
        environment.after_fork()
    _registry.lock.release()


def _forget_after_fork() -> None:
    inherited = list(_registry.environments.values())
    _registry.lock = threading.Lock()
    _registry.environments = {}
    for environment in inherited:
        environment.abandon()


os.register_at_fork(
    before=_before_fork,
    after_in_parent=_go_on_after_fork,
    after_in_child=_forget_after_fork,
)
