"""python-swiftclient against our server, over both ways to log in."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from swift_server import SwiftServer

pytest_plugins = ("swift_server",)
swiftclient = pytest.importorskip("swiftclient", reason="python-swiftclient is not installed")
service = pytest.importorskip("swiftclient.service")
pytest.importorskip("keystoneclient", reason="python-keystoneclient is not installed")

pytestmark = [
    pytest.mark.interop,
    # The clients' own: swiftclient calls keystoneclient by its old names.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]

USER, PASSWORD = "alice", "alice's secret"
DATA = random.Random(3).randbytes(300_000)
NAME = "καλημέρα/ü x%2F?#.txt"


def credentials(server: SwiftServer, version: str) -> dict[str, Any]:
    if version == "1":
        return {"authurl": server.v1, "user": USER, "key": PASSWORD, "auth_version": "1"}
    options = {
        "user_domain_name": "Default",
        "project_domain_name": "Default",
        "project_name": USER,
    }
    return {
        "authurl": server.v3,
        "user": USER,
        "key": PASSWORD,
        "auth_version": "3",
        "os_options": options,
    }


@pytest.fixture(params=["1", "3"])
def connection(request: pytest.FixtureRequest, swift_server: SwiftServer) -> Iterator[Any]:
    connection = swiftclient.Connection(retries=0, **credentials(swift_server, request.param))
    yield connection
    for container in connection.get_account(full_listing=True)[1]:
        name = container["name"]
        for item in connection.get_container(name, full_listing=True)[1]:
            connection.delete_object(name, item["name"])
        connection.delete_container(name)
    connection.close()


def test_account(connection: Any) -> None:
    connection.post_account({"X-Account-Meta-Colour": "grün"})
    headers, containers = connection.get_account()
    assert headers["x-account-meta-colour"] == "grün"
    assert containers == []
    connection.put_container("ü")
    assert connection.head_account()["x-account-container-count"] == "1"


def test_objects(connection: Any) -> None:
    connection.put_container("box", headers={"X-Container-Meta-A": "1"})
    etag = connection.put_object(
        "box", NAME, DATA, content_type="text/x", headers={"X-Object-Meta-Who": "λ"}
    )
    assert etag == hashlib.md5(DATA).hexdigest()
    headers, body = connection.get_object("box", NAME)
    assert body == DATA
    assert headers["x-object-meta-who"] == "λ"
    assert headers["content-type"] == "text/x"
    assert connection.head_object("box", NAME)["content-length"] == str(len(DATA))
    connection.post_object("box", NAME, {"X-Object-Meta-Who": "μ"})
    assert connection.head_object("box", NAME)["x-object-meta-who"] == "μ"
    listing = connection.get_container("box", full_listing=True)[1]
    assert [(item["name"], item["hash"]) for item in listing] == [(NAME, etag)]
    connection.copy_object("box", NAME, destination="/box/copy")
    assert connection.get_object("box", "copy")[1] == DATA
    connection.delete_object("box", NAME)
    with pytest.raises(swiftclient.ClientException) as caught:
        connection.head_object("box", NAME)
    assert caught.value.http_status == 404


def test_streams_both_ways(connection: Any) -> None:
    connection.put_container("box")
    pieces = (DATA[start : start + 10_000] for start in range(0, len(DATA), 10_000))
    connection.put_object("box", "chunked", pieces)
    _, body = connection.get_object("box", "chunked", resp_chunk_size=4096)
    assert b"".join(body) == DATA


def test_listing_in_pages(connection: Any) -> None:
    connection.put_container("box")
    names = [f"{letter}/{number}" for letter in "abc" for number in range(3)]
    for name in names:
        connection.put_object("box", name, b"x")
    pages = connection.get_container("box", limit=2, full_listing=True)[1]
    assert [item["name"] for item in pages] == names
    rolled = connection.get_container("box", delimiter="/")[1]
    assert [item["subdir"] for item in rolled] == ["a/", "b/", "c/"]


def test_capabilities_name_nothing_that_is_not_there(connection: Any) -> None:
    assert set(connection.get_capabilities()) == {"swift", "bulk_delete"}


def test_conditional_put(connection: Any) -> None:
    connection.put_container("box")
    connection.put_object("box", "once", b"1", headers={"If-None-Match": "*"})
    with pytest.raises(swiftclient.ClientException) as caught:
        connection.put_object("box", "once", b"2", headers={"If-None-Match": "*"})
    assert caught.value.http_status == 412


def test_command_line_service(connection: Any, swift_server: SwiftServer, tmp_path: Any) -> None:
    """What the command `swift` is made of: upload, stat, list, download with checks, delete."""
    source = tmp_path / "source"
    (source / "deep" / "ünder").mkdir(parents=True)
    (source / "big").write_bytes(DATA)
    (source / "deep" / "ünder" / "small").write_bytes(b"small")
    options = {"auth_version": "1", "auth": swift_server.v1, "user": USER, "key": PASSWORD}
    with service.SwiftService(options=options) as swift:
        files = [str(source / "big"), str(source / "deep" / "ünder" / "small")]
        uploads = [
            service.SwiftUploadObject(path, object_name=path.removeprefix(f"{source}/"))
            for path in files
        ]
        assert all(result["success"] for result in swift.upload("box", uploads))
        target = {"out_directory": str(tmp_path / "target")}
        assert all(result["success"] for result in swift.download("box", options=target))
        assert (tmp_path / "target" / "big").read_bytes() == DATA
        assert (tmp_path / "target" / "deep" / "ünder" / "small").read_bytes() == b"small"
        assert all(result["success"] for result in swift.delete("box"))
    assert connection.get_account()[1] == []
