"""A process that writes to a layer, step by step, and says on its output what was flushed.

Arguments: directory, layer, seed. Its steps are those of `steps(seed)`; it is killed at some point.
"""

import random
import sys
from pathlib import Path

from blockstore.files.extents import FilesExtents
from blockstore.interface import PAGE_SIZE

PAGES = 64


def steps(seed):
    """(act, first page, page count, fill) without end."""
    random_ = random.Random(seed)
    while True:
        first = random_.randrange(PAGES)
        count = random_.randint(1, min(8, PAGES - first))
        act = random_.choice(["write", "write", "write", "zero", "allocate", "flush"])
        yield act, first, count, random_.randrange(1, 256)


def main():
    directory, layer_id, seed = sys.argv[1:]
    layer = FilesExtents(Path(directory), read_only=False).open(layer_id, writable=True)
    for number, (act, first, count, fill) in enumerate(steps(int(seed))):
        offset, length = first * PAGE_SIZE, count * PAGE_SIZE
        sys.stdout.write(f"begin {number}\n")
        sys.stdout.flush()
        if act == "write":
            layer.write(offset, bytes([fill]) * length)
        elif act == "flush":
            layer.flush()
            sys.stdout.write(f"flushed {number}\n")
            sys.stdout.flush()
        else:
            getattr(layer, act)(offset, length)


if __name__ == "__main__":
    main()
