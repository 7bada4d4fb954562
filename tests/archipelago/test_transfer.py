"""Raw images in and out."""

from __future__ import annotations

import io
import os
import random
import threading
from pathlib import Path

import pytest
from archipelago_stores import new_memory_store

from archipelago import (
    Catalog,
    InvalidArgument,
    NameTaken,
    VolumeBusy,
    VolumeNotFound,
    export_raw,
    import_raw,
)

MIB = 2**20


@pytest.fixture
def catalog(store):
    return Catalog(store)


def sparse_file(path: Path) -> bytes:
    content = bytearray(5 * MIB + 1000)
    chance = random.Random(5)
    for offset, length in [(3000, 10), (MIB - 5, 70000), (4 * MIB, 65536), (len(content) - 9, 9)]:
        content[offset : offset + length] = chance.randbytes(length)
    with open(path, "wb") as file:
        file.truncate(len(content))
        for offset, length in [(0, 4096), (MIB - 4096, 81920), (4 * MIB, MIB + 1000)]:
            file.seek(offset)
            file.write(content[offset : offset + length])
    return bytes(content)


def padded(content: bytes) -> bytes:
    return content + bytes(-len(content) % 512)


def read_all(catalog: Catalog, name: str) -> bytes:
    with catalog.open(name, read_only=True) as volume:
        return volume.read(0, volume.size)


def test_a_file_comes_in_and_goes_out_again(catalog, tmp_path):
    content = sparse_file(tmp_path / "in")
    seen = []
    info = import_raw(catalog, tmp_path / "in", "v", lambda done, total: seen.append((done, total)))
    assert info.size == len(padded(content))
    assert info.frozen == 0
    assert seen[-1] == (len(content), len(content))
    assert seen == sorted(seen)
    assert read_all(catalog, "v") == padded(content)
    export_raw(catalog, "v", tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == padded(content)
    assert os.stat(tmp_path / "out").st_blocks * 512 < len(content)
    assert sorted(os.listdir(tmp_path)) == ["in", "out"]


def test_a_huge_hole_is_no_work(catalog, tmp_path):
    with open(tmp_path / "in", "wb") as file:
        file.truncate(8 * 2**40)
        file.seek(3 * 2**40 + 17)
        file.write(b"here")
    import_raw(catalog, tmp_path / "in", "v")
    with catalog.open("v", read_only=True) as volume:
        assert volume.size == 8 * 2**40
        assert volume.read(3 * 2**40 + 16, 6) == b"\0here\0"
    assert catalog.usage("v").stored == 65536


def test_streams_and_pipes(catalog, tmp_path):
    content = random.Random(1).randbytes(70001)
    import_raw(catalog, io.BytesIO(content), "a")
    assert read_all(catalog, "a") == padded(content)
    os.mkfifo(tmp_path / "pipe")
    writer = threading.Thread(target=lambda: (tmp_path / "pipe").write_bytes(content))
    writer.start()
    import_raw(catalog, tmp_path / "pipe", "b")
    writer.join()
    assert catalog.info("b").root == catalog.info("a").root
    out = io.BytesIO()
    export_raw(catalog, "b", out)
    assert out.getvalue() == padded(content)


def test_an_import_interrupted_anywhere_leaves_no_volume(catalog, tmp_path):
    (tmp_path / "in").write_bytes(b"x" * 20 * MIB)

    def interrupt(done: int, total: int | None) -> None:
        if done >= 16 * MIB:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        import_raw(catalog, tmp_path / "in", "v", interrupt)
    assert catalog.list() == []
    assert import_raw(catalog, tmp_path / "in", "v").size == 20 * MIB


def test_an_export_interrupted_leaves_no_file(catalog, tmp_path):
    import_raw(catalog, io.BytesIO(b"x" * 20 * MIB), "v")

    def interrupt(done: int, total: int | None) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export_raw(catalog, "v", tmp_path / "out", interrupt)
    assert os.listdir(tmp_path) == []
    catalog.delete("v")


def test_an_export_overwrites_only_when_told(catalog, tmp_path):
    catalog.create("v", 512)
    (tmp_path / "out").write_bytes(b"precious")
    with pytest.raises(FileExistsError):
        export_raw(catalog, "v", tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == b"precious"
    export_raw(catalog, "v", tmp_path / "out", overwrite=True)
    assert (tmp_path / "out").read_bytes() == bytes(512)


def test_bad_sources_and_names_are_refused(catalog, tmp_path):
    (tmp_path / "empty").touch()
    (tmp_path / "full").write_bytes(b"x" * 600)
    with pytest.raises(InvalidArgument, match="not 0"):
        import_raw(catalog, tmp_path / "empty", "v")
    with pytest.raises(InvalidArgument, match="not 0"):
        import_raw(catalog, io.BytesIO(b""), "v")
    with pytest.raises(IsADirectoryError):
        import_raw(catalog, tmp_path, "v")
    with pytest.raises(FileNotFoundError):
        import_raw(catalog, tmp_path / "absent", "v")
    with pytest.raises(InvalidArgument, match="'/'"):
        import_raw(catalog, tmp_path / "full", "a/b")
    catalog.create("v", 512)
    with pytest.raises(NameTaken):
        import_raw(catalog, tmp_path / "full", "v")
    with pytest.raises(VolumeNotFound):
        export_raw(catalog, "absent", tmp_path / "out")
    assert sorted(os.listdir(tmp_path)) == ["empty", "full"]


def test_a_snapshot_of_an_open_volume_is_exported(catalog, tmp_path):
    catalog.create("v", 8192)
    with catalog.open("v") as volume:
        volume.write(0, b"then")
        volume.snapshot("s")
        volume.write(0, b"now!")
        export_raw(catalog, "v@s", tmp_path / "out")
        with pytest.raises(VolumeBusy):
            export_raw(catalog, "v", tmp_path / "out2")
    assert (tmp_path / "out").read_bytes() == b"then" + bytes(8188)


def test_equal_images_share_all_blocks(tmp_path):
    store = new_memory_store()
    catalog = Catalog(store)
    sparse_file(tmp_path / "in")
    first = import_raw(catalog, tmp_path / "in", "a")
    count = store.blocks.stats().count
    assert import_raw(catalog, tmp_path / "in", "b").root == first.root
    assert store.blocks.stats().count == count
    assert catalog.usage("a").own == 0
    store.close()
