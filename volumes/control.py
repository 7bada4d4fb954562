"""How other processes get done what only the holder of an attached volume can do.

`ControlClient` speaks to a volume server's control socket. `Operations` is what a command line or
an API calls: it acts on the catalog, and asks the server where a volume is attached.
"""

from __future__ import annotations

import socket
from types import TracebackType
from typing import TypeVar

from archipelago import Catalog, SnapshotInfo, VolumeBusy, VolumeInfo
from volumes.control_messages import (
    LINE_SIZE_MAX,
    ControlError,
    Detach,
    Done,
    ExportEntry,
    ExportList,
    ListExports,
    MakeClone,
    Ping,
    Pong,
    RequestFailed,
    Resize,
    Seal,
    Shutdown,
    TakeSnapshot,
    decode_reply,
    encode_request,
)
from volumes.control_messages import Request as ControlRequest

__all__ = [
    "ControlClient",
    "ControlError",
    "Operations",
    "RequestFailed",
    "ServerUnreachable",
]

REPLY_SECONDS_MAX = 600.0
"""For one operation but sealing, which takes as long as there is data."""

_Result = TypeVar("_Result", Done, Pong, ExportList)


class ServerUnreachable(ControlError):
    """No volume server answers at the control socket."""


class ControlClient:
    """One connection to a volume server. Use it as a context manager. Not thread-safe.

    Methods raise the server's own errors (`archipelago`, `blockstore`) where they have a class,
    else RequestFailed; ServerUnreachable when the connection fails.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(REPLY_SECONDS_MAX)
        try:
            self._socket.connect(path)
        except OSError as error:
            self._socket.close()
            raise ServerUnreachable(f"no volume server answers at {path}: {error}") from error
        self._reader = self._socket.makefile("rb")

    def __enter__(self) -> ControlClient:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the connection."""
        self._reader.close()
        self._socket.close()

    def ping(self) -> Pong:
        """Which process serves which store."""
        return self._call(Ping(), Pong)

    def exports(self) -> list[ExportEntry]:
        """The attached exports, with their connections."""
        return self._call(ListExports(), ExportList).exports

    def snapshot(self, full_name: str) -> None:
        """Make `VOLUME@SNAPSHOT`."""
        self._call(TakeSnapshot(full_name), Done)

    def clone(self, source: str, name: str, size: int | None = None) -> None:
        """Make a volume from another or from a snapshot."""
        self._call(MakeClone(source, name, size), Done)

    def resize(self, name: str, size: int, *, shrink: bool = False) -> None:
        """Give a volume another size."""
        self._call(Resize(name, size, shrink), Done)

    def seal(self, name: str = "") -> None:
        """Seal frozen layers now; of all volumes where the name is empty."""
        self._socket.settimeout(None)
        self._call(Seal(name), Done)
        self._socket.settimeout(REPLY_SECONDS_MAX)

    def detach(self, name: str) -> int:
        """End an export's connections; how many there were."""
        return self._call(Detach(name), Done).count

    def shutdown(self) -> None:
        """Ask the server to end; it goes on for a moment after the reply."""
        self._call(Shutdown(), Done)

    def _call(self, request: ControlRequest, kind: type[_Result]) -> _Result:
        try:
            self._socket.sendall(encode_request(request))
            line = self._reader.readline(LINE_SIZE_MAX + 1)
        except OSError as error:
            raise ServerUnreachable(f"the volume server at {self._path}: {error}") from error
        if not line.endswith(b"\n"):
            raise ServerUnreachable(f"the volume server at {self._path} hung up")
        return decode_reply(line, kind)


class Operations:
    """The life of volumes, attached or not. `socket_path` is the server's control socket.

    Errors are those of `archipelago` and `blockstore`, and ControlError. Where a volume is busy
    and no server answers, it is VolumeBusy, and the text says both.
    """

    def __init__(self, catalog: Catalog, socket_path: str) -> None:
        self._catalog = catalog
        self._socket_path = socket_path

    def snapshot(self, full_name: str) -> SnapshotInfo:
        """Make `VOLUME@SNAPSHOT`."""
        try:
            return self._catalog.snapshot(full_name)
        except VolumeBusy as busy:
            with self._server(busy) as server:
                server.snapshot(full_name)
        return self._snapshot_info(full_name)

    def clone(self, source: str, name: str, size: int | None = None) -> VolumeInfo:
        """Make a volume from another (attached: as it is at this moment) or from a snapshot."""
        try:
            return self._catalog.clone(source, name, size)
        except VolumeBusy as busy:
            with self._server(busy) as server:
                server.clone(source, name, size)
        return self._volume_info(name)

    def resize(self, name: str, size: int, *, shrink: bool = False) -> VolumeInfo:
        """Give a volume another size in bytes; an attached one can only grow."""
        try:
            self._catalog.resize(name, size, shrink=shrink)
        except VolumeBusy as busy:
            with self._server(busy) as server:
                server.resize(name, size, shrink=shrink)
        return self._volume_info(name)

    def delete(self, name: str, with_snapshots: bool = False) -> None:
        """Delete a volume or snapshot that is not attached.

        A snapshot has no lease that would tell the catalog; so the server is asked, if there is
        one. VolumeBusy.
        """
        for export in self._attached():
            if export.name == name or (with_snapshots and export.name.startswith(f"{name}@")):
                raise VolumeBusy(name, ", ".join(export.peers), f"{export.name} is attached")
        self._catalog.delete(name, with_snapshots)

    def detach(self, name: str) -> int:
        """End an export's connections; how many there were. ServerUnreachable."""
        with ControlClient(self._socket_path) as server:
            return server.detach(name)

    def _attached(self) -> list[ExportEntry]:
        try:
            with ControlClient(self._socket_path) as server:
                return server.exports()
        except ServerUnreachable:
            return []

    def _server(self, busy: VolumeBusy) -> ControlClient:
        try:
            return ControlClient(self._socket_path)
        except ServerUnreachable as error:
            raise VolumeBusy(busy.name, busy.holder, f"{busy}; and {error}") from error

    def _snapshot_info(self, full_name: str) -> SnapshotInfo:
        info = self._catalog.info(full_name)
        if not isinstance(info, SnapshotInfo):
            raise ControlError(f"{full_name} is not a snapshot")
        return info

    def _volume_info(self, name: str) -> VolumeInfo:
        info = self._catalog.info(name)
        if not isinstance(info, VolumeInfo):
            raise ControlError(f"{name} is not a volume")
        return info
