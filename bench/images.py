"""A deterministic set of images that look like VM disks: the same seed gives the same bytes.

Image 0 is an installation: files of compressible and of incompressible content laid out at 4 KiB
boundaries with free space between them. The others are clones of it that have lived: scattered
small edits, an area of their own, and a stretch of old content moved to another 4 KiB boundary.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path

PAGE = 4096
MIB = 2**20


@dataclass(frozen=True, slots=True)
class ImageSet:
    """What to make: `count` images of `size` bytes each."""

    count: int = 4
    size: int = 128 * MIB
    seed: int = 1


def make(directory: Path, what: ImageSet) -> list[Path]:
    """Write the images and return their paths, the installation first."""
    rng = random.Random(what.seed)
    golden = _installation(rng, what.size)
    paths = [directory / f"image-{number}.raw" for number in range(what.count)]
    paths[0].write_bytes(golden)
    for path in paths[1:]:
        path.write_bytes(_lived_in(rng, golden))
    return paths


def _installation(rng: random.Random, size: int) -> bytearray:
    image = bytearray(size)
    words = [rng.randbytes(rng.randint(3, 12)) for _ in range(4000)]
    offset = 0
    while offset < size:
        length = min(size - offset, PAGE * int(2 ** rng.uniform(0, 10)))
        kind = rng.random()
        if kind < 0.40:
            image[offset : offset + length] = _text(rng, words, length)
        elif kind < 0.65:
            image[offset : offset + length] = rng.randbytes(length)
        offset += length
    return image


def _text(rng: random.Random, words: list[bytes], length: int) -> bytes:
    picks = rng.choices(words, k=length // 6 + 8)
    return b" ".join(picks)[:length].ljust(length, b"\n")


def _lived_in(rng: random.Random, golden: bytearray) -> bytes:
    image = bytearray(golden)
    pages = len(image) // PAGE
    hot = pages // 10
    for _ in range(max(8, pages // 440)):
        first = rng.randrange(hot) if rng.random() < 0.8 else rng.randrange(pages)
        length = min(PAGE * rng.randint(1, 4), len(image) - first * PAGE)
        image[first * PAGE : first * PAGE + length] = rng.randbytes(length)
    private = len(image) * 6 // 100
    start = rng.randrange(pages - private // PAGE) * PAGE
    image[start : start + private] = rng.randbytes(private)
    moved = len(image) // 16 // PAGE * PAGE
    source, target = (rng.randrange(pages - moved // PAGE) * PAGE for _ in range(2))
    image[target : target + moved] = golden[source : source + moved]
    return bytes(image)
