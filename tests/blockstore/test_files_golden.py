"""A store as version 1 wrote it: it stays readable, and its index can be made from it again.

The sample was made by `make_sample` with the first release of the format; run this file as a
script with a directory to make one of today's code.
"""

import hashlib
import shutil
import sys
import tarfile
from pathlib import Path

import pytest
from files_stores import contents

from blockstore import BlockKind, HeadChange, StoreOptions, create_store, open_store, rebuild_index
from blockstore.files.pack import PackDirectory
from blockstore.files.pack_scan import first_state, scan_chain

SAMPLE = Path(__file__).parents[1] / "golden" / "blockstore-v1.tar.gz"


def content(seed, size):
    """Bytes that no version of Python changes; the last is not NUL."""
    return (hashlib.sha256(seed.encode()).digest() * (size // 32 + 1))[: size - 1] + b"\x01"


EXPECTED = {
    hashlib.sha256(data).digest(): (data, kind)
    for data, kind in [
        (content("a", 1000), BlockKind.DATA),
        (content("b", 65536), BlockKind.DATA),
        (content("c", 100), BlockKind.DATA),
        (content("d", 8000), BlockKind.MAP),
    ]
}


def make_sample(directory):
    url = f"files:{directory}"
    create_store(url, StoreOptions(hash_name="sha256", block_size=65536))
    store = open_store(url)
    for data, kind in EXPECTED.values():
        store.blocks.put_many(data, kind)
        if kind is BlockKind.DATA and len(data) != 65536:
            store.blocks.commit()
    store.blocks.commit()
    store.heads.update([HeadChange("volume", 0, b"value")])
    store.close()


@pytest.fixture
def sample(stores):
    with tarfile.open(SAMPLE) as archive:
        # As an attribute, not an argument, which Python 3.11.2 does not know.
        archive.extraction_filter = getattr(tarfile, "data_filter", None)
        archive.extractall(stores.directory)
    return stores


def records(store):
    return [(r.block_id, r.length, r.stored_length, r.kind) for r in store.blocks.scan()]


def expected_records():
    return sorted(
        (block_id, len(data), len(data), kind) for block_id, (data, kind) in EXPECTED.items()
    )


def test_sample_is_read(sample):
    store = sample.open()
    assert store.info.store_id == "9945427a7a394d1bb9be1892b2adc8fc"
    assert (store.info.hash_name, store.info.block_size) == ("sha256", 65536)
    assert contents(store.blocks) == {block_id: data for block_id, (data, _) in EXPECTED.items()}
    assert records(store) == expected_records()
    assert store.heads.get("volume").value == b"value"


def test_sample_is_read_without_its_index(sample):
    shutil.rmtree(sample.directory / "index")
    report = rebuild_index(sample.url)
    assert (report.pack_count, report.block_count, report.damaged) == (1, 4, ())
    store = sample.open()
    assert records(store) == expected_records()
    assert store.heads.get("volume").value == b"value"


def test_sample_can_be_written_to(sample):
    store = sample.open()
    (block_id,) = store.blocks.put_many(b"new")
    store.blocks.put_many(content("b", 65536))
    store.blocks.commit()
    assert len(sample.packs()) == 1
    sample.close_all()
    rebuild_index(sample.url)
    assert set(contents(sample.open().blocks)) == {block_id, *EXPECTED}


def test_todays_code_writes_the_same_segments(sample, stores, tmp_path):
    made = type(stores)(tmp_path / "made")
    make_sample(made.directory)
    assert segments(made) == segments(sample)


def segments(stores):
    store = stores.open(read_only=True)
    packs = PackDirectory(stores.directory / "packs", store.info.store_id)
    found = [
        (segment.offset, segment.header.payload_size, segment.header.sequence, segment.entries)
        for segment in scan_chain(packs, 1, first_state(packs, 1))
    ]
    packs.close()
    stores.close_all()
    return found


if __name__ == "__main__":
    make_sample(Path(sys.argv[1]))
