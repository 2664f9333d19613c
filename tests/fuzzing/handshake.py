"""Fuzz target: the handshake, the client's end and the server's, under attack.

An honest peer and a victim talk over a link that the fuzzer owns in the direction of the
victim: it may change, drop, repeat and insert bytes, and cut reads where it likes. The honest
peer may also have a wrong key, one that the server does not know, or another context. Invariants:

1. Nothing the victim receives makes it raise; there is at most one fault, and after it nothing.
2. The victim becomes established only if the bytes it received begin with exactly those that
   a peer with the right key wrote.
3. If they are exactly those, both ends become established with the same handshake hash.
4. No message is ever delivered, because the honest peer sends none.
5. Of a peer that has not proved its key it holds at most 1,280 bytes, and all that it writes
   outside records is handshake messages and at most one CLOSE, which is one of three fixed ones.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from core.peers import frames

from sealframe import wire
from sealframe.errors import HandshakeError
from sealframe.wire import CloseCode, Opcode
from sealframe.wire.control import Close

from .ends import PATTERNS, finish, known_keys, pair, read, records_of

if TYPE_CHECKING:
    from core.peers import Peer

    from .choices import Choices

_CLOSES: Final = [
    Close(code).encode() for code in (CloseCode.REFUSED, CloseCode.VERSION, CloseCode.SEALED)
]
_GIVE, _GIVE_ALL, _CHANGE, _DROP, _INSERT, _REPEAT = range(6)


def check(choices: Choices) -> None:
    """Run one attack."""
    pattern = PATTERNS[choices.number(len(PATTERNS))]
    attack_client = bool(choices.number(2))
    who = choices.number(8)
    with known_keys():
        if who < 2:
            client, server = pair(pattern, stranger=who)
        elif who == 2:
            client, server = pair(pattern, context=b"another")
        else:
            client, server = pair(pattern)
        victim, honest = (client, server) if attack_client else (server, client)
        _Attack(victim, honest, right=who > 2).run(choices)


class _Attack:
    def __init__(self, victim: Peer, honest: Peer, *, right: bool) -> None:
        self.victim = victim
        self.honest = honest
        self.right = right
        self.records = records_of(victim)
        self.true = bytearray()
        """All that the honest peer wrote so far."""
        self.used = 0
        """How many of those bytes were given to the victim, or dropped."""
        self.got = bytearray()
        self.last = b""
        self.wrote = bytearray()
        self.carry()

    def run(self, choices: Choices) -> None:
        while choices.more:
            self.step(choices)
        if self.right and self.got == self.true[: len(self.got)] and self.victim.error is None:
            while len(self.got) < len(self.true):
                self.give(bytes(self.true[len(self.got) :]))
            assert self.victim.established()
            assert self.honest.established()
            assert self.victim.protocol.channel_binding == self.honest.protocol.channel_binding
            assert self.victim.protocol.channel_binding
        finish(self.victim)
        self.inspect()

    def step(self, choices: Choices) -> None:
        """Do one thing to the link."""
        action = choices.number(6)
        if action == _INSERT:
            self.give(choices.piece())
            return
        if action == _REPEAT:
            self.give(self.last)
            return
        waiting = len(self.true) - self.used
        count = waiting if action == _GIVE_ALL else min(choices.number(256), waiting)
        data = bytearray(self.true[self.used : self.used + count])
        if action == _CHANGE and data:
            data[choices.number(256) % count] ^= choices.number(256)
        self.used += count
        if action != _DROP:
            self.last = bytes(data)
            self.give(self.last)

    def give(self, data: bytes) -> None:
        read(self.victim, data)
        self.got += data
        self.inspect()
        self.carry()

    def carry(self) -> None:
        """Let what the victim wrote reach the honest peer, and note what that one answers."""
        written = self.victim.take()
        if not self.records.established:
            self.wrote += written
        self.honest.read(written)
        self.true += self.honest.take()

    def inspect(self) -> None:
        victim = self.victim
        assert victim.messages == []
        if victim.established():
            assert self.right, "a wrong key was let in"
            assert self.true, "nobody spoke"
            assert self.got[: len(self.true)] == self.true, "changed bytes were accepted"
            return
        # To a client, whoever finished the handshake has proved its key.
        if not victim.protocol.client or not self.records.established:
            assert self.records.pending <= wire.MAX_UNAUTHENTICATED
        if not self.records.established:
            assert victim.error is None or isinstance(victim.error, HandshakeError)
        for place, frame in enumerate(frames(bytes(self.wrote)), 1):
            assert isinstance(frame, wire.Control)
            if frame.opcode != Opcode.HANDSHAKE:
                assert frame.opcode == Opcode.CLOSE
                assert frame.body in _CLOSES
                assert place == len(frames(bytes(self.wrote)))
