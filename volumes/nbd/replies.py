"""Replies in the transmission phase, in the simple and in the structured form."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from volumes.device import Device
from volumes.nbd import wire
from volumes.nbd.faults import Fault
from volumes.nbd.stream import SocketStream
from volumes.nbd.workspace import PIECE_SIZE, Workspace

HOLE_SIZE_MIN = 64 * 2**10
"""Shorter runs of zeros are sent as data: a chunk of their own costs more than the bytes."""


class ReplyBroken(Exception):
    """A reply cannot be finished after its beginning was sent; the only way out is to hang up."""


class SimpleReplies:
    """Replies to a client without structured replies: an error is a number, data is one piece."""

    structured = False

    def __init__(self, stream: SocketStream) -> None:
        self._stream = stream

    def done(self, cookie: int) -> None:
        """Success of a request without data."""
        self._stream.send(wire.pack_simple_reply(cookie))

    def failed(self, cookie: int, fault: Fault) -> None:
        """The request was not, or only partly, done."""
        self._stream.send(wire.pack_simple_reply(cookie, fault.number))

    def read(self, device: Device, request: wire.Request, workspace: Workspace) -> None:
        """Read and send. A device error before the first byte is sent passes through."""
        length = min(request.length, PIECE_SIZE)
        view = workspace.view(length)
        device.read_into(request.offset, view)
        header = wire.pack_simple_reply(request.cookie)
        if length == request.length:
            self._stream.send(header, view)
            return
        with self._stream.send_lock:
            self._stream.send(header, view)
            for offset, size in _pieces(request.offset + length, request.length - length):
                self._send_piece(device, offset, workspace.view(size))

    def _send_piece(self, device: Device, offset: int, view: memoryview) -> None:
        try:
            device.read_into(offset, view)
        except Exception as error:
            raise ReplyBroken(f"reading at {offset}: {error}") from error
        self._stream.send(view)


class StructuredReplies:
    """Replies in chunks: holes are not sent as data, errors carry a message."""

    structured = True

    def __init__(self, stream: SocketStream) -> None:
        self._stream = stream

    def done(self, cookie: int) -> None:
        """Success of a request without data; the simple form is allowed here and shorter."""
        self._stream.send(wire.pack_simple_reply(cookie))

    def failed(self, cookie: int, fault: Fault) -> None:
        """The request was not, or only partly, done. May follow some chunks of its reply."""
        self._stream.send(wire.pack_error_chunk(cookie, fault.number, fault.message))

    def read(self, device: Device, request: wire.Request, workspace: Workspace) -> None:
        """Read and send. Device errors pass through, and `failed` may follow them."""
        if request.length == 0:
            self._stream.send(
                wire.pack_chunk_header(wire.Chunk.NONE, wire.CHUNK_DONE, request.cookie, 0)
            )
        elif request.flags & wire.COMMAND_DF or request.length < HOLE_SIZE_MIN:
            self._send_data(device, request, (request.offset, request.length), workspace)
        else:
            self._send_runs(device, request, workspace)

    def status(self, cookie: int, context_id: int, descriptors: Sequence[tuple[int, int]]) -> None:
        """The answer to block status: (length, flags) for each extent, in order."""
        payload = wire.CHUNK_CONTEXT.pack(context_id) + b"".join(
            wire.STATUS_DESCRIPTOR.pack(length, flags) for length, flags in descriptors
        )
        self._stream.send(
            wire.pack_chunk_header(wire.Chunk.BLOCK_STATUS, wire.CHUNK_DONE, cookie, len(payload)),
            payload,
        )

    def _send_runs(self, device: Device, request: wire.Request, workspace: Workspace) -> None:
        end = request.offset + request.length
        for offset, length, hole in _runs(device, request.offset, request.length):
            if hole:
                flags = wire.CHUNK_DONE if offset + length == end else 0
                payload = wire.CHUNK_HOLE.pack(offset, length)
                header = wire.pack_chunk_header(
                    wire.Chunk.OFFSET_HOLE, flags, request.cookie, len(payload)
                )
                self._stream.send(header, payload)
                continue
            for piece in _pieces(offset, length):
                self._send_data(device, request, piece, workspace)

    def _send_data(
        self, device: Device, request: wire.Request, piece: tuple[int, int], workspace: Workspace
    ) -> None:
        offset, length = piece
        view = workspace.view(length)
        device.read_into(offset, view)
        last = offset + length == request.offset + request.length
        header = wire.pack_chunk_header(
            wire.Chunk.OFFSET_DATA,
            wire.CHUNK_DONE if last else 0,
            request.cookie,
            wire.CHUNK_OFFSET.size + length,
        )
        self._stream.send(header, wire.CHUNK_OFFSET.pack(offset), view)


def _pieces(offset: int, length: int) -> Iterator[tuple[int, int]]:
    """The range in steps of at most PIECE_SIZE."""
    end = offset + length
    while offset < end:
        size = min(end - offset, PIECE_SIZE)
        yield offset, size
        offset += size


def _runs(device: Device, offset: int, length: int) -> Iterator[tuple[int, int, bool]]:
    """(offset, length, is a hole) over the range; short holes are counted as data."""
    start = offset
    for extent in device.extents(offset, length):
        if extent.kind != "data" and extent.length >= HOLE_SIZE_MIN:
            if extent.offset > start:
                yield start, extent.offset - start, False
            yield extent.offset, extent.length, True
            start = extent.offset + extent.length
    if start < offset + length:
        yield start, offset + length - start, False
