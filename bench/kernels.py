"""The microbenchmarks of `bench/test_kernels.py` as rows, read from pytest-benchmark's JSON."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from bench.report import Row

SUITE = Path(__file__).with_name("test_kernels.py")
COMMAND = "make bench ONLY=kernels"
PEERS = {
    "test_digest_4m": "test_digest_4m_by_the_package_from_pypi",
    "test_checksum_4m": "test_checksum_4m_by_the_package_from_pypi",
}
"""Of which other case a case is the rival."""


def run(directory: Path) -> list[Row]:
    """Operations a second, medians."""
    report = directory / "benchmark.json"
    words = ["-m", "pytest", "-q", "--benchmark-only", "--benchmark-max-time=0.5"]
    subprocess.run(
        [sys.executable, *words, f"--benchmark-json={report}", str(SUITE)],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    cases = {
        case["name"]: 1 / case["stats"]["median"]
        for case in json.loads(report.read_text())["benchmarks"]
    }
    return [
        Row(
            area="kernels",
            name=name.removeprefix("test_").replace("_", " "),
            value=speed,
            unit="1/s",
            peer="PyPI package" if name in PEERS else "",
            peer_value=cases.get(PEERS.get(name, "")),
            command=COMMAND,
        )
        for name, speed in cases.items()
        if name not in PEERS.values()
    ]
