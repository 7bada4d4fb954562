"""Bulk delete, and what it must not delete."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.etree import ElementTree

import pytest

if TYPE_CHECKING:
    from swift_session import Swift

pytest_plugins = ("swift_session",)

JSON = {"Accept": "application/json"}


@pytest.fixture
def full(swift: Swift) -> Swift:
    swift("PUT", "/box")
    for name in ("a", "b%20c", "%CE%B1/%CE%B2", "kept"):
        assert swift("PUT", f"/box/{name}", data=b"x").status_code == 201
    return swift


@pytest.mark.parametrize("method", ["POST", "DELETE"])
def test_deletes_what_is_listed(full: Swift, method: str) -> None:
    body = b"/box/a\nbox/b%20c\r\n\n/box/%CE%B1/%CE%B2\n/box/none\n/nowhere/x"
    answer = full(method, "?bulk-delete=1", data=body, headers=JSON)
    assert answer.status_code == 200
    assert answer.json == {
        "Number Deleted": 3,
        "Number Not Found": 2,
        "Response Body": "",
        "Response Status": "200 OK",
        "Errors": [],
    }
    assert full("GET", "/box").text == "kept\n"


def test_containers_too_if_empty(full: Swift) -> None:
    full("PUT", "/empty")
    answer = full("POST", "?bulk-delete", data=b"/empty\n/box\n", headers=JSON)
    assert answer.json["Number Deleted"] == 1
    assert answer.json["Errors"] == [["/box", "409 Conflict"]]
    assert answer.json["Response Status"] == "400 Bad Request"
    assert full("HEAD", "/box").status_code == 204


def test_bad_paths_are_told(full: Swift) -> None:
    answer = full("POST", "?bulk-delete", data=b"/box/%ff\n/box/%00\n", headers=JSON)
    assert [status for _, status in answer.json["Errors"]] == [
        "412 Precondition Failed",
        "400 Bad Request",
    ]


def test_a_line_without_end(full: Swift) -> None:
    answer = full("POST", "?bulk-delete", data=b"x" * 5_000_000, headers=JSON)
    assert answer.json["Response Status"] == "400 Bad Request"


def test_nothing_listed(full: Swift) -> None:
    answer = full("POST", "?bulk-delete", data=b"", headers=JSON)
    assert answer.json["Response Status"] == "400 Bad Request"
    assert full("POST", "?bulk-delete").status_code == 411


def test_other_forms(full: Swift) -> None:
    text = full("POST", "?bulk-delete", data=b"/box/a").text
    assert "Number Deleted: 1\n" in text
    xml = full("POST", "?bulk-delete", data=b"/box/a", headers={"Accept": "text/xml"})
    root = ElementTree.fromstring(xml.data)
    assert root.findtext("number_not_found") == "1"


def test_only_ones_own(full: Swift, other: Swift, reader: Swift) -> None:
    other("PUT", "/box")
    for method in ("POST", "DELETE"):
        answer = other(method, "?bulk-delete", data=b"/box/kept", account=full.account)
        assert answer.status_code == 403
        assert reader(method, "?bulk-delete", data=b"/box/kept").status_code == 403
    assert full("HEAD", "/box/kept").status_code == 200


def test_without_the_query_an_account_stays(full: Swift) -> None:
    assert full("DELETE", "", data=b"/box/kept").status_code == 405
    assert full("HEAD", "/box/kept").status_code == 200
