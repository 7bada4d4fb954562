"""Progress bars of long work: on a terminal, and nowhere else."""

from __future__ import annotations

import os
import pty
import random
import subprocess
import sys

import pytest
from operator_session import bare_operator, operator

__all__ = ["bare_operator", "operator"]

COMMAND = [sys.executable, "-m", "pithos_api.operator.main", "volume"]


def on_a_terminal(*words):
    """What a command writes to standard error when that is a terminal."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [*COMMAND, *map(str, words)],
        stdout=subprocess.DEVNULL,
        stderr=theirs,
        env={**os.environ, "TERM": "xterm"},
    ) as process:
        os.close(theirs)
        shown = b""
        try:
            while piece := os.read(ours, 65536):
                shown += piece
        except OSError:
            pass  # the other end is closed
        finally:
            os.close(ours)
    assert process.returncode == 0, shown
    return shown.decode()


@pytest.mark.parametrize("image_format", ["raw", "qcow2"])
def test_a_terminal_sees_it(operator, tmp_path, image_format):
    source, target = tmp_path / "in", tmp_path / "out"
    source.write_bytes(random.Random(1).randbytes(2 << 20))
    seen = on_a_terminal("import", "v", source, "--data", operator.data)
    assert "importing" in seen
    assert "100%" in seen or "2.1/2.1" in seen or "2.0/2.0" in seen
    format_flags = ("--format", image_format)
    assert "exporting" in on_a_terminal(
        "export", "v", target, *format_flags, "--data", operator.data
    )


def test_nobody_else_does(operator, tmp_path):
    (tmp_path / "in").write_bytes(b"x" * 100_000)
    assert operator.ok("volume", "import", "v", str(tmp_path / "in")).err == ""
    assert operator.ok("volume", "export", "v", str(tmp_path / "out")).err == ""
