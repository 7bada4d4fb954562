"""Listings against a plain second implementation, and their cost in rows."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

import pytest

from pithos_api.namespace.listing import PAGE_ROWS_MIN, Span, scan, successor
from pithos_api.namespace.records import ListQuery, Subdir


@dataclass(frozen=True)
class Item:
    name: str


class Table:
    """Names in order, with a count of the rows that were fetched."""

    def __init__(self, names: list[str], *, reverse: bool = False) -> None:
        self.names = sorted(set(names), key=lambda name: name.encode(), reverse=reverse)
        self.fetched = 0

    def fetch(self, span: Span, count: int) -> list[Item]:
        found = [Item(name) for name in self.names if inside(span, name)][:count]
        self.fetched += len(found)
        return found


def inside(span: Span, name: str) -> bool:
    above = name >= span.lower if span.lower_inclusive else name > span.lower
    if span.upper is None:
        return above
    return above and (name <= span.upper if span.upper_inclusive else name < span.upper)


def listed(names: list[str], query: ListQuery) -> list[str]:
    """Names, with a roll-up written as in `>a/`."""
    entries = scan(query, Table(names, reverse=query.reverse).fetch)
    return [f">{e.name}" if isinstance(e, Subdir) else e.name for e in entries]


def expected(names: list[str], query: ListQuery) -> list[str]:
    """The definition: filter all names, roll up, cut."""
    low, high = query.marker, query.end_marker
    if query.reverse:
        low, high = high, low
    chosen = [n for n in set(names) if n > low and (not high or n < high)]
    found: list[str] = []
    for name in sorted(chosen, reverse=query.reverse):
        if not name.startswith(query.prefix):
            continue
        position = name.find(query.delimiter, len(query.prefix)) if query.delimiter else -1
        if position < 0:
            found.append(name)
            continue
        roll_up = name[: position + len(query.delimiter)]
        if roll_up != query.marker and f">{roll_up}" not in found:
            found.append(f">{roll_up}")
    return found[: query.limit]


NAMES = ["a", "a/", "a/1", "a/2", "a/b/1", "a0", "b/1", "b/2", "c", "d//x", "é/1", "\U0001f600"]


def test_plain() -> None:
    assert listed(NAMES, ListQuery()) == sorted(NAMES)


def test_roll_ups() -> None:
    query = ListQuery(delimiter="/")
    assert listed(NAMES, query) == ["a", ">a/", "a0", ">b/", "c", ">d/", ">é/", "\U0001f600"]


def test_roll_ups_below_a_prefix() -> None:
    query = ListQuery(delimiter="/", prefix="a/")
    assert listed(NAMES, query) == ["a/", "a/1", "a/2", ">a/b/"]


def test_a_roll_up_as_marker_is_not_repeated() -> None:
    query = ListQuery(delimiter="/", marker="a/")
    assert listed(NAMES, query) == ["a0", ">b/", "c", ">d/", ">é/", "\U0001f600"]


def test_a_marker_inside_a_roll_up_gives_the_roll_up_once_more() -> None:
    query = ListQuery(delimiter="/", marker="b/1", end_marker="d")
    assert listed(NAMES, query) == [">b/", "c"]


def test_path_lists_one_directory_without_roll_ups() -> None:
    names = ["a", "a/", "a/1", "a/2", "a/b", "a/b/", "a/b/1", "a/c/1", "b"]
    assert listed(names, ListQuery(path="a")) == ["a/1", "a/2", "a/b", "a/b/"]
    assert listed(names, ListQuery(path="a/")) == ["a/1", "a/2", "a/b", "a/b/"]
    assert listed(names, ListQuery(path="a", reverse=True)) == ["a/b/", "a/b", "a/2", "a/1"]
    assert listed(names, ListQuery(path="")) == ["a", "a/", "b"]


def test_directory_objects_are_listed_beside_their_roll_up() -> None:
    names = ["f0", "f1", "f1/", "f1/x", "f2/", "f3/y"]
    query = ListQuery(delimiter="/", directory_objects=True)
    assert listed(names, query) == ["f0", "f1", "f1/", ">f1/", "f2/", ">f3/"]


@pytest.mark.parametrize("limit", [2, 3, 4])
def test_pages_of_directory_objects_lose_nothing(limit: int) -> None:
    names = ["f0", "f1", "f1/", "f1/x", "f2/", "f3/y", "f4"]
    query = ListQuery(delimiter="/", directory_objects=True, limit=limit)
    found: list[str] = []
    while page := listed(names, query):
        found += page
        query = replace(query, marker=page[-1].removeprefix(">"))
    assert found == ["f0", "f1", "f1/", ">f1/", "f2/", ">f3/", "f4"]


def test_end_marker_before_marker_is_nothing() -> None:
    assert listed(NAMES, ListQuery(marker="c", end_marker="b")) == []
    assert listed(NAMES, ListQuery(marker="b", end_marker="c", reverse=True)) == []


def test_limit_zero() -> None:
    assert listed(NAMES, ListQuery(limit=0)) == []


@pytest.mark.parametrize("seed", range(300))
def test_any_listing(seed: int) -> None:
    dice = random.Random(seed)
    letters = "ab/\U0010ffff" if seed % 5 == 0 else "ab/"

    def name(shortest: int, longest: int) -> str:
        return "".join(dice.choices(letters, k=dice.randint(shortest, longest)))

    names = [name(1, 6) for _ in range(dice.randint(0, 150))]
    query = ListQuery(
        limit=dice.choice([1, 2, 5, 10_000]),
        marker=name(0, 3),
        end_marker=name(0, 3) if dice.random() < 0.3 else "",
        prefix=name(0, 2),
        delimiter=dice.choice(["", "/", "a", "/a"]),
        reverse=dice.random() < 0.4,
    )
    assert listed(names, query) == expected(names, query)


def test_a_roll_up_costs_no_more_than_a_page() -> None:
    names = [f"dir{d}/{number:05}" for d in range(3) for number in range(5000)]
    table = Table(names)
    assert scan(ListQuery(delimiter="/"), table.fetch) == [Subdir(f"dir{d}/") for d in range(3)]
    assert table.fetched <= 3 * PAGE_ROWS_MIN


def test_a_small_limit_costs_few_rows() -> None:
    table = Table([f"{number:05}" for number in range(5000)])
    assert len(scan(ListQuery(limit=3), table.fetch)) == 3
    assert table.fetched == 3


@pytest.mark.parametrize(
    ("prefix", "after"),
    [("a", "b"), ("a/", "a0"), ("\ud7ff", "\ue000"), ("a\U0010ffff", "b"), ("\U0010ffff", None)],
)
def test_successor(prefix: str, after: str | None) -> None:
    assert successor(prefix) == after
    assert successor("") is None
