"""Random work on a store against a dictionary, with crashes at any point between operations.

A crash is a copy of the directory as it is (what survives kill -9), which is then used instead.
"""

import hashlib
import shutil

import pytest
from files_stores import BLOCK, Stores
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    rule,
    run_state_machine_as_test,
)

from blockstore import ZERO_ID, NotFound, rebuild_index

seeds = st.integers(0, 30)
sizes = st.sampled_from([1, 64, 65, 4096, BLOCK - 1, BLOCK])


def content(seed, size):
    return (hashlib.sha256(bytes([seed])).digest() * (size // 32 + 1))[: size - 1] + b"\x01"


class BlocksMachine(RuleBasedStateMachine):
    directory = None  # set by the test
    machines = 0

    def __init__(self):
        super().__init__()
        BlocksMachine.machines += 1
        self.generation = 0
        self.stores = self.place()
        self.stores.create()
        self.blocks = self.stores.open().blocks
        self.committed = {}
        self.pending = {}
        self.discarded = set()

    def place(self):
        return Stores(self.directory / f"{BlocksMachine.machines}-{self.generation}")

    @rule(pieces=st.lists(st.tuples(seeds, sizes), min_size=1, max_size=4))
    def put(self, pieces):
        contents = [content(seed, size) for seed, size in pieces]
        padded = [piece.ljust(BLOCK, b"\0") for piece in contents]
        ids = self.blocks.put_many(b"".join(padded))
        for block_id, piece in zip(ids, contents, strict=True):
            if block_id not in self.committed:
                self.pending[block_id] = piece

    @rule(count=st.integers(50, 90), seed=seeds)
    def put_more_than_a_segment(self, count, seed):
        contents = [content(seed, BLOCK - 2 - n) for n in range(count)]
        ids = self.blocks.put_many(b"".join(piece.ljust(BLOCK, b"\0") for piece in contents))
        for block_id, piece in zip(ids, contents, strict=True):
            if block_id not in self.committed:
                self.pending[block_id] = piece

    @rule()
    def commit(self):
        self.blocks.commit()
        self.committed |= self.pending
        self.discarded -= set(self.committed)
        self.pending = {}

    @rule(seed=seeds, size=sizes)
    def discard(self, seed, size):
        for block_id, piece in list(self.committed.items()):
            if piece == content(seed, size):
                assert self.blocks.discard([block_id]) == 1
                del self.committed[block_id]
                self.discarded.add(block_id)

    @rule()
    def reopen(self):
        self.stores.close_all()
        self.pending = {}
        self.blocks = self.stores.open().blocks

    @rule()
    def crash(self):
        old = self.stores
        self.generation += 1
        self.stores = self.place()
        shutil.copytree(old.directory, self.stores.directory)
        old.close_all()
        shutil.rmtree(old.directory)
        self.blocks = self.stores.open().blocks
        self.settle_pending()

    @rule()
    def rebuild(self):
        self.stores.close_all()
        rebuild_index(self.stores.url)
        self.blocks = self.stores.open().blocks
        self.pending = {}
        # Discarded blocks may come back: nobody refers to them.
        here = self.blocks.contains_many(sorted(self.discarded))
        back = [i for i, is_here in zip(sorted(self.discarded), here, strict=True) if is_here]
        self.blocks.discard(back)

    def settle_pending(self):
        """After a crash each uncommitted block is there whole, or not at all."""
        for block_id, piece in self.pending.items():
            if self.blocks.contains_many([block_id]) == [True]:
                assert self.blocks.get(block_id) == piece
                self.committed[block_id] = piece
                self.discarded.discard(block_id)
        self.pending = {}

    @invariant()
    def all_is_there(self):
        known = self.committed | self.pending
        assert all(self.blocks.contains_many([*known, ZERO_ID]))
        for block_id, piece in known.items():
            assert self.blocks.get(block_id) == piece
        for block_id in self.discarded - set(self.pending):
            with pytest.raises(NotFound):
                self.blocks.get(block_id)

    @invariant()
    def sums_agree(self):
        stats = self.blocks.stats()
        assert stats.count == len(self.committed)
        assert stats.content_bytes == sum(map(len, self.committed.values()))
        assert [r.block_id for r in self.blocks.scan()] == sorted(self.committed)

    def teardown(self):
        self.stores.close_all()
        shutil.rmtree(self.stores.directory)


def run(tmp_path, examples, steps):
    machine = type("Machine", (BlocksMachine,), {"directory": tmp_path})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_random_work(tmp_path):
    run(tmp_path, 12, 12)


@pytest.mark.stress
def test_much_random_work(tmp_path):
    run(tmp_path, 300, 50)
