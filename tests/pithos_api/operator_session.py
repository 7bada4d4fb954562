"""The command `archipelago`, run in this process on a data directory of its own."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from pithos_api.operator.main import main


@dataclass(frozen=True)
class Done:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def json(self):
        return json.loads(self.out)


class Operator:
    def __init__(self, data: Path, capfd: pytest.CaptureFixture[str]) -> None:
        self.data = data
        self._capture = capfd

    def __call__(self, *arguments: str) -> Done:
        """Run it; whatever its exit code is."""
        self._capture.readouterr()
        try:
            code = main([*arguments, "--data", str(self.data)])
        except SystemExit as end:
            code = int(end.code or 0)
        out, err = self._capture.readouterr()
        return Done(code, out, err)

    def ok(self, *arguments: str) -> Done:
        done = self(*arguments)
        assert done.code == 0, done.err
        return done

    def refused(self, code: int, *arguments: str) -> str:
        """The one line on standard error."""
        done = self(*arguments)
        assert done.code == code, done
        assert done.out == ""
        lines = done.err.splitlines()
        assert len(lines) == 1, done.err
        assert lines[0].startswith("archipelago: ")
        return lines[0]


@pytest.fixture
def bare_operator(tmp_path, capfd, monkeypatch) -> Operator:
    """On a directory that is not there yet."""
    for name in ("ARCHIPELAGO_DATA", "ARCHIPELAGO_CONFIG", "ARCHIPELAGO_PORT"):
        monkeypatch.delenv(name, raising=False)
    return Operator(tmp_path / "data", capfd)


@pytest.fixture
def operator(bare_operator) -> Operator:
    """On a new installation."""
    bare_operator.ok("init", "--hash", "sha256")
    return bare_operator
