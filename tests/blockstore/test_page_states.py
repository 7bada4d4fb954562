"""The sparse map of page states against a plain list."""

import itertools
import random

import pytest

from blockstore.interface import PAGE_SIZE, PageState, Run
from blockstore.page_states import CHUNK_PAGES, GROUP_PAGES, PageStates

INHERIT, DATA, ZERO = PageState.INHERIT, PageState.DATA, PageState.ZERO


def test_everything_inherits_at_first():
    states = PageStates()
    assert list(states.runs(5, 10 * GROUP_PAGES)) == [(5, 10 * GROUP_PAGES, INHERIT)]
    assert list(states.runs(0, 0)) == []
    assert list(states.changed_runs()) == []


def test_set_says_whether_anything_changed():
    states = PageStates()
    assert states.set(3, 4, DATA)
    assert not states.set(4, 2, DATA)
    assert states.set(6, 2, DATA)
    assert not states.set(100, 5, INHERIT)
    assert not states.set(0, 0, DATA)
    assert states.data_pages == 5


def test_whole_groups_cost_an_entry_each():
    states = PageStates()
    assert states.set(0, 1000 * GROUP_PAGES, ZERO)
    assert states.set(7 * GROUP_PAGES, GROUP_PAGES, DATA)
    assert not states.set(7 * GROUP_PAGES, GROUP_PAGES, DATA)
    assert states.data_pages == GROUP_PAGES
    assert list(states.changed_runs())[1] == (7 * GROUP_PAGES, GROUP_PAGES, DATA)
    assert states.set(7 * GROUP_PAGES + 5, 1, ZERO)
    assert states.data_pages == GROUP_PAGES - 1
    assert list(states.runs(7 * GROUP_PAGES, 7)) == [
        (7 * GROUP_PAGES, 5, DATA),
        (7 * GROUP_PAGES + 5, 1, ZERO),
        (7 * GROUP_PAGES + 6, 1, DATA),
    ]


def test_runs_merge_over_chunks_and_groups():
    states = PageStates()
    states.set(GROUP_PAGES - 3, 6, DATA)
    states.set(CHUNK_PAGES - 1, 2, ZERO)
    assert list(states.changed_runs()) == [(CHUNK_PAGES - 1, 2, ZERO), (GROUP_PAGES - 3, 6, DATA)]
    assert states.byte_runs(0, PAGE_SIZE * CHUNK_PAGES) == [
        Run(0, PAGE_SIZE * (CHUNK_PAGES - 1), INHERIT),
        Run(PAGE_SIZE * (CHUNK_PAGES - 1), PAGE_SIZE, ZERO),
    ]


def test_forget():
    states = PageStates()
    states.set(0, 3 * GROUP_PAGES, DATA)
    states.forget(GROUP_PAGES + 10)
    assert list(states.changed_runs()) == [(0, GROUP_PAGES + 10, DATA)]
    assert states.data_pages == GROUP_PAGES + 10
    states.forget(5 * GROUP_PAGES)
    states.forget(0)
    assert (list(states.changed_runs()), states.data_pages) == ([], 0)


@pytest.mark.parametrize("seed", range(4))
def test_random_steps_against_a_list(seed):
    random_ = random.Random(seed)
    base, span = random_.choice([0, GROUP_PAGES]) + CHUNK_PAGES, 3 * CHUNK_PAGES
    base -= random_.choice([0, 2 * CHUNK_PAGES])
    base = max(base, 0)
    states, oracle = PageStates(), [INHERIT] * span
    for step in range(120):
        first = random_.randrange(span)
        count = min(random_.choice([1, 7, 1000, CHUNK_PAGES, 2 * CHUNK_PAGES]), span - first)
        state = random_.choice([INHERIT, DATA, ZERO])
        changed = states.set(base + first, count, state)
        expected = any(before is not state for before in oracle[first : first + count])
        assert changed == expected, f"seed {seed} step {step}"
        oracle[first : first + count] = [state] * count
        assert states.data_pages == oracle.count(DATA), f"seed {seed} step {step}"
    runs = list(states.runs(base, span))
    assert [state for _, count, state in runs for _ in range(count)] == oracle
    assert all(a[2] != b[2] for a, b in itertools.pairwise(runs))
    assert [run[0] for run in runs[1:]] == [first + count for first, count, _ in runs[:-1]]
