"""Volumes against byte strings while their store is closed and opened, at several block sizes."""

from __future__ import annotations

from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis.stateful import rule
from test_volume_stateful import VolumesMachine

from archipelago import Catalog
from blockstore import open_store


class ReopenedMachine(VolumesMachine):
    files = True

    @rule()
    def reopen(self) -> None:
        """As the next process finds it: no cache, no open layer, the index from its file."""
        for model in self.models.values():
            if model.open is not None:
                model.open.close()
                model.open = None
        self.store.close()
        self.store = open_store(f"files:{Path(self.directory.name) / 'store'}")
        self.catalog = Catalog(self.store)
        for name, model in self.models.items():
            self.check_content(name, model)


class ReopenedMiddleMachine(ReopenedMachine):
    block_size = 2**18


class ReopenedWidestMachine(ReopenedMachine):
    block_size = 2**22


TestReopened = ReopenedMachine.TestCase
TestReopened.settings = settings(
    max_examples=30,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
TestReopenedMiddle = ReopenedMiddleMachine.TestCase
TestReopenedMiddle.settings = settings(TestReopened.settings, max_examples=15)
TestReopenedWidest = ReopenedWidestMachine.TestCase
TestReopenedWidest.settings = settings(TestReopened.settings, max_examples=15)
del VolumesMachine  # or its own test case would be run here too
