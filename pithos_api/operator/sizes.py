"""Sizes as people write them, and as they read them."""

from __future__ import annotations

import re

from pithos_api.operator.errors import USAGE, OperatorError

SECTOR_BYTES = 512
"""Sizes of volumes are multiples of this."""

_EXPONENTS = {"": 0, "K": 1, "M": 2, "G": 3, "T": 4, "P": 5}
_PATTERN = re.compile(r"(\d+(?:\.\d+)?)\s*(?:([KMGTP])(i?B)?|B)?", re.IGNORECASE | re.ASCII)
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")


def parse_size(text: str) -> int:
    """Bytes of `10G`, `512M`, `1TiB`, `1.5g`, `4096`; all units are powers of 1024.

    OperatorError (usage) on anything else, also on a fraction of a byte.
    """
    match = _PATTERN.fullmatch(text.strip())
    if match is None:
        raise OperatorError(
            f"{text!r} is not a size; write a number with K, M, G or T, as 10G or 1.5TiB", USAGE
        )
    number, unit, _ = match.groups()
    whole, _, fraction = number.partition(".")
    scale = 1 << 10 * _EXPONENTS[(unit or "").upper()]
    divisor: int = 10 ** len(fraction)
    bytes_of_fraction, rest = divmod(int(fraction or "0") * scale, divisor)
    if rest:
        raise OperatorError(f"{text!r} is not a whole number of bytes", USAGE)
    return int(whole) * scale + bytes_of_fraction


def parse_volume_size(text: str) -> int:
    """A size that a volume can have: a positive multiple of a sector."""
    size = parse_size(text)
    if size == 0 or size % SECTOR_BYTES:
        raise OperatorError(
            f"a volume's size is a positive multiple of 512 bytes, not {text}", USAGE
        )
    return size


def size_text(size: int) -> str:
    """`512 B`, `20.1 MiB`, `1 GiB`."""
    value, unit = float(size), _UNITS[0]
    for unit in _UNITS:
        if value < 1023.95 or unit == _UNITS[-1]:
            break
        value /= 1024
    return f"{value:.1f}".removesuffix(".0") + f" {unit}"
