"""A server of our own for the clients of others; its users, and where they log in."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from api_server import PASSWORDS, make_installation, start_server, stop_server

USER = "alice"
PASSWORD = PASSWORDS[USER]


@dataclass(frozen=True)
class SwiftServer:
    """Where `USER` logs in with `PASSWORD`; the project has the name of the user."""

    url: str

    @property
    def v1(self) -> str:
        return f"{self.url}/auth/v1.0"

    @property
    def v3(self) -> str:
        return f"{self.url}/v3"


@pytest.fixture(scope="module")
def swift_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SwiftServer]:
    folder = tmp_path_factory.mktemp("swift")
    make_installation(folder)
    server = start_server(folder)
    yield SwiftServer(server.url)
    stop_server(server)
