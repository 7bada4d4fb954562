"""An installation whose store lies on a read-only medium: reading works, writing says why not."""

from __future__ import annotations

import os
import subprocess

import pytest
from operator_session import bare_operator, operator

__all__ = ["bare_operator", "operator"]

CONTENT = bytes(range(256)) * 1000


@pytest.fixture
def mounted(operator, tmp_path):
    """The store holds a sealed volume with a snapshot, and one with a live layer."""
    (tmp_path / "in").write_bytes(CONTENT)
    operator.ok("volume", "import", "v", str(tmp_path / "in"))
    operator.ok("snapshot", "create", "v@s")
    operator.ok("volume", "create", "empty", "--size", "1M")
    path = str(operator.data / "store")
    bind = ["mount", "--bind", path, path]
    if os.getuid() != 0 or subprocess.run(bind, capture_output=True).returncode:
        pytest.skip("a read-only mount needs root, and a kernel that lets it")
    try:
        subprocess.run(["mount", "-o", "remount,ro,bind", path], check=True)
        yield operator
    finally:
        subprocess.run(["umount", path], check=True)


def test_what_is_at_rest_can_be_read(mounted, tmp_path):
    listed = mounted.ok("volume", "list", "--json").json
    assert [volume["name"] for volume in listed] == ["empty", "v"]
    assert mounted.ok("volume", "info", "v", "--json").json["usage"]["mapped"] > 0
    assert [s["name"] for s in mounted.ok("snapshot", "list", "--json").json] == ["s"]
    assert mounted.ok("info", "--json").json["volume_count"] == 2
    target = tmp_path / "out"
    mounted.ok("volume", "export", "v@s", str(target))
    assert target.read_bytes()[: len(CONTENT)] == CONTENT


def test_a_volume_that_somebody_might_be_writing_is_not_read(mounted, tmp_path):
    """Only a lease rules that out, and there can be none here."""
    assert "read-only" in mounted.refused(5, "volume", "export", "v", str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "command",
    [
        ("volume", "create", "new", "--size", "1M"),
        ("volume", "create", "new", "--from", "v@s"),
        ("volume", "rename", "v", "w"),
        ("volume", "resize", "v", "2M"),
        ("volume", "delete", "empty"),
        ("snapshot", "create", "v@t"),
        ("snapshot", "rollback", "v@s"),
        ("snapshot", "delete", "v@s"),
        ("rebuild-index",),
        ("nbd",),
    ],
    ids=" ".join,
)
def test_nothing_can_be_written(mounted, command):
    line = mounted.refused(5, *command)
    assert "read-only" in line
