"""Servers under measurement: started, waited for until they listen, and ended."""

from __future__ import annotations

import contextlib
import select
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

START_ATTEMPTS = 1000


@dataclass(frozen=True, slots=True)
class RunningServer:
    """A process that listens on a Unix socket."""

    pid: int
    socket: Path


@contextlib.contextmanager
def volume_server(url: str, directory: Path) -> Iterator[RunningServer]:
    """Our NBD server over the store."""
    socket = directory / "volumes.sock"
    control = directory / "control.sock"
    words = ["-m", "volumes", "--store", url, "--socket", str(socket), "--control", str(control)]
    with listening([sys.executable, *words], socket) as server:
        yield server


@contextlib.contextmanager
def listening(words: list[str], socket: Path) -> Iterator[RunningServer]:
    """Run a program that will listen on `socket`; what it says goes to a file beside."""
    with socket.with_suffix(".log").open("wb") as log:
        process = subprocess.Popen(words, stdout=log, stderr=log)
    try:
        for _ in range(START_ATTEMPTS):
            if socket.exists():
                break
            if process.poll() is not None:
                raise RuntimeError(socket.with_suffix(".log").read_text())
            select.select([], [], [], 0.01)
        yield RunningServer(process.pid, socket)
    finally:
        process.terminate()
        process.wait()
