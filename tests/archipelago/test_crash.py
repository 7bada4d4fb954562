"""kill -9 at any moment: what was acknowledged is there, what was not is old or new, never else."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
from archipelago_crash_child import SIZE, Operation, operations
from archipelago_stores import new_files_store

from archipelago import Catalog, VolumeNotFound
from archipelago.records import decode_layer, decode_snapshot, decode_volume
from blockstore import open_store

ROUNDS = 6
CHILD = Path(__file__).with_name("archipelago_crash_child.py")
ROOT = Path(__file__).parents[2]


class Expected:
    """What a volume may contain: the last durable bytes, and each later state of a page."""

    def __init__(self, content: bytes) -> None:
        self.content = bytearray(content)
        self.later: dict[int, list[bytes]] = {}
        self.copies: dict[str, bytes] = {}
        self.in_doubt: tuple[str, bytes] | None = None

    def begin(self, operation: Operation) -> None:
        what, place, data = operation
        if what in ("write", "zero"):
            for start in range(place - place % 4096, place + len(data), 4096):
                self.later.setdefault(start, []).append(bytes(self.content[start : start + 4096]))
            self.content[place : place + len(data)] = data
        elif what in ("snapshot", "clone"):
            self.in_doubt = copy_name(operation), bytes(self.content)

    def done(self, operation: Operation) -> None:
        if operation[0] in ("flush", "snapshot", "clone", "reopen"):
            self.later.clear()
        if self.in_doubt is not None:
            name, content = self.in_doubt
            self.copies[name] = content
            self.in_doubt = None

    def check(self, found: bytes) -> None:
        for start in range(0, SIZE, 4096):
            page = found[start : start + 4096]
            allowed = [bytes(self.content[start : start + 4096]), *self.later.get(start, [])]
            assert page in allowed, f"page at {start}"


def copy_name(operation: Operation) -> str:
    what, number, _ = operation
    return f"v@s{number}" if what == "snapshot" else f"c{number}"


def run_and_kill(url: str, seed: int, lines: int, expected: Expected) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    todo = operations(seed)
    with subprocess.Popen(
        [sys.executable, str(CHILD), url, str(seed)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    ) as child:
        try:
            for count, line in enumerate(child.stdout):
                if count == lines:
                    child.kill()
                if line.endswith("begins\n"):
                    operation = next(todo)
                    expected.begin(operation)
                elif line.endswith("done\n"):
                    expected.done(operation)
        finally:
            child.kill()
        errors = child.stderr.read()
    assert errors == "", errors


def read_all(catalog: Catalog, name: str) -> bytes:
    with catalog.open(name, read_only=True) as volume:
        return volume.read(0, volume.size)


def check_layers(catalog: Catalog) -> None:
    heads = catalog.store.heads
    records = [decode_volume(head.name, head.value) for head in heads.list("volume/")]
    records += [decode_snapshot(head.name, head.value) for head in heads.list("snapshot/")]
    used = {layer_id for record in records for layer_id in record.layers}
    found = [decode_layer(head.name, head.value) for head in heads.list("layer/")]
    assert {layer.id for layer in found} == used == set(catalog.store.extents.list())


@pytest.mark.parametrize("seed", [random.SystemRandom().randrange(10**6)])
def test_killed_at_any_moment(tmp_path, seed):
    chance = random.Random(seed)
    store = new_files_store(tmp_path / "store")
    url = store.url
    Catalog(store).create("v", SIZE)
    store.close()
    expected = Expected(bytes(SIZE))
    for turn in range(ROUNDS):
        run_and_kill(url, seed + turn, chance.randrange(2, 250), expected)
        store = open_store(url)
        catalog = Catalog(store)
        catalog.sweep_layers(age_s=0)
        check_layers(catalog)
        found = read_all(catalog, "v")
        expected.check(found)
        if expected.in_doubt is not None:
            name, content = expected.in_doubt
            try:
                assert read_all(catalog, name) == content
                expected.copies[name] = content
            except VolumeNotFound:
                pass
        copies = expected.copies
        if turn % 2:
            catalog.seal_pending()
        for name, content in copies.items():
            assert read_all(catalog, name) == content, name
        names = {info.name for info in catalog.list()}
        names |= {info.full_name for info in catalog.snapshots("v")}
        assert names == {"v", *copies}
        expected = Expected(found)
        expected.copies = copies
        store.close()
