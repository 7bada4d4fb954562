from kamaki_cloud import noise


def test_register_list_show_unregister(alice, bob, container, tmp_path):
    (tmp_path / "disk").write_bytes(noise(1, 5000))
    alice("file", "upload", tmp_path / "disk", f"{container}/disk")
    made = alice("image", "register", "debian", f"{container}/disk", "--json").json
    assert (made["name"], made["size"], made["visibility"]) == ("debian", 5000, "private")
    assert alice("image", "show", "debian", "--json").json == made
    assert alice("image", "show", made["id"], "--json").json == made
    assert alice("image", "list", "--name", "debian", "--json").json == [made]
    assert "debian" in alice("image", "list").out
    assert alice("image", "register", "debian", f"{container}/disk", ok=False).code == 5
    assert bob("image", "show", "debian", ok=False).code == 3
    assert bob("image", "register", "x", f"{container}/disk", ok=False).code == 3
    alice("image", "unregister", "debian")
    assert alice("image", "show", made["id"], ok=False).code == 3


def test_public_images(alice, bob, container, tmp_path):
    (tmp_path / "disk").write_bytes(b"x")
    alice("file", "upload", tmp_path / "disk", f"{container}/disk")
    alice("image", "register", "shared / 😀", f"{container}/disk", "--public")
    seen = bob("image", "show", "shared / 😀", "--json").json
    assert seen["visibility"] == "public"
    assert seen in bob("image", "list", "--json").json
    assert bob("image", "unregister", seen["id"], ok=False).code == 4
    alice("image", "unregister", seen["id"])
