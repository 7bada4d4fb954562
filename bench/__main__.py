"""`make bench`: run the benches (or those that match --only), print ratios, write bench.json."""

from __future__ import annotations

import argparse
import fnmatch
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from bench import block_size, devices, engine, hashing, kernels, memory
from bench.report import BENCH_JSON, Row, print_rows, save

BENCHES: dict[str, Callable[[Path], list[Row]]] = {
    "hashing": hashing.run,
    "kernels": kernels.run,
    "engine": engine.run,
    "block_size": block_size.run,
    "devices": devices.run,
    "memory": memory.run,
}


def main() -> int:
    """Exit 0 when everything was measured; a missed target is a figure, not a failure."""
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("--only", default="*", help="name or pattern of the benches to run")
    parser.add_argument("--directory", type=Path, help="where to put the data (default: a new one)")
    options = parser.parse_args()
    names = [name for name in BENCHES if fnmatch.fnmatch(name, options.only)]
    if not names:
        print(
            f"no bench matches {options.only!r}; there are: {', '.join(BENCHES)}", file=sys.stderr
        )
        return 2
    for name in names:
        with tempfile.TemporaryDirectory(prefix="bench-", dir=options.directory) as directory:
            rows = BENCHES[name](Path(directory))
        save(rows)
        print_rows(rows)
    print(f"rows are in {BENCH_JSON.relative_to(Path.cwd())}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
