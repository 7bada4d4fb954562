"""Child processes that live and die with us, and are started again when they crash."""

from __future__ import annotations

import ctypes
import os
import select
import signal
import subprocess
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import FrameType

from pithos_api.operator.errors import OperatorError
from pithos_api.operator.output import note

CRASHES_MAX = 5
CRASH_WINDOW_S = 30.0
"""A child that crashes more often than that is given up, and with it the whole."""

STOP_GRACE_S = 40.0
"""Longer than a child's own grace; then it is killed."""

READY_S = 60.0
READY_POLL_S = 0.05
PR_SET_PDEATHSIG = 1

_libc = ctypes.CDLL(None, use_errno=True)


def die_with_parent(parent: int) -> None:
    """For a child to call first: SIGTERM comes when process `parent` ends, however it ends."""
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != parent:
        raise OperatorError(f"process {parent}, which this one was to serve, is gone")


@dataclass(frozen=True, slots=True)
class Service:
    """What to run, and how to see that it answers."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    is_ready: Callable[[], bool]


@dataclass(slots=True)
class _Child:
    service: Service
    process: subprocess.Popen[bytes]
    crashes: deque[float] = field(default_factory=lambda: deque(maxlen=CRASHES_MAX))


class Supervisor:
    """Runs services until SIGTERM or SIGINT. Use it in the main thread."""

    def __init__(self, services: Sequence[Service]) -> None:
        self._children = [_Child(service, _start(service)) for service in services]
        self._wake_read, self._wake_write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._stop_signal = 0
        self._former = {
            number: signal.signal(number, self._on_signal)
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD, signal.SIGHUP)
        }
        self._former_wakeup = signal.set_wakeup_fd(self._wake_write, warn_on_full_buffer=False)

    @property
    def pids(self) -> dict[str, int]:
        """Process ids by name of the service."""
        return {child.service.name: child.process.pid for child in self._children}

    def wait_ready(self) -> bool:
        """Until all services answer; False when we were told to stop meanwhile.

        OperatorError: one of them ended, or does not answer in READY_S.
        """
        deadline = time.monotonic() + READY_S
        waiting = list(self._children)
        while waiting and not self._stop_signal:
            waiting = [child for child in waiting if not child.service.is_ready()]
            for child in waiting:
                if child.process.poll() is not None:
                    name, code = child.service.name, child.process.returncode
                    raise OperatorError(
                        f"the {name} ended with code {code} as it started;"
                        " its own message above says why"
                    )
                if time.monotonic() > deadline:
                    raise OperatorError(f"the {child.service.name} does not answer")
            if waiting:
                self._wait(READY_POLL_S)
        return not self._stop_signal

    def run(self, changed: Callable[[], None]) -> None:
        """Until a signal says stop. OperatorError when a service crashes again and again.

        `changed` is called when a service has got another process.
        """
        while not self._stop_signal:
            for child in self._children:
                if child.process.poll() is not None:
                    self._restart(child)
                    changed()
            self._wait(None)

    def stop(self) -> None:
        """Stop all children, the last one first, and put the signal handlers back."""
        for child in reversed(self._children):
            _stop(child.process)
        signal.set_wakeup_fd(self._former_wakeup)
        for number, handler in self._former.items():
            signal.signal(number, handler)
        os.close(self._wake_read)
        os.close(self._wake_write)

    def _restart(self, child: _Child) -> None:
        name, code = child.service.name, child.process.returncode
        now = time.monotonic()
        if len(child.crashes) == CRASHES_MAX and now - child.crashes[0] < CRASH_WINDOW_S:
            raise OperatorError(
                f"the {name} crashed {CRASHES_MAX} times in {CRASH_WINDOW_S:g} s;"
                " its own messages above say why"
            )
        child.crashes.append(now)
        how = f"was killed by signal {-code}" if code < 0 else f"ended with code {code}"
        child.process = _start(child.service)
        note(f"archipelago: the {name} {how}; it runs again as process {child.process.pid}")

    def _wait(self, seconds: float | None) -> None:
        """Until a signal (a child's end is one too), or so long."""
        poll = select.poll()
        poll.register(self._wake_read, select.POLLIN)
        if poll.poll(None if seconds is None else seconds * 1000):
            os.read(self._wake_read, 4096)

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        if number != signal.SIGCHLD:
            self._stop_signal = number


def _start(service: Service) -> subprocess.Popen[bytes]:
    # Its own session: a Ctrl-C at the terminal reaches us, and we stop it in order.
    return subprocess.Popen(
        service.command,
        env=service.environment,
        stdin=subprocess.DEVNULL,
        start_new_session=True,
    )


def _stop(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.terminate()
    try:
        process.wait(STOP_GRACE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
