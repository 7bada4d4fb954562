"""Heads whose writer is killed: every answered update is there, and the log agrees."""

import itertools
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from blockstore.errors import StoreFull
from blockstore.files.heads import create_heads_log, open_heads, rebuild_heads
from blockstore.files.index import create_index, open_index
from blockstore.interface import HeadChange

STORE_ID = "5a" * 16
ROOT = Path(__file__).parents[2]

CHILD = """
import sys
from pathlib import Path
from blockstore.files import heads as heads_module
from blockstore.files.index import open_index
from blockstore.interface import HeadChange

heads_module.COMPACT_SIZE_MIN = 3000
index = open_index(Path(sys.argv[1]) / "index", sys.argv[2], read_only=False)
heads = heads_module.open_heads(index, Path(sys.argv[1]) / "heads.log")
number = int(sys.argv[3])
while True:
    number += 1
    changes = []
    for name in (f"n{number % 7}", "last"):
        head = heads.get(name)
        changes.append(HeadChange(name, head.version if head else 0, b"%d" % number * 20))
    heads.update(changes)
    print(number, flush=True)
"""


@pytest.mark.parametrize("seed", [21, 22])
def test_killed_at_random_points(tmp_path, seed):
    random_ = random.Random(seed)
    create_index(tmp_path / "index", STORE_ID)
    create_heads_log(tmp_path / "heads.log")
    answered = 0
    for life in range(4):
        command = [sys.executable, "-c", CHILD, str(tmp_path), STORE_ID, str(answered)]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, text=True) as child:
            for line in itertools.islice(child.stdout, random_.randint(1, 80)):
                answered = int(line)
            child.kill()
            for line in child.stdout:
                answered = int(line) if line.endswith("\n") else answered
        index = open_index(tmp_path / "index", STORE_ID, read_only=False)
        heads = open_heads(index, tmp_path / "heads.log")
        before = heads.list()
        last = heads.get("last").value
        assert last in (b"%d" % answered * 20, b"%d" % (answered + 1) * 20), f"life {life}"
        number = answered if last == b"%d" % answered * 20 else answered + 1
        assert heads.get(f"n{number % 7}").value == last
        heads.close()
        rebuild_heads(index, tmp_path / "heads.log")
        heads = open_heads(index, tmp_path / "heads.log")
        assert heads.list() == before
        answered = number
        heads.close()
        index.close()


COUNTING_CHILD = """
import sys
from pathlib import Path
from blockstore.errors import HeadConflict
from blockstore.files import heads as heads_module
from blockstore.files.index import open_index
from blockstore.interface import HeadChange

heads_module.COMPACT_SIZE_MIN = 3000
index = open_index(Path(sys.argv[1]) / "index", sys.argv[2], read_only=False)
heads = heads_module.open_heads(index, Path(sys.argv[1]) / "heads.log")
for step in range(40):
    while True:
        head = heads.get("counter")
        version, count = (head.version, int(head.value)) if head else (0, 0)
        try:
            heads.update([HeadChange("counter", version, b"%100d" % (count + 1))])
            break
        except HeadConflict:
            pass
"""


def test_processes_that_count_lose_nothing(tmp_path):
    create_index(tmp_path / "index", STORE_ID)
    command = [sys.executable, "-c", COUNTING_CHILD, str(tmp_path), STORE_ID]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    children = [subprocess.Popen(command, env=environment) for _ in range(3)]
    assert [child.wait(100) for child in children] == [0, 0, 0]
    index = open_index(tmp_path / "index", STORE_ID, read_only=False)
    heads = open_heads(index, tmp_path / "heads.log")
    assert int(heads.get("counter").value) == 120
    assert (tmp_path / "heads.log").stat().st_size < 6000
    before = heads.list()
    heads.close()
    assert rebuild_heads(index, tmp_path / "heads.log") == 1
    heads = open_heads(index, tmp_path / "heads.log")
    assert heads.list() == before
    heads.close()
    index.close()


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 2 MiB."""
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("mounting a small file system needs root and mount(8)")
    place = tmp_path / "small"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=2m", "none", str(place)]
    if subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("mount is not permitted here")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def test_full_disk(small_disk):
    create_index(small_disk / "index", STORE_ID)
    index = open_index(small_disk / "index", STORE_ID, read_only=False)
    heads = open_heads(index, small_disk / "heads.log")
    applied = {}
    for number in range(1000):
        name = f"n{number}"
        try:
            heads.update([HeadChange(name, 0, bytes([number % 255 + 1]) * 20_000)])
        except StoreFull:
            break
        applied[name] = bytes([number % 255 + 1]) * 20_000
    assert 10 < len(applied) < 1000
    with pytest.raises(StoreFull):
        heads.update([HeadChange("more", 0, b"x" * 100_000)])
    assert {head.name: head.value for head in heads.list()} == applied
    heads.close()
    index.close()
    index = open_index(small_disk / "index", STORE_ID, read_only=False)
    heads = open_heads(index, small_disk / "heads.log")
    assert {head.name: head.value for head in heads.list()} == applied
    heads.close()
    create_index(small_disk.parent / "fresh", STORE_ID)
    fresh = open_index(small_disk.parent / "fresh", STORE_ID, read_only=False)
    assert rebuild_heads(fresh, small_disk / "heads.log") == len(applied)
    fresh.close()
    index.close()
