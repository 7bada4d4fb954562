"""Single damaged pages of the index: an error or no effect, never the end of the process."""

from __future__ import annotations

import subprocess
import sys

import pytest
from files_stores import contents, noise

from blockstore import HeadChange, rebuild_index

PAGE = 4096
BLOCK_COUNT = 600
HEAD_COUNT = 120

LOOK = """
import sys
from pathlib import Path
from blockstore import Corrupt, NotFound, open_store

url, index_file, content, *numbers = sys.argv[1:]

def attempt(number, act):
    try:
        return act()
    except (Corrupt, NotFound) as error:
        print(number, error)

def look(number):
    store = attempt(number, lambda: open_store(url, read_only=True))
    if store is not None:
        attempt(number, lambda: store.heads.list(""))
        attempt(number, lambda: [None for _ in store.blocks.scan()])
        attempt(number, lambda: store.heads.get("head-1"))
        store.close()

with open(index_file, "r+b", buffering=0) as file:
    good = file.read()
    for at in (int(number) * 4096 for number in numbers):
        file.seek(at)
        file.write((bytes.fromhex(content) * 4096)[:4096])
        look(at // 4096)
        file.seek(at)
        file.write(good[at : at + 4096])
print("alive")
"""
"""In a process of its own: what LMDB does not like, it ends."""


@pytest.fixture
def index_file(stores):
    stores.create()
    store = stores.open()
    for start in range(0, BLOCK_COUNT, 100):
        for seed in range(start, start + 100):
            store.blocks.put_many(noise(seed, 100))
        store.blocks.commit()
    store.heads.update([HeadChange(f"head-{n}", 0, b"x" * 400) for n in range(HEAD_COUNT)])
    stores.close_all()
    return stores.directory / "index" / "data.mdb"


def look(stores, index_file, content, numbers):
    """What is said with each page damaged in turn: (page, error)."""
    words = [stores.url, str(index_file), content.hex(), *map(str, numbers)]
    done = subprocess.run(
        [sys.executable, "-c", LOOK, *words], capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines.pop() == "alive"
    return [(int(number), text) for number, _, text in (line.partition(" ") for line in lines)]


def pages_of(index_file, kind):
    """Numbers of the pages that have these flags."""
    data = index_file.read_bytes()
    starts = range(2 * PAGE, len(data), PAGE)
    return [at // PAGE for at in starts if data[at + 10 : at + 12] == kind.to_bytes(2, "little")]


@pytest.mark.parametrize("content", [b"\0", b"\xff", b"stray"], ids=["zeros", "ones", "text"])
def test_a_damaged_page_is_an_error_of_what_needs_it(stores, index_file, content):
    numbers = pages_of(index_file, 1) + pages_of(index_file, 2)
    assert len(numbers) > 15
    said = look(stores, index_file, content, numbers)
    assert all("the index is damaged" in text for _, text in said)
    named = {number for number, text in said if f"page {number} " in text}
    assert len(named) > 10
    assert look(stores, index_file, content, []) == []


def test_the_index_is_rebuilt_without_its_pages(stores, index_file):
    data = bytearray(index_file.read_bytes())
    for number in pages_of(index_file, 2):
        data[number * PAGE : (number + 1) * PAGE] = bytes(PAGE)
    index_file.write_bytes(data)
    report = rebuild_index(stores.url)
    assert (report.block_count, report.head_count) == (BLOCK_COUNT, HEAD_COUNT)
    assert report.damaged == ()
    assert len(contents(stores.open().blocks)) == BLOCK_COUNT


def test_what_does_not_need_the_page_is_served(stores, index_file):
    store = stores.open(read_only=True)
    ids = [record.block_id for record in store.blocks.scan()]
    stores.close_all()
    data = bytearray(index_file.read_bytes())
    page = data.rfind(ids[0]) // PAGE
    data[page * PAGE : (page + 1) * PAGE] = bytes(PAGE)
    index_file.write_bytes(data)
    store = stores.open(read_only=True)
    assert len(store.heads.list("")) == HEAD_COUNT
    assert store.blocks.get(ids[-1])
    assert store.heads.get("head-7").value == b"x" * 400
