"""Names of images: any text up to 255 characters, found again whatever is in it."""

from __future__ import annotations

import json
from urllib.parse import quote

import pytest
from pithos_session import alice, bob, pithos_app

__all__ = ["alice", "bob", "pithos_app"]

IMAGES = "/image/v2/images"


def register(user, name):
    user.upload("/c/disk", b"content")
    location = f"pithos://AUTH_{user.project}/c/disk"
    body = {"name": name, "disk_format": "raw", "container_format": "bare"}
    return user.call("POST", IMAGES, json.dumps({**body, "pithos_location": location}).encode())


@pytest.mark.parametrize("name", ["a/b", "..", ".", "東京 💾", "a b", "100%", "?x=1#y", "n" * 255])
def test_any_text(alice, name):
    made = register(alice, name)
    assert made.status_code == 201, made.text
    found = alice.call("GET", f"{IMAGES}?name={quote(name, safe='')}").json["images"]
    assert [image["id"] for image in found] == [made.json["id"]]
    assert alice.call("GET", f"{IMAGES}/{made.json['id']}").json["name"] == name


@pytest.mark.parametrize("name", ["", "n" * 256, "n" * 1024, "a\0b", 7, None])
def test_what_is_no_name(alice, name):
    assert register(alice, name).status_code == 400
    assert alice.call("GET", IMAGES).json["images"] == []


def test_a_long_name_is_unknown(alice):
    assert alice.call("GET", f"{IMAGES}/{'n' * 1024}").status_code == 404
