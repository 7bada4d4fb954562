"""archipelago serve: the processes themselves."""

import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

COMMAND = [sys.executable, "-m", "pithos_api.operator.main"]
DEADLINE_S = 60.0


class Serving:
    """A `serve --json` that answers."""

    def __init__(self, data: Path, *flags: str) -> None:
        self.data = data
        self.log = (data.parent / "serve.log").open("wb+")
        self.process = subprocess.Popen(
            [*COMMAND, "serve", "--data", data, "--json", "--workers", "1", "--port", "0", *flags],
            stdout=subprocess.PIPE,
            stderr=self.log,
        )
        assert self.process.stdout is not None
        text = b""
        while not text.endswith(b"\n}\n"):
            ready, _, _ = select.select([self.process.stdout], [], [], DEADLINE_S)
            piece = os.read(self.process.stdout.fileno(), 4096) if ready else b""
            if not piece:
                messages = self.messages()
                self.close()
                pytest.fail(f"it does not serve: {messages}")
            text += piece
        self.state = json.loads(text)

    def messages(self) -> str:
        self.log.seek(0)
        return self.log.read().decode()

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(DEADLINE_S)
        self.process.stdout.close()
        self.log.close()


@pytest.fixture(scope="module")
def serving(tmp_path_factory) -> Iterator[Serving]:
    made = Serving(tmp_path_factory.mktemp("serve") / "data", "--init")
    yield made
    made.close()


def run(data: Path, *arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [*COMMAND, *arguments, "--data", data], capture_output=True, text=True, check=False
    )
    assert done.returncode == code, done.stderr
    return done


def wait_until(condition) -> None:
    deadline, pause = time.monotonic() + DEADLINE_S, threading.Event()
    while not condition():
        assert time.monotonic() < deadline
        pause.wait(0.05)


def is_gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except FileNotFoundError:
        return True


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as response:
            return response.status == 200
    except OSError:
        return False


def nbd_greeting(path: str) -> bytes:
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(DEADLINE_S)
        client.connect(path)
        return client.recv(8)


def test_it_says_where_everything_is(serving):
    assert answers(serving.state["auth_url"])
    assert nbd_greeting(serving.state["nbd_socket"]) == b"NBDMAGIC"
    assert Path(serving.state["credentials"]).read_text().count("export OS_") == 7


def test_the_administrator_can_log_in(serving):
    script = f". {serving.state['credentials']}; env"
    shown = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True).stdout
    variables = dict(line.split("=", 1) for line in shown.splitlines() if line.startswith("OS_"))
    user = {
        "name": variables["OS_USERNAME"],
        "domain": {"name": "Default"},
        "password": variables["OS_PASSWORD"],
    }
    body = {"auth": {"identity": {"methods": ["password"], "password": {"user": user}}}}
    request = urllib.request.Request(
        f"{variables['OS_AUTH_URL']}/auth/tokens",
        json.dumps(body).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=DEADLINE_S) as response:
        assert response.status == 201


def test_a_second_serve_of_the_data_is_refused(serving):
    done = run(serving.data, "serve", "--port", "0", code=4)
    assert f"process {serving.process.pid} serves" in done.stderr
    assert answers(serving.state["auth_url"])


def test_a_second_volume_server_is_refused(serving):
    assert "already" in run(serving.data, "nbd", code=4).stderr


def test_a_port_in_use_is_told(serving, tmp_path):
    port = serving.state["auth_url"].split(":")[2].split("/")[0]
    done = run(tmp_path / "other", "serve", "--init", "--port", port, code=4)
    assert f"port {port}" in done.stderr
    assert "--port" in done.stderr


def test_an_address_that_is_not_ours_is_told(tmp_path):
    done = run(tmp_path / "other", "serve", "--init", "--host", "192.0.2.1", "--port", "0", code=1)
    assert "192.0.2.1" in done.stderr


@pytest.mark.parametrize("flags", [("--port", "70000"), ("--workers", "0")])
def test_settings_that_cannot_be_start_nothing(serving, tmp_path, flags):
    done = run(tmp_path / "other", "serve", "--init", *flags, code=2)
    assert len(done.stderr.splitlines()) == 1


def test_an_attached_volume_can_be_snapshot_and_grown(serving):
    data, path = serving.data, serving.state["nbd_socket"]
    run(data, "volume", "create", "used", "--size", "10M")
    uri = f"nbd+unix:///used?socket={path}"
    with subprocess.Popen(
        ["qemu-io", "-f", "raw", uri], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
    ) as user:
        assert user.stdin is not None
        assert user.stdout is not None
        user.stdin.write(b"write -P 7 0 4096\nflush\n")
        seen = b""
        while b"wrote 4096" not in seen:
            seen += os.read(user.stdout.fileno(), 4096)
        wait_until(lambda: "volume server" in run(data, "volume", "list", "used").stdout)
        run(data, "snapshot", "create", "used@live")
        run(data, "volume", "resize", "used", "+1M")
        assert "take a snapshot" in run(data, "volume", "export", "used", "/x", code=4).stderr
        target = data.parent / "live"
        run(data, "volume", "export", "used@live", str(target))
        run(data, "volume", "delete", "used", code=4)
        user.stdin.write(b"quit\n")
    assert target.read_bytes()[:4096] == b"\7" * 4096


@pytest.mark.parametrize("name", ["volume server", "API"])
def test_a_killed_server_runs_again(serving, name):
    state_file = serving.data / "run" / "serve.json"
    before = json.loads(state_file.read_text())["pids"][name]
    os.kill(before, signal.SIGKILL)
    wait_until(lambda: json.loads(state_file.read_text())["pids"][name] != before)
    wait_until(lambda: answers(serving.state["auth_url"]))
    wait_until(lambda: run_ok(serving.data, "volume", "list"))
    assert "was killed by signal 9" in serving.messages()
    wait_until(lambda: Path(serving.state["nbd_socket"]).exists())


def run_ok(data: Path, *arguments: str) -> bool:
    return run(data, *arguments).returncode == 0


def test_sigterm_stops_everything_in_order(tmp_path):
    made = Serving(tmp_path / "data", "--init")
    try:
        pids = made.state["pids"].values()
        made.process.terminate()
        assert made.process.wait(DEADLINE_S) == 0
        assert all(is_gone(pid) for pid in pids)
        left = {path.name for path in (made.data / "run").iterdir()}
        assert not {"nbd.sock", "control.sock", "serve.json"} & left
    finally:
        made.close()


def test_children_end_with_a_parent_that_is_killed(tmp_path):
    made = Serving(tmp_path / "data", "--init")
    try:
        pids = made.state["pids"].values()
        made.process.kill()
        wait_until(lambda: all(is_gone(pid) for pid in pids))
    finally:
        made.close()
    again = Serving(tmp_path / "data")
    try:
        assert answers(again.state["auth_url"])
        assert again.state["credentials"] == made.state["credentials"]
    finally:
        again.close()
