"""What a client cannot make the server do, however it tries: time, log, memory, work."""

from __future__ import annotations

import errno
import logging
import socket
import time

import pytest

from volumes.nbd import commands, wire
from volumes.nbd.fault_log import LINES_MAX, PERIOD_SECONDS, FaultLog
from volumes.nbd.faults import RequestRefused, fault_of
from volumes.nbd.replies import SimpleReplies
from volumes.nbd.stream import SocketStream, StreamEnded
from volumes.nbd.wire import Command, Errno
from volumes.nbd.workspace import BufferPool, Workspace


class Recorder:
    """A device of 16 GiB that only notes what is asked of it."""

    size = 2**34
    read_only = False
    block_size = 2**16

    def __init__(self):
        self.ranges = []
        self.flushes = 0

    def read_into(self, offset, out):
        self.ranges.append((offset, len(out)))

    def zero(self, offset, length, *, allocate=False):
        assert not self.flushes
        self.ranges.append((offset, length))

    def discard(self, offset, length):
        self.zero(offset, length)

    def flush(self):
        self.flushes += 1


def execute(device: Recorder, request: wire.Request) -> None:
    near, far = socket.socketpair()
    with near, far:
        replies = SimpleReplies(SocketStream(near))
        commands.execute(device, request, Workspace(BufferPool()), replies)
        assert far.recv(100) == wire.pack_simple_reply(request.cookie)


@pytest.mark.parametrize("command", [Command.TRIM, Command.WRITE_ZEROES])
@pytest.mark.parametrize(("offset", "length"), [(0, 2**32 - 1), (5000, 2**32 - 1), (2**28 - 1, 2)])
def test_long_zeroing_is_done_in_steps(command, offset, length):
    device = Recorder()
    execute(device, wire.Request(wire.COMMAND_FUA, command, 7, offset, length))
    at = offset
    for start, count in device.ranges:
        assert start == at
        assert 0 < count <= commands.RANGE_STEP
        assert start == offset or start % commands.RANGE_STEP == 0
        at += count
    assert at == offset + length
    assert device.flushes == 1


def test_zeroing_of_no_bytes_is_done():
    device = Recorder()
    execute(device, wire.Request(0, Command.TRIM, 7, 5000, 0))
    assert sum(count for _, count in device.ranges) == 0


def test_advice_to_cache_is_followed_to_a_bound():
    device = Recorder()
    execute(device, wire.Request(0, Command.CACHE, 7, 4096, 2**32 - 1))
    assert device.ranges[0][0] == 4096
    assert sum(count for _, count in device.ranges) == commands.CACHE_SIZE_MAX


def test_after_the_deadline_no_more_is_read_or_sent():
    """A client that always sends or takes a little is dropped in time as well."""
    near, far = socket.socketpair()
    with near, far:
        stream = SocketStream(near)
        stream.set_deadline(1e-9)
        far.sendall(bytes(100))
        with pytest.raises(StreamEnded, match="in time"):
            stream.read(10)
        with pytest.raises(StreamEnded, match="in time"):
            stream.send(b"x")
        stream.set_deadline(None)
        assert stream.read(10) == bytes(10)


def test_a_client_cannot_flood_the_log(exports, connect, caplog):
    caplog.set_level(logging.INFO)
    exports.add("disk", 4096)
    client = connect()
    client.attach("disk")
    for number in range(10 * LINES_MAX):
        assert client.request(Command.READ, 8192 + number, 1).errno == Errno.EINVAL
    assert sum("goes beyond" in record.getMessage() for record in caplog.records) == LINES_MAX
    assert sum("not logged" in record.getMessage() for record in caplog.records) == 1


def test_after_a_while_faults_are_logged_again(monkeypatch, caplog):
    clock = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    faults = FaultLog("disk")
    for number in range(LINES_MAX + 5):
        error = OSError(errno.EIO, f"sector {number}")
        faults.note(error, fault_of(error))
    assert f"sector {LINES_MAX - 1}" in caplog.text
    assert f"sector {LINES_MAX}" not in caplog.text
    clock[0] = PERIOD_SECONDS
    last = RequestRefused(Errno.EINVAL, "and now this")
    caplog.set_level(logging.INFO)
    faults.note(last, fault_of(last))
    assert "5 more faults were not logged" in caplog.text
    assert "and now this" in caplog.text
