"""Raw images in and out: files, devices and pipes; holes stay holes.

An import puts blocks and map pages straight into the store and makes the volume at the very end,
in one step. Until then there is nothing to see, and nothing to clean up after an interruption but
blocks that a collection takes.
"""

from __future__ import annotations

import errno
import os
import secrets
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from archipelago.catalog import Catalog
from archipelago.errors import InvalidArgument, NameTaken, VolumeNotFound
from archipelago.extent import ExtentKind
from archipelago.info import VolumeInfo
from archipelago.map_format import EMPTY_MAP, MapRoot
from archipelago.names import VOLUME_SIZE_MAX, check_name
from archipelago.volume import Volume

CHUNK_SIZE = 8 * 2**20
"""Bytes that are read, hashed or written at a time; a multiple of every block size."""

MAP_CHANGES_MAX = 2**16
"""Block ids gathered before the map is updated with them."""

COMMIT_SIZE = 2**30
"""Bytes put between commits: what an interruption makes the next attempt hash, not write, again."""

Progress = Callable[[int, int | None], None]
"""Called with the bytes done and the bytes in all (None: not known beforehand)."""


def import_raw(
    catalog: Catalog, source: Path | BinaryIO, name: str, progress: Progress | None = None
) -> VolumeInfo:
    """Make the volume `name` of a file, block device or stream; its size is rounded up to 512.

    NameTaken, and InvalidArgument for a bad name or size, as early as can be known.
    """
    check_name(name)
    _check_free(catalog, name)
    if not isinstance(source, Path):
        return _import_stream(catalog, source, name, progress, "stream")
    with open(source, "rb", buffering=0) as file:
        mode = os.fstat(file.fileno()).st_mode
        if stat.S_ISDIR(mode):
            raise InvalidArgument(f"{source} is a directory")
        if not (stat.S_ISREG(mode) or stat.S_ISBLK(mode)):
            return _import_stream(catalog, file, name, progress, source.name)
        size = os.lseek(file.fileno(), 0, os.SEEK_END)
        _check_import_size(size)
        importer = _Importer(catalog)
        for start, end in _data_ranges(file.fileno(), size, catalog.maps.block_size):
            for offset in range(start, end, CHUNK_SIZE):
                length = min(CHUNK_SIZE, end - offset)
                importer.put(offset, _read_at(file.fileno(), offset, length, source))
                _report(progress, offset + length, size)
        _report(progress, size, size)
        return catalog.clone_root(importer.finish(), size, name, source.name)


def export_raw(
    catalog: Catalog,
    name: str,
    target: Path | BinaryIO,
    progress: Progress | None = None,
    *,
    overwrite: bool = False,
) -> None:
    """Write a volume or snapshot to a file (sparse), an existing block device, or a stream.

    A file appears under its name when it is whole and durable. FileExistsError unless
    `overwrite`. The volume may not be open elsewhere; a snapshot may.
    """
    with catalog.open(name, read_only=True) as volume:
        if not isinstance(target, Path):
            for offset in range(0, volume.size, CHUNK_SIZE):
                target.write(volume.read(offset, min(CHUNK_SIZE, volume.size - offset)))
                _report(progress, min(offset + CHUNK_SIZE, volume.size), volume.size)
            target.flush()
        elif target.is_block_device():
            _export_device(volume, target, progress)
        else:
            with new_file(target, overwrite=overwrite) as temporary:
                _write_file(volume, temporary, progress)


@contextmanager
def new_file(target: Path, *, overwrite: bool) -> Iterator[Path]:
    """A file beside `target` to fill, which becomes `target` at the end, durably, or vanishes."""
    if not overwrite and target.exists():
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target))
    temporary = target.with_name(f".{target.name[:200]}.{secrets.token_hex(8)}")
    try:
        temporary.touch(exist_ok=False)
        yield temporary
        _sync_path(temporary)
        if overwrite:
            temporary.replace(target)
        else:
            _rename_new(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)
    _sync_path(target.parent)


def _rename_new(source: Path, target: Path) -> None:
    """Rename a file, unless there is one of that name by now."""
    try:
        os.link(source, target)
    except FileExistsError:
        raise
    except OSError:
        # A file system without links. There is a moment between the question and the answer.
        if target.exists():
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target)) from None
        source.rename(target)


class _Importer:
    """Gathers the map of what is imported."""

    def __init__(self, catalog: Catalog) -> None:
        self._maps = catalog.maps
        self._blocks = catalog.store.blocks
        self._root = EMPTY_MAP
        self._changes: dict[int, bytes] = {}
        self._uncommitted = 0

    def put(self, offset: int, data: bytes | bytearray) -> None:
        """Bytes at a multiple of the block size; whole blocks, unless they are the last."""
        ids = self._blocks.put_many(data)
        self._changes.update(enumerate(ids, offset // self._maps.block_size))
        self._uncommitted += len(data)
        if len(self._changes) >= MAP_CHANGES_MAX:
            self._update()
        if self._uncommitted >= COMMIT_SIZE:
            self._blocks.commit()
            self._uncommitted = 0

    def finish(self) -> MapRoot:
        """The map of all, durable."""
        self._update()
        self._blocks.commit()
        return self._root

    def _update(self) -> None:
        self._root = self._maps.update(self._root, self._changes)
        self._changes.clear()


def _import_stream(
    catalog: Catalog, source: BinaryIO, name: str, progress: Progress | None, origin: str
) -> VolumeInfo:
    importer = _Importer(catalog)
    size = 0
    while data := _read_full(source, CHUNK_SIZE):
        if size + len(data) > VOLUME_SIZE_MAX:
            _check_import_size(size + len(data))
        importer.put(size, data)
        size += len(data)
        _report(progress, size, None)
    _check_import_size(size)
    return catalog.clone_root(importer.finish(), size, name, origin)


def _export_device(volume: Volume, device: Path, progress: Progress | None) -> None:
    """Write every byte, zeros too: a device has old content where a new file has holes."""
    with open(device, "r+b", buffering=0) as file:
        room = os.lseek(file.fileno(), 0, os.SEEK_END)
        if room < volume.size:
            raise InvalidArgument(f"{device} has {room} bytes, {volume.name} {volume.size}")
        for offset in range(0, volume.size, CHUNK_SIZE):
            data = volume.read(offset, min(CHUNK_SIZE, volume.size - offset))
            _write_at(file.fileno(), offset, data)
            _report(progress, offset + len(data), volume.size)
        os.fsync(file.fileno())


def _write_file(volume: Volume, path: Path, progress: Progress | None) -> None:
    """Write the data into an empty file, and leave the rest holes."""
    with open(path, "r+b", buffering=0) as file:
        file.truncate(volume.size)
        for window in range(0, volume.size, CHUNK_SIZE):
            length = min(CHUNK_SIZE, volume.size - window)
            for extent in volume.extents(window, length):
                if extent.kind is ExtentKind.DATA:
                    data = volume.read(extent.offset, extent.length)
                    _write_at(file.fileno(), extent.offset, data)
            _report(progress, window + length, volume.size)


def _data_ranges(descriptor: int, size: int, block_size: int) -> Iterator[tuple[int, int]]:
    """The parts of a file that may be other than zeros: (start, end), starts at whole blocks."""
    position = 0
    while position < size:
        try:
            start = os.lseek(descriptor, position, os.SEEK_DATA)
            end = os.lseek(descriptor, start, os.SEEK_HOLE)
        except OSError as error:
            if error.errno == errno.ENXIO:
                return
            if error.errno != errno.EINVAL:
                raise
            start, end = position, size  # a device that knows no holes
        start -= start % block_size
        end = min(size, end + -end % block_size)
        start = max(start, position)
        yield start, end
        position = end


def _read_at(descriptor: int, offset: int, length: int, source: Path) -> bytearray:
    data = bytearray(length)
    view = memoryview(data)
    done = 0
    while done < length:
        count = os.preadv(descriptor, [view[done:]], offset + done)
        if not count:
            raise InvalidArgument(f"{source} became shorter while it was read")
        done += count
    return data


def _read_full(source: BinaryIO, length: int) -> bytes:
    """`length` bytes, fewer only at the end: a pipe gives what it has."""
    pieces = []
    while length and (piece := source.read(length)):
        pieces.append(piece)
        length -= len(piece)
    return b"".join(pieces)


def _write_at(descriptor: int, offset: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        count = os.pwrite(descriptor, view, offset)
        view, offset = view[count:], offset + count


def _check_free(catalog: Catalog, name: str) -> None:
    try:
        catalog.info(name)
    except VolumeNotFound:
        return
    raise NameTaken(name)


def _check_import_size(size: int) -> None:
    if not 0 < size <= VOLUME_SIZE_MAX:
        raise InvalidArgument(f"a volume has 1 to {VOLUME_SIZE_MAX} bytes (64 TiB), not {size}")


def _report(progress: Progress | None, done: int, total: int | None) -> None:
    if progress is not None:
        progress(done, total)


def _sync_path(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
