import json
from urllib.parse import quote

import pytest
from pithos_session import BLOCK_SIZE, Pithos, alice, bob, noise, pithos_app

__all__ = ["alice", "bob", "pithos_app"]

IMAGES = "/image/v2/images"
CONTENT = noise(1, 2 * BLOCK_SIZE + 5)


def register(user: Pithos, name="debian", path="c/disk", **fields):
    body = {
        "name": name,
        "disk_format": "raw",
        "container_format": "bare",
        "pithos_location": f"pithos://AUTH_{user.project}/{quote(path)}",
        **fields,
    }
    return user.call("POST", IMAGES, json.dumps(body).encode())


@pytest.fixture
def disk(alice):
    alice.upload("/c/disk", CONTENT)


def test_an_image_in_the_shape_of_glance(alice, disk):
    answer = register(alice, min_disk=1, tags=["b", "a"], os_type="linux")
    assert answer.status_code == 201
    made = answer.json
    assert made["status"] == "active"
    assert made["owner"] == alice.project
    assert (made["size"], made["virtual_size"]) == (len(CONTENT), len(CONTENT))
    assert made["visibility"] == "private"
    assert (made["min_disk"], made["min_ram"], made["tags"]) == (1, 0, ["a", "b"])
    assert made["os_type"] == "linux"
    assert made["self"] == f"/v2/images/{made['id']}"
    assert made["file"] == f"/v2/images/{made['id']}/file"
    assert made["created_at"].endswith("Z")
    assert answer.headers["Location"].endswith(f"/image/v2/images/{made['id']}")
    assert alice.call("GET", f"{IMAGES}/{made['id']}").json == made
    assert alice.call("GET", f"{IMAGES}/debian").json == made


def test_the_image_keeps_the_content_it_was_made_of(alice, disk):
    image = register(alice).json
    alice.upload("/c/disk", b"overwritten")
    assert alice.call("GET", f"{IMAGES}/{image['id']}/file").data == CONTENT
    alice("DELETE", "/c/disk")
    answer = alice.call("GET", f"{IMAGES}/debian/file")
    assert answer.data == CONTENT
    assert answer.headers["Content-Length"] == str(len(CONTENT))
    part = alice.call("GET", f"{IMAGES}/debian/file", headers={"Range": "bytes=5-9"})
    assert (part.status_code, part.data) == (206, CONTENT[5:10])
    beyond = alice.call("GET", f"{IMAGES}/debian/file", headers={"Range": "bytes=999999-"})
    assert beyond.status_code == 416


def test_its_content_counts_for_collection(alice, disk):
    register(alice)
    root = alice.services.namespace.object(alice.project, "c", "disk").root
    alice("DELETE", "/c/disk")
    assert root in set(alice.services.namespace.roots())


def test_an_empty_object_is_an_image(alice):
    alice.put_hashmap("/c/empty", 0, [])
    assert register(alice, path="c/empty").json["size"] == 0
    assert alice.call("GET", f"{IMAGES}/debian/file").data == b""


def test_names_are_taken_once_in_each_account(alice, bob, disk):
    assert register(alice).status_code == 201
    assert register(alice).status_code == 409
    bob.upload("/c/disk", CONTENT)
    assert register(bob).status_code == 201


def test_private_images_do_not_exist_for_others(alice, bob, disk):
    image = register(alice).json
    for path in (image["id"], "debian", f"{image['id']}/file"):
        assert bob.call("GET", f"{IMAGES}/{path}").status_code == 404
    assert bob.call("DELETE", f"{IMAGES}/{image['id']}").status_code == 404
    assert bob.call("GET", IMAGES).json["images"] == []
    assert bob.call("GET", f"{IMAGES}?marker={image['id']}").status_code == 404


def test_public_images_are_for_all_to_read(alice, bob, disk):
    image = register(alice, visibility="public").json
    assert bob.call("GET", f"{IMAGES}/debian").json == image
    assert bob.call("GET", f"{IMAGES}/debian/file").data == CONTENT
    assert bob.call("DELETE", f"{IMAGES}/{image['id']}").status_code == 403
    assert alice.call("DELETE", f"{IMAGES}/{image['id']}").status_code == 204
    assert alice.call("GET", f"{IMAGES}/{image['id']}").status_code == 404


def test_ones_own_image_goes_before_a_public_one_of_the_name(alice, bob, disk):
    register(alice, visibility="public")
    bob.upload("/c/disk", CONTENT)
    own = register(bob).json
    assert bob.call("GET", f"{IMAGES}/debian").json["id"] == own["id"]


def test_protected_images_stay(alice, disk):
    image = register(alice, protected=True).json
    assert alice.call("DELETE", f"{IMAGES}/{image['id']}").status_code == 403


def test_another_accounts_object_cannot_be_registered(alice, bob, disk):
    location = f"pithos://AUTH_{alice.project}/c/disk"
    assert register(bob, pithos_location=location).status_code == 403


def test_listing_pages_newest_first(alice, disk):
    for number in range(5):
        register(alice, f"image-{number}")
    names, path = [], f"{IMAGES}?limit=2"
    while path:
        page = alice.call("GET", path).json
        names += [image["name"] for image in page["images"]]
        path = f"/image{page['next']}" if "next" in page else ""
    assert names == [f"image-{number}" for number in (4, 3, 2, 1, 0)]
    found = alice.call("GET", f"{IMAGES}?name=image-3").json["images"]
    assert [image["name"] for image in found] == ["image-3"]
    assert alice.call("GET", f"{IMAGES}?visibility=public").json["images"] == []


@pytest.mark.parametrize(
    "fields",
    [
        {"name": ""},
        {"name": None},
        {"name": "x" * 256},
        {"name": "a\nb"},
        {"disk_format": "qcow2"},
        {"container_format": "ovf"},
        {"visibility": "shared"},
        {"protected": "yes"},
        {"min_disk": -1},
        {"min_disk": True},
        {"tags": "a"},
        {"tags": [1]},
        {"os_type": 5},
        {"pithos_location": None},
        {"pithos_location": "http://x/y/z"},
        {"pithos_location": "pithos://only/two"},
        {"pithos_location": "pithos://AUTH_x/%ff/o"},
        {"pithos_location": "pithos://AUTH_x/\ud800/o"},
        {"name": "\ud800"},
    ],
)
def test_bad_fields_are_refused(alice, disk, fields):
    answer = register(alice, **fields)
    assert answer.status_code == 400
    assert answer.json["error"]["message"]


@pytest.mark.parametrize("field", ["id", "owner", "size", "status", "checksum"])
def test_what_cannot_be_chosen(alice, disk, field):
    assert register(alice, **{field: "x"}).status_code == 403


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"[" * 100000, b"\xff"])
def test_bad_bodies_are_refused(alice, body):
    assert alice.call("POST", IMAGES, body).status_code == 400


def test_an_absent_object(alice):
    assert register(alice).status_code == 404
    assert register(alice, path="absent/o").status_code == 404


@pytest.mark.parametrize("query", ["limit=x", "limit=-1", "marker=absent", "name=%00"])
def test_bad_queries(alice, query):
    assert alice.call("GET", f"{IMAGES}?{query}").status_code in (400, 404)


def test_no_token(alice):
    answer = alice.call("GET", IMAGES, headers={"X-Auth-Token": ""})
    assert answer.status_code == 401
    assert answer.json["error"]["code"] == 401


def test_versions_are_told_to_anybody(alice):
    assert alice.call("GET", "/image").status_code == 300
    assert alice.call("GET", "/image/versions").json["versions"][0]["status"] == "CURRENT"
