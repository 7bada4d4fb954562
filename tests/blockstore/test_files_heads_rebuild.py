"""Damage in one place never loses a head: the log and the index stand in for each other."""

import os
import shutil

import pytest

from blockstore import StoreOptions, create_store, open_store, rebuild_index
from blockstore.errors import Corrupt
from blockstore.interface import HeadChange


@pytest.fixture
def directory(tmp_path):
    directory = tmp_path / "store"
    create_store(f"files:{directory}", StoreOptions())
    store = open_store(f"files:{directory}")
    for name in ("a", "b"):
        store.heads.update([HeadChange(name, 0, name.encode() * 600)])
    store.close()
    return directory


def heads(directory):
    store = open_store(f"files:{directory}")
    try:
        return [(head.name, head.value[:1]) for head in store.heads.list()]
    finally:
        store.close()


def flip(path, offset):
    data = bytearray(path.read_bytes())
    data[offset] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("offset", [0, 20, 60, 100, -1])
@pytest.mark.parametrize("opened", [False, True])
def test_damaged_log(directory, offset, opened):
    flip(directory / "heads.log", offset)
    if opened:
        assert heads(directory) == [("a", b"a"), ("b", b"b")]
    assert rebuild_index(f"files:{directory}").head_count == 2
    assert heads(directory) == [("a", b"a"), ("b", b"b")]


def test_log_cut_off_after_a_record(directory):
    """It looks whole: only the length noted with the file tells."""
    try:
        os.getxattr(directory / "heads.log", "user.archipelago.length")
    except OSError:
        pytest.skip("the file system of the tests has no extended attributes")
    assert heads(directory) == [("a", b"a"), ("b", b"b")]
    with (directory / "heads.log").open("r+b") as file:
        file.truncate(48 + 32 + 16 + 1 + 600)
    shutil.copytree(directory, directory.with_name("lost"))
    shutil.rmtree(directory.with_name("lost") / "index")
    with pytest.raises(Corrupt, match="ends here"):
        rebuild_index(f"files:{directory.with_name('lost')}")
    assert rebuild_index(f"files:{directory}").head_count == 2
    assert heads(directory) == [("a", b"a"), ("b", b"b")]


def test_lost_index(directory):
    shutil.rmtree(directory / "index")
    assert rebuild_index(f"files:{directory}").head_count == 2
    assert heads(directory) == [("a", b"a"), ("b", b"b")]


def test_both_damaged(directory):
    flip(directory / "heads.log", 100)
    shutil.rmtree(directory / "index")
    with pytest.raises(Corrupt, match=r"heads\.log:48"):
        rebuild_index(f"files:{directory}")
    assert rebuild_index(f"files:{directory}", salvage=True).head_count == 1
    assert heads(directory) == [("b", b"b")]


def test_damaged_header_and_lost_index(directory):
    flip(directory / "heads.log", 0)
    shutil.rmtree(directory / "index")
    with pytest.raises(Corrupt, match="header"):
        rebuild_index(f"files:{directory}")
    assert rebuild_index(f"files:{directory}", salvage=True).head_count == 2
    assert heads(directory) == [("a", b"a"), ("b", b"b")]
