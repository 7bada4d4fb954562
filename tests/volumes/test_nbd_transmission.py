"""The transmission phase over a real socket, on a device in memory."""

from __future__ import annotations

import errno
import random
import socket
import struct
import threading

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from nbd_client import NbdClient

from archipelago import VolumeReadOnly
from blockstore import LeaseLost, StoreFull
from volumes.nbd import wire
from volumes.nbd.replies import HOLE_SIZE_MIN
from volumes.nbd.transmission import SKIP_SIZE_MAX, WORKERS_MAX
from volumes.nbd.wire import Command, Errno
from volumes.nbd.workspace import PIECE_SIZE

SIZE = 8 * 2**20


@pytest.fixture
def device(exports):
    return exports.add("disk", SIZE)


@pytest.fixture
def client(device, connect):
    opened = connect()
    opened.attach("disk", status=True)
    return opened


def wait_for_record(caplog, text: str) -> str:
    """The first log message with the text; another thread may be about to write it."""
    pause = threading.Event()
    for _ in range(500):
        for record in list(caplog.records):
            if text in record.getMessage():
                return record.getMessage()
        pause.wait(0.01)
    raise AssertionError(f"no log line with {text!r}: {caplog.text}")


@pytest.mark.parametrize("structured", [True, False])
@pytest.mark.parametrize("length", [1, 511, 4096, HOLE_SIZE_MIN, PIECE_SIZE + 7, 3 * PIECE_SIZE])
def test_what_is_written_is_read_back(device, connect, structured, length):
    client = connect()
    client.attach("disk", structured=structured)
    data = random.Random(length).randbytes(length)
    assert client.write(4097, data).errno == 0
    assert client.read(4097, length) == data
    assert device.content[4097 : 4097 + length] == data


def test_a_request_of_the_greatest_size(exports, connect):
    exports.add("big", wire.PAYLOAD_SIZE_MAX)
    client = connect()
    client.attach("big")
    data = random.Random(1).randbytes(wire.PAYLOAD_SIZE_MAX)
    assert client.write(0, data).errno == 0
    assert client.read(0, len(data)) == data


def test_zero_runs_are_sent_as_holes(client):
    client.write(PIECE_SIZE, b"x" * HOLE_SIZE_MIN)
    answer = client.request(Command.READ, 0, 2 * PIECE_SIZE)
    kinds = [chunk.kind for chunk in answer.chunks]
    assert kinds == [wire.Chunk.OFFSET_HOLE, wire.Chunk.OFFSET_DATA, wire.Chunk.OFFSET_HOLE]
    assert [chunk.flags for chunk in answer.chunks] == [0, 0, wire.CHUNK_DONE]
    assert answer.data == bytes(PIECE_SIZE) + b"x" * HOLE_SIZE_MIN + bytes(
        PIECE_SIZE - HOLE_SIZE_MIN
    )


def test_df_gives_one_chunk(client):
    client.write(PIECE_SIZE // 2, b"x" * 4096)
    answer = client.request(Command.READ, 0, PIECE_SIZE, flags=wire.COMMAND_DF)
    assert [chunk.kind for chunk in answer.chunks] == [wire.Chunk.OFFSET_DATA]
    assert len(answer.data) == PIECE_SIZE


def test_df_that_is_too_long_is_told_so(client):
    answer = client.request(Command.READ, 0, PIECE_SIZE + 1, flags=wire.COMMAND_DF)
    assert answer.errno == Errno.EOVERFLOW


def test_write_zeroes_and_trim(client, device):
    client.write(0, b"x" * 65536)
    assert client.request(Command.WRITE_ZEROES, 4096, 4096).errno == 0
    assert client.request(Command.TRIM, 16384, 8192).errno == 0
    flags = wire.COMMAND_NO_HOLE
    assert client.request(Command.WRITE_ZEROES, 32768, 4096, flags=flags).errno == 0
    assert client.read(4096, 4096) + client.read(16384, 8192) == bytes(12288)
    assert client.status(0, 65536) == [(4096, 0), (4096, 3), (8192, 0), (8192, 3), (40960, 0)]


def test_fast_zero_is_done_or_refused_at_once(client):
    fast = wire.COMMAND_FAST_ZERO
    assert client.request(Command.WRITE_ZEROES, 0, SIZE, flags=fast).errno == 0
    both = fast | wire.COMMAND_NO_HOLE
    assert client.request(Command.WRITE_ZEROES, 0, SIZE, flags=both).errno == Errno.ENOTSUP


def test_fua_and_flush_reach_the_device(client, device):
    client.write(0, b"x")
    assert device.flushes == 0
    assert client.write(0, b"x", flags=wire.COMMAND_FUA).errno == 0
    client.request(Command.TRIM, 0, 4096, flags=wire.COMMAND_FUA)
    client.request(Command.WRITE_ZEROES, 0, 4096, flags=wire.COMMAND_FUA)
    client.write(0, bytes(2 * PIECE_SIZE), flags=wire.COMMAND_FUA)
    assert client.flush().errno == 0
    assert device.flushes == 5


def test_cache_reads_the_range(client, device):
    assert client.request(Command.CACHE, 0, SIZE).errno == 0
    device.fault = OSError(errno.EIO, "bad sector")
    device.fault_offset = SIZE - 1
    assert client.request(Command.CACHE, 0, SIZE).errno == Errno.EIO


def test_status_of_one_extent(client):
    client.write(4096, b"x" * 4096)
    assert client.status(0, SIZE, wire.COMMAND_REQ_ONE) == [(4096, 3)]
    assert client.status(4096, 100, wire.COMMAND_REQ_ONE) == [(100, 0)]


def test_status_of_a_fragmented_device_is_bounded_and_resumable(exports, connect):
    device = exports.add("fragments", 2 * 4096 * 4096)
    device.pages[::2] = bytes([1]) * 4096
    client = connect()
    client.attach("fragments", status=True)
    seen = []
    offset = 0
    while offset < device.size:
        part = client.status(offset, device.size - offset)
        assert 1 <= len(part) <= 2048
        seen += part
        offset += sum(length for length, _ in part)
    assert seen == [(4096, 0), (4096, 3)] * 4096


def test_status_without_a_context_is_refused(device, connect):
    client = connect()
    client.attach("disk")
    answer = client.request(Command.BLOCK_STATUS, 0, 4096)
    assert answer.errno == Errno.EINVAL
    assert "context" in answer.message


OUTSIDE = [
    (Command.READ, SIZE, 1, Errno.EINVAL),
    (Command.READ, 2**64 - 1, 4096, Errno.EINVAL),
    (Command.READ, 0, wire.PAYLOAD_SIZE_MAX + 1, Errno.EINVAL),
    (Command.READ, 0, 0xFFFFFFFF, Errno.EINVAL),
    (Command.CACHE, SIZE - 1, 2, Errno.EINVAL),
    (Command.TRIM, SIZE - 1, 2, Errno.EINVAL),
    (Command.WRITE_ZEROES, 1, SIZE, Errno.ENOSPC),
    (Command.BLOCK_STATUS, SIZE, 1, Errno.EINVAL),
    (Command.BLOCK_STATUS, 0, 0, Errno.EINVAL),
    (8, 0, 0, Errno.EINVAL),
    (0xFFFF, 2**63, 2**31, Errno.EINVAL),
]


@pytest.mark.parametrize(("command", "offset", "length", "number"), OUTSIDE)
def test_requests_without_meaning_are_refused_and_service_goes_on(
    client, command, offset, length, number
):
    answer = client.request(command, offset, length)
    assert answer.errno == number
    assert answer.message
    assert client.read(0, 512) == bytes(512)


@pytest.mark.parametrize("length", [2, PIECE_SIZE, 2 * PIECE_SIZE + 1])
def test_a_write_beyond_the_end_is_refused_and_its_payload_skipped(client, device, length):
    assert client.write(SIZE - 1, b"x" * length).errno == Errno.ENOSPC
    assert client.read(SIZE - 4096, 4096) == bytes(4096)


def test_an_oversized_write_is_skipped_while_that_is_safe(client):
    assert client.write(0, bytes(wire.PAYLOAD_SIZE_MAX + 1)).errno == Errno.EINVAL
    assert client.read(0, 512) == bytes(512)


def test_an_oversized_write_that_cannot_be_skipped_ends_the_connection(client, caplog):
    client.start(Command.WRITE, 0, SKIP_SIZE_MAX + 1)
    assert client.hung_up()
    assert "disk" in wait_for_record(caplog, f"a write announces {SKIP_SIZE_MAX + 1} bytes")


@pytest.mark.parametrize(
    ("command", "flags"),
    [
        (Command.READ, wire.COMMAND_NO_HOLE),
        (Command.WRITE, wire.COMMAND_DF),
        (Command.TRIM, wire.COMMAND_REQ_ONE),
        (Command.FLUSH, 0x8000),
        (Command.BLOCK_STATUS, wire.COMMAND_FAST_ZERO),
    ],
)
def test_flags_of_other_commands_are_refused(client, command, flags):
    payload = bytes(512) if command == Command.WRITE else b""
    answer = client.request(command, 0, 512, flags=flags, payload=payload)
    assert answer.errno == Errno.EINVAL


def test_requests_of_no_bytes_succeed(client):
    for command in (Command.READ, Command.WRITE, Command.TRIM, Command.WRITE_ZEROES):
        assert client.request(command, SIZE, 0).errno == 0


def test_a_read_only_export_takes_no_writes(exports, connect):
    exports.add("fixed", SIZE, read_only=True)
    client = connect()
    client.attach("fixed")
    assert client.write(0, b"x").errno == Errno.EPERM
    assert client.request(Command.TRIM, 0, 4096).errno == Errno.EPERM
    assert client.request(Command.WRITE_ZEROES, 0, 4096).errno == Errno.EPERM
    assert client.flush().errno == 0
    assert client.read(0, 512) == bytes(512)


FAULTS = [
    (StoreFull("the pool is full"), Errno.ENOSPC, "the pool is full"),
    (OSError(errno.ENOSPC, "No space left"), Errno.ENOSPC, "No space left"),
    (OSError(errno.EIO, "bad sector"), Errno.EIO, "bad sector"),
    (VolumeReadOnly("disk"), Errno.EPERM, "reading only"),
    (LeaseLost("disk"), Errno.EIO, "another process owns it"),
    (MemoryError(), Errno.ENOMEM, "out of memory"),
    (KeyError("a defect"), Errno.EIO, "a defect"),
]


@pytest.mark.parametrize(("fault", "number", "message"), FAULTS)
def test_device_errors_reach_the_client_and_the_log(client, device, caplog, fault, number, message):
    device.fault = fault
    for answer in (
        client.write(0, b"x"),
        client.request(Command.READ, 0, 512),
        client.write(0, bytes(2 * PIECE_SIZE)),
        client.request(Command.WRITE_ZEROES, 0, 512),
    ):
        assert answer.errno == number
        assert message in answer.message
    assert any("disk" in record.getMessage() for record in caplog.records)
    device.fault = None
    assert client.write(0, b"x").errno == 0


def test_one_fault_repeated_is_logged_once(client, device, caplog):
    device.fault = StoreFull("the pool is full")
    for _ in range(20):
        client.write(0, b"x")
    assert sum("the pool is full" in record.getMessage() for record in caplog.records) == 1


def test_a_read_that_fails_midway_ends_with_an_error_chunk(client, device):
    device.pages[:] = bytes([1]) * len(device.pages)
    device.fault = OSError(errno.EIO, "bad sector")
    device.fault_offset = 2 * PIECE_SIZE
    answer = client.request(Command.READ, 0, 4 * PIECE_SIZE)
    assert answer.errno == Errno.EIO
    assert len(answer.chunks) == 2


def test_a_simple_read_that_fails_midway_ends_the_connection(device, connect, caplog):
    client = connect()
    client.attach("disk", structured=False)
    device.fault = OSError(errno.EIO, "bad sector")
    device.fault_offset = 2 * PIECE_SIZE
    assert client.request(Command.READ, 0, 4096).errno == 0
    client.start(Command.READ, 0, 4 * PIECE_SIZE)
    with pytest.raises(EOFError):
        client.receive(16 + 4 * PIECE_SIZE)
    wait_for_record(caplog, "bad sector")


def test_requests_overlap_up_to_the_bound(client, device):
    device.gate = threading.Event()
    sent = {client.start(Command.READ, 0, 512) for _ in range(WORKERS_MAX + 4)}
    for _ in range(WORKERS_MAX):
        assert device.entered.acquire(timeout=20)
    assert not device.entered.acquire(timeout=0.05), "more in flight than the bound"
    device.gate.set()
    assert {client.answer()[0] for _ in sent} == sent


def test_a_slow_request_does_not_hold_up_the_next(client, device):
    device.gate = threading.Event()
    slow = client.start(Command.READ, 0, 512)
    assert device.entered.acquire(timeout=20)
    flush = client.start(Command.FLUSH)
    assert client.answer()[0] == flush
    device.gate.set()
    assert client.answer()[0] == slow


def test_random_requests_agree_with_an_oracle(client, request):
    seed = random.randrange(2**32)
    print(f"seed {seed}")  # noqa: T201
    rng = random.Random(seed)
    oracle = bytearray(SIZE)
    for _ in range(150):
        length = rng.choice([1, 512, 4096, 65536, PIECE_SIZE, PIECE_SIZE + 513])
        offset = rng.randrange(SIZE - length)
        action = rng.randrange(4)
        if action == 0:
            data = rng.randbytes(length)
            assert client.write(offset, data).errno == 0
            oracle[offset : offset + length] = data
        elif action == 1:
            assert client.request(Command.WRITE_ZEROES, offset, length).errno == 0
            oracle[offset : offset + length] = bytes(length)
        else:
            assert client.read(offset, length) == oracle[offset : offset + length]
    assert client.read(0, SIZE) == oracle


def test_two_connections_see_one_device(device, connect):
    first, second = connect(), connect()
    first.attach("disk")
    second.attach("disk")
    first.write(0, b"from the first")
    assert second.read(0, 14) == b"from the first"
    assert second.flush().errno == 0
    assert device.flushes == 1


def test_garbage_instead_of_a_request_ends_that_connection_only(client, connect, caplog):
    bystander = connect()
    bystander.attach("disk")
    client.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert client.hung_up()
    message = wait_for_record(caplog, "magic")
    assert "process" in message
    assert "disk" in message
    assert bystander.read(0, 512) == bytes(512)


def test_an_option_in_the_transmission_phase_ends_the_connection(client):
    client.send(wire.pack_option(wire.Option.LIST) + bytes(12))
    assert client.hung_up()


def test_a_request_in_the_handshake_ends_the_connection(device, connect, caplog):
    client = connect()
    client.start(Command.READ, 0, 512)
    assert client.hung_up()
    assert "process" in wait_for_record(caplog, "magic")


@pytest.mark.parametrize("cut", [1, 27, 28, 28 + 100])
def test_a_disconnect_in_the_middle_of_a_request_writes_nothing(
    client, device, exports, caplog, cut
):
    request = wire.Request(0, Command.WRITE, 1, 0, 4096)
    client.send((wire.pack_request(request) + b"x" * 4096)[:cut])
    client.sock.close()
    wait_for_record(caplog, "in the middle")
    assert device.content[:4096] == bytes(4096)


def test_a_client_that_goes_with_requests_in_flight_harms_nobody(client, device, connect, exports):
    device.gate = threading.Event()
    for _ in range(4):
        client.start(Command.READ, 0, 512)
    assert device.entered.acquire(timeout=20)
    # A reset, not a polite end.
    client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.sock.close()
    device.gate.set()
    other = connect()
    other.attach("disk")
    assert other.read(0, 512) == bytes(512)


def test_disc_finishes_what_is_in_flight_and_lets_go(client, exports):
    sent = client.start(Command.WRITE, 0, 4096, payload=b"x" * 4096)
    client.start(Command.DISC)
    assert client.answer()[0] == sent
    assert client.hung_up()
    assert exports.attachments[0].closed == 1


def test_a_client_of_the_old_style_is_served(device, connect):
    client = connect(flags=1)
    client.send(wire.pack_option(wire.Option.EXPORT_NAME, b"disk"))
    size, _ = struct.unpack(">QH", client.receive(10))
    assert client.receive(124) == bytes(124)
    assert size == SIZE
    assert client.write(5, b"abc").errno == 0
    assert client.read(5, 3) == b"abc"


def test_tcp_is_served_as_well(device, memory_server):
    with NbdClient(("127.0.0.1", memory_server[1])) as client:
        client.attach("disk")
        client.write(0, b"over tcp")
        assert client.read(0, 8) == b"over tcp"
        client.disconnect()


def wellformed_requests() -> st.SearchStrategy[wire.Request]:
    edges = [0, 1, 511, 4096, SIZE - 1, SIZE, SIZE + 1, 2**32 - 1, 2**63, 2**64 - 1]
    return st.builds(
        wire.Request,
        flags=st.sampled_from([0, 0, 0, 1, 2, 4, 8, 16, 18, 32, 0xFFFF]),
        command=st.sampled_from([0, 3, 4, 5, 6, 7, 8, 9, 0xFFFF]),
        cookie=st.integers(0, 2**64 - 1),
        offset=st.sampled_from(edges) | st.integers(0, 2**64 - 1),
        length=st.sampled_from([edge for edge in edges if edge < 2**32])
        | st.integers(0, 2**32 - 1),
    )


@settings(
    max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(request_=wellformed_requests())
def test_any_request_has_one_reply(client, request_):
    client.send(wire.pack_request(request_))
    cookie, answer = client.answer()
    assert cookie == request_.cookie
    inside = request_.offset + request_.length <= SIZE or request_.command == Command.FLUSH
    assert answer.errno in set(Errno) or (inside and answer.errno == 0)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.binary(min_size=28, max_size=200))
def test_random_bytes_in_transmission_harm_only_their_sender(device, memory_server, data):
    with NbdClient(memory_server[0]) as hostile:
        hostile.attach("disk")
        hostile.send(data)
        assert hostile.hung_up()
    with NbdClient(memory_server[0]) as other:
        other.attach("disk")
        assert other.read(0, 512) == bytes(512)


def test_a_client_that_does_not_take_replies_holds_up_only_itself(client, device, connect):
    device.pages[:] = bytes([1]) * len(device.pages)
    # In one piece: a hundred small ones may be more than the kernel queues for a socket.
    client.send(
        b"".join(
            wire.pack_request(wire.Request(0, Command.READ, cookie, 0, SIZE))
            for cookie in range(100)
        )
    )
    other = connect()
    other.attach("disk")
    assert other.read(0, PIECE_SIZE) == bytes(PIECE_SIZE)
    assert other.write(0, b"x").errno == 0
