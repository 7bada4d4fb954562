"""rclone's Swift backend against our server, over both ways to log in."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from swift_server import SwiftServer

pytest_plugins = ("swift_server",)

pytestmark = [
    pytest.mark.interop,
    pytest.mark.skipif(shutil.which("rclone") is None, reason="rclone is not installed"),
]

CONFIG = """
[v1]
type = swift
user = alice
key = alice's secret
auth = {server.v1}

[v3]
type = swift
user = alice
key = alice's secret
auth = {server.v3}
auth_version = 3
domain = Default
tenant = alice
tenant_domain = Default
"""
BIG = random.Random(4).randbytes(3_000_000)

Rclone = Callable[..., str]


@pytest.fixture
def rclone(swift_server: SwiftServer, tmp_path: Path) -> Rclone:
    config = tmp_path / "rclone.conf"
    config.write_text(CONFIG.format(server=swift_server))

    def run(*arguments: str | Path, data: bytes = b"") -> str:
        command = ["rclone", "--config", config, "--retries", "1", *arguments]
        done = subprocess.run(command, input=data, capture_output=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout.decode()

    return run


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    (folder / "deep" / "ünder").mkdir(parents=True)
    (folder / "big").write_bytes(BIG)
    (folder / "empty").write_bytes(b"")
    (folder / "deep" / "ünder" / "ä b.txt").write_text("small\n")
    return folder


@pytest.mark.parametrize("remote", ["v1:box", "v3:box"])
def test_round_trip(rclone: Rclone, source: Path, tmp_path: Path, remote: str) -> None:
    rclone("copy", source, remote)
    rclone("check", source, remote)
    rclone("check", "--download", source, remote)
    assert rclone("cat", f"{remote}/deep/ünder/ä b.txt") == "small\n"
    listed = json.loads(rclone("lsjson", "-R", "--files-only", "--hash", remote))
    assert {item["Path"]: item["Size"] for item in listed} == {
        "big": len(BIG),
        "empty": 0,
        "deep/ünder/ä b.txt": 6,
    }
    assert all(item["Hashes"]["md5"] for item in listed)
    rclone("copy", remote, tmp_path / "back")
    assert (tmp_path / "back" / "big").read_bytes() == BIG
    rclone("purge", remote)
    assert "box" not in rclone("lsf", remote.partition(":")[0] + ":")


def test_sync_follows_changes(rclone: Rclone, source: Path) -> None:
    rclone("sync", source, "v1:box")
    (source / "big").write_bytes(BIG[::-1])
    (source / "empty").unlink()
    (source / "new").write_text("new")
    rclone("sync", source, "v1:box")
    rclone("check", source, "v1:box")
    assert sorted(rclone("lsf", "v1:box").split()) == ["big", "deep/", "new"]
    rclone("purge", "v1:box")


def test_server_side_copy_and_move(rclone: Rclone, source: Path) -> None:
    rclone("copy", source / "big", "v1:box")
    rclone("rcat", "--swift-no-chunk", "v1:box/text", data=b"hello world")
    rclone("copyto", "v1:box/big", "v1:box/a/copy")
    rclone("moveto", "v1:box/big", "v1:box/b/moved")
    listed = json.loads(rclone("lsjson", "-R", "--files-only", "v1:box"))
    assert sorted(item["Path"] for item in listed) == ["a/copy", "b/moved", "text"]
    assert rclone("cat", "--offset", "6", "--count", "5", "v1:box/text") == "world"
    rclone("deletefile", "v1:box/a/copy")
    rclone("delete", "v1:box")
    assert rclone("size", "--json", "v1:box").strip().startswith('{"count":0')
    rclone("rmdir", "v1:box")


def test_upload_of_unknown_length(rclone: Rclone, tmp_path: Path) -> None:
    rclone("rcat", "v1:pipe/stream", data=BIG)
    rclone("copyto", "v1:pipe/stream", tmp_path / "got")
    assert (tmp_path / "got").read_bytes() == BIG
    rclone("purge", "v1:pipe")


def test_upload_in_segments(rclone: Rclone, source: Path, tmp_path: Path) -> None:
    rclone("copy", "--swift-chunk-size", "1M", source / "big", "v1:box")
    rclone("check", "--download", source, "v1:box", "--include", "/big")
    assert len(rclone("lsf", "-R", "--files-only", "v1:box_segments").split()) == 3
    rclone("purge", "v1:box")
    rclone("purge", "v1:box_segments")
