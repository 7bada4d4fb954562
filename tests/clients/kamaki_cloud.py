"""A running server, and kamaki run against it."""

from __future__ import annotations

import contextlib
import io
import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from api_server import (
    PASSWORDS,
    START_TIMEOUT_S,
    make_installation,
    start_server,
    stop_server,
)

from blockstore import BlockStats, open_store
from clients.cli.main import main

PASSWORD = PASSWORDS["alice"]


@dataclass(frozen=True)
class Cloud:
    """A server over a files: store, with the users of `PASSWORDS`."""

    url: str
    store_url: str
    process: subprocess.Popen[bytes]

    def kill(self) -> None:
        """All its processes at once, as a loss of power would, but for the kernel's cache."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(START_TIMEOUT_S)

    def block_stats(self) -> BlockStats:
        store = open_store(self.store_url, read_only=True)
        try:
            return store.blocks.stats()
        finally:
            store.close()


def make_cloud(folder: Path) -> None:
    """A store and a database with users."""
    make_installation(folder, hash_name="blake3")


@contextlib.contextmanager
def running_cloud(folder: Path) -> Iterator[Cloud]:
    """Serve what `make_cloud` made."""
    server = start_server(folder)
    try:
        yield Cloud(server.url, server.settings.store_url, server.process)
    finally:
        stop_server(server)


@dataclass(frozen=True)
class Result:
    """What a run of kamaki left."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class Kamaki:
    """kamaki as one user, in this process: `kamaki("file", "list", "c")`."""

    def __init__(self, environment: pytest.MonkeyPatch, folder: Path, url: str, user: str) -> None:
        self._environment = environment
        self.settings = {
            "KAMAKI_AUTH_URL": url,
            "KAMAKI_USERNAME": user,
            "KAMAKI_PASSWORD": PASSWORDS.get(user, PASSWORD),
            "KAMAKI_STATE_DIR": str(folder / f"state-{user}"),
            "XDG_CONFIG_HOME": str(folder / "config"),
            "HOME": str(folder),
        }

    def __call__(self, *arguments: str | Path, ok: bool = True, stdin: str = "") -> Result:
        with self._environment.context() as environment:
            for name in list(os.environ):
                if name.startswith(("KAMAKI_", "OS_")) or name.lower().endswith("_proxy"):
                    environment.delenv(name)
            for name, value in self.settings.items():
                environment.setenv(name, value)
            environment.setattr(sys, "stdin", io.StringIO(stdin))
            out, err = _Output(), _Output()
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                try:
                    code = main([str(argument) for argument in arguments])
                except SystemExit as stop:
                    code = int(stop.code or 0)
        result = Result(code, out.text(), err.text())
        if ok:
            assert code == 0, result.err
        return result


class _Output(io.TextIOWrapper):
    def __init__(self) -> None:
        super().__init__(io.BytesIO(), encoding="utf-8")

    def text(self) -> str:
        self.flush()
        buffer = self.buffer
        assert isinstance(buffer, io.BytesIO)
        return buffer.getvalue().decode()


def noise(seed: int, size: int) -> bytes:
    """Bytes that occur nowhere else, none of them NUL."""
    return random.Random(seed).randbytes(size).replace(b"\0", b"\1")
