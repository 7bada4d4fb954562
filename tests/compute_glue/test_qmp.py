"""The monitor's client against a scripted QEMU at the other end of a socket."""

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from compute_glue.errors import GuestGone, GuestTimeout, MonitorError
from compute_glue.qmp import Monitor

GREETING = {"QMP": {"version": {}, "capabilities": []}}


class Script(threading.Thread):
    """Greets, then answers each command with the next messages ("ID" = the id it came with)."""

    def __init__(self, peer: socket.socket, answers: list[list[object]]) -> None:
        super().__init__()
        self.peer = peer
        self.answers = [[{"return": {}, "id": "ID"}], *answers]
        self.received: list[dict] = []

    def run(self) -> None:
        with self.peer, self.peer.makefile("rwb") as stream:
            stream.write(json.dumps(GREETING).encode() + b"\r\n")
            stream.flush()
            for messages in self.answers:
                line = stream.readline()
                if not line:
                    return
                command = json.loads(line)
                self.received.append(command)
                for message in messages:
                    if isinstance(message, dict) and message.get("id") == "ID":
                        message = {**message, "id": command["id"]}
                    raw = message if isinstance(message, bytes) else json.dumps(message).encode()
                    stream.write(raw + b"\r\n")
                stream.flush()


@contextmanager
def scripted(*answers: list[object]) -> Iterator[tuple[Monitor, Script]]:
    ours, theirs = socket.socketpair()
    script = Script(theirs, list(answers))
    script.start()
    monitor = Monitor(ours, timeout=5)
    try:
        yield monitor, script
    finally:
        monitor.close()
        script.join()


def test_negotiates_and_returns_the_result():
    with scripted([{"return": {"status": "running"}, "id": "ID"}]) as (monitor, script):
        assert monitor.execute("query-status") == {"status": "running"}
    assert [c["execute"] for c in script.received] == ["qmp_capabilities", "query-status"]


def test_arguments_are_sent():
    with scripted([{"return": {}, "id": "ID"}]) as (monitor, script):
        monitor.execute("eject", device="cd0", force=True)
    assert script.received[1]["arguments"] == {"device": "cd0", "force": True}


def test_a_refusal_is_an_error_with_qemus_words():
    refusal = {"error": {"class": "GenericError", "desc": "no such device"}, "id": "ID"}
    with scripted([refusal]) as (monitor, _), pytest.raises(MonitorError, match="no such device"):
        monitor.execute("eject")


def test_events_before_an_answer_are_kept():
    down = {"event": "SHUTDOWN", "data": {"guest": True}}
    with scripted([down, {"return": {}, "id": "ID"}]) as (monitor, _):
        monitor.power_down()
        assert monitor.wait_event("SHUTDOWN")["data"] == {"guest": True}


def test_waits_for_an_event_among_others():
    later = [{"event": "POWERDOWN"}, {"event": "SHUTDOWN"}]
    with scripted([{"return": {}, "id": "ID"}, *later]) as (monitor, _):
        monitor.quit()
        assert monitor.wait_event("SHUTDOWN", 5)["event"] == "SHUTDOWN"
        assert monitor.wait_event("POWERDOWN", 5)["event"] == "POWERDOWN"


def test_an_event_that_does_not_come_is_a_timeout():
    with scripted([{"return": {}, "id": "ID"}], []) as (monitor, _):
        monitor.power_down()
        with pytest.raises(GuestTimeout):
            monitor.wait_event("SHUTDOWN", 0.05)


def test_answers_to_other_commands_are_passed_over():
    with scripted([{"return": 1, "id": 999}, {"return": 2, "id": "ID"}]) as (monitor, _):
        assert monitor.execute("query-status") == 2


def test_a_closed_monitor_is_named():
    with scripted() as (monitor, script):
        script.join()
        with pytest.raises(GuestGone):
            monitor.execute("quit")


@pytest.mark.parametrize("answer", [b"not json", b"[]", b'"text"'])
def test_nonsense_is_an_error(answer: bytes):
    with scripted([answer]) as (monitor, _), pytest.raises(MonitorError):
        monitor.execute("query-status")


def test_an_answer_without_result_is_an_error():
    with scripted([{"id": "ID"}]) as (monitor, _), pytest.raises(MonitorError):
        monitor.execute("query-status")


def test_a_peer_that_does_not_greet_is_refused():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(b'{"hello": 1}\n')
        with pytest.raises(MonitorError, match="greet"):
            Monitor(ours, timeout=5)


def test_an_endless_line_is_refused():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        feeder = threading.Thread(target=_send_until_refused, args=(theirs,))
        feeder.start()
        with pytest.raises(MonitorError, match="endless"):
            Monitor(ours, timeout=5)
        ours.close()
        feeder.join()


def _send_until_refused(peer: socket.socket) -> None:
    try:
        for _ in range(64):
            peer.sendall(b"x" * (1 << 16))
    except OSError:
        return
