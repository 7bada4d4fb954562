"""The control socket's own limits, in one process with a manager on a store in memory."""

from __future__ import annotations

import socket
import threading
import uuid

import pytest

from archipelago import Catalog
from blockstore import StoreOptions, create_store, open_store
from volumes import control_server as control_module
from volumes.control import ControlClient, ServerUnreachable
from volumes.control_messages import Ping, encode_request
from volumes.control_server import ControlServer
from volumes.manager import Manager
from volumes.unix_socket import SocketUnavailable


@pytest.fixture
def manager():
    url = f"memory:{uuid.uuid4().hex}"
    create_store(url, StoreOptions(block_size=2**16))
    store = open_store(url)
    yield Manager(Catalog(store))
    store.close()


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "control")


@pytest.fixture
def stopping():
    return threading.Event()


@pytest.fixture
def server(manager, path, stopping):
    server = ControlServer(manager, path, store_url="memory:x", shutdown=stopping.set)
    server.start()
    yield server
    server.close()


def test_clients_beyond_the_limit_are_turned_away(server, path, monkeypatch):
    monkeypatch.setattr(control_module, "CLIENTS_MAX", 1)
    with ControlClient(path) as first:
        first.ping()
        with ControlClient(path) as second, pytest.raises(ServerUnreachable):
            second.ping()
        assert first.ping().store_url == "memory:x"


def test_an_idle_client_is_hung_up_on(server, path, monkeypatch):
    monkeypatch.setattr(control_module, "IDLE_SECONDS_MAX", 0.05)
    with ControlClient(path) as client:
        assert client._reader.readline() == b""


def test_shutdown_only_asks(server, path, stopping):
    with ControlClient(path) as client:
        client.shutdown()
        assert stopping.wait(20)
        assert client.ping()


def test_close_ends_idle_clients(manager, path):
    server = ControlServer(manager, path, store_url="memory:x", shutdown=lambda: None)
    server.start()
    with ControlClient(path) as client:
        client.ping()
        server.close()
        with pytest.raises(ServerUnreachable):
            client.ping()
    with pytest.raises(ServerUnreachable):
        ControlClient(path)


def test_close_does_not_wait_for_a_client_that_takes_no_replies(manager, path, monkeypatch):
    monkeypatch.setattr(control_module, "TAKE_SECONDS_MAX", 0.2)
    server = ControlServer(manager, path, store_url="x" * 4096, shutdown=lambda: None)
    server.start()
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(path)
        client.settimeout(0.1)
        # More than the buffers of both directions hold.
        with pytest.raises(TimeoutError):
            client.sendall(encode_request(Ping()) * 100_000)
        closing = threading.Thread(target=server.close, daemon=True)
        closing.start()
        closing.join(10)
        assert not closing.is_alive()


def test_a_client_for_whom_there_is_no_thread_is_turned_away(server, path, monkeypatch):
    def no_thread(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", no_thread)
        with ControlClient(path) as client, pytest.raises(ServerUnreachable):
            client.ping()
    with ControlClient(path) as client:
        assert client.ping()


def test_a_second_control_server_is_refused(server, manager, path):
    with pytest.raises(SocketUnavailable, match="already running"):
        ControlServer(manager, path, store_url="memory:x", shutdown=lambda: None)
