"""CLOSE: half-close, codes, and the ends that are not clean."""

from __future__ import annotations

import pytest

from sealframe.core.events import Ended, Phase
from sealframe.errors import ProtocolError, TruncatedError
from sealframe.wire import CloseCode, Control, Opcode, control
from sealframe.wire.control import Close

from .peers import PAIRS, Peer, exchange, inject, message, reveal, sealed

pytestmark = pytest.mark.usefixtures("backend")

Pair = tuple[Peer, Peer]


@pytest.fixture(params=["extended", "sealed"])
def name(request: pytest.FixtureRequest) -> str:
    """Which kind of connection."""
    kind: str = request.param
    return kind


@pytest.fixture
def pair(name: str) -> Pair:
    """A client and a server after their introductions."""
    return PAIRS[name]()


@pytest.mark.parametrize("end", ["receive_eof", "receive_loss"])
@pytest.mark.parametrize("kind", [*PAIRS, "handshake"])
def test_at_the_end_no_buffer_stays_exported(kind: str, end: str) -> None:
    """Event loops ask for one, then find that nothing comes any more; 256 KiB would stay
    with each connection that is closed and still referred to."""
    peer = sealed(client=False) if kind == "handshake" else PAIRS[kind]()[1]
    protocol = peer.protocol
    protocol.get_buffer()
    protocol.receive_eof() if end == "receive_eof" else protocol.receive_loss(None)
    if protocol.records is not None:
        assert protocol.records.exported is None
    else:
        with pytest.raises(ValueError, match="without get_buffer"):
            protocol.decoder.buffer_updated(0)


def test_close_comes_after_everything_else(pair: Pair) -> None:
    """What was accepted before goes first, in the order messages, then CLOSE; it says how
    many frames came in, and nothing follows it."""
    client, server = pair
    server.send(b"1", b"2")
    exchange(client, server)
    client.protocol.ping(b"p")
    client.protocol.go_away(Close(1))
    assert client.protocol.close(Close(CloseCode.NORMAL, "bye"))
    client.send(b"last")
    exchange(client, server)
    assert server.messages == [b"last"]
    assert server.close == Close(CloseCode.NORMAL, "bye", 2)
    assert client.events_of(Ended) == []


def test_nothing_is_sent_after_close(pair: Pair) -> None:
    """Neither PONG, UNSUPPORTED or GOAWAY, nor a second CLOSE, whatever comes."""
    client, server = pair
    assert client.protocol.close(Close())
    client.take()
    assert not client.protocol.close(Close(CloseCode.KICKED))
    client.protocol.go_away(Close(1))
    inject(client, server, control.frame(Opcode.PING, b"p"), control.frame(0x01, b"?"))
    assert client.take() == b""
    inject(client, server, control.frame(0x40))
    assert isinstance(client.fault, ProtocolError)
    assert client.take() == b""


def test_nothing_is_sent_after_fin(pair: Pair) -> None:
    """The answer to a fault goes before FIN; what the program does afterwards is not told."""
    client, server = pair
    inject(client, server, control.frame(Opcode.CREDIT, b"?"))
    assert isinstance(client.fault, ProtocolError)
    assert client.take()
    client.protocol.give_credit(1000)
    assert client.protocol.has_output
    client.protocol.end_output()
    assert client.take() == b""


def test_a_second_close_does_not_take_the_first_back(pair: Pair) -> None:
    """Neither before it was written nor after a fault has queued one."""
    client, server = pair
    assert client.protocol.close(Close(0, "first"))
    assert not client.protocol.close(Close(CloseCode.KICKED, "second"))
    exchange(client, server)
    assert server.close == Close(0, "first", 0)
    inject(server, client, message(b"late"))
    assert not server.protocol.close(Close())
    (frame,) = reveal(server, client)
    assert isinstance(frame, Control)
    assert Close.decode(frame.body).code == CloseCode.PROTOCOL


@pytest.mark.parametrize("turn", [1, -1])
def test_close_0_ends_one_direction_only(pair: Pair, turn: int) -> None:
    """The other side drains, goes on sending, and then closes too: no error at either end."""
    first, second = pair[::turn]
    first.send(b"question")
    first.protocol.close(Close())
    exchange(first, second)
    assert second.messages == [b"question"]
    assert second.protocol.phase is Phase.ENDED
    second.send(b"long")
    second.send(b"answer")
    exchange(first, second)
    assert first.messages == [b"long", b"answer"]
    second.protocol.close(Close())
    exchange(first, second)
    assert first.close == Close(0, "", 1)
    assert first.protocol.frames_received == 2
    assert second.close == Close(0, "", 0)
    for peer in pair:
        peer.end()
        peer.protocol.receive_loss(None)
        peer.note()
        assert peer.error is None


@pytest.mark.parametrize("code", [*CloseCode, 77, 65_535])
def test_any_code_and_its_reason_arrive(pair: Pair, code: int) -> None:
    client, server = pair
    server.protocol.close(Close(code, "because"))
    exchange(client, server)
    assert client.close == Close(code, "because", 0)
    assert client.error is None


def test_both_may_close_at_once(pair: Pair) -> None:
    client, server = pair
    client.protocol.close(Close(0, "c"))
    server.protocol.close(Close(0, "s"))
    from_client, from_server = client.take(), server.take()
    server.read(from_client)
    client.read(from_server)
    assert client.close == Close(0, "s", 0)
    assert server.close == Close(0, "c", 0)
    assert client.take() == server.take() == b""


def test_whatever_follows_close_is_a_fault(pair: Pair) -> None:
    """It is not delivered, and the close that was seen still stands."""
    client, server = pair
    close = control.frame(Opcode.CLOSE, Close(0, "", 1).encode())
    inject(server, client, message(b"1") + close + message(b"2"))
    assert server.messages == [b"1"]
    assert server.close == Close(0, "", 1)
    assert "a message is not allowed here (the peer has already sent CLOSE)" in str(server.fault)


def test_the_end_without_close_is_a_truncation(pair: Pair) -> None:
    """After all that came whole."""
    client, server = pair
    client.send(b"1")
    exchange(client, server)
    server.end()
    assert server.messages == [b"1"]
    assert isinstance(server.fault, TruncatedError)
    assert "ended without a CLOSE" in str(server.fault)
    assert server.events_of(Ended) == []
    assert server.take() == b""


def test_our_own_close_does_not_excuse_the_peer(pair: Pair) -> None:
    client, _ = pair
    client.protocol.close(Close())
    client.end()
    assert isinstance(client.fault, TruncatedError)


@pytest.mark.parametrize("lost", [False, True])
def test_the_end_inside_a_frame_is_a_truncation(name: str, pair: Pair, lost: bool) -> None:
    """Cut anywhere: what was whole is delivered, and the text says what is missing."""
    client, server = pair
    client.send(b"whole")
    whole = client.take()
    client.send(b"broken")
    broken = client.take()
    for cut in range(1, len(broken)):
        client, server = PAIRS[name]()
        client.send(b"whole")
        client.send(b"broken")
        server.read(client.take()[: len(whole) + cut])
        if lost:
            server.protocol.receive_loss(ConnectionResetError("reset"))
            server.note()
        else:
            server.end()
        assert server.messages == [b"whole"]
        assert isinstance(server.fault, TruncatedError)
        how = "was reset" if lost else "ended"
        inside = "a sealed record" if name == "sealed" else "a frame: only "
        assert f"the peer's stream {how} inside {inside}" in str(server.fault)


def test_the_end_between_two_records_of_one_message_is_a_truncation() -> None:
    """The records are whole, and the message inside is not."""
    client, server = PAIRS["sealed"]()
    client.send(bytes(150_000))
    # The head is in a short record, and full records follow it.
    rest = 150_000 - 2 * 65_519
    server.read(client.take()[: 4 + 4 + rest + 16 + 4 + 65_535])
    server.end()
    assert server.messages == []
    assert "inside a frame: only 84485 of its 150004 bytes came" in str(server.fault)


def test_a_loss_without_close_is_a_truncation(pair: Pair) -> None:
    client, _ = pair
    cause = ConnectionResetError("reset by peer")
    client.protocol.receive_loss(cause)
    client.note()
    assert isinstance(client.fault, TruncatedError)
    assert str(client.fault) == "the connection was lost without a close: reset by peer"
    assert client.fault.__cause__ is cause


def test_a_loss_after_close_is_not_news(pair: Pair) -> None:
    """Once the peer's CLOSE was read, nothing of it can be missing."""
    client, server = pair
    server.protocol.close(Close())
    exchange(client, server)
    client.protocol.receive_loss(ConnectionResetError("reset"))
    client.note()
    assert client.error is None


def test_a_fault_is_told_with_its_reason_and_count(pair: Pair) -> None:
    """The CLOSE that answers it carries the error's own text."""
    client, server = pair
    inject(server, client, message(b"1"), control.frame(Opcode.HANDSHAKE))
    (frame,) = reveal(server, client)
    assert isinstance(frame, Control)
    close = Close.decode(frame.body)
    assert (close.code, close.frames_received) == (CloseCode.PROTOCOL, 1)
    assert close.reason == str(server.fault)


def test_a_fault_drops_what_else_was_waiting_to_be_answered(pair: Pair) -> None:
    """No PONG and no UNSUPPORTED beside the CLOSE that answers a fault."""
    client, server = pair
    inject(
        server,
        client,
        control.frame(Opcode.PING, b"p") + control.frame(0x01) + control.frame(0x40),
    )
    assert [frame.opcode for frame in reveal(server, client) if isinstance(frame, Control)] == [
        Opcode.CLOSE
    ]
