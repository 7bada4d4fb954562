"""archipelago snapshot ..."""

import io
import sys

import pytest
from operator_session import bare_operator, operator

from archipelago import Content
from pithos_api.operator.configuration import Configuration
from pithos_api.operator.deployment import Deployment

__all__ = ["bare_operator", "operator"]


@pytest.fixture
def volume(operator, tmp_path):
    source = tmp_path / "source"
    source.write_bytes(b"first" * 20_000)
    operator.ok("volume", "import", "v", str(source))
    return source


@pytest.fixture
def alice(operator, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO("secret\n"))
    operator.ok("user", "create", "alice", "--password-stdin")


def write(operator, offset, data):
    with Deployment(Configuration(data=str(operator.data))) as deployment:
        opened = deployment.catalog.open("v")
        opened.write(offset, data)
        opened.flush()
        opened.close()


def test_create_and_list(operator, volume):
    assert operator.ok("snapshot", "create", "v@one", "--json").json["name"] == "one"
    operator.ok("volume", "create", "w", "--size", "1M")
    operator.ok("snapshot", "create", "w@two")
    listed = operator.ok("snapshot", "list", "--json").json
    assert [(s["volume"], s["name"]) for s in listed] == [("v", "one"), ("w", "two")]
    assert "w@two" in operator.ok("snapshot", "list", "w").out
    assert "v@one" not in operator.ok("snapshot", "list", "w").out


@pytest.mark.parametrize("name", ["v", "v@", "@s", "v@a@b", "v@a/b", "v@-a"])
@pytest.mark.parametrize("command", ["create", "delete", "rollback"])
def test_names_that_are_no_snapshots(operator, volume, command, name):
    operator.refused(2, "snapshot", command, name)


def test_taken_and_unknown(operator, volume):
    operator.ok("snapshot", "create", "v@s")
    operator.refused(4, "snapshot", "create", "v@s")
    operator.refused(3, "snapshot", "create", "none@s")
    operator.refused(3, "snapshot", "delete", "v@none")
    operator.refused(3, "snapshot", "rollback", "v@none")
    operator.refused(3, "snapshot", "list", "none")


def test_rollback(operator, volume, tmp_path):
    operator.ok("snapshot", "create", "v@s")
    write(operator, 10, b"second")
    operator.ok("snapshot", "rollback", "v@s")
    operator.ok("volume", "export", "v", str(tmp_path / "out"))
    assert (tmp_path / "out").read_bytes().rstrip(b"\0") == volume.read_bytes()


def test_delete(operator, volume):
    operator.ok("snapshot", "create", "v@a")
    operator.ok("snapshot", "create", "v@b")
    operator.ok("snapshot", "delete", "v@a", "v@b")
    assert operator.ok("snapshot", "list", "--json").json == []


def test_publish(operator, volume, alice):
    write(operator, 0, b"FIRST")
    operator.ok("snapshot", "create", "v@s")
    write(operator, 0, b"later")
    before = operator.ok("info", "--json").json["blocks"]["count"]
    assert operator.ok("snapshot", "publish", "v@s", "--user", "alice").out == "snapshots/v@s\n"
    with Deployment(Configuration(data=str(operator.data))) as deployment:
        account = deployment.identity.user("alice").default_project
        found = deployment.namespace.object(account, "snapshots", "v@s")
        content = Content(deployment.maps, deployment.store.blocks, found.root, found.size).read(
            0, found.size
        )
    assert content.rstrip(b"\0") == b"FIRST" + volume.read_bytes()[5:]
    assert operator.ok("info", "--json").json["blocks"]["count"] <= before + 3


def test_publish_elsewhere(operator, volume, alice):
    operator.ok("snapshot", "create", "v@s")
    done = operator.ok(
        *("snapshot", "publish", "v@s", "--user", "alice", "--container", "images"),
        *("--object", "a/b.raw", "--json"),
    )
    assert (done.json["container"], done.json["object"]) == ("images", "a/b.raw")


def test_publish_what_is_not_there(operator, volume, alice):
    operator.ok("snapshot", "create", "v@s")
    operator.refused(3, "snapshot", "publish", "v@none", "--user", "alice")
    assert "user list" in operator.refused(3, "snapshot", "publish", "v@s", "--user", "none")
    operator.refused(2, "snapshot", "publish", "v", "--user", "alice")
    operator.refused(2, "snapshot", "publish", "v@s")
    operator.refused(2, "snapshot", "publish", "v@s", "--user", "alice", "--object", "")
    operator.refused(2, "snapshot", "publish", "v@s", "--user", "alice", "--container", "a/b")
