"""What every answer carries and every request leaves in the log: an id, and one line.

Secrets stay out of the log: no header is written, and in a query the values of tokens and
signatures are masked.
"""

from __future__ import annotations

import logging
import re
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING
from urllib.parse import quote

if TYPE_CHECKING:
    from _typeshed import OptExcInfo
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

TRANS_ID = "archipelago.trans_id"
"""Key in a WSGI environment."""

_SECRETS = re.compile(r"((?:x-auth-token|x-storage-token|temp_url_sig|signature)=)[^&]*", re.I)
_access = logging.getLogger("pithos_api.access")
_errors = logging.getLogger("pithos_api.errors")


def new_trans_id() -> str:
    """Swift's form: tx, 21 random hex digits, the time in hex."""
    return f"tx{uuid.uuid4().hex[:21]}-{int(time.time()):010x}"


def trans_id_headers(trans_id: str) -> list[tuple[str, str]]:
    """The two names that clients know the id by."""
    return [("X-Trans-Id", trans_id), ("X-Openstack-Request-Id", trans_id)]


class Traced:
    """WSGI middleware around the whole application."""

    def __init__(self, app: WSGIApplication) -> None:
        self._app = app

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        trans_id = environ[TRANS_ID] = new_trans_id()
        record = _Record(environ, trans_id)

        def start(
            status: str, headers: list[tuple[str, str]], exc_info: OptExcInfo | None = None
        ) -> Callable[[bytes], object]:
            record.status = status.partition(" ")[0]
            return start_response(status, headers + trans_id_headers(trans_id), exc_info)

        return _Body(self._app(environ, start), record)


class _Record:
    """One line of the access log in the making."""

    def __init__(self, environ: WSGIEnvironment, trans_id: str) -> None:
        self.trans_id = trans_id
        self.status = "-"
        self.sent = 0
        self._started = time.monotonic()
        self._client = environ.get("REMOTE_ADDR", "-")
        self._method = environ["REQUEST_METHOD"]
        self._target = masked_target(environ)

    def write(self) -> None:
        milliseconds = (time.monotonic() - self._started) * 1000
        _access.info(
            "%s %s %s %s %d bytes %.1f ms %s",
            self._client,
            self._method,
            self._target,
            self.status,
            self.sent,
            milliseconds,
            self.trans_id,
        )


class _Body:
    """The answer's body, counted; the line is written when the server closes it."""

    def __init__(self, body: Iterable[bytes], record: _Record) -> None:
        self._body = body
        self._record = record

    def __iter__(self) -> Iterator[bytes]:
        try:
            for piece in self._body:
                self._record.sent += len(piece)
                yield piece
        except Exception:
            # The headers are gone: only breaking off tells the client. The server does that.
            _errors.exception("broke off while answering, %s", self._record.trans_id)
            raise

    def close(self) -> None:
        try:
            close = getattr(self._body, "close", None)
            if close is not None:
                close()
        finally:
            self._record.write()


def masked_target(environ: WSGIEnvironment) -> str:
    """The request target as sent, fit for the log."""
    target = environ.get("RAW_URI")
    if target is None:
        target = quote(environ["PATH_INFO"].encode("latin-1"))
        if environ.get("QUERY_STRING"):
            target += "?" + environ["QUERY_STRING"]
    return _SECRETS.sub(r"\1***", str(target))
