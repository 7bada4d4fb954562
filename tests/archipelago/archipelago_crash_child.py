"""The process that is killed: does what a seed says, and tells before and after each step."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator

from archipelago import Catalog
from blockstore import open_store

SIZE = 600 * 4096 + 512

Operation = tuple[str, int, bytes]
"""(what, offset or number, data)"""


def operations(seed: int) -> Iterator[Operation]:
    """The endless list of what the child of this seed does, in order."""
    chance = random.Random(seed)
    number = 0
    while True:
        number += 1
        what = chance.choices(
            ["write", "zero", "flush", "snapshot", "clone", "seal", "reopen"],
            [12, 3, 4, 1.5, 0.7, 1, 0.5],
        )[0]
        offset = chance.randrange(SIZE)
        length = min(SIZE - offset, chance.choice([100, 4096, 9000, 70_000, 300_000]))
        if chance.random() < 0.5:
            offset -= offset % 4096
        if what == "write":
            yield what, offset, chance.randbytes(length)
        elif what == "zero":
            yield what, offset, bytes(length)
        else:
            yield what, seed * 100_000 + number, b""


def main(url: str, seed: int) -> None:
    store = open_store(url)
    catalog = Catalog(store)
    volume = catalog.open("v")
    for index, (what, place, data) in enumerate(operations(seed)):
        tell(f"{index} begins\n")
        if what == "write":
            volume.write(place, data)
        elif what == "zero":
            volume.zero(place, len(data))
        elif what == "flush":
            volume.flush()
        elif what == "snapshot":
            volume.snapshot(f"s{place}")
        elif what == "clone":
            volume.clone(f"c{place}")
        elif what == "seal":
            catalog.seal_pending()
        else:
            volume.close()
            volume = catalog.open("v")
        tell(f"{index} done\n")


def tell(line: str) -> None:
    sys.stdout.write(line)
    sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
