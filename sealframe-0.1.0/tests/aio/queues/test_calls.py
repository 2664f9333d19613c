"""What a call returns does what a coroutine does, step by step, whether it waits or not."""

from __future__ import annotations

import asyncio
import inspect
import sys
import threading
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from types import CoroutineType
from typing import TYPE_CHECKING, Any

import pytest

from .fake_connection import FakeConnection, finish

if TYPE_CHECKING:
    from types import FrameType, ModuleType

USED = "^cannot reuse already awaited coroutine$"
NEVER = "^coroutine '{}' was never awaited$"


def send_one(conn: FakeConnection) -> Any:
    return conn.send(b"sent")


def recv_one(conn: FakeConnection) -> Any:
    return conn.recv()


def next_one(conn: FakeConnection) -> Any:
    return anext(aiter(conn))


def make_ready(conn: FakeConnection) -> None:
    conn.arrive(b"arrived", b"later")


def make_wait(conn: FakeConnection) -> None:
    conn.send_queue.high_water = conn.limit = 0


def let_go(conn: FakeConnection) -> None:
    conn.limit = 1000
    conn.written()
    make_ready(conn)
    conn.wake()


calls = pytest.mark.parametrize("make", [send_one, recv_one, next_one])
waits = pytest.mark.parametrize("prepare", [make_ready, make_wait], ids=["at_once", "waits"])


def untouched(conn: FakeConnection, ready: bool) -> bool:
    return len(conn.send_queue) == 0 and len(conn.receive_queue) == 2 * ready


@calls
@waits
def test_it_is_a_coroutine_to_all_who_ask(
    conn: FakeConnection,
    make: Callable[[FakeConnection], Any],
    prepare: Callable[[FakeConnection], None],
) -> None:
    prepare(conn)
    call = make(conn)
    assert call.__name__
    assert call.__qualname__.endswith(call.__name__)
    for kind in (Coroutine, Awaitable):
        assert isinstance(call, kind)
    assert asyncio.iscoroutine(call)
    assert inspect.isawaitable(call)
    call.close()


@calls
@waits
def test_nothing_happens_before_the_first_step(
    conn: FakeConnection,
    make: Callable[[FakeConnection], Any],
    prepare: Callable[[FakeConnection], None],
) -> None:
    prepare(conn)
    call = make(conn)
    assert untouched(conn, prepare is make_ready)
    assert conn.asked == []
    call.close()
    assert untouched(conn, prepare is make_ready)
    assert conn.asked == []


@pytest.mark.parametrize(("make", "result"), [(recv_one, b"arrived"), (next_one, b"arrived")])
def test_a_message_is_taken_at_the_first_step(
    conn: FakeConnection, make: Callable[[FakeConnection], Any], result: bytes
) -> None:
    make_ready(conn)
    call = make(conn)
    assert finish(call) == result
    assert len(conn.receive_queue) == 1
    assert conn.asked == []


def test_a_message_is_accepted_at_the_first_step(conn: FakeConnection) -> None:
    assert finish(conn.send(b"sent")) is None
    assert conn.written() == [b"sent"]
    assert conn.asked == ["flush"]


@pytest.mark.parametrize("make", [recv_one, next_one])
def test_what_is_there_at_the_first_step_counts_and_not_what_was_there_at_the_call(
    conn: FakeConnection, make: Callable[[FakeConnection], Any]
) -> None:
    conn.arrive(b"one")
    early, late = make(conn), make(conn)
    conn.receive_queue.pop()
    with pytest.raises(StopIteration) as caught:
        conn.arrive(b"two", b"three")
        early.send(None)
    assert caught.value.value == b"two"
    conn.receive_queue.pop()
    conn.ended = True
    with pytest.raises(StopAsyncIteration if make is next_one else EOFError):
        late.send(None)


def test_the_room_that_is_there_at_the_first_step_counts(conn: FakeConnection) -> None:
    early, late = conn.send(b"one"), conn.send(b"two")
    conn.send_queue.high_water = 0
    finish(early)
    conn.send_queue.high_water = 1000
    finish(late)
    assert conn.asked == ["send", "flush"]


@pytest.mark.parametrize("make", [recv_one, next_one])
def test_calls_take_in_the_order_of_their_awaits(
    conn: FakeConnection, make: Callable[[FakeConnection], Any]
) -> None:
    make_ready(conn)
    first, second = make(conn), make(conn)
    assert finish(second) == b"arrived"
    assert finish(first) == b"later"


async def waiting(
    conn: FakeConnection, make: Callable[[FakeConnection], Any]
) -> tuple[Any, asyncio.Future[None]]:
    """Return a call that waits, and for what."""
    make_wait(conn)
    call = make(conn)
    return call, call.send(None)


@calls
async def test_a_call_waits_and_ends(
    conn: FakeConnection, make: Callable[[FakeConnection], Any]
) -> None:
    call, future = await waiting(conn, make)
    assert isinstance(future, asyncio.Future)
    assert not future.done()
    let_go(conn)
    assert future.done()
    with pytest.raises(StopIteration) as caught:
        call.send(None)
    assert caught.value.value == (None if make is send_one else b"arrived")


@calls
async def test_used_up_after_it_has_waited(
    conn: FakeConnection, make: Callable[[FakeConnection], Any]
) -> None:
    call, _ = await waiting(conn, make)
    let_go(conn)
    finish(call)
    with pytest.raises(RuntimeError, match=USED):
        call.send(None)
    with pytest.raises(RuntimeError, match=USED):
        call.throw(KeyError())
    with pytest.raises(RuntimeError, match=USED):
        await call
    call.close()


@calls
async def test_used_up_at_once(conn: FakeConnection, make: Callable[[FakeConnection], Any]) -> None:
    make_ready(conn)
    call = make(conn)
    await call
    attempts: list[Callable[[], object]] = [
        lambda: call.send(None),
        lambda: call.send(5),
        lambda: call.throw(KeyError),
        lambda: next(call.__await__()),
    ]
    for again in attempts:
        with pytest.raises(RuntimeError, match=USED):
            again()
    with pytest.raises(RuntimeError, match=USED):
        await call
    call.close()
    assert len(conn.send_queue) + 2 - len(conn.receive_queue) == 1


@calls
@waits
def test_closed_before_it_began(
    conn: FakeConnection,
    make: Callable[[FakeConnection], Any],
    prepare: Callable[[FakeConnection], None],
) -> None:
    prepare(conn)
    call = make(conn)
    call.close()
    call.close()
    with pytest.raises(RuntimeError, match=USED):
        call.send(None)
    with pytest.raises(RuntimeError, match=USED):
        call.throw(KeyError())
    assert untouched(conn, prepare is make_ready)


@calls
@waits
@pytest.mark.parametrize("how", [KeyError, KeyError("here")], ids=["class", "instance"])
def test_thrown_into_before_it_began(
    conn: FakeConnection,
    make: Callable[[FakeConnection], Any],
    prepare: Callable[[FakeConnection], None],
    how: Any,
) -> None:
    prepare(conn)
    call = make(conn)
    with pytest.raises(KeyError):
        call.throw(how)
    with pytest.raises(RuntimeError, match=USED):
        call.send(None)
    assert untouched(conn, prepare is make_ready)
    assert conn.asked == []


@calls
async def test_thrown_into_while_it_waits(
    conn: FakeConnection, make: Callable[[FakeConnection], Any]
) -> None:
    call, _ = await waiting(conn, make)
    with pytest.raises(KeyError, match="here"):
        call.throw(KeyError("here"))
    with pytest.raises(RuntimeError, match=USED):
        call.send(None)
    let_go(conn)
    assert untouched(conn, True)


@calls
async def test_closed_while_it_waits(
    conn: FakeConnection, make: Callable[[FakeConnection], Any]
) -> None:
    call, _ = await waiting(conn, make)
    call.close()
    with pytest.raises(RuntimeError, match=USED):
        call.send(None)
    let_go(conn)
    assert untouched(conn, True)


@pytest.mark.parametrize("make", [send_one, recv_one])
@waits
def test_a_value_cannot_be_sent_before_it_began(
    conn: FakeConnection,
    make: Callable[[FakeConnection], Any],
    prepare: Callable[[FakeConnection], None],
) -> None:
    """And does no harm: it can begin afterwards."""
    prepare(conn)
    call = make(conn)
    with pytest.raises(TypeError, match=r"^can't send non-None value to a just-started coroutine$"):
        call.send(5)
    assert untouched(conn, prepare is make_ready)
    if prepare is make_ready:
        finish(call)
    else:
        call.close()


@pytest.mark.parametrize("make", [send_one, recv_one])
async def test_the_old_way_to_throw(
    conn: FakeConnection, make: Callable[[FakeConnection], Any]
) -> None:
    """Class, value and traceback, one by one: deprecated since Python 3.12."""
    call, _ = await waiting(conn, make)
    fresh = make(conn)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        with pytest.raises(KeyError, match="here"):
            call.throw(KeyError, KeyError("here"), None)
        with pytest.raises(KeyError, match="here"):
            fresh.throw(KeyError, KeyError("here"), None)


def test_what_is_wrong_is_told_at_the_await(conn: FakeConnection) -> None:
    call: Any = conn.send(5)
    with pytest.raises(TypeError, match="not int"):
        call.send(None)
    with pytest.raises(RuntimeError, match=USED):
        call.send(None)
    conn.ended = True
    call = conn.recv()
    with pytest.raises(EOFError):
        call.send(None)


def never_awaited(make: Callable[[], object]) -> list[str]:
    """Return the warnings of a call that is dropped."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        make()
    assert {warning.category for warning in caught} <= {RuntimeWarning}
    return [str(warning.message) for warning in caught]


@waits
def test_a_call_that_was_never_awaited_is_warned_of(
    conn: FakeConnection, prepare: Callable[[FakeConnection], None]
) -> None:
    prepare(conn)
    assert never_awaited(lambda: conn.send(b"x")) == [
        "coroutine 'Connection.send' was never awaited"
    ]
    assert never_awaited(conn.recv) == ["coroutine 'Connection.recv' was never awaited"]
    (text,) = never_awaited(lambda: next_one(conn))
    assert text.endswith("was never awaited")
    assert untouched(conn, prepare is make_ready)
    assert conn.asked == []


@calls
def test_a_call_that_was_begun_or_ended_by_hand_is_not_warned_of(
    conn: FakeConnection, make: Callable[[FakeConnection], Any]
) -> None:
    make_ready(conn)

    def throw() -> None:
        with pytest.raises(KeyError):
            make(conn).throw(KeyError())

    assert never_awaited(lambda: make(conn).close()) == []
    assert never_awaited(lambda: finish(make(conn))) == []
    assert never_awaited(throw) == []


def test_the_warning_leaves_an_error_under_way_alone(conn: FakeConnection) -> None:
    def fail() -> None:
        call = conn.send(b"x")
        assert call is not None
        raise KeyError("the real one")

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(KeyError, match="the real one"):
            fail()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_the_warning_as_an_error_is_nobodys(
    conn: FakeConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    caught = []
    monkeypatch.setattr(sys, "unraisablehook", lambda error: caught.append(error.exc_type))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        conn.send(b"x")  # type: ignore[unused-coroutine]  # which is the point
    assert caught == [RuntimeWarning]


def in_a_thread(function: Callable[[], object]) -> None:
    """Call it in another thread, and wait for its end."""
    failed = []

    def run() -> None:
        try:
            function()
        except BaseException as error:  # noqa: BLE001 - raised again below
            failed.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if failed:
        raise failed[0]


@pytest.mark.parametrize("scheduled", [False, True])
@pytest.mark.parametrize(
    ("make", "asked"), [(send_one, "send"), (recv_one, "recv"), (next_one, "next")]
)
def test_another_thread_goes_the_slow_way(
    conn: FakeConnection, make: Callable[[FakeConnection], Any], asked: str, scheduled: bool
) -> None:
    """There the connection can refuse it."""
    make_ready(conn)
    conn.send_queue.scheduled = scheduled
    in_a_thread(lambda: finish(make(conn)))
    assert conn.asked == [asked]


@pytest.mark.parametrize(("make", "asked"), [(send_one, "send"), (recv_one, "recv")])
def test_the_thread_of_the_await_counts_and_not_that_of_the_call(
    conn: FakeConnection, make: Callable[[FakeConnection], Any], asked: str
) -> None:
    make_ready(conn)
    call = make(conn)
    in_a_thread(lambda: finish(call))
    assert conn.asked == [asked]
    conn.asked.clear()
    conn.send_queue.scheduled = True
    made: list[Any] = []
    in_a_thread(lambda: made.append(make(conn)))
    finish(made.pop())
    assert conn.asked == []


def test_another_loop_goes_the_slow_way(backend: ModuleType) -> None:
    async def make() -> FakeConnection:
        conn = FakeConnection(backend)
        await conn.send(b"in its own")
        assert conn.asked == ["flush"]
        return conn

    async def send(conn: FakeConnection) -> None:
        await conn.send(b"in another")

    conn = asyncio.run(make())
    asyncio.run(send(conn))
    assert conn.asked == ["flush", "send"]
    finish(conn.send(b"in none"))
    assert conn.asked == ["flush", "send", "send"]


def test_a_recv_in_another_loop_goes_the_slow_way(backend: ModuleType) -> None:
    async def make() -> FakeConnection:
        conn = FakeConnection(backend)
        make_ready(conn)
        assert await recv_one(conn) == b"arrived"
        assert conn.asked == []
        return conn

    async def recv(conn: FakeConnection) -> None:
        make_ready(conn)
        await recv_one(conn)

    conn = asyncio.run(make())
    asyncio.run(recv(conn))
    assert conn.asked == ["recv"]


@calls
@waits
def test_the_same_under_a_tracer(
    conn: FakeConnection,
    make: Callable[[FakeConnection], Any],
    prepare: Callable[[FakeConnection], None],
) -> None:
    """Under a debugger the interpreter steps by ``__next__`` and not by the faster way."""
    seen = []

    def trace(frame: FrameType, event: str, argument: object) -> Any:
        seen.append(event)
        return trace

    async def use() -> object:
        prepare(conn)
        if prepare is make_wait:
            asyncio.get_running_loop().call_soon(let_go, conn)
        return await make(conn)

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        result = asyncio.run(use())
    finally:
        sys.settrace(before)
    assert "return" in seen
    assert result == (None if make is send_one else b"arrived")


def test_one_made_by_hand_is_used_up(conn: FakeConnection) -> None:
    call = conn.send(b"x")
    finish(call)
    if isinstance(call, CoroutineType):
        with pytest.raises(TypeError, match="cannot create 'coroutine' instances"):
            type(call)()
        return
    made: Any = type(call)()
    with pytest.raises(RuntimeError, match=USED):
        made.send(None)
    with pytest.raises(RuntimeError, match=USED):
        made.throw(KeyError())
    made.close()


def test_an_iterator_made_by_hand_gives_nothing(conn: FakeConnection) -> None:
    kind: Any = type(aiter(conn))
    with pytest.raises((TypeError, AttributeError)):
        anext(kind())


def test_an_iterator_is_one(conn: FakeConnection) -> None:
    iterator = aiter(conn)
    assert isinstance(iterator, AsyncIterator)
    assert aiter(iterator) is iterator
