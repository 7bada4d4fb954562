"""One client from its first byte to its last: handshake, transmission, release of the export."""

from __future__ import annotations

import logging
import socket

from volumes.exports import Exports
from volumes.nbd import wire
from volumes.nbd.handshake import Handshake, Phase
from volumes.nbd.replies import SimpleReplies, StructuredReplies
from volumes.nbd.stream import SocketStream, StreamEnded
from volumes.nbd.transmission import Transmission
from volumes.nbd.workspace import BufferPool

log = logging.getLogger(__name__)

HANDSHAKE_SECONDS_MAX = 30.0
"""For the whole negotiation: a client that dawdles must not hold one of the connections."""

HANDSHAKE_READ_MAX = 64 * 2**10
"""Bytes given to the handshake at once."""


class Connection:
    """Owns one accepted socket. `run` in a thread of its own; `stop` and `kill` from any other."""

    def __init__(self, sock: socket.socket, exports: Exports, peer: str, pool: BufferPool) -> None:
        self.peer = peer
        self._stream = SocketStream(sock)
        self._pool = pool
        self._handshake = Handshake(exports, peer, self._give_up)
        self._transmission: Transmission | None = None
        self._stopping = False

    def run(self) -> None:
        """Serve the client until it is gone. Raises nothing."""
        try:
            if self._negotiate():
                self._transmit()
        except StreamEnded as error:
            # Many clients say ABORT and do not wait for the answer: nothing to warn of.
            log.info("NBD client %s: %s", self.peer, error)
        except wire.WireError as error:
            log.warning("NBD client %s: %s; connection dropped", self.peer, error)
        except Exception:
            log.exception("NBD client %s: defect in the server; connection dropped", self.peer)
        finally:
            # The export first: a client that waits for our end of file may then use the volume.
            attachment = self._handshake.attachment
            if attachment is not None:
                attachment.close()
            self._stream.close()

    def stop(self) -> None:
        """Finish what is in flight, then end."""
        self._stopping = True
        transmission = self._transmission
        if transmission is not None:
            transmission.stop()
        else:
            self._stream.end_reading()

    def kill(self) -> None:
        """End now: replies that the client does not take are lost."""
        self._stopping = True
        self._stream.hang_up()

    def _give_up(self) -> None:
        """The export is taken away: politely, and when asked again, at once."""
        if self._stopping:
            self.kill()
        else:
            self.stop()

    def _negotiate(self) -> bool:
        """Whether there is an export to serve."""
        handshake = self._handshake
        self._stream.set_deadline(HANDSHAKE_SECONDS_MAX)
        self._stream.send(handshake.greeting())
        while not handshake.finished:
            data = self._stream.read(min(handshake.wanted, HANDSHAKE_READ_MAX))
            output = handshake.receive(data)
            if output:
                self._stream.send(output)
        self._stream.set_deadline(None)
        return handshake.phase is Phase.TRANSMISSION and not self._stopping

    def _transmit(self) -> None:
        agreement = self._handshake.agreement
        attachment = agreement.attachment
        if attachment is None:
            return
        form = StructuredReplies if agreement.structured_replies else SimpleReplies
        label = f"{attachment.info.name} (client {self.peer})"
        log.info("%s: attached", label)
        self._transmission = Transmission(
            self._stream,
            attachment.device,
            form(self._stream),
            status_allowed=agreement.status_allowed,
            label=label,
            pool=self._pool,
        )
        if self._stopping:
            self._transmission.stop()
        self._transmission.run()
        log.info("%s: detached", label)
