"""The codecs of a `files:` store: what goes in comes out, and no flipped byte passes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blockstore.errors import Corrupt, StoreUnavailable
from blockstore.files.record import (
    ENTRY_SIZE,
    LOCATION_SIZE,
    PACK_HEADER_SIZE,
    PAGE,
    SEGMENT_PAYLOAD_SIZE_MAX,
    STORE_SIZE,
    Entry,
    Location,
    PackHeader,
    PackState,
    SegmentHeader,
    Totals,
    decode_location,
    decode_pack_header,
    decode_pack_state,
    decode_segment_header,
    decode_segment_table,
    decode_store,
    decode_totals,
    encode_location,
    encode_pack_header,
    encode_pack_state,
    encode_segment_front,
    encode_store,
    encode_totals,
)
from blockstore.interface import BlockKind, StoreInfo

u16 = st.integers(0, 2**16 - 1)
u32 = st.integers(0, 2**32 - 1)
u64 = st.integers(0, 2**64 - 1)
units = u32.map(lambda number: number * 64)
lengths = st.integers(1, SEGMENT_PAYLOAD_SIZE_MAX)
kinds = st.sampled_from(BlockKind)
ids = st.binary(min_size=32, max_size=32)
store_ids = st.binary(min_size=16, max_size=16).map(bytes.hex)

entries = st.builds(
    lambda block_id, offset, length, kind, checksum: Entry(
        block_id, offset, length, length, 0, kind, checksum
    ),
    ids,
    units,
    lengths,
    kinds,
    u64,
)
locations = st.builds(
    lambda pack_id, offset, length, checksum, hours, kind, flags: Location(
        pack_id, offset, length, length, checksum, hours, 0, kind, flags
    ),
    u32,
    units,
    lengths,
    u64,
    u32,
    kinds,
    u16,
)

INFO = StoreInfo("00112233445566778899aabbccddeeff", 1, "blake3", 65536, 1_700_000_000)


@given(
    store_id=store_ids,
    hash_name=st.sampled_from(["blake3", "sha256"]),
    block_size=u32,
    created=u64,
)
def test_store(store_id, hash_name, block_size, created):
    info = StoreInfo(store_id, 1, hash_name, block_size, created)
    encoded = encode_store(info)
    assert len(encoded) == STORE_SIZE
    assert decode_store(encoded, "x") == info


def test_every_flipped_byte_of_a_store_is_seen():
    encoded = encode_store(INFO)
    for position in range(len(encoded)):
        flipped = bytearray(encoded)
        flipped[position] ^= 0x41
        with pytest.raises((Corrupt, StoreUnavailable), match="x"):
            decode_store(bytes(flipped), "x")


@pytest.mark.parametrize("length", [0, 7, 8, 11, 12, STORE_SIZE - 1])
def test_cut_store(length):
    with pytest.raises((Corrupt, StoreUnavailable)):
        decode_store(encode_store(INFO)[:length], "x")


def test_longer_store():
    with pytest.raises(Corrupt):
        decode_store(encode_store(INFO) + b"\0", "x")


@given(store_id=store_ids, pack_id=u32, created=u64)
def test_pack_header(store_id, pack_id, created):
    header = PackHeader(store_id, pack_id, created)
    encoded = encode_pack_header(header)
    assert len(encoded) == PACK_HEADER_SIZE
    assert decode_pack_header(encoded.ljust(PAGE, b"\0")) == header
    assert decode_pack_header(encoded[:-1]) is None


def test_every_flipped_byte_of_a_pack_header_is_seen():
    encoded = encode_pack_header(PackHeader(INFO.store_id, 7, 1))
    for position in range(len(encoded)):
        flipped = bytearray(encoded)
        flipped[position] ^= 0x80
        assert decode_pack_header(bytes(flipped)) is None


@given(
    table=st.lists(entries, min_size=1, max_size=70),
    pages=st.integers(1, SEGMENT_PAYLOAD_SIZE_MAX // PAGE),
    sequence=u64,
    previous=u64,
    durable=u64,
)
def test_segment_front(table, pages, sequence, previous, durable):
    header = SegmentHeader(len(table), pages * PAGE, sequence, previous, durable)
    encoded, checksum = encode_segment_front(header, table)
    assert len(encoded) == header.front_size
    assert len(encoded) % PAGE == 0
    found = decode_segment_header(encoded)
    assert found == SegmentHeader(len(table), pages * PAGE, sequence, previous, durable, checksum)
    assert decode_segment_table(found, encoded) == table


def test_every_flipped_byte_of_a_segment_front_is_seen():
    table = [Entry(bytes([n]) * 32, 64 * n, 100, 100, 0, BlockKind.DATA, n) for n in range(1, 4)]
    encoded, _ = encode_segment_front(SegmentHeader(3, PAGE, 5, 6, 7), table)
    for position in range(len(encoded)):
        flipped = bytearray(encoded)
        flipped[position] ^= 0x04
        header = decode_segment_header(bytes(flipped))
        assert header is None or decode_segment_table(header, bytes(flipped)) is None


@given(data=st.binary(max_size=200))
def test_bytes_that_are_no_segment(data):
    assert decode_segment_header(data) is None
    assert decode_pack_header(data) is None


@given(location=locations)
def test_location(location):
    encoded = encode_location(location)
    assert len(encoded) == LOCATION_SIZE
    assert decode_location(encoded) == location
    assert location.bad == bool(location.flags & 1)


@pytest.mark.parametrize("data", [b"", bytes(31), bytes(32), b"\xff" * 32])
def test_what_is_no_location(data):
    assert decode_location(data) is None


@given(state=st.builds(PackState, u64, u64, u64))
def test_pack_state(state):
    assert decode_pack_state(encode_pack_state(state)) == state
    assert decode_pack_state(encode_pack_state(state)[1:]) is None


def test_every_flipped_byte_of_a_pack_state_is_seen():
    encoded = encode_pack_state(PackState(4096, 7, 8))
    for position in range(len(encoded)):
        flipped = bytearray(encoded)
        flipped[position] ^= 0x20
        assert decode_pack_state(bytes(flipped)) is None


@given(totals=st.builds(Totals, u64, u64, u64, u64))
def test_totals(totals):
    assert decode_totals(encode_totals(totals)) == totals


def test_totals_of_nothing_and_of_garbage():
    assert decode_totals(None) == Totals()
    assert decode_totals(b"123") is None


def test_totals_count_up_and_down():
    totals = Totals().plus(BlockKind.MAP, 10).plus(BlockKind.DATA, 5)
    assert totals == Totals(2, 1, 15, 10)
    assert totals.plus(BlockKind.MAP, 10, -1) == Totals(1, 0, 5, 0)


def test_entry_has_the_size_of_the_format():
    front, _ = encode_segment_front(
        SegmentHeader(64, PAGE, 0, 0, 0),
        [Entry(bytes(32), 0, 1, 1, 0, BlockKind.DATA, 0)] * 64,
    )
    assert len(front) == 2 * PAGE
    assert 64 + 64 * ENTRY_SIZE > PAGE
