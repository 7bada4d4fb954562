"""A running server, and kamaki run against it."""

from __future__ import annotations

import contextlib
import io
import json
import os
import random
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from blockstore import BlockStats, StoreOptions, create_store, open_store
from clients.cli.main import main
from pithos_api.database.engine import open_engine
from pithos_api.database.migrations import upgrade
from pithos_api.identity.accounts import Identity
from pithos_api.settings import PasswordCost

BLOCK_SIZE = 65536
PASSWORD = "correct horse"
USERS = ("alice", "bob")
START_TIMEOUT_S = 60

SERVE = """
import json, os, sys
from pithos_api.server import run_api_server
from pithos_api.settings import PasswordCost, Settings

def ready(url):
    os.write(int(sys.argv[2]), url.encode() + b"\\n")

fields = json.loads(sys.argv[1])
run_api_server(Settings(password_cost=PasswordCost(1, 8, 1), **fields), ready)
"""


@dataclass(frozen=True)
class Cloud:
    """A server over a files: store, with the users of `USERS`."""

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
    store_url, database_url = _urls(folder)
    create_store(store_url, StoreOptions(block_size=BLOCK_SIZE))
    upgrade(database_url)
    engine = open_engine(database_url)
    identity = Identity(engine, PasswordCost(passes=1, memory_kib=8, lanes=1))
    for name in USERS:
        identity.create_user(name, PASSWORD)
    engine.dispose()


def _urls(folder: Path) -> tuple[str, str]:
    return f"files:{folder}/store", f"sqlite:///{folder}/api.sqlite"


@contextlib.contextmanager
def running_cloud(folder: Path) -> Iterator[Cloud]:
    """Serve what `make_cloud` made."""
    store_url, database_url = _urls(folder)
    fields = {"store_url": store_url, "database_url": database_url, "port": 0}
    read_end, write_end = os.pipe()
    log = folder / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-c", SERVE, json.dumps(fields), str(write_end)],
            pass_fds=[write_end],
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    os.close(write_end)
    try:
        readable, _, _ = select.select([read_end], [], [], START_TIMEOUT_S)
        url = os.read(read_end, 1000).decode().strip() if readable else ""
        if not url:
            pytest.fail(f"the server did not start:\n{log.read_text()}")
        yield Cloud(url, store_url, process)
    finally:
        os.close(read_end)
        process.terminate()
        process.wait(START_TIMEOUT_S)


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
            "KAMAKI_PASSWORD": PASSWORD,
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
