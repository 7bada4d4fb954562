import os

import pytest
from blake3 import blake3
from kamaki_cloud import noise

from clients.errors import DataMismatch, ServerFailed
from clients.hashmap import BlockRules, FileState, Hashmap, hash_file
from clients.progress import Silent

RULES = BlockRules(65536, "blake3")
FOUR_MIB = BlockRules(4 * 2**20, "sha256")


class Counter:
    """Adds up what is reported."""

    def __init__(self):
        self.done = 0

    def start(self, label, total):
        self.done = 0

    def advance(self, count):
        assert count >= 0
        self.done += count


def hashes_of(path, rules=RULES):
    with path.open("rb") as file:
        counter = Counter()
        found = hash_file(file.fileno(), rules, counter)
        assert counter.done == found.size
        return found


def naive(content, rules=RULES):
    step = rules.block_size
    return [
        blake3(content[i : i + step].rstrip(b"\0")).digest() for i in range(0, len(content), step)
    ]


@pytest.mark.parametrize(
    ("content", "top"),
    [
        (b"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
        (b"\0", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
        (b"a", "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"),
        (b"a\0\0\0", "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"),
        (
            b"x" * (4 << 20) + b"y",
            "1eade5f3b5aea8599453d8d1950d0d0cea8e9ef096b1c069cbd6f3f1d62276e0",
        ),
        (
            b"x" * (8 << 20) + b"y",
            "1f19c99bc28c9a137ca4a37a89844380fc9acaf2c166f2832af88cb3b89b8c12",
        ),
        (
            b"x" * (16 << 20) + b"y",
            "102d1acc12ddf909415854302f391ed06c113b126b066e0a512f8c80fe3723f7",
        ),
    ],
)
def test_top_hash_of_the_published_vectors(tmp_path, content, top):
    path = tmp_path / "f"
    path.write_bytes(content)
    assert hashes_of(path, FOUR_MIB).top_hash == top


@pytest.mark.parametrize("size", [0, 1, 65535, 65536, 65537, 200000])
def test_blocks_of_a_file(tmp_path, size):
    content = noise(size, size)
    path = tmp_path / "f"
    path.write_bytes(content)
    assert hashes_of(path).hashes == naive(content)


def test_holes_anywhere_hash_as_their_zeros(tmp_path):
    path = tmp_path / "f"
    with path.open("wb") as file:
        for offset in (70000, 300000, 300001, 65536 * 20 + 5):
            file.seek(offset)
            file.write(b"z")
        file.truncate(65536 * 30 + 1)
    assert hashes_of(path).hashes == naive(path.read_bytes())


def test_only_a_hole(tmp_path):
    path = tmp_path / "f"
    path.touch()
    os.truncate(path, 2**33)
    found = hashes_of(path)
    assert set(found.hashes) == {RULES.zero_digest}
    assert len(found.hashes) == 2**33 // 65536


def test_large_blocks_hash_the_same_with_several_threads():
    block = noise(5, 3 * 2**20)
    assert BlockRules(4 * 2**20, "blake3").digest(block) == blake3(block).digest()


def test_a_file_that_becomes_shorter_is_noticed(tmp_path):
    path = tmp_path / "f"
    path.write_bytes(b"x" * 100)
    with path.open("rb") as file, pytest.raises(DataMismatch):
        hash_file(file.fileno(), RULES, Silent(), 101)


def test_a_write_changes_the_state_of_a_file(tmp_path):
    path = tmp_path / "f"
    path.write_bytes(b"x" * 100)
    with path.open("r+b", buffering=0) as file:
        os.utime(file.fileno(), ns=(0, 1))
        before = FileState.of(file.fileno())
        file.write(b"y")
        assert FileState.of(file.fileno()) != before


@pytest.mark.parametrize(("size", "count"), [(-1, 0), (0, 1), (1, 0), (65537, 1)])
def test_a_hashmap_whose_count_does_not_fit_is_refused(size, count):
    with pytest.raises(ServerFailed):
        Hashmap(RULES, size, [bytes(32)] * count)


@pytest.mark.parametrize(("size", "name"), [(0, "blake3"), (2**40, "blake3"), (65536, "md5")])
def test_rules_that_make_no_sense_are_refused(size, name):
    with pytest.raises(ServerFailed):
        BlockRules(size, name)
