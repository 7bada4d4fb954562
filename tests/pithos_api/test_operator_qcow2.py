"""archipelago volume import and export of qcow2 images, and of what only looks like one."""

from __future__ import annotations

import json
import random
import shutil
import subprocess

import pytest
from operator_session import bare_operator, operator

__all__ = ["bare_operator", "operator"]

pytestmark = pytest.mark.skipif(not shutil.which("qemu-img"), reason="qemu-img is absent")

MIB = 2**20
DATA = random.Random(7).randbytes(100_000)


def qemu_img(*arguments):
    command = ["qemu-img", *map(str, arguments)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@pytest.fixture
def raw(tmp_path):
    path = tmp_path / "in.raw"
    with path.open("wb") as file:
        file.truncate(64 * MIB)
        file.seek(33 * MIB)
        file.write(DATA)
    return path


@pytest.fixture
def qcow2(raw, tmp_path):
    path = tmp_path / "in.qcow2"
    qemu_img("convert", "-f", "raw", "-O", "qcow2", raw, path)
    return path


def test_round_trip(operator, raw, qcow2, tmp_path):
    done = operator.ok("volume", "import", "v", str(qcow2), "--format", "qcow2", "--json")
    assert (done.json["name"], done.json["size"]) == ("v", 64 * MIB)
    out = tmp_path / "out.raw"
    operator.ok("volume", "export", "v", str(out))
    assert out.read_bytes() == raw.read_bytes()
    back = tmp_path / "out.qcow2"
    operator.ok("volume", "export", "v", str(back), "--format", "qcow2")
    qemu_img("compare", "-f", "qcow2", "-F", "raw", back, raw)
    assert json.loads(qemu_img("info", "--output=json", back))["format"] == "qcow2"


def test_only_what_is_data_takes_space(operator, qcow2, tmp_path):
    operator.ok("volume", "import", "v", str(qcow2), "--format", "qcow2")
    usage = operator.ok("volume", "info", "v", "--json").json["usage"]
    assert usage["mapped"] <= 3 * 65536
    back = tmp_path / "out.qcow2"
    operator.ok("volume", "export", "v", str(back), "--format", "qcow2")
    assert back.stat().st_size < 2 * MIB


def test_qcow2_is_not_guessed_and_not_taken_for_raw(operator, qcow2):
    assert "--format qcow2" in operator.refused(2, "volume", "import", "v", str(qcow2))
    assert operator.ok("volume", "list", "--json").json == []


def test_told_that_it_is_raw_it_is_taken_as_it_is(operator, qcow2, tmp_path):
    operator.ok("volume", "import", "v", str(qcow2), "--format", "raw")
    operator.ok("volume", "export", "v", str(tmp_path / "out"))
    content = qcow2.read_bytes()
    assert (tmp_path / "out").read_bytes()[: len(content)] == content


def test_what_is_no_qcow2_is_refused(operator, raw):
    assert "qcow2" in operator.refused(2, "volume", "import", "v", str(raw), "--format", "qcow2")
    assert operator.ok("volume", "list", "--json").json == []


def test_an_image_over_another_file_is_refused(operator, raw, tmp_path):
    overlay = tmp_path / "overlay"
    qemu_img("create", "-f", "qcow2", "-b", raw, "-F", "raw", overlay)
    line = operator.refused(2, "volume", "import", "v", str(overlay), "--format", "qcow2")
    assert "backing file" in line


def test_qcow2_goes_into_no_pipe_and_over_no_file(operator, qcow2):
    operator.ok("volume", "create", "v", "--size", "1M")
    assert "file" in operator.refused(2, "volume", "export", "v", "-", "--format", "qcow2")
    before = qcow2.read_bytes()
    assert "exists" in operator.refused(4, "volume", "export", "v", str(qcow2), "--format", "qcow2")
    assert qcow2.read_bytes() == before


def test_a_format_that_is_none(operator, raw):
    operator.refused(2, "volume", "import", "v", str(raw), "--format", "vmdk")
