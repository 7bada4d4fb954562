"""A store and a database to work on, an application in this process, and a server in others."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from api_server import (
    BLOCK_SIZE,
    CHEAP,
    ApiServer,
    add_users,
    database_url,
    make_installation,
    start_server,
    stop_server,
)
from flask import Flask
from sqlalchemy import Engine

from blockstore import Store, StoreOptions, create_store, open_store
from pithos_api.app import close_app, create_app
from pithos_api.database.engine import open_engine
from pithos_api.database.migrations import upgrade
from pithos_api.identity.accounts import Identity
from pithos_api.namespace.namespace import Namespace
from pithos_api.services import EXTENSION, Services
from pithos_api.settings import Settings


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
