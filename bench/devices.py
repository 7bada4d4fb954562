"""A volume over NBD beside qemu-nbd on a raw file and on qcow2, by fio's nbd engine."""

from __future__ import annotations

import contextlib
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

from archipelago import Catalog, import_raw
from bench.images import MIB, ImageSet, make
from bench.report import Row
from bench.servers import listening, volume_server
from blockstore import StoreOptions, create_store, open_store

SECONDS = 3
SIZE = 256 * MIB
COMMAND = "make bench ONLY=devices"

# Reads first: they find the image as it was imported, or behind its qcow2 tables.
JOBS = {
    "random read 4 KiB, depth 1": ("randread", "4k", 1, 0),
    "random read 4 KiB, depth 16": ("randread", "4k", 16, 0),
    "sequential read 1 MiB, depth 4": ("read", "1m", 4, 0),
    "random write 4 KiB, depth 16": ("randwrite", "4k", 16, 0),
    "random write 4 KiB, flush each": ("randwrite", "4k", 1, 1),
    "sequential write 1 MiB, depth 4": ("write", "1m", 4, 0),
}


def run(directory: Path) -> list[Row]:
    """Every job against the three servers in turn; the rows compare ours with each peer."""
    image = make(directory, ImageSet(count=1, size=SIZE))[0]
    found = {
        "ours": _with(_ours(directory, image)),
        "qemu-nbd raw": _with(_qemu(directory, image, "raw")),
        "qemu-nbd qcow2": _with(_qemu(directory, image, "qcow2")),
    }
    ours = found.pop("ours")
    return [
        Row("devices", f"{name} ({peer})", ours[name], "1/s", peer, figures[name], command=COMMAND)
        for name in JOBS
        for peer, figures in found.items()
    ]


def _with(server: contextlib.AbstractContextManager[str]) -> dict[str, float]:
    with server as uri:
        return {name: _fio(uri, *job) for name, job in JOBS.items()}


def _fio(uri: str, pattern: str, block: str, depth: int, fsync: int) -> float:
    """Operations a second."""
    words = [
        "fio", "--name=job", "--ioengine=nbd", f"--uri={uri}", f"--rw={pattern}", f"--bs={block}",
        f"--iodepth={depth}", f"--size={SIZE}", f"--runtime={SECONDS}", "--time_based",
        f"--fsync={fsync}", "--output-format=json",
    ]  # fmt: skip
    run = subprocess.run(words, check=True, capture_output=True, text=True)
    job = json.loads(run.stdout[run.stdout.index("{") :])["jobs"][0]
    return float(job["read"]["iops"] + job["write"]["iops"])


@contextlib.contextmanager
def _ours(directory: Path, image: Path) -> Iterator[str]:
    url = f"files:{directory / 'store'}"
    create_store(url, StoreOptions())
    store = open_store(url)
    import_raw(Catalog(store), image, "disk")
    store.close()
    with volume_server(url, directory) as server:
        yield f"nbd+unix:///disk?socket={server.socket}"


@contextlib.contextmanager
def _qemu(directory: Path, image: Path, form: str) -> Iterator[str]:
    disk = directory / f"disk.{form}"
    subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", form, image, disk], check=True)
    socket = directory / f"{form}.sock"
    words = ["qemu-nbd", "--persistent", "--shared=8", "-f", form, "-k", str(socket), str(disk)]
    with listening(words, socket):
        yield f"nbd+unix:///?socket={socket}"
