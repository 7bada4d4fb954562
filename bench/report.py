"""The rows that every bench adds to `build/bench.json`, and the table printed of them.

A row: area, name, value, unit, peer, peer_value, ratio, target, met, command. `ratio` is ours
against the peer so that more is better; `target` is the least ratio we want (None: no target),
`met` says whether it was reached.
"""

from __future__ import annotations

import json
import os
import platform
from dataclasses import asdict, dataclass
from pathlib import Path

BENCH_JSON = Path(__file__).resolve().parent.parent / "build" / "bench.json"


@dataclass(frozen=True, slots=True)
class Row:
    """One figure, with the peer measured beside it in the same run."""

    area: str
    name: str
    value: float
    unit: str
    peer: str = ""
    peer_value: float | None = None
    target: float | None = None
    less_is_better: bool = False
    command: str = ""

    @property
    def ratio(self) -> float | None:
        """Ours against the peer's; above 1 we are better."""
        if not self.peer_value or not self.value:
            return None
        return self.peer_value / self.value if self.less_is_better else self.value / self.peer_value

    @property
    def met(self) -> bool | None:
        """Whether the target is reached; None where there is none."""
        if self.target is None or self.ratio is None:
            return None
        return self.ratio >= self.target


def machine() -> dict[str, object]:
    """What a reader needs to judge the figures by."""
    return {
        "cpu_count": os.cpu_count(),
        "machine": platform.machine(),
        "kernel": platform.release(),
        "python": platform.python_version(),
    }


def as_json(row: Row) -> dict[str, object]:
    """The row as it stands in bench.json."""
    fields = asdict(row)
    del fields["less_is_better"]
    return fields | {"ratio": row.ratio, "met": row.met, "machine": machine()}


def save(rows: list[Row], path: Path = BENCH_JSON) -> None:
    """Replace the rows of the same area and name, keep the others."""
    kept: list[dict[str, object]] = json.loads(path.read_text()) if path.exists() else []
    fresh = {(row.area, row.name) for row in rows}
    kept = [row for row in kept if (row["area"], row["name"]) not in fresh]
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".part")
    partial.write_text(json.dumps(kept + [as_json(row) for row in rows], indent=1) + "\n")
    partial.rename(path)


def print_rows(rows: list[Row]) -> None:
    """One line a row, aligned."""
    for row in rows:
        ratio = (
            "" if row.ratio is None else f"{row.ratio:6.2f} x {row.peer} ({row.peer_value:,.1f})"
        )
        verdict = {None: "", True: "  met", False: "  MISSED"}[row.met]
        target = "" if row.target is None else f"  target {row.target:g}"
        print(
            f"{row.area:10} {row.name:44} {row.value:12,.1f} {row.unit:8} {ratio}{target}{verdict}"
        )
