"""The supervisor, over children that do as they are told."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from pithos_api.operator import supervisor as supervisor_module
from pithos_api.operator.errors import OperatorError
from pithos_api.operator.supervisor import Service, Supervisor, die_with_parent


def service(script: str, is_ready=lambda: True, name: str = "child") -> Service:
    return Service(name, ["sh", "-c", script], {"PATH": os.environ["PATH"]}, is_ready)


@contextmanager
def supervised(*services: Service) -> Iterator[Supervisor]:
    made = Supervisor(services)
    try:
        yield made
    finally:
        made.stop()


def never_changes() -> None:
    pytest.fail("a child was started again")


def test_a_signal_ends_it_and_the_children():
    with supervised(service("exec sleep 1000"), service("exec sleep 1000", name="b")) as made:
        pids = made.pids
        assert made.wait_ready()
        os.kill(os.getpid(), signal.SIGTERM)
        made.run(never_changes)
    for pid in pids.values():
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_the_former_handlers_come_back():
    before = signal.getsignal(signal.SIGTERM)
    with supervised(service("exec sleep 1000")):
        assert signal.getsignal(signal.SIGTERM) != before
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_child_that_is_killed_runs_again(capfd):
    with supervised(service("exec sleep 1000")) as made:
        first = made.pids["child"]
        os.kill(first, signal.SIGKILL)
        made.run(lambda: os.kill(os.getpid(), signal.SIGTERM))
        assert made.pids["child"] != first
    assert "the child was killed by signal 9; it runs again" in capfd.readouterr().err


def test_a_child_that_keeps_crashing_is_given_up(capfd):
    changes: list[None] = []
    with (
        supervised(service("exit 3")) as made,
        pytest.raises(OperatorError, match="the child crashed 5 times"),
    ):
        made.run(lambda: changes.append(None))
    assert len(changes) == supervisor_module.CRASHES_MAX
    assert "ended with code 3" in capfd.readouterr().err


def test_a_child_that_cannot_start_is_told():
    with (
        supervised(service("exit 1", lambda: False)) as made,
        pytest.raises(OperatorError, match="ended with code 1 as it started"),
    ):
        made.wait_ready()


def test_a_child_that_never_answers_is_told(monkeypatch):
    monkeypatch.setattr(supervisor_module, "READY_S", 0.1)
    with (
        supervised(service("exec sleep 1000", lambda: False)) as made,
        pytest.raises(OperatorError, match="does not answer"),
    ):
        made.wait_ready()


def test_a_signal_while_it_starts_ends_the_wait():
    with supervised(service("exec sleep 1000", lambda: False)) as made:
        threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGTERM)).start()
        assert not made.wait_ready()


def test_a_child_that_ignores_sigterm_is_killed(monkeypatch, tmp_path):
    monkeypatch.setattr(supervisor_module, "STOP_GRACE_S", 0.2)
    ready = tmp_path / "ready"
    script = (
        "import pathlib, signal; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
        f"pathlib.Path({str(ready)!r}).touch(); signal.pause()"
    )
    stubborn = Service("child", [sys.executable, "-c", script], {}, ready.exists)
    with supervised(stubborn) as made:
        pid = made.pids["child"]
        assert made.wait_ready()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_program_that_is_not_there():
    with pytest.raises(FileNotFoundError):
        Supervisor([Service("child", ["/nonexistent"], {}, lambda: True)])


def test_a_parent_that_is_gone_already_is_noticed():
    with pytest.raises(OperatorError, match="is gone"):
        die_with_parent(2**22 + 1)


def test_the_end_of_the_parent_reaches_the_child():
    child = (
        "import os, signal\n"
        "from pithos_api.operator.supervisor import die_with_parent\n"
        "die_with_parent(os.getppid())\n"
        "print('ready', flush=True)\n"
        "signal.pause()\n"
    )
    parent = (
        "import os, signal, subprocess, sys\n"
        f"child = subprocess.Popen([sys.executable, '-c', {child!r}], stdout=subprocess.PIPE)\n"
        "child.stdout.readline()\n"
        "print(child.pid, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", parent], capture_output=True, check=False)
    pid = int(done.stdout)
    # Whoever inherits the child reaps it; its end is what we wait for.
    deadline = threading.Event()
    for _ in range(200):
        try:
            with open(f"/proc/{pid}/stat") as file:
                if file.read().rsplit(")", 1)[1].split()[0] == "Z":
                    return
        except FileNotFoundError:
            return
        deadline.wait(0.05)
    pytest.fail("the child lives on")
