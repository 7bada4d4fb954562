"""The volumes that this process has open: one for each export, shared by all its connections.

A volume is opened (its lease taken) for the first connection and closed after the last. An
`_OpenExport` stays in the table until it is really closed, so that who comes while it closes
waits for the lease instead of finding it taken by ourselves.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from archipelago import (
    ArchipelagoError,
    Catalog,
    InvalidArgument,
    SnapshotInfo,
    Volume,
    VolumeBusy,
    VolumeInfo,
    VolumeNotFound,
)
from blockstore import LeaseHeld, StoreError, StoreFull
from volumes.exports import ExportInfo, ExportRefused, ExportUnknown
from volumes.sealer import BackgroundSealer

log = logging.getLogger(__name__)

DETACH_SECONDS_MAX = 10.0
"""How long `detach` lets connections finish what is in flight, and then waits for their end."""


@dataclass(frozen=True, slots=True)
class AttachedExport:
    """An export with at least one connection."""

    name: str
    size: int
    """Bytes."""
    read_only: bool
    peers: tuple[str, ...]
    """One for each connection."""


class VolumeAttachment:
    """One connection's hold on an export; a `volumes.exports.Attachment`."""

    def __init__(self, manager: Manager, export: _OpenExport, volume: Volume, peer: str) -> None:
        self.info = _export_info(volume)
        self.device = volume
        self.peer = peer
        self._manager = manager
        self._export = export
        self._closed = False

    def close(self) -> None:
        """Let go; the last one flushes and closes the volume. Idempotent. Logs what fails."""
        if not self._closed:
            self._closed = True
            self._manager.release(self._export, self)


@dataclass(eq=False)
class _OpenExport:
    name: str
    lock: threading.Lock = field(default_factory=threading.Lock)
    """Held while the volume is opened or closed."""
    volume: Volume | None = None
    users: int = 0
    """Attachments, those to come, and operations under way; guarded by the manager's lock."""
    connections: dict[VolumeAttachment, Callable[[], None]] = field(default_factory=dict)
    """Attachments, and how each is told to go."""


class Manager:
    """Opens, shares and closes the volumes of one catalog. Thread-safe. An `Exports`."""

    def __init__(self, catalog: Catalog, holder: str = "") -> None:
        """`holder` is what others are told when they find a volume in use."""
        self._catalog = catalog
        self._holder = holder
        self._changed = threading.Condition()
        self._exports: dict[str, _OpenExport] = {}
        self._closing = False
        self._sealer = BackgroundSealer(catalog)

    def start(self) -> None:
        """Begin sealing in the background."""
        self._sealer.start()

    def close(self) -> None:
        """Stop sealing and refuse new attachments; end those that are left. VolumeBusy."""
        self._closing = True
        try:
            for name in list(self._exports):
                self.detach(name)
        finally:
            self._sealer.close()

    def stop_sealing(self) -> None:
        """Give up the sealing under way, soon, and begin none; what is frozen can wait."""
        self._sealer.stop()

    # --- what a front end needs

    def names(self, limit: int) -> list[str]:
        """The first `limit` volumes; snapshots are exports too, but not listed."""
        with _translated():
            infos = self._catalog.list(limit=limit + 1)
        if len(infos) > limit:
            log.warning("more than %d volumes: the list of exports was cut", limit)
        return [info.name for info in infos[:limit]]

    def describe(self, name: str) -> ExportInfo:
        """From the open volume, else from the catalog. ExportUnknown, ExportRefused."""
        with self._changed:
            export = self._exports.get(name)
            volume = export.volume if export is not None else None
        if volume is not None:
            return _export_info(volume)
        with _translated():
            info = self._catalog.info(name)
        if info.damage:
            raise ExportRefused(f"{name} is damaged: {info.damage}")
        read_only = isinstance(info, SnapshotInfo)
        return ExportInfo(name, info.size, read_only, _description(read_only, info.size))

    def attach(self, name: str, peer: str, disconnect: Callable[[], None]) -> VolumeAttachment:
        """Hold the export, opening the volume for the first. ExportUnknown, ExportRefused."""
        if self._closing:
            raise ExportRefused("the server is shutting down")
        with self._changed:
            export = self._exports.setdefault(name, _OpenExport(name))
            export.users += 1
        try:
            with export.lock:
                if export.volume is None:
                    export.volume = self._open(name)
                else:
                    _check_alive(export.volume)
                attachment = VolumeAttachment(self, export, export.volume, peer)
        except BaseException:
            self.release(export)
            raise
        with self._changed:
            export.connections[attachment] = disconnect
        return attachment

    def release(self, export: _OpenExport, attachment: VolumeAttachment | None = None) -> None:
        """One user less; the last closes the volume."""
        with export.lock:
            with self._changed:
                export.users -= 1
                if attachment is not None:
                    export.connections.pop(attachment, None)
                last = export.users == 0
            volume = export.volume
            try:
                if last and volume is not None:
                    export.volume = None
                    _close(volume)
            finally:
                with self._changed:
                    if export.users == 0:
                        self._exports.pop(export.name, None)
                    self._changed.notify_all()

    # --- what the control socket asks for

    def attached(self) -> list[AttachedExport]:
        """All exports in use, by name."""
        with self._changed:
            return [
                AttachedExport(
                    export.name,
                    export.volume.size,
                    export.volume.read_only,
                    tuple(attachment.peer for attachment in export.connections),
                )
                for _, export in sorted(self._exports.items())
                if export.volume is not None
            ]

    def snapshot(self, full_name: str) -> SnapshotInfo:
        """Snapshot `VOLUME@NAME`, open here or not. Errors of `archipelago`."""
        name, separator, snapshot_name = full_name.partition("@")
        if not separator:
            raise InvalidArgument(f"{full_name!r} is not VOLUME@SNAPSHOT")
        with self._used(name) as volume:
            if volume is None:
                info = self._catalog.snapshot(full_name)
            else:
                info = volume.snapshot(snapshot_name)
        self._sealer.wake()
        return info

    def clone(self, source: str, name: str, size: int | None = None) -> VolumeInfo:
        """Clone a volume (open here or not) or a snapshot. Errors of `archipelago`."""
        with self._used(source) as volume:
            if volume is None or volume.read_only:
                info = self._catalog.clone(source, name, size)
            else:
                info = volume.clone(name, size)
        self._sealer.wake()
        return info

    def resize(self, name: str, size: int, *, shrink: bool = False) -> None:
        """Resize a volume. One that is attached only grows: a guest may use all of it."""
        with self._used(name) as volume:
            if volume is None:
                self._catalog.resize(name, size, shrink=shrink)
                return
            if size < volume.size:
                raise VolumeBusy(
                    name, "its connections", f"{name} is attached, so it can grow but not shrink"
                )
            volume.resize(size)

    def seal(self, name: str) -> None:
        """Seal the frozen layers of a volume now; of all of them where the name is empty.
        SealingStopped when the server ends."""
        if name:
            self._catalog.seal(name, self._sealer.is_stopped)
        else:
            self._catalog.seal_pending(self._sealer.is_stopped)

    def detach(self, name: str) -> int:
        """End all connections of an export and wait for them; how many there were. VolumeBusy."""
        with self._changed:
            export = self._exports.get(name)
        if export is None:
            return 0
        ended: set[VolumeAttachment] = set()
        for _ in ("politely", "at once"):
            with self._changed:
                goodbyes = dict(export.connections)
            for disconnect in goodbyes.values():
                disconnect()
            ended.update(goodbyes)
            with self._changed:
                if self._changed.wait_for(
                    lambda: self._exports.get(name) is not export, DETACH_SECONDS_MAX
                ):
                    return len(ended)
        raise VolumeBusy(name, "its connections", f"{name}: its connections do not end")

    def _open(self, name: str) -> Volume:
        with _translated():
            return self._catalog.open(name, read_only="@" in name, holder=self._holder)

    @contextmanager
    def _used(self, name: str) -> Iterator[Volume | None]:
        """The volume if it is open here, kept open meanwhile."""
        with self._changed:
            export = self._exports.get(name)
            if export is not None:
                export.users += 1
        if export is None:
            yield None
            return
        try:
            with export.lock:
                volume = export.volume
            yield volume
        finally:
            self.release(export)


def _check_alive(volume: Volume) -> None:
    """ExportRefused for a volume whose lease is lost or whose flush fails: only opening it anew
    helps, and clients that reconnect one by one would keep this one open for ever."""
    try:
        volume.flush()
    except StoreFull:
        return  # it can be read, and written when there is space again
    except (ArchipelagoError, StoreError, OSError) as error:
        raise ExportRefused(
            f"{error}; it can be attached when all its connections have ended"
        ) from error


def _close(volume: Volume) -> None:
    """Flush and close; what fails is logged, since nobody is left to be told."""
    try:
        if not volume.read_only:
            volume.flush()
    except (ArchipelagoError, StoreError, OSError) as error:
        log.error("%s: the last flush failed: %s", volume.name, error)
    try:
        volume.close()
    except (ArchipelagoError, StoreError, OSError) as error:
        log.error("%s: closing failed: %s", volume.name, error)


@contextmanager
def _translated() -> Iterator[None]:
    """Errors of the catalog as those of `volumes.exports`."""
    try:
        yield
    except (VolumeNotFound, InvalidArgument) as error:
        raise ExportUnknown(str(error)) from error
    except (ArchipelagoError, StoreError, OSError) as error:
        if not isinstance(error, (VolumeBusy, LeaseHeld)):
            log.error("cannot serve: %s", error)
        raise ExportRefused(str(error)) from error


def _export_info(volume: Volume) -> ExportInfo:
    return ExportInfo(
        volume.name, volume.size, volume.read_only, _description(volume.read_only, volume.size)
    )


def _description(read_only: bool, size: int) -> str:
    return f"{'snapshot' if read_only else 'volume'} of {size} bytes"
