"""Damage below an installation: named in one line, and everything else goes on."""

from __future__ import annotations

import os
import random

import pytest
from operator_session import bare_operator, operator

from pithos_api.operator.configuration import Configuration
from pithos_api.operator.deployment import Deployment

__all__ = ["bare_operator", "operator"]

SIZE = 200_192


def noise(seed):
    return random.Random(seed).randbytes(SIZE)


@pytest.fixture
def volumes(operator, tmp_path):
    """`good` and `bad`, sealed; and `live`, whose content is in a live layer."""
    for seed, name in enumerate(("good", "bad"), 1):
        (tmp_path / name).write_bytes(noise(seed))
        operator.ok("volume", "import", name, str(tmp_path / name))
    operator.ok("volume", "create", "live", "--size", "1M")
    configuration = Configuration(data=str(operator.data))
    with Deployment(configuration) as deployment, deployment.catalog.open("live") as volume:
        volume.write(0, noise(3))
        volume.flush()
    return operator


def check_good(operator, tmp_path):
    target = tmp_path / "good-again"
    operator.ok("volume", "export", "good", str(target))
    assert target.read_bytes() == noise(1)
    target.unlink()
    listed = operator.ok("volume", "list", "--json").json
    assert [volume["name"] for volume in listed] == ["bad", "good", "live"]
    operator.ok("volume", "create", "another", "--from", "good")
    operator.ok("volume", "delete", "another")


def pack_with(operator, content):
    for pack in (operator.data / "store" / "packs").glob("*/*"):
        offset = pack.read_bytes().find(content)
        if offset >= 0:
            return pack, offset
    raise AssertionError("these bytes are in no pack")


def test_a_flipped_byte_of_a_block(volumes, tmp_path):
    pack, offset = pack_with(volumes, noise(2)[:65536])
    with pack.open("r+b") as file:
        file.seek(offset + 777)
        byte = file.read(1)
        file.seek(offset + 777)
        file.write(bytes([byte[0] ^ 1]))
    target = tmp_path / "out"
    line = volumes.refused(5, "volume", "export", "bad", str(target))
    assert f"{pack}:{offset}" in line
    assert "do not delete anything" in line
    assert not target.exists()
    check_good(volumes, tmp_path)
    # Whoever has the content heals it by storing it again.
    volumes.ok("volume", "import", "healed", str(tmp_path / "bad"))
    volumes.ok("volume", "export", "bad", str(target))
    assert target.read_bytes() == noise(2)


def test_a_truncated_pack(volumes, tmp_path):
    pack, offset = pack_with(volumes, noise(2)[:65536])
    os.truncate(pack, offset + 100)
    assert str(pack) in volumes.refused(5, "volume", "export", "bad", str(tmp_path / "out"))
    check_good(volumes, tmp_path)
    done = volumes("rebuild-index")
    assert done.code == 5
    assert str(pack) in done.err
    check_good(volumes, tmp_path)
    line = volumes.refused(5, "volume", "export", "bad", str(tmp_path / "out"))
    assert "do not delete anything" in line


@pytest.mark.parametrize("how", ["flip", "cut", "remove"])
def test_a_damaged_live_layer(volumes, tmp_path, how):
    [states] = (volumes.data / "store" / "extents").rglob("states*")
    if how == "flip":
        content = bytearray(states.read_bytes())
        content[20] ^= 0xFF
        states.write_bytes(content)
    elif how == "cut":
        os.truncate(states, 10)
    else:
        states.unlink()
    for command in (
        ("volume", "export", "live", str(tmp_path / "out")),
        ("snapshot", "create", "live@s"),
    ):
        assert states.parent.name in volumes.refused(5, *command)
    assert not (tmp_path / "out").exists()
    check_good(volumes, tmp_path)
    volumes.ok("rebuild-index")
    volumes.ok("volume", "delete", "live")


def test_a_zeroed_page_of_the_index(volumes, tmp_path):
    """Of the heads: what walks over them says so until the index is made anew."""
    index_file = volumes.data / "store" / "index" / "data.mdb"
    data = bytearray(index_file.read_bytes())
    for at in range(8192, len(data), 4096):
        page = data[at : at + 4096]
        if page[10] == 2 and b"name/good" in page:
            data[at : at + 4096] = bytes(4096)
    index_file.write_bytes(data)
    line = volumes.refused(5, "volume", "list")
    assert "run: archipelago rebuild-index" in line
    volumes.ok("rebuild-index")
    check_good(volumes, tmp_path)
