"""What a volume server holds in memory: with nothing attached, and with a hundred idle clones."""

from __future__ import annotations

import contextlib
import random
import socket
import struct
from pathlib import Path

from archipelago import Catalog
from bench.report import Row
from bench.servers import volume_server
from blockstore import StoreOptions, create_store, open_store
from volumes.nbd import wire

MIB = 2**20
CLONES = 100
VOLUME_MIB = 64
COMMAND = "make bench ONLY=memory"


def run(directory: Path) -> list[Row]:
    """Resident memory of the server process, from /proc."""
    url = f"files:{directory / 'store'}"
    create_store(url, StoreOptions())
    store = open_store(url)
    catalog = Catalog(store)
    catalog.create("base", VOLUME_MIB * MIB)
    with catalog.open("base", holder="bench") as volume:
        volume.write(0, random.Random(1).randbytes(VOLUME_MIB * MIB))
    for number in range(CLONES):
        catalog.clone("base", f"clone-{number}")
    catalog.seal_pending()
    store.close()
    with volume_server(url, directory) as server, contextlib.ExitStack() as connections:
        empty = _resident_mib(server.pid)
        for number in range(CLONES):
            connections.enter_context(_attached(server.socket, f"clone-{number}"))
        attached = _resident_mib(server.pid)
    return [
        Row("memory", "volume server, nothing attached", empty, "MiB", command=COMMAND),
        Row("memory", f"volume server, {CLONES} idle clones", attached, "MiB", command=COMMAND),
    ]


def _attached(path: Path, name: str) -> socket.socket:
    """A connection in the transmission phase of the export."""
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(str(path))
    stream = connection.makefile("rb")
    with stream:
        stream.read(18)  # both magics and the server's flags
        connection.sendall(struct.pack(">I", 3))  # fixed newstyle, no zeroes
        go = wire.pack_string(name.encode()) + struct.pack(">H", 0)
        connection.sendall(wire.pack_option(wire.Option.GO, go))
        reply = 0
        while reply != wire.Reply.ACK:
            _, reply, length = wire.parse_option_reply_header(stream.read(20))
            if reply & 0x80000000:
                raise ConnectionError(f"the server refused {name}: {stream.read(length)!r}")
            stream.read(length)
    return connection


def _resident_mib(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    (line,) = (line for line in status.splitlines() if line.startswith("VmRSS:"))
    return int(line.split()[1]) / 1024
