"""The volume server as a process: exports, operations on attached volumes, ends good and bad."""

from __future__ import annotations

import os
import random
import subprocess
import sys

import pytest
from nbd_client import NbdClient
from small_disks import MIB, mounted_small_disk
from volume_server import VolumeServer

from archipelago import (
    Catalog,
    InvalidArgument,
    NameTaken,
    VolumeBusy,
    VolumeNotFound,
)
from blockstore import StoreOptions, create_store, open_store
from volumes.control import ControlClient, Operations, ServerUnreachable
from volumes.nbd import wire
from volumes.nbd.wire import Command, Errno

SIZE = 4 * 2**20


@pytest.fixture
def disk(catalog):
    return catalog.create("disk", SIZE)


@pytest.fixture
def operations(catalog, volume_server):
    return Operations(catalog, volume_server.control)


@pytest.fixture
def client(volume_server, disk):
    with NbdClient(volume_server.socket) as opened:
        opened.attach("disk", status=True)
        yield opened


def read_all(server: VolumeServer, export: str) -> bytes:
    with NbdClient(server.socket) as client:
        size, _ = client.attach(export)
        content = client.read(0, size)
        client.disconnect()
    return content


def refusal(server: VolumeServer, export: str) -> tuple[int, str]:
    """The error reply to an attempt to attach."""
    with NbdClient(server.socket) as client:
        reply = client.go(export)[-1]
    return reply.kind, reply.data.decode()


def test_what_one_client_wrote_the_next_reads(client, volume_server, catalog):
    client.write(1000, b"hello" * 1000)
    client.disconnect()
    assert read_all(volume_server, "disk")[1000:6000] == b"hello" * 1000
    with catalog.open("disk") as volume:
        assert volume.read(1000, 5) == b"hello"


def test_several_exports_at_once(client, volume_server, catalog):
    catalog.create("диск-東京", 2**20)
    with NbdClient(volume_server.socket) as other:
        assert other.attach("диск-東京")[0] == 2**20
        other.write(0, b"theirs")
        client.write(0, b"ours..")
        assert other.read(0, 6) == b"theirs"
        assert client.read(0, 6) == b"ours.."


@pytest.mark.parametrize("name", ["absent", "disk@absent", "", "-x", "a/b", "n" * 4096, "disk@"])
def test_unknown_exports(volume_server, disk, name):
    kind, text = refusal(volume_server, name)
    assert kind == wire.Reply.ERR_UNKNOWN
    assert text


def test_an_export_name_too_long(volume_server):
    assert refusal(volume_server, "n" * 4097)[0] == wire.Reply.ERR_INVALID


@pytest.mark.parametrize("name", ["a\nERROR all is lost", "a\x1b[2J", "x\u2028y"])
def test_a_name_cannot_forge_log_lines(volume_server, disk, name):
    with NbdClient(volume_server.socket) as client:
        client.send(wire.pack_option(wire.Option.EXPORT_NAME, name.encode()))
        assert client.hung_up()
    assert refusal(volume_server, name)[0] == wire.Reply.ERR_UNKNOWN
    assert "EXPORT_NAME" in volume_server.log
    for line in volume_server.log.splitlines():
        assert line.startswith("20")
        assert line.isprintable()


def test_a_snapshot_export_is_read_only_and_does_not_change(client, volume_server, operations):
    client.write(0, b"before")
    operations.snapshot("disk@one")
    client.write(0, b"after.")
    with NbdClient(volume_server.socket) as reader:
        size, flags = reader.attach("disk@one")
        assert size == SIZE
        assert flags & wire.EXPORT_READ_ONLY
        assert reader.write(0, b"x").errno == Errno.EPERM
        assert reader.read(0, 6) == b"before"
    assert client.read(0, 6) == b"after."


def test_snapshots_are_sealed_in_the_background(client, volume_server, operations, catalog):
    content = random.Random(4).randbytes(2**20)
    client.write(0, content)
    operations.snapshot("disk@one")
    with ControlClient(volume_server.control) as control:
        control.seal("disk@one")
    assert catalog.info("disk@one").frozen == 0
    assert client.read(0, 2**20) == content
    assert read_all(volume_server, "disk@one")[: 2**20] == content


def test_clones_of_attached_volumes_are_independent(client, volume_server, operations):
    client.write(0, b"shared")
    info = operations.clone("disk", "copy", 2 * SIZE)
    assert info.size == 2 * SIZE
    client.write(0, b"mine..")
    assert read_all(volume_server, "copy")[:6] == b"shared"
    with NbdClient(volume_server.socket) as other:
        other.attach("copy")
        other.write(0, b"theirs")
    assert client.read(0, 6) == b"mine.."


def test_an_attached_volume_grows(client, operations):
    assert operations.resize("disk", 2 * SIZE).size == 2 * SIZE
    assert client.write(SIZE, b"beyond").errno == 0
    assert client.read(SIZE, 6) == b"beyond"


def test_an_attached_volume_does_not_shrink(client, operations):
    with pytest.raises(VolumeBusy, match="attached"):
        operations.resize("disk", SIZE // 2, shrink=True)
    assert operations.resize("disk", SIZE).size == SIZE


def test_operations_on_volumes_that_are_not_attached(operations, volume_server, disk, catalog):
    assert operations.snapshot("disk@one").full_name == "disk@one"
    assert operations.clone("disk@one", "copy").name == "copy"
    assert operations.resize("copy", 2 * SIZE).size == 2 * SIZE
    # The server can do the same by itself.
    with ControlClient(volume_server.control) as control:
        control.snapshot("disk@two")
        control.clone("disk@two", "copy2")
        control.resize("copy2", SIZE // 2, shrink=True)
    assert catalog.info("copy2").size == SIZE // 2


def test_what_is_attached_is_not_deleted(client, operations, volume_server, catalog):
    operations.snapshot("disk@one")
    with pytest.raises(VolumeBusy, match="disk is attached"):
        operations.delete("disk", with_snapshots=True)
    client.disconnect()
    with NbdClient(volume_server.socket) as reader:
        reader.attach("disk@one")
        with pytest.raises(VolumeBusy, match="disk@one is attached"):
            operations.delete("disk@one")
        with pytest.raises(VolumeBusy, match="disk@one is attached"):
            operations.delete("disk", with_snapshots=True)
        assert reader.read(0, 512) == bytes(512)
        reader.disconnect()
    operations.delete("disk@one")
    Operations(catalog, "/nonexistent/socket").delete("disk")
    assert catalog.list() == []


def test_errors_come_back_over_the_control_socket(client, operations, volume_server):
    operations.snapshot("disk@one")
    with pytest.raises(NameTaken):
        operations.snapshot("disk@one")
    with pytest.raises(VolumeNotFound):
        operations.snapshot("absent@one")
    with pytest.raises(InvalidArgument):
        operations.resize("disk", SIZE + 1)
    with ControlClient(volume_server.control) as control:
        with pytest.raises(InvalidArgument, match="SNAPSHOT"):
            control.snapshot("disk")
        with pytest.raises(InvalidArgument):
            control.snapshot("disk@a/b")
        with pytest.raises(VolumeNotFound):
            control.seal("absent")
        assert control.detach("absent") == 0


def test_a_volume_that_another_process_has_open(volume_server, disk, catalog, operations):
    with catalog.open("disk", holder="the backup job"):
        kind, text = refusal(volume_server, "disk")
        assert kind == wire.Reply.ERR_POLICY
        assert "in use by the backup job" in text
        with pytest.raises(VolumeBusy, match="the backup job"):
            operations.snapshot("disk@one")
    assert read_all(volume_server, "disk") == bytes(SIZE)


def test_without_a_server_a_busy_volume_is_told_so(client, catalog, tmp_path):
    lonely = Operations(catalog, str(tmp_path / "nobody"))
    with pytest.raises(VolumeBusy, match=r"in use by .*no volume server answers"):
        lonely.snapshot("disk@one")
    with pytest.raises(ServerUnreachable):
        lonely.detach("disk")


def test_two_servers_do_not_share_a_volume(client, volume_server, store_url, tmp_path):
    second = VolumeServer(store_url, tmp_path, "second").start()
    try:
        kind, text = refusal(second, "disk")
        assert kind == wire.Reply.ERR_POLICY
        assert "in use by" in text
        client.write(0, b"passed on")
        client.disconnect()
        assert read_all(second, "disk")[:9] == b"passed on"
    finally:
        assert second.stop() == 0


def test_a_second_server_on_the_same_sockets_does_not_start(volume_server, store_url):
    done = subprocess.run(
        [
            *(sys.executable, "-m", "volumes", "--store", store_url),
            *("--control", volume_server.control, "--socket", volume_server.socket),
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert "already running" in done.stderr


def test_a_store_that_is_not_there(tmp_path):
    done = subprocess.run(
        [
            *(sys.executable, "-m", "volumes", "--store", f"files:{tmp_path / 'absent'}"),
            *("--control", str(tmp_path / "c")),
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert "absent" in done.stderr
    assert "Traceback" not in done.stderr


def test_exports_ping_and_detach(client, volume_server):
    with ControlClient(volume_server.control) as control:
        pong = control.ping()
        assert pong.process_id == volume_server.process.pid
        assert pong.store_url == volume_server.store_url
        (entry,) = control.exports()
        assert (entry.name, entry.size, entry.read_only) == ("disk", SIZE, False)
        assert entry.peers == [f"process {os.getpid()}"]
        client.write(0, b"kept")
        assert control.detach("disk") == 1
        assert control.exports() == []
    assert client.hung_up()
    assert read_all(volume_server, "disk")[:4] == b"kept"


@pytest.mark.parametrize("line", [b"hello\n", b"{}\n", b'{"version":9,"operation":"ping"}\n'])
def test_nonsense_on_the_control_socket_is_answered(volume_server, line):
    with ControlClient(volume_server.control) as control:
        control._socket.sendall(line)
        assert b"error" in control._reader.readline()
        assert control.ping()


def test_an_endless_line_on_the_control_socket_is_cut_off(volume_server):
    with ControlClient(volume_server.control) as control:
        try:
            control._socket.sendall(b"x" * (2 * 2**20))
        except BrokenPipeError:
            return
        assert control._reader.readline() in (b"",)
    with ControlClient(volume_server.control) as control:
        assert control.ping()


def test_shutdown_over_the_control_socket(client, volume_server, catalog):
    client.write(0, b"last words")
    with ControlClient(volume_server.control) as control:
        control.shutdown()
    assert client.hung_up()
    assert volume_server._reap() == 0
    assert not os.path.exists(volume_server.socket)
    with catalog.open("disk") as volume:
        assert volume.read(0, 10) == b"last words"


def test_sigterm_flushes_and_releases(client, volume_server, catalog):
    client.write(0, b"last words")
    assert volume_server.stop() == 0
    with catalog.open("disk") as volume:
        assert volume.read(0, 10) == b"last words"


def test_tcp_is_offered_on_request(store_url, tmp_path, disk):
    server = VolumeServer(store_url, tmp_path).start("--tcp", "127.0.0.1:0")
    try:
        (place,) = [word for word in server.ready.split() if word.startswith("tcp:")]
        with NbdClient(("127.0.0.1", int(place.rpartition(":")[2]))) as client:
            assert client.attach("disk")[0] == SIZE
            client.disconnect()
    finally:
        assert server.stop() == 0


def test_kill_9_loses_no_flushed_byte(store_url, tmp_path, disk):
    seed = random.randrange(2**32)
    print(f"seed {seed}")  # noqa: T201
    rng = random.Random(seed)
    server = VolumeServer(store_url, tmp_path)
    flushed = bytearray(SIZE)
    for _ in range(3):
        server.start()
        touched = set()
        with NbdClient(server.socket) as client:
            client.attach("disk")
            for step in range(60):
                offset = rng.randrange(SIZE - 20_000)
                data = rng.randbytes(rng.choice([1, 512, 4096, 20_000]))
                flags = wire.COMMAND_FUA if step % 7 == 0 else 0
                assert client.write(offset, data, flags).errno == 0
                flushed[offset : offset + len(data)] = data
            assert client.flush().errno == 0
            for _ in range(20):  # not flushed: may be there or not
                page = rng.randrange(SIZE // 4096)
                client.start(Command.WRITE, page * 4096, 4096, payload=rng.randbytes(4096))
                touched.add(page)
            server.kill()
        server.start()
        found = read_all(server, "disk")
        for page in range(SIZE // 4096):
            span = slice(page * 4096, page * 4096 + 4096)
            if page not in touched:
                assert found[span] == flushed[span], f"seed {seed}, page {page}"
        flushed = bytearray(found)
        assert server.stop() == 0


@pytest.fixture
def small_disk(tmp_path):
    with mounted_small_disk(tmp_path / "small", 24 * MIB) as disk:
        yield disk.path


def test_a_full_disk_is_told_and_survived(small_disk, tmp_path):
    url = f"files:{small_disk / 'store'}"
    ballast = small_disk / "ballast"
    create_store(url, StoreOptions(block_size=2**16))
    ballast.write_bytes(bytes(8 * 2**20))
    store = open_store(url)
    Catalog(store).create("disk", 64 * 2**20)
    store.close()
    server = VolumeServer(url, tmp_path).start()
    piece = random.Random(5).randbytes(2**20)
    try:
        with NbdClient(server.socket) as client:
            client.attach("disk")
            written = 0
            while (answer := client.write(written, piece)).errno == 0:
                written += 2**20
                assert written < 24 * 2**20, "the file system never got full"
            assert answer.errno == Errno.ENOSPC
            assert answer.message
            assert client.read(0, 2**20) == piece
            assert "ENOSPC" in server.log
            ballast.unlink()
            assert client.write(written, piece).errno == 0
            assert client.flush().errno == 0
            for offset in range(0, written + 2**20, 2**20):
                assert client.read(offset, 2**20) == piece
            client.disconnect()
    finally:
        status = server.stop()
    assert status == 0, server.log
