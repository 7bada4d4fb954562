"""A store and a database to work on, an application in this process, and a server in others."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy import Engine

from blockstore import Store, StoreOptions, create_store, open_store
from pithos_api.app import close_app, create_app
from pithos_api.database.engine import open_engine
from pithos_api.database.migrations import upgrade
from pithos_api.identity.accounts import Identity
from pithos_api.identity.records import ADMIN, MEMBER
from pithos_api.namespace.namespace import Namespace
from pithos_api.services import EXTENSION, Services
from pithos_api.settings import PasswordCost, Settings

BLOCK_SIZE = 65536
CHEAP = PasswordCost(passes=1, memory_kib=8, lanes=1)
PASSWORDS = {"alice": "alice's secret", "bob": "bob's secret", "root": "root's secret"}
START_TIMEOUT_S = 60

SERVE = """
import json, os, sys
from pithos_api.server import run_api_server
from pithos_api.settings import PasswordCost, Settings

def ready(url):
    os.write(int(sys.argv[2]), url.encode() + b"\\n")

fields = json.loads(sys.argv[1])
run_api_server(Settings(password_cost=PasswordCost(1, 8, 1), **fields), ready)
"""


@dataclass(frozen=True)
class ApiServer:
    """A running server."""

    url: str
    host: str
    port: int
    settings: Settings
    process: subprocess.Popen[bytes]
    log: Path

    @property
    def address(self) -> tuple[str, int]:
        return self.host, self.port


def database_url(folder: Path) -> str:
    return f"sqlite:///{folder}/api.sqlite"


def add_users(identity: Identity) -> None:
    """Alice and Bob with a project each, and an administrator."""
    for name, password in PASSWORDS.items():
        identity.create_user(name, password, role=ADMIN if name == "root" else MEMBER)


@pytest.fixture
def memory_store(tmp_path: Path) -> Iterator[Store]:
    url = f"memory:{tmp_path}"
    create_store(url, StoreOptions(hash_name="sha256", block_size=BLOCK_SIZE))
    store = open_store(url)
    yield store
    store.close()


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    upgrade(database_url(tmp_path))
    engine = open_engine(database_url(tmp_path))
    yield engine
    engine.dispose()


@pytest.fixture
def namespace(engine: Engine, memory_store: Store) -> Namespace:
    return Namespace(engine, memory_store)


@pytest.fixture
def identity(engine: Engine) -> Identity:
    return Identity(engine, CHEAP)


@pytest.fixture
def api_app(tmp_path: Path, memory_store: Store) -> Iterator[Flask]:
    """An application with the users of `PASSWORDS`."""
    app = create_app(
        Settings(
            store_url=memory_store.url,
            database_url=database_url(tmp_path),
            password_cost=CHEAP,
        )
    )
    add_users(app.extensions[EXTENSION].identity)
    yield app
    close_app(app)


@pytest.fixture
def api_services(api_app: Flask) -> Services:
    services = api_app.extensions[EXTENSION]
    assert isinstance(services, Services)
    return services


@pytest.fixture(scope="session")
def api_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """Two processes of gunicorn over a files: store, with the users of `PASSWORDS`."""
    folder = tmp_path_factory.mktemp("api")
    make_installation(folder)
    server = start_server(folder)
    yield server
    stop_server(server)


def make_installation(folder: Path) -> None:
    """A store and a database with the users of `PASSWORDS`."""
    create_store(f"files:{folder}/store", StoreOptions(hash_name="sha256", block_size=BLOCK_SIZE))
    upgrade(database_url(folder))
    engine = open_engine(database_url(folder))
    add_users(Identity(engine, CHEAP))
    engine.dispose()


def start_server(folder: Path, **more: object) -> ApiServer:
    """Serve what `make_installation` made, on a free port, in a process group of its own."""
    store_url = f"files:{folder}/store"
    fields = {"store_url": store_url, "database_url": database_url(folder), "port": 0, **more}
    read_end, write_end = os.pipe()
    log = folder / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-c", SERVE, json.dumps(fields), str(write_end)],
            pass_fds=[write_end],
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    os.close(write_end)
    try:
        url = _read_line(read_end)
    finally:
        os.close(read_end)
    if not url:
        process.wait()
        pytest.fail(f"the server did not start:\n{log.read_text()}")
    host, _, port = url.removeprefix("http://").rpartition(":")
    settings = Settings(password_cost=CHEAP, **fields)
    return ApiServer(url, host, int(port), settings, process, log)


def stop_server(server: ApiServer) -> None:
    """End it as an operator would."""
    server.process.terminate()
    try:
        server.process.wait(START_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        server.process.kill()
        server.process.wait()
        raise


def _read_line(pipe: int) -> str:
    """What the server says when it is ready; "" when it ended, or took too long."""
    readable, _, _ = select.select([pipe], [], [], START_TIMEOUT_S)
    return os.read(pipe, 1000).decode().strip() if readable else ""
