from collections.abc import Iterator
from pathlib import Path

import pytest
from kamaki_cloud import Cloud, Kamaki, make_cloud, running_cloud


@pytest.fixture(scope="session")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    folder = tmp_path_factory.mktemp("cloud")
    make_cloud(folder)
    with running_cloud(folder) as running:
        yield running


@pytest.fixture
def alice(cloud: Cloud, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Kamaki:
    return Kamaki(monkeypatch, tmp_path, cloud.url, "alice")


@pytest.fixture
def bob(cloud: Cloud, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Kamaki:
    return Kamaki(monkeypatch, tmp_path, cloud.url, "bob")


@pytest.fixture
def container(alice: Kamaki, request: pytest.FixtureRequest) -> str:
    """A new container of Alice's, called as the test."""
    name = request.node.name
    alice("container", "create", name)
    return str(name)
