"""Names out of the raw request target.

WSGI decodes a path before an application sees it, which makes `%2F` a separator and mends `//`.
Names may hold both, so they are cut from what the client sent: gunicorn's RAW_URI, or, where a
server gives none (Flask's test client may), PATH_INFO quoted again.
"""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import quote, unquote_to_bytes

from flask import request

from pithos_api.faults import HttpError

BAD_PATH_STATUS = 412
"""What Swift answers to a path that is not UTF-8."""


class Path(NamedTuple):
    """The decoded elements; None = absent, and "" only where the client sent an empty one."""

    account: str | None
    container: str | None
    object: str | None


def raw_path() -> str:
    """The path of the current request as it was sent, without query and host."""
    target = request.environ.get("RAW_URI") or request.environ.get("REQUEST_URI")
    if target is None:
        return quote(request.environ["PATH_INFO"].encode("latin-1"))
    path = str(target).partition("?")[0]
    if not path.startswith("/"):  # absolute form: http://host/path
        path = "/" + path.partition("://")[2].partition("/")[2]
    return path


def split_path(raw_uri: str, prefix: str) -> Path:
    """Cut what follows `prefix` ("/v1") into account, container and object, and decode each.

    A slash after the account or container with nothing behind it gives None for what follows.
    HttpError 412: not UTF-8, or a NUL. HttpError 404: an empty account or container with more
    behind it, or another prefix.
    """
    head, rest = raw_uri[: len(prefix)], raw_uri[len(prefix) :]
    if head != prefix or (rest and not rest.startswith("/")):
        raise HttpError(404)
    pieces = rest[1:].split("/", 2)
    if not pieces[-1]:
        pieces.pop()
    if not all(pieces):
        raise HttpError(404)
    decoded: list[str | None] = [decode_element(piece) for piece in pieces]
    return Path(*decoded, *[None] * (3 - len(decoded)))


def decode_element(raw: str) -> str:
    """Percent-decode one element of a path. HttpError 412 when it is not UTF-8 or has a NUL."""
    try:
        text = unquote_to_bytes(raw.encode("latin-1")).decode("utf-8")
    except UnicodeDecodeError as error:
        raise HttpError(BAD_PATH_STATUS, "Invalid UTF8 or contains NULL") from error
    if "\0" in text:
        raise HttpError(BAD_PATH_STATUS, "Invalid UTF8 or contains NULL")
    return text
