"""The books find what they are for."""

from __future__ import annotations

import pytest

from .books import Blocks, Books, Files, Finding, Requests, Sequence


def _sent(sequence: Sequence | Blocks, count: int) -> list[bytes]:
    messages = []
    for _ in range(count):
        messages.append(sequence.next())
        sequence.accept()
    return messages


def test_all_once_and_in_order() -> None:
    books = Books(1)
    sequence = Sequence(books, "message", "up")
    messages = _sent(sequence, 300)
    assert len(set(messages)) == 300
    for message in messages[:-1]:
        sequence.arrive(message)
    complete = [sequence.complete]
    sequence.arrive(messages[-1])
    complete.append(sequence.complete)
    assert complete == [False, True]
    sequence.settle()
    books.check()
    assert books.arrived == {"message": 300}


@pytest.mark.parametrize(
    ("order", "found"),
    [
        ([0, 1, 3, 4], {Finding.LOST: 1}),
        ([0, 1, 2], {Finding.LOST: 2}),
        ([0, 1, 2, 2, 3, 4], {Finding.DOUBLED: 1}),
        ([0, 1, 2, 3, 4, 0], {Finding.DOUBLED: 1}),
        ([0, 2, 1, 3, 4], {Finding.OUT_OF_ORDER: 1}),
        ([0, 2, 1, 1, 4], {Finding.OUT_OF_ORDER: 1, Finding.DOUBLED: 1, Finding.LOST: 1}),
    ],
)
def test_what_is_lost_doubled_or_out_of_order(order: list[int], found: dict[Finding, int]) -> None:
    books = Books(2)
    sequence = Sequence(books, "message", "up")
    messages = _sent(sequence, 5)
    for number in order:
        sequence.arrive(messages[number])
    sequence.settle()
    assert books.found == found
    with pytest.raises(AssertionError, match="seed 2: "):
        books.check()


def test_what_nobody_sent() -> None:
    books = Books(3)
    sequence = Sequence(books, "message", "up")
    # Its send was cancelled, and it arrived all the same.
    sequence.arrive(sequence.next())
    sequence.settle()
    assert books.found == {Finding.NOT_SENT: 1}


@pytest.mark.parametrize(
    "change", [lambda m: m[:-1], lambda m: b"", lambda m: m[:8] + b"\1" + m[9:]]
)
def test_what_is_damaged(change: object) -> None:
    books = Books(4)
    sequence = Sequence(books, "message", "up")
    (message,) = _sent(sequence, 1)
    sequence.arrive(change(message))  # type: ignore[operator]
    assert books.found == {Finding.DAMAGED: 1}


def test_messages_of_another_sequence_are_damaged() -> None:
    books = Books(5)
    (message,) = _sent(Sequence(books, "message", "up"), 1)
    Sequence(books, "message", "down").arrive(message)
    assert books.found == {Finding.DAMAGED: 1}


@pytest.mark.parametrize("step", [1, 13, 100_000])
def test_blocks_in_any_pieces(step: int) -> None:
    books = Books(6)
    blocks = Blocks(Sequence(books, "block", "stream", longest=5000))
    data = b"".join(_sent(blocks, 30))
    for at in range(0, len(data), step):
        blocks.arrive(data[at : at + step])
    blocks.settle()
    books.check()
    assert books.arrived == {"block": 30}


def test_a_stream_that_ends_within_a_block() -> None:
    books = Books(7)
    blocks = Blocks(Sequence(books, "block", "stream"))
    blocks.arrive(b"".join(_sent(blocks, 3))[:-1])
    blocks.settle()
    assert books.found == {Finding.DAMAGED: 1, Finding.LOST: 1}


def test_requests() -> None:
    books = Books(8)
    requests = Requests(books, "up")
    for _ in range(50):
        number, payload = requests.next()
        requests.reply(number, payload, requests.answer(payload))
    # Given up: one of them ran.
    requests.answer(requests.next()[1])
    requests.next()
    requests.settle()
    books.check()
    assert books.arrived == {"request": 50}
    requests.answer(payload)
    requests.reply(number, payload, b"x")
    requests.reply(number, payload, requests.answer(payload))
    number, payload = requests.next()
    requests.reply(number, payload, b"up" + payload[::-1])
    requests.settle()
    assert books.found == {Finding.DOUBLED: 3, Finding.DAMAGED: 1, Finding.NOT_SENT: 1}


def test_files() -> None:
    books = Books(9)
    files = Files(books, "up")
    received = dict(files.next() for _ in range(6))
    files.settle(received)
    books.check()
    assert books.arrived == {"file": 6}
    received["up 3"] += b"x"
    received["up 7"] = received.pop("up 2")
    files.settle(received)
    assert books.found == {Finding.LOST: 1, Finding.DAMAGED: 1, Finding.NOT_SENT: 1}
