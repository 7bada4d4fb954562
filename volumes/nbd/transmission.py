"""The transmission phase of one connection: requests in, replies out, several at a time.

Workers take turns at reading: one holds the turn, reads one request (with the payload of a write),
passes the turn on and carries the request out itself. So a lone request is never handed from
thread to thread, several overlap, and what is in flight is bounded by the number of workers:
beyond it, requests wait in the socket. Workers are started when nobody else waits for the turn.

Ends: the client says DISC or closes; `stop` is called; the client breaks the protocol. In each
case what is in flight is finished and, if the connection still stands, answered.
"""

from __future__ import annotations

import logging
import threading

from volumes.device import Device
from volumes.nbd import commands, wire
from volumes.nbd.fault_log import FaultLog
from volumes.nbd.faults import fault_of
from volumes.nbd.replies import ReplyBroken, SimpleReplies, StructuredReplies
from volumes.nbd.requests import refusal_of
from volumes.nbd.stream import SocketStream, StreamEnded
from volumes.nbd.wire import Command
from volumes.nbd.workspace import PIECE_SIZE, BufferPool, Workspace

log = logging.getLogger(__name__)

WORKERS_MAX = 8
"""Requests of one connection in flight: enough to keep a disk busy, 9 MiB of buffers at most."""

SKIP_SIZE_MAX = 2 * wire.PAYLOAD_SIZE_MAX
"""Payload of a refused write that is read and dropped; a longer one is not believed: we hang up."""


class Transmission:
    """Serves one attached device to one client. `label` names both in the log."""

    def __init__(
        self,
        stream: SocketStream,
        device: Device,
        replies: SimpleReplies | StructuredReplies,
        *,
        status_allowed: bool,
        label: str,
        pool: BufferPool,
    ) -> None:
        self._stream = stream
        self._device = device
        self._replies = replies
        self._status_allowed = status_allowed
        self._label = label
        self._pool = pool
        self._turn = threading.Lock()
        self._counting = threading.Lock()
        self._waiting = 0
        self._workers: list[threading.Thread] = []
        self._over = False
        self._faults = FaultLog(label)

    def run(self) -> None:
        """Serve until the connection is over and all that was in flight is finished."""
        self._work()
        while self._workers:
            self._workers.pop().join()

    def stop(self) -> None:
        """Take no more requests; `run` returns when those in flight are finished."""
        self._over = True
        self._stream.end_reading()

    def _work(self) -> None:
        workspace = Workspace(self._pool)
        try:
            while self._serve_one(workspace):
                workspace.release()
        except StreamEnded as error:
            if error.clean or self._over:
                self._over = True
            else:
                self._drop(str(error))
        except (wire.WireError, ReplyBroken) as error:
            self._drop(str(error))
        except Exception:
            log.exception("%s: defect in serving a request", self._label)
            self._drop("defect in the server")
        finally:
            workspace.release()

    def _drop(self, reason: str) -> None:
        """Hang up; only the first reason is told, since the others follow from it."""
        if not self._over:
            self._over = True
            log.warning("%s: %s; connection dropped", self._label, reason)
        self._stream.hang_up()

    def _serve_one(self, workspace: Workspace) -> bool:
        """Read and carry out one request. False when there are no more."""
        with self._counting:
            self._waiting += 1
        with self._turn:
            with self._counting:
                self._waiting -= 1
            if self._over:
                return False
            request = wire.parse_request(self._stream.read(wire.REQUEST.size))
            if request.command == Command.DISC:
                self._over = True
                return False
            failure: Exception | None = refusal_of(
                request,
                self._device,
                structured=self._replies.structured,
                status_allowed=self._status_allowed,
            )
            payload: memoryview | None = None
            if request.command == Command.WRITE:
                payload, failure = self._receive(request, failure, workspace)
            self._call_for_help()
        self._carry_out(request, payload, failure, workspace)
        return True

    def _receive(
        self, request: wire.Request, failure: Exception | None, workspace: Workspace
    ) -> tuple[memoryview | None, Exception | None]:
        """Take a write's payload off the stream: (what is still to be written, what went wrong)."""
        if failure is not None:
            if request.length > SKIP_SIZE_MAX:
                raise wire.WireError(f"a write announces {request.length} bytes")
            self._stream.skip(request.length)
            return None, failure
        if request.length <= PIECE_SIZE:
            payload = workspace.view(request.length)
            self._stream.read_into(payload)
            return payload, None
        return None, self._write_in_pieces(request, workspace)

    def _write_in_pieces(self, request: wire.Request, workspace: Workspace) -> Exception | None:
        """Store a long payload as it comes. After a failure the rest is still read and dropped."""
        end = request.offset + request.length
        failure: Exception | None = None
        for offset in range(request.offset, end, PIECE_SIZE):
            piece = workspace.view(min(PIECE_SIZE, end - offset))
            self._stream.read_into(piece)
            if failure is None:
                try:
                    self._device.write(offset, piece)
                except Exception as error:  # noqa: BLE001 - reported by the caller
                    failure = error
        return failure

    def _call_for_help(self) -> None:
        """Start a worker when nobody waits to read the next request. Called with the turn held."""
        if self._waiting or len(self._workers) + 1 >= WORKERS_MAX or self._over:
            return
        worker = threading.Thread(target=self._work, name=f"nbd {self._label}", daemon=True)
        try:
            worker.start()
        except RuntimeError as error:
            # No more threads to be had: those there are go on, one request after the other.
            log.warning("%s: %s", self._label, error)
            return
        self._workers.append(worker)

    def _carry_out(
        self,
        request: wire.Request,
        payload: memoryview | None,
        failure: Exception | None,
        workspace: Workspace,
    ) -> None:
        """Do what is left to do of the request, and reply."""
        try:
            if failure is not None:
                raise failure
            if request.command == Command.WRITE:
                if payload is not None:
                    self._device.write(request.offset, payload)
                commands.force(self._device, request)
                self._replies.done(request.cookie)
            else:
                commands.execute(self._device, request, workspace, self._replies)
        except (StreamEnded, ReplyBroken):
            raise
        except Exception as error:  # noqa: BLE001 - the edge of the server: told to the client
            fault = fault_of(error)
            self._faults.note(error, fault)
            self._replies.failed(request.cookie, fault)
