import os
import stat

import pytest

from clients.cli.main import main
from clients.cli.settings import UsageError, load_settings, save_setting


@pytest.fixture(autouse=True)
def home(monkeypatch, tmp_path):
    for name in list(os.environ):
        if name.startswith(("KAMAKI_", "OS_", "XDG_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def write(home, text, mode=0o600):
    path = home / ".config" / "kamaki" / "config.toml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)
    return path


def test_flags_win_over_environment_over_file(home, monkeypatch):
    path = write(home, 'username = "file"\nproject = "file"\nauth_url = "file"\ntimeout = 5\n')
    monkeypatch.setenv("KAMAKI_PROJECT", "variable")
    monkeypatch.setenv("OS_USERNAME", "variable")
    found = load_settings(None, {"username": "flag"})
    origins = {key: (value.text, value.origin) for key, value in found.values.items()}
    assert origins["username"] == ("flag", "flag")
    assert origins["project"] == ("variable", "$KAMAKI_PROJECT")
    assert origins["auth_url"] == ("file", str(path))
    assert origins["domain"] == ("Default", "default")
    assert found.timeout_s == 5


def test_kamakis_variables_win_over_openstacks(monkeypatch):
    monkeypatch.setenv("OS_AUTH_URL", "a")
    monkeypatch.setenv("KAMAKI_AUTH_URL", "b")
    assert load_settings(None, {}).get("auth_url") == "b"


def test_no_file_is_no_error_unless_it_was_named(home):
    assert load_settings(None, {}).get("username") == ""
    with pytest.raises(UsageError, match="no settings file"):
        load_settings(str(home / "absent.toml"), {})


@pytest.mark.parametrize("text", ["user = 'x'", "username = ", "username = [1]", "\udcff"])
def test_a_bad_file_is_an_error(home, text):
    path = write(home, "")
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(UsageError, match=r"config\.toml"):
        load_settings(None, {})


def test_a_password_in_an_open_file_is_refused(home):
    write(home, 'password = "x"', 0o644)
    with pytest.raises(UsageError, match="chmod 600"):
        load_settings(None, {})


@pytest.mark.parametrize("text", ["0", "-1", "inf", "nan", "soon"])
def test_a_timeout_must_be_positive(text):
    with pytest.raises(UsageError):
        _ = load_settings(None, {"timeout": text}).timeout_s


def test_setting_keeps_other_lines_and_is_private(home):
    path = write(home, '# mine\nusername = "old"\nproject = "p"\n', 0o644)
    save_setting(path, "username", 'new "quoted" \\ \t é')
    assert "# mine" in path.read_text("utf-8")
    found = load_settings(None, {})
    assert found.get("username") == 'new "quoted" \\ \t é'
    assert found.get("project") == "p"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_password_is_not_taken_from_the_command_line(home):
    with pytest.raises(UsageError, match="KAMAKI_PASSWORD"):
        save_setting(home / "c.toml", "password", "x")


def test_config_show_hides_the_password(home, capsys):
    write(home, 'password = "secret"\nusername = "u"\n')
    assert main(["config", "show"]) == 0
    shown = capsys.readouterr().out
    assert "secret" not in shown
    assert "(hidden)" in shown
    assert main(["config", "show", "--json"]) == 0
    assert "secret" not in capsys.readouterr().out


def test_config_set_writes_the_file(home, capsys):
    assert main(["config", "set", "username", "u"]) == 0
    assert load_settings(None, {}).get("username") == "u"
    assert capsys.readouterr().out == ""
