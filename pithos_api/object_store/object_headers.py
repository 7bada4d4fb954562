"""The headers that an object keeps besides its metadata: type, encoding, disposition, expiry."""

from __future__ import annotations

import mimetypes
import re
from collections.abc import Mapping
from urllib.parse import unquote

from werkzeug.datastructures import Headers

from pithos_api.faults import HttpError
from pithos_api.object_store.metadata import header_value

DELETE_AT = "X-Delete-At"
DELETE_AFTER = "X-Delete-After"
MANIFEST = "X-Object-Manifest"

KEPT = (
    "Content-Encoding",
    "Content-Disposition",
    "Content-Language",
    "Cache-Control",
    "Expires",
    "X-Robots-Tag",
    MANIFEST,
)
"""Stored as they come and shown on GET and HEAD."""

DEFAULT_TYPE = "application/octet-stream"

MOMENT_MAX = 9_999_999_999
"""The greatest X-Timestamp of ten digits; later moments count as this one."""

_SECONDS = re.compile(r"[0-9]+")
_TRUE = {"true", "1", "yes", "on", "t", "y"}


def kept_headers(headers: Headers, now: float) -> dict[str, str]:
    """What a PUT or POST asks to keep, the expiry as an absolute X-Delete-At. HttpError 400."""
    kept = {name: header_value(name, headers[name]) for name in KEPT if headers.get(name)}
    if MANIFEST in kept:
        _check_manifest(kept[MANIFEST])
    moment = _delete_at(headers, now)
    if moment is not None:
        kept[DELETE_AT] = str(moment)
    return kept


def content_type(headers: Headers, name: str) -> str:
    """The type the client gives, or a guess from the object's name."""
    given = header_value("Content-Type", headers.get("Content-Type", ""))
    if given and not is_true(headers.get("X-Detect-Content-Type", "")):
        return given
    return mimetypes.guess_type(name, strict=True)[0] or DEFAULT_TYPE


def is_expired(kept: Mapping[str, str], now: float) -> bool:
    """Whether the object's time is over; `now`: seconds since 1970."""
    moment = kept.get(DELETE_AT)
    return moment is not None and int(moment) <= now


def seconds_of(header: str, text: str) -> int:
    """A header's whole number of seconds, at most MOMENT_MAX. HttpError 400."""
    digits = text.strip()
    if not _SECONDS.fullmatch(digits):
        raise HttpError(400, f"Non-integer {header}")
    significant = digits.lstrip("0")
    return MOMENT_MAX if len(significant) > len(str(MOMENT_MAX)) else int(significant or "0")


def is_true(text: str) -> bool:
    """What Swift's clients write for yes."""
    return text.strip().lower() in _TRUE


def _check_manifest(value: str) -> None:
    container, slash, prefix = unquote(value).removeprefix("/").partition("/")
    if not (container and slash and prefix) or "?" in value or "&" in value:
        message = f"{MANIFEST} must be of the form <container name>/<prefix of object names>"
        raise HttpError(400, message)


def _delete_at(headers: Headers, now: float) -> int | None:
    after = headers.get(DELETE_AFTER)
    if after is not None and after.strip():
        return min(int(now) + seconds_of(DELETE_AFTER, after), MOMENT_MAX)
    at = headers.get(DELETE_AT)
    if at is None or not at.strip():
        return None
    moment = seconds_of(DELETE_AT, at)
    if moment <= now:
        raise HttpError(400, f"{DELETE_AT} in past")
    return moment
