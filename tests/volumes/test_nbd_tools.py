"""Other people's NBD clients against volumes of a store."""

from __future__ import annotations

import json
import random
import subprocess
import threading

import pytest
from nbd_client import NbdClient

from volumes.nbd import wire

pytestmark = pytest.mark.interop

SIZE = 16 * 2**20


@pytest.fixture
def disk(volume_server, catalog):
    """The address of an empty volume."""
    catalog.create("disk", SIZE)
    return volume_server.uri("disk")


def run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, f"{command}: {done.stdout} {done.stderr}"
    return done.stdout


def qemu_io(path: str, uri: str, *commands: str) -> str:
    arguments = [word for command in commands for word in ("-c", command)]
    output = run(path, "-f", "raw", *arguments, uri)
    assert "failed" not in output.lower(), output
    return output


def write_image(path, seed: int = 1) -> bytes:
    """A sparse-ish image: data, zeros, data, an end that is not a whole block."""
    rng = random.Random(seed)
    content = bytearray(SIZE)
    for offset, length in ((0, 300_000), (5 * 2**20 + 512, 2**20), (SIZE - 70_000, 70_000)):
        content[offset : offset + length] = rng.randbytes(length)
    path.write_bytes(content)
    return bytes(content)


def test_qemu_img_info_and_map(tool, disk):
    qemu_img = tool("qemu-img")
    info = json.loads(run(qemu_img, "info", "--output=json", disk))
    assert info["virtual-size"] == SIZE
    qemu_io(tool("qemu-io"), disk, "write -P 7 1M 64k")
    extents = json.loads(run(qemu_img, "map", "--output=json", disk))
    assert [(e["start"], e["length"], e["data"]) for e in extents] == [
        (0, 2**20, False),
        (2**20, 2**16, True),
        (2**20 + 2**16, SIZE - 2**20 - 2**16, False),
    ]


def test_qemu_img_convert_there_and_back(tool, disk, tmp_path, catalog):
    qemu_img = tool("qemu-img")
    image = tmp_path / "image.raw"
    content = write_image(image)
    run(qemu_img, "convert", "-n", "-f", "raw", "-O", "raw", str(image), disk)
    run(qemu_img, "compare", "-f", "raw", "-F", "raw", str(image), disk)
    qcow2 = str(tmp_path / "back.qcow2")
    run(qemu_img, "convert", "-f", "raw", "-O", "qcow2", disk, qcow2)
    back = tmp_path / "back.raw"
    run(qemu_img, "convert", "-f", "qcow2", "-O", "raw", qcow2, str(back))
    assert back.read_bytes() == content


def test_qemu_io_patterns(tool, disk):
    qemu_io(
        tool("qemu-io"),
        disk,
        "write -P 1 0 4M",
        "write -z 1M 1M",
        "write -z -u 2M 512k",
        "discard 3M 64k",
        "write -f -P 2 12345 6789",
        "flush",
        "read -P 1 0 12345",
        "read -P 2 12345 6789",
        "read -P 1 19134 1029442",
        "read -P 0 1M 1M",
        "read -P 0 2M 512k",
        "read -P 0 3M 64k",
        "read -P 1 3211264 64k",
        "read -P 0 4M 12M",
        "aio_write -P 3 5M 64k",
        "aio_write -P 4 6M 64k",
        "aio_flush",
        "read -P 3 5M 64k",
        "read -P 4 6M 64k",
    )


def test_nbdinfo_tells_what_the_server_offers(tool, disk, volume_server, catalog):
    nbdinfo = tool("nbdinfo")
    catalog.create("second", 2**20)
    # Its guess at the content needs file(1), and is not JSON without.
    (export,) = json.loads(run(nbdinfo, "--json", "--no-content", disk))["exports"]
    for ability in ("can_multi_conn", "can_trim", "can_zero", "can_fast_zero", "can_df"):
        assert export[ability] is True
    for ability in ("can_flush", "can_fua", "can_cache"):
        assert export[ability] is True
    assert export["export-size"] == SIZE
    assert export["contexts"] == ["base:allocation"]
    assert export["block_size_maximum"] == wire.PAYLOAD_SIZE_MAX
    listing = run(nbdinfo, "--json", "--no-content", "--list", volume_server.uri(""))
    listed = json.loads(listing)["exports"]
    assert [(entry["export-name"], entry["export-size"]) for entry in listed] == [
        ("disk", SIZE),
        ("second", 2**20),
    ]


def test_nbdinfo_map(tool, disk):
    qemu_io(tool("qemu-io"), disk, "write -P 7 64k 64k")
    extents = json.loads(run(tool("nbdinfo"), "--json", "--map", disk))
    assert [(e["offset"], e["length"], e["type"]) for e in extents] == [
        (0, 65536, 3),
        (65536, 65536, 0),
        (131072, SIZE - 131072, 3),
    ]


def test_qemu_nbd_lists_the_exports(tool, disk, volume_server):
    output = run(tool("qemu-nbd"), "--list", "-k", volume_server.socket)
    assert "disk" in output
    assert "base:allocation" in output


def test_nbdcopy_there_and_back(tool, disk, tmp_path):
    nbdcopy = tool("nbdcopy")
    image, back = tmp_path / "image.raw", tmp_path / "back.raw"
    content = write_image(image, seed=2)
    run(nbdcopy, "--flush", str(image), disk)
    run(nbdcopy, disk, str(back))
    assert back.read_bytes() == content


def test_fio_verifies_what_it_wrote(tool, disk):
    output = run(
        *(
            tool("fio"),
            "--name=verify",
            "--ioengine=nbd",
            "--verify_state_save=0",
            f"--uri={disk}",
            "--rw=randwrite",
        ),
        *("--bsrange=512-128k", "--blockalign=512", "--iodepth=16", f"--size={SIZE}"),
        *("--verify=crc32c", "--do_verify=1", "--verify_fatal=1", "--output-format=json"),
    )
    (job,) = json.loads(output[output.index("{") :])["jobs"]
    assert job["error"] == 0
    assert job["read"]["total_ios"] > 0


def test_fio_reads_and_writes_with_flushes(tool, disk):
    output = run(
        *(
            tool("fio"),
            "--name=mix",
            "--ioengine=nbd",
            "--verify_state_save=0",
            f"--uri={disk}",
            "--rw=randrw",
        ),
        *("--bs=4k", "--iodepth=8", f"--size={SIZE // 4}", "--fsync=16"),
        *("--verify=crc32c", "--output-format=json"),
    )
    (job,) = json.loads(output[output.index("{") :])["jobs"]
    assert job["error"] == 0


def test_fio_trims(tool, disk):
    output = run(
        *(
            tool("fio"),
            "--name=trim",
            "--ioengine=nbd",
            "--verify_state_save=0",
            f"--uri={disk}",
            "--rw=randtrim",
        ),
        *("--bs=16k", "--iodepth=8", f"--size={SIZE // 4}", "--output-format=json"),
    )
    (job,) = json.loads(output[output.index("{") :])["jobs"]
    assert job["error"] == 0
    assert job["trim"]["total_ios"] > 0


def test_many_connections_of_one_copy_keep_coherent(tool, disk, tmp_path, volume_server):
    """Multi-conn: written over four connections, flushed on one, read on another."""
    image = tmp_path / "image.raw"
    content = write_image(image, seed=3)
    run(tool("nbdcopy"), "--connections=4", "--requests=8", str(image), disk)
    with NbdClient(volume_server.socket) as client:
        client.attach("disk")
        assert client.flush().errno == 0
        assert client.read(0, SIZE) == content


def test_qemu_outlives_a_kill_of_the_server(tool, volume_server, catalog):
    """A guest's QEMU reconnects by itself: it sees a pause, and what it had flushed."""
    catalog.create("disk", SIZE)
    server = {"type": "unix", "path": volume_server.socket}
    nbd = {"driver": "nbd", "server": server, "export": "disk", "reconnect-delay": 30}
    image = {"driver": "raw", "file": nbd}
    qemu = subprocess.Popen(
        # Line by line, though it is no terminal.
        [tool("stdbuf"), "-oL", tool("qemu-io"), "json:" + json.dumps(image)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    watchdog = threading.Timer(30, qemu.kill)
    watchdog.start()
    with qemu:
        # One command at a time: it does not look again for what came together.
        say(qemu, "write -f -P 1 0 64k", "wrote 65536")
        say(qemu, "write -f -P 2 1M 64k", "wrote 65536")
        say(qemu, "read -P 2 1M 64k", "read 65536")
        volume_server.kill()
        volume_server.start()
        say(qemu, "read -P 1 0 64k", "read 65536")
        say(qemu, "read -P 2 1M 64k", "read 65536")
        say(qemu, "write -f -P 3 2M 64k", "wrote 65536")
        say(qemu, "read -P 3 2M 64k", "read 65536")
        rest, _ = qemu.communicate("quit\n", timeout=30)
    watchdog.cancel()
    assert qemu.returncode == 0
    assert "failed" not in rest.lower()


def say(qemu: subprocess.Popen, command: str, expected: str) -> None:
    """Give qemu-io a command and wait for the line that says it was done."""
    qemu.stdin.write(command + "\n")
    qemu.stdin.flush()
    for line in qemu.stdout:
        assert "failed" not in line.lower(), line
        if expected in line:
            return
    raise AssertionError(f"qemu-io ended before {expected!r}")


def test_a_size_that_is_no_whole_page(tool, volume_server, catalog, tmp_path):
    size = 2**20 + 3 * 512
    catalog.create("odd", size)
    uri = volume_server.uri("odd")
    image = tmp_path / "odd.raw"
    image.write_bytes(random.Random(6).randbytes(size))
    run(tool("qemu-img"), "convert", "-n", "-f", "raw", "-O", "raw", str(image), uri)
    run(tool("qemu-img"), "compare", "-f", "raw", "-F", "raw", str(image), uri)
    qemu_io(tool("qemu-io"), uri, "write -z 1M 1536", "read -P 0 1M 1536", "discard 0 1049088")
    extents = json.loads(run(tool("nbdinfo"), "--json", "--map", uri))
    assert [(e["offset"], e["length"], e["type"]) for e in extents] == [(0, size, 3)]
