"""Which block size the default should be: deduplication, speed, index and hashmap, on VM images.

For each size: a set of images is imported one after the other; what the store then takes, what each
clone added, how large its index is, how long import and export took, and how long the hashmap is
that a client of the Pithos API exchanges. The figures stand in docs/block-size.md.
"""

from __future__ import annotations

import shutil
import time
from pathlib import Path

from archipelago import Catalog, export_raw, import_raw
from bench import debian_images
from bench.clock import best_of
from bench.images import MIB, ImageSet, make
from bench.report import Row
from blockstore import StoreOptions, create_store, open_store

SIZES = [2**exponent for exponent in range(16, 23)]
ROUNDS = 3
IMAGES = ImageSet(count=4, size=256 * MIB)
HASHMAP_BYTES_PER_BLOCK = 68
"""Of JSON: 64 hexadecimal digits, two quotes, a comma and a space."""
COMMAND = "make bench ONLY=block_size"


def run(directory: Path) -> list[Row]:
    """One row for each figure, size and set of images."""
    sets = {"debian": debian_images.make(directory, 4), "generated": make(directory, IMAGES)}
    rows: list[Row] = []
    for name, images in sets.items():
        for block_size in SIZES:
            folder = directory / f"{name}-{block_size}"
            for figure, value, unit in _measure(folder, images, block_size):
                label = f"{name} {block_size // 1024} KiB: {figure}"
                rows.append(Row("block_size", label, value, unit, command=COMMAND))
            shutil.rmtree(folder)
    return rows


def _measure(directory: Path, images: list[Path], block_size: int) -> list[tuple[str, float, str]]:
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
        out = directory / "out.raw"
        (export_s,) = best_of(
            ROUNDS,
            lambda: (out.unlink(missing_ok=True), export_raw(catalog, images[-1].stem, out)),
        )
        count = store.blocks.stats().count
    finally:
        store.close()
    index = (directory / "index" / "data.mdb").stat().st_blocks * 512
    hashmap = images[0].stat().st_size // block_size * HASHMAP_BYTES_PER_BLOCK
    mib = float(MIB)
    return [
        ("stored", sum(added) / mib, "MiB"),
        ("first image", added[0] / mib, "MiB"),
        ("a clone adds", sum(added[1:]) / (len(added) - 1) / mib, "MiB"),
        ("blocks", count, ""),
        ("index", index / 1024, "KiB"),
        ("hashmap of an image", hashmap / 1024, "KiB"),
        ("import", logical / mib / import_s, "MiB/s"),
        ("export", images[-1].stat().st_size / mib / export_s, "MiB/s"),
    ]
