"""The log of head changes: codec, torn tails, damage, salvage."""

import random

import pytest

from blockstore.errors import Corrupt, StoreUnavailable
from blockstore.files.heads_log import (
    HEADER_SIZE,
    HeadsLog,
    LogEntry,
    LogHeader,
    encode_header,
    encode_record,
    write_log,
)

BASE = LogHeader(generation=77, base_sequence=10, last_version=5)


def record(sequence, size=40):
    value = random.Random(sequence).randbytes(size)
    return encode_record(
        sequence, [LogEntry(b"head", sequence, value), LogEntry(b"gone", sequence, None)]
    )


@pytest.fixture
def path(tmp_path):
    return tmp_path / "heads.log"


def read_all(path, salvage=False):
    log = HeadsLog(path, writable=False)
    try:
        base = log.header.base_sequence
        return list(log.records(HEADER_SIZE, base, salvage=salvage))
    finally:
        log.close()


def sequences(path, salvage=False):
    return [found.sequence for found in read_all(path, salvage)]


def test_write_and_read(path):
    heads = [LogEntry(b"a", 3, b"one"), LogEntry("ü".encode(), 4, b"")]
    end, sequence = write_log(path, BASE, heads)
    assert (end, sequence) == (path.stat().st_size, 11)
    (found,) = read_all(path)
    assert (found.sequence, list(found.entries), found.end) == (11, heads, end)
    assert not path.with_name("heads.log.new").exists()


def test_append(path):
    end, sequence = write_log(path, BASE, [])
    log = HeadsLog(path, writable=True)
    log.append(record(sequence + 1), end)
    log.append(record(sequence + 2), end + len(record(sequence + 1)))
    assert log.size_if_current() == path.stat().st_size
    log.close()
    found = read_all(path)
    assert [each.sequence for each in found] == [11, 12]
    assert found[1].entries[1] == LogEntry(b"gone", 12, None)


def test_many_heads_are_written_in_several_records(path):
    heads = [LogEntry(b"%04d" % number, number, bytes(10_000)) for number in range(300)]
    _, sequence = write_log(path, BASE, heads)
    assert sequence > 11
    assert [entry for found in read_all(path) for entry in found.entries] == heads


def test_a_replaced_log_is_noticed(path):
    write_log(path, BASE, [])
    log = HeadsLog(path, writable=True)
    write_log(path, LogHeader(78, 10, 5), [])
    assert log.size_if_current() is None
    path.unlink()
    assert log.size_if_current() is None
    log.close()


def test_torn_tail_at_every_length(path):
    whole = encode_header(BASE) + record(11)
    last = record(12)
    for length in range(len(last)):
        path.write_bytes(whole + last[:length])
        assert sequences(path) == [11], length
    path.write_bytes(whole + last)
    assert sequences(path) == [11, 12]


def test_a_last_record_with_unwritten_sectors_is_torn(path):
    whole, last = encode_header(BASE) + record(11), record(12, 3000)
    path.write_bytes(whole + last[:512] + bytes(1024) + last[1536:])
    assert sequences(path) == [11]
    path.write_bytes(whole + bytes(len(last)))
    assert sequences(path) == [11]


def test_flipped_bytes_are_damage(path):
    whole = encode_header(BASE) + record(11) + record(12)
    for at in range(len(whole)):
        damaged = bytearray(whole)
        damaged[at] ^= 0x41
        path.write_bytes(damaged)
        try:
            found = sequences(path)
        except (Corrupt, StoreUnavailable) as error:
            assert str(path) in str(error)  # noqa: PT017
            continue
        # Only a length that points behind the end looks like a record that was cut off.
        assert found == [11], at
        assert len(encode_header(BASE) + record(11)) + 8 <= at < len(whole), at


def test_damage_in_the_middle_names_the_offset(path):
    parts = [encode_header(BASE), record(11), record(12), record(13)]
    whole = bytearray(b"".join(parts))
    offset = len(parts[0]) + len(parts[1])
    whole[offset + 8 : offset + 16] = (10**12).to_bytes(8, "little")
    path.write_bytes(whole)
    with pytest.raises(Corrupt) as caught:
        sequences(path)
    assert caught.value.where == f"{path}:{offset}"
    assert sequences(path, salvage=True) == [11, 13]


def test_a_missing_record_is_damage(path):
    path.write_bytes(encode_header(BASE) + record(11) + record(13))
    with pytest.raises(Corrupt):
        sequences(path)
    assert sequences(path, salvage=True) == [11, 13]


def test_damaged_header(path):
    for packed in (b"", encode_header(BASE)[:-1], bytes(HEADER_SIZE)):
        path.write_bytes(packed)
        with pytest.raises(Corrupt):
            sequences(path)


def test_a_full_batch_leaves_nothing_when_it_cannot_be_written(path):
    end, _ = write_log(path, BASE, [])
    log = HeadsLog(path, writable=False)
    with pytest.raises(OSError, match=r"."):
        log.append(record(11), end)
    log.close()
    assert path.stat().st_size == end
