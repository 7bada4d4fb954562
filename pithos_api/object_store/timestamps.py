"""The three ways in which Swift writes a time: X-Timestamp, HTTP date, ISO date of listings."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from email.utils import formatdate, parsedate_to_datetime


def swift_timestamp(seconds: float) -> str:
    """Value of X-Timestamp: seconds since 1970, five decimals, padded to sort as text."""
    return f"{seconds:016.5f}"


def http_date(seconds: float) -> str:
    """Rounded up, so that nothing was modified after its own Last-Modified."""
    return formatdate(math.ceil(seconds), usegmt=True)


def listing_date(seconds: float) -> str:
    """UTC with microseconds and without offset, as listings have it."""
    moment = datetime.fromtimestamp(seconds, tz=UTC).replace(tzinfo=None)
    return moment.isoformat(timespec="microseconds")


def parse_http_date(text: str) -> float | None:
    """Seconds since 1970, or None when it is no HTTP date (such conditions are ignored)."""
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError, OverflowError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return moment.timestamp()
