"""Objects: putting, replacing, conditions, copies, counters."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest

from archipelago import EMPTY_MAP, MapRoot
from pithos_api.housekeeping import sweep
from pithos_api.namespace.errors import (
    AlreadyExists,
    NameInvalid,
    NoSuchContainer,
    NoSuchObject,
    PreconditionFailed,
)
from pithos_api.namespace.namespace import Namespace
from pithos_api.namespace.records import SNAPSHOT, ListQuery, NewObject, Subdir

ACCOUNT = "0" * 32
MERKLE = "ab" * 32
MD5 = "cd" * 16


def new(size: int = 0, **fields: object) -> NewObject:
    content = NewObject(size, EMPTY_MAP, MERKLE, MD5, "text/plain", {"A": "1"}, {"H": "v"})
    return replace(content, **fields)


@pytest.fixture
def box(namespace: Namespace) -> Namespace:
    namespace.put_container(ACCOUNT, "c", {}, {})
    return namespace


def totals(namespace: Namespace) -> tuple[int, int]:
    info = namespace.container(ACCOUNT, "c")
    account = namespace.account(ACCOUNT)
    assert (account.object_count, account.bytes_used) == (info.object_count, info.bytes_used)
    return info.object_count, info.bytes_used


def test_put_and_get(box: Namespace) -> None:
    root = MapRoot(1, bytes(range(32)))
    put = box.put_object(ACCOUNT, "c", "dir/o", new(10, root=root, kind=SNAPSHOT, modified=12.5))
    assert box.object(ACCOUNT, "c", "dir/o") == put
    assert (put.account, put.container, put.name, put.size) == (ACCOUNT, "c", "dir/o", 10)
    assert (put.root, put.merkle_hash, put.md5, put.kind) == (root, MERKLE, MD5, SNAPSHOT)
    assert (put.metadata, put.headers, put.modified) == ({"A": "1"}, {"H": "v"}, 12.5)
    assert len(put.uuid) == 32


def test_replacing_keeps_uuid_and_changes_id(box: Namespace) -> None:
    first = box.put_object(ACCOUNT, "c", "o", new(10))
    second = box.put_object(ACCOUNT, "c", "o", new(3, md5=None, metadata={}))
    assert (second.uuid, second.created) == (first.uuid, first.created)
    assert second.id > first.id
    assert (second.size, second.md5, second.metadata) == (3, None, {})


def test_a_new_object_after_deletion_is_another(box: Namespace) -> None:
    first = box.put_object(ACCOUNT, "c", "o", new())
    box.delete_object(ACCOUNT, "c", "o")
    second = box.put_object(ACCOUNT, "c", "o", new())
    assert second.uuid != first.uuid
    assert second.id > first.id


def test_counters_follow(box: Namespace) -> None:
    box.put_object(ACCOUNT, "c", "a", new(10))
    box.put_object(ACCOUNT, "c", "b", new(5))
    assert totals(box) == (2, 15)
    box.put_object(ACCOUNT, "c", "a", new(3))
    assert totals(box) == (2, 8)
    box.delete_object(ACCOUNT, "c", "b")
    assert totals(box) == (1, 3)
    box.update_object(ACCOUNT, "c", "a", {}, {})
    assert totals(box) == (1, 3)


def test_counters_after_many_writers(box: Namespace) -> None:
    def write(number: int) -> None:
        for turn in range(5):
            box.put_object(ACCOUNT, "c", f"o{turn}", new(number))

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    entries = box.objects(ACCOUNT, "c", ListQuery())
    assert totals(box) == (5, sum(entry.size for entry in entries if not isinstance(entry, Subdir)))


def test_absent_things(box: Namespace) -> None:
    with pytest.raises(NoSuchObject):
        box.object(ACCOUNT, "c", "o")
    with pytest.raises(NoSuchObject):
        box.delete_object(ACCOUNT, "c", "o")
    with pytest.raises(NoSuchObject):
        box.update_object(ACCOUNT, "c", "o", {}, {})
    for container in ("d", "C", ""):
        with pytest.raises(NoSuchContainer):
            box.put_object(ACCOUNT, container, "o", new())
        with pytest.raises(NoSuchContainer):
            box.object(ACCOUNT, container, "o")
        with pytest.raises(NoSuchContainer):
            box.objects(ACCOUNT, container, ListQuery())


def test_if_absent(box: Namespace) -> None:
    box.put_object(ACCOUNT, "c", "o", new(1), if_absent=True)
    with pytest.raises(AlreadyExists):
        box.put_object(ACCOUNT, "c", "o", new(2), if_absent=True)
    assert box.object(ACCOUNT, "c", "o").size == 1


def test_if_absent_lets_one_of_many_win(box: Namespace) -> None:
    won: list[int] = []

    def put(number: int) -> None:
        try:
            box.put_object(ACCOUNT, "c", "o", new(number), if_absent=True)
        except AlreadyExists:
            return
        won.append(number)

    threads = [threading.Thread(target=put, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert won == [box.object(ACCOUNT, "c", "o").size]


@pytest.mark.parametrize("match", [MERKLE, MD5, "*"])
def test_if_match(box: Namespace, match: str) -> None:
    with pytest.raises(PreconditionFailed):
        box.put_object(ACCOUNT, "c", "o", new(1), if_match=match)
    box.put_object(ACCOUNT, "c", "o", new(1))
    box.put_object(ACCOUNT, "c", "o", new(2), if_match=match)
    with pytest.raises(PreconditionFailed):
        box.put_object(ACCOUNT, "c", "o", new(3), if_match="ee" * 16)
    assert box.object(ACCOUNT, "c", "o").size == 2


def test_update_replaces_metadata(box: Namespace) -> None:
    put = box.put_object(ACCOUNT, "c", "o", new(1))
    kept = box.update_object(ACCOUNT, "c", "o", {"B": "2"}, {})
    assert (kept.metadata, kept.headers, kept.content_type) == ({"B": "2"}, {}, "text/plain")
    assert (kept.id, kept.root, kept.uuid) == (put.id, put.root, put.uuid)
    assert kept.modified >= put.modified
    changed = box.update_object(ACCOUNT, "c", "o", {}, {}, "image/png")
    assert changed.content_type == "image/png"


def test_copy_keeps_content(box: Namespace) -> None:
    source = box.put_object(ACCOUNT, "c", "o", new(7))
    copy = box.copy_object(source, ACCOUNT, "c", "p")
    assert copy.uuid != source.uuid
    assert (copy.root, copy.size, copy.md5, copy.metadata) == (source.root, 7, MD5, {"A": "1"})
    other = box.copy_object(replace(source, content_type="x/y"), ACCOUNT, "c", "q", {"B": "2"}, {})
    assert (other.metadata, other.headers, other.content_type) == ({"B": "2"}, {}, "x/y")
    assert totals(box) == (3, 21)


def test_md5_is_kept_for_the_content_it_was_computed_of(box: Namespace) -> None:
    first = box.put_object(ACCOUNT, "c", "o", new(1, md5=None))
    box.set_md5(first.id, MD5)
    assert box.object(ACCOUNT, "c", "o").md5 == MD5
    second = box.put_object(ACCOUNT, "c", "o", new(1, md5=None))
    box.set_md5(first.id, "ff" * 16)
    assert box.object(ACCOUNT, "c", "o") == second


def test_expired_objects_are_removed_and_uncounted(box: Namespace) -> None:
    for number in range(5):
        box.put_object(ACCOUNT, "c", f"o{number}", new(10, headers={"X-Delete-At": str(number)}))
    box.put_object(ACCOUNT, "c", "kept", new(10))
    box.put_object(ACCOUNT, "c", "odd", new(10, headers={"X-Delete-At": "soon"}))
    box.update_object(ACCOUNT, "c", "o1", {}, {"X-Delete-At": "100"})
    assert box.delete_expired(3, 2) == 2
    assert sweep(box, 3) == 1
    names = [entry.name for entry in box.objects(ACCOUNT, "c", ListQuery())]
    assert names == ["kept", "o1", "o4", "odd"]
    assert totals(box) == (4, 40)


def test_an_expired_object_is_not_there_for_a_put(box: Namespace) -> None:
    old = box.put_object(ACCOUNT, "c", "o", new(10, headers={"X-Delete-At": "1"}))
    with pytest.raises(PreconditionFailed):
        box.put_object(ACCOUNT, "c", "o", new(3), if_match="*")
    put = box.put_object(ACCOUNT, "c", "o", new(3), if_absent=True)
    assert put.uuid != old.uuid
    assert totals(box) == (1, 3)


def test_deleting_only_what_expires_at_a_moment(box: Namespace) -> None:
    box.put_object(ACCOUNT, "c", "o", new(10, headers={"X-Delete-At": "9000000000"}))
    for other in (1, 9000000001):
        with pytest.raises(PreconditionFailed):
            box.delete_object(ACCOUNT, "c", "o", if_expiry=other)
    assert totals(box) == (1, 10)
    box.delete_object(ACCOUNT, "c", "o", if_expiry=9000000000)
    assert totals(box) == (0, 0)


def test_a_listing_leaves_out_what_is_long(box: Namespace) -> None:
    box.put_container(ACCOUNT, "c", {"A": "1"}, {"H": "v"})
    headers = {"X-Delete-At": "9000000000", "Content-Language": "x" * 8000}
    put = box.put_object(ACCOUNT, "c", "o", new(10, headers=headers))
    (listed,) = box.objects(ACCOUNT, "c", ListQuery())
    assert listed == replace(put, metadata={}, headers={"X-Delete-At": "9000000000"})
    (holder,) = box.containers(ACCOUNT, ListQuery())
    assert holder == replace(box.container(ACCOUNT, "c"), metadata={}, headers={})


@pytest.mark.parametrize("name", ["", "a\0", "\udfff", "x" * 1025, "é" * 513])
def test_names_that_are_none(box: Namespace, name: str) -> None:
    with pytest.raises(NameInvalid):
        box.put_object(ACCOUNT, "c", name, new())


@pytest.mark.parametrize("name", ["/", "//a//", "..", "a\nb", "é" * 512, "\U0001f600", "a%00"])
def test_names_that_look_odd(box: Namespace, name: str) -> None:
    box.put_object(ACCOUNT, "c", name, new())
    assert [entry.name for entry in box.objects(ACCOUNT, "c", ListQuery())] == [name]


def test_listing_a_container(box: Namespace) -> None:
    box.put_container(ACCOUNT, "other", {}, {})
    box.put_object(ACCOUNT, "other", "x", new())
    for name in ("b", "a/1", "a/2", "c"):
        box.put_object(ACCOUNT, "c", name, new())
    query = ListQuery(delimiter="/")
    assert [entry.name for entry in box.objects(ACCOUNT, "c", query)] == ["a/", "b", "c"]
    backward = ListQuery(reverse=True, marker="b")
    assert [entry.name for entry in box.objects(ACCOUNT, "c", backward)] == ["a/2", "a/1"]
