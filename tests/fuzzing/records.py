"""Fuzz target: the sealed stream, from the first record on.

The fuzzer holds the peer's keys and owns the link: it chooses the plaintext inside the records,
well formed or not, and changes, drops, repeats, swaps and cuts the records. The same plaintext
also goes to an extended connection without a seal. Invariants:

1. Nothing the victim receives makes it raise; there is at most one fault, and after it nothing.
2. What counts as received is the plaintext of those records that came as they were written,
   up to the first that did not. Of it the victim makes exactly what the connection without a
   seal makes: the same messages, the same events, the same fault, the same answers.
3. A whole record that is not the one that was written next is a fault.
4. Before the introductions are over there is no other connection to compare with. Then the
   victim becomes established only by an authentic HELLO or WELCOME that comes first, and
   delivers nothing before.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from core.peers import exchange, extended_pair, frames, records

from sealframe import wire
from sealframe.core.events import Event, Failed
from sealframe.errors import ConnectionClosedError, ProtocolError
from sealframe.wire import Opcode, control
from sealframe.wire.control import Close

from .ends import ANNOUNCED, PATTERNS, SHARED, finish, known_keys, pair, read, records_of

if TYPE_CHECKING:
    from core.peers import Peer

    from .choices import Choices

_OPCODES: Final = tuple(Opcode)
_KEEP, _CHANGE, _DROP, _REPEAT, _SWAP, _CUT, _INSERT = range(7)


class _Link:
    """What a holder of the keys writes, and what an attacker makes of it on the way."""

    def __init__(self, choices: Choices, writer: Peer) -> None:
        self.plaintexts: list[bytes] = []
        written: list[bytes] = []
        link: list[bytes] = []
        sizes = [choices.number(1 << 10) + 1 for _ in range(1 + choices.number(4))]
        while choices.more and len(written) < 64:
            plaintext = _plaintext(choices)
            if not plaintext:
                continue
            record = b"".join(records_of(writer).seal(plaintext))
            self.plaintexts.append(plaintext)
            written.append(record)
            _transmit(choices, record, link)
        data = b"".join(link)
        self.authentic = _authentic(written, data)
        """How many records arrive as they were written, from the first on."""
        self.forged = _is_fault(data[sum(map(len, written[: self.authentic])) :])
        """Whether what comes after those can be seen to be wrong."""
        self.reads = _reads(data, sizes)


def check(choices: Choices) -> None:
    """Run one stream."""
    attack_client = bool(choices.number(2))
    pattern = PATTERNS[choices.number(len(PATTERNS))]
    introduced = choices.number(4) != 3
    with known_keys():
        client, server = pair(pattern)
        server.read(client.take())
        client.read(server.take())
        if pattern not in SHARED:
            # Message 3, without the HELLO that is written along with it.
            server.read(b"".join(records_of(client).output))
            records_of(client).output = ()
    victim, writer = (client, server) if attack_client else (server, client)
    if introduced:
        exchange(client, server)
        _check_established(choices, victim, writer)
    else:
        _check_introduction(choices, victim, writer)
    finish(victim)
    assert victim.take() == b""


def _check_introduction(choices: Choices, victim: Peer, writer: Peer) -> None:
    """What comes first inside the seal: HELLO from a client, WELCOME from a server."""
    link = _Link(choices, writer)
    for data in link.reads:
        read(victim, data)
        assert victim.established() or not victim.messages
    opcode = Opcode.WELCOME if victim.protocol.client else Opcode.HELLO
    first = b"".join(link.plaintexts[: link.authentic])
    if victim.established():
        assert first[4:13] == bytes([opcode]) + wire.MAGIC
    if link.forged:
        assert victim.error is not None, "a forged record was not noticed"
    victim.take()


def _check_established(choices: Choices, victim: Peer, writer: Peer) -> None:
    """The connection is established; beside it the same without a seal."""
    model = extended_pair(**ANNOUNCED)[0 if victim.protocol.client else 1]
    # Up to the next change of keys it is a long way; half of all runs start just before it.
    if choices.number(2):
        _skip_to_rekey(writer, victim)
    link = _Link(choices, writer)
    known, model_known = len(victim.events), len(model.events)
    for data in link.reads:
        read(victim, data)
    for plaintext in link.plaintexts[: link.authentic]:
        read(model, plaintext)

    happened, expected = _look(victim.events[known:]), _look(model.events[model_known:])
    assert victim.messages == model.messages
    if model.error is None and link.forged:
        assert isinstance(victim.error, ProtocolError), "a forged record was not noticed"
        del happened[-1]
    assert happened == expected
    answers = victim.take()
    if link.forged:
        # Its answer to what came before is lost where both came in one read.
        assert model.error is not None or not answers
    else:
        assert _answers(_opened(answers, writer)) == _answers(frames(model.take()))


def _plaintext(choices: Choices) -> bytes:
    """Return what one record holds: a frame of some kind, or any bytes at all."""
    kind = choices.number(5)
    if kind == 0:
        message = choices.piece()
        return len(message).to_bytes(4, "little") + message
    if kind == 1:
        return control.frame(choices.number(256), choices.piece())
    if kind == 2:
        opcode = _OPCODES[choices.number(len(_OPCODES))]
        # Those that count are about streams and requests, which have numbers.
        counted = opcode & wire.OPCODE_COUNTED
        number = choices.number(4).to_bytes(8, "little") if counted else b""
        return control.frame(opcode, number + choices.piece())
    if kind == 3:
        # Of a message that needs several records.
        size = choices.number(1 << 16)
        return size.to_bytes(4, "little") + bytes(size)[: wire.MAX_RECORD_PLAINTEXT - 4]
    return choices.piece()


def _transmit(choices: Choices, record: bytes, link: list[bytes]) -> None:
    """Put a record on the link, or whatever else the attacker makes of it."""
    action = choices.number(16)
    if action == _CHANGE:
        place = choices.number(1 << 16) % len(record)
        changed = record[place] ^ choices.number(256)
        link.append(record[:place] + bytes([changed]) + record[place + 1 :])
    elif action == _REPEAT:
        link += [record, record]
    elif action == _SWAP:
        link.insert(max(0, len(link) - 1), record)
    elif action == _CUT:
        link.append(record[: choices.number(1 << 16) % len(record)])
    elif action == _INSERT:
        link += [choices.piece(), record]
    elif action != _DROP:
        link.append(record)


def _authentic(written: list[bytes], wire_bytes: bytes) -> int:
    """Return how many records arrive as they were written, from the first on."""
    place = 0
    for count, record in enumerate(written):
        if not wire_bytes.startswith(record, place):
            return count
        place += len(record)
    return len(written)


def _is_fault(rest: bytes) -> bool:
    """Return whether these bytes, which are not the next record, can be seen to be wrong."""
    if len(rest) < wire.HEAD_SIZE:
        return False
    size = int.from_bytes(rest[: wire.HEAD_SIZE], "little")
    if not wire.MIN_RECORD <= size <= wire.MAX_RECORD:
        return True
    return len(rest) >= wire.HEAD_SIZE + size


def _reads(data: bytes, sizes: list[int]) -> list[bytes]:
    """Return the bytes in reads of these sizes, the last of them over and over."""
    places = [0]
    for size in sizes:
        places.append(min(len(data), places[-1] + size))
    # No more than some hundred reads, or a long stream in small ones takes all the time.
    step = max(sizes[-1], len(data) // 300 + 1)
    places += [*range(places[-1], len(data), step), len(data)]
    return [data[start:end] for start, end in pairwise(sorted(set(places)))]


def _look(events: list[Event]) -> list[object]:
    """Return the events in a form in which those of both connections are equal."""
    return [_fault(event.error) if isinstance(event, Failed) else event for event in events]


def _fault(error: ConnectionClosedError) -> object:
    return type(error), error.code, error.reason


def _opened(data: bytes, reader: Peer) -> list[bytes | wire.Control]:
    receiver = records_of(reader).receiver
    assert receiver is not None
    return frames(b"".join(map(receiver.open, records(data))))


def _answers(found: list[bytes | wire.Control]) -> list[object]:
    """Return the frames, CLOSE without its text: plain ones say more about a wrong peer."""
    return [
        replace(Close.decode(frame.body), reason="")
        if isinstance(frame, wire.Control) and frame.opcode == Opcode.CLOSE
        else frame
        for frame in found
    ]


def _skip_to_rekey(writer: Peer, victim: Peer) -> None:
    """Let both count as if many records had gone by."""
    sender, receiver = records_of(writer).sender, records_of(victim).receiver
    assert sender is not None
    assert receiver is not None
    sender.set_nonce(wire.REKEY_INTERVAL - 2)
    receiver.set_nonce(wire.REKEY_INTERVAL - 2)
