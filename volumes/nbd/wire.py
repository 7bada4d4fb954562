"""The NBD wire: numbers, structs and limits, for servers and clients. No sockets, no state.

Source: the NBD protocol document (github.com/NetworkBlockDevice/nbd, doc/proto.md). All integers
are big-endian. Flags are plain ints, since they are combined for every request.
"""

from __future__ import annotations

import enum
import struct
from dataclasses import dataclass
from typing import Final


class WireError(Exception):
    """Bytes from the peer that do not follow the protocol; the connection cannot go on."""


# --- limits ---------------------------------------------------------------------------------

STRING_SIZE_MAX: Final = 4096
"""Bytes of any string on the wire (export names, error messages): the protocol's own limit."""

PAYLOAD_SIZE_MAX: Final = 32 * 2**20
"""Bytes of data in one read or write: what every known client keeps to, announced as maximum."""

DEFAULT_PORT: Final = 10809
"""Registered with IANA for NBD."""

# --- handshake ------------------------------------------------------------------------------

GREETING_MAGIC: Final = 0x4E42444D41474943
OPTION_MAGIC: Final = 0x49484156454F5054
OPTION_REPLY_MAGIC: Final = 0x0003E889045565A9

HANDSHAKE_FIXED_NEWSTYLE: Final = 1 << 0
HANDSHAKE_NO_ZEROES: Final = 1 << 1

GREETING: Final = struct.Struct(">QQH")
CLIENT_FLAGS: Final = struct.Struct(">I")
OPTION_HEADER: Final = struct.Struct(">QII")
OPTION_REPLY_HEADER: Final = struct.Struct(">QIII")
EXPORT_NAME_REPLY: Final = struct.Struct(">QH")
EXPORT_NAME_PADDING: Final = 124
"""Zero bytes after the answer to EXPORT_NAME unless NO_ZEROES was agreed."""

assert (GREETING.size, OPTION_HEADER.size, OPTION_REPLY_HEADER.size) == (18, 16, 20)


class Option(enum.IntEnum):
    """What a client may ask for before transmission."""

    EXPORT_NAME = 1
    ABORT = 2
    LIST = 3
    STARTTLS = 5
    INFO = 6
    GO = 7
    STRUCTURED_REPLY = 8
    LIST_META_CONTEXT = 9
    SET_META_CONTEXT = 10
    EXTENDED_HEADERS = 11


class Reply(enum.IntEnum):
    """Types of answers to options; those with the top bit set are errors."""

    ACK = 1
    SERVER = 2
    INFO = 3
    META_CONTEXT = 4
    ERR_UNSUP = 0x80000001
    ERR_POLICY = 0x80000002
    ERR_INVALID = 0x80000003
    ERR_PLATFORM = 0x80000004
    ERR_TLS_REQD = 0x80000005
    ERR_UNKNOWN = 0x80000006
    ERR_SHUTDOWN = 0x80000007
    ERR_BLOCK_SIZE_REQD = 0x80000008
    ERR_TOO_BIG = 0x80000009


class Info(enum.IntEnum):
    """Pieces of information about an export, in answers to INFO and GO."""

    EXPORT = 0
    NAME = 1
    DESCRIPTION = 2
    BLOCK_SIZE = 3


INFO_EXPORT: Final = struct.Struct(">HQH")
INFO_BLOCK_SIZE: Final = struct.Struct(">HIII")
INFO_TYPE: Final = struct.Struct(">H")
COUNT_16: Final = struct.Struct(">H")
COUNT_32: Final = struct.Struct(">I")

ALLOCATION_CONTEXT: Final = "base:allocation"
ALLOCATION_HOLE: Final = 1 << 0
ALLOCATION_ZERO: Final = 1 << 1

# --- transmission ---------------------------------------------------------------------------

EXPORT_HAS_FLAGS: Final = 1 << 0
EXPORT_READ_ONLY: Final = 1 << 1
EXPORT_SEND_FLUSH: Final = 1 << 2
EXPORT_SEND_FUA: Final = 1 << 3
EXPORT_ROTATIONAL: Final = 1 << 4
EXPORT_SEND_TRIM: Final = 1 << 5
EXPORT_SEND_WRITE_ZEROES: Final = 1 << 6
EXPORT_SEND_DF: Final = 1 << 7
EXPORT_CAN_MULTI_CONN: Final = 1 << 8
EXPORT_SEND_CACHE: Final = 1 << 10
EXPORT_SEND_FAST_ZERO: Final = 1 << 11

REQUEST_MAGIC: Final = 0x25609513
SIMPLE_REPLY_MAGIC: Final = 0x67446698
STRUCTURED_REPLY_MAGIC: Final = 0x668E33EF


class Command(enum.IntEnum):
    """What a client may ask of an export."""

    READ = 0
    WRITE = 1
    DISC = 2
    FLUSH = 3
    TRIM = 4
    CACHE = 5
    WRITE_ZEROES = 6
    BLOCK_STATUS = 7


COMMAND_FUA: Final = 1 << 0
COMMAND_NO_HOLE: Final = 1 << 1
COMMAND_DF: Final = 1 << 2
COMMAND_REQ_ONE: Final = 1 << 3
COMMAND_FAST_ZERO: Final = 1 << 4

CHUNK_DONE: Final = 1 << 0
"""Flag of the last chunk of a structured reply."""


class Chunk(enum.IntEnum):
    """Types of structured reply chunks; those with the top bit set are errors."""

    NONE = 0
    OFFSET_DATA = 1
    OFFSET_HOLE = 2
    BLOCK_STATUS = 5
    ERROR = 0x8001
    ERROR_OFFSET = 0x8002


class Errno(enum.IntEnum):
    """Error numbers of the wire; they equal Linux's, but are fixed by the protocol."""

    EPERM = 1
    EIO = 5
    ENOMEM = 12
    EINVAL = 22
    ENOSPC = 28
    EOVERFLOW = 75
    ENOTSUP = 95
    ESHUTDOWN = 108


REQUEST: Final = struct.Struct(">IHHQQI")
SIMPLE_REPLY: Final = struct.Struct(">IIQ")
CHUNK_HEADER: Final = struct.Struct(">IHHQI")
CHUNK_OFFSET: Final = struct.Struct(">Q")
CHUNK_HOLE: Final = struct.Struct(">QI")
CHUNK_ERROR: Final = struct.Struct(">IH")
CHUNK_CONTEXT: Final = struct.Struct(">I")
STATUS_DESCRIPTOR: Final = struct.Struct(">II")

assert (REQUEST.size, SIMPLE_REPLY.size, CHUNK_HEADER.size) == (28, 16, 20)


@dataclass(frozen=True, slots=True)
class Request:
    """One request header of the transmission phase; offsets and lengths in bytes."""

    flags: int
    command: int
    cookie: int
    """The client's name for the request, repeated in the reply."""
    offset: int
    length: int


def pack_request(request: Request) -> bytes:
    """The 28 bytes of a request header; the payload of a write follows them."""
    return REQUEST.pack(
        REQUEST_MAGIC,
        request.flags,
        request.command,
        request.cookie,
        request.offset,
        request.length,
    )


def parse_request(header: bytes | memoryview) -> Request:
    """The reverse of `pack_request`. WireError for a wrong magic number."""
    magic, flags, command, cookie, offset, length = REQUEST.unpack(header)
    if magic != REQUEST_MAGIC:
        raise WireError(f"a request begins with magic {magic:#010x}, not {REQUEST_MAGIC:#010x}")
    return Request(flags, command, cookie, offset, length)


def pack_option(option: int, data: bytes = b"") -> bytes:
    """An option as a client sends it."""
    return OPTION_HEADER.pack(OPTION_MAGIC, option, len(data)) + data


def parse_option_header(header: bytes) -> tuple[int, int]:
    """(option, length of its data). WireError for a wrong magic number."""
    magic, option, length = OPTION_HEADER.unpack(header)
    if magic != OPTION_MAGIC:
        raise WireError(f"an option begins with magic {magic:#018x}, not {OPTION_MAGIC:#018x}")
    return option, length


def pack_option_reply(option: int, reply: int, data: bytes = b"") -> bytes:
    """One answer to an option as the server sends it."""
    return OPTION_REPLY_HEADER.pack(OPTION_REPLY_MAGIC, option, reply, len(data)) + data


def parse_option_reply_header(header: bytes) -> tuple[int, int, int]:
    """(option, reply type, length of the data). WireError for a wrong magic number."""
    magic, option, reply, length = OPTION_REPLY_HEADER.unpack(header)
    if magic != OPTION_REPLY_MAGIC:
        raise WireError(f"an option reply begins with magic {magic:#018x}")
    return option, reply, length


def pack_string(text: bytes) -> bytes:
    """A string with its length before it, as in INFO, GO and the meta context options."""
    return COUNT_32.pack(len(text)) + text


def encode_message(message: str) -> bytes:
    """A message for people as it may go over the wire: UTF-8, cut between characters."""
    text = message.encode(errors="replace")[:STRING_SIZE_MAX]
    return text.decode(errors="ignore").encode()


def pack_error_chunk(cookie: int, errno: int, message: str) -> bytes:
    """A whole error chunk that ends its reply; the message is cut at the protocol's limit."""
    text = encode_message(message)
    payload_size = CHUNK_ERROR.size + len(text)
    header = pack_chunk_header(Chunk.ERROR, CHUNK_DONE, cookie, payload_size)
    return header + CHUNK_ERROR.pack(errno, len(text)) + text


def pack_chunk_header(kind: int, flags: int, cookie: int, payload_size: int) -> bytes:
    """The 20 bytes before a chunk's payload."""
    return CHUNK_HEADER.pack(STRUCTURED_REPLY_MAGIC, flags, kind, cookie, payload_size)


def pack_simple_reply(cookie: int, errno: int = 0) -> bytes:
    """A simple reply; the data of a successful read follows it."""
    return SIMPLE_REPLY.pack(SIMPLE_REPLY_MAGIC, errno, cookie)
