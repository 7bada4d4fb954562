"""The operator's command on a data directory whose disk is full."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from operator_session import Operator
from small_disks import MIB, SmallDisk, mounted_small_disk

STORAGE = 5
ADVICE = "free space on the medium"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[SmallDisk]:
    with mounted_small_disk(tmp_path / "disk", 24 * MIB) as disk:
        yield disk


def test_commands_on_a_full_disk(
    small_disk: SmallDisk, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("ARCHIPELAGO_DATA", "ARCHIPELAGO_CONFIG", "ARCHIPELAGO_PORT"):
        monkeypatch.delenv(name, raising=False)
    operator = Operator(small_disk.path / "data", capfd)
    operator.ok("init")
    operator.ok("volume", "create", "kept", "--size", "1M")
    small_disk.fill()
    assert [v["name"] for v in operator.ok("volume", "list", "--json").json] == ["kept"]
    for command in (("image", "list"), ("info",), ("serve", "--port", "0"), ("api", "--port", "0")):
        line = operator.refused(STORAGE, *command)
        assert "no room" in line
        assert ADVICE in line
    small_disk.empty()
    assert operator.ok("image", "list", "--json").json == []
    assert operator.ok("volume", "info", "kept").out
