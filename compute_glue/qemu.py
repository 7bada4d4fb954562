"""A guest in QEMU: the command line as a pure function; the process with console and monitor."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType

from compute_glue.console import Console
from compute_glue.errors import GuestError
from compute_glue.qmp import Monitor

QEMU = "qemu-system-x86_64"
RECONNECT_DELAY_S = 30
"""How long QEMU holds the guest's requests while the volume server is away."""

MEMORY_MIB_MIN = 64
PR_SET_PDEATHSIG = 1

_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class NbdDisk:
    """An export of the volume server."""

    socket_path: str
    export: str


@dataclass(frozen=True, slots=True)
class RawDisk:
    """A raw image in a file."""

    path: str


@dataclass(frozen=True, slots=True)
class DirectKernel:
    """A kernel given to QEMU, instead of the disk's boot loader."""

    kernel: str
    initrd: str | None = None
    append: str = "console=ttyS0"


@dataclass(frozen=True, slots=True)
class Machine:
    """What to run. `accel` is "kvm" or "tcg"; `throw_away` keeps writes off the disk."""

    disk: NbdDisk | RawDisk
    accel: str = "tcg"
    memory_mib: int = 512
    kernel: DirectKernel | None = None
    throw_away: bool = False

    def __post_init__(self) -> None:
        if self.accel not in ("kvm", "tcg"):
            raise GuestError(f"unknown accelerator: {self.accel}")
        if self.memory_mib < MEMORY_MIB_MIN:
            raise GuestError(f"a guest needs at least {MEMORY_MIB_MIN} MiB of memory")


def command_line(machine: Machine, monitor_fd: int) -> list[str]:
    """The arguments of QEMU: serial port on its stdin and stdout, monitor on `monitor_fd`."""
    accel = "kvm" if machine.accel == "kvm" else "tcg,thread=multi"
    line = [QEMU, "-M", "pc", "-accel", accel, "-cpu", "max"]
    line += ["-m", str(machine.memory_mib), "-nodefaults", "-no-user-config", "-no-reboot"]
    line += ["-display", "none", "-serial", "stdio"]
    line += ["-chardev", f"socket,id=monitor,fd={monitor_fd}"]
    line += ["-mon", "chardev=monitor,mode=control"]
    if machine.throw_away:
        line += ["-drive", f"{_disk_options(machine.disk)},snapshot=on,if=none,id=disk"]
    else:
        line += ["-blockdev", f"{_disk_options(machine.disk)},node-name=disk"]
    line += ["-device", "virtio-blk-pci,drive=disk,bootindex=0"]
    line += ["-object", "rng-random,id=rng0,filename=/dev/urandom"]
    line += ["-device", "virtio-rng-pci,rng=rng0"]
    if machine.kernel is not None:
        line += ["-kernel", machine.kernel.kernel, "-append", machine.kernel.append]
        if machine.kernel.initrd is not None:
            line += ["-initrd", machine.kernel.initrd]
    return line


def _disk_options(disk: NbdDisk | RawDisk) -> str:
    if isinstance(disk, RawDisk):
        return f"driver=raw,file.driver=file,file.filename={_quoted(disk.path)},discard=unmap"
    return (
        f"driver=nbd,server.type=unix,server.path={_quoted(disk.socket_path)},"
        f"export={_quoted(disk.export)},discard=unmap,cache.direct=on,"
        f"reconnect-delay={RECONNECT_DELAY_S}"
    )


def _quoted(value: str) -> str:
    """QEMU's option syntax: a comma inside a value is doubled."""
    return value.replace(",", ",,")


class Guest:
    """A running QEMU. It ends with this process, whatever ends this process."""

    def __init__(self, machine: Machine, tee: Callable[[bytes], None] | None = None) -> None:
        """Start it. GuestError when QEMU is not installed or cannot start."""
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 - closed in close()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        with theirs:
            try:
                self.process = subprocess.Popen(
                    command_line(machine, theirs.fileno()),
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=self._stderr,
                    bufsize=0,
                    pass_fds=(theirs.fileno(),),
                    # A Ctrl-C at the terminal is ours to turn into a clean shutdown.
                    start_new_session=True,
                    preexec_fn=_die_with_parent,
                )
            except FileNotFoundError as error:
                ours.close()
                self._stderr.close()
                raise GuestError(f"{QEMU} is not installed (Debian: qemu-system-x86)") from error
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.console = Console(self.process.stdout.fileno(), self.process.stdin.fileno(), tee)
        self._monitor_socket = ours
        self._monitor: Monitor | None = None

    @property
    def monitor(self) -> Monitor:
        """The QMP session, opened at first use."""
        if self._monitor is None:
            self._monitor = Monitor(self._monitor_socket)
        return self._monitor

    def wait(self, timeout: float | None = None) -> int:
        """QEMU's exit code; subprocess.TimeoutExpired when it still runs."""
        return self.process.wait(timeout)

    def errors(self) -> str:
        """What QEMU complained of. Call it after the end."""
        self._stderr.seek(0)
        return self._stderr.read().decode("utf-8", "replace").strip()

    def close(self) -> None:
        """Kill QEMU if it still runs, and release everything."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._monitor_socket.close()
        self._stderr.close()
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                stream.close()

    def __enter__(self) -> Guest:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def _die_with_parent() -> None:
    """Between fork and exec; the loader is not touched, the function was resolved at import."""
    parent = os.getppid()
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)
