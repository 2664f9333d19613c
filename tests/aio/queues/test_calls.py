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

from .post import Post, finish

if TYPE_CHECKING:
    from types import FrameType, ModuleType

USED = "^cannot reuse already awaited coroutine$"
NEVER = "^coroutine '{}' was never awaited$"


def send_one(post: Post) -> Any:
    return post.send(b"sent")


def recv_one(post: Post) -> Any:
    return post.recv()


def next_one(post: Post) -> Any:
    return anext(aiter(post))


def make_ready(post: Post) -> None:
    post.arrive(b"arrived", b"later")


def make_wait(post: Post) -> None:
    post.outbox.mark = post.limit = 0


def let_go(post: Post) -> None:
    post.limit = 1000
    post.written()
    make_ready(post)
    post.wake()


calls = pytest.mark.parametrize("make", [send_one, recv_one, next_one])
waits = pytest.mark.parametrize("prepare", [make_ready, make_wait], ids=["at_once", "waits"])


def untouched(post: Post, ready: bool) -> bool:
    return len(post.outbox) == 0 and len(post.inbox) == 2 * ready


@calls
@waits
def test_it_is_a_coroutine_to_all_who_ask(
    post: Post, make: Callable[[Post], Any], prepare: Callable[[Post], None]
) -> None:
    prepare(post)
    call = make(post)
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
    post: Post, make: Callable[[Post], Any], prepare: Callable[[Post], None]
) -> None:
    prepare(post)
    call = make(post)
    assert untouched(post, prepare is make_ready)
    assert post.asked == []
    call.close()
    assert untouched(post, prepare is make_ready)
    assert post.asked == []


@pytest.mark.parametrize(("make", "result"), [(recv_one, b"arrived"), (next_one, b"arrived")])
def test_a_message_is_taken_at_the_first_step(
    post: Post, make: Callable[[Post], Any], result: bytes
) -> None:
    make_ready(post)
    call = make(post)
    assert finish(call) == result
    assert len(post.inbox) == 1
    assert post.asked == []


def test_a_message_is_accepted_at_the_first_step(post: Post) -> None:
    assert finish(post.send(b"sent")) is None
    assert post.written() == [b"sent"]
    assert post.asked == ["sent"]


@pytest.mark.parametrize("make", [recv_one, next_one])
def test_what_is_there_at_the_first_step_counts_and_not_what_was_there_at_the_call(
    post: Post, make: Callable[[Post], Any]
) -> None:
    post.arrive(b"one")
    early, late = make(post), make(post)
    post.inbox.pop()
    with pytest.raises(StopIteration) as caught:
        post.arrive(b"two", b"three")
        early.send(None)
    assert caught.value.value == b"two"
    post.inbox.pop()
    post.ended = True
    with pytest.raises(StopAsyncIteration if make is next_one else EOFError):
        late.send(None)


def test_the_room_that_is_there_at_the_first_step_counts(post: Post) -> None:
    early, late = post.send(b"one"), post.send(b"two")
    post.outbox.mark = 0
    finish(early)
    post.outbox.mark = 1000
    finish(late)
    assert post.asked == ["send", "sent"]


@pytest.mark.parametrize("make", [recv_one, next_one])
def test_calls_take_in_the_order_of_their_awaits(post: Post, make: Callable[[Post], Any]) -> None:
    make_ready(post)
    first, second = make(post), make(post)
    assert finish(second) == b"arrived"
    assert finish(first) == b"later"


async def waiting(post: Post, make: Callable[[Post], Any]) -> tuple[Any, asyncio.Future[None]]:
    """Return a call that waits, and for what."""
    make_wait(post)
    call = make(post)
    return call, call.send(None)


@calls
async def test_a_call_waits_and_ends(post: Post, make: Callable[[Post], Any]) -> None:
    call, future = await waiting(post, make)
    assert isinstance(future, asyncio.Future)
    assert not future.done()
    let_go(post)
    assert future.done()
    with pytest.raises(StopIteration) as caught:
        call.send(None)
    assert caught.value.value == (None if make is send_one else b"arrived")


@calls
async def test_used_up_after_it_has_waited(post: Post, make: Callable[[Post], Any]) -> None:
    call, _ = await waiting(post, make)
    let_go(post)
    finish(call)
    with pytest.raises(RuntimeError, match=USED):
        call.send(None)
    with pytest.raises(RuntimeError, match=USED):
        call.throw(KeyError())
    with pytest.raises(RuntimeError, match=USED):
        await call
    call.close()


@calls
async def test_used_up_at_once(post: Post, make: Callable[[Post], Any]) -> None:
    make_ready(post)
    call = make(post)
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
    assert len(post.outbox) + 2 - len(post.inbox) == 1


@calls
@waits
def test_closed_before_it_began(
    post: Post, make: Callable[[Post], Any], prepare: Callable[[Post], None]
) -> None:
    prepare(post)
    call = make(post)
    call.close()
    call.close()
    with pytest.raises(RuntimeError, match=USED):
        call.send(None)
    with pytest.raises(RuntimeError, match=USED):
        call.throw(KeyError())
    assert untouched(post, prepare is make_ready)


@calls
@waits
@pytest.mark.parametrize("how", [KeyError, KeyError("here")], ids=["class", "instance"])
def test_thrown_into_before_it_began(
    post: Post, make: Callable[[Post], Any], prepare: Callable[[Post], None], how: Any
) -> None:
    prepare(post)
    call = make(post)
    with pytest.raises(KeyError):
        call.throw(how)
    with pytest.raises(RuntimeError, match=USED):
        call.send(None)
    assert untouched(post, prepare is make_ready)
    assert post.asked == []


@calls
async def test_thrown_into_while_it_waits(post: Post, make: Callable[[Post], Any]) -> None:
    call, _ = await waiting(post, make)
    with pytest.raises(KeyError, match="here"):
        call.throw(KeyError("here"))
    with pytest.raises(RuntimeError, match=USED):
        call.send(None)
    let_go(post)
    assert untouched(post, True)


@calls
async def test_closed_while_it_waits(post: Post, make: Callable[[Post], Any]) -> None:
    call, _ = await waiting(post, make)
    call.close()
    with pytest.raises(RuntimeError, match=USED):
        call.send(None)
    let_go(post)
    assert untouched(post, True)


@pytest.mark.parametrize("make", [send_one, recv_one])
@waits
def test_a_value_cannot_be_sent_before_it_began(
    post: Post, make: Callable[[Post], Any], prepare: Callable[[Post], None]
) -> None:
    """And does no harm: it can begin afterwards."""
    prepare(post)
    call = make(post)
    with pytest.raises(TypeError, match=r"^can't send non-None value to a just-started coroutine$"):
        call.send(5)
    assert untouched(post, prepare is make_ready)
    if prepare is make_ready:
        finish(call)
    else:
        call.close()


@pytest.mark.parametrize("make", [send_one, recv_one])
async def test_the_old_way_to_throw(post: Post, make: Callable[[Post], Any]) -> None:
    """Class, value and traceback, one by one: deprecated since Python 3.12."""
    call, _ = await waiting(post, make)
    fresh = make(post)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        with pytest.raises(KeyError, match="here"):
            call.throw(KeyError, KeyError("here"), None)
        with pytest.raises(KeyError, match="here"):
            fresh.throw(KeyError, KeyError("here"), None)


def test_what_is_wrong_is_told_at_the_await(post: Post) -> None:
    call: Any = post.send(5)
    with pytest.raises(TypeError, match="not int"):
        call.send(None)
    with pytest.raises(RuntimeError, match=USED):
        call.send(None)
    post.ended = True
    call = post.recv()
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
    post: Post, prepare: Callable[[Post], None]
) -> None:
    prepare(post)
    assert never_awaited(lambda: post.send(b"x")) == [
        "coroutine 'Connection.send' was never awaited"
    ]
    assert never_awaited(post.recv) == ["coroutine 'Connection.recv' was never awaited"]
    (text,) = never_awaited(lambda: next_one(post))
    assert text.endswith("was never awaited")
    assert untouched(post, prepare is make_ready)
    assert post.asked == []


@calls
def test_a_call_that_was_begun_or_ended_by_hand_is_not_warned_of(
    post: Post, make: Callable[[Post], Any]
) -> None:
    make_ready(post)

    def throw() -> None:
        with pytest.raises(KeyError):
            make(post).throw(KeyError())

    assert never_awaited(lambda: make(post).close()) == []
    assert never_awaited(lambda: finish(make(post))) == []
    assert never_awaited(throw) == []


def test_the_warning_leaves_an_error_under_way_alone(post: Post) -> None:
    def fail() -> None:
        call = post.send(b"x")
        assert call is not None
        raise KeyError("the real one")

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(KeyError, match="the real one"):
            fail()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_the_warning_as_an_error_is_nobodys(post: Post, monkeypatch: pytest.MonkeyPatch) -> None:
    caught = []
    monkeypatch.setattr(sys, "unraisablehook", lambda error: caught.append(error.exc_type))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        post.send(b"x")  # type: ignore[unused-coroutine]  # which is the point
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
    post: Post, make: Callable[[Post], Any], asked: str, scheduled: bool
) -> None:
    """There the connection can refuse it."""
    make_ready(post)
    post.outbox.scheduled = scheduled
    in_a_thread(lambda: finish(make(post)))
    assert post.asked == [asked]


@pytest.mark.parametrize(("make", "asked"), [(send_one, "send"), (recv_one, "recv")])
def test_the_thread_of_the_await_counts_and_not_that_of_the_call(
    post: Post, make: Callable[[Post], Any], asked: str
) -> None:
    make_ready(post)
    call = make(post)
    in_a_thread(lambda: finish(call))
    assert post.asked == [asked]
    post.asked.clear()
    post.outbox.scheduled = True
    made: list[Any] = []
    in_a_thread(lambda: made.append(make(post)))
    finish(made.pop())
    assert post.asked == []


def test_another_loop_goes_the_slow_way(twin: ModuleType) -> None:
    async def make() -> Post:
        post = Post(twin)
        await post.send(b"in its own")
        assert post.asked == ["sent"]
        return post

    async def send(post: Post) -> None:
        await post.send(b"in another")

    post = asyncio.run(make())
    asyncio.run(send(post))
    assert post.asked == ["sent", "send"]
    finish(post.send(b"in none"))
    assert post.asked == ["sent", "send", "send"]


def test_a_recv_in_another_loop_goes_the_slow_way(twin: ModuleType) -> None:
    async def make() -> Post:
        post = Post(twin)
        make_ready(post)
        assert await recv_one(post) == b"arrived"
        assert post.asked == []
        return post

    async def recv(post: Post) -> None:
        make_ready(post)
        await recv_one(post)

    post = asyncio.run(make())
    asyncio.run(recv(post))
    assert post.asked == ["recv"]


@calls
@waits
def test_the_same_under_a_tracer(
    post: Post, make: Callable[[Post], Any], prepare: Callable[[Post], None]
) -> None:
    """Under a debugger the interpreter steps by ``__next__`` and not by the faster way."""
    seen = []

    def trace(frame: FrameType, event: str, argument: object) -> Any:
        seen.append(event)
        return trace

    async def use() -> object:
        prepare(post)
        if prepare is make_wait:
            asyncio.get_running_loop().call_soon(let_go, post)
        return await make(post)

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        result = asyncio.run(use())
    finally:
        sys.settrace(before)
    assert "return" in seen
    assert result == (None if make is send_one else b"arrived")


def test_one_made_by_hand_is_used_up(post: Post) -> None:
    call = post.send(b"x")
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


def test_an_iterator_made_by_hand_gives_nothing(post: Post) -> None:
    kind: Any = type(aiter(post))
    with pytest.raises((TypeError, AttributeError)):
        anext(kind())


def test_an_iterator_is_one(post: Post) -> None:
    iterator = aiter(post)
    assert isinstance(iterator, AsyncIterator)
    assert aiter(iterator) is iterator
