"""A real API server in processes of its own, over a `files:` store, with a few users."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from blockstore import StoreOptions, create_store
from pithos_api.database.engine import open_engine
from pithos_api.database.migrations import upgrade
from pithos_api.identity.accounts import Identity
from pithos_api.identity.records import ADMIN, MEMBER
from pithos_api.settings import PasswordCost, Settings

BLOCK_SIZE = 65536
CHEAP = PasswordCost(passes=1, memory_kib=8, lanes=1)
PASSWORDS = {"alice": "alice's secret", "bob": "bob's secret", "root": "root's secret"}
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
class ApiServer:
    """A running server."""

    url: str
    host: str
    port: int
    settings: Settings
    process: subprocess.Popen[bytes]
    log: Path

    @property
    def address(self) -> tuple[str, int]:
        return self.host, self.port


def store_url(folder: Path) -> str:
    return f"files:{folder}/store"


def database_url(folder: Path) -> str:
    return f"sqlite:///{folder}/api.sqlite"


def add_users(identity: Identity) -> None:
    """Alice and Bob with a project each, and an administrator."""
    for name, password in PASSWORDS.items():
        identity.create_user(name, password, role=ADMIN if name == "root" else MEMBER)


def make_installation(folder: Path, hash_name: str = "sha256") -> None:
    """A store and a database with the users of `PASSWORDS`."""
    create_store(store_url(folder), StoreOptions(hash_name=hash_name, block_size=BLOCK_SIZE))
    upgrade(database_url(folder))
    engine = open_engine(database_url(folder))
    add_users(Identity(engine, CHEAP))
    engine.dispose()


def start_server(folder: Path, **more: object) -> ApiServer:
    """Serve what `make_installation` made, on a free port, in a process group of its own."""
    urls = {"store_url": store_url(folder), "database_url": database_url(folder)}
    fields = {**urls, "port": 0, **more}
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
        url = _read_line(read_end)
    finally:
        os.close(read_end)
    if not url:
        process.wait()
        pytest.fail(f"the server did not start:\n{log.read_text()}")
    host, _, port = url.removeprefix("http://").rpartition(":")
    settings = Settings(password_cost=CHEAP, **fields)
    return ApiServer(url, host, int(port), settings, process, log)


def stop_server(server: ApiServer) -> None:
    """End it as an operator would."""
    server.process.terminate()
    try:
        server.process.wait(START_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        server.process.kill()
        server.process.wait()
        raise


def _read_line(pipe: int) -> str:
    """What the server says when it is ready; "" when it ended, or took too long."""
    readable, _, _ = select.select([pipe], [], [], START_TIMEOUT_S)
    return os.read(pipe, 1000).decode().strip() if readable else ""
