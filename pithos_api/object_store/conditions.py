"""Conditional requests (RFC 9110 section 13) over Swift's unquoted ETags."""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass

from werkzeug.datastructures import Headers

from pithos_api.object_store.timestamps import parse_http_date


class Verdict(enum.Enum):
    """What the conditions of a request make of it."""

    PROCEED = "proceed"
    NOT_MODIFIED = "not modified"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Validators:
    """What conditions are held against. `modified`: seconds since 1970."""

    etag: str
    modified: float

    @property
    def modified_second(self) -> int:
        """As Last-Modified shows it."""
        return math.ceil(self.modified)


def evaluate(headers: Headers, validators: Validators) -> Verdict:
    """The verdict for a GET or HEAD, in the order of RFC 9110 section 13.2.2.

    As in Swift, If-Match does not keep If-Unmodified-Since from being checked.
    """
    if_match = headers.get("If-Match")
    if if_match is not None and not etag_listed(if_match, validators.etag):
        return Verdict.FAILED
    if _modified_since(headers.get("If-Unmodified-Since"), validators) is True:
        return Verdict.FAILED
    if_none_match = headers.get("If-None-Match")
    if if_none_match is not None:
        if etag_listed(if_none_match, validators.etag):
            return Verdict.NOT_MODIFIED
    elif _modified_since(headers.get("If-Modified-Since"), validators) is False:
        return Verdict.NOT_MODIFIED
    return Verdict.PROCEED


def range_applies(if_range: str | None, validators: Validators) -> bool:
    """Whether the Range header counts: always without If-Range, else when it names this content."""
    if if_range is None:
        return True
    since = parse_http_date(if_range)
    if since is not None:
        return int(since) == validators.modified_second
    return not if_range.strip().startswith("W/") and bare_etag(if_range) == validators.etag


def etag_listed(header: str, etag: str) -> bool:
    """Whether an If-Match or If-None-Match list names the ETag; `*` names any."""
    listed = [bare_etag(item) for item in header.split(",")]
    return "*" in listed or etag in listed


def bare_etag(text: str) -> str:
    """Without quotes, weakness mark and surrounding blanks, in lower case (MD5 is hex)."""
    stripped = text.strip()
    if stripped.startswith("W/"):
        stripped = stripped[2:]
    return stripped.strip('"').lower()


def _modified_since(header: str | None, validators: Validators) -> bool | None:
    """None when there is no (readable) date to compare with."""
    since = None if header is None else parse_http_date(header)
    return None if since is None else validators.modified_second > int(since)
