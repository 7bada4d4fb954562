"""A store in a directory: making it, opening it, and rebuilding its index.

DIR/store        what it is; locked shared by everyone who has the store open
DIR/packs/       blocks
DIR/index/       where they are, heads, leases
DIR/heads.log    heads, from which the index can be rebuilt
DIR/leases.lock  locks of those who hold leases
DIR/extents/     live layers of volumes
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import time
import uuid
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from blockstore.errors import Corrupt, StoreFull, StoreUnavailable, StoreUsageError
from blockstore.files.blocks import FilesBlocks
from blockstore.files.durable_writes import sync_directory
from blockstore.files.extents import FilesExtents
from blockstore.files.heads import create_heads_log, open_heads, rebuild_heads, renew_heads_log
from blockstore.files.index import Index, create_index, open_index
from blockstore.files.leases import FilesLeases
from blockstore.files.pack import PackDirectory, require_writable
from blockstore.files.record import FORMAT_VERSION, STORE_SIZE, decode_store, encode_store
from blockstore.files.recovery import RebuildReport, rebuild_blocks, recover_packs
from blockstore.interface import StoreInfo

if TYPE_CHECKING:
    from blockstore.interface import Blocks, Extents, Heads, Leases
    from blockstore.options import StoreOptions

PARTS = ("packs", "index", "extents", "heads.log", "store.new")
"""Names in the directory besides `store`, which is made last."""

REBUILT_INDEX = "index.new"

_NO_PLACE = (
    errno.EACCES,
    errno.EEXIST,
    errno.ENOENT,
    errno.ENOTDIR,
    errno.EPERM,
    errno.EROFS,
)


class FilesStore:
    """`interface.Store` in a directory; from `open_files_store`."""

    def __init__(self, directory: Path, info: StoreInfo, *, read_only: bool) -> None:
        """Opens everything; `directory` is a store that holds `info`."""
        self.info = info
        self.url = f"files:{directory}"
        self.read_only = read_only
        self._closed = False
        with ExitStack() as undo:
            undo.callback(os.close, _lock_store(directory, fcntl.LOCK_SH))
            self._index = open_index(directory / "index", info.store_id, read_only=read_only)
            undo.callback(self._index.close)
            packs = PackDirectory(directory / "packs", info.store_id)
            if not read_only:
                recover_packs(self._index, packs)
            blocks = FilesBlocks(info, self._index, packs, read_only=read_only)
            undo.callback(blocks.close)
            heads = open_heads(self._index, directory / "heads.log")
            undo.callback(heads.close)
            leases = FilesLeases(self._index, directory / "leases.lock")
            undo.callback(leases.close)
            self.blocks: Blocks = blocks
            self.heads: Heads = heads
            self.leases: Leases = leases
            self.extents: Extents = FilesExtents(directory / "extents", read_only=read_only)
            self._parts = undo.pop_all()

    def close(self) -> None:
        """See `interface.Store`."""
        if not self._closed:
            self._closed = True
            self._parts.close()


def create_files_store(directory: Path, options: StoreOptions) -> StoreInfo:
    """Make an empty store in an empty or absent directory, durably.

    StoreUsageError when something is there already; StoreFull, StoreUnavailable.
    """
    try:
        return _create(directory, options)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StoreFull(f"no room for a store in {directory}: {error.strerror}") from error
        if error.errno in _NO_PLACE:
            raise StoreUnavailable(f"cannot make {directory}: {error.strerror}") from error
        raise


def open_files_store(directory: Path, *, read_only: bool) -> FilesStore:
    """Open the store in `directory`. StoreUnavailable, Corrupt."""
    info = read_superblock(directory)
    if not read_only:
        require_writable(directory)
    return FilesStore(directory, info, read_only=read_only)


def rebuild_files_index(directory: Path, *, salvage: bool = False) -> RebuildReport:
    """Make the index anew from packs and the log of heads.

    Damaged parts of packs are passed over and reported. A damaged log of heads is written
    anew from the index that was there; if that is damaged too, it is Corrupt and nothing has
    changed, unless `salvage` says to pass over that too: older heads may come back.
    Leases start afresh. StoreUnavailable while anybody has the store open.
    """
    info = read_superblock(directory)
    require_writable(directory)
    lock = _lock_store(directory, fcntl.LOCK_EX)
    try:
        fresh = directory / REBUILT_INDEX
        if fresh.exists():
            shutil.rmtree(fresh)
        create_index(fresh, info.store_id)
        report = _fill_index(directory, fresh, info, salvage)
        if (directory / "index").exists():
            shutil.rmtree(directory / "index")
        fresh.rename(directory / "index")
        sync_directory(directory)
        return report
    finally:
        os.close(lock)


def read_superblock(directory: Path) -> StoreInfo:
    """What the directory says of itself. StoreUnavailable when it is no store, Corrupt."""
    path = directory / "store"
    try:
        with path.open("rb") as file:
            data = file.read(STORE_SIZE + 1)
    except (FileNotFoundError, NotADirectoryError):
        raise StoreUnavailable(f"there is no store at {directory}") from None
    except PermissionError as error:
        raise StoreUnavailable(f"cannot read {path}: {error.strerror}") from None
    return decode_store(data, str(path))


def _create(directory: Path, options: StoreOptions) -> StoreInfo:
    directory.mkdir(mode=0o700, exist_ok=True)
    if (directory / "store").exists():
        raise StoreUsageError(f"{directory} is a store already")
    found = {name.name for name in directory.iterdir()} - {"lost+found"}
    if not found <= set(PARTS):
        raise StoreUsageError(f"{directory} is not empty: it has {min(found)}")
    _clear_unfinished(directory, found)
    info = StoreInfo(
        uuid.uuid4().hex, FORMAT_VERSION, options.hash_name, options.block_size, int(time.time())
    )
    (directory / "packs").mkdir()
    (directory / "extents").mkdir()
    create_index(directory / "index", info.store_id)
    create_heads_log(directory / "heads.log")
    _write_superblock(directory, info)
    sync_directory(directory.parent)
    return info


def _clear_unfinished(directory: Path, names: set[str]) -> None:
    # Left by a creation that did not come to its end: without `store`, nobody can have used it.
    for name in names:
        path = directory / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


def _write_superblock(directory: Path, info: StoreInfo) -> None:
    partial = directory / "store.new"
    with partial.open("wb") as file:
        file.write(encode_store(info))
        file.flush()
        os.fsync(file.fileno())
    sync_directory(directory)
    partial.rename(directory / "store")
    sync_directory(directory)


def _fill_index(directory: Path, fresh: Path, info: StoreInfo, salvage: bool) -> RebuildReport:
    index = open_index(fresh, info.store_id, read_only=False)
    try:
        packs = PackDirectory(directory / "packs", info.store_id)
        try:
            report = rebuild_blocks(index, packs, info.hash_name)
        finally:
            packs.close()
        heads = _rebuild_heads(directory, index, info, salvage)
        return replace(report, head_count=heads)
    finally:
        index.close()


def _rebuild_heads(directory: Path, fresh: Index, info: StoreInfo, salvage: bool) -> int:
    log = directory / "heads.log"
    try:
        return rebuild_heads(fresh, log, salvage=salvage)
    except Corrupt as error:
        if salvage or not _renew_from_former_index(directory, info):
            raise error
    return rebuild_heads(fresh, log)


def _renew_from_former_index(directory: Path, info: StoreInfo) -> bool:
    """Where only the log of heads is damaged, the index that is there has them all."""
    try:
        former = open_index(directory / "index", info.store_id, read_only=False)
    except Corrupt:
        return False
    try:
        renew_heads_log(former, directory / "heads.log")
    except Corrupt:
        return False
    finally:
        former.close()
    return True


def _lock_store(directory: Path, mode: int) -> int:
    descriptor = os.open(directory / "store", os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, mode | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise StoreUnavailable(f"the store at {directory} is in use") from None
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor
