"""qcow2 in and out, and the images that are refused."""

from __future__ import annotations

import os
import random
import shutil
import struct
import subprocess

import pytest

from archipelago import Catalog, InvalidArgument, export_qcow2, import_qcow2

needs_qemu_img = pytest.mark.skipif(not shutil.which("qemu-img"), reason="qemu-img is absent")
pytestmark = needs_qemu_img

MIB = 2**20


def qemu_img(*arguments: object) -> None:
    subprocess.run(["qemu-img", *map(str, arguments)], check=True, capture_output=True)


@pytest.fixture
def catalog(store):
    return Catalog(store)


@pytest.fixture
def content() -> bytes:
    data = bytearray(3 * MIB)
    data[MIB : MIB + 100_000] = random.Random(3).randbytes(100_000)
    return bytes(data)


@pytest.fixture
def image(tmp_path, content):
    (tmp_path / "raw").write_bytes(content)
    qemu_img("convert", "-f", "raw", "-O", "qcow2", tmp_path / "raw", tmp_path / "image")
    (tmp_path / "raw").unlink()
    return tmp_path / "image"


def read_all(catalog: Catalog, name: str) -> bytes:
    with catalog.open(name, read_only=True) as volume:
        return volume.read(0, volume.size)


@pytest.mark.parametrize("compress", [False, True])
def test_an_image_comes_in_and_goes_out_again(catalog, tmp_path, image, content, compress):
    (tmp_path / "scratch").mkdir()
    import_qcow2(catalog, image, "v", scratch=tmp_path / "scratch")
    assert os.listdir(tmp_path / "scratch") == []
    assert read_all(catalog, "v") == content
    export_qcow2(catalog, "v", tmp_path / "out", compress=compress)
    qemu_img("compare", "-f", "qcow2", "-F", "qcow2", image, tmp_path / "out")
    assert sorted(os.listdir(tmp_path)) == ["image", "out", "scratch"]
    with pytest.raises(FileExistsError):
        export_qcow2(catalog, "v", tmp_path / "out")


def test_a_backing_file_is_refused(catalog, tmp_path, image):
    overlay = tmp_path / "overlay"
    qemu_img("create", "-f", "qcow2", "-b", image, "-F", "qcow2", overlay)
    with pytest.raises(InvalidArgument, match="backing file"):
        import_qcow2(catalog, overlay, "v")
    qemu_img("create", "-f", "qcow2", "-u", "-b", "/etc/passwd", "-F", "raw", overlay, "1M")
    with pytest.raises(InvalidArgument, match="backing file"):
        import_qcow2(catalog, overlay, "v")
    assert catalog.list() == []


def test_an_external_data_file_is_refused(catalog, tmp_path):
    image = tmp_path / "image"
    options = f"data_file={tmp_path / 'data'},data_file_raw=on"
    qemu_img("create", "-f", "qcow2", "-o", options, image, "1M")
    with pytest.raises(InvalidArgument, match="another file"):
        import_qcow2(catalog, image, "v")


def test_what_is_no_qcow2_is_not_guessed_at(catalog, tmp_path, image):
    (tmp_path / "raw").write_bytes(bytes(MIB))
    qemu_img("convert", "-O", "vmdk", image, tmp_path / "vmdk")
    for name in ("raw", "vmdk", "absent", "."):
        with pytest.raises(InvalidArgument):
            import_qcow2(catalog, tmp_path / name, "v")
    assert catalog.list() == []


def test_a_cut_or_mangled_image_is_refused(catalog, tmp_path, image):
    whole = image.read_bytes()
    header_size = bytearray(whole)
    header_size[24:32] = struct.pack(">Q", 2**62)
    for bad in (whole[:100], whole[:200_000], bytes(header_size), whole[:60] + b"\xff" * 20):
        image.write_bytes(bad)
        with pytest.raises(InvalidArgument):
            import_qcow2(catalog, image, "v")
    assert catalog.list() == []


def test_a_name_that_looks_like_a_protocol_is_a_file(
    catalog, tmp_path, image, content, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    image.rename(tmp_path / "json:{}")
    import_qcow2(catalog, type(image)("json:{}"), "v")
    assert read_all(catalog, "v") == content


def test_without_qemu_img_the_message_says_so(catalog, image, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InvalidArgument, match="qemu-img is not installed"):
        import_qcow2(catalog, image, "v")
    catalog.create("w", 512)
    with pytest.raises(InvalidArgument, match="qemu-img is not installed"):
        export_qcow2(catalog, "w", tmp_path / "out")
    assert os.listdir(tmp_path) == ["image"]
