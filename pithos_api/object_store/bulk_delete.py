"""Bulk delete: POST or DELETE of an account with `?bulk-delete` and a list of paths as the body.

One line a path: /CONTAINER/OBJECT or /CONTAINER, percent-encoded. The answer is 200 and tells in
its body how it went; rclone removes the segments of large objects so, swiftclient many objects.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from html import escape
from http import HTTPStatus
from urllib.parse import quote, unquote_to_bytes

from flask import Response, request

from pithos_api.faults import HttpError, fault_of
from pithos_api.namespace.errors import NamespaceError, NoSuchContainer, NoSuchObject
from pithos_api.object_store.access import Target
from pithos_api.object_store.answers import answer
from pithos_api.object_store.body import body_chunks, body_length
from pithos_api.object_store.limits import (
    BULK_DELETE_COUNT_MAX,
    BULK_DELETE_FAILED_MAX,
    CONTAINER_NAME_SIZE_MAX,
    OBJECT_NAME_SIZE_MAX,
)
from pithos_api.object_store.listing import Form, negotiate
from pithos_api.services import services

LINE_SIZE_MAX = 3 * (CONTAINER_NAME_SIZE_MAX + OBJECT_NAME_SIZE_MAX) + len("//\r\n")
"""Every byte percent-encoded."""


@dataclass(slots=True)
class Outcome:
    """How a bulk delete went. `errors`: path as it came, and status."""

    deleted: int = 0
    not_found: int = 0
    errors: list[tuple[str, str]] = field(default_factory=list)
    status: str = ""

    def fields(self) -> dict[str, str | int]:
        """All but the errors, under the names that clients look for."""
        return {
            "Number Deleted": self.deleted,
            "Number Not Found": self.not_found,
            "Response Body": "",
            "Response Status": self.status,
        }


def bulk_delete(target: Target) -> Response:
    """Delete what the body lists. HttpError as of any body; all else is told in the answer."""
    form = negotiate({}, request.accept_mimetypes)
    length = body_length(
        request.headers.get("Content-Length"), request.headers.get("Transfer-Encoding")
    )
    outcome = Outcome()
    try:
        chunks = body_chunks(request.environ["wsgi.input"], length)
        for count, line in enumerate(_lines(chunks), 1):
            if count > BULK_DELETE_COUNT_MAX or len(outcome.errors) >= BULK_DELETE_FAILED_MAX:
                outcome.status = _status_line(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
                break
            _delete(target.account, line, outcome)
    except _LineTooLong:
        outcome.status = _status_line(HTTPStatus.BAD_REQUEST)
    if not outcome.status:
        done = outcome.deleted or outcome.not_found
        fine = done and not outcome.errors
        outcome.status = _status_line(HTTPStatus.OK if fine else HTTPStatus.BAD_REQUEST)
    return answer(200, (), _rendered(outcome, form), form.content_type)


class _LineTooLong(Exception):
    """No path is as long as this."""


def _lines(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Lines that are not blank, without holding more than a chunk and a line."""
    rest = b""
    for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        yield from filter(None, map(bytes.strip, lines))
        if len(rest) > LINE_SIZE_MAX:
            raise _LineTooLong
    if rest.strip():
        yield rest.strip()


def _delete(account: str, line: bytes, outcome: Outcome) -> None:
    shown = quote(unquote_to_bytes(line))
    namespace = services().namespace
    try:
        container, _, name = _decoded(line).removeprefix("/").partition("/")
        if name:
            namespace.delete_object(account, container, name)
        else:
            namespace.delete_container(account, container)
    except (NoSuchContainer, NoSuchObject):
        outcome.not_found += 1
    except (NamespaceError, HttpError) as error:
        outcome.errors.append((shown, _status_line(HTTPStatus(fault_of(error).status))))
    else:
        outcome.deleted += 1


def _decoded(line: bytes) -> str:
    try:
        text = unquote_to_bytes(line).decode("utf-8")
    except UnicodeDecodeError as error:
        raise HttpError(412) from error
    if "\0" in text or len(line) > LINE_SIZE_MAX:
        raise HttpError(400)
    return text


def _status_line(status: HTTPStatus) -> str:
    return f"{status.value} {status.phrase}"


def _rendered(outcome: Outcome, form: Form) -> bytes:
    if form is Form.JSON:
        return json.dumps({**outcome.fields(), "Errors": outcome.errors}).encode()
    if form is Form.TEXT:
        lines = [f"{name}: {value}" for name, value in outcome.fields().items()]
        lines += ["Errors:", *(f"{path}, {status}" for path, status in outcome.errors)]
        return "\n".join(lines).encode()
    parts = [
        f"<{tag}>{escape(str(value))}</{tag}>"
        for tag, value in (
            (name.lower().replace(" ", "_"), value) for name, value in outcome.fields().items()
        )
    ]
    errors = "".join(
        f"<object><name>{escape(path)}</name><status>{status}</status></object>"
        for path, status in outcome.errors
    )
    body = f"<delete>{''.join(parts)}<errors>{errors}</errors></delete>"
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{body}'.encode()
