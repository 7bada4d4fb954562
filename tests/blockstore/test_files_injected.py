"""Each of the first writes and flushes of a process fails in turn, by strace: what was answered
stays true, and the process goes on."""

import shutil
import subprocess
import sys

import pytest

WORK = """
import sys
from blockstore import StoreError, open_store

acknowledged = []
failures = 0
store = open_store(sys.argv[1])
for number in range(8):
    try:
        (block_id,) = store.blocks.put_many(b"block %d" % number)
        store.blocks.commit()
        acknowledged.append((number, block_id))
    except (OSError, StoreError):
        failures += 1
for number, block_id in acknowledged:
    assert store.blocks.get(block_id) == b"block %d" % number
assert store.blocks.stats().count == len(list(store.blocks.scan())) >= len(acknowledged)
store.close()
store = open_store(sys.argv[1])
for number, block_id in acknowledged:
    assert store.blocks.get(block_id) == b"block %d" % number
store.close()
print(failures)
"""

FAULTS = [
    ("fdatasync", "EIO", None, (2, 3, 4, 5)),
    ("pwrite64", "EIO", "index/data.mdb", (3, 4, 5, 6)),  # the second of two is the meta page
    ("pwrite64", "ENOSPC", "packs/000000/00000001", (2, 3)),
    ("pwrite64", "EIO", "packs/000000/00000001", (1, 2)),
]


@pytest.mark.parametrize(
    ("call", "error", "file", "when"),
    [(call, error, file, when) for call, error, file, times in FAULTS for when in times],
)
def test_failure_in_turn(stores, call, error, file, when):
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    stores.create()
    command = ["strace", "-f", "-q", "-o", str(stores.directory.parent / "trace")]
    command += ["-e", f"trace={call}", "-e", f"inject={call}:error={error}:when={when}"]
    if file is not None:
        command += ["-P", str(stores.directory / file)]
    command += [sys.executable, "-c", WORK, stores.url]
    done = subprocess.run(command, capture_output=True, text=True)
    if "ptrace" in done.stderr.lower():
        pytest.skip("this system does not let strace trace")
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= 1
