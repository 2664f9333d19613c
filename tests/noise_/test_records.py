"""The records of a sealed connection: lengths, order, rekeying, and what breaks them."""

from __future__ import annotations

import itertools
import sys

import pytest
from core.peers import (
    HELLO,
    MAXIMUM,
    Peer,
    exchange,
    handshaken,
    inject,
    message,
    plain,
    records,
    reveal,
    sealed,
    sealed_pair,
)

from sealframe import wire
from sealframe.core.events import Established, Phase
from sealframe.errors import (
    DecryptionError,
    FramingError,
    HandshakeError,
    NonceExhaustedError,
    ProtocolError,
    TruncatedError,
    UnauthorizedError,
)
from sealframe.noise import records as records_module
from sealframe.noise.cipher import CipherState
from sealframe.noise.records import RecordLayer
from sealframe.wire import CloseCode, Opcode, Pattern, control
from sealframe.wire.control import Close, Hello

pytestmark = pytest.mark.usefixtures("backend")


every_pattern = pytest.mark.parametrize("pattern", list(Pattern), ids=lambda p: p.name)


def sealing(peer: Peer) -> RecordLayer:
    assert peer.protocol.records is not None
    return peer.protocol.records


def sender(peer: Peer) -> CipherState:
    state = sealing(peer).sender
    assert state is not None
    return state


def receiver(peer: Peer) -> CipherState:
    state = sealing(peer).receiver
    assert state is not None
    return state


def record(body: bytes) -> bytes:
    return len(body).to_bytes(4, "little") + body


def split(data: bytes) -> list[bytes]:
    """Return the records of a stream, each with its head."""
    return [record(body) for body in records(data)]


# Lengths


@every_pattern
@pytest.mark.parametrize("size", [1, 2, 1000, 65_518, 65_519])
def test_a_record_of_every_legal_size_is_opened(size: int, pattern: Pattern) -> None:
    """17 to 65,535 bytes with the tag, and a frame may end anywhere in one."""
    client, server = sealed_pair(pattern)
    stream = message(bytes(100_000))
    (first,) = sealing(client).seal(stream[:size])
    assert first[:4] == (size + 16).to_bytes(4, "little")
    assert len(first) == 4 + size + 16
    server.read(first)
    assert (server.messages, server.error) == ([], None)
    server.read(b"".join(sealing(client).seal(stream[size:])))
    assert server.messages == [bytes(100_000)]


@pytest.mark.parametrize("step", [None, 1])
@pytest.mark.parametrize("size", [0, 1, 15, 16, 65_536, 65_537, 2**31 - 1])
def test_a_record_of_any_other_size_is_fatal(size: int, step: int | None) -> None:
    """From its head alone; nothing is said, for nothing of it is authentic."""
    for peer in sealed_pair():
        peer.read(size.to_bytes(4, "little"), step=step)
        assert isinstance(peer.fault, ProtocolError)
        assert isinstance(peer.fault.__cause__, FramingError)
        assert peer.take() == b""


@pytest.mark.parametrize("cut", [0, 1, 3, 4, 10])
def test_an_empty_record_is_fatal_even_if_it_is_authentic(cut: int) -> None:
    """Wherever a read ends: in its head, or behind that."""
    client, server = sealed_pair()
    body = sender(client).seal(b"")
    assert len(body) == 16
    server.read(record(body)[:cut])
    server.read(record(body)[cut:])
    assert isinstance(server.fault, ProtocolError)
    assert isinstance(server.fault.__cause__, FramingError)
    assert server.take() == b""


@pytest.mark.parametrize("size", [17, 1000, 65_535])
@pytest.mark.parametrize("before", [b"", b"half", bytes(20_000)])
def test_a_record_that_does_not_open_is_fatal_and_not_answered(size: int, before: bytes) -> None:
    """Wherever a message is that it may belong to, its memory takes nothing of it."""
    client, server = sealed_pair()
    for peer, other in ((client, server), (server, client)):
        inject(peer, other, message(bytes(180_000))[: 4 + len(before)] if before else b"")
        peer.read(record(bytes(size)))
        assert isinstance(peer.fault, ProtocolError)
        assert isinstance(peer.fault.__cause__, DecryptionError)
        assert str(peer.fault) == "the sealed stream is broken: the ciphertext is not authentic"
        assert peer.take() == b""
        assert peer.messages == []
        assert peer.protocol.decoder.pending == (4 + len(before) if before else 0)


@pytest.mark.parametrize("opcode", [Opcode.CLOSE, Opcode.HELLO, Opcode.HANDSHAKE, Opcode.PAD])
def test_a_control_frame_outside_records_is_fatal(opcode: Opcode) -> None:
    """A forged plaintext CLOSE does not pass for one."""
    for peer in sealed_pair():
        peer.read(control.frame(opcode, Close().encode() + bytes(20)))
        assert isinstance(peer.fault, ProtocolError)
        assert peer.fault.code is None
        assert peer.take() == b""


@every_pattern
def test_a_handshake_inside_the_seal_is_fatal(pattern: Pattern) -> None:
    client, server = sealed_pair(pattern)
    inject(server, client, control.frame(Opcode.HANDSHAKE, b"sealfram\x01\x01" + bytes(48)))
    assert "a HANDSHAKE frame is not allowed here" in str(server.fault)


# Frames in records


def test_small_frames_of_one_write_share_a_record() -> None:
    client, server = sealed_pair()
    client.protocol.ping(b"1")
    client.send(*[bytes([n]) * 100 for n in range(200)])
    data = client.take()
    assert len(records(data)) == 1
    server.read(data)
    assert server.messages == [bytes([n]) * 100 for n in range(200)]


@pytest.mark.parametrize("step", [999, 100_000, None])
def test_a_message_may_span_many_records(step: int | None) -> None:
    """1 MiB in 17 records beside small ones before and after, delivered in any split."""
    maximum = 1 << 20
    client, server = sealed(client=True, maximum=maximum), sealed(client=False, maximum=maximum)
    exchange(client, server)
    large = bytes(range(256)) * 4096
    client.send(b"before", large, b"after")
    data = client.take()
    assert 17 <= len(records(data)) <= 19
    server.read(data, step=step)
    assert server.messages == [b"before", large, b"after"]


@every_pattern
def test_everything_byte_by_byte(pattern: Pattern) -> None:
    """Handshake, introductions, messages, PING, CLOSE, one byte at a time both ways."""
    client, server = sealed(client=True, pattern=pattern), sealed(client=False, pattern=pattern)
    exchange(client, server, step=1)
    client.send(b"", b"x" * 3000)
    client.protocol.ping(b"12")
    exchange(client, server, step=1)
    server.send(b"y")
    server.protocol.close(Close(CloseCode.GOING_AWAY, "bye"))
    exchange(client, server, step=1)
    assert server.messages == [b"", b"x" * 3000]
    assert client.messages == [b"y"]
    assert client.close == Close(CloseCode.GOING_AWAY, "bye", 2)
    assert client.error is server.error is None


STREAMS = {
    "small": [message(b"x" * n) for n in range(300)],
    "small and large": [message(b"x" * n) for n in (0, 1, 100_000, 5, 199_999, 70_000, 65_536)],
    "control": [
        *(message(b"a" * 50_000), control.frame(Opcode.PING, b"1"), message(b"b")),
        *(control.frame(Opcode.PAD, bytes(60_000)), control.frame(0x20), message(b"c" * 90_000)),
    ],
}


@pytest.mark.parametrize("name", STREAMS)
@pytest.mark.parametrize("piece", [7, 5000, 32_751, 32_752, 40_000, 65_519])
@pytest.mark.parametrize("step", [None, 10_000])
def test_the_same_comes_out_however_records_are_cut(
    name: str, piece: int, step: int | None
) -> None:
    """Whether a record is copied or opened in place, and with or without control frames."""
    stream = b"".join(STREAMS[name])
    expected = [frame[4:] for frame in STREAMS[name] if not frame[3] & 0x80]
    counted = len(expected) + sum(frame[3:5] == b"\x80\x20" for frame in STREAMS[name])
    if piece == 7:
        # Thousands of records teach no more than hundreds.
        stream = stream[:5000]
        expected, counted = [], -1
    client, server = sealed_pair()
    pieces = [stream[start : start + piece] for start in range(0, len(stream), piece)]
    server.read(b"".join(itertools.chain(*map(sealing(client).seal, pieces))), step=step)
    assert server.error is None
    if counted >= 0:
        assert server.messages == expected
        assert server.protocol.frames_received == counted
    whole = plain(client=False)
    whole.read(HELLO + stream)
    assert server.messages == whole.messages
    assert server.protocol.frames_received == whole.protocol.frames_received


@pytest.mark.parametrize("lacking", [1, 16_384, 16_385, 40_000, 65_518, 65_519, 65_520, 65_536])
def test_a_full_record_finds_room_whatever_the_message_lacks(lacking: int) -> None:
    """Also with the next messages behind its end in the same record."""
    client, server = sealed_pair()
    first = message(b"a" * (10_000 + lacking))
    stream = first + message(b"b" * 70_000) + message(b"c")
    cut = len(first) - lacking
    for start, end in ((0, cut), (cut, cut + 65_519), (cut + 65_519, len(stream))):
        server.read(b"".join(sealing(client).seal(stream[start:end])))
    assert server.messages == [b"a" * (10_000 + lacking), b"b" * 70_000, b"c"]


def test_messages_alone_are_no_chores_but_for_their_records() -> None:
    client, server = sealed_pair()
    client.send(*[b"x"] * 1000)
    server.read(client.take())
    assert server.protocol.work_items < 5
    client.protocol.ping(b"")
    client.send(*[b"x"] * 1000)
    server.read(client.take())
    assert server.protocol.work_items > 1000
    server.read(b"".join(itertools.chain(*(sealing(client).seal(message(b"x")) for _ in range(9)))))
    assert 9 <= server.protocol.work_items < 15
    assert len(server.messages) == 2009


@pytest.mark.parametrize("size", [65_535, 40_000, 20_000])
def test_of_a_record_under_way_no_more_is_held_than_came(size: int) -> None:
    """Nor is anything, between two reads that end with a record."""
    client, server = sealed_pair()
    (data,) = sealing(client).seal(message(bytes(size - 20)))
    empty = sys.getsizeof(bytearray(1)) + 6
    for end in (1, 4, 5, 100, size):
        server.read(data[sealing(server).pending : end])
        assert sealing(server).pending == end
        assert sys.getsizeof(sealing(server).held) <= empty + end * 9 // 8
        assert sealing(server).exported is None
    server.read(data[size:])
    assert server.messages == [bytes(size - 20)]
    assert sealing(server).pending == 0
    assert sealing(server).exported is None


def test_reads_share_one_buffer_which_errors_do_not_hold_on_to() -> None:
    kept = []
    records_module.spare_buffers.clear()  # what other tests' errors may still hold on to
    for size in (17, 40_000, 65_535):
        client, server = sealed_pair()
        good = b"".join(sealing(client).seal(message(bytes(99_000))))
        data = good + record(bytes(size))
        with memoryview(server.protocol.get_buffer()) as place:
            place[: len(data)] = data
        server.messages += server.protocol.buffer_updated(len(data))
        server.note()
        kept.append(server.fault)
        (buffer,) = records_module.spare_buffers
        buffer.append(buffer.pop())  # with a view of it somewhere, this is a BufferError
        assert server.messages == [bytes(99_000)]
    assert all(isinstance(error.__cause__, DecryptionError) for error in kept)


def test_of_reads_at_once_one_buffer_is_kept() -> None:
    layers = [sealing(peer) for peer in (*sealed_pair(), *sealed_pair())]
    records_module.spare_buffers.clear()
    for layer in layers:
        layer.get_buffer()
    for layer in layers:
        layer.return_buffer()
    assert len(records_module.spare_buffers) == 1


def test_between_reads_no_buffer_is_kept_in_the_handshake_either() -> None:
    client, server = sealed(client=True), sealed(client=False)
    data = client.take()
    for byte in data:
        server.read(bytes((byte,)))
        assert sealing(server).exported is None
    assert sealing(server).pending == 0
    client.read(server.take())
    assert sealing(client).exported is None


# Order and authenticity


def three_messages() -> tuple[Peer, list[bytes]]:
    """Return a server and three records for it, one message each."""
    client, server = sealed_pair()
    found = []
    for body in (b"0", b"1", b"2"):
        client.send(body)
        found.append(client.take())
    return server, found


@pytest.mark.parametrize(
    "order", [order for n in range(1, 4) for order in itertools.product(range(3), repeat=n)]
)
def test_replayed_dropped_and_swapped_records_do_not_open(order: tuple[int, ...]) -> None:
    """What is delivered is what came in its place; the first that did not is the end."""
    server, found = three_messages()
    server.read(b"".join(found[number] for number in order))
    good = 0
    while good < len(order) and order[good] == good:
        good += 1
    assert server.messages == [b"0", b"1", b"2"][:good]
    assert (server.error is None) == (good == len(order))
    assert server.take() == b""


@pytest.mark.parametrize("mask", [0x01, 0x80])
def test_a_changed_byte_anywhere_stops_everything_behind_it(mask: int) -> None:
    """At each place of the first three records: the messages before it, none after, no
    answer, and an error at the latest with the end of the stream."""
    sizes = [len(found) for found in three_messages()[1]]
    for place in range(sum(sizes)):
        server, found = three_messages()
        data = bytearray(b"".join(found))
        data[place] ^= mask
        server.read(bytes(data))
        whole = sum(place >= sum(sizes[: n + 1]) for n in range(3))
        assert server.messages == [b"0", b"1", b"2"][:whole]
        server.end()
        assert isinstance(server.fault, ProtocolError | TruncatedError)
        assert server.take() == b""


@every_pattern
def test_records_of_the_other_direction_do_not_open(pattern: Pattern) -> None:
    """What a peer sent cannot be reflected to it."""
    client, _ = sealed_pair(pattern)
    client.send(b"mine")
    client.read(client.take())
    assert client.messages == []
    assert isinstance(client.fault.__cause__, DecryptionError)


@pytest.mark.parametrize("joined", [False, True])
def test_nothing_is_sent_after_a_record_that_does_not_open(joined: bool) -> None:
    """Neither what was waiting, PONG, UNSUPPORTED or GOAWAY, nor an answer to a fault
    in an earlier record of the same read, nor a CLOSE that was not yet written."""
    for before in (
        [control.frame(Opcode.PING, b"1"), control.frame(0x01)],
        [control.frame(0x40)],
        [message(b"1")],
    ):
        client, server = sealed_pair()
        if not joined:
            server.protocol.go_away(Close())
            server.protocol.close(Close())
        data = b"".join(itertools.chain(*(sealing(client).seal(frame) for frame in before)))
        server.read(data + record(bytes(100)))
        assert server.protocol.phase is Phase.FAILED
        assert not server.protocol.has_output
        assert server.take() == b""


def test_the_seal_itself_opens_nothing_after_a_record_that_does_not_open() -> None:
    """Though the counter still stands at the record that should have come."""
    server, found = three_messages()
    layer = sealing(server)
    layer.feed(record(bytes(50)))
    assert [layer.open(body) for body in layer.records()] == [b""]
    failure = layer.failure
    assert isinstance(failure, ProtocolError)
    layer.feed(b"".join(found))
    assert list(layer.records()) == []
    assert layer.failure is failure


def test_good_records_of_the_same_read_come_before_the_fault() -> None:
    for bad in (record(bytes(50)), record(bytes(16)), control.frame(Opcode.PAD)):
        server, found = three_messages()
        server.read(b"".join(found[:2]) + bad + found[2])
        assert server.messages == [b"0", b"1"]
        assert server.error is not None


# The first record


@every_pattern
def test_hello_stands_alone_in_the_first_record(pattern: Pattern) -> None:
    """With anything beside it, split over two records, or followed before WELCOME, the
    client breaks the rules, and is not listed."""
    for plaintexts in (
        [HELLO + message(b"1")],
        [HELLO + HELLO],
        [HELLO + b"\x01"],
        [HELLO[:10], HELLO[10:]],
        [HELLO[:-1]],
        [HELLO, message(b"1")],
        [message(b"1")],
        [control.frame(Opcode.PING), HELLO],
    ):
        for step in (None, 1) if len(plaintexts) == 1 else (None,):
            client, server = handshaken(pattern)
            data = b"".join(itertools.chain(*map(sealing(client).seal, plaintexts)))
            server.read(data, step=step)
            assert server.events_of(Established) == []
            assert isinstance(server.fault, HandshakeError | ProtocolError)
            assert server.messages == []


@every_pattern
@pytest.mark.parametrize("cut", [2, 4, 30])
def test_nothing_may_stand_behind_a_first_record_that_came_in_two_reads(
    cut: int, pattern: Pattern
) -> None:
    for extra in (b"\x30", message(b"1")):
        client, server = handshaken(pattern)
        data = client.take() + b"".join(sealing(client).seal(extra))
        server.read(data[:cut])
        server.read(data[cut:])
        assert server.events_of(Established) == []
        assert isinstance(server.fault, HandshakeError)
        assert server.messages == []
        assert server.take() == b""


@every_pattern
def test_a_hello_before_bytes_that_are_no_record_lists_no_one(pattern: Pattern) -> None:
    """The same as if what follows had been a good record: it came too early."""
    for extra in (record(bytes(50)), record(bytes(16)), control.frame(Opcode.PAD), b"\x30"):
        client, server = handshaken(pattern)
        server.read(client.take() + extra)
        assert server.events_of(Established) == []
        assert server.error is not None
        assert server.take() == b""


@every_pattern
def test_the_first_record_has_a_limit_of_its_own(pattern: Pattern) -> None:
    """With its head it fits the 1 KiB that an unproved peer may make us hold; from the
    next record on the limit is 65,535."""
    client, server = handshaken(pattern)
    server.read((1021).to_bytes(4, "little"))
    assert isinstance(server.fault, HandshakeError)
    assert server.take() == b""
    client, server = handshaken(pattern)
    # Its head, an opcode and the tag make that 1,021 bytes, all in one read.
    server.read(b"".join(sealing(client).seal(control.frame(Opcode.HELLO, bytes(1000)))))
    assert isinstance(server.fault.__cause__, FramingError)
    assert server.take() == b""
    client, server = handshaken(pattern)
    padded = Hello(max_frame=MAXIMUM).encode() + b"\x06\x00" + (490).to_bytes(2, "little")
    server.read(b"".join(sealing(client).seal(control.frame(Opcode.HELLO, padded + bytes(490)))))
    assert server.established()
    assert client.protocol.output is not None
    client.protocol.output.clear()
    client.read(server.take())
    client.send(bytes(65_000))
    exchange(client, server)
    assert server.messages == [bytes(65_000)]


@every_pattern
@pytest.mark.parametrize("size", [17, 100, 1000])
def test_a_first_record_that_does_not_open_is_a_failed_handshake(
    size: int, pattern: Pattern
) -> None:
    """Whoever replays message 1 gets that far without message 3: no answer, no one listed."""
    _, server = handshaken(pattern)
    server.read(record(bytes(size)))
    assert isinstance(server.fault, HandshakeError)
    assert server.events_of(Established) == []
    assert server.take() == b""


@every_pattern
@pytest.mark.parametrize("opcode", [Opcode.PING, Opcode.CLOSE, Opcode.WELCOME, 0x01])
def test_another_first_frame_inside_the_seal_is_told_so(opcode: int, pattern: Pattern) -> None:
    """It came from a holder of the key, who reads CLOSE."""
    client, server = handshaken(pattern)
    server.read(b"".join(sealing(client).seal(control.frame(opcode, Close().encode()))))
    assert isinstance(server.fault, HandshakeError)
    (answer,) = reveal(server, client)
    assert isinstance(answer, wire.Control)
    assert (answer.opcode, Close.decode(answer.body).code) == (Opcode.CLOSE, CloseCode.PROTOCOL)


@every_pattern
def test_a_client_that_is_known_and_not_wanted_is_told_inside_the_seal(pattern: Pattern) -> None:
    client, server = handshaken(pattern)
    client.take()
    close = control.frame(Opcode.CLOSE, Close(CloseCode.UNAUTHORIZED, "not listed").encode())
    inject(client, server, close)
    assert isinstance(client.fault, UnauthorizedError)
    assert (client.fault.code, client.fault.reason) == (CloseCode.UNAUTHORIZED, "not listed")


# Rekeying


@pytest.fixture
def rekeyed(monkeypatch: pytest.MonkeyPatch) -> list[CipherState]:
    """Collect the ciphers whose key is replaced, in that order."""
    ciphers: list[CipherState] = []
    rekey = CipherState.rekey

    def noted(state: CipherState) -> None:
        rekey(state)
        ciphers.append(state)

    monkeypatch.setattr(CipherState, "rekey", noted)
    return ciphers


def skip_to(number: int, client: Peer, server: Peer) -> None:
    """Let what the client sends go on with that record."""
    sender(client).set_nonce(number)
    receiver(server).set_nonce(number)


@pytest.mark.parametrize("turn", [1, -1])
def test_keys_are_replaced_every_4096_records_on_both_sides_in_step(
    turn: int, rekeyed: list[CipherState]
) -> None:
    """The counters go on, the keys change after numbers 4095 and 8191 and nowhere else, and
    the other direction does not notice."""
    here, there = sealed_pair()[::turn]
    back = sender(there).nonce
    changes = []
    start = sender(here).nonce
    assert start == 1
    for number in range(start, 8195):
        here.send(b"x")
        there.read(here.take())
        assert sender(here).nonce == receiver(there).nonce == number + 1
        if rekeyed:
            changes.append(number)
            assert rekeyed == [sender(here), receiver(there)]
            rekeyed.clear()
    assert changes == [4095, 8191]
    assert there.messages == [b"x"] * (8195 - start)
    assert sender(there).nonce == receiver(here).nonce == back


def test_a_message_may_span_a_change_of_keys(rekeyed: list[CipherState]) -> None:
    """Twenty records in one write, the change in their midst."""
    maximum = 2 << 20
    client, server = sealed(client=True, maximum=maximum), sealed(client=False, maximum=maximum)
    exchange(client, server)
    skip_to(4090, client, server)
    large = bytes(range(256)) * 5000
    client.send(large)
    server.read(client.take())
    assert server.messages == [large]
    assert sender(client).nonce == receiver(server).nonce > 4096
    assert rekeyed == [sender(client), receiver(server)]


def test_many_records_of_one_read_change_keys_on_their_way() -> None:
    client, server = sealed_pair()
    skip_to(4090, client, server)
    data = b""
    for number in range(12):
        client.send(bytes([number]))
        data += client.take()
    server.read(data)
    assert server.messages == [bytes([number]) for number in range(12)]


def test_the_last_counter_value_is_never_used() -> None:
    """2^64 - 1 belongs to the change of keys: before it the sender stops, and a receiver
    that gets a record more fails."""
    client, server = sealed_pair()
    skip_to(2**64 - 2, client, server)
    client.send(b"last")
    server.read(client.take())
    assert server.messages == [b"last"]
    with pytest.raises(NonceExhaustedError):
        client.send(b"one too many")
    server.read(record(bytes(30)))
    assert isinstance(server.fault.__cause__, NonceExhaustedError)
    assert server.take() == b""
