"""What each command does with the device. The requests have passed `volumes.nbd.requests`."""

from __future__ import annotations

from collections.abc import Iterator

from volumes.device import Device
from volumes.nbd import wire
from volumes.nbd.options import ALLOCATION_CONTEXT_ID
from volumes.nbd.replies import SimpleReplies, StructuredReplies
from volumes.nbd.wire import Command
from volumes.nbd.workspace import PIECE_SIZE, Workspace

EXTENTS_MAX = 2048
"""Extents in one answer to block status; the client asks again for the rest."""

RANGE_STEP = 256 * 2**20
"""Bytes of a range whose extents are looked at at once: bounds memory for a fragmented device."""

CACHE_SIZE_MAX = wire.PAYLOAD_SIZE_MAX
"""Bytes that one request can have read for nothing; the command is only advice."""


def execute(
    device: Device,
    request: wire.Request,
    workspace: Workspace,
    replies: SimpleReplies | StructuredReplies,
) -> None:
    """Carry out anything but a write, and reply. Device errors pass through."""
    if request.command == Command.READ:
        replies.read(device, request, workspace)
    elif request.command == Command.BLOCK_STATUS and isinstance(replies, StructuredReplies):
        one = bool(request.flags & wire.COMMAND_REQ_ONE)
        descriptors = list(_descriptors(device, request, 1 if one else EXTENTS_MAX))
        replies.status(request.cookie, ALLOCATION_CONTEXT_ID, descriptors)
    else:
        _execute_silent(device, request, workspace)
        replies.done(request.cookie)


def write(device: Device, request: wire.Request, payload: memoryview) -> None:
    """Store a write's payload, durably where FUA says so."""
    device.write(request.offset, payload)
    force(device, request)


def force(device: Device, request: wire.Request) -> None:
    """Flush after a request with FUA: more than it asks for, never less."""
    if request.flags & wire.COMMAND_FUA:
        device.flush()


def _execute_silent(device: Device, request: wire.Request, workspace: Workspace) -> None:
    """Commands whose only answer is success."""
    if request.command == Command.FLUSH:
        device.flush()
    elif request.command == Command.TRIM:
        for offset, length in _steps(request.offset, request.length):
            device.discard(offset, length)
        force(device, request)
    elif request.command == Command.WRITE_ZEROES:
        allocate = bool(request.flags & wire.COMMAND_NO_HOLE)
        for offset, length in _steps(request.offset, request.length):
            device.zero(offset, length, allocate=allocate)
        force(device, request)
    elif request.command == Command.CACHE:
        _cache(device, request, workspace)


def _cache(device: Device, request: wire.Request, workspace: Workspace) -> None:
    """Read and forget: what is read is in the caches below afterwards."""
    end = request.offset + min(request.length, CACHE_SIZE_MAX)
    for offset in range(request.offset, end, PIECE_SIZE):
        device.read_into(offset, workspace.view(min(PIECE_SIZE, end - offset)))


def _descriptors(
    device: Device, request: wire.Request, count_max: int
) -> Iterator[tuple[int, int]]:
    """(length, flags) of at most `count_max` extents, neighbours of one kind being merged."""
    pending_length = pending_flags = count = 0
    for length, flags in _allocation(device, request.offset, request.length):
        if pending_length and flags != pending_flags:
            yield pending_length, pending_flags
            pending_length = 0
            count += 1
            if count == count_max:
                return
        pending_length += length
        pending_flags = flags
    if pending_length:
        yield pending_length, pending_flags


def _allocation(device: Device, offset: int, length: int) -> Iterator[tuple[int, int]]:
    hole = wire.ALLOCATION_HOLE | wire.ALLOCATION_ZERO
    for start, count in _steps(offset, length):
        for extent in device.extents(start, count):
            yield extent.length, 0 if extent.kind == "data" else hole


def _steps(offset: int, length: int) -> Iterator[tuple[int, int]]:
    """The range cut at multiples of RANGE_STEP, so that no page is cut."""
    end = offset + length
    while offset < end:
        stop = min(end, (offset // RANGE_STEP + 1) * RANGE_STEP)
        yield offset, stop - offset
        offset = stop
