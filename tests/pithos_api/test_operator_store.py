"""archipelago init, info, rebuild-index."""

import shutil
import stat

import pytest
from operator_session import bare_operator, operator

from blockstore import open_store

__all__ = ["bare_operator", "operator"]


def test_init_makes_everything(bare_operator):
    done = bare_operator.ok("init", "--hash", "sha256", "--block-size", "128K", "--json")
    assert (done.json["hash_name"], done.json["block_size"]) == ("sha256", 131072)
    names = {path.name for path in bare_operator.data.iterdir()}
    assert {"store", "api.sqlite", "run"} <= names


def test_only_the_owner_sees_the_data(bare_operator):
    bare_operator.ok("init")
    for path in (bare_operator.data, bare_operator.data / "run"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700


def test_a_second_init_is_refused(operator):
    assert "archipelago serve" in operator.refused(4, "init")


@pytest.mark.parametrize("size", ["63K", "0", "1000", "8M", "x"])
def test_a_block_size_that_cannot_be_makes_nothing(bare_operator, size):
    bare_operator.refused(2, "init", "--block-size", size)
    assert not bare_operator.data.exists()


def test_an_unknown_hash_is_refused(bare_operator):
    assert "archipelago init --help" in bare_operator.refused(2, "init", "--hash", "md5")


@pytest.mark.parametrize(
    "command",
    [
        ("volume", "list"),
        ("volume", "create", "a", "--size", "1G"),
        ("snapshot", "list"),
        ("user", "list"),
        ("project", "list"),
        ("image", "list"),
        ("info",),
        ("rebuild-index",),
        ("serve", "--port", "0"),
        ("nbd",),
        ("api",),
        ("vm", "boot", "a"),
    ],
)
def test_without_an_installation_the_next_step_is_told(bare_operator, command):
    assert "archipelago init --data" in bare_operator.refused(3, *command)
    assert not bare_operator.data.exists()


def test_a_directory_that_cannot_be_made_is_told(bare_operator):
    bare_operator.data.write_text("a file")
    assert "File exists" in bare_operator.refused(1, "init")


def test_info_counts(operator):
    operator.ok("volume", "create", "v", "--size", "1G", "--count", "3")
    operator.ok("snapshot", "create", "v-001@s")
    info = operator.ok("info", "--json").json
    assert info["logical"]["volumes"] == 3 << 30
    assert info["logical"]["snapshots"] == 1 << 30
    assert (info["volume_count"], info["snapshot_count"]) == (3, 1)
    assert info["store"]["hash_name"] == "sha256"


def test_info_counts_what_is_stored(operator, tmp_path):
    source = tmp_path / "noise"
    source.write_bytes(bytes(range(256)) * 4096)
    operator.ok("volume", "import", "v", str(source))
    info = operator.ok("info", "--json").json
    assert info["stored_bytes"] > 0
    assert info["blocks"]["content_bytes"] > 0
    assert "ratio" in operator.ok("info").out


def test_info_of_an_empty_store(operator):
    assert "ratio" in operator.ok("info").out


def test_the_index_is_rebuilt_from_the_packs(operator, tmp_path):
    source = tmp_path / "source"
    source.write_bytes(b"content" * 100_000)
    operator.ok("volume", "import", "v", str(source))
    operator.ok("rebuild-index")
    target = tmp_path / "target"
    operator.ok("volume", "export", "v", str(target))
    assert target.read_bytes().rstrip(b"\0") == source.read_bytes()


def test_a_lost_index_is_told_and_made_anew(operator):
    operator.ok("volume", "create", "v", "--size", "1M")
    shutil.rmtree(operator.data / "store" / "index")
    assert "run: archipelago rebuild-index" in operator.refused(5, "volume", "list")
    operator.ok("rebuild-index")
    assert [v["name"] for v in operator.ok("volume", "list", "--json").json] == ["v"]


def test_a_store_in_use_is_not_rebuilt(operator):
    store = open_store(f"files:{operator.data}/store")
    assert "stop what uses it" in operator.refused(5, "rebuild-index")
    store.close()


def test_a_damaged_database_is_told(operator):
    for path in operator.data.glob("api.sqlite*"):
        path.write_bytes(b"not a database" * 100)
    line = operator.refused(5, "user", "list")
    assert "the API database: file is not a database" in line
    assert "sqlalche.me" not in line
