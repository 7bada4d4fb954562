"""Runs of page states against the oracle."""

from __future__ import annotations

import oracles
import pytest
from hypothesis import given
from hypothesis import strategies as st

from native import pages

states_of_runs = st.lists(
    st.tuples(st.integers(0, 255), st.integers(1, 100)).map(lambda run: bytes([run[0]]) * run[1]),
    max_size=10,
).map(b"".join)


@given(states=states_of_runs)
def test_runs(states):
    expected = oracles.byte_runs(states)
    assert pages.runs(states) == expected
    assert pages.runs(states, scalar=True) == expected


@pytest.mark.parametrize("length", [1, 31, 32, 33, 64, 1000])
def test_run_ends_where_one_byte_differs(length):
    assert pages.runs(b"\1" * length + b"\2") == [(0, length, 1), (length, 1, 2)]


def test_nothing_has_no_runs():
    assert pages.runs(b"") == []


def test_array_can_grow_afterwards():
    states = bytearray(b"\0\0\1")
    assert pages.runs(memoryview(states)[1:]) == [(0, 1, 0), (1, 1, 1)]
    states.append(2)
