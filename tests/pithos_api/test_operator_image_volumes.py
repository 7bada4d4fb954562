"""From a user's upload to volumes of the operator's: all of them stand on the same blocks."""

from __future__ import annotations

import json
import random
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from test_operator_serve import Serving, run

from blockstore import BlockStats, open_store

KAMAKI = [sys.executable, "-m", "clients.cli.main"]
BLOCK_SIZE = 64 * 2**10
BLOCK_COUNT = 9
HOLE = bytes(20 * BLOCK_SIZE)
SOURCE = random.Random(1)
CONTENT = SOURCE.randbytes(6 * BLOCK_SIZE) + HOLE + SOURCE.randbytes(3 * BLOCK_SIZE)

Kamaki = Callable[..., str]


@pytest.fixture
def serving(tmp_path: Path) -> Iterator[Serving]:
    made = Serving(tmp_path / "data", "--init")
    yield made
    made.close()


@pytest.fixture
def kamaki(serving: Serving, tmp_path: Path) -> Kamaki:
    """Run as the user whose credentials `serve` wrote down."""
    lines = Path(serving.state["credentials"]).read_text().splitlines()
    words = [shlex.split(line) for line in lines if line.startswith("export ")]
    variables = dict(word[1].split("=", 1) for word in words)

    def call(*arguments: str) -> str:
        done = subprocess.run(
            [*KAMAKI, *arguments],
            env={**variables, "HOME": str(tmp_path), "KAMAKI_STATE_DIR": str(tmp_path / "state")},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return call


def block_stats(serving: Serving) -> BlockStats:
    store = open_store(f"files:{serving.data}/store", read_only=True)
    try:
        assert store.info.block_size == BLOCK_SIZE
        return store.blocks.stats()
    finally:
        store.close()


def usage(serving: Serving, volume: str) -> dict[str, Any]:
    return json.loads(run(serving.data, "volume", "info", volume, "--json").stdout)["usage"]


def test_volumes_of_an_image_share_its_blocks(
    serving: Serving, kamaki: Kamaki, tmp_path: Path
) -> None:
    disk = tmp_path / "disk.img"
    disk.write_bytes(CONTENT)
    kamaki("container", "create", "images")
    kamaki("file", "upload", str(disk), "images/disk")
    kamaki("image", "register", "debian", "images/disk")
    before = block_stats(serving)
    assert before.count - before.map_count == BLOCK_COUNT
    for name, size in (("web", len(CONTENT)), ("large", 2**30)):
        run(serving.data, "volume", "create", name, "--image", "debian", f"--size={size}")
        # The first has nobody to share with but the object and the image.
        found = usage(serving, name)
        assert found["virtual"] == size
        assert found["mapped"] == BLOCK_COUNT * BLOCK_SIZE
        assert found["shared"] == found["stored"] == found["mapped"]
        assert found["own"] == 0
        assert block_stats(serving) == before
    run(serving.data, "volume", "export", "web", str(tmp_path / "back"))
    assert (tmp_path / "back").read_bytes() == CONTENT
