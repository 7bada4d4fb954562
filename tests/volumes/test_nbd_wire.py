"""The wire's structs against bytes written out by hand from the protocol document."""

from __future__ import annotations

import subprocess
import sys

import pytest

from volumes.nbd import wire


def test_request_bytes():
    request = wire.Request(flags=1, command=wire.Command.WRITE, cookie=2, offset=3, length=4)
    data = wire.pack_request(request)
    assert data.hex() == "2560951300010001000000000000000200000000000000030" + "0000004"
    assert wire.parse_request(data) == request


def test_a_wrong_magic_number_is_refused():
    for parse, size in (
        (wire.parse_request, 28),
        (wire.parse_option_header, 16),
        (wire.parse_option_reply_header, 20),
    ):
        with pytest.raises(wire.WireError, match="magic"):
            parse(bytes(size))


def test_option_bytes():
    data = wire.pack_option(wire.Option.GO, b"xy")
    assert data == b"IHAVEOPT" + bytes.fromhex("0000000700000002") + b"xy"
    assert wire.parse_option_header(data[:16]) == (wire.Option.GO, 2)


def test_option_reply_bytes():
    data = wire.pack_option_reply(wire.Option.LIST, wire.Reply.ERR_UNSUP, b"z")
    assert data.hex() == "0003e889045565a9" + "00000003" + "80000001" + "00000001" + "7a"
    assert wire.parse_option_reply_header(data[:20]) == (3, wire.Reply.ERR_UNSUP, 1)


def test_simple_reply_bytes():
    assert wire.pack_simple_reply(7, wire.Errno.EIO).hex() == "67446698000000050000000000000007"


def test_error_chunk_bytes():
    data = wire.pack_error_chunk(9, wire.Errno.ENOSPC, "full")
    header = "668e33ef0001800100000000000000090000000a"
    assert data.hex() == header + "0000001c" + "0004" + b"full".hex()


def test_a_long_error_message_is_cut_between_characters():
    data = wire.pack_error_chunk(1, wire.Errno.EIO, "x" + "é" * wire.STRING_SIZE_MAX)
    text = data[26:]
    assert len(text) == wire.STRING_SIZE_MAX - 1
    assert text.decode().endswith("é")


def test_a_message_that_is_no_text_is_sent_all_the_same():
    assert wire.encode_message("a file \udcff") == b"a file ?"


def test_the_wire_brings_no_server_along():
    """Clients import it: nothing of ours but the packages on the way may come with it."""
    code = (
        "import sys, volumes.nbd.wire;"
        "print([name for name in sys.modules if name.split('.')[0] in"
        " ('native', 'blockstore', 'archipelago', 'volumes', 'socket')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['volumes', 'volumes.nbd', 'volumes.nbd.wire']"
