"""Random operations, on both backends at once.

The invariants. For each sequence of operations:

1. Both give the same after each one: results, errors, who was asked, cost and length.
2. A plain list of what should be there agrees with both.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from example_counts import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from .fake_connection import OVERHEAD, FakeConnection

if TYPE_CHECKING:
    from types import ModuleType

Step = tuple[Any, ...]

relaxed = settings(max_examples=examples(200), deadline=None)
messages = st.binary(max_size=6) | st.sampled_from([bytes(63), bytes(500), bytes(5000)])
# Some of them are more than the queue keeps of what was taken.
batches = st.lists(messages, max_size=6) | st.sampled_from(
    [[bytes([n % 256]) for n in range(count)] for count in (700, 1024, 2500)]
)
marks = st.sampled_from([-1, 0, 63, 64, 65, 128, 500, 5000])
places = st.integers(0, 5)
steps_of_calls = st.one_of(
    st.tuples(st.just("step"), places, st.sampled_from([None, None, None, 5])),
    st.tuples(st.just("throw"), places),
    st.tuples(st.just("close"), places),
)


def outcome(function: Any) -> Any:
    """Return what it returns or raises, in a form that can be compared."""
    try:
        return function()
    except StopIteration as stop:
        return ("returned", stop.value)
    except (Exception, StopAsyncIteration) as error:  # noqa: BLE001 - any difference is a failure
        return (type(error), str(error))


class Bench:
    """A connection of one of the backends, and calls that are under way on it."""

    def __init__(self, backend: ModuleType) -> None:
        self.conn = FakeConnection(backend)
        self.conn.ended = True  # so that nothing waits
        self.conn.limit = 1 << 60
        self.calls: list[Any] = []
        self.iterator = aiter(self.conn)

    def run(self, step: Step) -> Any:
        """Do one operation; return all that can be seen of it."""
        self.conn.asked.clear()
        name, *arguments = step
        result = outcome(lambda: getattr(self, name)(*arguments))
        return result, list(self.conn.asked), self.state()

    def state(self) -> tuple[int, ...]:
        conn = self.conn
        return (
            len(conn.receive_queue),
            conn.receive_queue.queued_bytes,
            len(conn.send_queue),
            conn.send_queue.queued_bytes,
            conn.send_queue.due,
        )

    def finish(self) -> tuple[list[bytes], list[bytes]]:
        for call in self.calls:
            call.close()
        return self.conn.receive_queue.pop_many(None), self.conn.written()

    # Calls

    def make(self, call: Any) -> None:
        self.calls.append(call)

    def step(self, place: int, value: object) -> Any:
        return self.call(place).send(value)

    def throw(self, place: int) -> Any:
        return self.call(place).throw(KeyError("thrown"))

    def close(self, place: int) -> Any:
        return self.call(place).close()

    def call(self, place: int) -> Any:
        return self.calls[-1 - place] if place < len(self.calls) else iter(())

    # In

    def arrive(self, batch: list[bytes]) -> None:
        self.conn.arrive(*batch)

    def pop(self) -> Any:
        return self.conn.receive_queue.pop()

    def peek(self) -> Any:
        return self.conn.receive_queue.peek()

    def pop_many(self, limit: int | None) -> Any:
        return self.conn.receive_queue.pop_many(limit)

    def recv(self, count: int) -> Any:
        return [outcome(lambda: self.conn.recv().send(None)) for _ in range(count)]

    def next(self, count: int) -> Any:
        return [outcome(lambda: anext(self.iterator).send(None)) for _ in range(count)]

    def make_recv(self) -> None:
        self.make(self.conn.recv())

    def low_water(self, mark: int) -> None:
        self.conn.receive_queue.low_water = mark

    # Out

    def send(self, message: object) -> Any:
        return self.conn.send(message).send(None)

    def make_send(self, message: object) -> None:
        self.make(self.conn.send(message))

    def offer(self, batch: list[Any]) -> Any:
        return self.conn.send_queue.offer(batch)

    def append(self, message: bytes) -> None:
        self.conn.send_queue.append(message)

    def extend(self, batch: list[bytes]) -> None:
        self.conn.send_queue.extend(batch)

    def take(self, size: int) -> Any:
        return self.conn.send_queue.take(size)

    def clear(self) -> Any:
        return self.conn.send_queue.clear()

    def limits(self, mark: int, smallest: int, largest: int, scheduled: bool) -> None:
        queue = self.conn.send_queue
        queue.high_water, queue.smallest, queue.largest = mark, smallest, largest
        queue.scheduled = scheduled


incoming = st.lists(
    st.one_of(
        st.tuples(st.just("arrive"), batches),
        st.tuples(st.just("arrive"), batches),
        st.tuples(st.just("pop")),
        st.tuples(st.just("peek")),
        st.tuples(st.just("pop_many"), st.none() | st.integers(0, 4) | st.integers(1000, 1100)),
        st.tuples(st.just("recv"), st.sampled_from([1, 1, 2, 1023, 1025])),
        st.tuples(st.just("next"), st.sampled_from([1, 1, 2, 1023, 1025])),
        st.tuples(st.just("make_recv")),
        st.tuples(st.just("low_water"), marks),
        steps_of_calls,
    ),
    max_size=30,
)
others = st.sampled_from([bytearray(b"other"), memoryview(b"other"), 5])
outgoing = st.lists(
    st.one_of(
        st.tuples(st.just("send"), messages | others),
        st.tuples(st.just("send"), messages),
        st.tuples(st.just("make_send"), messages | others),
        st.tuples(st.just("offer"), st.lists(messages | others, max_size=4) | batches),
        st.tuples(st.just("append"), messages),
        st.tuples(st.just("extend"), batches),
        st.tuples(st.just("take"), st.sampled_from([0, 1, 64, 65, 300, 5000, 70_000, 1 << 40])),
        st.tuples(st.just("clear")),
        st.tuples(
            st.just("limits"),
            st.sampled_from([0, 1, 64, 300, 5000, 1 << 40]),
            st.integers(0, 3),
            st.sampled_from([0, 3, 63, 5000]),
            st.booleans(),
        ),
        steps_of_calls,
    ),
    max_size=30,
)


@given(steps=incoming)
@relaxed
def test_both_take_the_same(backends: tuple[ModuleType, ModuleType], steps: list[Step]) -> None:
    first, second = map(Bench, backends)
    for step in steps:
        assert first.run(step) == second.run(step)
    assert first.finish() == second.finish()


@given(steps=outgoing)
@relaxed
def test_both_accept_the_same(backends: tuple[ModuleType, ModuleType], steps: list[Step]) -> None:
    first, second = map(Bench, backends)
    for step in steps:
        assert first.run(step) == second.run(step)
    assert first.finish() == second.finish()


@given(steps=incoming)
@relaxed
def test_what_arrived_comes_out_once_and_in_order(backend: ModuleType, steps: list[Step]) -> None:
    bench = Bench(backend)
    arrived: list[bytes] = []
    taken: list[bytes] = []
    for step in steps:
        if step[0] == "arrive":
            arrived += step[1]
        result, _, state = bench.run(step)
        match step[0], result:
            case ("pop" | "step", bytes(message)) | ("step", ("returned", bytes(message))):
                taken.append(message)
            case "pop_many", list(many):
                taken += many
            case (("recv" | "next"), list(many)):
                taken += [value for kind, value in many if kind == "returned"]
            case "peek", bytes(message):
                assert message == arrived[len(taken)]
        waiting = arrived[len(taken) :]
        assert taken == arrived[: len(taken)]
        assert state[:2] == (len(waiting), sum(map(len, waiting)) + OVERHEAD * len(waiting))
    assert bench.finish()[0] == arrived[len(taken) :]
