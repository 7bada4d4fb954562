"""Conditional requests over unquoted ETags."""

from __future__ import annotations

import pytest
from werkzeug.datastructures import Headers

from pithos_api.object_store.conditions import Validators, Verdict, evaluate, range_applies
from pithos_api.object_store.timestamps import http_date

ETAG = "d41d8cd98f00b204e9800998ecf8427e"
OTHER = "0" * 32
MODIFIED = 1_700_000_000.25
THEN = Validators(ETAG, MODIFIED)
SAME, EARLIER, LATER = (http_date(MODIFIED + shift) for shift in (0, -10, 10))


@pytest.mark.parametrize(
    ("headers", "verdict"),
    [
        ({}, Verdict.PROCEED),
        ({"If-Match": ETAG}, Verdict.PROCEED),
        ({"If-Match": f'"{ETAG}"'}, Verdict.PROCEED),
        ({"If-Match": ETAG.upper()}, Verdict.PROCEED),
        ({"If-Match": "*"}, Verdict.PROCEED),
        ({"If-Match": f'"{OTHER}", "{ETAG}"'}, Verdict.PROCEED),
        ({"If-Match": OTHER}, Verdict.FAILED),
        ({"If-Match": ""}, Verdict.FAILED),
        ({"If-None-Match": ETAG}, Verdict.NOT_MODIFIED),
        ({"If-None-Match": f'W/"{ETAG}"'}, Verdict.NOT_MODIFIED),
        ({"If-None-Match": "*"}, Verdict.NOT_MODIFIED),
        ({"If-None-Match": f"{OTHER},{ETAG}"}, Verdict.NOT_MODIFIED),
        ({"If-None-Match": OTHER}, Verdict.PROCEED),
        ({"If-Modified-Since": SAME}, Verdict.NOT_MODIFIED),
        ({"If-Modified-Since": LATER}, Verdict.NOT_MODIFIED),
        ({"If-Modified-Since": EARLIER}, Verdict.PROCEED),
        ({"If-Unmodified-Since": SAME}, Verdict.PROCEED),
        ({"If-Unmodified-Since": LATER}, Verdict.PROCEED),
        ({"If-Unmodified-Since": EARLIER}, Verdict.FAILED),
        ({"If-Modified-Since": "yesterday"}, Verdict.PROCEED),
        ({"If-Unmodified-Since": "31 Nonsense"}, Verdict.PROCEED),
        ({"If-None-Match": OTHER, "If-Modified-Since": LATER}, Verdict.PROCEED),
        ({"If-Match": ETAG, "If-Unmodified-Since": EARLIER}, Verdict.FAILED),
        ({"If-Match": ETAG, "If-None-Match": ETAG}, Verdict.NOT_MODIFIED),
    ],
)
def test_verdict(headers: dict[str, str], verdict: Verdict) -> None:
    assert evaluate(Headers(headers), THEN) is verdict


@pytest.mark.parametrize(
    ("if_range", "applies"),
    [
        (None, True),
        (ETAG, True),
        (f'"{ETAG}"', True),
        (f'W/"{ETAG}"', False),
        (OTHER, False),
        (SAME, True),
        (EARLIER, False),
        (LATER, False),
        ("gibberish", False),
    ],
)
def test_if_range(if_range: str | None, applies: bool) -> None:
    assert range_applies(if_range, THEN) is applies
