"""A set of real VM images: the demo's Debian template, and clones of it that have been used.

Each clone gets files of its own (logs, a database, a package's worth of programs) and loses some,
through ext4 itself (`debugfs -w`), so that allocation and metadata change as they do in a guest.
"""

from __future__ import annotations

import random
import shutil
import subprocess
from pathlib import Path

from bench.demo.template import ROOT_OFFSET, build_template

SMALL_FILES = 200
SMALL_FILE_BYTES_MAX = 32 * 1024
LARGE_FILES = 4
LARGE_FILE_BYTES = 5 * 2**20


def make(directory: Path, count: int, cache: Path = Path("build/demo")) -> list[Path]:
    """The template and `count` - 1 used clones, all deterministic but for time stamps."""
    template = directory / "debian-0.raw"
    build_template(template, cache)
    paths = [template]
    for number in range(1, count):
        path = directory / f"debian-{number}.raw"
        shutil.copyfile(template, path)
        _use(path, directory, random.Random(number))
        paths.append(path)
    return paths


def _use(image: Path, directory: Path, rng: random.Random) -> None:
    sizes = [rng.randrange(SMALL_FILE_BYTES_MAX) for _ in range(SMALL_FILES)]
    sizes += [LARGE_FILE_BYTES] * LARGE_FILES
    requests = ["mkdir /used", "cd /used"]
    for number, size in enumerate(sizes):
        source = directory / f"content-{number}"
        source.write_bytes(rng.randbytes(size))
        requests.append(f"write {source} {number}")
        if number % 8 == 7:
            requests.append(f"rm {number - 3}")
    script = directory / "requests"
    script.write_text("\n".join(requests) + "\n")
    subprocess.run(
        ["debugfs", "-w", "-f", script, f"{image}?offset={ROOT_OFFSET}"],
        check=True,
        capture_output=True,
    )
