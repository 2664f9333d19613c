"""Two peers that do as they please over a pipe that groups bytes as it pleases."""

from __future__ import annotations

from typing import ClassVar
from unittest import TestCase

from example_counts import examples
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from sealframe.core.events import Ended, GoingAway, Phase, Ponged
from sealframe.wire import CloseCode, Pattern
from sealframe.wire.control import Close

from .peers import PAIRS, Peer, exchange, plain, sealed

sides = st.sampled_from([0, 1])
payloads = st.one_of(
    st.binary(max_size=30),
    st.builds(
        lambda size, fill: bytes([fill]) * size, st.integers(0, 150_000), st.integers(0, 255)
    ),
)


class TwoPeers(RuleBasedStateMachine):
    """Everything accepted before the close arrives, once and in order, in all three modes.

    Each side has a queue of accepted messages, as a connection has its outbox, and a pipe
    towards the other. A peer sends once it is established; the pipe delivers any number of
    its bytes at a time; CLOSE, or FIN where only packets flow, goes after all messages.
    """

    kind: ClassVar[str]
    pattern: ClassVar[Pattern] = Pattern.NNPSK0

    def __init__(self) -> None:
        super().__init__()
        pair = (
            PAIRS["packets"]()
            if self.kind == "packets"
            else (plain(client=True, extended=True), plain(client=False))
            if self.kind == "extended"
            else (
                sealed(client=True, pattern=self.pattern),
                sealed(client=False, pattern=self.pattern),
            )
        )
        self.peers: tuple[Peer, Peer] = pair
        self.queues: tuple[list[bytes], list[bytes]] = ([], [])
        self.accepted: tuple[list[bytes], list[bytes]] = ([], [])
        self.pipes = (bytearray(), bytearray())
        self.pings: tuple[list[bytes], list[bytes]] = ([], [])
        self.goodbyes = [0, 0]
        self.closed = [False, False]
        self.ended = [False, False]
        self.codes = [0, 0]

    @initialize(early=st.lists(payloads, max_size=2))
    def speak_first(self, early: list[bytes]) -> None:
        """A plain server may send before it read anything."""
        if self.kind != "sealed":
            self.accept(1, early)

    def accept(self, side: int, messages: list[bytes]) -> None:
        self.queues[side].extend(messages)
        self.accepted[side].extend(messages)

    def can_send(self, side: int) -> bool:
        return not self.closed[side] and self.peers[side].established()

    @rule(side=sides, messages=st.lists(payloads, min_size=1, max_size=4))
    def send(self, side: int, messages: list[bytes]) -> None:
        """Accept messages."""
        if self.can_send(side):
            self.accept(side, messages)

    @precondition(lambda self: self.kind != "packets")
    @rule(side=sides, body=st.binary(max_size=8))
    def ping(self, side: int, body: bytes) -> None:
        """Queue a PING."""
        if self.can_send(side) and self.peers[side].protocol.extended:
            self.peers[side].protocol.ping(body)
            self.pings[side].append(body)

    @precondition(lambda self: self.kind != "packets")
    @rule(side=sides)
    def go_away(self, side: int) -> None:
        """Queue a GOAWAY."""
        if self.can_send(side) and self.peers[side].protocol.extended:
            self.peers[side].protocol.go_away(Close(CloseCode.GOING_AWAY, "soon"))
            self.goodbyes[side] += 1

    @rule(side=sides, count=st.integers(0, 3))
    def flush(self, side: int, count: int) -> None:
        """Frame some of what is accepted, and whatever else there is to write."""
        queue = self.queues[side]
        peer = self.peers[side]
        peer.send(*queue[:count])
        del queue[:count]
        self.pipes[1 - side].extend(peer.output)
        peer.output.clear()

    @rule(
        side=sides, size=st.integers(1, 200_000) | st.integers(1, 40), step=st.integers(1, 70_000)
    )
    def deliver(self, side: int, size: int, step: int) -> None:
        """Let bytes arrive, in reads of any size."""
        data = bytes(self.pipes[side][:size])
        del self.pipes[side][:size]
        self.peers[side].read(data, step=max(step, len(data) // 50))

    @rule(side=sides, code=st.sampled_from([0, 0, 1, 11]))
    def close(self, side: int, code: int) -> None:
        """Close: what is accepted goes first, then CLOSE, or the end of the stream."""
        if not self.can_send(side) or (
            self.kind != "packets" and not self.peers[side].protocol.extended
        ):
            return
        self.closed[side] = True
        self.codes[side] = code
        self.flush(side, len(self.queues[side]))
        self.peers[side].protocol.close(Close(code, "bye"))
        self.flush(side, 0)

    @rule(side=sides)
    def end(self, side: int) -> None:
        """Let the end of the stream arrive, where it has been written and all was read."""
        if self.closed[1 - side] and not self.pipes[side] and not self.ended[side]:
            self.ended[side] = True
            self.peers[side].end()

    @invariant()
    def nothing_is_lost_doubled_or_torn(self) -> None:
        """What arrived is a beginning of what was accepted, and no fault was seen."""
        for side in (0, 1):
            arrived = self.peers[side].messages
            assert arrived == self.accepted[1 - side][: len(arrived)]
            assert self.peers[side].error is None

    @invariant()
    def nothing_waits_after_a_close(self) -> None:
        """Once closed, and all written, there is nothing to say for ever."""
        for side in (0, 1):
            if self.closed[side]:
                assert not self.peers[side].protocol.has_output

    def teardown(self) -> None:
        """Let everything arrive, close both, and look at both ends."""
        for _ in range(6):
            for side in (0, 1):
                self.flush(side, len(self.queues[side]))
                self.deliver(1 - side, len(self.pipes[1 - side]) + 1, 65_536)
        for side in (0, 1):
            self.close(side, 0)
            assert self.closed[side]
        for side in (0, 1):
            self.deliver(side, len(self.pipes[side]) + 1, 65_536)
            self.end(side)
            assert self.ended[side]
        for side, peer in enumerate(self.peers):
            other = self.peers[1 - side]
            assert peer.error is None
            assert peer.messages == self.accepted[1 - side]
            assert peer.protocol.phase is Phase.ENDED
            assert len(peer.events_of(GoingAway)) == self.goodbyes[1 - side]
            (ended,) = peer.events_of(Ended)
            if self.kind == "packets":
                assert ended.close is None
                continue
            assert ended.close is not None
            assert ended.close.code == self.codes[1 - side]
            # Each counts what it received until it wrote CLOSE.
            assert ended.close.frames_received is not None
            assert ended.close.frames_received <= other.protocol.frames_received
            assert other.protocol.frames_received == len(self.accepted[side])
            # Of several PINGs at once only the newest is answered, and none after CLOSE.
            ponged = [event.body for event in peer.events_of(Ponged)]
            pings = iter(self.pings[side])
            assert all(body in pings for body in ponged)


class AttackedPeers(TwoPeers):
    """The same with an attacker on the way, who changes, drops, doubles and cuts what passes.

    What arrives is a beginning of what was accepted; each side sees one fault at most, and
    after it nothing; and a change that got through is always noticed.
    """

    kind = "sealed"

    def __init__(self) -> None:
        super().__init__()
        self.wrote = (bytearray(), bytearray())
        """What was written to each side, and then what reached it."""
        self.got = (bytearray(), bytearray())
        self.at_fault: list[tuple[int, int] | None] = [None, None]
        self.harm = 0

    @initialize(late=st.booleans(), harm=st.integers(1, 2))
    def begin(self, late: bool, harm: int) -> None:
        """Let the attacker come before or after the handshake, to do that many things."""
        self.harm = harm
        if late:
            exchange(*self.peers)

    @rule(side=sides, count=st.integers(0, 3))
    def flush(self, side: int, count: int) -> None:
        before = len(self.pipes[1 - side])
        if self.peers[side].error is not None:
            count = 0
        super().flush(side, count)
        self.wrote[1 - side].extend(self.pipes[1 - side][before:])

    @rule(
        side=sides, size=st.integers(1, 200_000) | st.integers(1, 40), step=st.integers(1, 70_000)
    )
    def deliver(self, side: int, size: int, step: int) -> None:
        if self.ended[side]:
            self.pipes[side].clear()
        self.got[side].extend(self.pipes[side][:size])
        super().deliver(side, size, step)

    def can_harm(self, side: int) -> bool:
        """Return whether something is on its way; a few faults a run leave the rest to live."""
        possible = self.harm > 0 and bool(self.pipes[side])
        self.harm -= possible
        return possible

    @precondition(lambda self: self.harm and any(self.pipes))
    @rule(side=sides, place=st.integers(0, 300), bit=st.integers(0, 7))
    def change(self, side: int, place: int, bit: int) -> None:
        """Turn one bit over."""
        if self.can_harm(side):
            self.pipes[side][place % len(self.pipes[side])] ^= 1 << bit

    @precondition(lambda self: self.harm and any(self.pipes))
    @rule(side=sides, start=st.integers(0, 300), size=st.integers(1, 300))
    def drop(self, side: int, start: int, size: int) -> None:
        """Take some bytes out."""
        if self.can_harm(side):
            del self.pipes[side][start : start + size]

    @precondition(lambda self: self.harm and any(self.pipes))
    @rule(side=sides, start=st.integers(0, 300), size=st.integers(1, 300))
    def double(self, side: int, start: int, size: int) -> None:
        """Send some bytes again, at once."""
        if self.can_harm(side):
            again = self.pipes[side][start : start + size]
            self.pipes[side][start + size : start + size] = again

    @precondition(lambda self: self.harm and any(self.pipes))
    @rule(side=sides)
    def cut(self, side: int) -> None:
        """End the stream before all of it came."""
        if self.can_harm(side):
            self.stop(side)

    def stop(self, side: int) -> None:
        if not self.ended[side]:
            self.ended[side] = True
            self.pipes[side].clear()
            self.peers[side].end()

    @invariant()
    def nothing_is_lost_doubled_or_torn(self) -> None:
        """What arrived is a beginning of what was accepted; after a fault there is nothing."""
        for side, peer in enumerate(self.peers):
            assert peer.messages == self.accepted[1 - side][: len(peer.messages)]
            if peer.error is not None:
                seen = len(peer.messages), len(peer.events)
                assert self.at_fault[side] in (None, seen)
                self.at_fault[side] = seen

    @invariant()
    def nothing_waits_after_a_close(self) -> None:
        """A fault may still be told after a close: this holds without an attacker only."""

    def teardown(self) -> None:
        """Let everything arrive and end, and see that no change went unnoticed."""
        for _ in range(6):
            for side in (0, 1):
                self.flush(side, len(self.queues[side]))
                self.deliver(1 - side, len(self.pipes[1 - side]) + 1, 65_536)
        for side, peer in enumerate(self.peers):
            self.stop(side)
            self.nothing_is_lost_doubled_or_torn()
            if peer.error is None:
                # Only a part of a record may come after CLOSE; nobody looks at it.
                assert peer.protocol.phase is Phase.ENDED
                assert self.got[side].startswith(self.wrote[side])


class PacketPeers(TwoPeers):
    kind = "packets"


class ExtendedPeers(TwoPeers):
    kind = "extended"


class SealedPeers(TwoPeers):
    kind = "sealed"


class SealedPeersXK(SealedPeers):
    pattern = Pattern.XK


class SealedPeersXX(SealedPeers):
    pattern = Pattern.XX


class SealedPeersXKhfs(SealedPeers):
    pattern = Pattern.XKHFS


class AttackedPeersXK(AttackedPeers):
    pattern = Pattern.XK


class AttackedPeersXX(AttackedPeers):
    pattern = Pattern.XX


class AttackedPeersNNhfs(AttackedPeers):
    pattern = Pattern.NNHFS_PSK0


def case(machine: type[TwoPeers]) -> type[TestCase]:
    """Return the test of a machine, with fewer runs than usual: it is one of many kinds."""
    test: type[TestCase] = machine.TestCase
    test.settings = settings(max_examples=examples(40), deadline=None)  # type: ignore[attr-defined]
    return test


TestPackets = case(PacketPeers)
TestExtended = case(ExtendedPeers)
TestSealed = case(SealedPeers)
TestSealedXK = case(SealedPeersXK)
TestSealedXX = case(SealedPeersXX)
TestSealedXKhfs = case(SealedPeersXKhfs)
TestAttacked = case(AttackedPeers)
TestAttackedXK = case(AttackedPeersXK)
TestAttackedXX = case(AttackedPeersXX)
TestAttackedNNhfs = case(AttackedPeersNNhfs)
