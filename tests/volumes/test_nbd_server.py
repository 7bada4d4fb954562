"""Listening, limits and the orderly end of the NBD server."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading

import pytest
from nbd_client import NbdClient

from volumes.nbd import connection as connection_module
from volumes.nbd import server as server_module
from volumes.nbd.server import NbdServer, TcpAddress
from volumes.nbd.wire import Command
from volumes.unix_socket import SocketUnavailable, UnixListener


def test_close_finishes_requests_in_flight(exports, tmp_path):
    device = exports.add("disk", 2**20)
    device.gate = threading.Event()
    server = NbdServer(exports)
    server.listen_unix(str(tmp_path / "s"))
    server.start()
    with NbdClient(str(tmp_path / "s")) as client:
        client.attach("disk")
        sent = client.start(Command.READ, 0, 512)
        assert device.entered.acquire(timeout=20)
        closer = threading.Thread(target=server.close)
        closer.start()
        device.gate.set()
        assert client.answer()[0] == sent
        assert client.hung_up()
        closer.join(20)
    assert exports.attachments[0].closed == 1
    assert not os.path.exists(tmp_path / "s")


def test_close_does_not_wait_for_a_client_that_takes_no_replies(exports, tmp_path, monkeypatch):
    monkeypatch.setattr(server_module, "STOP_SECONDS_MAX", 0.2)
    device = exports.add("disk", 32 * 2**20)
    device.pages[:] = bytes([1]) * len(device.pages)
    server = NbdServer(exports)
    server.listen_unix(str(tmp_path / "s"))
    server.start()
    with NbdClient(str(tmp_path / "s")) as client:
        client.attach("disk")
        for _ in range(8):
            client.start(Command.READ, 0, 32 * 2**20)
        client.receive(16)
        server.close()
    assert exports.attachments[0].closed == 1


def test_more_connections_than_the_limit_are_turned_away(exports, memory_server, monkeypatch):
    monkeypatch.setattr(server_module, "CONNECTIONS_MAX", 2)
    exports.add("disk", 4096)
    path = memory_server[0]
    with NbdClient(path) as first, NbdClient(path) as second:
        with pytest.raises((EOFError, ConnectionResetError)):
            NbdClient(path)
        first.attach("disk")
        second.attach("disk")
        first.disconnect()
        # The place is free a moment after the socket is closed.
        third = None
        for _ in range(200):
            try:
                third = NbdClient(path)
                break
            except (EOFError, ConnectionResetError):
                threading.Event().wait(0.01)
        assert third is not None
        with third:
            third.attach("disk")
            assert third.read(0, 512) == bytes(512)


def test_a_client_that_dawdles_in_the_handshake_is_dropped(exports, memory_server, monkeypatch):
    monkeypatch.setattr(connection_module, "HANDSHAKE_SECONDS_MAX", 0.1)
    with NbdClient(memory_server[0]) as client:
        assert client.hung_up()


def test_a_second_server_on_a_living_socket_is_refused(exports, memory_server):
    second = NbdServer(exports)
    with pytest.raises(SocketUnavailable, match="already running"):
        second.listen_unix(memory_server[0])
    second.close()
    exports.add("disk", 4096)
    with NbdClient(memory_server[0]) as client:
        client.attach("disk")


def test_the_socket_of_a_dead_server_is_replaced(tmp_path):
    path = str(tmp_path / "s")
    code = (
        "import os, sys; from volumes.unix_socket import UnixListener;"
        f"listener = UnixListener({path!r}); os._exit(9)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 9
    assert os.path.exists(path)
    listener = UnixListener(path)
    with socket.socket(socket.AF_UNIX) as probe:
        probe.connect(path)
    listener.close()
    listener.close()
    assert not os.path.exists(path)


def test_a_foreign_server_on_the_path_is_not_replaced(tmp_path):
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as foreign:
        foreign.bind(path)
        foreign.listen()
        with pytest.raises(SocketUnavailable, match="already running"):
            UnixListener(path)
    assert os.path.exists(path)


def test_a_file_that_is_no_socket_is_not_replaced(tmp_path):
    (tmp_path / "s").write_text("precious")
    with pytest.raises(SocketUnavailable, match="not a socket"):
        UnixListener(str(tmp_path / "s"))
    assert (tmp_path / "s").read_text() == "precious"


@pytest.mark.parametrize("name", ["x" * 120, "absent/s"])
def test_an_unusable_path_is_refused(tmp_path, name):
    with pytest.raises(SocketUnavailable, match=name):
        UnixListener(str(tmp_path / name))


def test_only_the_owner_may_connect(memory_server):
    assert os.stat(memory_server[0]).st_mode & 0o777 == 0o600


def test_a_taken_tcp_port_is_refused(exports, memory_server):
    second = NbdServer(exports)
    with pytest.raises(SocketUnavailable, match=str(memory_server[1])):
        second.listen_tcp(TcpAddress("127.0.0.1", memory_server[1]))
    second.close()


def test_listening_beyond_loopback_is_warned_of(exports, caplog):
    server = NbdServer(exports)
    server.listen_tcp(TcpAddress("127.0.0.2", 0))
    assert "no TLS" not in caplog.text
    server.listen_tcp(TcpAddress("0.0.0.0", 0))
    assert "no TLS" in caplog.text
    server.close()


@pytest.mark.parametrize("host", ["::ffff:1.2.3.4.5", "203.0.113.1"])
def test_an_address_that_is_not_ours_is_refused(exports, host):
    server = NbdServer(exports)
    with pytest.raises(SocketUnavailable):
        server.listen_tcp(TcpAddress(host, 0))
    server.close()
