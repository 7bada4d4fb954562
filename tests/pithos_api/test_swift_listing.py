"""Listings: the query, the choice of a form, and the three forms."""

from __future__ import annotations

import json
from xml.etree import ElementTree

import pytest
from werkzeug.datastructures import MIMEAccept
from werkzeug.http import parse_accept_header

from archipelago import EMPTY_MAP
from pithos_api.faults import HttpError
from pithos_api.namespace.records import ContainerInfo, ListQuery, ObjectInfo, Subdir
from pithos_api.object_store.listing import (
    Form,
    listing_query,
    negotiate,
    parse_parameters,
    render_account,
    render_container,
)

WHEN = 1_700_000_000.5
WHEN_TEXT = "2023-11-14T22:13:20.500000"


def an_object(name: str, md5: str | None = "0" * 32) -> ObjectInfo:
    return ObjectInfo(
        id=1,
        account="a",
        container="c",
        name=name,
        uuid="u",
        size=7,
        root=EMPTY_MAP,
        merkle_hash=None,
        md5=md5,
        content_type="text/plain",
        metadata={},
        headers={},
        created=WHEN,
        modified=WHEN,
    )


def a_container(name: str) -> ContainerInfo:
    return ContainerInfo(1, "a", name, 3, 42, {}, {}, WHEN, WHEN)


def test_parameters_are_utf8() -> None:
    assert parse_parameters("prefix=%CE%B1&delimiter=&limit=1&limit=2") == {
        "prefix": "α",
        "delimiter": "",
        "limit": "1",
    }
    assert parse_parameters("prefix=\xce\xb1") == {"prefix": "α"}


@pytest.mark.parametrize("query", ["prefix=%ff", "prefix=\xff", "prefix=a%00b"])
def test_bad_parameters(query: str) -> None:
    with pytest.raises(HttpError) as caught:
        parse_parameters(query)
    assert caught.value.fault.status == 412


def test_query() -> None:
    query = listing_query(
        parse_parameters("limit=5&marker=m&end_marker=e&prefix=p&delimiter=--&path=&reverse=on")
    )
    assert query == ListQuery(5, "m", "e", "p", "--", "", True)
    assert listing_query({}) == ListQuery()


@pytest.mark.parametrize(
    ("reverse", "marker", "end_marker"), [("no", "a", "b\x01"), ("yes", "a\x01", "b")]
)
def test_inclusive_markers(reverse: str, marker: str, end_marker: str) -> None:
    parameters = parse_parameters(f"marker=a%00&end_marker=b%00x&reverse={reverse}")
    query = listing_query(parameters)
    assert (query.marker, query.end_marker) == (marker, end_marker)


@pytest.mark.parametrize(
    ("text", "limit"), [("0", 0), ("10000", 10000), ("-1", 10000), ("x", 10000), ("²", 10000)]
)
def test_limit(text: str, limit: int) -> None:
    assert listing_query({"limit": text}).limit == limit


def test_limit_over_the_announced_one() -> None:
    with pytest.raises(HttpError) as caught:
        listing_query({"limit": "10001"})
    assert caught.value.fault.status == 412


@pytest.mark.parametrize(
    ("parameter", "accept", "form"),
    [
        (None, "", Form.TEXT),
        (None, "*/*", Form.TEXT),
        (None, "application/json", Form.JSON),
        (None, "application/xml", Form.XML),
        (None, "text/xml", Form.TEXT_XML),
        (None, "application/xml;q=0.2, application/json;q=0.9", Form.JSON),
        ("json", "text/plain", Form.JSON),
        ("XML", "", Form.XML),
        ("plain", "application/json", Form.TEXT),
        ("text", "", Form.TEXT),
        ("unheard-of", "", Form.TEXT),
    ],
)
def test_negotiation(parameter: str | None, accept: str, form: Form) -> None:
    parameters = {} if parameter is None else {"format": parameter}
    assert negotiate(parameters, parse_accept_header(accept, MIMEAccept)) is form


def test_nothing_acceptable() -> None:
    with pytest.raises(HttpError) as caught:
        negotiate({}, parse_accept_header("image/png", MIMEAccept))
    assert caught.value.fault.status == 406


def test_text() -> None:
    assert render_container("c", [an_object("é"), Subdir("d/")], Form.TEXT) == "é\nd/\n".encode()
    assert render_account("AUTH_a", [], Form.TEXT) == b""


def test_json() -> None:
    found = json.loads(render_container("c", [an_object("é", None), Subdir("d/")], Form.JSON))
    assert found == [
        {
            "name": "é",
            "hash": "",
            "bytes": 7,
            "content_type": "text/plain",
            "last_modified": WHEN_TEXT,
        },
        {"subdir": "d/"},
    ]
    assert json.loads(render_account("AUTH_a", [a_container("x")], Form.JSON)) == [
        {
            "name": "x",
            "count": 3,
            "bytes": 42,
            "last_modified": WHEN_TEXT,
            "storage_policy": "default",
        }
    ]
    assert render_account("AUTH_a", [], Form.JSON) == b"[]"


def test_xml() -> None:
    name = "<a> & \"b\" 'c' é"
    root = ElementTree.fromstring(
        render_container(name, [an_object(name), Subdir(name + "/")], Form.XML)
    )
    assert (root.tag, root.get("name")) == ("container", name)
    entry, subdir = root
    assert {child.tag: child.text for child in entry} == {
        "name": name,
        "hash": "0" * 32,
        "bytes": "7",
        "content_type": "text/plain",
        "last_modified": WHEN_TEXT,
    }
    assert (subdir.tag, subdir.get("name"), subdir.findtext("name")) == (
        "subdir",
        name + "/",
        name + "/",
    )


def test_xml_of_names_that_xml_cannot_hold() -> None:
    root = ElementTree.fromstring(render_account("AUTH_a", [a_container("a\x01b")], Form.XML))
    assert root.findtext("container/name") == "a\ufffdb"
