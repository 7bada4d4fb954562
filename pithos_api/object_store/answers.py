"""Building responses, and wording errors as Swift does."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from http import HTTPStatus
from urllib.parse import quote

from flask import Response, request
from werkzeug.datastructures import Headers

from pithos_api.faults import Fault
from pithos_api.object_store.body import CLIENT_CLOSED_REQUEST, discard_body

HTML = "text/html; charset=UTF-8"
TEXT = "text/plain; charset=utf-8"

HeaderList = list[tuple[str, str]]


def answer(
    status: int,
    headers: Iterable[tuple[str, str]] = (),
    body: bytes | Iterable[bytes] = b"",
    content_type: str = HTML,
) -> Response:
    """A response. Header values are WSGI text: UTF-8 bytes as latin-1."""
    fields = Headers([*headers, ("Content-Type", content_type)])
    # A list, since werkzeug would set the length of bytes: wrong in the answer to a HEAD.
    pieces = [body] if isinstance(body, bytes) else body
    return Response(pieces, status=status, headers=fields, direct_passthrough=True)


def render(fault: Fault) -> Response:
    """An error in Swift's words: a line of text, and for a 401 the challenge."""
    if fault.status != CLIENT_CLOSED_REQUEST:
        discard_body(request.environ)
    headers = list(fault.headers.items())
    if fault.status == HTTPStatus.UNAUTHORIZED:
        headers.append(("WWW-Authenticate", f'Swift realm="{_realm()}"'))
    body = escape(fault.message or _title(fault.status)).encode("utf-8", "replace")
    return answer(fault.status, headers, body)


def _realm() -> str:
    """The account of the path, quoted: nothing that a client sends gets into a header raw."""
    elements = request.path.split("/")
    account = elements[2] if len(elements) > 2 and elements[1] == "v1" else ""
    return quote(account) or "unknown"


def _title(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Client Disconnect"
