import threading

import pytest
from pithos_session import alice, bob, pithos_app

from pithos_api.image.errors import ImageAmbiguous, ImageExists, NoSuchImage
from pithos_api.image.records import PUBLIC, ImageQuery, NewImage
from pithos_api.image.registry import Images

__all__ = ["alice", "bob", "pithos_app"]


@pytest.fixture
def images(alice):
    return Images(alice.services.engine)


def disk_of(user):
    user.upload("/c/disk", b"content")
    return user.services.namespace.object(user.project, "c", "disk")


def test_the_operator_finds_any_image(images, alice):
    source = disk_of(alice)
    made = images.register(alice.project, source, NewImage("debian"))
    assert images.find("debian") == images.find(made.id) == made
    assert (made.root, made.size) == (source.root, 7)
    assert images.list(ImageQuery()) == [made]


def test_an_ambiguous_name_is_told(images, alice, bob):
    for user in (alice, bob):
        images.register(user.project, disk_of(user), NewImage("debian", visibility=PUBLIC))
    with pytest.raises(ImageAmbiguous):
        images.find("debian")
    assert images.find("debian", bob.project).account == bob.project
    with pytest.raises(ImageAmbiguous):
        images.find("debian", "somebody else")


def test_absent_images(images, alice):
    for name in ("absent", "", "00000000-0000-4000-8000-000000000000"):
        with pytest.raises(NoSuchImage):
            images.find(name)
    with pytest.raises(NoSuchImage):
        images.delete("absent")


def test_of_two_at_once_one_gets_the_name(images, alice):
    source = disk_of(alice)
    outcomes = []
    barrier = threading.Barrier(4)

    def register():
        barrier.wait()
        try:
            images.register(alice.project, source, NewImage("debian"))
            outcomes.append("made")
        except ImageExists:
            outcomes.append("exists")

    threads = [threading.Thread(target=register) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["exists", "exists", "exists", "made"]
