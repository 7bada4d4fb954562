"""Layers whose writer is killed: what was flushed is there, and no page has foreign bytes.

The second half looks at the order of the writer's system calls, which is what a loss of power
would show: it needs strace.
"""

import itertools
import os
import random
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from layer_crash_child import PAGES, steps

from blockstore.files.extents import FilesExtents
from blockstore.interface import PAGE_SIZE, PageState

CHILD = Path(__file__).with_name("layer_crash_child.py")
ROOT = CHILD.parents[2]
INHERIT = "inherit"


def apply(pages, step):
    """Give each page the set of what it may hold once the step has begun."""
    act, first, count, fill = step
    if act != "flush":
        content = bytes([fill]) if act == "write" else b"\0"
        for page in range(first, first + count):
            pages[page] = [*pages[page], content]


def settle(pages):
    """A flush was answered: only the newest counts."""
    for page, contents in enumerate(pages):
        pages[page] = contents[-1:]


def found_pages(directory):
    layer = FilesExtents(directory, read_only=False).open("ab12", writable=True)
    found = []
    for run in layer.runs(0, PAGES * PAGE_SIZE):
        for offset in range(run.offset, run.offset + run.length, PAGE_SIZE):
            out = bytearray(PAGE_SIZE)
            layer.read_into(offset, memoryview(out))
            assert len(set(out)) == 1 or run.state is not PageState.DATA
            content = {PageState.INHERIT: INHERIT, PageState.ZERO: b"\0"}.get(run.state)
            found.append(content or bytes(out[:1]))
    layer.flush()
    layer.close()
    return found


def start(arguments, seed, directory):
    command = [*arguments, sys.executable, str(CHILD), str(directory), "ab12", str(seed)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment, text=True
    )


def run_and_kill(directory, seed, lines_before_death):
    """Run the child; return the number of steps begun, and of the last flush answered."""
    begun, flushed = 0, -1
    with start([], seed, directory) as child:
        lines = itertools.islice(child.stdout, lines_before_death)
        for line in lines:
            begun, flushed = parse(line, begun, flushed)
        child.kill()
        for line in child.stdout:
            if line.endswith("\n"):
                begun, flushed = parse(line, begun, flushed)
    return begun, flushed


def parse(line, begun, flushed):
    word, number = line.split()
    if word == "begin":
        return int(number) + 1, flushed
    return begun, int(number)


@pytest.mark.parametrize("seed", [11, 12, 13])
def test_killed_at_random_points(tmp_path, seed):
    random_ = random.Random(seed)
    extents = FilesExtents(tmp_path, read_only=False)
    extents.create("ab12", PAGES * PAGE_SIZE)
    pages = [[INHERIT] for _ in range(PAGES)]
    for life in range(3):
        child_seed = seed * 100 + life
        begun, flushed = run_and_kill(tmp_path, child_seed, random_.randint(1, 150))
        for number, step in zip(range(begun), steps(child_seed), strict=False):
            apply(pages, step)
            if number == flushed:
                settle(pages)
        found = found_pages(tmp_path)
        for page, content in enumerate(found):
            assert content in pages[page], f"seed {seed} life {life} page {page}"
        pages = [[content] for content in found]


CALL = re.compile(r"^(?:\[?pid +\d+\]? +|\d+ +)?(\w+)\((\d+)<([^>]*)>(.*)$")


def traced_calls(path):
    for line in path.read_text().splitlines():
        match = CALL.match(line)
        if match:
            name, _, file, rest = match.groups()
            yield name, Path(file).name if "/" in file else "output", rest


@pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")
def test_data_before_states_before_answer(tmp_path):
    extents = FilesExtents(tmp_path / ".", read_only=False)
    extents.create("ab12", PAGES * PAGE_SIZE)
    trace = tmp_path / "trace"
    calls = "trace=pwrite64,write,fdatasync,fsync,fallocate,ftruncate"
    with start(["strace", "-f", "-y", "-o", str(trace), "-e", calls], 3, tmp_path) as child:
        for line in itertools.islice(child.stdout, 120):
            if line.startswith("flushed"):
                last = line
        child.stdout.close()
        child.wait()
    dirty, answers, frames = set(), 0, 0
    for name, file, rest in traced_calls(trace):
        if file == "output" and "flushed" in rest:
            assert not dirty, f"answered with {dirty} not synced"
            answers += 1
        elif name in ("fdatasync", "fsync"):
            dirty.discard(file)
        elif file == "states":
            assert not [each for each in dirty if each.startswith("data")]
            dirty.add(file)
            frames += 1
        elif file.startswith("data"):
            dirty.add(file)
    assert answers >= 5
    assert frames >= 5
    assert last
