"""Settings from file, environment and flags."""

from pathlib import Path

import pytest

from pithos_api.operator.configuration import (
    SOCKET_PATH_BYTES_MAX,
    Configuration,
    child_environment,
    load_configuration,
)
from pithos_api.operator.errors import USAGE, OperatorError


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch):
    for name in Configuration.__slots__:
        monkeypatch.delenv(f"ARCHIPELAGO_{name.upper()}", raising=False)
    monkeypatch.delenv("ARCHIPELAGO_CONFIG", raising=False)


def data_with(folder: Path, text: str) -> str:
    (folder / "archipelago.toml").write_text(text)
    return str(folder)


def test_defaults():
    found = load_configuration(None, {})
    assert (found.data, found.host, found.port) == ("data", "127.0.0.1", 5000)


def test_the_file_of_the_data_directory_is_read(tmp_path):
    data = data_with(tmp_path, 'port = 7000\nhost = "::1"\n')
    found = load_configuration(None, {"data": data})
    assert (found.host, found.port) == ("::1", 7000)


def test_environment_wins_over_the_file_and_flags_over_both(tmp_path, monkeypatch):
    data = data_with(tmp_path, 'port = 7000\nregion = "file"\nworkers = 3\n')
    monkeypatch.setenv("ARCHIPELAGO_PORT", "7001")
    monkeypatch.setenv("ARCHIPELAGO_REGION", "environment")
    found = load_configuration(None, {"data": data, "port": 7002})
    assert (found.port, found.region, found.workers) == (7002, "environment", 3)


def test_a_named_file_may_say_where_the_data_are(tmp_path):
    path = tmp_path / "site.toml"
    path.write_text('data = "here"\n')
    assert load_configuration(str(path), {}).folder == tmp_path / "here"


def test_the_environment_may_name_the_file(tmp_path, monkeypatch):
    path = tmp_path / "site.toml"
    path.write_text("port = 1234\n")
    monkeypatch.setenv("ARCHIPELAGO_CONFIG", str(path))
    assert load_configuration(None, {}).port == 1234


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("prot = 1", "unknown setting 'prot'"),
        ('port = "5000"', "port must be a whole number"),
        ("port = true", "port must be a whole number"),
        ("host = 1", "host must be a text"),
        ("port = ", "not TOML"),
    ],
)
def test_what_makes_no_sense_is_refused(tmp_path, text, said):
    with pytest.raises(OperatorError, match=said) as caught:
        load_configuration(None, {"data": data_with(tmp_path, text)})
    assert caught.value.exit_code == USAGE


def test_a_file_that_is_not_text_is_refused(tmp_path):
    (tmp_path / "archipelago.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(OperatorError, match="not TOML"):
        load_configuration(None, {"data": str(tmp_path)})


def test_a_named_file_must_exist(tmp_path):
    with pytest.raises(OperatorError, match="no settings file"):
        load_configuration(str(tmp_path / "none.toml"), {})


def test_a_variable_must_be_of_its_kind(monkeypatch):
    monkeypatch.setenv("ARCHIPELAGO_PORT", "http")
    with pytest.raises(OperatorError, match="ARCHIPELAGO_PORT must be a whole number"):
        load_configuration(None, {})


def test_a_path_too_long_for_a_socket_is_told(tmp_path):
    deep = tmp_path / ("x" * SOCKET_PATH_BYTES_MAX)
    with pytest.raises(OperatorError, match="too long for a Unix socket"):
        _ = Configuration(data=str(deep)).nbd_socket


def test_an_api_that_cannot_be_is_told():
    with pytest.raises(OperatorError, match="workers"):
        Configuration(workers=0).api_settings()


def test_a_child_process_finds_the_same_settings(tmp_path, monkeypatch):
    data = data_with(tmp_path, 'region = "file"\n')
    ours = Configuration(data=data, port=7003, public_url="http://x", token_lifetime_s=60)
    for name, value in child_environment(ours).items():
        monkeypatch.setenv(name, value)
    assert load_configuration(None, {}) == ours
