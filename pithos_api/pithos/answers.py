"""Words of the Pithos dialect: faults in JSON, and which serialisation a client wants."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Final

from flask import Response, request

from pithos_api.faults import Fault
from pithos_api.object_store.answers import HeaderList, answer
from pithos_api.object_store.body import CLIENT_CLOSED_REQUEST, discard_body

JSON: Final = "application/json; charset=UTF-8"
XML: Final = "application/xml; charset=UTF-8"
TEXT: Final = "text/plain; charset=UTF-8"

_FAULT_NAMES: Mapping[int, str] = {
    304: "notModified",
    400: "badRequest",
    401: "unauthorized",
    403: "forbidden",
    404: "itemNotFound",
    405: "notAllowed",
    409: "conflict",
    411: "lengthRequired",
    412: "preconditionFailed",
    413: "requestEntityTooLarge",
    416: "rangeNotSatisfiable",
    422: "unprocessableEntity",
    500: "internalServerError",
    503: "serviceUnavailable",
    507: "insufficientStorage",
}

_PRIVATE: HeaderList = [
    ("Vary", "X-Auth-Token"),
    ("Cache-Control", "no-cache, no-store, must-revalidate, max-age=0"),
]


def render(fault: Fault) -> Response:
    """An error as Pithos words it: one member, named after the kind of fault."""
    if fault.status != CLIENT_CLOSED_REQUEST:
        discard_body(request.environ)
    message = fault.message or _phrase(fault.status)
    body = {"code": fault.status, "message": message, "details": ""}
    name = _FAULT_NAMES.get(fault.status, "fault")
    return json_answer(fault.status, {name: body}, fault.headers.items())


def json_answer(status: int, value: object, headers: Iterable[tuple[str, str]] = ()) -> Response:
    """A JSON document."""
    return private(status, headers, json.dumps(value).encode(), JSON)


def private(
    status: int,
    headers: Iterable[tuple[str, str]],
    body: bytes | Iterable[bytes] = b"",
    content_type: str = TEXT,
) -> Response:
    """An answer that no cache may keep: it depends on who asks."""
    return answer(status, [*headers, *_PRIVATE], body, content_type)


def wants_xml() -> bool:
    """Whether the answer of a call that speaks JSON by default is to be XML."""
    asked = request.args.get("format")
    if asked in ("json", "xml"):
        return asked == "xml"
    accept = request.accept_mimetypes
    return accept["application/xml"] > accept["application/json"]


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "The client went away"
