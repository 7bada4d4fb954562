"""The whole path with a real image and real machines: `make demo`.

Prints what each step did, with figures; ends with 1 when a check fails. Works in a temporary
directory on free ports, and leaves nothing but the cache of downloads in build/demo.
"""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from bench.demo import steps
from bench.demo.guest import DemoGuest
from bench.demo.site import DemoFailed, Site
from bench.demo.steps import Sale
from compute_glue.errors import GuestError

CACHE = Path("build/demo")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.demo", description=__doc__)
    parser.add_argument("--cache", type=Path, default=CACHE, help=f"of downloads; {CACHE}")
    options = parser.parse_args()
    # So that a SIGTERM cleans up too.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="demo-") as folder:
        site = Site(Path(folder))
        try:
            _run(Sale(site, Path(folder), options.cache.absolute()))
        except (DemoFailed, GuestError, subprocess.SubprocessError) as error:
            print(f"FAILED: {error}\nlast in the log:\n{site.log_tail()}", file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            print("interrupted", file=sys.stderr)
            return 130
        finally:
            site.close()
    print(f"All checks passed, in {time.monotonic() - started:.0f} s.")
    return 0


def _run(sale: Sale) -> None:
    site, number = sale.site, 0

    def step(action: Callable[..., None], *arguments: object) -> None:
        nonlocal number
        number += 1
        print(f"{number}. {(action.__doc__ or '').strip()}", flush=True)
        started = time.monotonic()
        action(sale, *arguments)
        print(f"   ({time.monotonic() - started:.1f} s)", flush=True)

    step(steps.make_template)
    site.start()
    step(steps.upload_template)
    step(steps.create_volumes)
    with DemoGuest(site, "web-001") as one, DemoGuest(site, "web-002") as two:
        step(steps.boot_two, one, two)
        step(steps.snapshot_running, one, two)
        step(steps.second_version)
        step(steps.crash, one)
    step(steps.second_user)
    step(steps.table)
    site.stop()


if __name__ == "__main__":
    sys.exit(main())
