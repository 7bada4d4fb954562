"""Raw images into volumes and out of them, passing over holes."""

from __future__ import annotations

import errno
import os
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import BinaryIO

from archipelago import Extent, ExtentKind, Volume, VolumeBusy, VolumeInfo
from blockstore import ZERO_ID, Blocks
from pithos_api.operator.deployment import Deployment
from pithos_api.operator.errors import CONFLICT, NOT_FOUND, USAGE, OperatorError
from pithos_api.operator.sizes import SECTOR_BYTES

CHUNK_BYTES = 4 << 20
"""Read and hashed at a time; a multiple of every block size."""

QCOW_MAGIC = b"QFI\xfb"
OTHER_FORMATS = {QCOW_MAGIC: "qcow2", b"KDMV": "vmdk", b"vhdxfile": "vhdx", b"conectix": "vpc"}


def source_size(path: str) -> int:
    """Bytes in a file or block device. OperatorError when it is neither."""
    with _opened(path) as source:
        return source.seek(0, os.SEEK_END)


def import_file(
    deployment: Deployment, path: str, name: str, advance: Callable[[int], None]
) -> VolumeInfo:
    """Make volume `name` with the file's content; its size is rounded up to a whole sector.

    The content goes straight into blocks, and has a name only when all of it is durable.
    """
    store = deployment.store
    with _opened(path) as source:
        size = source.seek(0, os.SEEK_END)
        _refuse_other_formats(source, path)
        if size == 0:
            raise OperatorError(f"{path} is empty", USAGE)
        root = deployment.maps.build(_blocks_of(source, size, store.blocks, advance))
        store.blocks.commit()
    rounded = -(-size // SECTOR_BYTES) * SECTOR_BYTES
    return deployment.catalog.clone_root(root, rounded, name, origin=f"file:{path}")


def _blocks_of(
    source: BinaryIO, size: int, blocks: Blocks, advance: Callable[[int], None]
) -> Iterator[bytes]:
    """The block ids of the file in order; a hole of whole chunks is not read."""
    fd, offset = source.fileno(), 0
    per_chunk = 0
    while offset < size:
        data_at = _next_data(fd, offset, size)
        while per_chunk and data_at - offset >= CHUNK_BYTES:
            yield from (ZERO_ID for _ in range(per_chunk))
            offset += CHUNK_BYTES
            advance(CHUNK_BYTES)
        if offset == size:
            return
        data = os.pread(fd, min(CHUNK_BYTES, size - offset), offset)
        if not data:
            raise OperatorError("the file became shorter while it was read; import it again")
        ids = blocks.put_many(data)
        per_chunk = max(per_chunk, len(ids))
        yield from ids
        offset += len(data)
        advance(len(data))


def _next_data(fd: int, offset: int, size: int) -> int:
    try:
        return os.lseek(fd, offset, os.SEEK_DATA)
    except OSError as error:
        if error.errno == errno.ENXIO:
            return size
        if error.errno == errno.EINVAL:
            return offset
        raise


def export_file(
    deployment: Deployment, name: str, path: str, advance: Callable[[int], None]
) -> None:
    """Write the volume or snapshot to a new file, leaving holes; "-" = standard output."""
    with _at_rest(deployment, name) as volume:
        if path == "-":
            _write_stream(volume, sys.stdout.buffer, advance)
            return
        try:
            target = open(path, "xb")  # noqa: SIM115 - closed below, after the check for failure
        except FileExistsError as error:
            raise OperatorError(f"{path} exists; name another file", CONFLICT) from error
        try:
            with target:
                _write_sparse(volume, target, advance)
        except BaseException:
            os.unlink(path)
            raise


@contextmanager
def _at_rest(deployment: Deployment, name: str) -> Iterator[Volume]:
    try:
        volume = deployment.catalog.open(name, read_only=True)
    except VolumeBusy as error:
        raise OperatorError(
            f"{error}; take a snapshot, and export that: archipelago snapshot create {name}@NAME",
            CONFLICT,
        ) from error
    try:
        yield volume
    finally:
        volume.close()


def _write_sparse(volume: Volume, target: BinaryIO, advance: Callable[[int], None]) -> None:
    target.truncate(volume.size)
    for extent in _extents(volume):
        if extent.kind is ExtentKind.DATA:
            target.seek(extent.offset)
            target.write(volume.read(extent.offset, extent.length))
        advance(extent.length)
    target.flush()
    os.fsync(target.fileno())


def _write_stream(volume: Volume, target: BinaryIO, advance: Callable[[int], None]) -> None:
    for extent in _extents(volume):
        data = extent.kind is ExtentKind.DATA
        target.write(volume.read(extent.offset, extent.length) if data else bytes(extent.length))
        advance(extent.length)
    target.flush()


def _extents(volume: Volume) -> Iterator[Extent]:
    """The extents of the whole volume, none longer than a chunk."""
    for start in range(0, volume.size, CHUNK_BYTES):
        yield from volume.extents(start, min(CHUNK_BYTES, volume.size - start))


@contextmanager
def _opened(path: str) -> Iterator[BinaryIO]:
    try:
        source = open(path, "rb")  # noqa: SIM115 - closed by the block below
    except FileNotFoundError as error:
        raise OperatorError(f"no such file: {path}", NOT_FOUND) from error
    with source:
        mode = os.fstat(source.fileno()).st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISBLK(mode)):
            raise OperatorError(f"{path} is neither a file nor a block device", USAGE)
        yield source


def _refuse_other_formats(source: BinaryIO, path: str) -> None:
    start = os.pread(source.fileno(), 8, 0)
    for magic, kind in OTHER_FORMATS.items():
        if start.startswith(magic):
            raise OperatorError(
                f"{path} is {kind}, not raw; convert it first:"
                f" qemu-img convert -O raw {path} disk.raw",
                USAGE,
            )
