"""A store that fills up in the middle of an upload: 507, nothing stored, all else goes on."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from small_disks import MIB, mounted_small_disk

from blockstore import StoreOptions, create_store
from pithos_api.app import close_app, create_app
from pithos_api.database.migrations import upgrade
from pithos_api.services import EXTENSION
from pithos_api.settings import PasswordCost, Settings

if TYPE_CHECKING:
    from swift_session import Swift

pytest_plugins = ("swift_session",)

DISK_SIZE = 64 * MIB
BALLAST_SIZE = 24 * MIB
SMALL = random.Random(1).randbytes(MIB)
LARGE = random.Random(2).randbytes(DISK_SIZE - BALLAST_SIZE)
"""Does not fit beside the ballast, but without it."""
NO_SPACE = 507


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    with mounted_small_disk(tmp_path / "disk", DISK_SIZE) as disk:
        yield disk.path


@pytest.fixture
def swift_on_small_disk(small_disk: Path, tmp_path: Path, swift_of: type[Swift]) -> Iterator[Swift]:
    settings = Settings(
        store_url=f"files:{small_disk}/store",
        database_url=f"sqlite:///{tmp_path}/api.sqlite",
        password_cost=PasswordCost(passes=1, memory_kib=8, lanes=1),
    )
    create_store(settings.store_url, StoreOptions(block_size=65536))
    upgrade(settings.database_url)
    app = create_app(settings)
    app.extensions[EXTENSION].identity.create_user("carol", "carol's secret")
    yield swift_of(app, "carol", "carol's secret")
    close_app(app)


def test_full_disk(swift_on_small_disk: Swift, small_disk: Path) -> None:
    swift = swift_on_small_disk
    swift("PUT", "/box")
    assert swift("PUT", "/box/kept", data=SMALL).status_code == 201
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(BALLAST_SIZE))
    for _ in range(2):
        assert swift("PUT", "/box/large", data=LARGE).status_code == NO_SPACE
        assert swift("PUT", "/box/kept", data=LARGE).status_code == NO_SPACE
    assert swift("HEAD", "/box/large").status_code == 404
    assert swift("GET", "/box/kept").data == SMALL
    assert swift("HEAD", "/box").headers["X-Container-Bytes-Used"] == str(MIB)
    ballast.unlink()
    assert swift("PUT", "/box/large", data=LARGE).status_code == 201
    assert swift("GET", "/box/large").data == LARGE
