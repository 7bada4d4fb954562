"""A guest of the demo: `archipelago vm boot`, with us at its console."""

from __future__ import annotations

import subprocess
from pathlib import Path
from types import TracebackType

from bench.demo.site import Site, check
from bench.demo.template import ROOT_OFFSET
from compute_glue.console import Console

PROMPT = rb"guest# $"
BOOT_S = 90.0
COMMAND_S = 60.0
POWER_OFF_S = 60.0


class DemoGuest:
    """A machine that boots from a volume. `prompt` waits until it is up."""

    def __init__(self, site: Site, volume: str) -> None:
        self.volume = volume
        self._process = site.popen("vm", "boot", volume, "--memory", "256M")
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self.seen = bytearray()
        self.console = Console(
            self._process.stdout.fileno(), self._process.stdin.fileno(), self.seen.extend
        )

    def prompt(self) -> None:
        self.console.expect(PROMPT, BOOT_S)

    def run(self, command: str) -> None:
        code = self.console.run(command, COMMAND_S)
        check(code == 0, f"in {self.volume}, `{command}` ended with {code}")
        self.console.expect(PROMPT, COMMAND_S)

    def output(self, command: str) -> str:
        """The first line that the command prints."""
        self.console.send_line(f"echo =; {command}; echo =")
        # The echo of the typed line has its equals signs in the middle of a line.
        found = self.console.expect(rb"\n=\r?\n([^\r\n]*)\r?\n(?:.*\n)*?=\r?\n", COMMAND_S)
        self.console.expect(PROMPT, COMMAND_S)
        return found[1].decode()

    def power_off(self) -> None:
        self.console.send_line("poweroff")
        check(self.console.drain(POWER_OFF_S), f"{self.volume} did not power off")
        code = self._process.wait(POWER_OFF_S)
        check(code == 0, f"the machine on {self.volume} ended with {code}")

    def close(self) -> None:
        """Pull the plug if it still runs."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()

    def __enter__(self) -> DemoGuest:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def replay_journal(image: Path) -> None:
    """What a mount does first: finish what the file system had begun."""
    _debugfs(image, "journal_run", "-w")


def read_file(image: Path, path: str) -> bytes | None:
    """A file of the image's root partition, or None where there is none."""
    listing = _debugfs(image, f"stat {path}")
    if b"Inode:" not in listing:
        return None
    return _debugfs(image, f"cat {path}")


def write_file(image: Path, source: Path, path: str) -> None:
    """Put a file into the image's root partition, as an administrator of templates would."""
    _debugfs(image, f"write {source} {path}", "-w")
    found = read_file(image, path)
    check(found == source.read_bytes(), f"debugfs did not write {path}")


def _debugfs(image: Path, request: str, *flags: str) -> bytes:
    return subprocess.run(
        ["/usr/sbin/debugfs", *flags, "-R", request, f"{image}?offset={ROOT_OFFSET}"],
        capture_output=True,
        check=True,
    ).stdout
