"""A server of our own for the clients of others; its users, and where they log in."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pytest

USER = "alice"
PASSWORD = "alice's secret"


@dataclass(frozen=True)
class SwiftServer:
    """Where `USER` logs in with `PASSWORD`; the project has the name of the user."""

    url: str

    @property
    def v1(self) -> str:
        return f"{self.url}/auth/v1.0"

    @property
    def v3(self) -> str:
        return f"{self.url}/v3"


@pytest.fixture(scope="module")
def swift_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SwiftServer]:
    starting = _api_fixtures()
    folder = tmp_path_factory.mktemp("swift")
    starting.make_installation(folder)
    server = starting.start_server(folder)
    yield SwiftServer(server.url)
    starting.stop_server(server)


def _api_fixtures() -> ModuleType:
    """The fixtures of the API's tests, under a name of their own: every folder has a `conftest`."""
    name = "pithos_api_conftest"
    if name not in sys.modules:
        path = Path(__file__).parent.parent / "pithos_api" / "conftest.py"
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    return sys.modules[name]
