"""Which requests are carried out: the rules of the protocol that need only the header.

Order of the checks, where several are broken: command, flags, read-only, length, range.
"""

from __future__ import annotations

from volumes.device import Device
from volumes.nbd import wire
from volumes.nbd.faults import RequestRefused
from volumes.nbd.wire import Command, Errno
from volumes.nbd.workspace import PIECE_SIZE

_FLAGS_ALLOWED = {
    Command.READ: wire.COMMAND_FUA | wire.COMMAND_DF,
    Command.WRITE: wire.COMMAND_FUA,
    Command.FLUSH: wire.COMMAND_FUA,
    Command.TRIM: wire.COMMAND_FUA,
    Command.CACHE: wire.COMMAND_FUA,
    Command.WRITE_ZEROES: wire.COMMAND_FUA | wire.COMMAND_NO_HOLE | wire.COMMAND_FAST_ZERO,
    Command.BLOCK_STATUS: wire.COMMAND_FUA | wire.COMMAND_REQ_ONE,
}
"""FUA is allowed everywhere and has no effect on what does not write."""

_WRITING = (Command.WRITE, Command.TRIM, Command.WRITE_ZEROES)
_SPENDING = (Command.WRITE, Command.WRITE_ZEROES)


def refusal_of(
    request: wire.Request, device: Device, *, structured: bool, status_allowed: bool
) -> RequestRefused | None:
    """Why the request is not carried out, or None."""
    if request.command not in _FLAGS_ALLOWED:
        return RequestRefused(Errno.EINVAL, f"unknown command {request.command}")
    command = Command(request.command)
    if request.flags & ~_FLAGS_ALLOWED[command]:
        return RequestRefused(Errno.EINVAL, f"{command.name} takes no flags {request.flags:#x}")
    if device.read_only and command in _WRITING:
        return RequestRefused(Errno.EPERM, "the export is read-only")
    return (
        _refusal_of_mode(request, structured, status_allowed)
        or _refusal_of_length(request, command)
        or _refusal_of_range(request, command, device.size)
    )


def _refusal_of_mode(
    request: wire.Request, structured: bool, status_allowed: bool
) -> RequestRefused | None:
    if request.command == Command.READ and request.flags & wire.COMMAND_DF and not structured:
        return RequestRefused(Errno.EINVAL, "DF needs structured replies")
    if request.command == Command.BLOCK_STATUS and not status_allowed:
        return RequestRefused(Errno.EINVAL, "no meta context was negotiated")
    if request.flags & wire.COMMAND_FAST_ZERO and request.flags & wire.COMMAND_NO_HOLE:
        # Space can only be had by writing NULs, which is not faster than the client's own write.
        return RequestRefused(Errno.ENOTSUP, "zeroing with allocation is not fast")
    return None


def _refusal_of_length(request: wire.Request, command: Command) -> RequestRefused | None:
    length = request.length
    if command in (Command.READ, Command.WRITE) and length > wire.PAYLOAD_SIZE_MAX:
        return RequestRefused(
            Errno.EINVAL, f"{length} bytes in one request; the limit is {wire.PAYLOAD_SIZE_MAX}"
        )
    if request.flags & wire.COMMAND_DF and length > PIECE_SIZE:
        return RequestRefused(
            Errno.EOVERFLOW, f"unfragmented reads have at most {PIECE_SIZE} bytes"
        )
    if command == Command.BLOCK_STATUS and length == 0:
        return RequestRefused(Errno.EINVAL, "block status of no bytes")
    return None


def _refusal_of_range(request: wire.Request, command: Command, size: int) -> RequestRefused | None:
    if command == Command.FLUSH or request.offset + request.length <= size:
        return None
    number = Errno.ENOSPC if command in _SPENDING else Errno.EINVAL
    return RequestRefused(
        number,
        f"{command.name} of {request.length} bytes at {request.offset}"
        f" goes beyond the end at {size}",
    )
