"""Whatever the network does to the grouping of bytes, and whatever a peer sends."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from itertools import pairwise

import pytest
from example_counts import examples
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sealframe.core.events import Ended, Event, Failed, Phase
from sealframe.wire import CloseCode, Opcode, Pattern, control
from sealframe.wire.control import Close

from .peers import (
    CLOSE,
    HELLO,
    WELCOME,
    Peer,
    codec,
    ephemerals,
    extended_pair,
    fixed_kem,
    message,
    plain,
    sealed,
    sealed_pair,
)

pytestmark = pytest.mark.fixed_keys(reason="a session is made again, byte for byte, for each split")

EPHEMERALS = (bytes(range(97, 129)), bytes(range(129, 161)))

KEM = (bytes(range(64)), bytes(1088))
"""The client's seed for ML-KEM-768 and the server's ciphertext, of which some secret comes."""

PATTERNS = {
    "sealed": Pattern.NNPSK0,
    "sealed XK": Pattern.XK,
    "sealed XX": Pattern.XX,
    "sealed NNhfs": Pattern.NNHFS_PSK0,
    "sealed XKhfs": Pattern.XKHFS,
    "sealed XXhfs": Pattern.XXHFS,
}
KINDS = ["packets", "extended", *PATTERNS]

# Of each of so many kinds; every single place to cut has a test of its own.
some = settings(max_examples=examples(40))
cuts = st.lists(st.integers(0, 1400), max_size=30)
backends = st.sampled_from(["python"] + ["c"] * (find_spec("sealframe.framing._codec") is not None))


def fresh(kind: str) -> tuple[Peer, Peer]:
    """Return a client and a server; sealed ones have the same keys each time."""
    if kind in PATTERNS:
        pattern = PATTERNS[kind]
        with ephemerals(*EPHEMERALS), fixed_kem(*KEM):
            client = sealed(client=True, pattern=pattern)
            server = sealed(client=False, pattern=pattern)
            # The server draws its key when it reads message 1.
            server.read(client.take())
        return client, server
    return plain(client=True, extended=kind == "extended"), plain(client=False)


@cache
def session(kind: str, *, size: int = 100) -> tuple[tuple[bytes, ...], tuple[bytes, ...]]:
    """Return what the server and what the client received in a whole session.

    The larger messages are some times ``size`` bytes.

    Parts of one direction may be joined in one read or torn as the network likes, but two
    parts are not read at once, because the second is written only when the first is answered.
    """
    client, server = fresh(kind)
    to_server: list[bytes] = []
    to_client: list[bytes] = []
    if kind != "packets":
        to_client.append(server.take())
        client.read(to_client[-1])
        to_server.append(client.take())
        server.read(to_server[-1])
        to_client.append(server.take())
        client.read(to_client[-1])
    assert client.established()
    assert server.established()
    client.send(b"", b"a" * 3 * size, b"b")
    server.send(b"c" * 5 * size, b"")
    if kind != "packets":
        client.protocol.ping(b"p")
        client.protocol.go_away(Close(CloseCode.GOING_AWAY, "soon"))
        client.protocol.queue(control.frame(0x01, b"unknown"))
        client.protocol.queue(control.frame(0xBF, b"x"))
        server.protocol.queue(control.frame(Opcode.PAD, bytes(size)))
        server.protocol.queue(control.frame(0x80))
    to_server.append(client.take())
    server.read(to_server[-1])
    to_client.append(server.take())
    client.read(to_client[-1])
    client.send(b"last")
    client.protocol.close(Close(0, "bye"))
    server.protocol.close(Close(CloseCode.KICKED, "out"))
    to_server.append(client.take())
    to_client.append(server.take())
    return tuple(to_server), tuple(to_client)


def describe(event: Event) -> str:
    """Return the same text for the same event, errors included."""
    if isinstance(event, Failed):
        return f"{type(event.error).__name__} {event.error} {event.error.code}"
    return repr(event)


def outcome(kind: str, parts: tuple[bytes, ...], cuts: list[int], *, client: bool) -> list[object]:
    """Return all that one end makes of what it receives in this grouping."""
    peers = fresh(kind)
    peer = peers[0] if client else peers[1]
    peer.take()
    # To the server of a plain connection all may come in one read.
    for part in parts if kind in PATTERNS else [b"".join(parts)]:
        places = sorted({min(cut, len(part)) for cut in cuts} | {0, len(part)})
        for start, end in pairwise(places):
            peer.read(part[start:end])
    peer.end()
    return [*peer.messages, *map(describe, peer.events), peer.protocol.frames_received]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("client", [True, False])
@given(cuts, backends)
@some
def test_any_split_of_a_session_gives_the_same(
    kind: str, client: bool, cuts: list[int], backend: str
) -> None:
    """Messages, events and counters do not depend on how the stream was grouped, nor on
    the codec."""
    parts = session(kind)[1 if client else 0]
    with codec("python"):
        expected = outcome(kind, parts, [], client=client)
    texts = [item for item in expected if isinstance(item, str)]
    assert len([item for item in expected if isinstance(item, bytes)]) == (2 if client else 4)
    assert any("Ended" in text for text in texts)
    with codec(backend):
        assert outcome(kind, parts, cuts, client=client) == expected


@pytest.mark.parametrize("kind", KINDS)
@given(cuts, backends, st.data())
@some
def test_any_split_of_a_broken_session_gives_the_same(
    kind: str, cuts: list[int], backend: str, data: st.DataObject
) -> None:
    """The same for a session that is cut short, or has one byte changed: the fault, its
    text and the messages before it do not depend on the grouping either."""
    *parts, last = session(kind)[0]
    if data.draw(st.booleans()):
        last = last[: data.draw(st.integers(0, len(last)))]
    else:
        place = data.draw(st.integers(0, len(last) - 1))
        changed = last[place] ^ data.draw(st.integers(1, 255))
        last = last[:place] + bytes([changed]) + last[place + 1 :]
    with codec("python"):
        expected = outcome(kind, (*parts, last), [], client=False)
    with codec(backend):
        assert outcome(kind, (*parts, last), cuts, client=False) == expected


def step_of(kind: str) -> int:
    """Return the distance of the places to look at."""
    return 37 if kind in PATTERNS and PATTERNS[kind].post_quantum else 1


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("client", [True, False])
def test_each_place_to_split_gives_the_same(kind: str, client: bool) -> None:
    """One cut in each part, at every byte of it; then all of them at once. Of the long messages
    of the hybrids, at some bytes."""
    parts = session(kind, size=1)[1 if client else 0]
    whole = outcome(kind, parts, [], client=client)
    longest = max(map(len, parts))
    for place in range(1, longest, step_of(kind)):
        assert outcome(kind, parts, [place], client=client) == whole, f"cut at byte {place}"
    assert outcome(kind, parts, list(range(longest)), client=client) == whole


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("client", [True, False])
def test_each_place_to_end_is_noticed(kind: str, client: bool) -> None:
    """The stream ends after each byte: what was whole is delivered, and then there is a fault,
    unless there had been nothing but whole messages, after which nobody announces an end."""
    parts = session(kind, size=1)[1 if client else 0]
    messages = [item for item in outcome(kind, parts, [], client=client) if type(item) is bytes]
    total = sum(map(len, parts))
    for size in range(0, total, step_of(kind)):
        peer = fresh(kind)[0 if client else 1]
        peer.take()
        rest = size
        for part in parts:
            peer.read(part[:rest])
            rest = max(0, rest - len(part))
        boundary = (
            peer.protocol.phase in (Phase.FIRST, Phase.PACKETS) and not peer.protocol._pending
        )
        peer.end()
        assert peer.messages == messages[: len(peer.messages)]
        assert isinstance(peer.events[-1], Ended if boundary else Failed), f"after {size} bytes"
        assert len(peer.events_of(Failed)) + len(peer.events_of(Ended)) == 1


# Garbage


def at_welcome() -> tuple[Peer, Peer]:
    return plain(client=True, extended=True), plain(client=False)


def at_first_record() -> tuple[Peer, Peer]:
    client, server = sealed(client=True), sealed(client=False)
    server.read(client.take())
    return server, client


def sealing(pattern: Pattern) -> tuple[Peer, Peer]:
    """Return a client whose first message is on its way, and the server that has read it."""
    client, server = sealed(client=True, pattern=pattern), sealed(client=False, pattern=pattern)
    server.read(client.take())
    return client, server


STARTS: dict[str, Callable[[], tuple[Peer, Peer]]] = {
    "packets client": lambda: (plain(client=True), plain(client=False)),
    "first": lambda: (plain(client=False), plain(client=True)),
    "welcome": at_welcome,
    "extended": extended_pair,
    "sealing client": lambda: (sealed(client=True), sealed(client=False)),
    "sealing server": lambda: (sealed(client=False), sealed(client=True)),
    "first record": at_first_record,
    "sealed": sealed_pair,
    "sealing XK": lambda: sealing(Pattern.XK)[::-1],
    "sealing XX client": lambda: sealing(Pattern.XX),
    "sealing XX server": lambda: sealing(Pattern.XX)[::-1],
    "sealed XK": lambda: sealed_pair(Pattern.XK),
    "sealed XX": lambda: sealed_pair(Pattern.XX)[::-1],
    "sealing NNhfs client": lambda: sealing(Pattern.NNHFS_PSK0),
}

valid = st.one_of(
    st.sampled_from([HELLO, WELCOME, CLOSE]),
    st.binary(max_size=60).map(message),
    st.builds(control.frame, st.integers(0, 255), st.binary(max_size=60)),
    st.builds(control.frame, st.sampled_from(list(Opcode)), st.binary(max_size=12)),
    st.just(control.frame(Opcode.HANDSHAKE, b"sealfram\x01\x01" + bytes(48))),
    st.integers(0, 2**32 - 1).map(lambda head: head.to_bytes(4, "little")),
)
garbage = st.lists(valid | st.binary(max_size=80), max_size=8)


def check_survival(peer: Peer, reads: list[bytes]) -> None:
    """Check that no read raises, and that a fault is the last thing that happens."""
    for data in reads:
        delivered = len(peer.messages)
        failed = peer.error is not None
        peer.read(data)
        if failed:
            assert len(peer.messages) == delivered
        assert (peer.protocol.phase is Phase.FAILED) == (peer.error is not None)
    peer.take()
    peer.end()
    peer.protocol.receive_loss(None)
    peer.note()
    if peer.error is not None:
        assert isinstance(peer.events[-1], Failed)
        assert peer.take() == b""


@pytest.mark.parametrize("start", STARTS)
@given(garbage, backends)
@example([HELLO, HELLO], "python")
@example([b"\x00\x00\x00\x80", message(b"after")], "python")
def test_garbage_never_raises_and_nothing_is_delivered_after_the_fault(
    start: str, reads: list[bytes], backend: str
) -> None:
    """Random bytes, random frames and true frames in a wrong order: whatever a peer did
    becomes one Failed event at most, the last of all, and no message comes after it."""
    with codec(backend):
        peer, _ = STARTS[start]()
        check_survival(peer, reads)


@given(garbage, backends, st.booleans())
def test_garbage_inside_the_seal_does_no_more_harm(
    reads: list[bytes], backend: str, hello: bool
) -> None:
    """From a holder of the key: each piece in a record of its own, before or after HELLO."""
    with codec(backend):
        if hello:
            other, peer = sealed_pair()
        else:
            other, peer = sealed(client=True), sealed(client=False)
            peer.read(other.take())
            other.read(peer.take())
        seal = other.protocol.records
        assert seal is not None
        check_survival(peer, [b"".join(seal.seal(data)) for data in reads])
