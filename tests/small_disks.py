"""File systems small enough to fill."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

MIB = 2**20


class SmallDisk:
    """A mounted tmpfs of its own."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._filler = path / "filler"

    @property
    def free_bytes(self) -> int:
        found = os.statvfs(self.path)
        return found.f_bavail * found.f_frsize

    def fill(self, leave_bytes: int = 0) -> None:
        """Let only so much be free, by a file that is nobody's."""
        with self._filler.open("ab") as file:
            if (wanted := self.free_bytes - leave_bytes) > 0:
                os.posix_fallocate(file.fileno(), file.tell(), wanted)

    def empty(self) -> None:
        """Give back what `fill` took."""
        self._filler.unlink()


@contextmanager
def mounted_small_disk(path: Path, size: int) -> Iterator[SmallDisk]:
    """A disk of `size` bytes at the new folder `path`, or a skip that says why there is none."""
    path.mkdir()
    if os.geteuid() != 0:
        pytest.skip("mounting a tmpfs needs root")
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(path)]
    done = subprocess.run(mount, check=False, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"no tmpfs can be mounted here: {done.stderr.strip()}")
    try:
        yield SmallDisk(path)
    finally:
        done = subprocess.run(["umount", str(path)], check=False)
        if done.returncode:  # leave no mount behind, but say that something leaked
            subprocess.run(["umount", "--lazy", str(path)], check=True)
            pytest.fail(f"something still has a file open on {path}")
