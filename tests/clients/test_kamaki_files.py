import os
import random
import threading

import pytest
from api_server import BLOCK_SIZE
from kamaki_cloud import noise


@pytest.mark.parametrize(
    "size",
    [0, 1, BLOCK_SIZE - 1, BLOCK_SIZE, BLOCK_SIZE + 1, 3 * BLOCK_SIZE, 9 * 2**20 + 3],
)
def test_round_trip(alice, container, tmp_path, size):
    content = noise(size, size)
    (tmp_path / "in").write_bytes(content)
    sent = alice("file", "upload", tmp_path / "in", f"{container}/o", "--json").json
    assert (sent["total"], sent["sent"], sent["zeros"]) == (size, size, 0)
    alice("file", "download", f"{container}/o", tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == content
    assert not (tmp_path / "out.part").exists()
    info = alice("file", "info", f"{container}/o", "--json").json
    assert (info["size"], info["hash"]) == (size, sent["hash"])


def test_only_what_is_new_is_sent(alice, container, tmp_path):
    path = tmp_path / "disk.img"
    blocks = [noise(seed, BLOCK_SIZE) for seed in range(20, 30)]
    path.write_bytes(b"".join(blocks))
    first = alice("file", "upload", path, container, "--json").json
    assert first["sent"] == 10 * BLOCK_SIZE
    assert first["name"] == "disk.img"
    with path.open("r+b") as file:
        file.seek(3 * BLOCK_SIZE)
        file.write(noise(99, 10))
        file.seek(11 * BLOCK_SIZE)
        file.write(blocks[0])
    second = alice("file", "upload", path, container, "--json").json
    assert second["sent"] == BLOCK_SIZE
    assert second["zeros"] == BLOCK_SIZE
    assert second["already_there"] == 10 * BLOCK_SIZE
    assert second["total"] == 12 * BLOCK_SIZE
    alice("file", "download", f"{container}/disk.img", tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == path.read_bytes()


def test_the_summary_for_people(alice, container, tmp_path):
    (tmp_path / "f").write_bytes(noise(1, 1536) + bytes(BLOCK_SIZE))
    line = alice("file", "upload", tmp_path / "f", container).out
    assert line == "total 65.5 KiB  sent 64.0 KiB  already there 0 B  zeros 1.5 KiB\n"


def test_a_sparse_file_stays_sparse(alice, container, tmp_path):
    path = tmp_path / "sparse"
    with path.open("wb") as file:
        file.seek(300 * 2**20)
        file.write(b"end")
        file.seek(100 * 2**20)
        file.write(b"middle")
    sent = alice("file", "upload", path, container, "--json").json
    assert sent["sent"] < 2 * BLOCK_SIZE + 1
    alice("file", "download", f"{container}/sparse", tmp_path / "out")
    assert os.stat(tmp_path / "out").st_blocks * 512 <= 2**20
    with (tmp_path / "out").open("rb") as file:
        assert file.seek(0, os.SEEK_END) == 300 * 2**20 + 3
        file.seek(100 * 2**20)
        assert file.read(7) == b"middle\0"
        file.seek(300 * 2**20)
        assert file.read() == b"end"


def test_repeated_blocks_travel_once(alice, container, tmp_path):
    block = noise(3, BLOCK_SIZE)
    (tmp_path / "f").write_bytes(block * 40 + block[:7])
    sent = alice("file", "upload", tmp_path / "f", container, "--json").json
    assert sent["sent"] == BLOCK_SIZE + 7
    got = alice("file", "download", f"{container}/f", tmp_path / "out", "--json").json
    assert got["received"] == BLOCK_SIZE + 7
    assert (tmp_path / "out").read_bytes() == (tmp_path / "f").read_bytes()


def test_a_download_goes_on_where_it_stopped(alice, container, tmp_path):
    content = noise(4, 10 * BLOCK_SIZE + 100)
    (tmp_path / "f").write_bytes(content)
    alice("file", "upload", tmp_path / "f", container)
    part = bytearray(content)
    part[5 * BLOCK_SIZE] ^= 1
    (tmp_path / "out.part").write_bytes(part[: 7 * BLOCK_SIZE])
    got = alice("file", "download", f"{container}/f", tmp_path / "out", "--json").json
    assert got["received"] == 4 * BLOCK_SIZE + 100
    assert (tmp_path / "out").read_bytes() == content


def test_a_part_of_another_file_does_no_harm(alice, container, tmp_path):
    content = noise(5, 100) + bytes(3 * BLOCK_SIZE) + noise(6, 50) + bytes(20)
    (tmp_path / "f").write_bytes(content)
    alice("file", "upload", tmp_path / "f", container)
    (tmp_path / "out.part").write_bytes(noise(7, 9 * BLOCK_SIZE))
    alice("file", "download", f"{container}/f", tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == content


def test_a_pipe_is_uploaded(alice, container, tmp_path):
    content = noise(8, 9 * 2**20) + bytes(3 * BLOCK_SIZE) + b"end"
    read_end, write_end = os.pipe()

    def feed():
        with open(write_end, "wb") as pipe:
            pipe.write(content)

    feeder = threading.Thread(target=feed)
    feeder.start()
    alice("file", "upload", f"/dev/fd/{read_end}", f"{container}/piped")
    os.close(read_end)
    feeder.join()
    alice("file", "download", f"{container}/piped", tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == content


def test_names_of_any_kind(alice, container, tmp_path):
    (tmp_path / "f").write_bytes(b"x")
    names = ["dir/ä € 😀", "a//b", "../up", "./here", "100%", "q?a=b&c#d", "+ +", "tab\there"]
    for name in names:
        alice("file", "upload", tmp_path / "f", f"{container}/{name}")
        assert alice("file", "info", f"{container}/{name}", "--json").json["name"] == name
        alice("file", "download", f"{container}/{name}", tmp_path / "out", "--force")
    listed = alice("file", "list", container, "--recursive", "--json").json
    assert {item["name"] for item in listed} == set(names)
    shown = alice("file", "list", container, "--recursive").out
    assert "tab\\there" in shown


def test_a_second_user_sends_all_and_adds_nothing(alice, bob, cloud, container, tmp_path):
    content = random.Random("shared").randbytes(40 * BLOCK_SIZE)
    (tmp_path / "f").write_bytes(content)
    alice("file", "upload", tmp_path / "f", container)
    before = cloud.block_stats()
    bob("container", "create", "mine")
    sent = bob("file", "upload", tmp_path / "f", "mine", "--json").json
    assert sent["sent"] == len(content)
    after = cloud.block_stats()
    assert after.content_bytes == before.content_bytes
    bob("file", "download", "mine/f", tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == content


def test_list_copy_delete(alice, container, tmp_path):
    (tmp_path / "f").write_bytes(b"hello")
    for name in ("a/1", "a/2", "b"):
        alice("file", "upload", tmp_path / "f", f"{container}/{name}")
    listed = alice("file", "list", container, "--json").json
    assert [(item["name"], item["directory"]) for item in listed] == [("a/", True), ("b", False)]
    assert len(alice("file", "list", f"{container}/a/", "--json").json) == 2
    alice("file", "copy", f"{container}/b", f"{container}/c")
    assert alice("file", "info", f"{container}/c", "--json").json["size"] == 5
    alice("file", "delete", f"{container}/a/1", f"{container}/c")
    names = [o["name"] for o in alice("file", "list", container, "-r", "--json").json]
    assert names == ["a/2", "b"]


def test_containers(alice, container):
    alice("container", "create", container)
    info = alice("container", "info", container, "--json").json
    assert info["block_size"] == BLOCK_SIZE
    assert info["object_count"] == 0
    assert container in [c["name"] for c in alice("--json", "container", "list").json]
    assert container in alice("container", "list", container).out
    alice("container", "delete", container)
    assert alice("container", "list", container, "--json").json == []
