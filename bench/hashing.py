"""How close the fused scan (zero test, checksum, digest) comes to hashing alone.

Peers: b3sum and `openssl dgst -sha256`, whole programs over the same file, each with one thread.
"""

from __future__ import annotations

from pathlib import Path

from bench.clock import best_of, command
from bench.images import MIB, ImageSet, make
from bench.report import Row
from native.digest import scan_blocks

ROUNDS = 3
BUFFER_BYTES = 4 * MIB
COMMAND = "make bench ONLY=hashing"


def run(directory: Path) -> list[Row]:
    """Scan an image in 4 MiB buffers at each block size, beside the hashing programs."""
    image = make(directory, ImageSet(count=1, size=512 * MIB))[0]
    mib = image.stat().st_size / MIB
    ours, b3sum = best_of(
        ROUNDS,
        lambda: _scan(image, 65536, "blake3"),
        command("b3sum", "--num-threads", "1", image),
    )
    ours_sha, openssl = best_of(
        ROUNDS,
        lambda: _scan(image, 65536, "sha256"),
        command("openssl", "dgst", "-sha256", image),
    )
    return [
        Row(
            "hashing",
            "scan_blocks 64 KiB blake3",
            mib / ours,
            "MiB/s",
            "b3sum",
            mib / b3sum,
            0.8,
            command=COMMAND,
        ),
        Row(
            "hashing",
            "scan_blocks 64 KiB sha256",
            mib / ours_sha,
            "MiB/s",
            "openssl",
            mib / openssl,
            0.8,
            command=COMMAND,
        ),
    ]


def _scan(image: Path, block_size: int, hash_name: str) -> None:
    buffer = memoryview(bytearray(BUFFER_BYTES))
    with image.open("rb", buffering=0) as file:
        while got := file.readinto(buffer):
            scan_blocks(buffer[:got], block_size, hash_name)
