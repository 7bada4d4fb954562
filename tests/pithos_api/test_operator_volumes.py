"""archipelago volume ...: life, bad names and sizes, exit codes, JSON."""

import pytest
from operator_session import bare_operator, operator
from sqlalchemy import insert

from archipelago import EMPTY_MAP
from pithos_api.database.engine import open_engine, writing
from pithos_api.database.tables import images

__all__ = ["bare_operator", "operator"]


def names(operator, *prefix):
    return [volume["name"] for volume in operator.ok("volume", "list", *prefix, "--json").json]


def test_create_and_list(operator):
    assert operator.ok("volume", "create", "a", "--size", "10M").out == "a\n"
    assert operator.ok("volume", "list").out.splitlines()[1].startswith("a ")
    assert names(operator) == ["a"]


def test_an_empty_list_has_its_header_and_is_json(operator):
    assert operator.ok("volume", "list").out.startswith("NAME")
    assert names(operator) == []


def test_many_at_once(operator):
    done = operator.ok("volume", "create", "web", "--size", "1M", "--count", "12", "--json")
    assert [volume["name"] for volume in done.json] == [f"web-{n:03d}" for n in range(1, 13)]
    assert names(operator, "web-01") == ["web-010", "web-011", "web-012"]


def test_one_with_count_is_numbered(operator):
    operator.ok("volume", "create", "web", "--size", "1M", "--count", "1")
    assert names(operator) == ["web-001"]


def test_many_stop_at_a_name_that_is_taken(operator):
    operator.ok("volume", "create", "web-003", "--size", "1M")
    done = operator("volume", "create", "web", "--size", "1M", "--count", "5")
    assert done.code == 4
    assert "2 of 5 were made, up to web-002" in done.err
    assert names(operator) == ["web-001", "web-002", "web-003"]


@pytest.mark.parametrize("count", ["0", "-1", "10001", "x"])
def test_counts_that_cannot_be(operator, count):
    operator.refused(2, "volume", "create", "a", "--size", "1M", "--count", count)


@pytest.mark.parametrize("size", ["0", "-1", "=-5G", "511", "513", "1X", "", "1000000T"])
def test_sizes_that_cannot_be(operator, size):
    flag = [f"--size{size}"] if size.startswith("=") else [f"--size={size}"]
    operator.refused(2, "volume", "create", "a", *flag)
    assert names(operator) == []


@pytest.mark.parametrize("name", ["", "a/b", "a@b", ".a", "a\n", "x" * 256])
def test_names_that_cannot_be(operator, name):
    operator.refused(2, "volume", "create", name, "--size", "1M")


def test_what_is_in_it_must_be_said(operator):
    assert "--size, --image or --from" in operator.refused(2, "volume", "create", "a")


def test_one_source_at_a_time(operator):
    operator.refused(2, "volume", "create", "a", "--image", "i", "--from", "v")


def test_a_name_that_is_taken(operator):
    operator.ok("volume", "create", "a", "--size", "1M")
    assert "taken" in operator.refused(4, "volume", "create", "a", "--size", "1M")


@pytest.mark.parametrize(
    "command",
    [
        ("volume", "info", "none"),
        ("volume", "info", "none@s"),
        ("volume", "rename", "none", "b"),
        ("volume", "resize", "none", "1G"),
        ("volume", "resize", "none", "+1G"),
        ("volume", "delete", "none"),
        ("volume", "export", "none", "/nonexistent/x"),
        ("volume", "seal", "none"),
        ("volume", "diff", "none", "none"),
        ("volume", "create", "b", "--from", "none"),
    ],
)
def test_unknown_volumes(operator, command):
    assert "archipelago volume list" in operator.refused(3, *command)


def test_detach_without_a_server(operator):
    operator.ok("volume", "create", "a", "--size", "1M")
    assert "archipelago serve" in operator.refused(1, "volume", "detach", "a")


def test_unknown_images(operator):
    assert "archipelago image list" in operator.refused(
        3, "volume", "create", "b", "--image", "none"
    )


def test_clones_grow(operator):
    operator.ok("volume", "create", "a", "--size", "1M")
    operator.ok("volume", "create", "b", "--from", "a", "--size", "2M")
    assert operator.ok("volume", "info", "b", "--json").json["info"]["size"] == 2 << 20
    operator.refused(2, "volume", "create", "c", "--from", "a", "--size", "512K")


def test_info(operator):
    operator.ok("volume", "create", "a", "--size", "1M")
    found = operator.ok("volume", "info", "a", "--json").json
    assert found["info"]["name"] == "a"
    assert found["usage"]["virtual"] == 1 << 20
    assert "1048576 bytes" in operator.ok("volume", "info", "a").out


def test_rename(operator):
    operator.ok("volume", "create", "a", "--size", "1M")
    operator.ok("volume", "create", "b", "--size", "1M")
    operator.refused(4, "volume", "rename", "a", "b")
    operator.ok("volume", "rename", "a", "c")
    assert names(operator) == ["b", "c"]


def test_resize(operator):
    operator.ok("volume", "create", "a", "--size", "1M")
    operator.ok("volume", "resize", "a", "+1M")
    assert operator.ok("volume", "info", "a", "--json").json["info"]["size"] == 2 << 20
    operator.refused(2, "volume", "resize", "a", "512K")
    operator.ok("volume", "resize", "a", "512K", "--shrink")
    assert operator.ok("volume", "info", "a", "--json").json["info"]["size"] == 512 << 10


@pytest.mark.parametrize("size", ["0", "+0", "513", "+", "++1M"])
def test_sizes_that_cannot_be_resized_to(operator, size):
    operator.ok("volume", "create", "a", "--size", "1M")
    operator.refused(2, "volume", "resize", "a", size)


def test_delete(operator):
    operator.ok("volume", "create", "a", "--size", "1M", "--count", "2")
    operator.ok("volume", "delete", "a-001", "a-002")
    assert names(operator) == []


def test_a_volume_with_snapshots_is_kept(operator):
    operator.ok("volume", "create", "a", "--size", "1M")
    operator.ok("snapshot", "create", "a@s")
    operator.refused(4, "volume", "delete", "a")
    operator.ok("volume", "delete", "a", "--snapshots")
    assert names(operator) == []


def test_a_snapshot_is_not_deleted_as_a_volume(operator):
    operator.ok("volume", "create", "a", "--size", "1M")
    operator.ok("snapshot", "create", "a@s")
    assert "archipelago snapshot delete a@s" in operator.refused(2, "volume", "delete", "a@s")


def add_image(operator, **values):
    row = {
        "id": "6ba7b810-9dad-11d1-80b4-00c04fd430c8",
        "account": "0" * 32,
        "name": "debian",
        "status": "active",
        "visibility": "public",
        "protected": False,
        "hidden": False,
        "disk_format": "raw",
        "container_format": "bare",
        "min_disk": 0,
        "min_ram": 0,
        "size": 1000,
        "root": EMPTY_MAP.pack(),
        "tags": [],
        "properties": {},
        "created": 1.0,
        "updated": 1.0,
    }
    engine = open_engine(f"sqlite:///{operator.data}/api.sqlite")
    with writing(engine) as connection:
        connection.execute(insert(images).values(row | values))
    engine.dispose()


@pytest.mark.parametrize("key", ["debian", "6ba7b810-9dad-11d1-80b4-00c04fd430c8"])
def test_volumes_from_an_image(operator, key):
    add_image(operator)
    operator.ok("volume", "create", "a", "--image", key, "--count", "2")
    volume = operator.ok("volume", "info", "a-002", "--json").json["info"]
    assert volume["size"] == 1024
    assert volume["origin"] == "image:6ba7b810-9dad-11d1-80b4-00c04fd430c8"


def test_an_image_may_ask_for_a_larger_disk(operator):
    add_image(operator, min_disk=2)
    operator.ok("volume", "create", "a", "--image", "debian")
    assert operator.ok("volume", "info", "a", "--json").json["info"]["size"] == 2 << 30


def test_a_volume_grows_over_its_image(operator):
    add_image(operator)
    operator.ok("volume", "create", "a", "--image", "debian", "--size", "1M")
    assert operator.ok("volume", "info", "a", "--json").json["info"]["size"] == 1 << 20
    operator.refused(2, "volume", "create", "b", "--image", "debian", "--size", "512")


def test_only_raw_images_become_volumes(operator):
    add_image(operator, disk_format="qcow2")
    assert "qemu-img convert" in operator.refused(2, "volume", "create", "a", "--image", "debian")


def test_images_of_one_name_need_an_id(operator):
    add_image(operator)
    add_image(operator, id="6ba7b811-9dad-11d1-80b4-00c04fd430c8", account="1" * 32)
    operator.refused(4, "volume", "create", "a", "--image", "debian")


def test_images_are_listed(operator):
    add_image(operator)
    assert "debian" in operator.ok("image", "list").out
    assert [i["name"] for i in operator.ok("image", "list", "--json").json] == ["debian"]
