"""Exports and a device in memory, for tests of the protocol alone; faults can be armed."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from volumes.exports import ExportInfo, ExportRefused, ExportUnknown

PAGE = 4096


@dataclass(frozen=True)
class MemoryExtent:
    offset: int
    length: int
    kind: str


class MemoryDevice:
    def __init__(self, size: int, read_only: bool = False):
        self.size = size
        self.read_only = read_only
        self.block_size = 2**16
        self.content = bytearray(size)
        self.pages = bytearray(-(-size // PAGE))
        self.flushes = 0
        self.lock = threading.Lock()
        self.fault: Exception | None = None
        self.fault_offset = 0
        self.gate: threading.Event | None = None
        self.entered = threading.Semaphore(0)

    def _check(self, offset: int, length: int) -> None:
        assert offset >= 0
        assert offset + length <= self.size

    def _meet_fault(self, offset: int, length: int) -> None:
        if self.fault is not None and offset <= self.fault_offset < offset + max(length, 1):
            raise self.fault

    def read_into(self, offset, out):
        self._check(offset, len(out))
        if self.gate is not None:
            self.entered.release()
            assert self.gate.wait(20)
        self._meet_fault(offset, len(out))
        with self.lock:
            out[:] = self.content[offset : offset + len(out)]

    def write(self, offset, data):
        self._check(offset, len(data))
        self._meet_fault(offset, len(data))
        with self.lock:
            self.content[offset : offset + len(data)] = data
            self._mark(offset, len(data), 1)

    def zero(self, offset, length, *, allocate=False):
        self._check(offset, length)
        self._meet_fault(offset, length)
        with self.lock:
            self.content[offset : offset + length] = bytes(length)
            if allocate:
                self._mark(offset, length, 1)
            else:
                first, last = -(-offset // PAGE), (offset + length) // PAGE
                self.pages[first:last] = bytes(max(last - first, 0))

    def discard(self, offset, length):
        self.zero(offset, length)

    def flush(self):
        if self.fault is not None and self.fault_offset < 0:
            raise self.fault
        with self.lock:
            self.flushes += 1

    def extents(self, offset, length):
        found = []
        end = offset + length
        while offset < end:
            state = self.pages[offset // PAGE]
            stop = min((offset // PAGE + 1) * PAGE, end)
            while stop < end and self.pages[stop // PAGE] == state:
                stop = min(stop + PAGE, end)
            found.append(MemoryExtent(offset, stop - offset, "data" if state else "hole"))
            offset = stop
        return found

    def _mark(self, offset, length, value):
        if length:
            first, last = offset // PAGE, (offset + length - 1) // PAGE
            self.pages[first : last + 1] = bytes([value]) * (last + 1 - first)


@dataclass
class MemoryAttachment:
    info: ExportInfo
    device: MemoryDevice
    closed: int = 0

    def close(self) -> None:
        self.closed += 1


@dataclass
class MemoryExports:
    devices: dict[str, MemoryDevice] = field(default_factory=dict)
    busy: dict[str, str] = field(default_factory=dict)
    attachments: list[MemoryAttachment] = field(default_factory=list)

    def add(self, name: str, size: int, read_only: bool = False) -> MemoryDevice:
        self.devices[name] = MemoryDevice(size, read_only)
        return self.devices[name]

    def names(self, limit):
        return sorted(self.devices)[:limit]

    def describe(self, name):
        if name not in self.devices:
            raise ExportUnknown(f"no export {name}")
        device = self.devices[name]
        return ExportInfo(name, device.size, device.read_only, f"{device.size} bytes of memory")

    def attach(self, name, peer, disconnect):
        info = self.describe(name)
        if name in self.busy:
            raise ExportRefused(f"{name} is in use by {self.busy[name]}")
        attachment = MemoryAttachment(info, self.devices[name])
        self.attachments.append(attachment)
        return attachment
