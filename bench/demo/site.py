"""A small cloud in a temporary directory: its server, its users, and their commands."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

START_S = 90.0
STOP_S = 60.0
COMMAND_S = 240.0
RELEASE_TRIES = 30
STORE = "store"


class DemoFailed(Exception):
    """A step did not do what it should; the text says what was seen."""


def check(condition: bool, what: str) -> None:
    if not condition:
        raise DemoFailed(what)


def find_command(name: str) -> str:
    """The command of this installation, else that of the PATH."""
    found = shutil.which(name, path=str(Path(sys.executable).parent)) or shutil.which(name)
    if found is None:
        raise DemoFailed(f"there is no command {name}; run make build")
    return found


class Site:
    """`archipelago serve` on a directory of its own, and commands run against it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data = folder / "data"
        self.port = 0
        self._commands = {name: find_command(name) for name in ("archipelago", "kamaki")}
        self._server: subprocess.Popen[str] | None = None
        self._log = (folder / "serve.log").open("w")
        self._users: dict[str, dict[str, str]] = {}
        plain = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("OS_", "KAMAKI_", "ARCHIPELAGO_"))
        }
        self._environment = plain | {"XDG_CONFIG_HOME": str(folder), "XDG_STATE_HOME": str(folder)}

    # The server

    def start(self) -> dict[str, Any]:
        """Start it and wait for what it says when everything answers."""
        command = [self._commands["archipelago"], "serve", "--init", "--json"]
        command += ["--data", str(self.data), "--port", str(self.port)]
        self._server = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=self._log, text=True, env=self._environment
        )
        assert self._server.stdout is not None
        text = ""
        # One document; its last line is the closing brace.
        for line in self._server.stdout:
            text += line
            if line.startswith("}"):
                break
        check(bool(text), "the server did not start")
        state: dict[str, Any] = json.loads(text)
        self.port = int(state["auth_url"].split(":")[2].split("/")[0])
        return state

    def stop(self) -> None:
        """As an operator would."""
        if self._server is not None:
            self._server.terminate()
            code = self._server.wait(STOP_S)
            self._forget_server()
            check(code == 0, f"the server ended with code {code}")

    def crash(self) -> int:
        """SIGKILL to every process of the server, so that none ends in order; how many."""
        assert self._server is not None
        # Stopped first, it cannot start again what is killed before it.
        os.kill(self._server.pid, signal.SIGSTOP)
        doomed = [*_descendants(self._server.pid), self._server.pid]
        for pid in doomed:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._server.wait(STOP_S)
        self._forget_server()
        return len(doomed)

    def close(self) -> None:
        """Whatever happened, nothing of it stays behind."""
        if self._server is not None:
            self.crash()
        self._log.close()

    def accelerator(self) -> str:
        """What the last machine said that it runs under, and why."""
        lines = (self.folder / "serve.log").read_text().splitlines()
        return next((line for line in reversed(lines) if " runs under " in line), "")

    def log_tail(self) -> str:
        return "\n".join((self.folder / "serve.log").read_text().splitlines()[-10:])

    def _forget_server(self) -> None:
        assert self._server is not None
        assert self._server.stdout is not None
        self._server.stdout.close()
        self._server = None

    # Commands

    def archipelago(self, *arguments: str, typed: str | None = None) -> str:
        """Run it for its output."""
        return self._run("archipelago", [*arguments, "--data", str(self.data)], {}, typed)

    def archipelago_json(self, *arguments: str) -> Any:  # noqa: ANN401 - the command decides
        return json.loads(self.archipelago(*arguments, "--json"))

    def add_user(self, name: str) -> None:
        """A user with a project of his own; his commands go to the API as it is then."""
        password = f"secret of {name}"
        self.archipelago("user", "create", name, "--password-stdin", typed=f"{password}\n")
        self._users[name] = {"OS_USERNAME": name, "OS_PASSWORD": password}

    def kamaki(self, user: str, *arguments: str) -> str:
        environment = self._users[user] | {"OS_AUTH_URL": f"http://127.0.0.1:{self.port}/v3"}
        return self._run("kamaki", list(arguments), environment, None)

    def kamaki_json(self, user: str, *arguments: str) -> Any:  # noqa: ANN401 - the command decides
        return json.loads(self.kamaki(user, *arguments, "--json"))

    def disk_bytes(self, part: str = "") -> int:
        """Bytes that the data directory, or a part of it, takes on the disk."""
        files = [path for path in (self.data / part).rglob("*") if path.is_file()]
        return sum(path.stat().st_blocks for path in files) * 512

    def wait_released(self, volume: str) -> None:
        """Until the server has let go of a volume whose machine has ended."""
        for _ in range(RELEASE_TRIES):
            if self.archipelago_json("volume", "info", volume)["info"]["holder"] is None:
                return
        raise DemoFailed(f"{volume} stays in use")

    def popen(self, *arguments: str) -> subprocess.Popen[bytes]:
        """`archipelago` in the background, its terminal ours."""
        return subprocess.Popen(
            [self._commands["archipelago"], *arguments, "--data", str(self.data)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            bufsize=0,
            env=self._environment,
        )

    def _run(
        self, name: str, arguments: list[str], environment: dict[str, str], typed: str | None
    ) -> str:
        done = subprocess.run(
            [self._commands[name], *arguments],
            env=self._environment | environment,
            input=typed if typed is not None else "",
            capture_output=True,
            text=True,
            timeout=COMMAND_S,
            check=False,
        )
        if done.returncode:
            line = shlex.join([name, *arguments])
            raise DemoFailed(f"`{line}` ended with {done.returncode}: {done.stderr.strip()}")
        return done.stdout


def _descendants(pid: int) -> list[int]:
    """All processes below, the deepest first."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except FileNotFoundError:
        return []
    return [found for child in map(int, children) for found in [*_descendants(child), child]]
