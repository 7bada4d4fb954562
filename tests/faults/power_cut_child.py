"""Writes to a store for ever; each line on stdout is something acknowledged.

python power_cut_child.py STORE-DIRECTORY SEED
"""

from __future__ import annotations

import random
import sys

from archipelago import Catalog
from blockstore import StoreOptions, create_store, open_store

PAGE = 4096
VOLUME_PAGES = 16384


def main(directory: str, seed: int) -> None:
    rng = random.Random(seed)
    create_store(f"files:{directory}", StoreOptions())
    store = open_store(f"files:{directory}")
    catalog = Catalog(store)
    catalog.create("disk", VOLUME_PAGES * PAGE)
    volume = catalog.open("disk", holder="writer")
    number = 0
    while True:
        number += 1
        page, value = rng.randrange(VOLUME_PAGES), rng.randrange(1, 256)
        volume.write(page * PAGE, bytes([value]) * PAGE)
        zeroed = rng.randrange(VOLUME_PAGES)
        volume.zero(zeroed * PAGE, PAGE)
        volume.flush()
        say("flush", page, value, zeroed)
        if number % 7 == 0:
            content_seed, size = rng.getrandbits(32), rng.randrange(1, 300000)
            ids = store.blocks.put_many(random.Random(content_seed).randbytes(size))
            store.blocks.commit()
            say("blocks", content_seed, size, *(block_id.hex() for block_id in ids))
        if number % 25 == 0:
            volume.snapshot(f"s{number}")
            say("snapshot", f"s{number}")
        if number % 60 == 0:
            catalog.seal("disk")


def say(*words: object) -> None:
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
