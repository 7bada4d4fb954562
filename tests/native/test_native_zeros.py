"""Zero scans: the fast kernel, its scalar reference and a pure-Python oracle agree."""

from __future__ import annotations

import oracles
import pytest
from hypothesis import given
from hypothesis import strategies as st

from native import zeros

sparse = st.lists(
    st.one_of(st.integers(0, 200).map(bytes), st.binary(min_size=1, max_size=3)), max_size=12
).map(b"".join)


@given(data=sparse, start=st.integers(0, 9))
def test_trimmed_length(data, start):
    view = memoryview(data)[start:]  # any alignment
    expected = len(bytes(view).rstrip(b"\0"))
    assert zeros.trimmed_length(view) == expected
    assert zeros.trimmed_length(view, scalar=True) == expected


@given(data=sparse, start=st.integers(0, 9))
def test_is_zero(data, start):
    view = memoryview(data)[start:]
    expected = not any(view)
    assert zeros.is_zero(view) is expected
    assert zeros.is_zero(view, scalar=True) is expected


@pytest.mark.parametrize("size", [1, 63, 64, 65, 127, 128, 200])
def test_one_byte_anywhere_is_seen(size):
    for position in range(size):
        data = bytearray(size)
        data[position] = 0x80
        assert not zeros.is_zero(data)
        assert zeros.trimmed_length(data) == position + 1


@given(data=sparse, grain=st.integers(1, 300))
def test_zero_runs(data, grain):
    assert zeros.zero_runs(data, grain) == oracles.zero_runs(data, grain)


def test_zero_runs_cover_pages():
    data = bytes(8192) + b"x" * 4096 + bytes(5000)
    assert zeros.zero_runs(data, 4096) == [
        (0, 8192, True),
        (8192, 4096, False),
        (12288, 5000, True),
    ]


@pytest.mark.parametrize("grain", [0, -4096])
def test_grain_must_be_positive(grain):
    with pytest.raises(ValueError, match="grain"):
        zeros.zero_runs(b"abc", grain)
