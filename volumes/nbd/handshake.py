"""The server's side of NBD fixed newstyle negotiation, without sockets: bytes in, bytes out.

    greeting -> client flags -> option header -> option data -> ... -> TRANSMISSION or ENDED

`Handshake.receive` takes bytes cut anywhere and returns what to send. Only `HandshakeError` comes
out of it, and ends the connection. What the client may make the server hold or do is bounded by
the constants below; each option's own rules are in `volumes.nbd.options`.
"""

from __future__ import annotations

import enum
from collections.abc import Callable

from volumes.exports import Attachment, Exports
from volumes.nbd import options, wire
from volumes.nbd.agreement import Agreement

OPTION_SIZE_MAX = 64 * 2**10
"""Bytes of data with one option: room for the longest name and hundreds of context queries."""

OPTION_SKIP_MAX = 2**20
"""An option longer than OPTION_SIZE_MAX is refused and skipped up to this; beyond, we hang up."""

OPTIONS_MAX = 4096
"""Options in one handshake: a lister asks two for each of `options.EXPORTS_LISTED_MAX` exports."""


class HandshakeError(wire.WireError):
    """The client broke the protocol or a limit; hang up. The text is the reason."""


class Phase(enum.Enum):
    """What the next bytes from the client are."""

    CLIENT_FLAGS = enum.auto()
    OPTION_HEADER = enum.auto()
    OPTION_DATA = enum.auto()
    SKIPPED_DATA = enum.auto()
    TRANSMISSION = enum.auto()
    ENDED = enum.auto()


class Handshake:
    """One connection's negotiation. At phase TRANSMISSION, `agreement` says what was agreed."""

    def __init__(self, exports: Exports, peer: str, disconnect: Callable[[], None]) -> None:
        self.phase = Phase.CLIENT_FLAGS
        self.agreement = Agreement(exports, peer, disconnect)
        self._received = bytearray()
        self._wanted = wire.CLIENT_FLAGS.size
        self._option = 0
        self._option_count = 0

    @property
    def finished(self) -> bool:
        """No more negotiation: serve the export, or hang up."""
        return self.phase in (Phase.TRANSMISSION, Phase.ENDED)

    @property
    def wanted(self) -> int:
        """Bytes still needed for the next step; a reader that asks for no more never over-reads."""
        return self._wanted - len(self._received)

    @property
    def leftover(self) -> bytes:
        """Bytes received after the end of the negotiation."""
        return bytes(self._received) if self.finished else b""

    @property
    def attachment(self) -> Attachment | None:
        """What the client attached, if it did; whoever runs the handshake closes it."""
        return self.agreement.attachment

    def greeting(self) -> bytes:
        """What the server sends first."""
        flags = wire.HANDSHAKE_FIXED_NEWSTYLE | wire.HANDSHAKE_NO_ZEROES
        return wire.GREETING.pack(wire.GREETING_MAGIC, wire.OPTION_MAGIC, flags)

    def receive(self, data: bytes) -> bytes:
        """Take the client's next bytes; return what to send. HandshakeError: hang up."""
        self._received += data
        output = bytearray()
        while not self.finished and len(self._received) >= self._wanted:
            step = bytes(self._received[: self._wanted])
            del self._received[: self._wanted]
            output += self._step(step)
        return bytes(output)

    def _step(self, data: bytes) -> bytes:
        if self.phase is Phase.CLIENT_FLAGS:
            return self._client_flags(data)
        if self.phase is Phase.OPTION_HEADER:
            return self._option_header(data)
        if self.phase is Phase.OPTION_DATA:
            return self._option_data(data)
        self._expect_option()
        return wire.pack_option_reply(
            self._option,
            wire.Reply.ERR_TOO_BIG,
            f"an option carries at most {OPTION_SIZE_MAX} bytes".encode(),
        )

    def _client_flags(self, data: bytes) -> bytes:
        (flags,) = wire.CLIENT_FLAGS.unpack(data)
        known = wire.HANDSHAKE_FIXED_NEWSTYLE | wire.HANDSHAKE_NO_ZEROES
        if flags & ~known:
            raise HandshakeError(f"unknown client flags {flags:#x}")
        if not flags & wire.HANDSHAKE_FIXED_NEWSTYLE:
            raise HandshakeError("the client does not speak fixed newstyle negotiation")
        self.agreement.no_zeroes = bool(flags & wire.HANDSHAKE_NO_ZEROES)
        self._expect_option()
        return b""

    def _option_header(self, data: bytes) -> bytes:
        try:
            self._option, length = wire.parse_option_header(data)
        except wire.WireError as error:
            raise HandshakeError(str(error)) from error
        self._option_count += 1
        if self._option_count > OPTIONS_MAX:
            raise HandshakeError(f"more than {OPTIONS_MAX} options")
        if length <= OPTION_SIZE_MAX:
            self.phase = Phase.OPTION_DATA
        elif length <= OPTION_SKIP_MAX and self._option != wire.Option.EXPORT_NAME:
            self.phase = Phase.SKIPPED_DATA
        else:
            raise HandshakeError(f"option {self._option} announces {length} bytes of data")
        self._wanted = length
        return b""

    def _option_data(self, data: bytes) -> bytes:
        try:
            output = options.answer(self.agreement, self._option, data)
        except options.Unanswerable as error:
            raise HandshakeError(str(error)) from error
        if self.agreement.attachment is not None:
            self._finish(Phase.TRANSMISSION)
        elif self.agreement.aborted:
            self._finish(Phase.ENDED)
        else:
            self._expect_option()
        return output

    def _expect_option(self) -> None:
        self.phase = Phase.OPTION_HEADER
        self._wanted = wire.OPTION_HEADER.size

    def _finish(self, phase: Phase) -> None:
        self.phase = phase
        self._wanted = len(self._received)
