"""Which block size the default should be: deduplication, speed, index and hashmap, on VM images.

For each size: a set of images is imported one after the other; what the store then takes, what each
clone added, how large its index is, how long import and export took, and how long the hashmap is
that a client of the Pithos API exchanges. The figures stand in docs/block-size.md.
"""

from __future__ import annotations

import time
from pathlib import Path

from archipelago import Catalog, export_raw, import_raw
from bench.images import MIB, ImageSet, make
from bench.report import Row
from blockstore import StoreOptions, create_store, open_store

SIZES = [2**exponent for exponent in range(16, 23)]
IMAGES = ImageSet(count=4, size=256 * MIB)
COMMAND = "make bench ONLY=block_size"


def run(directory: Path) -> list[Row]:
    """One row per figure and size; the peer is the plain sum of the images."""
    images = make(directory, IMAGES)
    rows: list[Row] = []
    for block_size in SIZES:
        rows += _measure(directory / str(block_size), images, block_size)
    return rows


def _measure(directory: Path, images: list[Path], block_size: int) -> list[Row]:
    url = f"files:{directory}"
    create_store(url, StoreOptions(block_size=block_size))
    store = open_store(url)
    try:
        catalog = Catalog(store)
        logical = sum(image.stat().st_size for image in images)
        added, started = [], time.perf_counter()
        for image in images:
            before = store.blocks.stats().content_bytes
            import_raw(catalog, image, image.stem)
            added.append(store.blocks.stats().content_bytes - before)
        import_s = time.perf_counter() - started
        started = time.perf_counter()
        export_raw(catalog, images[-1].stem, directory / "out.raw")
        export_s = time.perf_counter() - started
        count = store.blocks.stats().count
    finally:
        store.close()
    index = sum(file.stat().st_blocks * 512 for file in (directory / "index").iterdir())
    hashmap = images[0].stat().st_size // block_size * 67
    kib, mib = block_size // 1024, float(MIB)
    figures = [
        ("stored", sum(added) / mib, "MiB"),
        ("first image", added[0] / mib, "MiB"),
        ("a clone adds", sum(added[1:]) / (len(added) - 1) / mib, "MiB"),
        ("index", index / 1024, "KiB"),
        ("index per block", index / max(1, count), "bytes"),
        ("hashmap of an image", hashmap / 1024, "KiB"),
        ("import", logical / mib / import_s, "MiB/s"),
        ("export", images[-1].stat().st_size / mib / export_s, "MiB/s"),
    ]
    return [
        Row("block_size", f"{kib} KiB: {name}", value, unit, command=COMMAND)
        for name, value, unit in figures
    ]
