"""The server's answers to the options of a handshake: one function for each.

Each takes the agreement so far and the option's data, which is complete and bounded by the
caller, and returns the bytes of all replies. A `Refusal` becomes one error reply.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from volumes.exports import ExportInfo, ExportRefused, ExportUnknown
from volumes.nbd import wire
from volumes.nbd.agreement import Agreement, transmission_flags

EXPORTS_LISTED_MAX = 1000
"""Names in the answer to LIST, which has no paging; others are attached by name all the same."""

BLOCK_SIZE_MIN = 1
"""Any alignment is served; the volume does read-modify-write under its own locks."""

BLOCK_SIZE_PREFERRED = 4096
"""The page of a volume's live layer: aligned writes of it need no reading."""


_Result = TypeVar("_Result")


class Unanswerable(Exception):
    """The protocol has no answer to what the client did but hanging up."""


class Refusal(Exception):
    """An error reply to the option; `reply` is its type."""

    def __init__(self, reply: wire.Reply, reason: str) -> None:
        super().__init__(reason)
        self.reply = reply


def answer(agreement: Agreement, option: int, data: bytes) -> bytes:
    """All bytes that answer one option. Unanswerable: hang up."""
    handler = _HANDLERS.get(option, _unsupported)
    try:
        return handler(agreement, data)
    except Refusal as refusal:
        return wire.pack_option_reply(option, refusal.reply, wire.encode_message(str(refusal)))


def _unsupported(agreement: Agreement, data: bytes) -> bytes:
    raise Refusal(wire.Reply.ERR_UNSUP, "this server does not know the option")


def _export_name(agreement: Agreement, data: bytes) -> bytes:
    """The one option that has no error reply: a client that names a wrong export is hung up on."""
    try:
        info = _attach(agreement, _decode_name(data))
    except Refusal as refusal:
        raise Unanswerable(f"EXPORT_NAME: {refusal}") from refusal
    flags = transmission_flags(info, agreement.structured_replies)
    padding = b"" if agreement.no_zeroes else bytes(wire.EXPORT_NAME_PADDING)
    return wire.EXPORT_NAME_REPLY.pack(info.size, flags) + padding


def _abort(agreement: Agreement, data: bytes) -> bytes:
    agreement.aborted = True
    return wire.pack_option_reply(wire.Option.ABORT, wire.Reply.ACK)


def _list(agreement: Agreement, data: bytes) -> bytes:
    _require_empty(data)
    replies = [
        wire.pack_option_reply(wire.Option.LIST, wire.Reply.SERVER, wire.pack_string(name.encode()))
        for name in _guarded(lambda: agreement.exports.names(EXPORTS_LISTED_MAX))
    ]
    replies.append(wire.pack_option_reply(wire.Option.LIST, wire.Reply.ACK))
    return b"".join(replies)


def _starttls(agreement: Agreement, data: bytes) -> bytes:
    raise Refusal(wire.Reply.ERR_POLICY, "this server has no TLS; use its Unix socket")


def _info(agreement: Agreement, data: bytes) -> bytes:
    name, wanted = _parse_info(data)
    info = _describe(agreement, name)
    return _info_replies(wire.Option.INFO, info, wanted, agreement.structured_replies)


def _go(agreement: Agreement, data: bytes) -> bytes:
    name, wanted = _parse_info(data)
    info = _attach(agreement, name)
    return _info_replies(wire.Option.GO, info, wanted, agreement.structured_replies)


def _structured_reply(agreement: Agreement, data: bytes) -> bytes:
    _require_empty(data)
    agreement.structured_replies = True
    return wire.pack_option_reply(wire.Option.STRUCTURED_REPLY, wire.Reply.ACK)


def _list_meta_context(agreement: Agreement, data: bytes) -> bytes:
    _require_structured(agreement)
    name, queries = _parse_meta_context(data)
    _describe(agreement, name)
    offered = not queries or any(
        query in (b"base:", wire.ALLOCATION_CONTEXT.encode()) for query in queries
    )
    return _meta_context_replies(wire.Option.LIST_META_CONTEXT, offered)


def _set_meta_context(agreement: Agreement, data: bytes) -> bytes:
    agreement.allocation_context = False
    _require_structured(agreement)
    name, queries = _parse_meta_context(data)
    agreement.context_export = _describe(agreement, name).name
    agreement.allocation_context = wire.ALLOCATION_CONTEXT.encode() in queries
    return _meta_context_replies(wire.Option.SET_META_CONTEXT, agreement.allocation_context)


_HANDLERS: dict[int, Callable[[Agreement, bytes], bytes]] = {
    wire.Option.EXPORT_NAME: _export_name,
    wire.Option.ABORT: _abort,
    wire.Option.LIST: _list,
    wire.Option.STARTTLS: _starttls,
    wire.Option.INFO: _info,
    wire.Option.GO: _go,
    wire.Option.STRUCTURED_REPLY: _structured_reply,
    wire.Option.LIST_META_CONTEXT: _list_meta_context,
    wire.Option.SET_META_CONTEXT: _set_meta_context,
}

ALLOCATION_CONTEXT_ID = 1
"""The number that stands for base:allocation in replies to block status."""


def _meta_context_replies(option: wire.Option, allocation: bool) -> bytes:
    output = b""
    if allocation:
        # In a listing the number has no meaning and has to be 0.
        number = ALLOCATION_CONTEXT_ID if option == wire.Option.SET_META_CONTEXT else 0
        context = wire.CHUNK_CONTEXT.pack(number) + wire.ALLOCATION_CONTEXT.encode()
        output += wire.pack_option_reply(option, wire.Reply.META_CONTEXT, context)
    return output + wire.pack_option_reply(option, wire.Reply.ACK)


def _info_replies(
    option: wire.Option, info: ExportInfo, wanted: list[int], structured: bool
) -> bytes:
    flags = transmission_flags(info, structured)
    pieces = [wire.INFO_EXPORT.pack(wire.Info.EXPORT, info.size, flags)]
    if wire.Info.NAME in wanted:
        pieces.append(wire.INFO_TYPE.pack(wire.Info.NAME) + info.name.encode())
    if wire.Info.DESCRIPTION in wanted:
        pieces.append(wire.INFO_TYPE.pack(wire.Info.DESCRIPTION) + info.description.encode())
    if wire.Info.BLOCK_SIZE in wanted:
        pieces.append(
            wire.INFO_BLOCK_SIZE.pack(
                wire.Info.BLOCK_SIZE, BLOCK_SIZE_MIN, BLOCK_SIZE_PREFERRED, wire.PAYLOAD_SIZE_MAX
            )
        )
    replies = [wire.pack_option_reply(option, wire.Reply.INFO, piece) for piece in pieces]
    replies.append(wire.pack_option_reply(option, wire.Reply.ACK))
    return b"".join(replies)


def _describe(agreement: Agreement, name: str) -> ExportInfo:
    return _guarded(lambda: agreement.exports.describe(name))


def _attach(agreement: Agreement, name: str) -> ExportInfo:
    attachment = _guarded(
        lambda: agreement.exports.attach(name, agreement.peer, agreement.disconnect)
    )
    agreement.attachment = attachment
    return attachment.info


def _guarded(call: Callable[[], _Result]) -> _Result:
    try:
        return call()
    except ExportUnknown as error:
        raise Refusal(wire.Reply.ERR_UNKNOWN, str(error)) from error
    except ExportRefused as error:
        raise Refusal(wire.Reply.ERR_POLICY, str(error)) from error


def _require_empty(data: bytes) -> None:
    if data:
        raise Refusal(wire.Reply.ERR_INVALID, "the option takes no data")


def _require_structured(agreement: Agreement) -> None:
    if not agreement.structured_replies:
        raise Refusal(wire.Reply.ERR_INVALID, "structured replies have to be negotiated first")


def _parse_info(data: bytes) -> tuple[str, list[int]]:
    """(export name, wanted information types) of INFO and GO."""
    fields = _Fields(data)
    name = _decode_name(fields.string())
    (count,) = wire.COUNT_16.unpack(fields.take(wire.COUNT_16.size))
    wanted = [int(wire.INFO_TYPE.unpack(fields.take(wire.INFO_TYPE.size))[0]) for _ in range(count)]
    fields.end()
    return name, wanted


def _parse_meta_context(data: bytes) -> tuple[str, list[bytes]]:
    """(export name, queries) of the meta context options."""
    fields = _Fields(data)
    name = _decode_name(fields.string())
    (count,) = wire.COUNT_32.unpack(fields.take(wire.COUNT_32.size))
    # Each query takes bytes of the data, so a false count runs out of them at once.
    queries = []
    for _ in range(count):
        queries.append(fields.string())
    fields.end()
    return name, queries


def _decode_name(name: bytes) -> str:
    if len(name) > wire.STRING_SIZE_MAX:
        raise Refusal(
            wire.Reply.ERR_INVALID, f"an export name has at most {wire.STRING_SIZE_MAX} bytes"
        )
    try:
        return name.decode()
    except UnicodeDecodeError as error:
        raise Refusal(wire.Reply.ERR_INVALID, "the export name is not UTF-8") from error


@dataclass(slots=True)
class _Fields:
    """A cursor over an option's data; running past the end is the client's fault."""

    data: bytes
    position: int = 0

    def take(self, size: int) -> bytes:
        end = self.position + size
        if end > len(self.data):
            raise Refusal(wire.Reply.ERR_INVALID, "the option's data is too short")
        piece = self.data[self.position : end]
        self.position = end
        return piece

    def string(self) -> bytes:
        (size,) = wire.COUNT_32.unpack(self.take(wire.COUNT_32.size))
        return self.take(size)

    def end(self) -> None:
        if self.position != len(self.data):
            raise Refusal(wire.Reply.ERR_INVALID, "the option's data is too long")
