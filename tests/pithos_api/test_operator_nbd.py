"""archipelago nbd: the volume server alone, as a process, to the tools of other people."""

from __future__ import annotations

import json
import re
import select
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

COMMAND = [sys.executable, "-m", "pithos_api.operator.main"]
DEADLINE_S = 60
TIB = 2**40

pytestmark = pytest.mark.skipif(
    not (shutil.which("qemu-io") and shutil.which("nbdinfo")), reason="qemu-io, nbdinfo are absent"
)


def run(*words: object, code: int = 0) -> str:
    done = subprocess.run(
        [str(word) for word in words],
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture
def data(tmp_path: Path) -> Path:
    run(*COMMAND, "init", "--data", tmp_path / "data")
    run(*COMMAND, "volume", "create", "disk", "--size", "64M", "--data", tmp_path / "data")
    return tmp_path / "data"


@pytest.fixture
def tcp_port(data: Path) -> Iterator[int]:
    """Of a running server; it must end in order."""
    with subprocess.Popen(
        [*COMMAND, "nbd", "--nbd-listen", "127.0.0.1:0", "--data", data],
        stderr=subprocess.PIPE,
        text=True,
        bufsize=1,
    ) as process:
        assert process.stderr is not None
        try:
            yield _port_told(process)
        finally:
            process.terminate()
            process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 0


def _port_told(process: subprocess.Popen[str]) -> int:
    assert process.stderr is not None
    while select.select([process.stderr], [], [], DEADLINE_S)[0]:
        line = process.stderr.readline()
        assert line, "it ended before it was ready"
        if found := re.search(r"ready .*tcp:127\.0\.0\.1:(\d+)", line):
            return int(found[1])
    raise AssertionError("it does not get ready")


def test_both_sockets_serve_the_volumes(data: Path, tcp_port: int) -> None:
    unix = f"nbd+unix:///disk?socket={data}/run/nbd.sock"
    tcp = f"nbd://127.0.0.1:{tcp_port}/disk"
    run("qemu-io", "-f", "raw", "-c", "write -P 5 1M 64k", "-c", "flush", unix)
    assert "read 65536" in run("qemu-io", "-f", "raw", "-c", "read -P 5 1M 64k", tcp)
    # Its guess at the content needs file(1), and is not JSON without.
    (shown,) = json.loads(run("nbdinfo", "--json", "--no-content", tcp))["exports"]
    assert (shown["export-size"], shown["is_read_only"]) == (64 * 2**20, False)
    assert shown["can_multi_conn"]
    assert shown["can_cache"]
    assert shown["block_size_minimum"] >= 1
    assert "base:allocation" in shown["contexts"]
    run("nbdinfo", f"nbd://127.0.0.1:{tcp_port}/absent", code=1)


def test_a_volume_larger_than_any_disk(data: Path, tcp_port: int) -> None:
    run(*COMMAND, "volume", "create", "huge", "--size", "64T", "--data", data)
    uri = f"nbd+unix:///huge?socket={data}/run/nbd.sock"
    end = 64 * TIB - 65536
    assert shutil.disk_usage(data).total < 64 * TIB
    command = ["qemu-io", "-f", "raw"]
    run(*command, "-c", f"write -P 9 {end} 64k", "-c", f"write -P 8 {32 * TIB} 512", uri)
    run(*command, "-c", f"read -P 9 {end} 64k", "-c", f"read -P 8 {32 * TIB} 512", uri)
    assert "read 4096" in run(*command, "-c", f"read -P 0 {TIB} 4096", uri)
    kept = run("du", "-sB1", data / "store").split()[0]
    assert int(kept) < 2**28
    run(*COMMAND, "volume", "create", "over", "--size", "65T", "--data", data, code=2)


def test_an_attached_volume_is_not_resized_to_what_cannot_be(data: Path, tcp_port: int) -> None:
    with subprocess.Popen(
        ["qemu-io", "-f", "raw", f"nbd://127.0.0.1:{tcp_port}/disk"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as user:
        assert user.stdin is not None
        assert user.stdout is not None
        user.stdin.write("write -P 1 0 512\n")
        user.stdin.flush()
        assert "wrote 512" in user.stdout.readline()
        for size in ("0", "513", "65T", "+64T", "-1M"):
            told = run(*COMMAND, "volume", "resize", "--data", data, "disk", size, code=2)
            assert len(told.splitlines()) == 1
        user.communicate("quit\n", timeout=DEADLINE_S)
    shown = run(*COMMAND, "volume", "info", "disk", "--json", "--data", data)
    assert json.loads(shown)["info"]["size"] == 64 * 2**20
