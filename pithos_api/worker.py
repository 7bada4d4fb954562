"""gunicorn's threaded worker, with our words for requests that it refuses, and with timeouts.

A body is read by the endpoint while it comes in. A client that stops sending, or stops reading,
would keep a thread for ever: the kernel ends such a wait after the idle timeout.
"""

from __future__ import annotations

import logging
import socket
import struct
from http import HTTPStatus
from typing import Any

from gunicorn.http import errors  # type: ignore[import-untyped]
from gunicorn.workers.gthread import TConn, ThreadWorker  # type: ignore[import-untyped]

from pithos_api.trace import new_trans_id, trans_id_headers

_REFUSALS: tuple[tuple[type[Exception], int], ...] = (
    (errors.LimitRequestLine, HTTPStatus.REQUEST_URI_TOO_LONG),
    (errors.LimitRequestHeaders, HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE),
    (errors.UnsupportedTransferCoding, HTTPStatus.NOT_IMPLEMENTED),
    (errors.ParseException, HTTPStatus.BAD_REQUEST),
)

_log = logging.getLogger("pithos_api.errors")


class Worker(ThreadWorker):  # type: ignore[misc]
    """Serves the application in several threads of one process."""

    def handle(self, conn: TConn) -> Any:  # noqa: ANN401  # gunicorn's own verdict
        """One request of a connection."""
        timeval = struct.pack("ll", self.app.settings.idle_timeout_s, 0)
        for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
            conn.sock.setsockopt(socket.SOL_SOCKET, option, timeval)
        return super().handle(conn)

    def handle_error(
        self, req: object, client: socket.socket, addr: object, exc: Exception
    ) -> None:
        """Answer what never became a request of the application; the connection is closed after."""
        status = refusal_status(exc)
        trans_id = new_trans_id()
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            _log.error("%s %s", status, trans_id, exc_info=exc)
        else:
            _log.info("refused a request with %s: %s %s", status, exc, trans_id)
        try:
            client.sendall(refusal(status, trans_id))
        except OSError as error:
            _log.debug("could not tell the client: %s", error)


def refusal_status(error: Exception) -> int:
    """400, 412 for a blank in the path (Swift's answer to a bad URL), 414, 431, 501, or 500."""
    if isinstance(error, errors.InvalidHTTPVersion) and " " in str(error):
        return HTTPStatus.PRECONDITION_FAILED
    for kind, status in _REFUSALS:
        if isinstance(error, kind):
            return status
    return HTTPStatus.INTERNAL_SERVER_ERROR


def refusal(status: int, trans_id: str) -> bytes:
    """A whole answer."""
    phrase = HTTPStatus(status).phrase
    body = f"{phrase}\n"
    headers = [
        ("Connection", "close"),
        ("Content-Type", "text/plain"),
        ("Content-Length", str(len(body))),
        *trans_id_headers(trans_id),
    ]
    lines = [f"HTTP/1.1 {int(status)} {phrase}", *(f"{name}: {value}" for name, value in headers)]
    return ("\r\n".join(lines) + "\r\n\r\n" + body).encode("ascii")
