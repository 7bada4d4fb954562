"""A small NBD client that can misbehave; it shares only numbers and structs with the server."""

from __future__ import annotations

import socket
import struct
from dataclasses import dataclass

from volumes.nbd import wire

TIMEOUT_SECONDS = 20


@dataclass(frozen=True)
class OptionReply:
    kind: int
    data: bytes


@dataclass(frozen=True)
class Chunk:
    flags: int
    kind: int
    cookie: int
    payload: bytes


@dataclass(frozen=True)
class Answer:
    """A whole reply: error number (0 = success), message, chunks."""

    errno: int = 0
    message: str = ""
    chunks: tuple[Chunk, ...] = ()

    @property
    def data(self) -> bytes:
        pieces = {}
        for chunk in self.chunks:
            if chunk.kind == wire.Chunk.OFFSET_DATA:
                (offset,) = struct.unpack(">Q", chunk.payload[:8])
                pieces[offset] = chunk.payload[8:]
            elif chunk.kind == wire.Chunk.OFFSET_HOLE:
                offset, length = struct.unpack(">QI", chunk.payload)
                pieces[offset] = bytes(length)
        return b"".join(pieces[offset] for offset in sorted(pieces))


class NbdClient:
    def __init__(self, address, flags: int = 3):
        if isinstance(address, str):
            self.sock = socket.socket(socket.AF_UNIX)
        else:
            self.sock = socket.socket(socket.AF_INET)
        self.sock.settimeout(TIMEOUT_SECONDS)
        try:
            self.sock.connect(address)
            self.greeting = self.receive(18)
        except BaseException:
            self.sock.close()
            raise
        if flags >= 0:
            self.sock.sendall(struct.pack(">I", flags))
        self.structured = False
        self.cookie = 0

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.sock.close()

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def receive(self, size: int) -> bytes:
        data = bytearray()
        while len(data) < size:
            piece = self.sock.recv(size - len(data))
            if not piece:
                raise EOFError(f"the server hung up after {len(data)} of {size} bytes")
            data += piece
        return bytes(data)

    def hung_up(self) -> bool:
        """Whether the server ends the connection without another byte."""
        try:
            return self.sock.recv(1) == b""
        except ConnectionResetError:
            return True

    # --- options

    def option(self, option: int, data: bytes = b"") -> list[OptionReply]:
        """Send an option; all replies up to ACK or an error."""
        self.send(wire.pack_option(option, data))
        return self.option_replies(option)

    def option_replies(self, option: int) -> list[OptionReply]:
        replies = []
        while True:
            asked, kind, length = wire.parse_option_reply_header(self.receive(20))
            assert asked == option
            replies.append(OptionReply(kind, self.receive(length)))
            if kind == wire.Reply.ACK or kind & 0x80000000:
                return replies

    def structured_replies(self) -> None:
        assert self.option(wire.Option.STRUCTURED_REPLY)[-1].kind == wire.Reply.ACK
        self.structured = True

    def set_context(self, name: str, *queries: str) -> list[OptionReply]:
        data = wire.pack_string(name.encode()) + struct.pack(">I", len(queries))
        data += b"".join(wire.pack_string(query.encode()) for query in queries)
        return self.option(wire.Option.SET_META_CONTEXT, data)

    def go(self, name: str, *infos: int, option: int = wire.Option.GO) -> list[OptionReply]:
        data = wire.pack_string(name.encode()) + struct.pack(">H", len(infos))
        data += b"".join(struct.pack(">H", info) for info in infos)
        return self.option(option, data)

    def attach(self, name: str, *, structured: bool = True, status: bool = False) -> tuple:
        """(size, transmission flags)"""
        if structured:
            self.structured_replies()
        if status:
            self.set_context(name, "base:allocation")
        replies = self.go(name)
        assert replies[-1].kind == wire.Reply.ACK, replies[-1]
        return struct.unpack(">QH", replies[0].data[2:])

    # --- transmission

    def start(self, command: int, offset=0, length=0, *, flags=0, payload=b"") -> int:
        """Send a request without waiting; returns its cookie."""
        self.cookie += 1
        request = wire.Request(flags, command, self.cookie, offset, length)
        self.send(wire.pack_request(request) + payload)
        return self.cookie

    def answer(self, data_size: int = 0) -> tuple[int, Answer]:
        """The next complete reply: (cookie, answer). Chunks of others must not lie between."""
        chunks = []
        while True:
            magic = struct.unpack(">I", self.receive(4))[0]
            if magic == wire.SIMPLE_REPLY_MAGIC:
                errno, cookie = struct.unpack(">IQ", self.receive(12))
                payload = self.receive(data_size) if data_size and not errno else b""
                piece = Chunk(1, wire.Chunk.OFFSET_DATA, cookie, bytes(8) + payload)
                return cookie, Answer(errno, "", (piece,))
            assert magic == wire.STRUCTURED_REPLY_MAGIC
            flags, kind, cookie, length = struct.unpack(">HHQI", self.receive(16))
            chunk = Chunk(flags, kind, cookie, self.receive(length))
            if kind & 0x8000:
                errno, size = struct.unpack(">IH", chunk.payload[:6])
                return cookie, Answer(errno, chunk.payload[6 : 6 + size].decode(), tuple(chunks))
            chunks.append(chunk)
            if flags & wire.CHUNK_DONE:
                return cookie, Answer(0, "", tuple(chunks))

    def request(self, command: int, offset=0, length=0, *, flags=0, payload=b"") -> Answer:
        sent = self.start(command, offset, length, flags=flags, payload=payload)
        reading = command == wire.Command.READ and not self.structured
        cookie, answer = self.answer(length if reading else 0)
        assert cookie == sent
        return answer

    def read(self, offset: int, length: int, flags: int = 0) -> bytes:
        answer = self.request(wire.Command.READ, offset, length, flags=flags)
        assert answer.errno == 0, answer
        return answer.data

    def write(self, offset: int, data: bytes, flags: int = 0) -> Answer:
        return self.request(wire.Command.WRITE, offset, len(data), flags=flags, payload=data)

    def flush(self) -> Answer:
        return self.request(wire.Command.FLUSH)

    def status(self, offset: int, length: int, flags: int = 0) -> list[tuple[int, int]]:
        answer = self.request(wire.Command.BLOCK_STATUS, offset, length, flags=flags)
        assert answer.errno == 0, answer
        payload = answer.chunks[0].payload[4:]
        return [struct.unpack_from(">II", payload, at) for at in range(0, len(payload), 8)]

    def disconnect(self) -> None:
        self.start(wire.Command.DISC)
        assert self.hung_up()
