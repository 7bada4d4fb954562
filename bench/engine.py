"""Import, repeated import, export and clone of a volume, beside copying the same bytes."""

from __future__ import annotations

import itertools
from pathlib import Path

from archipelago import Catalog, export_raw, import_raw
from bench.clock import best_of, command
from bench.images import MIB, ImageSet, make
from bench.report import Row
from blockstore import StoreOptions, create_store, open_store

ROUNDS = 3
COMMAND = "make bench ONLY=engine"


def run(directory: Path) -> list[Row]:
    """Each figure is the best of a few rounds, ours and the peer's in turn."""
    image = make(directory, ImageSet(count=1, size=512 * MIB))[0]
    copy = directory / "copy.raw"
    mib = image.stat().st_size / MIB
    fresh = (directory / f"store-{number}" for number in itertools.count())
    first, plain = best_of(
        ROUNDS,
        lambda: _import_into(next(fresh), image),
        command("dd", f"if={image}", f"of={copy}", "bs=4M", "conv=fdatasync", "status=none"),
    )
    url = f"files:{directory / 'store-0'}"
    store = open_store(url)
    try:
        catalog = Catalog(store)
        names = (f"again-{number}" for number in itertools.count())
        again, b3sum = best_of(
            ROUNDS,
            lambda: import_raw(catalog, image, next(names)),
            command("b3sum", "--num-threads", "1", image),
        )
        out = directory / "out.raw"
        export, copied = best_of(
            ROUNDS,
            lambda: (out.unlink(missing_ok=True), export_raw(catalog, "image", out)),
            command("cp", "--sparse=always", image, copy),
        )
        clones = (f"clone-{number}" for number in itertools.count())
        (clone,) = best_of(
            ROUNDS, lambda: [catalog.clone("again-0", next(clones)) for _ in range(100)]
        )
    finally:
        store.close()
    return [
        Row(
            "engine",
            "import, new content, durable",
            mib / first,
            "MiB/s",
            "dd conv=fdatasync",
            mib / plain,
            command=COMMAND,
        ),
        Row(
            "engine",
            "import, content already there",
            mib / again,
            "MiB/s",
            "b3sum",
            mib / b3sum,
            command=COMMAND,
        ),
        Row(
            "engine",
            "export, verified",
            mib / export,
            "MiB/s",
            "cp --sparse",
            mib / copied,
            command=COMMAND,
        ),
        Row("engine", "clones of a volume", 100 / clone, "1/s", command=COMMAND),
    ]


def _import_into(directory: Path, image: Path) -> None:
    url = f"files:{directory}"
    create_store(url, StoreOptions())
    store = open_store(url)
    try:
        import_raw(Catalog(store), image, "image")
    finally:
        store.close()
