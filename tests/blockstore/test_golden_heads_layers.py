"""Samples of format 1 of the heads log and of a layer's states: they stay readable, and written."""

from pathlib import Path

from blockstore.files.heads_log import (
    HEADER_SIZE,
    HeadsLog,
    LogEntry,
    LogHeader,
    encode_header,
    encode_record,
)
from blockstore.files.layer_states import (
    encode_frames,
    load_states,
    pack_entry,
    pack_resize,
)
from blockstore.files.layer_states import encode_header as encode_states_header
from blockstore.interface import PAGE_SIZE, PageState

GOLDEN = Path(__file__).parents[1] / "golden"
HEADS = GOLDEN / "blockstore-heads-v1.log"
STATES = GOLDEN / "blockstore-layers-v1.states"

BATCHES = (
    (LogEntry(b"volume", 1, b"first"), LogEntry("ü@snap".encode(), 2, b"")),
    (LogEntry(b"volume", 3, bytes(range(256))), LogEntry("ü@snap".encode(), 3, None)),
)


def heads_bytes():
    header = LogHeader(generation=0x1122334455667788, base_sequence=41, last_version=0)
    records = [encode_record(42 + number, batch) for number, batch in enumerate(BATCHES)]
    return encode_header(header) + b"".join(records)


def states_bytes():
    batches = (
        pack_entry(0, 10, PageState.DATA) + pack_entry(100, 900, PageState.ZERO),
        pack_resize(500 * PAGE_SIZE),
        pack_entry(3, 1, PageState.ZERO),
    )
    frames = [
        frame for number, batch in enumerate(batches) for frame in encode_frames(7 + number, batch)
    ]
    return encode_states_header("00c0ffee", 1000 * PAGE_SIZE, 7) + b"".join(frames)


def test_heads_log_is_read():
    log = HeadsLog(HEADS, writable=False)
    records = list(log.records(HEADER_SIZE, log.header.base_sequence))
    log.close()
    assert log.header == LogHeader(0x1122334455667788, 41, 0)
    assert [record.sequence for record in records] == [42, 43]
    assert tuple(record.entries for record in records) == BATCHES


def test_heads_log_is_written():
    assert heads_bytes() == HEADS.read_bytes()


def test_states_are_read():
    loaded = load_states(STATES, "00c0ffee")
    assert (loaded.size, loaded.sequence) == (500 * PAGE_SIZE, 10)
    assert list(loaded.states.changed_runs()) == [
        (0, 3, PageState.DATA),
        (3, 1, PageState.ZERO),
        (4, 6, PageState.DATA),
        (100, 400, PageState.ZERO),
    ]


def test_states_are_written():
    assert states_bytes() == STATES.read_bytes()
