"""`--json` on everything that lists or shows: one document on standard output, and nothing else."""

from __future__ import annotations

import io
import sys

import pytest
from operator_session import bare_operator, operator

from pithos_api.operator.main import COMMANDS

__all__ = ["bare_operator", "operator"]

SHOWN = {
    ("info",): dict,
    ("rebuild-index",): dict,
    ("volume", "list"): list,
    ("volume", "info", "v"): dict,
    ("volume", "info", "v@s"): dict,
    ("volume", "diff", "v@s", "v"): list,
    ("snapshot", "list"): list,
    ("snapshot", "list", "v"): list,
    ("image", "list"): list,
    ("user", "list"): list,
    ("project", "list"): list,
}
MADE = {
    ("volume", "create", "w", "--size", "1M"): "w",
    ("snapshot", "create", "v@t"): "t",
    ("project", "create", "research"): "research",
}


@pytest.fixture
def filled(operator, monkeypatch):
    operator.ok("volume", "create", "v", "--size", "1M")
    operator.ok("snapshot", "create", "v@s")
    monkeypatch.setattr(sys, "stdin", io.StringIO("secret\n"))
    operator.ok("user", "create", "alice", "--password-stdin")
    return operator


@pytest.mark.parametrize("words", SHOWN, ids=" ".join)
def test_what_is_shown_is_one_document(filled, words):
    done = filled.ok(*words, "--json")
    assert isinstance(done.json, SHOWN[words])
    assert done.err == ""
    if words != ("image", "list") and "diff" not in words:
        assert done.json


@pytest.mark.parametrize("words", MADE, ids=" ".join)
def test_what_is_made_is_shown(filled, words):
    made = filled.ok(*words, "--json").json
    assert MADE[words] in str(made)


def test_no_command_that_shows_is_left_out():
    known = {words[: len(command.path)] for command in COMMANDS for words in SHOWN}
    for command in COMMANDS:
        if command.path[-1] in ("list", "info", "show", "diff"):
            assert command.path in known


def test_an_error_prints_no_document(filled):
    filled.refused(3, "volume", "info", "none", "--json")
