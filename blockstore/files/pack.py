"""Pack files: append-only, one writing process each, told apart by a lock on the file.

A pack is a header page and then segments. `PackWriter` appends whole segments; `PackDirectory`
finds, makes and locks packs, and reads from them.
"""

from __future__ import annotations

import errno
import fcntl
import mmap
import os
import threading
import time
from collections import OrderedDict
from pathlib import Path
from typing import TYPE_CHECKING

from blockstore.errors import Corrupt, StoreFull, StoreUnavailable
from blockstore.files.durable_writes import sync_directory
from blockstore.files.record import (
    PACK_HEADER_SIZE,
    PAGE,
    Entry,
    PackHeader,
    PackState,
    decode_pack_header,
    encode_pack_header,
    pack_header_checksum,
    round_up,
)
from blockstore.files.segment import Place

if TYPE_CHECKING:
    from blockstore.files.segment import SegmentBuffer

PACK_SIZE_MAX = 2**30
"""Bytes: no segment is begun that would end behind this."""

PACK_ID_MAX = 2**32 - 1

OPEN_PACKS_MAX = 256
"""Descriptors kept for reading."""

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""Errors of the system that are StoreFull."""


class PackWriter:
    """A pack that this process has locked, open for appending. Not thread-safe: its owner locks."""

    def __init__(self, descriptor: int, path: Path, pack_id: int, state: PackState) -> None:
        self.pack_id = pack_id
        self.path = path
        self.state = state
        """How far it is written; the index has how far it is committed."""
        self.durable_length = state.committed_length
        self._descriptor = descriptor
        _set_direct(descriptor, on=True)

    def has_room(self, size: int) -> bool:
        """Whether a segment of `size` bytes may be appended."""
        return self.state.committed_length + size <= PACK_SIZE_MAX

    def append(self, buffer: SegmentBuffer) -> list[Entry]:
        """Write the segment; return where its blocks are. StoreFull, or the device's OSError.

        On error the pack is as before.
        """
        start = self.state.committed_length
        place = Place(
            start, self.state.next_sequence, self.state.last_checksum, self.durable_length
        )
        data, entries, checksum = buffer.seal(place)
        try:
            self._write(data, start)
        except OSError as error:
            os.ftruncate(self._descriptor, start)
            if error.errno in NO_ROOM:
                raise StoreFull(f"no room for blocks in {self.path}: {error.strerror}") from error
            raise
        self.state = PackState(start + len(data), self.state.next_sequence + 1, checksum)
        return entries

    def sync(self, state: PackState) -> None:
        """Make durable what was written up to `state`, a place that `go_back` never goes behind.

        Not to be called again after an error.
        """
        os.fdatasync(self._descriptor)
        self.durable_length = max(self.durable_length, state.committed_length)

    def cut(self) -> None:
        """Remove what never became durable."""
        os.ftruncate(self._descriptor, self.durable_length)

    def go_back(self, state: PackState) -> None:
        """Remove what was appended after `state`."""
        os.ftruncate(self._descriptor, state.committed_length)
        self.state = state

    def close(self) -> None:
        """Let go of the file and its lock."""
        os.close(self._descriptor)

    def _write(self, data: memoryview, offset: int) -> None:
        while data:
            try:
                written = os.pwrite(self._descriptor, data, offset)
            except OSError as error:
                if error.errno != errno.EINVAL or not _set_direct(self._descriptor, on=False):
                    raise
                continue
            if written < len(data):
                # The rest begins where direct I/O may not.
                _set_direct(self._descriptor, on=False)
            data = data[written:]
            offset += written


class PackDirectory:
    """The packs of a store, by id. Thread-safe."""

    def __init__(self, path: Path, store_id: str) -> None:
        self.path = path
        self._store_id = store_id
        self._lock = threading.Lock()
        self._files: OrderedDict[int, _ReadableFile] = OrderedDict()

    def pack_path(self, pack_id: int) -> Path:
        """packs/<id / 256>/<id>, both in hexadecimal."""
        return self.path / f"{pack_id >> 8:06x}" / f"{pack_id:08x}"

    def pack_ids(self) -> list[int]:
        """All that are there, in order. Files of other names are nobody's."""
        found = []
        for folder in self.path.iterdir():
            if not folder.is_dir():
                continue
            for file in folder.iterdir():
                pack_id = _pack_id_of(file.name)
                if pack_id is not None and self.pack_path(pack_id) == file:
                    found.append(pack_id)
        return sorted(found)

    def create(self) -> PackWriter:
        """Make and lock an empty pack, durable as such."""
        ids = self.pack_ids()
        for pack_id in range(ids[-1] + 1 if ids else 1, PACK_ID_MAX):
            path = self.pack_path(pack_id)
            try:
                return self._create(path, pack_id)
            except FileExistsError:
                continue  # another process was faster
            except OSError as error:
                if error.errno in NO_ROOM:
                    raise StoreFull(f"no room for a new pack in {self.path}") from error
                raise
        raise StoreFull(f"all pack ids of {self.path} are used up")

    def lock(self, pack_id: int) -> int | None:
        """A descriptor open for reading and writing that holds the lock; None when it is taken."""
        try:
            descriptor = os.open(self.pack_path(pack_id), os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        except BaseException:
            os.close(descriptor)
            raise
        if os.fstat(descriptor).st_nlink == 0:
            # A leftover that another process removed; there may be a new pack of the same id.
            os.close(descriptor)
            return None
        return descriptor

    def header(self, pack_id: int) -> PackHeader:
        """The pack's header; Corrupt when it is not a pack of this store."""
        header = self.read_header(pack_id)
        if header is None:
            where = f"{self.pack_path(pack_id)}:0"
            raise Corrupt(f"pack {pack_id:08x}", where, "its header is not one")
        return header

    def read_header(self, pack_id: int) -> PackHeader | None:
        """As `header`, but None for a damaged one."""
        path = self.pack_path(pack_id)
        with path.open("rb") as file:
            header = decode_pack_header(file.read(PACK_HEADER_SIZE))
        if header is None:
            return None
        if header.store_id != self._store_id or header.pack_id != pack_id:
            why = f"it is pack {header.pack_id:08x} of the store {header.store_id}"
            raise Corrupt(f"pack {pack_id:08x}", f"{path}:0", why)
        return header

    def read_into(self, pack_id: int, offset: int, out: memoryview) -> int:
        """Bytes read at `offset` of the pack: fewer than asked for only at its end."""
        file = self._file(pack_id)
        if file is None:
            return 0
        done = 0
        while done < len(out):
            count = os.preadv(file.descriptor, [out[done:]], offset + done)
            if count == 0:
                break
            done += count
        return done

    def read_from_medium(self, pack_id: int, offset: int, length: int) -> bytes:
        """As `read_into`, but past the page cache where the file system can."""
        path = self.pack_path(pack_id)
        start = offset // PAGE * PAGE
        size = round_up(offset + length, PAGE) - start
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return b""
        try:
            if not _set_direct(descriptor, on=True):
                os.posix_fadvise(descriptor, start, size, os.POSIX_FADV_DONTNEED)
            # Not closed here: after an error of the device, its traceback refers to the memory.
            view = memoryview(mmap.mmap(-1, size))
            count = _read_direct(descriptor, view, start)
            return bytes(view[offset - start : max(min(count, offset - start + length), 0)])
        finally:
            os.close(descriptor)

    def disk_bytes(self) -> int:
        """Allocated by all packs."""
        total = 0
        for pack_id in self.pack_ids():
            try:
                total += self.pack_path(pack_id).stat().st_blocks * 512
            except FileNotFoundError:
                continue
        return total

    def forget(self, pack_id: int) -> None:
        """Close the descriptor kept for the pack."""
        with self._lock:
            self._files.pop(pack_id, None)

    def close(self) -> None:
        """Close all descriptors kept for reading."""
        with self._lock:
            self._files.clear()

    def _create(self, path: Path, pack_id: int) -> PackWriter:
        path.parent.mkdir(exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(descriptor).st_nlink == 0:
                raise BlockingIOError
            header = PackHeader(self._store_id, pack_id, int(time.time()))
            page = encode_pack_header(header).ljust(PAGE, b"\0")
            if os.pwrite(descriptor, page, 0) != PAGE:
                raise OSError(errno.ENOSPC, "short write", str(path))
            os.fsync(descriptor)
            sync_directory(path.parent)
            sync_directory(self.path)
        except BlockingIOError:
            # Before the lock was taken, somebody who opened the store took the file for a leftover.
            os.close(descriptor)
            raise FileExistsError(str(path)) from None
        except BaseException:
            path.unlink()
            os.close(descriptor)
            raise
        return PackWriter(
            descriptor, path, pack_id, PackState(PAGE, 0, pack_header_checksum(header))
        )

    def _file(self, pack_id: int) -> _ReadableFile | None:
        with self._lock:
            file = self._files.get(pack_id)
            if file is None:
                try:
                    file = _ReadableFile(self.pack_path(pack_id))
                except FileNotFoundError:
                    return None
                self._files[pack_id] = file
            self._files.move_to_end(pack_id)
            if len(self._files) > OPEN_PACKS_MAX:
                self._files.popitem(last=False)
            return file


class _ReadableFile:
    """A descriptor that is closed when the last thread that reads from it lets go."""

    def __init__(self, path: Path) -> None:
        self.descriptor = -1
        self.descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    def __del__(self) -> None:
        if self.descriptor >= 0:
            os.close(self.descriptor)


def require_writable(path: Path) -> None:
    """StoreUnavailable when the file system of `path` is read-only, or we may not write."""
    if not os.access(path, os.W_OK):
        raise StoreUnavailable(f"{path} is not writable; open the store read-only")


def _read_direct(descriptor: int, view: memoryview, offset: int) -> int:
    done = 0
    while done < len(view):
        count = os.preadv(descriptor, [view[done:]], offset + done)
        done += count
        if count == 0 or count % PAGE:
            break
    return done


def _set_direct(descriptor: int, *, on: bool) -> bool:
    """Switch direct I/O; False when nothing changed or the file system cannot."""
    flags = fcntl.fcntl(descriptor, fcntl.F_GETFL)
    wanted = flags | os.O_DIRECT if on else flags & ~os.O_DIRECT
    if wanted == flags:
        return False
    try:
        fcntl.fcntl(descriptor, fcntl.F_SETFL, wanted)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        return False
    return True


def _pack_id_of(name: str) -> int | None:
    try:
        return int(name, 16)
    except ValueError:
        return None
