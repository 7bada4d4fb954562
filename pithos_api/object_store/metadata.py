"""User metadata in headers: X-Object-Meta-*, X-Container-Meta-*, X-Account-Meta-*, X-Remove-*.

WSGI hands header bytes over as latin-1; here they are UTF-8. Names are kept without the prefix,
each piece between dashes capitalised ("My-Key"), as Swift and Pithos show them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from pithos_api.faults import HttpError
from pithos_api.object_store.limits import (
    META_COUNT_MAX,
    META_NAME_SIZE_MAX,
    META_TOTAL_SIZE_MAX,
    META_VALUE_SIZE_MAX,
)

Changes = dict[str, str | None]
"""Metadata to set, or with None to remove."""

_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")  # a tab is allowed in a header


def metadata_changes(headers: Iterable[tuple[str, str]], level: str) -> Changes:
    """What the request sets and removes; `level`: "Account", "Container" or "Object".

    An empty value removes, except on objects, whose metadata a request replaces as a whole.
    HttpError 400 on bad names, bad UTF-8 and values over the limits.
    """
    setting, removing = f"x-{level}-meta-".lower(), f"x-remove-{level}-meta-".lower()
    changes: Changes = {}
    for header, raw in headers:
        lowered = header.lower().replace("_", "-")
        if lowered.startswith(setting):
            name = _checked_name(lowered[len(setting) :])
            value = header_value(header, raw)
            _check_value(name, value)
            changes[name] = value if value or level == "Object" else None
        elif lowered.startswith(removing):
            changes.setdefault(_checked_name(lowered[len(removing) :]), None)
    return changes


def merged(old: Mapping[str, str], changes: Mapping[str, str | None]) -> dict[str, str]:
    """The metadata after the changes."""
    result = {**old, **changes}
    return {name: value for name, value in result.items() if value is not None}


def check_totals(metadata: Mapping[str, str]) -> None:
    """HttpError 400 when one resource would have too many items or too many bytes of them."""
    if len(metadata) > META_COUNT_MAX:
        raise HttpError(400, f"Too many metadata items; max {META_COUNT_MAX}")
    size = sum(len(name) + len(value.encode()) for name, value in metadata.items())
    if size > META_TOTAL_SIZE_MAX:
        raise HttpError(400, f"Total metadata too large; max {META_TOTAL_SIZE_MAX}")


def metadata_headers(metadata: Mapping[str, str], level: str) -> list[tuple[str, str]]:
    """The headers that show the metadata."""
    return [(f"X-{level}-Meta-{name}", header_text(value)) for name, value in metadata.items()]


def header_value(header: str, raw: str) -> str:
    """A request header's bytes as UTF-8. HttpError 400 when they aren't, or can't be sent back."""
    try:
        value = raw.encode("latin-1").decode("utf-8")
    except UnicodeError as error:
        raise HttpError(400, f"Header {header} is not UTF-8") from error
    if _CONTROL.search(value):
        raise HttpError(400, f"Header {header} has control characters")
    return value.strip()


def header_text(value: str) -> str:
    """The inverse of `header_value`: UTF-8 bytes as WSGI wants them."""
    return value.encode("utf-8").decode("latin-1")


def _checked_name(lowered: str) -> str:
    if not lowered:
        raise HttpError(400, "Metadata name cannot be empty")
    if len(lowered) > META_NAME_SIZE_MAX:
        raise HttpError(400, f"Metadata name too long; max {META_NAME_SIZE_MAX}")
    return "-".join(piece.capitalize() for piece in lowered.split("-"))


def _check_value(name: str, value: str) -> None:
    if len(value.encode()) > META_VALUE_SIZE_MAX:
        raise HttpError(400, f"Metadata value longer than {META_VALUE_SIZE_MAX}: {name}")
