"""Object requests: writing, reading, conditions, ranges, metadata."""

from __future__ import annotations

import hashlib
import io
import time
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from swift_session import Swift

pytest_plugins = ("swift_session",)

DATA = b"".join(number.to_bytes(4, "big") for number in range(100_000))
MD5 = hashlib.md5(DATA).hexdigest()
OTHER_MD5 = "0" * 32


@pytest.fixture
def box(swift: Swift) -> Swift:
    assert swift("PUT", "/box").status_code == 201
    return swift


@pytest.fixture
def stored(box: Swift) -> Swift:
    assert box("PUT", "/box/o", data=DATA).status_code == 201
    return box


def test_put_and_get(box: Swift) -> None:
    put = box("PUT", "/box/o.txt", data=DATA)
    assert put.status_code == 201
    assert put.headers["Etag"] == MD5
    assert put.headers["Last-Modified"].endswith("GMT")
    got = box("GET", "/box/o.txt")
    assert (got.status_code, got.data) == (200, DATA)
    assert got.headers["Etag"] == MD5
    assert got.headers["Content-Length"] == str(len(DATA))
    assert got.headers["Content-Type"] == "text/plain"
    assert got.headers["Accept-Ranges"] == "bytes"
    assert got.headers["Last-Modified"] == put.headers["Last-Modified"]


def test_head_is_get_without_body(stored: Swift) -> None:
    head, get = stored("HEAD", "/box/o"), stored("GET", "/box/o")
    assert (head.status_code, head.data) == (200, b"")
    changing = {"X-Trans-Id", "X-Openstack-Request-Id", "Date"}
    assert {k: v for k, v in head.headers.items() if k not in changing} == {
        k: v for k, v in get.headers.items() if k not in changing
    }


def test_empty_object(box: Swift) -> None:
    assert box("PUT", "/box/o", data=b"").headers["Etag"] == hashlib.md5().hexdigest()
    got = box("GET", "/box/o")
    assert (got.status_code, got.data, got.headers["Content-Length"]) == (200, b"", "0")


@pytest.mark.parametrize(
    "name",
    [
        "a/b/c",
        "a//b",
        "/leading",
        "trailing/",
        ".",
        "..",
        "a/../b",
        "./x",
        "%CE%B1%CE%B2",
        "%20",
        "a%0Ab",
        "a%2Fb%2520",
        "%3Fquery%23",
        "n" * 1024,
        "%C3%A9" * 512,
        "x.json",
    ],
)
def test_names(box: Swift, name: str) -> None:
    assert box("PUT", f"/box/{name}", data=b"named").status_code == 201
    assert box("GET", f"/box/{name}").data == b"named"
    assert len(box("GET", "/box?format=json").json) == 1
    assert box("DELETE", f"/box/{name}").status_code == 204
    assert box("GET", "/box").status_code == 204


@pytest.mark.parametrize(
    ("name", "status"),
    [("n" * 1025, 400), ("%C3%A9" * 513, 400), ("%ff", 412), ("a%00b", 412)],
)
def test_bad_names(box: Swift, name: str, status: int) -> None:
    assert box("PUT", f"/box/{name}", data=b"x").status_code == status


def test_absent(box: Swift) -> None:
    for method in ("GET", "HEAD", "POST", "DELETE"):
        assert box(method, "/box/none").status_code == 404
        assert box(method, "/none/o").status_code == 404
    assert box("PUT", "/none/o", data=b"x").status_code == 404


def test_wrong_etag_stores_nothing(box: Swift) -> None:
    assert box("PUT", "/box/o", data=DATA, headers={"ETag": OTHER_MD5}).status_code == 422
    assert box("HEAD", "/box/o").status_code == 404
    assert box("PUT", "/box/o", data=DATA, headers={"ETag": f'"{MD5}"'}).status_code == 201


def test_no_length(box: Swift) -> None:
    assert box("PUT", "/box/o").status_code == 411


def test_bad_lengths(box: Swift) -> None:
    for length, status in (("many", 400), (str(6 * 2**30), 413)):
        environ = {"CONTENT_LENGTH": length}
        answer = box("PUT", "/box/o", environ=environ)
        assert answer.status_code == status


def test_short_body_stores_nothing(stored: Swift) -> None:
    environ = {"CONTENT_LENGTH": "100", "wsgi.input": io.BytesIO(b"x" * 99)}
    assert stored("PUT", "/box/o", environ=environ).status_code == 499
    assert stored("GET", "/box/o").data == DATA
    assert stored("HEAD", "/box").headers["X-Container-Bytes-Used"] == str(len(DATA))


def test_chunked_body(box: Swift) -> None:
    environ = {"HTTP_TRANSFER_ENCODING": "chunked", "wsgi.input": io.BytesIO(DATA)}
    assert box("PUT", "/box/o", environ=environ).status_code == 201
    assert box("GET", "/box/o").data == DATA


def test_overwriting(stored: Swift) -> None:
    assert stored("PUT", "/box/o", data=b"short").status_code == 201
    assert stored("GET", "/box/o").data == b"short"
    headers = stored("HEAD", "/box").headers
    assert headers["X-Container-Bytes-Used"] == "5"
    assert headers["X-Container-Object-Count"] == "1"


def test_put_only_if_absent(stored: Swift) -> None:
    headers = {"If-None-Match": "*"}
    assert stored("PUT", "/box/o", data=b"x", headers=headers).status_code == 412
    assert stored("PUT", "/box/new", data=b"x", headers=headers).status_code == 201
    odd = {"If-None-Match": MD5}
    assert stored("PUT", "/box/o", data=b"x", headers=odd).status_code == 400


def test_put_only_over_a_known_content(stored: Swift) -> None:
    wrong, right = {"If-Match": OTHER_MD5}, {"If-Match": f'"{OTHER_MD5}", "{MD5}"'}
    assert stored("PUT", "/box/o", data=b"x", headers=wrong).status_code == 412
    assert stored("PUT", "/box/none", data=b"x", headers=right).status_code == 412
    assert stored("PUT", "/box/o", data=b"x", headers=right).status_code == 201


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"If-Match": MD5}, 200),
        ({"If-Match": f'{OTHER_MD5}, "{MD5}"'}, 200),
        ({"If-Match": OTHER_MD5}, 412),
        ({"If-None-Match": MD5}, 304),
        ({"If-None-Match": "*"}, 304),
        ({"If-None-Match": OTHER_MD5}, 200),
        ({"If-Modified-Since": "Fri, 01 Jan 2100 00:00:00 GMT"}, 304),
        ({"If-Modified-Since": "Sat, 01 Jan 2000 00:00:00 GMT"}, 200),
        ({"If-Unmodified-Since": "Sat, 01 Jan 2000 00:00:00 GMT"}, 412),
        ({"If-Unmodified-Since": "Fri, 01 Jan 2100 00:00:00 GMT"}, 200),
        ({"If-Match": OTHER_MD5, "Range": "bytes=0-1"}, 412),
    ],
)
def test_conditions(stored: Swift, headers: dict[str, str], status: int) -> None:
    for method in ("GET", "HEAD"):
        answer = stored(method, "/box/o", headers=headers)
        assert answer.status_code == status
        assert answer.headers["Etag"] == MD5
        if status == 304:
            assert answer.data == b""


def test_one_range(stored: Swift) -> None:
    answer = stored("GET", "/box/o", headers={"Range": "bytes=100000-299999"})
    assert (answer.status_code, answer.data) == (206, DATA[100_000:300_000])
    assert answer.headers["Content-Range"] == f"bytes 100000-299999/{len(DATA)}"
    assert answer.headers["Content-Length"] == "200000"
    assert answer.headers["Etag"] == MD5
    assert stored("GET", "/box/o", headers={"Range": "bytes=-7"}).data == DATA[-7:]
    assert stored("GET", "/box/o", headers={"Range": "bytes=399999-"}).data == DATA[-1:]


def test_several_ranges(stored: Swift) -> None:
    answer = stored("GET", "/box/o", headers={"Range": "bytes=0-3,100-103,999999-"})
    assert answer.status_code == 206
    assert answer.headers["Content-Type"].startswith("multipart/byteranges;boundary=")
    assert int(answer.headers["Content-Length"]) == len(answer.data)
    assert "Content-Range" not in answer.headers
    assert answer.data.count(b"Content-Range: bytes ") == 2
    assert b"\r\n\r\n" + DATA[100:104] + b"\r\n--" in answer.data


def test_range_not_there(stored: Swift) -> None:
    answer = stored("GET", "/box/o", headers={"Range": "bytes=400000-"})
    assert answer.status_code == 416
    assert answer.headers["Content-Range"] == f"bytes */{len(DATA)}"
    assert answer.headers["Etag"] == MD5
    assert stored("GET", "/box/o", headers={"Range": "nonsense"}).status_code == 200


def test_if_range(stored: Swift) -> None:
    fits, misses = {"If-Range": MD5}, {"If-Range": OTHER_MD5}
    assert stored("GET", "/box/o", headers={"Range": "bytes=0-3", **fits}).status_code == 206
    assert stored("GET", "/box/o", headers={"Range": "bytes=0-3", **misses}).status_code == 200


def test_metadata_is_replaced_by_post(box: Swift) -> None:
    first = {
        "X-Object-Meta-A": "1",
        "X-Object-Meta-B": "Î±",
        "Content-Encoding": "gzip",
        "Content-Disposition": "attachment",
        "Content-Type": "text/x",
    }
    box("PUT", "/box/o", data=DATA, headers=first)
    headers = box("HEAD", "/box/o").headers
    assert {name: headers[name] for name in first} == first
    assert box("POST", "/box/o", headers={"X-Object-Meta-C": "3"}).status_code == 202
    headers = box("GET", "/box/o").headers
    assert headers["X-Object-Meta-C"] == "3"
    assert headers["Content-Type"] == "text/x"
    assert headers["Etag"] == MD5
    for gone in ("X-Object-Meta-A", "X-Object-Meta-B", "Content-Encoding", "Content-Disposition"):
        assert gone not in headers
    box("POST", "/box/o", headers={"Content-Type": "text/y"})
    assert box("HEAD", "/box/o").headers["Content-Type"] == "text/y"


def test_bad_metadata_stores_nothing(box: Swift) -> None:
    assert box("PUT", "/box/o", data=b"x", headers={"X-Object-Meta-": "v"}).status_code == 400
    assert box("HEAD", "/box/o").status_code == 404


def test_expired_is_gone(stored: Swift) -> None:
    past = str(int(time.time()) - 1)
    assert stored("POST", "/box/o", headers={"X-Delete-At": past}).status_code == 400
    future = str(int(time.time()) + 1000)
    assert stored("POST", "/box/o", headers={"X-Delete-At": future}).status_code == 202
    assert stored("HEAD", "/box/o").headers["X-Delete-At"] == future
    stored.expire("box", "o")
    for method in ("GET", "HEAD", "POST"):
        assert stored(method, "/box/o").status_code == 404
    put = stored("PUT", "/box/o", data=b"new", headers={"If-None-Match": "*"})
    assert put.status_code == 201
    assert stored("GET", "/box/o").data == b"new"


def test_deleting_what_has_expired(stored: Swift) -> None:
    stored.expire("box", "o")
    assert stored("DELETE", "/box/o").status_code == 404
    assert stored("DELETE", "/box").status_code == 204


def test_deleting_only_what_expires_at_a_moment(stored: Swift) -> None:
    assert stored("DELETE", "/box/o", headers={"X-If-Delete-At": "soon"}).status_code == 400
    assert stored("DELETE", "/box/o", headers={"X-If-Delete-At": "7"}).status_code == 412
    moment = str(int(time.time()) + 1000)
    stored("POST", "/box/o", headers={"X-Delete-At": moment})
    assert stored("DELETE", "/box/o", headers={"X-If-Delete-At": moment}).status_code == 204


def test_md5_is_computed_when_first_needed(stored: Swift) -> None:
    stored.forget_md5("box", "o")
    assert stored("GET", "/box?format=json").json[0]["hash"] == ""
    assert stored("HEAD", "/box/o").headers["Etag"] == MD5
    assert stored("GET", "/box?format=json").json[0]["hash"] == MD5


def test_method_that_objects_lack(stored: Swift) -> None:
    answer = stored("LICK", "/box/o")
    assert answer.status_code == 405
    assert "GET" in answer.headers["Allow"]
