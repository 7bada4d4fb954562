"""The rows of bench.json: their keys, what follows from them, which replace which."""

from __future__ import annotations

import json

import pytest

from bench.report import Row, as_json, print_rows, save

KEYS = ("area", "name", "value", "unit", "peer", "peer_value", "ratio", "target", "met", "command")


def row(name: str = "read", **more) -> Row:
    fields = {"area": "devices", "name": name, "value": 300.0, "unit": "MB/s", **more}
    return Row(**fields)


def test_a_row_has_the_keys_its_readers_look_for():
    full = row(peer="qcow2", peer_value=200.0, target=1.2, command="python -m bench devices")
    found = as_json(full)
    assert set(found) == {*KEYS, "machine"}
    assert [found[key] for key in KEYS] == [
        *("devices", "read", 300.0, "MB/s", "qcow2", 200.0, 1.5, 1.2, True),
        "python -m bench devices",
    ]
    assert set(found["machine"]) == {"cpu_count", "machine", "kernel", "python"}


def test_a_row_without_a_peer_has_the_same_keys():
    found = as_json(row())
    assert set(found) == {*KEYS, "machine"}
    assert (found["peer"], found["command"]) == ("", "")
    for key in ("peer_value", "ratio", "target", "met"):
        assert found[key] is None


@pytest.mark.parametrize(
    ("value", "peer_value", "less_is_better", "ratio", "met"),
    [
        (300.0, 200.0, False, 1.5, True),
        (200.0, 200.0, False, 1.0, True),
        (100.0, 200.0, False, 0.5, False),
        (100.0, 200.0, True, 2.0, True),
        (400.0, 200.0, True, 0.5, False),
        (0.0, 200.0, True, None, None),
        (100.0, 0.0, False, None, None),
        (100.0, None, False, None, None),
    ],
)
def test_more_is_better_in_every_ratio(value, peer_value, less_is_better, ratio, met):
    measured = row(
        value=value, peer_value=peer_value, less_is_better=less_is_better, target=1.0, peer="other"
    )
    found = as_json(measured)
    assert (found["ratio"], found["met"]) == (ratio, met)


def test_a_ratio_without_a_target_is_neither_met_nor_missed():
    found = as_json(row(peer_value=100.0))
    assert (found["ratio"], found["met"]) == (3.0, None)


def test_new_rows_replace_those_of_their_area_and_name(tmp_path):
    path = tmp_path / "build" / "bench.json"
    save([row("read"), row("write"), row("read", area="images")], path)
    save([row("read", value=1.0), row("new")], path)
    found = [(r["area"], r["name"], r["value"]) for r in json.loads(path.read_text())]
    assert found == [
        ("devices", "write", 300.0),
        ("images", "read", 300.0),
        ("devices", "read", 1.0),
        ("devices", "new", 300.0),
    ]
    assert [file.name for file in path.parent.iterdir()] == ["bench.json"]


def test_what_is_printed_says_what_missed_its_target(capsys):
    print_rows([row(peer="qcow2", peer_value=600.0, target=1.0), row("write", target=2.0)])
    missed, bare = capsys.readouterr().out.splitlines()
    assert missed.endswith("0.50 x qcow2 (600.0)  target 1  MISSED")
    assert bare.split() == ["devices", "write", "300.0", "MB/s", "target", "2"]
