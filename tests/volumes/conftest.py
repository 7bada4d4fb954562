from __future__ import annotations

import shutil

import pytest
from memory_exports import MemoryExports
from nbd_client import NbdClient
from volume_server import VolumeServer

from archipelago import Catalog
from blockstore import StoreOptions, create_store, open_store
from volumes.nbd.server import NbdServer, TcpAddress


@pytest.fixture
def exports():
    return MemoryExports()


@pytest.fixture
def memory_server(exports, tmp_path):
    """(unix path, tcp port) of a server over `exports`."""
    server = NbdServer(exports)
    path = str(tmp_path / "nbd.sock")
    server.listen_unix(path)
    port = server.listen_tcp(TcpAddress("127.0.0.1", 0))
    server.start()
    yield path, port
    server.close()


@pytest.fixture
def connect(memory_server):
    """Opens raw clients on the memory server's Unix socket; closes them at the end."""
    clients = []

    def open_client(flags: int = 3) -> NbdClient:
        clients.append(NbdClient(memory_server[0], flags))
        return clients[-1]

    yield open_client
    for client in clients:
        client.sock.close()


@pytest.fixture
def tool():
    """The path of a program, or a skip that names it."""

    def find(name: str) -> str:
        path = shutil.which(name)
        if path is None:
            pytest.skip(f"{name} is not installed")
        return path

    return find


@pytest.fixture
def store_url(tmp_path):
    url = f"files:{tmp_path / 'store'}"
    create_store(url, StoreOptions(block_size=2**16))
    return url


@pytest.fixture
def catalog(store_url):
    """The test's own view of the store, beside the server's."""
    store = open_store(store_url)
    yield Catalog(store)
    store.close()


@pytest.fixture
def volume_server(store_url, tmp_path):
    """A running volume server over an empty store."""
    server = VolumeServer(store_url, tmp_path).start()
    yield server
    if server.process is not None:
        assert server.stop() == 0, server.log
