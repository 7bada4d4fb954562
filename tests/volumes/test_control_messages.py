"""The control socket's messages, without sockets."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archipelago import InvalidArgument, NameTaken, VolumeBusy, VolumeNotFound, VolumeReadOnly
from blockstore import LeaseLost, StoreFull
from volumes import control_messages as messages

REQUESTS = [
    messages.Ping(),
    messages.ListExports(),
    messages.TakeSnapshot("диск@1"),
    messages.MakeClone("a@b", "c"),
    messages.MakeClone("a", "c", 2**40),
    messages.Resize("a", 512, shrink=True),
    messages.Seal(),
    messages.Detach("a"),
    messages.Shutdown(),
]


@pytest.mark.parametrize("request_", REQUESTS, ids=lambda request: request.operation)
def test_requests_survive_the_wire(request_):
    line = messages.encode_request(request_)
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert messages.decode_request(line) == request_


@pytest.mark.parametrize(
    "result",
    [
        messages.Done(3),
        messages.Pong(17, "files:/srv/pool"),
        messages.ExportList([messages.ExportEntry("a", 512, True, ["process 1", "process 2"])]),
    ],
)
def test_results_survive_the_wire(result):
    assert messages.decode_reply(messages.encode_result(result), type(result)) == result


@pytest.mark.parametrize(
    "error",
    [
        VolumeNotFound("a@b"),
        NameTaken("a"),
        VolumeBusy("a", "host b"),
        VolumeBusy("a", "its snapshots", "a has snapshots"),
        VolumeReadOnly("a"),
        InvalidArgument("a size of 3"),
        StoreFull("the pool is full"),
        LeaseLost("a"),
        messages.ControlError("no such thing"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_errors_arrive_as_what_they_were(error):
    line = messages.encode_error(error)
    with pytest.raises(type(error)) as caught:
        messages.decode_reply(line, messages.Done)
    assert type(caught.value) is type(error)
    assert str(caught.value) == str(error)
    assert vars(caught.value) == vars(error)


def test_an_error_without_a_class_arrives_as_text():
    with pytest.raises(messages.RequestFailed, match="bad sector"):
        messages.decode_reply(messages.encode_error(OSError(5, "bad sector")), messages.Done)


def message(**changes) -> bytes:
    base = {"version": 1, "operation": "detach", "arguments": {"name": "a"}}
    return json.dumps(base | changes).encode() + b"\n"


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (b"\n", "JSON"),
        (b"[" * 100_000, "JSON"),
        (b"[]\n", "object"),
        (b"\xff\n", "JSON"),
        (message(version=2), "version 2"),
        (message(version=None), "version None"),
        (message(operation="format"), "unknown operation 'format'"),
        (message(operation=["detach"]), "unknown operation"),
        (message(arguments=None), "fields"),
        (message(arguments={}), "fields"),
        (message(arguments={"name": "a", "more": 1}), "fields"),
        (message(arguments={"name": 7}), "name cannot be 7"),
        (
            message(operation="resize", arguments={"name": "a", "size": True, "shrink": False}),
            "size",
        ),
        (
            message(operation="resize", arguments={"name": "a", "size": 1.5, "shrink": False}),
            "size",
        ),
        (message(operation="clone", arguments={"name": "a", "source": "b", "size": "1"}), "size"),
    ],
)
def test_wrong_requests_are_refused_with_the_reason(line, text):
    with pytest.raises(messages.ControlError, match=text):
        messages.decode_request(line)


@pytest.mark.parametrize(
    "reply",
    [
        {"result": {}},
        {"result": {"count": "3"}},
        {"error": 5},
        {"error": {"message": 5}},
        {"error": {"type": "VolumeBusy", "message": "x", "fields": [1]}},
        {"error": {"type": ["x"], "message": "x", "fields": []}},
        {},
    ],
)
def test_wrong_replies_are_control_errors(reply):
    line = json.dumps({"version": 1, **reply}).encode()
    with pytest.raises(messages.ControlError):
        messages.decode_reply(line, messages.Done)


def test_a_message_too_long_is_not_sent():
    with pytest.raises(messages.ControlError, match="limit"):
        messages.encode_request(messages.Detach("x" * messages.LINE_SIZE_MAX))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)


@given(
    st.sampled_from(["ping", "clone", "resize", "seal", "shutdown", "x"]),
    st.dictionaries(st.sampled_from(["name", "source", "size", "shrink", "x"]), json_values),
)
def test_any_json_is_a_request_or_a_control_error(operation, arguments):
    line = json.dumps({"version": 1, "operation": operation, "arguments": arguments}).encode()
    try:
        request = messages.decode_request(line)
    except messages.ControlError:
        return
    assert request.operation == operation
