import socket
import stat

import pytest
from kamaki_cloud import PASSWORD, Kamaki


def only_line(result):
    """The one line of an error; nothing on standard output."""
    assert result.out == ""
    lines = result.err.splitlines()
    assert len(lines) == 1, result.err
    return lines[0]


@pytest.mark.parametrize(
    "arguments",
    [
        ("file", "info", "absent/o"),
        ("file", "list", "absent"),
        ("file", "download", "absent/o"),
        ("file", "delete", "absent/o"),
        ("container", "info", "absent"),
        ("container", "delete", "absent"),
        ("image", "show", "absent"),
        ("image", "register", "n", "absent/o"),
    ],
)
def test_what_is_absent(alice, arguments):
    result = alice(*arguments, ok=False)
    assert result.code == 3
    assert only_line(result).startswith("kamaki: ")


def test_upload_to_an_absent_container(alice, tmp_path):
    (tmp_path / "f").write_bytes(b"x")
    assert alice("file", "upload", tmp_path / "f", "absent/o", ok=False).code == 3


def test_a_local_file_that_is_absent(alice, container, tmp_path):
    result = alice("file", "upload", tmp_path / "absent", container, ok=False)
    assert result.code == 1
    assert only_line(result) == f"kamaki: {tmp_path / 'absent'}: No such file or directory"


def test_a_directory_is_no_file(alice, container, tmp_path):
    assert alice("file", "upload", tmp_path, container, ok=False).code == 1


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("file",),
        ("file", "upload"),
        ("file", "upload", "x"),
        ("file", "fly"),
        ("file", "info", "container-only"),
        ("file", "info", "/"),
        ("file", "list", "c", "--limit"),
        ("container", "create", "a/b"),
        ("file", "upload", "-", "c/o", "--password-stdin"),
        ("file", "upload", "-", "c"),
        ("file", "info", "c/\udcff"),
        ("file", "upload", "/dev/null", "c/o", "--content-type", "\u20ac"),
        ("whoami", "--json=1"),
        ("config", "set", "nothing", "x"),
        ("--timeout", "soon", "whoami"),
        ("--config", "/absent/file", "whoami"),
    ],
)
def test_wrong_usage(alice, arguments):
    result = alice(*arguments, ok=False)
    assert result.code == 2
    assert only_line(result).startswith("kamaki")


def test_existing_things(alice, container, tmp_path):
    (tmp_path / "f").write_bytes(b"x")
    alice("file", "upload", tmp_path / "f", f"{container}/o")
    assert alice("container", "delete", container, ok=False).code == 5
    upload = ("file", "upload", tmp_path / "f", f"{container}/o", "--no-replace")
    assert alice(*upload, ok=False).code == 5
    (tmp_path / "out").write_bytes(b"precious")
    download = ("file", "download", f"{container}/o", tmp_path / "out")
    assert alice(*download, ok=False).code == 5
    assert (tmp_path / "out").read_bytes() == b"precious"
    alice(*download, "--force")
    assert (tmp_path / "out").read_bytes() == b"x"


def test_wrong_password(alice):
    alice.settings["KAMAKI_PASSWORD"] = "wrong"
    result = alice("whoami", ok=False)
    assert result.code == 4
    assert "wrong user name, password or project" in only_line(result)


def test_no_password(alice):
    del alice.settings["KAMAKI_PASSWORD"]
    result = alice("whoami", ok=False)
    assert result.code == 2
    assert "--password-stdin" in only_line(result)


def test_login_keeps_a_private_token(alice, tmp_path):
    del alice.settings["KAMAKI_PASSWORD"]
    assert alice("login", "--password-stdin", stdin=f"{PASSWORD}\nrest").code == 0
    (kept,) = (tmp_path / "state-alice").iterdir()
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert PASSWORD not in kept.read_text()
    assert alice("whoami", "--json").json["user"] == "alice"
    alice("logout")
    assert alice("whoami", ok=False).code == 2


def test_a_token_that_the_server_forgot_is_renewed(alice, tmp_path):
    alice("login")
    (kept,) = (tmp_path / "state-alice").iterdir()
    text = kept.read_text()
    value = text.split('"value": "')[1].split('"')[0]
    kept.write_text(text.replace(value, "x" * len(value)))
    assert alice("container", "list").code == 0
    assert kept.read_text() != text


def test_a_broken_token_file_counts_as_none(alice, tmp_path):
    alice("login")
    (kept,) = (tmp_path / "state-alice").iterdir()
    kept.write_text("{")
    assert alice("whoami", "--json").json["user"] == "alice"


def test_server_down(alice):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        alice.settings["KAMAKI_AUTH_URL"] = f"http://127.0.0.1:{unused.getsockname()[1]}"
        result = alice("container", "list", ok=False)
    assert result.code == 6
    assert only_line(result).startswith("kamaki: the connection to 127.0.0.1:")


def test_a_server_that_does_not_answer(alice):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        alice.settings["KAMAKI_AUTH_URL"] = f"http://127.0.0.1:{silent.getsockname()[1]}"
        result = alice("--timeout", "0.2", "container", "list", ok=False)
    assert result.code == 6
    assert "did not answer in time" in only_line(result)


@pytest.mark.parametrize("url", ["http://[", "http://a b/", "http://", "http://127.0.0.1:99999"])
def test_an_impossible_url(alice, url):
    alice.settings["KAMAKI_AUTH_URL"] = url
    result = alice("container", "list", ok=False)
    assert result.code == 6
    only_line(result)


def test_a_server_of_another_kind(alice, cloud):
    alice.settings["KAMAKI_AUTH_URL"] = f"{cloud.url}/nothing-here"
    assert alice("container", "list", ok=False).code in (3, 6)


def test_another_project_is_denied(alice, bob: Kamaki, container):
    project = bob("whoami", "--json").json["project"]
    assert alice("--project", project, "container", "list", ok=False).code == 4


def test_debug_shows_where(alice):
    result = alice("--debug", "file", "info", "absent/o", ok=False)
    assert "Traceback" in result.err
    assert result.err.splitlines()[-1].startswith("kamaki: ")


@pytest.mark.parametrize("arguments", [(), ("file",), ("file", "upload"), ("login",)])
def test_help_teaches(alice, arguments):
    text = alice(*arguments, "--help").out
    assert "examples:\n" in text
    assert "exit status:" in text
