"""Names out of raw request targets."""

from __future__ import annotations

import pytest
from flask import Flask, request

from pithos_api.faults import HttpError
from pithos_api.paths import raw_path, split_path

APP = Flask(__name__)


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("/v1", (None, None, None)),
        ("/v1/", (None, None, None)),
        ("/v1/a", ("a", None, None)),
        ("/v1/a/", ("a", None, None)),
        ("/v1/a/c", ("a", "c", None)),
        ("/v1/a/c/", ("a", "c", None)),
        ("/v1/a/c/o", ("a", "c", "o")),
        ("/v1/a/c/o/", ("a", "c", "o/")),
        ("/v1/a/c//", ("a", "c", "/")),
        ("/v1/a/c/x//y/../z", ("a", "c", "x//y/../z")),
        ("/v1/a/c%2Fd/o%2Fp", ("a", "c/d", "o/p")),
        ("/v1/a/c/%C3%A9%20+%25", ("a", "c", "é +%")),
        ("/v1/a/c/a%0Ab", ("a", "c", "a\nb")),
        ("/v1/a/c/100%", ("a", "c", "100%")),
    ],
)
def test_split(raw: str, expected: tuple[str | None, ...]) -> None:
    assert split_path(raw, "/v1") == expected


@pytest.mark.parametrize(
    "raw", ["/v1//", "/v1//c", "/v1//c/o", "/v1/a//", "/v1/a//o", "/v1.0", "/x"]
)
def test_empty_elements_and_other_prefixes(raw: str) -> None:
    with pytest.raises(HttpError) as raised:
        split_path(raw, "/v1")
    assert raised.value.fault.status == 404


@pytest.mark.parametrize("raw", ["/v1/%FF", "/v1/a/%C3", "/v1/a/c/%ED%A0%80", "/v1/a/c/%00"])
def test_what_is_not_utf8(raw: str) -> None:
    with pytest.raises(HttpError) as raised:
        split_path(raw, "/v1")
    assert raised.value.fault.status == 412


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"RAW_URI": "/v1/a%2Fb//?limit=1"}, "/v1/a%2Fb//"),
        ({"RAW_URI": "http://host/v1/a?x"}, "/v1/a"),
        ({"RAW_URI": "http://host"}, "/"),
    ],
)
def test_the_raw_target_of_the_server(environ: dict[str, str], expected: str) -> None:
    with APP.test_request_context("/other", environ_overrides=environ):
        assert raw_path() == expected


def test_without_a_raw_target() -> None:
    with APP.test_request_context("/v1/a/é b%2Fc"):
        request.environ.pop("RAW_URI", None)
        request.environ.pop("REQUEST_URI", None)
        assert split_path(raw_path(), "/v1") == ("a", "é b", "c")
