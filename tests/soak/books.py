"""The books of what was sent and what arrived: each thing exactly once, and in order.

Whatever goes over a connection has a number, a checksum, and bytes that follow from the seed. So
the books at the receiving end need nothing of the sending end but how much it sent.
"""

from __future__ import annotations

import hashlib
import random
import zlib
from collections import Counter
from enum import Enum
from typing import Final

_HEAD: Final = 12
"""Bytes before the filling: a checksum of all that follows, and the number."""
_EXAMPLES: Final = 10


class Finding(Enum):
    """What is wrong with something that was sent."""

    LOST = "it never arrived"
    DOUBLED = "it arrived again"
    OUT_OF_ORDER = "it arrived after what was sent later"
    DAMAGED = "something else arrived"
    NOT_SENT = "it arrived, though it was never accepted"
    FAILED = "its sender was told that it failed"


class Books:
    """What was found, of all that goes over some connections.

    :param seed: makes every run the same; it is named in what is said of a finding
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.found: Counter[Finding] = Counter()
        self.examples: list[str] = []
        """The first that were found."""
        self.arrived: Counter[str] = Counter()
        """How many of each kind arrived, as they should."""

    def report(self, finding: Finding, what: str) -> None:
        """Write down that something is not as it should be."""
        self.found[finding] += 1
        if len(self.examples) < _EXAMPLES:
            self.examples.append(f"{what}: {finding.value}")

    def rng(self, *name: object) -> random.Random:
        """Return the random numbers that belong to a name."""
        return random.Random(f"{self.seed} {name}")

    def check(self) -> None:
        """Fail with all that was found, and the seed."""
        assert not self.found, "\n".join([f"seed {self.seed}: {self.counts()}", *self.examples])

    def counts(self) -> str:
        """Return how often each finding was made, those that never were included."""
        return ", ".join(f"{self.found[each]} {each.name.lower()}" for each in Finding)


class Sequence:
    """Numbered messages in one direction.

    :param name: what it is called in what is found; each has its own, and a message of one is
        damaged for another
    :param longest: bytes of the longest message; most are short
    """

    def __init__(self, books: Books, kind: str, name: str, *, longest: int = 100_000) -> None:
        self.sent = 0
        """How many were accepted, which only :meth:`accept` counts."""
        self._books = books
        self._kind = kind
        self._name = name
        self._longest = longest
        self._expected = 0
        self._missing: set[int] = set()

    # At the end that sends

    def next(self) -> bytes:
        """Return the message that is to be sent, the same one until it was accepted."""
        return self._message(self.sent)

    def accept(self) -> None:
        """Take in that the last one was accepted."""
        self.sent += 1

    def _message(self, number: int) -> bytes:
        size = self._books.rng(self._name, number).choices(
            (0, 40, 128, 1000, 4096, self._longest), (2, 30, 40, 20, 7, 1)
        )[0]
        body = number.to_bytes(8, "little") + filling(number, size)
        return zlib.crc32(body, zlib.crc32(self._name.encode())).to_bytes(4, "little") + body

    # At the end that receives

    @property
    def complete(self) -> bool:
        """Whether all that was sent arrived."""
        return self._expected >= self.sent and not self._missing

    def arrive(self, message: bytes) -> None:
        """Take in a message."""
        number = int.from_bytes(message[4:_HEAD], "little")
        crc = zlib.crc32(message[4:], zlib.crc32(self._name.encode()))
        if len(message) < _HEAD or crc != int.from_bytes(message[:4], "little"):
            self._report(Finding.DAMAGED, self._expected)
        elif number == self._expected:
            self._expected += 1
            self._books.arrived[self._kind] += 1
        elif number > self._expected:
            self._missing.update(range(self._expected, number))
            self._expected = number + 1
        elif number in self._missing:
            self._missing.remove(number)
            self._report(Finding.OUT_OF_ORDER, number)
        else:
            self._report(Finding.DOUBLED, number)

    def settle(self) -> None:
        """Take in that nothing follows."""
        for number in [*sorted(self._missing), *range(self._expected, self.sent)]:
            self._report(Finding.LOST, number)
        for number in range(self.sent, self._expected):
            self._report(Finding.NOT_SENT, number)

    def _report(self, finding: Finding, number: int) -> None:
        self._books.report(finding, f"{self._kind} {number} of {self._name}")


class Blocks:
    """Numbered blocks on a stream: the messages of a sequence, each behind its length."""

    def __init__(self, sequence: Sequence) -> None:
        self._sequence = sequence
        self._rest = bytearray()

    def next(self) -> bytes:
        """Return what is to be written, the same until it was accepted."""
        block = self._sequence.next()
        return len(block).to_bytes(4, "little") + block

    def accept(self) -> None:
        """Take in that the last one was accepted."""
        self._sequence.accept()

    def arrive(self, data: bytes) -> None:
        """Take in what was read."""
        rest = self._rest
        rest += data
        while len(rest) >= 4:
            end = 4 + int.from_bytes(rest[:4], "little")
            if len(rest) < end:
                break
            self._sequence.arrive(bytes(rest[4:end]))
            del rest[:end]

    def settle(self) -> None:
        """Take in the end of the stream."""
        if self._rest:
            self._sequence.arrive(b"")
        self._sequence.settle()


class Requests:
    """Requests in one direction, which may be given up: then they run once or never."""

    def __init__(self, books: Books, name: str) -> None:
        self.asked = 0
        """How many were made."""
        self._books = books
        self._name = name
        self._ran: Counter[int] = Counter()
        self._answered: Counter[int] = Counter()

    # At the end that asks

    def next(self) -> tuple[int, bytes]:
        """Return the number of a new request, and its payload."""
        number = self.asked
        self.asked += 1
        size = self._books.rng(self._name, number).choices((0, 50, 3000, 90_000), (5, 80, 14, 1))[0]
        body = number.to_bytes(8, "little") + filling(number, size)
        return number, zlib.crc32(body).to_bytes(4, "little") + body

    def reply(self, number: int, payload: bytes, reply: bytes) -> None:
        """Take in an answer."""
        self._answered[number] += 1
        if reply != self._transformed(payload):
            self._report(Finding.DAMAGED, number)
        elif self._answered[number] > 1:
            self._report(Finding.DOUBLED, number)
        else:
            self._books.arrived["request"] += 1

    # At the end that answers

    def answer(self, payload: bytes) -> bytes:
        """Run a request; return the answer."""
        number = int.from_bytes(payload[4:_HEAD], "little")
        if zlib.crc32(payload[4:]) != int.from_bytes(payload[:4], "little"):
            self._report(Finding.DAMAGED, number)
        self._ran[number] += 1
        if self._ran[number] > 1:
            self._report(Finding.DOUBLED, number)
        return self._transformed(payload)

    def settle(self) -> None:
        """Take in that all have ended."""
        for number in self._answered.keys() - self._ran.keys():
            self._report(Finding.NOT_SENT, number)
        for number in self._ran:
            if number >= self.asked:
                self._report(Finding.NOT_SENT, number)

    def _transformed(self, payload: bytes) -> bytes:
        return self._name.encode() + payload[::-1]

    def _report(self, finding: Finding, number: int) -> None:
        self._books.report(finding, f"request {number} of {self._name}")


class Files:
    """Files in one direction."""

    def __init__(self, books: Books, name: str) -> None:
        self._books = books
        self._name = name
        self._sent: dict[str, bytes] = {}

    def next(self) -> tuple[str, bytes]:
        """Return the name of a new file, and what is in it."""
        number = len(self._sent)
        rng = self._books.rng(self._name, number)
        data = filling(number, rng.choices((0, 5000, 150_000, 1_500_000), (5, 45, 45, 5))[0])
        name = f"{self._name} {number}"
        self._sent[name] = hashlib.sha256(data).digest()
        return name, data

    def settle(self, received: dict[str, bytes]) -> None:
        """Take in all files that are there, whole or not."""
        for name in self._sent.keys() | received.keys():
            if name not in received:
                self._report(Finding.LOST, name)
            elif name not in self._sent:
                self._report(Finding.NOT_SENT, name)
            elif hashlib.sha256(received[name]).digest() != self._sent[name]:
                self._report(Finding.DAMAGED, name)
            else:
                self._books.arrived["file"] += 1

    def _report(self, finding: Finding, name: str) -> None:
        self._books.report(finding, f"file {name}")


_NOISE: Final = random.Random(0).randbytes(1 << 16)


def filling(number: int, size: int) -> bytes:
    """Return bytes that are others for another number, at next to no cost."""
    start = number * 7919 % (1 << 15)
    if size <= 1 << 15:
        return _NOISE[start : start + size]
    once = _NOISE[start:] + _NOISE[:start]
    return (once * (size // len(once) + 1))[:size]
