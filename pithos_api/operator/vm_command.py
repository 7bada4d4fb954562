"""archipelago vm boot: a machine on a volume, its serial console on the terminal."""

from __future__ import annotations

import argparse
import dataclasses
import os
import re
import select
import signal
import subprocess
import sys
import termios
import tty
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from compute_glue import accel
from compute_glue.errors import GuestError, GuestGone, GuestTimeout
from compute_glue.qemu import MEMORY_MIB_MIN, DirectKernel, Guest, Machine, NbdDisk
from pithos_api.operator.command import Command, Invocation
from pithos_api.operator.errors import INTERRUPTED, NOT_FOUND, USAGE, OperatorError
from pithos_api.operator.output import note
from pithos_api.operator.server_commands import volume_server_answers
from pithos_api.operator.sizes import parse_size

MEMORY_DEFAULT = "512M"
PROMPT = r"[#$] $"
BOOT_S = 300.0
COMMAND_S = 3600.0
POWER_OFF_S = 60.0
KEYS_BYTES = 4096
MIB = 1 << 20


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="VOLUME[@SNAP]")
    parser.add_argument(
        "--memory", default=MEMORY_DEFAULT, metavar="SIZE", help=f"default: {MEMORY_DEFAULT}"
    )
    parser.add_argument(
        "--accel",
        choices=("auto", "kvm", "tcg"),
        default="auto",
        help="auto boots once for trial under KVM, and falls back to emulation (tcg)",
    )
    parser.add_argument(
        "--run",
        action="append",
        metavar="COMMAND",
        help="type this at the console's prompt, then power off; may be given again",
    )
    parser.add_argument(
        "--prompt", default=PROMPT, metavar="REGEX", help=f"of the guest's shell: {PROMPT}"
    )
    kernel = parser.add_argument_group("instead of the volume's boot loader")
    kernel.add_argument("--kernel", metavar="FILE")
    kernel.add_argument("--initrd", metavar="FILE")
    kernel.add_argument("--append", metavar="TEXT", help="the kernel's command line")


class _Stop(BaseException):
    """A signal told us to end. Not an Exception, so that nothing on the way takes it for one."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def _boot(invocation: Invocation) -> int:
    options = invocation.options
    machine = _machine(invocation)
    run_folder = invocation.deployment.configuration.run_folder
    with _signals_as_stop():
        try:
            chosen = accel.choose(machine, options.accel, run_folder)
            note(f"archipelago: {options.name} runs under {chosen.name}: {chosen.why}")
            with Guest(dataclasses.replace(machine, accel=chosen.name), _show) as guest:
                try:
                    return _use(guest, options)
                except _Stop as stop:
                    _shut_down(guest)
                    return INTERRUPTED if stop.number == signal.SIGINT else 0
        except _Stop as stop:
            return INTERRUPTED if stop.number == signal.SIGINT else 0


def _machine(invocation: Invocation) -> Machine:
    options, configuration = invocation.options, invocation.deployment.configuration
    memory_mib, kernel = _memory_mib(options), _kernel(options)
    try:
        re.compile(options.prompt.encode())
    except re.error as error:
        raise OperatorError(f"--prompt is no regular expression: {error}", USAGE) from error
    invocation.deployment.catalog.info(options.name)
    if not volume_server_answers(configuration):
        raise OperatorError(
            f"no volume server answers at {configuration.control_socket};"
            " start it with: archipelago serve"
        )
    snapshot = "@" in options.name
    if snapshot:
        note(f"archipelago: {options.name} cannot change; what the machine writes is thrown away")
    disk = NbdDisk(str(configuration.nbd_socket), options.name)
    return Machine(disk, memory_mib=memory_mib, kernel=kernel, throw_away=snapshot)


def _memory_mib(options: argparse.Namespace) -> int:
    found = parse_size(options.memory) // MIB
    if found < MEMORY_MIB_MIN:
        raise OperatorError(f"--memory is at least {MEMORY_MIB_MIN}M, not {options.memory}", USAGE)
    return found


def _kernel(options: argparse.Namespace) -> DirectKernel | None:
    if options.kernel is None:
        if options.initrd or options.append:
            raise OperatorError("--initrd and --append need --kernel", USAGE)
        return None
    for name in (options.kernel, options.initrd):
        if name is not None and not Path(name).is_file():
            raise OperatorError(f"no such file: {name}", NOT_FOUND)
    return DirectKernel(options.kernel, options.initrd, options.append or "console=ttyS0")


def _use(guest: Guest, options: argparse.Namespace) -> int:
    """Run the commands asked for and power off, or else be the terminal until the guest ends."""
    code = 0
    if options.run:
        prompt = options.prompt.encode()
        try:
            for command in options.run:
                guest.console.expect(prompt, BOOT_S)
                code = guest.console.run(command, COMMAND_S)
        except GuestGone as error:
            raise _ended(guest, error) from error
        _shut_down(guest)
        return code
    with _single_keys():
        _converse(guest)
    guest.wait()
    if guest.process.returncode:
        raise _ended(guest, None)
    return 0


def _ended(guest: Guest, error: GuestGone | None) -> GuestError:
    """What QEMU itself said is more than that its console closed."""
    guest.wait()
    said = guest.errors()
    if said:
        return GuestError(said.splitlines()[-1])
    return error or GuestError(f"QEMU ended with code {guest.process.returncode}")


def _converse(guest: Guest) -> None:
    """Carry bytes between our terminal and the guest's, until the guest's ends."""
    output = guest.process.stdout
    assert output is not None
    keyboard = sys.stdin.fileno()
    poll = select.poll()
    poll.register(output.fileno(), select.POLLIN)
    poll.register(keyboard, select.POLLIN)
    while True:
        ready = {fd for fd, _ in poll.poll()}
        if output.fileno() in ready and not guest.console.pump():
            return
        if keyboard in ready:
            typed = os.read(keyboard, KEYS_BYTES)
            if typed:
                guest.console.type(typed)
            else:
                poll.unregister(keyboard)


def _shut_down(guest: Guest) -> None:
    """The power button; then, after a while or at a second signal, the plug."""
    try:
        guest.monitor.power_down()
        if guest.console.drain(POWER_OFF_S):
            guest.wait(POWER_OFF_S)
            return
        note(f"archipelago: the guest did not power off in {POWER_OFF_S:g} s; it is cut off")
    except (GuestGone, GuestTimeout, subprocess.TimeoutExpired):
        note("archipelago: the guest ended by itself")
    except _Stop:
        note("archipelago: the guest is cut off")


def _show(data: bytes) -> None:
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


@contextmanager
def _signals_as_stop() -> Iterator[None]:
    def stop(number: int, _frame: FrameType | None) -> None:
        raise _Stop(number)

    former = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


@contextmanager
def _single_keys() -> Iterator[None]:
    """Keys go to the guest one by one, except Ctrl-C, which is ours."""
    if not sys.stdin.isatty():
        yield
        return
    former = termios.tcgetattr(sys.stdin)
    tty.setcbreak(sys.stdin)
    try:
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, former)


COMMANDS = (
    Command(
        ("vm", "boot"),
        "boot a machine from a volume",
        _boot,
        """archipelago vm boot web-001
archipelago vm boot web-001 --memory 1G --run 'hostname' --run 'df -h /'
archipelago vm boot db1 --kernel vmlinuz --initrd initrd.gz --append 'console=ttyS0'""",
        _arguments,
        """The serial console is this terminal. Ctrl-C presses the power button, a second one is
the plug. With --run, the exit code is that of the last command typed.""",
    ),
)
