"""The layers of a store: directories DIR/extents/<first two characters of the id>/<id>/.

A layer is made in a directory of another name, `.new-…`, and renamed when it is whole, so a crash
leaves no half one; a deleted layer is renamed to `.old-…` before its files go. Such directories
are locked while somebody works on them. What is not locked was left by a crash and is removed when
the store is next opened.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from blockstore.argument_checks import check_layer_id, check_layer_size
from blockstore.errors import Corrupt, NotFound, StoreUnavailable, StoreUsageError
from blockstore.files.durable_writes import no_room_is_store_full, sync_directory
from blockstore.files.layer import FilesLayer
from blockstore.files.layer_data import LayerData
from blockstore.files.layer_states import STATES_NAME, load_states, pack_states, write_states
from blockstore.interface import PAGE_SIZE, PageState

_NEW = ".new-"
_OLD = ".old-"


class FilesExtents:
    """`interface.Extents` over a directory that exists."""

    def __init__(self, directory: Path, *, read_only: bool) -> None:
        self._directory = directory
        self._read_only = read_only
        if not read_only:
            self._remove_leftovers()

    def create(self, layer_id: str, size: int) -> None:
        self._check_writable()
        check_layer_id(layer_id)
        check_layer_size(size)
        with self._new_directory(layer_id) as directory:
            write_states(directory / STATES_NAME, layer_id, size, b"")

    def open(self, layer_id: str, *, writable: bool) -> FilesLayer:
        check_layer_id(layer_id)
        if writable:
            self._check_writable()
        directory = self._path(layer_id)
        with _absence_named(layer_id, directory):
            return FilesLayer(directory, layer_id, writable=writable)

    def fork(self, layer_id: str, new_id: str) -> None:
        self._check_writable()
        check_layer_id(layer_id)
        check_layer_id(new_id)
        source = self._path(layer_id)
        with _absence_named(layer_id, source):
            loaded = load_states(source / STATES_NAME, layer_id)
        runs = list(loaded.states.changed_runs())
        with _absence_named(layer_id, source), self._new_directory(new_id) as directory:
            _copy_data(source, directory, layer_id, runs)
            write_states(directory / STATES_NAME, new_id, loaded.size, pack_states(runs))

    def delete(self, layer_id: str) -> None:
        self._check_writable()
        check_layer_id(layer_id)
        path = self._path(layer_id)
        old = self._directory / f"{_OLD}{uuid.uuid4().hex}"
        try:
            os.rename(path, old)
        except FileNotFoundError:
            return
        sync_directory(path.parent)
        shutil.rmtree(old, ignore_errors=True)

    def list(self) -> list[str]:
        prefixes = [name for name in _names(self._directory) if not name.startswith(".")]
        return sorted(name for prefix in prefixes for name in _names(self._directory / prefix))

    def _check_writable(self) -> None:
        if self._read_only:
            raise StoreUnavailable(f"the store of {self._directory} is open read-only")

    def _path(self, layer_id: str) -> Path:
        return self._directory / layer_id[:2] / layer_id

    @contextmanager
    def _new_directory(self, layer_id: str) -> Iterator[Path]:
        """A directory to fill; at the end of the block it becomes the layer, durably."""
        path = self._path(layer_id)
        if path.exists():
            raise StoreUsageError(f"layer {layer_id} exists already")
        new = self._directory / f"{_NEW}{uuid.uuid4().hex}"
        with no_room_is_store_full(f"layer {layer_id}"):
            _make_directory(path.parent)
            with self._locked_new_directory() as new:
                try:
                    yield new
                    sync_directory(new)
                    _rename_new(new, path, layer_id)
                except BaseException:
                    shutil.rmtree(new, ignore_errors=True)
                    raise
        sync_directory(path.parent)

    @contextmanager
    def _locked_new_directory(self) -> Iterator[Path]:
        while True:
            new = self._directory / f"{_NEW}{uuid.uuid4().hex}"
            os.mkdir(new, 0o700)
            try:
                lock = _lock(new)
            except FileNotFoundError:
                continue
            try:
                # Somebody who opens the store may have locked it first, and removed it.
                if new.exists():
                    yield new
                    return
            finally:
                os.close(lock)

    def _remove_leftovers(self) -> None:
        for name in _names(self._directory):
            if name.startswith((_NEW, _OLD)):
                path = self._directory / name
                with suppress(BlockingIOError, FileNotFoundError):
                    lock = _lock(path, wait=False)
                    try:
                        shutil.rmtree(path, ignore_errors=True)
                    finally:
                        os.close(lock)


@contextmanager
def _absence_named(layer_id: str, directory: Path) -> Iterator[None]:
    """In the block, a missing file means that there is no such layer, or that it is damaged."""
    try:
        yield
    except FileNotFoundError as error:
        if not directory.is_dir():
            raise NotFound("layer", layer_id) from None
        where = str(error.filename or directory)
        raise Corrupt(f"layer {layer_id}", where, "a file of it is absent") from error


def _make_directory(path: Path) -> None:
    with suppress(FileExistsError):
        os.mkdir(path, 0o700)
    sync_directory(path.parent)  # who made it may not have come to that


def _rename_new(new: Path, path: Path, layer_id: str) -> None:
    try:
        os.rename(new, path)
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
            raise StoreUsageError(f"layer {layer_id} exists already") from None
        raise


def _lock(directory: Path, *, wait: bool = True) -> int:
    """A descriptor to close; BlockingIOError when another has it and `wait` is false."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _copy_data(
    source: Path, target: Path, layer_id: str, runs: list[tuple[int, int, PageState]]
) -> None:
    source_data = LayerData(source, layer_id, writable=False)
    try:
        target_data = LayerData(target, layer_id, writable=True)
        try:
            for first, count, state in runs:
                if state is PageState.DATA:
                    source_data.copy_to(target_data, first * PAGE_SIZE, count * PAGE_SIZE)
            target_data.sync(target_data.take_dirty())
        finally:
            target_data.close()
    finally:
        source_data.close()


def _names(directory: Path) -> list[str]:
    try:
        return sorted(os.listdir(directory))
    except (FileNotFoundError, NotADirectoryError):
        return []
