"""Users of the Pithos endpoint and the image registry over Flask's test client."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from urllib.parse import quote

import pytest
from blake3 import blake3
from flask import Flask
from werkzeug.test import TestResponse

from blockstore import StoreOptions, create_store
from pithos_api.app import close_app, create_app
from pithos_api.database.migrations import upgrade
from pithos_api.identity.records import ADMIN
from pithos_api.image import views as image
from pithos_api.object_store import views as object_store
from pithos_api.pithos import views as pithos_views
from pithos_api.services import EXTENSION, Services
from pithos_api.settings import PasswordCost, Settings

BLOCK_SIZE = 65536
PASSWORD = "correct horse"
OCTETS = {"Content-Type": "application/octet-stream"}


class Pithos:
    """Calls as one user."""

    def __init__(self, app: Flask, user: str) -> None:
        self.client = app.test_client()
        self.services: Services = app.extensions[EXTENSION]
        token = self.services.identity.authenticate(user, PASSWORD)
        self.token = token.value
        self.project = str(token.principal.project_id)

    def __call__(
        self,
        method: str,
        path: str,
        *,
        data: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        account: str = "",
        announced: int | None = None,
    ) -> TestResponse:
        """`path` is below the account: "/container/object?query"."""
        account = account or self.project
        path = f"/pithos/object-store/v1/{account}{path}"
        return self.call(method, path, data, headers, announced)

    def call(
        self,
        method: str,
        path: str,
        data: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        announced: int | None = None,
    ) -> TestResponse:
        """Any path. `announced`: a Content-Length other than the true one."""
        length = {} if announced is None else {"CONTENT_LENGTH": str(announced)}
        return self.client.open(
            path,
            method=method,
            data=data,
            headers={"X-Auth-Token": self.token, **(headers or {})},
            environ_overrides=length,
        )

    def put_hashmap(
        self,
        path: str,
        size: int,
        hashes: Sequence[str],
        headers: Mapping[str, str] | None = None,
        account: str = "",
    ) -> TestResponse:
        body = json.dumps({"bytes": size, "hashes": list(hashes)}).encode()
        return self(
            "PUT",
            f"{path}?hashmap",
            data=body,
            headers={**OCTETS, **(headers or {})},
            account=account,
        )

    def send_blocks(self, container: str, data: bytes) -> TestResponse:
        return self("POST", f"/{container}?update", data=data, headers=OCTETS)

    def upload(self, path: str, content: bytes) -> None:
        """Hash first, then what is missing: as kamaki does."""
        hashes = self.hashes(content)
        answer = self.put_hashmap(quote(path), len(content), hashes)
        if answer.status_code == 409:
            container = path.split("/")[1]
            assert self.send_blocks(container, content).status_code == 202
            answer = self.put_hashmap(quote(path), len(content), hashes)
        assert answer.status_code == 201, answer.text

    def digest(self, block: bytes) -> str:
        return digest(block)

    def hashes(self, content: bytes) -> list[str]:
        return [
            self.digest(content[i : i + BLOCK_SIZE]) for i in range(0, len(content), BLOCK_SIZE)
        ]


def digest(block: bytes) -> str:
    """By an implementation other than the server's own kernels."""
    return blake3(block.rstrip(b"\0")).hexdigest()


def noise(seed: int, size: int) -> bytes:
    """Bytes that occur nowhere else, without NULs at the end of any block."""
    return random.Random(seed).randbytes(size).replace(b"\0", b"\1")


def stored_bytes(user: Pithos) -> int:
    """Content of the pool without map pages."""
    stats = user.services.store.blocks.stats()
    return stats.content_bytes - stats.map_bytes


@pytest.fixture
def pithos_app(tmp_path: Path) -> Iterator[Flask]:
    url = f"memory:{tmp_path}"
    create_store(url, StoreOptions(block_size=BLOCK_SIZE))
    settings = Settings(
        store_url=url,
        database_url=f"sqlite:///{tmp_path}/api.db",
        password_cost=PasswordCost(passes=1, memory_kib=8, lanes=1),
    )
    upgrade(settings.database_url)
    app = create_app(settings, (object_store.ENDPOINT, pithos_views.ENDPOINT, image.ENDPOINT))
    identity = app.extensions[EXTENSION].identity
    identity.create_user("alice", PASSWORD)
    identity.create_user("bob", PASSWORD)
    identity.create_user("root", PASSWORD, role=ADMIN)
    yield app
    close_app(app)


def user(app: Flask, name: str) -> Pithos:
    """A user with the container `c`."""
    session = Pithos(app, name)
    assert session("PUT", "/c").status_code == 201
    return session


@pytest.fixture
def alice(pithos_app: Flask) -> Pithos:
    return user(pithos_app, "alice")


@pytest.fixture
def bob(pithos_app: Flask) -> Pithos:
    return user(pithos_app, "bob")
