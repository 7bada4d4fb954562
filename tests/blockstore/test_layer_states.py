"""The log of page states: torn tails, flipped bytes, compaction."""

import errno
import itertools
import os
import random

import pytest

from blockstore.errors import Corrupt, StoreUnavailable
from blockstore.files import layer_states
from blockstore.files.layer_states import (
    HEADER_SIZE,
    StatesLog,
    clip_entries,
    encode_frames,
    encode_header,
    load_states,
    pack_entry,
    pack_resize,
    pack_states,
    write_states,
)
from blockstore.interface import PAGE_SIZE, PageState

INHERIT, DATA, ZERO = PageState.INHERIT, PageState.DATA, PageState.ZERO
SIZE = 1000 * PAGE_SIZE
LAYER = "00ff"


@pytest.fixture
def path(tmp_path):
    return tmp_path / "states"


def frames(*batches, sequence=0):
    parts = []
    for batch in batches:
        parts += encode_frames(sequence, batch)
        sequence += 1
    return b"".join(parts)


def shape(path):
    loaded = load_states(path, LAYER)
    return loaded.size, list(loaded.states.changed_runs())


ONE = pack_entry(0, 10, DATA)
TWO = pack_entry(5, 2, ZERO) + pack_entry(20, 1, DATA)
LONG = b"".join(pack_entry(2 * page, 1, DATA) for page in range(100))


def test_write_and_load(path):
    write_states(path, LAYER, SIZE, ONE + TWO)
    assert shape(path) == (SIZE, [(0, 5, DATA), (5, 2, ZERO), (7, 3, DATA), (20, 1, DATA)])
    assert path.stat().st_size == load_states(path, LAYER).end
    assert not path.with_name("states.new").exists()


def test_append_and_reopen(path):
    write_states(path, LAYER, SIZE, b"")
    log = StatesLog(path, LAYER)
    log.append(ONE)
    log.append(pack_resize(6 * PAGE_SIZE))
    log.append(pack_resize(SIZE))
    log.close()
    assert shape(path) == (SIZE, [(0, 6, DATA)])
    log = StatesLog(path, LAYER)
    log.append(TWO)
    log.close()
    assert shape(path) == (SIZE, [(0, 5, DATA), (5, 2, ZERO), (20, 1, DATA)])


def test_many_entries_take_several_frames(path, monkeypatch):
    monkeypatch.setattr(layer_states, "FRAME_ENTRIES_MAX", 7)
    write_states(path, LAYER, SIZE, LONG)
    assert load_states(path, LAYER).sequence == 15
    log = StatesLog(path, LAYER)
    log.append(LONG)
    log.close()
    assert load_states(path, LAYER).sequence == 30
    assert shape(path)[1] == [(2 * page, 1, DATA) for page in range(100)]


def test_a_frame_is_synced_before_the_next_is_added(path, monkeypatch):
    """Else a power loss can leave the second whole behind a torn first, which reads as damage."""
    monkeypatch.setattr(layer_states, "FRAME_ENTRIES_MAX", 7)
    write_states(path, LAYER, SIZE, b"")
    synced = [path.read_bytes()]
    fdatasync = os.fdatasync

    def note(descriptor):
        fdatasync(descriptor)
        if path.read_bytes() != synced[-1]:
            synced.append(path.read_bytes())

    log = StatesLog(path, LAYER)
    monkeypatch.setattr(os, "fdatasync", note)
    log.append(LONG)
    log.close()
    assert len(synced) == 1 + 15
    for before, after in itertools.pairwise(synced):
        lost = bytes(512 - len(before) % 512)
        torn = before + lost + after[len(before) + len(lost) :]
        copy = path.with_name("torn")
        copy.write_bytes(torn[: len(after)])
        assert load_states(copy, LAYER).end == len(before)


def test_a_failed_sync_takes_the_frame_back(path, monkeypatch):
    """Memory has it, the disk may not: who opens the log next must not build on it."""
    write_states(path, LAYER, SIZE, ONE)
    before = path.read_bytes()
    log = StatesLog(path, LAYER)

    def failing(descriptor):
        raise OSError(errno.EIO, "the disk is gone")

    monkeypatch.setattr(os, "fdatasync", failing)
    with pytest.raises(OSError, match="gone"):
        log.append(TWO)
    log.close()
    assert path.read_bytes() == before


@pytest.fixture
def attributes(tmp_path):
    try:
        os.setxattr(tmp_path, "user.test", b"")
    except OSError:
        pytest.skip("the file system of the tests has no extended attributes")


@pytest.mark.usefixtures("attributes")
def test_a_log_that_lost_acknowledged_frames_is_damage(path):
    write_states(path, LAYER, SIZE, ONE)
    log = StatesLog(path, LAYER)
    log.append(TWO)
    log.append(LONG)
    log.close()
    end = path.stat().st_size
    with path.open("r+b") as file:
        for length in (end - 1, end - 32 - len(LONG), HEADER_SIZE + 32 + len(ONE), HEADER_SIZE):
            file.truncate(length)
            with pytest.raises(Corrupt, match=f"not at {end}"):
                load_states(path, LAYER)


@pytest.mark.usefixtures("attributes")
def test_what_was_not_acknowledged_may_be_cut(path, monkeypatch):
    write_states(path, LAYER, SIZE, ONE)
    log = StatesLog(path, LAYER)

    def interrupted(descriptor):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fdatasync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        log.append(TWO)
    monkeypatch.undo()
    log.close()
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size - 1)
    assert shape(path) == (SIZE, [(0, 10, DATA)])


def test_torn_tail_at_every_length(path):
    whole = encode_header(LAYER, SIZE, 0) + frames(ONE)
    last = frames(LONG[:480], sequence=1)
    for length in range(len(last)):
        path.write_bytes(whole + last[:length])
        assert shape(path) == (SIZE, [(0, 10, DATA)]), length
    log = StatesLog(path, LAYER)
    log.append(TWO)
    log.close()
    assert path.stat().st_size == len(whole) + len(frames(TWO))
    assert shape(path)[1][-1] == (20, 1, DATA)


@pytest.mark.parametrize(("start", "length"), [(0, 512), (512, 512), (1024, 2048), (0, 4096)])
def test_sectors_that_were_never_written_are_torn(path, start, length):
    whole = encode_header(LAYER, SIZE, 0) + frames(ONE)
    data = bytearray(whole + frames(LONG * 2, sequence=1))
    start = max(start, len(whole))
    data[start : start + length] = bytes(len(data[start : start + length]))
    path.write_bytes(data)
    assert shape(path) == (SIZE, [(0, 10, DATA)])


def test_every_flipped_byte_is_noticed(path):
    whole = encode_header(LAYER, SIZE, 0) + frames(ONE, TWO, LONG)
    random_ = random.Random(5)
    for at in range(len(whole)):
        damaged = bytearray(whole)
        damaged[at] ^= random_.randint(1, 255)
        path.write_bytes(damaged)
        with pytest.raises((Corrupt, StoreUnavailable), match=LAYER):
            load_states(path, LAYER)


def test_damage_before_the_end_names_layer_and_offset(path):
    whole = bytearray(encode_header(LAYER, SIZE, 0) + frames(ONE, TWO))
    whole[HEADER_SIZE : HEADER_SIZE + 48] = bytes(48)
    path.write_bytes(whole)
    with pytest.raises(Corrupt) as caught:
        load_states(path, LAYER)
    assert caught.value.what == f"layer {LAYER}"
    assert caught.value.where == f"{path}:{HEADER_SIZE}"


def test_a_missing_frame_is_damage(path):
    path.write_bytes(encode_header(LAYER, SIZE, 0) + frames(ONE) + frames(TWO, sequence=2))
    with pytest.raises(Corrupt):
        load_states(path, LAYER)


def test_states_of_another_layer(path):
    write_states(path, "another", SIZE, ONE)
    with pytest.raises(Corrupt, match="another layer"):
        load_states(path, LAYER)


@pytest.mark.parametrize(
    "entry", [pack_entry(0, 1, 3), pack_entry(999, 2, DATA), pack_entry(10**12, 1, ZERO)]
)
def test_entries_without_meaning(path, entry):
    path.write_bytes(encode_header(LAYER, SIZE, 0) + frames(entry))
    with pytest.raises(Corrupt, match="no meaning"):
        load_states(path, LAYER)


@pytest.mark.parametrize("data", [b"", b"short", bytes(HEADER_SIZE)])
def test_damaged_header(path, data):
    path.write_bytes(data)
    with pytest.raises(Corrupt):
        load_states(path, LAYER)


def test_replace_goes_on_counting(path):
    write_states(path, LAYER, SIZE, b"")
    log = StatesLog(path, LAYER)
    for _ in range(5):
        log.append(ONE)
    log.replace(SIZE, pack_states([(0, 10, DATA)]))
    log.append(TWO)
    log.close()
    loaded = load_states(path, LAYER)
    assert loaded.sequence == 7
    assert path.stat().st_size == HEADER_SIZE + len(frames(ONE, TWO))
    assert next(iter(loaded.states.changed_runs())) == (0, 5, DATA)


def test_when_to_replace(path, monkeypatch):
    monkeypatch.setattr(layer_states, "COMPACT_SIZE_MIN", 1000)
    write_states(path, LAYER, SIZE, b"")
    log = StatesLog(path, LAYER)
    log._compact_above = 1000
    assert not log.is_long()
    while not log.is_long():
        log.append(ONE)
    assert not log.is_worth_replacing(bytes(800))
    assert not log.is_long()
    while not log.is_long():
        log.append(ONE)
    assert log.is_worth_replacing(ONE)
    log.close()


def test_clip_entries():
    entries = pack_entry(0, 10, DATA) + pack_entry(8, 4, ZERO) + pack_entry(10, 1, DATA)
    clipped = pack_entry(0, 10, DATA) + pack_entry(8, 2, ZERO)
    assert clip_entries(entries, 10 * PAGE_SIZE) == clipped
