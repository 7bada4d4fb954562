"""Account requests, and who may make them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from swift_session import Swift

pytest_plugins = ("swift_session",)


def test_no_token_is_challenged(swift: Swift) -> None:
    answer = swift.client.get(f"/v1/{swift.account}")
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == f'Swift realm="{swift.account}"'


def test_challenge_quotes_what_the_client_sent(swift: Swift) -> None:
    answer = swift.client.get("/v1/AUTH_x%22%0d%0aevil/c")
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == 'Swift realm="AUTH_x%22%0D%0Aevil"'


def test_wrong_token(swift: Swift) -> None:
    answer = swift.client.get(f"/v1/{swift.account}", headers={"X-Auth-Token": "nonsense"})
    assert answer.status_code == 401


def test_storage_token_is_as_good(swift: Swift) -> None:
    headers = {"X-Storage-Token": swift.token}
    assert swift.client.head(f"/v1/{swift.account}", headers=headers).status_code == 204


def test_account_of_others(swift: Swift, other: Swift, admin: Swift) -> None:
    other("PUT", "/box")
    for method in ("GET", "HEAD", "POST"):
        assert swift(method, "", account=other.account).status_code == 403
    assert swift("GET", "/box", account=other.account).status_code == 403
    assert admin("GET", "/box", account=other.account).status_code == 204
    assert admin("GET", "", account="AUTH_" + "0" * 32).status_code == 404
    assert swift("GET", "", account="AUTH_" + "0" * 32).status_code == 403


def test_reader_reads_and_does_not_write(swift: Swift, reader: Swift) -> None:
    swift("PUT", "/box")
    assert reader.account == swift.account
    assert reader("GET", "/box").status_code == 204
    for method, path in [("PUT", "/box/o"), ("DELETE", "/box"), ("POST", ""), ("PUT", "/new")]:
        assert reader(method, path).status_code == 403


def test_new_account_is_there(swift: Swift) -> None:
    answer = swift("HEAD", "")
    assert answer.status_code == 204
    assert answer.headers["X-Account-Container-Count"] == "0"
    assert answer.headers["X-Account-Object-Count"] == "0"
    assert answer.headers["X-Account-Bytes-Used"] == "0"
    assert float(answer.headers["X-Timestamp"]) > 1_700_000_000
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"


def test_counts(swift: Swift) -> None:
    swift("PUT", "/a")
    swift("PUT", "/b")
    swift("PUT", "/a/x", data=b"12345")
    swift("PUT", "/b/y", data=b"123")
    swift("PUT", "/b/y", data=b"1234")
    headers = swift("HEAD", "").headers
    assert headers["X-Account-Container-Count"] == "2"
    assert headers["X-Account-Object-Count"] == "2"
    assert headers["X-Account-Bytes-Used"] == "9"


def test_metadata_is_merged_and_removed(swift: Swift) -> None:
    first = {"X-Account-Meta-A": "1", "X-Account-Meta-B": "2", "X-Account-Meta-C": "3"}
    assert swift("POST", "", headers=first).status_code == 204
    second = {"X-Account-Meta-A": "", "X-Remove-Account-Meta-B": "x", "X-Account-Meta-D": "4"}
    assert swift("POST", "", headers=second).status_code == 204
    headers = swift("GET", "").headers
    shown = {name: value for name, value in headers.items() if name.startswith("X-Account-Meta")}
    assert shown == {"X-Account-Meta-C": "3", "X-Account-Meta-D": "4"}


def test_metadata_limit_counts_what_is_there(swift: Swift) -> None:
    first = {f"X-Account-Meta-N{i}": "v" for i in range(50)}
    second = {f"X-Account-Meta-M{i}": "v" for i in range(50)}
    assert swift("POST", "", headers=first).status_code == 204
    assert swift("POST", "", headers=second).status_code == 400


def test_listing(swift: Swift) -> None:
    assert swift("GET", "").status_code == 204
    assert swift("GET", "?format=json").json == []
    for name in ("b", "a", "%C3%A9"):
        swift("PUT", f"/{name}")
    answer = swift("GET", "")
    assert answer.status_code == 200
    assert answer.text == "a\nb\né\n"
    assert [entry["name"] for entry in swift("GET", "?format=json&reverse=true").json] == [
        "é",
        "b",
        "a",
    ]
    assert swift("GET", "?marker=a&limit=1").text == "b\n"
    xml = swift("GET", "", headers={"Accept": "text/xml"})
    assert xml.headers["Content-Type"] == "text/xml; charset=utf-8"
    assert f'<account name="{swift.account}">' in xml.text


def test_bad_queries(swift: Swift) -> None:
    assert swift("GET", "?limit=10001").status_code == 412
    assert swift("GET", "?prefix=%ff").status_code == 412
    assert swift("GET", "", headers={"Accept": "image/png"}).status_code == 406


@pytest.mark.parametrize("method", ["PUT", "DELETE", "COPY"])
def test_methods_that_accounts_lack(swift: Swift, method: str) -> None:
    answer = swift(method, "")
    assert answer.status_code == 405
    assert answer.headers["Allow"] == "GET, HEAD, POST, DELETE, OPTIONS"


def test_unknown_method(swift: Swift) -> None:
    assert swift("LICK", "").status_code == 405


def test_options_need_no_token(swift: Swift) -> None:
    answer = swift.client.options(f"/v1/{swift.account}/c/o")
    assert answer.status_code == 200
    assert "COPY" in answer.headers["Allow"]


@pytest.mark.parametrize(
    ("path", "status"),
    [("/v1", 412), ("/v1/", 412), ("/v1//c/o", 404), ("/v1/AUTH_%ff", 412), ("/v1x", 404)],
)
def test_bad_paths(swift: Swift, path: str, status: int) -> None:
    headers = {"X-Auth-Token": swift.token}
    assert swift.client.get(path, headers=headers).status_code == status


def test_info_is_public_and_claims_nothing_else(swift: Swift) -> None:
    found = swift.client.get("/info").json
    assert sorted(found) == ["bulk_delete", "swift"]
    assert found["swift"]["max_object_name_length"] == 1024
    assert found["swift"]["container_listing_limit"] == 10000


def test_what_only_begins_like_info(swift: Swift) -> None:
    assert swift.client.get("/info%20asdf").status_code == 412


def test_overlong_header(swift: Swift) -> None:
    assert swift("POST", "", headers={"X-Something": "x" * 8192}).status_code == 204
    assert swift("POST", "", headers={"X-Something": "x" * 8193}).status_code == 400


def test_healthcheck(swift: Swift) -> None:
    answer = swift.client.get("/healthcheck")
    assert (answer.status_code, answer.data) == (200, b"OK")


def test_every_answer_has_a_transaction_id(swift: Swift) -> None:
    for answer in (swift("HEAD", ""), swift("GET", "/absent"), swift.client.get("/info")):
        assert answer.headers["X-Trans-Id"].startswith("tx")
        assert answer.headers["X-Trans-Id"] == answer.headers["X-Openstack-Request-Id"]
