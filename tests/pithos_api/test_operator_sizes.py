"""Sizes as people write them."""

import pytest

from pithos_api.operator.errors import USAGE, OperatorError
from pithos_api.operator.sizes import parse_size, parse_volume_size, size_text


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("512", 512),
        ("512B", 512),
        ("1k", 1024),
        ("512M", 512 << 20),
        ("10G", 10 << 30),
        ("10 GB", 10 << 30),
        ("1TiB", 1 << 40),
        ("1.5g", 3 << 29),
        ("0.25K", 256),
        (" 2P ", 2 << 50),
    ],
)
def test_sizes(text: str, size: int):
    assert parse_size(text) == size


@pytest.mark.parametrize(
    "text", ["", "G", "-1", "-5G", "1X", "1.G", "1e9", "1,5G", "0x10", "1GG", "ten", "0.3K", "١G"]
)
def test_not_sizes(text: str):
    with pytest.raises(OperatorError) as caught:
        parse_size(text)
    assert caught.value.exit_code == USAGE


@pytest.mark.parametrize("text", ["0", "1", "511", "513", "100", "0G"])
def test_no_volume_has_such_a_size(text: str):
    with pytest.raises(OperatorError, match="multiple of 512"):
        parse_volume_size(text)


def test_a_volume_of_one_sector():
    assert parse_volume_size("512") == 512


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (1000, "1000 B"),
        (1024, "1 KiB"),
        (1536, "1.5 KiB"),
        (1 << 30, "1 GiB"),
        ((1 << 30) - 1, "1 GiB"),
        (5 << 60, "5120 PiB"),
    ],
)
def test_size_text(size: int, text: str):
    assert size_text(size) == text
