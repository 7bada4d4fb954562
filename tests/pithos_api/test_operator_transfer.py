"""archipelago volume import, export and diff."""

import os
import random
import subprocess
import sys

import pytest
from operator_session import bare_operator, operator

__all__ = ["bare_operator", "operator"]

BLOCK = 64 << 10


def noise(size, seed=1):
    return random.Random(seed).randbytes(size)


def sparse_file(path, size, *pieces):
    with path.open("wb") as file:
        file.truncate(size)
        for offset, data in pieces:
            file.seek(offset)
            file.write(data)
    return str(path)


def exported(operator, name, path):
    operator.ok("volume", "export", name, str(path))
    return path.read_bytes()


@pytest.mark.parametrize("size", [512, BLOCK, BLOCK + 512, 5 << 20, (5 << 20) + 1, 1])
def test_round_trip(operator, tmp_path, size):
    data = noise(size)
    operator.ok("volume", "import", "v", sparse_file(tmp_path / "in", size, (0, data)))
    content = exported(operator, "v", tmp_path / "out")
    assert content == data.ljust(-(-size // 512) * 512, b"\0")


def test_holes_stay_holes(operator, tmp_path):
    size, data = 200 * BLOCK, noise(BLOCK)
    pieces = [(0, data), (37 * BLOCK + 5, data), (size - 100, data[:100])]
    source = sparse_file(tmp_path / "in", size, *pieces)
    operator.ok("volume", "import", "v", source)
    out = tmp_path / "out"
    assert exported(operator, "v", out) == (tmp_path / "in").read_bytes()
    assert out.stat().st_blocks * 512 < 40 * BLOCK
    usage = operator.ok("volume", "info", "v", "--json").json["usage"]
    assert usage["mapped"] == 4 * BLOCK


def test_a_file_that_is_one_hole(operator, tmp_path):
    operator.ok("volume", "import", "v", sparse_file(tmp_path / "in", 40 << 20))
    assert exported(operator, "v", tmp_path / "out") == bytes(40 << 20)


def test_the_same_content_is_stored_once(operator, tmp_path):
    source = sparse_file(tmp_path / "in", 1 << 20, (0, noise(1 << 20)))
    operator.ok("volume", "import", "a", source)
    before = operator.ok("info", "--json").json["blocks"]["count"]
    operator.ok("volume", "import", "b", source)
    assert operator.ok("info", "--json").json["blocks"]["count"] == before


def test_export_of_a_snapshot_to_standard_output(operator, tmp_path):
    data = noise(BLOCK + 512)
    source = tmp_path / "in"
    operator.ok("volume", "import", "v", sparse_file(source, 10 * BLOCK, (BLOCK, data)))
    operator.ok("snapshot", "create", "v@s")
    command = [sys.executable, "-m", "pithos_api.operator.main", "volume", "export", "v@s", "-"]
    done = subprocess.run([*command, "--data", operator.data], capture_output=True, check=True)
    assert done.stdout == source.read_bytes()


def test_an_export_does_not_replace_a_file(operator, tmp_path):
    operator.ok("volume", "create", "v", "--size", "1M")
    target = tmp_path / "out"
    target.write_text("precious")
    assert "exists" in operator.refused(4, "volume", "export", "v", str(target))
    assert target.read_text() == "precious"


def test_an_export_that_fails_leaves_nothing(operator, tmp_path, monkeypatch):
    operator.ok("volume", "import", "v", sparse_file(tmp_path / "in", 1 << 20, (0, noise(1 << 20))))

    def fail(descriptor):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", fail)
    target = tmp_path / "out"
    assert "Input/output error" in operator.refused(1, "volume", "export", "v", str(target))
    assert not target.exists()


def test_import_of_nothing(operator, tmp_path):
    operator.refused(3, "volume", "import", "v", str(tmp_path / "none"))
    assert "empty" in operator.refused(
        2, "volume", "import", "v", sparse_file(tmp_path / "empty", 0)
    )
    assert "neither" in operator.refused(2, "volume", "import", "v", "/dev/zero")
    assert operator("volume", "import", "v", str(tmp_path)).code == 1


@pytest.mark.parametrize("magic", [b"KDMV", b"vhdxfile", b"conectix"])
def test_other_formats_are_not_taken_for_raw(operator, tmp_path, magic):
    source = sparse_file(tmp_path / "in", 1 << 20, (0, magic))
    assert "qemu-img convert" in operator.refused(2, "volume", "import", "v", source)


@pytest.mark.parametrize("name", ["a@b", "", "a/b"])
def test_import_under_a_bad_name(operator, tmp_path, name):
    source = sparse_file(tmp_path / "in", 512, (0, b"x"))
    operator.refused(2, "volume", "import", name, source)


def test_import_under_a_name_that_is_taken(operator, tmp_path):
    operator.ok("volume", "create", "v", "--size", "1M")
    source = sparse_file(tmp_path / "in", 512, (0, b"x"))
    operator.refused(4, "volume", "import", "v", source)


def test_diff(operator, tmp_path):
    data = noise(4 * BLOCK)
    changed = data[:BLOCK] + noise(BLOCK, 2) + data[2 * BLOCK :]
    operator.ok("volume", "import", "a", sparse_file(tmp_path / "a", 4 * BLOCK, (0, data)))
    operator.ok("volume", "import", "b", sparse_file(tmp_path / "b", 4 * BLOCK, (0, changed)))
    found = operator.ok("volume", "diff", "a", "b", "--json").json
    assert found == [{"offset": BLOCK, "length": BLOCK, "kind": "data"}]
    assert operator.ok("volume", "diff", "a", "a", "--json").json == []
    assert "64 KiB differ" in operator.ok("volume", "diff", "a", "b").err
