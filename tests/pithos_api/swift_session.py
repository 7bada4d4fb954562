"""A user's session with the Swift endpoint over the test client, and fixtures that make some."""

from __future__ import annotations

import contextlib
import http.client
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import update
from werkzeug.test import TestResponse

from pithos_api.database.engine import writing
from pithos_api.database.tables import objects
from pithos_api.identity.records import READER
from pithos_api.services import EXTENSION, Services

if TYPE_CHECKING:
    from api_server import ApiServer

PASSWORDS = {name: f"{name}'s secret" for name in ("alice", "bob", "root")}


class Swift:
    """Calls as one user: `swift("PUT", "/container/object", data=...)`."""

    def __init__(self, app: Flask, user: str, password: str) -> None:
        self.client: FlaskClient = app.test_client()
        self.services: Services = app.extensions[EXTENSION]
        token = self.services.identity.authenticate(user, password)
        self.token = token.value
        self.project = str(token.principal.project_id)
        self.account = f"AUTH_{self.project}"

    def __call__(
        self,
        method: str,
        path: str,
        *,
        data: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        account: str = "",
        environ: Mapping[str, Any] | None = None,
    ) -> TestResponse:
        length = {} if data is None else {"CONTENT_LENGTH": str(len(data))}
        return self.client.open(
            f"/v1/{account or self.account}{path}",
            method=method,
            data=data,
            headers={"X-Auth-Token": self.token, **(headers or {})},
            environ_overrides={**length, **(environ or {})},
        )

    def expire(self, container: str, name: str) -> None:
        """Let the time of an object be over."""
        past = str(int(time.time()) - 1)
        self.services.namespace.update_object(
            self.project, container, name, {}, {"X-Delete-At": past}
        )

    def forget_md5(self, container: str, name: str) -> None:
        """Make an object one whose bytes never passed by."""
        found = self.services.namespace.object(self.project, container, name)
        with writing(self.services.engine) as connection:
            connection.execute(update(objects).where(objects.c.id == found.id).values(md5=None))


@dataclass(frozen=True)
class Answer:
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()


class SwiftConnection:
    """Calls as one user over a connection to a server."""

    def __init__(self, address: tuple[str, int], path: str, token: str) -> None:
        self.address = address
        self.path = path
        self.token = token
        self.connection = http.client.HTTPConnection(*address, timeout=60)

    def call(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        all_headers = {"X-Auth-Token": self.token, **(headers or {})}
        self.connection.request(method, self.path + path, body, all_headers)
        answer = self.connection.getresponse()
        return Answer(answer.status, answer.headers, answer.read())

    def again(self) -> SwiftConnection:
        """The same user on another connection."""
        return SwiftConnection(self.address, self.path, self.token)

    def __enter__(self) -> SwiftConnection:
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.close()


def connect(address: tuple[str, int], user: str, password: str) -> SwiftConnection:
    """Log in over Swift v1."""
    with contextlib.closing(http.client.HTTPConnection(*address, timeout=60)) as connection:
        headers = {"X-Auth-User": user, "X-Auth-Key": password}
        connection.request("GET", "/auth/v1.0", headers=headers)
        answer = connection.getresponse()
        answer.read()
        assert answer.status in (200, 204)
        path = urlsplit(answer.headers["X-Storage-Url"]).path
        return SwiftConnection(address, path, str(answer.headers["X-Auth-Token"]))


@pytest.fixture
def swift_connection(api_server: ApiServer) -> Iterator[SwiftConnection]:
    with connect(api_server.address, "alice", PASSWORDS["alice"]) as connection:
        yield connection


@pytest.fixture
def swift_log_in() -> Callable[[tuple[str, int], str, str], SwiftConnection]:
    return connect


@pytest.fixture
def swift_of() -> type[Swift]:
    return Swift


@pytest.fixture
def swift(api_app: Flask) -> Swift:
    return Swift(api_app, "alice", PASSWORDS["alice"])


@pytest.fixture
def other(api_app: Flask) -> Swift:
    return Swift(api_app, "bob", PASSWORDS["bob"])


@pytest.fixture
def admin(api_app: Flask) -> Swift:
    return Swift(api_app, "root", PASSWORDS["root"])


@pytest.fixture
def reader(api_app: Flask) -> Swift:
    """Somebody who may only read in Alice's project."""
    identity = api_app.extensions[EXTENSION].identity
    identity.create_user("reader", "reader's secret", project="alice", role=READER)
    return Swift(api_app, "reader", "reader's secret")
