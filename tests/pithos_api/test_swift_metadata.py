"""Metadata headers, and the headers that an object keeps."""

from __future__ import annotations

import pytest
from werkzeug.datastructures import Headers

from pithos_api.faults import HttpError
from pithos_api.object_store.limits import (
    META_COUNT_MAX,
    META_NAME_SIZE_MAX,
    META_TOTAL_SIZE_MAX,
    META_VALUE_SIZE_MAX,
)
from pithos_api.object_store.metadata import check_totals, merged, metadata_changes
from pithos_api.object_store.object_headers import content_type, is_expired, kept_headers


def changes(level: str, **headers: str) -> dict[str, str | None]:
    return metadata_changes([(k.replace("_", "-"), v) for k, v in headers.items()], level)


def status_of(level: str, name: str, value: str) -> int | None:
    try:
        metadata_changes([(name, value)], level)
    except HttpError as error:
        return error.fault.status
    return None


def test_names_are_canonical() -> None:
    found = metadata_changes(
        [("x-object-meta-my_KEY-2", "v"), ("X-Container-Meta-A", "no")], "Object"
    )
    assert found == {"My-Key-2": "v"}


def test_values_are_utf8_in_latin1_clothes() -> None:
    raw = "καλημέρα".encode().decode("latin-1")
    assert changes("Object", X_Object_Meta_Greeting=raw) == {"Greeting": "καλημέρα"}


def test_removal() -> None:
    assert changes("Container", X_Container_Meta_A="", X_Remove_Container_Meta_B="x") == {
        "A": None,
        "B": None,
    }
    assert changes("Object", X_Object_Meta_A="") == {"A": ""}


def test_merging_removes() -> None:
    assert merged({"A": "1", "B": "2"}, {"A": None, "C": "3"}) == {"B": "2", "C": "3"}


@pytest.mark.parametrize(
    ("name", "value", "status"),
    [
        ("X-Object-Meta-", "v", 400),
        ("X-Object-Meta-" + "n" * META_NAME_SIZE_MAX, "v", None),
        ("X-Object-Meta-" + "n" * (META_NAME_SIZE_MAX + 1), "v", 400),
        ("X-Object-Meta-N", "v" * META_VALUE_SIZE_MAX, None),
        ("X-Object-Meta-N", "v" * (META_VALUE_SIZE_MAX + 1), 400),
        ("X-Object-Meta-N", "é".encode().decode("latin-1") * (META_VALUE_SIZE_MAX // 2), None),
        ("X-Object-Meta-N", "\xff\xfe", 400),
        ("X-Object-Meta-N", "a\x01b", 400),
        ("X-Object-Meta-N", "a\x7fb", 400),
        ("X-Object-Meta-N", "a\tb", None),
    ],
)
def test_limits_of_one_item(name: str, value: str, status: int | None) -> None:
    assert status_of("Object", name, value) == status


def test_limits_of_all_items() -> None:
    check_totals({f"N{i}": "" for i in range(META_COUNT_MAX)})
    with pytest.raises(HttpError):
        check_totals({f"N{i}": "" for i in range(META_COUNT_MAX + 1)})
    check_totals({"A": "v" * (META_TOTAL_SIZE_MAX - 1)})
    with pytest.raises(HttpError):
        check_totals({"A": "v" * META_TOTAL_SIZE_MAX})


NOW = 1_700_000_000.5


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"X-Delete-At": "1700000100"}, {"X-Delete-At": "1700000100"}),
        ({"X-Delete-After": "60"}, {"X-Delete-At": "1700000060"}),
        ({"X-Delete-After": "60", "X-Delete-At": "1800000000"}, {"X-Delete-At": "1700000060"}),
        ({"X-Delete-At": "1" * 5000}, {"X-Delete-At": "9999999999"}),
        ({"X-Delete-After": "9" * 16}, {"X-Delete-At": "9999999999"}),
        ({"X-Delete-At": "0001700000100"}, {"X-Delete-At": "1700000100"}),
        ({"X-Delete-At": ""}, {}),
        ({"Content-Encoding": "gzip", "X-Else": "1"}, {"Content-Encoding": "gzip"}),
        ({"Content-Disposition": "inline"}, {"Content-Disposition": "inline"}),
    ],
)
def test_kept(headers: dict[str, str], expected: dict[str, str]) -> None:
    assert kept_headers(Headers(headers), NOW) == expected


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Delete-At": "1600000000"},
        {"X-Delete-At": "soon"},
        {"X-Delete-At": "-1"},
        {"X-Delete-After": "-1"},
        {"X-Delete-After": "1.5"},
        {"Content-Encoding": "\xff"},
    ],
)
def test_not_kept(headers: dict[str, str]) -> None:
    with pytest.raises(HttpError) as caught:
        kept_headers(Headers(headers), NOW)
    assert caught.value.fault.status == 400


def test_expiry() -> None:
    assert not is_expired({}, NOW)
    assert not is_expired({"X-Delete-At": "1700000001"}, NOW)
    assert is_expired({"X-Delete-At": "1700000000"}, NOW)


@pytest.mark.parametrize(
    ("headers", "name", "expected"),
    [
        ({}, "a/b.png", "image/png"),
        ({}, "no-suffix", "application/octet-stream"),
        ({"Content-Type": "text/x; charset=é"}, "a.png", None),
        ({"Content-Type": "text/x"}, "a.png", "text/x"),
        ({"Content-Type": "text/x", "X-Detect-Content-Type": "true"}, "a.png", "image/png"),
    ],
)
def test_content_type(headers: dict[str, str], name: str, expected: str | None) -> None:
    if expected is None:
        with pytest.raises(HttpError):
            content_type(Headers(headers), name)
    else:
        assert content_type(Headers(headers), name) == expected
