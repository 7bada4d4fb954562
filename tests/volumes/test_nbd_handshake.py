"""The negotiation alone, without sockets."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from memory_exports import MemoryExports

from volumes.nbd import handshake as handshake_module
from volumes.nbd import wire
from volumes.nbd.handshake import Handshake, HandshakeError, Phase
from volumes.nbd.options import EXPORTS_LISTED_MAX

FLAGS = struct.pack(">I", 3)


def make_handshake(exports: MemoryExports | None = None) -> Handshake:
    if exports is None:
        exports = MemoryExports()
        exports.add("disk", 2**20)
        exports.add("disk@snap", 2**20, read_only=True)
    return Handshake(exports, "a test", lambda: None)


def parse_replies(data: bytes) -> list[tuple[int, int, bytes]]:
    replies = []
    while data:
        option, kind, length = wire.parse_option_reply_header(data[:20])
        replies.append((option, kind, data[20 : 20 + length]))
        assert len(replies[-1][2]) == length
        data = data[20 + length :]
    return replies


def info_data(name: bytes, *infos: int) -> bytes:
    return wire.pack_string(name) + struct.pack(f">H{len(infos)}H", len(infos), *infos)


def context_data(name: bytes, *queries: bytes) -> bytes:
    count = struct.pack(">I", len(queries))
    return wire.pack_string(name) + count + b"".join(wire.pack_string(query) for query in queries)


def ask(handshake: Handshake, option: int, data: bytes = b"") -> list[tuple[int, bytes]]:
    """Replies without the option, which is checked."""
    replies = parse_replies(handshake.receive(wire.pack_option(option, data)))
    assert all(asked == option for asked, _, _ in replies)
    return [(kind, text) for _, kind, text in replies]


def started(exports: MemoryExports | None = None, structured: bool = False) -> Handshake:
    handshake = make_handshake(exports)
    assert handshake.receive(FLAGS) == b""
    if structured:
        assert ask(handshake, wire.Option.STRUCTURED_REPLY) == [(wire.Reply.ACK, b"")]
    return handshake


def test_greeting():
    assert make_handshake().greeting() == b"NBDMAGICIHAVEOPT\0\3"


@pytest.mark.parametrize("flags", [0, 2, 4, 7, 0xFFFFFFFF])
def test_wrong_client_flags_end_the_connection(flags):
    with pytest.raises(HandshakeError, match=r"flags|newstyle"):
        make_handshake().receive(struct.pack(">I", flags))


def test_go_attaches_and_tells_size_and_flags():
    handshake = started()
    replies = ask(handshake, wire.Option.GO, info_data(b"disk"))
    assert [kind for kind, _ in replies] == [wire.Reply.INFO, wire.Reply.ACK]
    kind, size, flags = struct.unpack(">HQH", replies[0][1])
    assert (kind, size) == (wire.Info.EXPORT, 2**20)
    assert flags & wire.EXPORT_CAN_MULTI_CONN
    assert flags & wire.EXPORT_SEND_WRITE_ZEROES
    assert not flags & (wire.EXPORT_READ_ONLY | wire.EXPORT_SEND_DF)
    assert handshake.phase is Phase.TRANSMISSION
    assert handshake.attachment is not None


def test_go_answers_every_information_asked_for():
    wanted = [wire.Info.NAME, wire.Info.DESCRIPTION, wire.Info.BLOCK_SIZE, 999]
    replies = ask(started(), wire.Option.GO, info_data(b"disk", *wanted))
    texts = {struct.unpack(">H", data[:2])[0]: data[2:] for _, data in replies[:-1]}
    assert texts[wire.Info.NAME] == b"disk"
    assert texts[wire.Info.DESCRIPTION] == b"1048576 bytes of memory"
    assert struct.unpack(">III", texts[wire.Info.BLOCK_SIZE]) == (1, 4096, 32 * 2**20)
    assert 999 not in texts


def test_info_attaches_nothing_and_negotiation_goes_on():
    handshake = started()
    assert ask(handshake, wire.Option.INFO, info_data(b"disk"))[-1][0] == wire.Reply.ACK
    assert handshake.attachment is None
    assert handshake.phase is Phase.OPTION_HEADER


def test_a_read_only_export_offers_no_writing():
    replies = ask(started(), wire.Option.GO, info_data(b"disk@snap"))
    flags = struct.unpack(">HQH", replies[0][1])[2]
    assert flags & wire.EXPORT_READ_ONLY
    assert not flags & (wire.EXPORT_SEND_TRIM | wire.EXPORT_SEND_WRITE_ZEROES)


def test_df_is_offered_with_structured_replies_only():
    replies = ask(started(structured=True), wire.Option.GO, info_data(b"disk"))
    assert struct.unpack(">HQH", replies[0][1])[2] & wire.EXPORT_SEND_DF


@pytest.mark.parametrize(("flags", "padding"), [(1, 124), (3, 0)])
def test_export_name_answers_without_a_header(flags, padding):
    handshake = make_handshake()
    handshake.receive(struct.pack(">I", flags))
    answer = handshake.receive(wire.pack_option(wire.Option.EXPORT_NAME, b"disk"))
    assert struct.unpack(">Q", answer[:8]) == (2**20,)
    assert answer[10:] == bytes(padding)
    assert handshake.phase is Phase.TRANSMISSION


@pytest.mark.parametrize("name", [b"absent", b"", b"\xff\xfe", b"n" * 4097])
def test_export_name_has_no_error_reply(name):
    with pytest.raises(HandshakeError, match="EXPORT_NAME"):
        started().receive(wire.pack_option(wire.Option.EXPORT_NAME, name))


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (info_data(b"absent"), wire.Reply.ERR_UNKNOWN),
        (info_data(b""), wire.Reply.ERR_UNKNOWN),
        (info_data(b"n" * 4096), wire.Reply.ERR_UNKNOWN),
        (info_data(b"n" * 4097), wire.Reply.ERR_INVALID),
        (info_data(b"\xff\xfe"), wire.Reply.ERR_INVALID),
        (b"", wire.Reply.ERR_INVALID),
        (info_data(b"disk")[:-1], wire.Reply.ERR_INVALID),
        (info_data(b"disk") + b"x", wire.Reply.ERR_INVALID),
        (struct.pack(">I", 0xFFFFFFFF) + b"disk", wire.Reply.ERR_INVALID),
        (wire.pack_string(b"disk") + struct.pack(">H", 5), wire.Reply.ERR_INVALID),
    ],
)
@pytest.mark.parametrize("option", [wire.Option.INFO, wire.Option.GO])
def test_wrong_info_and_go_are_refused_and_negotiation_goes_on(option, data, kind):
    handshake = started()
    assert [reply for reply, _ in ask(handshake, option, data)] == [kind]
    assert handshake.attachment is None
    assert ask(handshake, wire.Option.GO, info_data(b"disk"))[-1][0] == wire.Reply.ACK


def test_an_export_in_use_is_refused_with_the_holder():
    exports = MemoryExports(busy={"disk": "host b"})
    exports.add("disk", 4096)
    ((kind, text),) = ask(started(exports), wire.Option.GO, info_data(b"disk"))
    assert kind == wire.Reply.ERR_POLICY
    assert b"in use by host b" in text


def test_names_may_be_unicode():
    exports = MemoryExports()
    exports.add("диск-東京", 4096)
    handshake = started(exports)
    listed = ask(handshake, wire.Option.LIST)
    assert listed[0] == (wire.Reply.SERVER, wire.pack_string("диск-東京".encode()))
    assert ask(handshake, wire.Option.GO, info_data("диск-東京".encode()))[-1][0] == wire.Reply.ACK


def test_the_listing_is_bounded():
    exports = MemoryExports()
    for number in range(EXPORTS_LISTED_MAX + 5):
        exports.add(f"v{number:05}", 512)
    replies = ask(started(exports), wire.Option.LIST)
    assert len(replies) == EXPORTS_LISTED_MAX + 1
    assert replies[-1] == (wire.Reply.ACK, b"")


@pytest.mark.parametrize("option", [wire.Option.LIST, wire.Option.STRUCTURED_REPLY])
def test_options_without_data_refuse_data(option):
    assert [kind for kind, _ in ask(started(), option, b"x")] == [wire.Reply.ERR_INVALID]


@pytest.mark.parametrize(
    ("option", "kind"),
    [
        (wire.Option.STARTTLS, wire.Reply.ERR_POLICY),
        (wire.Option.EXTENDED_HEADERS, wire.Reply.ERR_UNSUP),
        (4, wire.Reply.ERR_UNSUP),
        (0xFFFFFFFF, wire.Reply.ERR_UNSUP),
    ],
)
def test_options_not_served(option, kind):
    handshake = started()
    assert [reply for reply, _ in ask(handshake, option)] == [kind]
    assert handshake.phase is Phase.OPTION_HEADER


def test_abort_is_acknowledged_and_ends():
    handshake = started()
    assert ask(handshake, wire.Option.ABORT) == [(wire.Reply.ACK, b"")]
    assert handshake.phase is Phase.ENDED


def test_meta_contexts_need_structured_replies():
    for option in (wire.Option.LIST_META_CONTEXT, wire.Option.SET_META_CONTEXT):
        ((kind, _),) = ask(started(), option, context_data(b"disk", b"base:allocation"))
        assert kind == wire.Reply.ERR_INVALID


@pytest.mark.parametrize("queries", [(), (b"base:",), (b"base:allocation",), (b"x:", b"base:")])
def test_listing_contexts(queries):
    replies = ask(
        started(structured=True), wire.Option.LIST_META_CONTEXT, context_data(b"disk", *queries)
    )
    assert replies == [
        (wire.Reply.META_CONTEXT, bytes(4) + b"base:allocation"),
        (wire.Reply.ACK, b""),
    ]


@pytest.mark.parametrize("queries", [(), (b"base:",), (b"qemu:dirty-bitmap:x",)])
def test_setting_contexts_that_do_not_exist_chooses_none(queries):
    handshake = started(structured=True)
    replies = ask(handshake, wire.Option.SET_META_CONTEXT, context_data(b"disk", *queries))
    assert replies == [(wire.Reply.ACK, b"")]
    ask(handshake, wire.Option.GO, info_data(b"disk"))
    assert not handshake.agreement.status_allowed


def test_the_chosen_context_holds_for_its_export_only():
    for attached, allowed in ((b"disk", True), (b"disk@snap", False)):
        handshake = started(structured=True)
        replies = ask(
            handshake, wire.Option.SET_META_CONTEXT, context_data(b"disk", b"base:allocation")
        )
        assert replies[0] == (wire.Reply.META_CONTEXT, b"\0\0\0\1base:allocation")
        ask(handshake, wire.Option.GO, info_data(attached))
        assert handshake.agreement.status_allowed is allowed


def test_a_failed_choice_undoes_the_one_before():
    handshake = started(structured=True)
    ask(handshake, wire.Option.SET_META_CONTEXT, context_data(b"disk", b"base:allocation"))
    ((kind, _),) = ask(
        handshake, wire.Option.SET_META_CONTEXT, context_data(b"absent", b"base:allocation")
    )
    assert kind == wire.Reply.ERR_UNKNOWN
    ask(handshake, wire.Option.GO, info_data(b"disk"))
    assert not handshake.agreement.status_allowed


def test_a_false_count_of_queries_is_refused():
    data = wire.pack_string(b"disk") + struct.pack(">I", 0xFFFFFFFF)
    ((kind, _),) = ask(started(structured=True), wire.Option.LIST_META_CONTEXT, data)
    assert kind == wire.Reply.ERR_INVALID


def test_an_option_too_long_is_skipped_and_refused():
    handshake = started()
    data = bytes(handshake_module.OPTION_SIZE_MAX + 1)
    ((kind, _),) = ask(handshake, wire.Option.LIST, data)
    assert kind == wire.Reply.ERR_TOO_BIG
    assert ask(handshake, wire.Option.LIST)[-1][0] == wire.Reply.ACK


@pytest.mark.parametrize("length", [handshake_module.OPTION_SKIP_MAX + 1, 0xFFFFFFFF])
def test_an_option_far_too_long_ends_the_connection(length):
    header = wire.OPTION_HEADER.pack(wire.OPTION_MAGIC, wire.Option.LIST, length)
    with pytest.raises(HandshakeError, match=str(length)):
        started().receive(header)


def test_too_many_options_end_the_connection():
    handshake = started()
    option = wire.pack_option(4)
    handshake.receive(option * handshake_module.OPTIONS_MAX)
    with pytest.raises(HandshakeError, match="options"):
        handshake.receive(option)


def test_a_request_instead_of_an_option_ends_the_connection():
    with pytest.raises(HandshakeError, match="magic"):
        started().receive(wire.pack_request(wire.Request(0, 0, 0, 0, 0)))


def test_bytes_after_go_are_left_for_transmission():
    handshake = started()
    request = wire.pack_request(wire.Request(0, wire.Command.READ, 1, 0, 512))
    handshake.receive(wire.pack_option(wire.Option.GO, info_data(b"disk")) + request)
    assert handshake.leftover == request


def test_wanted_never_reads_past_the_end():
    handshake = make_handshake()
    script = FLAGS + wire.pack_option(wire.Option.LIST)
    script += wire.pack_option(wire.Option.GO, info_data(b"disk")) + b"rest"
    while not handshake.finished:
        size = handshake.wanted
        assert size > 0
        handshake.receive(script[:size])
        script = script[size:]
    assert script == b"rest"
    assert handshake.leftover == b""


option_scripts = st.lists(
    st.tuples(
        st.integers(0, 12),
        st.one_of(
            st.binary(max_size=60),
            st.just(info_data(b"disk", 1, 3)),
            st.just(context_data(b"disk", b"base:allocation")),
            st.just(context_data(b"absent", b"x")),
        ),
    ),
    max_size=8,
)


@settings(max_examples=150, deadline=None)
@given(option_scripts, st.binary(max_size=40), st.integers(1, 200))
def test_any_options_in_any_cut_give_replies_or_the_protocol_error(script, garbage, step):
    data = FLAGS + b"".join(wire.pack_option(option, text) for option, text in script) + garbage
    handshake = make_handshake()
    output = b""
    try:
        for start in range(0, len(data), step):
            output += handshake.receive(data[start : start + step])
    except HandshakeError:
        return
    if handshake.finished or handshake.agreement.attachment is not None:
        return
    parse_replies(output)  # each reply is whole and begins with the magic number


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=300))
def test_random_bytes_raise_only_the_protocol_error(data):
    handshake = make_handshake()
    try:
        handshake.receive(data)
    except HandshakeError:
        return
    assert handshake.phase in (Phase.CLIENT_FLAGS, Phase.OPTION_HEADER)
