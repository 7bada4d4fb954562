"""The application around its endpoints: ids, dialects of errors, the log."""

from __future__ import annotations

import errno
import logging
import re
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from flask import Blueprint, Flask, Response
from flask.testing import FlaskClient
from sqlalchemy.exc import OperationalError

from blockstore import BlockCorrupt, Store, StoreFull, StoreUnavailable
from pithos_api.app import close_app, create_app
from pithos_api.endpoint import Endpoint
from pithos_api.faults import Fault, HttpError
from pithos_api.identity.errors import IdentityInvalid
from pithos_api.namespace.errors import NoSuchContainer
from pithos_api.paths import raw_path
from pithos_api.settings import PasswordCost, Settings

ERRORS: dict[str, Callable[[], Exception]] = {
    "full": lambda: StoreFull("no room in /srv/store"),
    "unavailable": lambda: StoreUnavailable("/srv/store is read-only"),
    "database full": lambda: database_error("SQLITE_FULL"),
    "database locked": lambda: database_error("SQLITE_BUSY"),
    "nameless": lambda: IdentityInvalid("a name has no colon"),
    "damaged": lambda: BlockCorrupt(bytes(32), "pack 1", "digest differs"),
    "device": lambda: OSError(errno.EIO, "I/O error"),
    "absent": lambda: NoSuchContainer("a", "c"),
    "mine": lambda: HttpError(418, "teapot", {"X-Tea": "green"}),
    "bug": lambda: ZeroDivisionError("a secret in a message"),
}


def database_error(name: str) -> Exception:
    """As SQLite names it."""
    cause = sqlite3.OperationalError("it failed")
    cause.sqlite_errorname = name
    return OperationalError("INSERT INTO secrets", {}, cause)


def endpoint(prefix: str, dialect: str) -> Endpoint:
    """Routes that fail, return their path, or break off."""
    blueprint = Blueprint(dialect, dialect)

    def fail(kind: str) -> Response:
        raise ERRORS[kind]()

    def echo(target: str) -> Response:
        return Response(f"{raw_path()}|{target}")

    def broken() -> Response:
        def body() -> Iterator[bytes]:
            yield b"beginning"
            raise StoreUnavailable("gone")

        return Response(body())

    blueprint.add_url_rule(f"{prefix}/fail/<kind>", "fail", fail)
    blueprint.add_url_rule(f"{prefix}/echo<rest:target>", "echo", echo, methods=["GET", "COPY"])
    blueprint.add_url_rule(f"{prefix}/broken", "broken", broken)

    def render(fault: Fault) -> Response:
        return Response(f"{dialect}:{fault.message}", fault.status, dict(fault.headers))

    return Endpoint((prefix,), blueprint, render)


@pytest.fixture
def client(tmp_path: Path, memory_store: Store) -> Iterator[FlaskClient]:
    settings = Settings(
        store_url=memory_store.url,
        database_url=f"sqlite:///{tmp_path}/db",
        password_cost=PasswordCost(1, 8, 1),
    )
    app = create_app(settings, [endpoint("/one", "first"), endpoint("/one/two", "second")])
    yield app.test_client()
    close_app(app)


@pytest.mark.parametrize(
    ("kind", "status", "text"),
    [
        ("full", 507, "first:"),
        ("unavailable", 503, "first:"),
        ("database full", 507, "first:"),
        ("database locked", 503, "first:"),
        ("nameless", 400, "first:a name has no colon"),
        ("damaged", 500, "first:"),
        ("device", 500, "first:"),
        ("absent", 404, "first:no such container: c"),
        ("mine", 418, "first:teapot"),
        ("bug", 500, "first:"),
    ],
)
def test_statuses(client: FlaskClient, kind: str, status: int, text: str) -> None:
    answer = client.get(f"/one/fail/{kind}")
    assert (answer.status_code, answer.text) == (status, text)


def test_headers_of_an_error(client: FlaskClient) -> None:
    assert client.get("/one/fail/mine").headers["X-Tea"] == "green"


def test_a_bug_is_logged_with_the_id_of_the_answer(
    client: FlaskClient, caplog: pytest.LogCaptureFixture
) -> None:
    answer = client.get("/one/fail/bug")
    logged = [r for r in caplog.records if r.name == "pithos_api.errors"]
    assert len(logged) == 1
    assert answer.headers["X-Trans-Id"] in logged[0].getMessage()
    assert "ZeroDivisionError" in caplog.text


@pytest.mark.parametrize(
    ("path", "dialect"),
    [
        ("/one/nothing", "first"),
        ("/one/two/nothing", "second"),
        ("/one/twofold", "first"),
        ("/one/two", "second"),
    ],
)
def test_the_longest_prefix_words_the_error(client: FlaskClient, path: str, dialect: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 404
    assert answer.text.startswith(dialect)


def test_methods_that_are_not_allowed(client: FlaskClient) -> None:
    for method in ("PUT", "LICK", "GETorHEAD_base"):
        answer = client.open("/one/echo", method=method)
        assert (answer.status_code, answer.text.partition(":")[0]) == (405, "first")
        assert "GET" in answer.headers["Allow"]


@pytest.mark.parametrize("rest", ["", "/", "//a//b//", "/a%0Ab", "/%FF", "/.json", "/%2F%2F", ".x"])
def test_any_path_gets_to_its_route(client: FlaskClient, rest: str) -> None:
    answer = client.get(f"/one/echo{rest}")
    assert answer.status_code == 200
    assert answer.text.startswith("/one/echo")
    assert client.open(f"/one/echo{rest}", method="COPY").status_code == 200


def test_every_answer_has_an_id(client: FlaskClient) -> None:
    seen = set()
    for path in ("/one/echo", "/one/fail/bug", "/one/fail/full", "/elsewhere"):
        headers = client.get(path).headers
        assert headers["X-Trans-Id"] == headers["X-Openstack-Request-Id"]
        assert re.fullmatch(r"tx[0-9a-f]{21}-[0-9a-f]{10}", headers["X-Trans-Id"])
        seen.add(headers["X-Trans-Id"])
    assert len(seen) == 4


def test_one_line_a_request_and_no_secrets(
    client: FlaskClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    headers = {"X-Auth-Token": "hidden1", "X-Auth-Key": "hidden2"}
    query = "?limit=1&X-Auth-Token=hidden3&temp_url_sig=hidden4&x=y"
    answer = client.get(f"/one/echo/a%20b{query}", headers=headers)
    size = len(answer.data)
    answer.close()
    lines = [r.getMessage() for r in caplog.records if r.name == "pithos_api.access"]
    assert len(lines) == 1
    assert "GET /one/echo/a%20b?limit=1&X-Auth-Token=***&temp_url_sig=***&x=y 200" in lines[0]
    assert f"{size} bytes" in lines[0]
    assert answer.headers["X-Trans-Id"] in lines[0]
    assert "hidden" not in caplog.text


def test_an_error_in_the_middle_of_a_body_is_logged_and_breaks_off(
    client: FlaskClient, caplog: pytest.LogCaptureFixture
) -> None:
    answer = client.get("/one/broken")
    with pytest.raises(StoreUnavailable):
        answer.get_data()
    answer.close()
    assert "broke off while answering" in caplog.text


def test_two_applications_share_one_database(api_app: Flask, client: FlaskClient) -> None:
    assert api_app.test_client().get("/v3").status_code == 200
    assert client.get("/one/echo").status_code == 200
