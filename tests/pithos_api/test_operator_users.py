"""archipelago user ..., project ...: who may use the API."""

import io
import stat
import sys

import pytest
from operator_session import bare_operator, operator

from pithos_api.identity.errors import Unauthorized
from pithos_api.operator.administrator import ensure_administrator
from pithos_api.operator.configuration import Configuration
from pithos_api.operator.deployment import Deployment

__all__ = ["bare_operator", "operator"]


@pytest.fixture
def typed(monkeypatch):
    def type_in(text):
        monkeypatch.setattr(sys, "stdin", io.StringIO(text))

    return type_in


@pytest.fixture
def alice(operator, typed):
    typed("secret\n")
    operator.ok("user", "create", "alice", "--password-stdin")


def deployment_of(operator):
    return Deployment(Configuration(data=str(operator.data)))


def logs_in(operator, name, password):
    with deployment_of(operator) as deployment:
        try:
            deployment.identity.authenticate(name, password)
        except Unauthorized:
            return False
        return True


def test_a_user_has_a_project_and_can_log_in(operator, alice):
    assert logs_in(operator, "alice", "secret")
    assert not logs_in(operator, "alice", "secret\n")
    assert "alice" in operator.ok("user", "list").out
    (user,) = operator.ok("user", "list", "--json").json
    (project,) = operator.ok("project", "list", "--json").json
    assert (user["name"], user["default_project"]) == ("alice", project["id"])


def test_no_password_is_shown(operator, alice):
    for command in (("user", "list"), ("user", "list", "--json")):
        assert "secret" not in operator.ok(*command).out
        assert "argon2" not in operator.ok(*command).out


def test_a_name_that_is_taken(operator, alice, typed):
    typed("other\n")
    operator.refused(4, "user", "create", "alice", "--password-stdin")
    assert logs_in(operator, "alice", "secret")


@pytest.mark.parametrize("name", ["", "a/b", "a:b", "0" * 32, " a"])
def test_names_that_cannot_be(operator, typed, name):
    typed("secret\n")
    operator.refused(2, "user", "create", name, "--password-stdin")


def test_an_empty_password_is_refused(operator, typed):
    typed("\n")
    operator.refused(2, "user", "create", "bob", "--password-stdin")


def test_without_a_terminal_the_flag_is_told(operator, typed):
    typed("secret\n")
    assert "--password-stdin" in operator.refused(2, "user", "create", "bob")


def test_into_a_project(operator, typed):
    operator.ok("project", "create", "research")
    typed("secret\n")
    operator.ok("user", "create", "bob", "--project", "research", "--password-stdin")
    assert [p["name"] for p in operator.ok("project", "list", "--json").json] == ["research"]


def test_into_a_project_that_is_not_there(operator, typed):
    typed("secret\n")
    line = operator.refused(3, "user", "create", "b", "--project", "none", "--password-stdin")
    assert "archipelago project list" in line


def test_passwd(operator, alice, typed):
    typed("better\n")
    operator.ok("user", "passwd", "alice", "--password-stdin")
    assert logs_in(operator, "alice", "better")
    assert not logs_in(operator, "alice", "secret")


def test_delete(operator, alice):
    operator.ok("user", "delete", "alice")
    assert not logs_in(operator, "alice", "secret")
    assert operator.ok("user", "list", "--json").json == []


@pytest.mark.parametrize("command", [("user", "delete", "x"), ("user", "passwd", "x")])
def test_unknown_users(operator, command):
    assert "archipelago user list" in operator.refused(3, *command)


def test_projects(operator, alice):
    identifier = operator.ok("project", "create", "research", "--user", "alice").out.strip()
    assert identifier in operator.ok("project", "list").out
    operator.refused(4, "project", "create", "research")
    operator.refused(3, "project", "create", "other", "--user", "nobody")
    assert len(operator.ok("project", "list", "--json").json) == 2


def test_the_administrator_is_made_once(operator):
    with deployment_of(operator) as deployment:
        path = ensure_administrator(deployment, "http://127.0.0.1:5000/v3")
        assert path is not None
        text = path.read_text()
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert "export OS_AUTH_URL=http://127.0.0.1:5000/v3\n" in text
        ensure_administrator(deployment, "http://127.0.0.1:5001/v3")
        assert path.read_text() == text.replace("5000", "5001")
        assert deployment.identity.authenticate("admin", password_in(text)).principal.is_admin


def password_in(text):
    (line,) = [line for line in text.splitlines() if line.startswith("export OS_PASSWORD=")]
    return line.partition("=")[2]


def test_a_password_that_was_put_away_is_not_made_again(operator):
    with deployment_of(operator) as deployment:
        path = ensure_administrator(deployment, "http://a/v3")
        path.unlink()
        assert ensure_administrator(deployment, "http://a/v3") is None
        assert not path.exists()
