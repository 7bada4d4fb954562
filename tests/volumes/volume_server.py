"""A volume server in a process of its own, for tests."""

from __future__ import annotations

import select
import signal
import subprocess
import sys
from pathlib import Path

READY_SECONDS_MAX = 30
END_SECONDS_MAX = 30


class VolumeServer:
    """`python -m volumes` over a store; logs go to a file."""

    def __init__(self, store_url: str, directory: Path, name: str = "server"):
        self.store_url = store_url
        self.socket = str(directory / f"{name}.sock")
        self.control = str(directory / f"{name}.ctl")
        self.log_path = directory / f"{name}.log"
        self.process: subprocess.Popen | None = None
        self.ready = ""

    def start(self, *options: str) -> VolumeServer:
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "volumes", "--store", self.store_url),
                    *("--socket", self.socket, "--control", self.control, *options),
                ],
                stdout=subprocess.PIPE,
                stderr=log,
            )
        readable, _, _ = select.select([self.process.stdout], [], [], READY_SECONDS_MAX)
        assert readable, "the server does not get ready"
        self.ready = self.process.stdout.readline().decode().strip()
        return self

    @property
    def log(self) -> str:
        return self.log_path.read_text()

    def uri(self, export: str) -> str:
        return f"nbd+unix:///{export}?socket={self.socket}"

    def kill(self) -> None:
        """kill -9: nothing is finished."""
        self.process.kill()
        self._reap()

    def stop(self) -> int:
        """An orderly end; the exit status."""
        if self.process is None:
            return 0
        self.process.send_signal(signal.SIGTERM)
        return self._reap()

    def _reap(self) -> int:
        try:
            status = self.process.wait(END_SECONDS_MAX)
        finally:
            if self.process.poll() is None:
                self.process.kill()
                self.process.wait()
            self.process.stdout.close()
            self.process = None
        return status
