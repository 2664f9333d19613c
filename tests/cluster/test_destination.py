"""What is on its way to one other server is bounded by what that one acknowledges."""

from __future__ import annotations

from sealframe.cluster.chunks import HEADER_SIZE, IncomingStreams, decode_ack, encode_ack
from sealframe.cluster.destination import HIGH_WATER, Destination
from sealframe.cluster.numbers import ACK_TIMEOUT, MAX_CHUNK, WINDOW

ID = bytes(range(8))
FRAME = bytes(MAX_CHUNK - HEADER_SIZE - 4)


def filled(chunks: int) -> Destination:
    destination = Destination(ID, MAX_CHUNK)
    for _ in range(chunks):
        destination.stream.add(FRAME)
    destination.collect()
    return destination


def popped(destination: Destination, now: float = 0.0) -> list[bytes]:
    chunks = []
    while (chunk := destination.pop(now)) is not None:
        chunks.append(chunk)
    return chunks


def test_no_more_than_the_window_is_on_its_way() -> None:
    window, more = WINDOW // MAX_CHUNK, HIGH_WATER // MAX_CHUNK
    destination = filled(window + more + 1)
    chunks = popped(destination)
    assert len(chunks) == window
    assert destination.waiting_bytes == (more + 1) * MAX_CHUNK
    assert not destination.free.is_set()
    number, end = destination.stream.position
    destination.acknowledge(number, 1, 0.0)
    chunks += popped(destination)
    assert len(chunks) == window + 1
    assert destination.free.is_set()
    destination.acknowledge(number, end, 0.0)
    chunks += popped(destination)
    assert destination.waiting_bytes == 0
    # All of it came, and in order.
    streams = IncomingStreams(MAX_CHUNK)
    assert sum(len(streams.feed(chunk)[1]) for chunk in chunks) == len(chunks)
    assert streams.position(ID) == (number, end)
    assert streams.lost == 0


def test_of_another_stream_nothing_is_acknowledged() -> None:
    destination = filled(WINDOW // MAX_CHUNK + 1)
    popped(destination)
    number, end = destination.stream.position
    destination.acknowledge(number + 1, end, 0.0)
    assert not popped(destination)


def test_what_is_never_acknowledged_is_taken_for_lost() -> None:
    destination = filled(WINDOW // MAX_CHUNK + 1)
    popped(destination, 10.0)
    assert not popped(destination, 10.0 + ACK_TIMEOUT / 2)
    assert len(popped(destination, 10.0 + ACK_TIMEOUT)) == 1


def test_an_acknowledgement_puts_that_off() -> None:
    destination = filled(WINDOW // MAX_CHUNK + 3)
    popped(destination, 10.0)
    destination.acknowledge(destination.stream.position[0], 1, 11.0)
    assert len(popped(destination, 11.0)) == 1
    assert not popped(destination, 10.0 + ACK_TIMEOUT)


def test_what_is_dropped() -> None:
    destination = filled(WINDOW // MAX_CHUNK + 9)
    popped(destination)
    destination.stream.add(b"one more")
    assert destination.drop() == 10
    assert destination.free.is_set()
    assert destination.waiting_bytes == 0
    destination.stream.add(b"after it")
    destination.collect()
    assert len(popped(destination)) == 1


def test_acknowledgements() -> None:
    ack = encode_ack(ID, (7, 2**40))
    assert decode_ack(ack) == (ID, 7, 2**40)
    assert decode_ack(ack[:-1]) is None
    assert decode_ack(ack + b"x") is None
    (chunk,) = popped(filled(1))
    assert decode_ack(chunk[:HEADER_SIZE]) is None
    assert decode_ack(bytes([2]) + ack[1:]) is None
