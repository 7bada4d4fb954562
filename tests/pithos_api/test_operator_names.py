"""Names of every kind on the operator's command line."""

from __future__ import annotations

import io
import sys

import pytest
from operator_session import bare_operator, operator

__all__ = ["bare_operator", "operator"]

LONG = "n" * 1024


@pytest.mark.parametrize(
    "name", ["a.b", "ζωή", "東京-1", "a b", "é" * 127, "v" * 255, "x..y", "%2F"]
)
def test_names_of_volumes_and_snapshots(operator, name):
    operator.ok("volume", "create", name, "--size", "1M")
    operator.ok("snapshot", "create", f"{name}@{name}")
    assert [v["name"] for v in operator.ok("volume", "list", "--json").json] == [name]
    (snapshot,) = operator.ok("snapshot", "list", "--json").json
    assert (snapshot["volume"], snapshot["name"]) == (name, name)
    operator.ok("volume", "create", "clone", "--from", f"{name}@{name}")
    operator.ok("snapshot", "delete", f"{name}@{name}")
    operator.ok("volume", "delete", name)


@pytest.mark.parametrize("name", [LONG, "v" * 256, "é" * 128, "a/b", "../a", ".", "..", "a\u2028b"])
def test_names_that_are_none(operator, tmp_path, name):
    operator.ok("volume", "create", "v", "--size", "1M")
    (tmp_path / "in").write_bytes(b"x")
    for command in (
        ("volume", "create", name, "--size", "1M"),
        ("volume", "create", name, "--from", "v"),
        ("volume", "rename", "v", name),
        ("volume", "import", name, str(tmp_path / "in")),
        ("snapshot", "create", f"v@{name}"),
    ):
        assert len(operator.refused(2, *command)) < 3000
    assert [v["name"] for v in operator.ok("volume", "list", "--json").json] == ["v"]


@pytest.mark.parametrize("name", [LONG, "a/b", "", "a\nb"])
@pytest.mark.parametrize("kind", ["user", "project"])
def test_users_and_projects_of_no_name(operator, monkeypatch, kind, name):
    monkeypatch.setattr(sys, "stdin", io.StringIO("secret\n"))
    flags = ["--password-stdin"] if kind == "user" else []
    operator.refused(2, kind, "create", name, *flags)
    assert operator.ok(kind, "list", "--json").json == []


@pytest.mark.parametrize("name", ["ζωή", "a.b", "j. doe", "東京"])
def test_users_of_any_alphabet(operator, monkeypatch, name):
    monkeypatch.setattr(sys, "stdin", io.StringIO("secret\n"))
    operator.ok("user", "create", name, "--password-stdin")
    assert [u["name"] for u in operator.ok("user", "list", "--json").json] == [name]


def test_a_name_that_is_nothing_is_unknown(operator):
    operator.refused(3, "volume", "create", "w", "--image", LONG)
    operator.refused(3, "user", "delete", LONG)
