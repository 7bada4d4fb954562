"""Accounts and containers: their life, their metadata, their names."""

from __future__ import annotations

import pytest
from sqlalchemy import Engine

from archipelago import EMPTY_MAP
from pithos_api.namespace.errors import (
    ContainerNotEmpty,
    NameInvalid,
    NoSuchAccount,
    NoSuchContainer,
)
from pithos_api.namespace.namespace import Namespace
from pithos_api.namespace.records import ListQuery, NewObject, Subdir

ACCOUNT = "0" * 32
EMPTY = NewObject(0, EMPTY_MAP, None, None, "text/plain")


def names(namespace: Namespace, query: ListQuery) -> list[str]:
    return [entry.name for entry in namespace.containers(ACCOUNT, query)]


def test_an_account_is_made_once(namespace: Namespace) -> None:
    assert not namespace.account_exists(ACCOUNT)
    with pytest.raises(NoSuchAccount):
        namespace.account(ACCOUNT)
    namespace.ensure_account(ACCOUNT)
    first = namespace.account(ACCOUNT)
    namespace.ensure_account(ACCOUNT)
    assert namespace.account(ACCOUNT) == first
    assert (first.container_count, first.object_count, first.bytes_used) == (0, 0, 0)


def test_account_metadata_is_merged(namespace: Namespace) -> None:
    namespace.ensure_account(ACCOUNT)
    namespace.update_account_metadata(ACCOUNT, {"A": "1", "B": "2"})
    namespace.update_account_metadata(ACCOUNT, {"A": None, "C": "é", "D": None})
    assert namespace.account(ACCOUNT).metadata == {"B": "2", "C": "é"}
    with pytest.raises(NoSuchAccount):
        namespace.update_account_metadata("1" * 32, {"A": "1"})


def test_put_container_creates_then_merges(namespace: Namespace) -> None:
    assert namespace.put_container(ACCOUNT, "c", {"A": "1"}, {"X-Container-Read": ".r:*"})
    assert not namespace.put_container(ACCOUNT, "c", {"B": "2"}, {"X-Container-Read": None})
    info = namespace.container(ACCOUNT, "c")
    assert info.metadata == {"A": "1", "B": "2"}
    assert info.headers == {}
    assert (info.account, info.name, info.object_count, info.bytes_used) == (ACCOUNT, "c", 0, 0)
    assert namespace.account(ACCOUNT).container_count == 1


def test_update_container(namespace: Namespace) -> None:
    namespace.put_container(ACCOUNT, "c", {"A": "1"}, {})
    before = namespace.container(ACCOUNT, "c")
    namespace.update_container(ACCOUNT, "c", {"A": None}, {"H": "v"})
    after = namespace.container(ACCOUNT, "c")
    assert (after.metadata, after.headers) == ({}, {"H": "v"})
    assert (after.id, after.created) == (before.id, before.created)
    assert after.modified >= before.modified
    with pytest.raises(NoSuchContainer):
        namespace.update_container(ACCOUNT, "d", {}, {})


def test_delete_container(namespace: Namespace) -> None:
    namespace.put_container(ACCOUNT, "c", {}, {})
    namespace.put_object(ACCOUNT, "c", "o", EMPTY)
    with pytest.raises(ContainerNotEmpty):
        namespace.delete_container(ACCOUNT, "c")
    namespace.delete_object(ACCOUNT, "c", "o")
    namespace.delete_container(ACCOUNT, "c")
    with pytest.raises(NoSuchContainer):
        namespace.delete_container(ACCOUNT, "c")
    with pytest.raises(NoSuchContainer):
        namespace.container(ACCOUNT, "c")


def test_accounts_do_not_see_each_other(namespace: Namespace) -> None:
    namespace.put_container(ACCOUNT, "c", {}, {})
    namespace.ensure_account("1" * 32)
    assert namespace.containers("1" * 32, ListQuery()) == []
    with pytest.raises(NoSuchContainer):
        namespace.container("1" * 32, "c")


def test_listing_containers(namespace: Namespace) -> None:
    for name in ("b", "a-1", "a-2", "é", "Z"):
        namespace.put_container(ACCOUNT, name, {}, {})
    assert names(namespace, ListQuery()) == ["Z", "a-1", "a-2", "b", "é"]
    assert names(namespace, ListQuery(reverse=True, limit=2)) == ["é", "b"]
    assert names(namespace, ListQuery(marker="a-2", end_marker="é")) == ["b"]
    rolled = namespace.containers(ACCOUNT, ListQuery(delimiter="-", prefix="a"))
    assert rolled == [Subdir("a-")]
    with pytest.raises(NoSuchAccount):
        namespace.containers("1" * 32, ListQuery())


@pytest.mark.parametrize("name", ["", "a/b", "a\0b", "\ud800", "x" * 257, "é" * 129])
def test_names_that_are_none(namespace: Namespace, name: str) -> None:
    with pytest.raises(NameInvalid):
        namespace.put_container(ACCOUNT, name, {}, {})


@pytest.mark.parametrize("name", [".", "..", "x" * 256, "é" * 128, " ", "a\nb", "%2F", "'; --"])
def test_names_that_look_odd(namespace: Namespace, name: str) -> None:
    namespace.put_container(ACCOUNT, name, {}, {})
    assert namespace.container(ACCOUNT, name).name == name


@pytest.mark.parametrize("account", ["", "a/b", "\0", "x" * 65])
def test_accounts_that_are_none(namespace: Namespace, account: str) -> None:
    with pytest.raises(NameInvalid):
        namespace.ensure_account(account)


def test_listing_parameters_are_checked(namespace: Namespace) -> None:
    namespace.ensure_account(ACCOUNT)
    with pytest.raises(NameInvalid):
        namespace.containers(ACCOUNT, ListQuery(prefix="\ud800"))


def test_everything_is_there_after_reopening(namespace: Namespace, engine: Engine) -> None:
    namespace.put_container(ACCOUNT, "c", {"A": "1"}, {})
    engine.dispose()
    assert namespace.container(ACCOUNT, "c").metadata == {"A": "1"}
