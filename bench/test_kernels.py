"""Microbenchmarks of the native kernels and of the engine's small operations (pytest-benchmark)."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import blake3
import pytest
import xxhash
from pytest_benchmark.fixture import BenchmarkFixture

from archipelago import Catalog, Volume
from blockstore import Store, StoreOptions, create_store, open_store
from native.digest import checksum, digest, scan_blocks
from native.pages import runs
from native.zeros import is_zero, trimmed_length

MIB = 2**20
DATA = random.Random(1).randbytes(4 * MIB)
ZEROS = bytes(4 * MIB)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    url = f"files:{tmp_path / 'store'}"
    create_store(url, StoreOptions())
    opened = open_store(url)
    yield opened
    opened.close()


@pytest.fixture
def volume(store: Store) -> Iterator[Volume]:
    catalog = Catalog(store)
    catalog.create("disk", 64 * MIB)
    opened = catalog.open("disk", holder="bench")
    yield opened
    opened.close()


def test_scan_blocks_64k(benchmark: BenchmarkFixture) -> None:
    benchmark(scan_blocks, DATA, 65536, "blake3")


def test_digest_4m(benchmark: BenchmarkFixture) -> None:
    benchmark(digest, DATA, "blake3")


def test_digest_4m_by_the_package_from_pypi(benchmark: BenchmarkFixture) -> None:
    benchmark(lambda: blake3.blake3(DATA).digest())


def test_checksum_4m(benchmark: BenchmarkFixture) -> None:
    benchmark(checksum, DATA)


def test_checksum_4m_by_the_package_from_pypi(benchmark: BenchmarkFixture) -> None:
    benchmark(xxhash.xxh3_64_intdigest, DATA)


def test_is_zero_4m(benchmark: BenchmarkFixture) -> None:
    benchmark(is_zero, ZEROS)


def test_trimmed_length_4m(benchmark: BenchmarkFixture) -> None:
    benchmark(trimmed_length, ZEROS)


def test_page_state_runs(benchmark: BenchmarkFixture) -> None:
    benchmark(runs, bytes(random.Random(2).choices((0, 1, 2), k=4096)))


def test_put_and_commit_64k(benchmark: BenchmarkFixture, store: Store) -> None:
    source = random.Random(3)

    def put() -> None:
        store.blocks.put_many(source.randbytes(65536))
        store.blocks.commit()

    benchmark(put)


def test_volume_write_4k(benchmark: BenchmarkFixture, volume: Volume) -> None:
    source = random.Random(4)
    benchmark(lambda: volume.write(source.randrange(16384) * 4096, DATA[:4096]))


def test_volume_write_and_flush_4k(benchmark: BenchmarkFixture, volume: Volume) -> None:
    source = random.Random(5)

    def write() -> None:
        volume.write(source.randrange(16384) * 4096, DATA[:4096])
        volume.flush()

    benchmark(write)


def test_volume_read_4k(benchmark: BenchmarkFixture, volume: Volume) -> None:
    volume.write(0, DATA)
    source = random.Random(6)
    benchmark(lambda: volume.read(source.randrange(1024) * 4096, 4096))
