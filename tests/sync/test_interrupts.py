"""Ctrl-C during a wait: it gets through at once, and nothing is lost."""

from __future__ import annotations

import _thread
import asyncio
import itertools
import random
import signal
import socket
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import pytest
from aio.ends import PATIENCE, Mode

from sealframe import ClientOptions, Server, sync
from sealframe.sync.call import Call
from sealframe.sync.connection import unwrap
from sealframe.sync.loop_thread import LoopThread, shared
from sealframe.sync.wrappers import Wrappers

from .ends import (
    dial,
    echo,
    in_thread,
    interrupted_late,
    is_waiting,
    open_pair,
    send_numbers,
    start,
    until,
)

posix = pytest.mark.skipif(sys.platform == "win32", reason="Windows sends no signals to threads")


@pytest.fixture(autouse=True)
def ctrl_c() -> Iterator[None]:
    """What Ctrl-C does by default, whatever the test runner made of it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def press(when: Callable[[], bool]) -> threading.Thread:
    """Press Ctrl-C once something is so."""
    main = threading.main_thread().ident
    assert main is not None

    def wait() -> None:
        until(when)
        if sys.platform == "win32":
            _thread.interrupt_main()
        else:
            signal.pthread_kill(main, signal.SIGINT)

    return in_thread(wait)


def test_a_recv(mode: Mode) -> None:
    with open_pair(mode) as (client, accepted, _):
        for receive in (client.recv, client.recv_many, lambda: next(iter(client))):
            pressing = press(lambda: is_waiting(client))
            with pytest.raises(KeyboardInterrupt):
                receive()
            pressing.join(PATIENCE)
            until(lambda: not is_waiting(client))
        accepted.send_many([b"one", b"two"])
        assert [client.recv(), client.recv()] == [b"one", b"two"]


def test_an_iteration_goes_on_after_it(mode: Mode) -> None:
    with open_pair(mode) as (client, accepted, _):
        messages = iter(client)
        press(lambda: is_waiting(client))
        with pytest.raises(KeyboardInterrupt):
            next(messages)
        accepted.send(b"later")
        assert next(messages) == b"later"


def test_where_a_wait_is_not_interrupted() -> None:
    """On Windows, and where the signal comes just before the wait begins in the system.

    interrupt_main() is like that: it marks the signal as arrived, and wakes nobody.
    """
    with open_pair(Mode()) as (client, _, _):

        def wait() -> None:
            until(lambda: is_waiting(client))
            _thread.interrupt_main()

        in_thread(wait)
        with pytest.raises(KeyboardInterrupt):
            client.recv(timeout=PATIENCE)


def test_a_connect(sealed: Mode) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        accepted: list[socket.socket] = []
        accepting = in_thread(lambda: accepted.append(silent.accept()[0]))
        press(lambda: bool(accepted))
        with pytest.raises(KeyboardInterrupt):
            sync.connect("127.0.0.1", silent.getsockname()[1], **sealed.client)
        accepting.join(PATIENCE)
        with accepted[0] as peer:
            peer.settimeout(PATIENCE)
            while peer.recv(4096):
                pass


def test_the_wait_between_attempts(port: int) -> None:
    slow = ClientOptions(backoff_initial=60, backoff_maximum=60)
    attempts = threading.Event()

    def is_fatal(_: Exception) -> bool:
        attempts.set()
        return False

    pressing = press(attempts.is_set)
    with pytest.raises(KeyboardInterrupt):
        for _ in sync.reconnect("127.0.0.1", port, options=slow, is_fatal=is_fatal):
            pytest.fail("nobody is there")
    pressing.join(PATIENCE)


def test_a_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """It begins to close, and the end of the block waits for that."""
    waiting = threading.Event()
    serve_forever = Server.serve_forever

    async def serve_and_tell(server: Server[Any, Any]) -> None:
        waiting.set()
        await serve_forever(server)

    monkeypatch.setattr(Server, "serve_forever", serve_and_tell)
    with start(echo, Mode()) as server:
        conn = dial(server, Mode())
        until(lambda: len(server.clients) == 1)
        press(waiting.is_set)
        with pytest.raises(KeyboardInterrupt):
            server.serve_forever()
        assert list(conn) == []
        conn.close()
    server.wait_closed(timeout=PATIENCE)


class _HereError(Exception):
    """What the handler below raises."""


def waits(frame: FrameType | None) -> Call[object] | None:
    """Return the call that a stack of frames waits for, None if there is none."""
    while frame is not None and frame.f_code is not Call.wait.__code__:
        frame = frame.f_back
    return None if frame is None else frame.f_locals["self"]


@contextmanager
def interrupted_with_a_result(then: Callable[[], object]) -> Iterator[None]:
    """Interrupt the call in the block once its result is there, and was not handed out.

    :param then: gives it what it waits for
    """

    def interrupt(_: int, frame: FrameType | None) -> None:
        call = waits(frame)
        assert call is not None
        then()
        until(lambda: call.settled)
        raise _HereError

    signal.signal(signal.SIGINT, interrupt)
    main = threading.main_thread().ident
    assert main is not None
    pressing = press(lambda: waits(sys._current_frames()[main]) is not None)
    with pytest.raises(_HereError):
        yield
    pressing.join(PATIENCE)


@posix
def test_a_message_that_was_taken_is_given_back(mode: Mode) -> None:
    with open_pair(mode) as (client, accepted, _):
        sending = shared()

        def send() -> None:
            sending.start(lambda: unwrap(accepted).send_many([b"one", b"two"]))

        for receive in (client.recv, client.recv_many):
            with interrupted_with_a_result(send):
                receive()
            assert client.recv(timeout=PATIENCE) == b"one"
            assert client.recv(timeout=PATIENCE) == b"two"


@posix
def test_a_connection_and_a_server_that_nobody_got_are_closed(sealed: Mode) -> None:
    go_on, waiting = threading.Event(), threading.Event()
    thread = shared()

    def hold() -> None:
        """Let the loop stand still until the thread that calls waits for it."""
        waiting.set()
        go_on.wait(PATIENCE)

    with start(echo, sealed) as server:
        for call in (lambda: dial(server, sealed), lambda: start(echo, sealed)):
            go_on.clear()
            waiting.clear()
            thread.loop.call_soon_threadsafe(hold)
            assert waiting.wait(PATIENCE)
            with interrupted_with_a_result(go_on.set):
                call()
        until(lambda: not server.clients)


def test_leaving_a_loop_waits_for_what_was_cancelled() -> None:
    """Which may take some turns of the event loop."""
    cancelled = threading.Event()
    ended: list[str] = []

    async def slowly() -> AsyncIterator[None]:
        try:
            cancelled.set()
            await asyncio.Event().wait()
        finally:
            for _ in range(100):
                await asyncio.sleep(0)
            ended.append("ended")
        yield

    press(cancelled.is_set)
    with pytest.raises(KeyboardInterrupt):
        next(iter(sync.Reconnecting(slowly(), Wrappers(shared()), None)))  # type: ignore[arg-type]
    assert ended == ["ended"]


@posix
@pytest.mark.skipif(
    sys.version_info < (3, 12) and sys.gettrace() is not None,
    reason="on Python 3.11 a traced thread spins at the start of a function, and can let go of "
    "nothing, while a signal is pending for a main thread that waits for it",
)
def test_no_message_is_lost_wherever_the_wait_is_interrupted(mode: Mode) -> None:
    """Also where the message was taken already, and the thread did not have it yet."""
    where = {Call.wait.__code__, LoopThread.run.__code__}
    interrupted = 0

    def interrupt(_: int, frame: FrameType | None) -> None:
        nonlocal interrupted
        if frame is not None and frame.f_code in where:
            interrupted += 1
            raise _HereError

    before = signal.signal(signal.SIGALRM, interrupt)
    chance = random.Random(1)
    # Follows how long a call takes here, which a tracer or a busy machine multiplies: were all of
    # them interrupted before they are done, no message would ever arrive.
    reach = 5e-4
    count = 2000
    got: list[bytes] = []
    try:
        with open_pair(mode) as (client, accepted, _):
            sending = in_thread(send_numbers, accepted, count)
            for turn in itertools.count():
                if len(got) >= count:
                    break
                signal.setitimer(signal.ITIMER_REAL, chance.uniform(1e-6, reach))
                try:
                    if turn % 2:
                        got.append(client.recv(timeout=PATIENCE))
                    else:
                        got.extend(client.recv_many(chance.choice((None, 1, 2)), timeout=PATIENCE))
                except _HereError:
                    reach *= 1.1
                else:
                    reach /= 1.1
            signal.setitimer(signal.ITIMER_REAL, 0)
            sending.join(PATIENCE)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert interrupted
    assert got == [b"%d" % number for number in range(count)]


@pytest.mark.parametrize("late", [False, True])
def test_a_result_nobody_waits_for_is_taken_back(late: bool) -> None:
    """Whether it was there before the interrupt or came in spite of it."""
    taken_back: list[str] = []
    thread = shared()
    started = threading.Event()

    async def work() -> str:
        started.set()
        return "result"

    call = Call(work, None, taken_back.append, threading.Event())
    if late:
        thread.call(call.start)
        call.wait()
        thread.call(call.abandon)
    else:
        # It is in its first and last step before anybody can cancel it.
        def start_and_abandon() -> None:
            call.start()
            thread.loop.call_soon(call.abandon)

        thread.call(start_and_abandon)
    until(lambda: taken_back == ["result"])


def test_messages_given_back_come_first_and_in_order(mode: Mode) -> None:
    with open_pair(mode) as (client, accepted, _):
        accepted.send_many([b"%d" % number for number in range(5)])
        until(lambda: client.stats.messages_received == 5)
        with interrupted_late():
            assert client.recv_many(3) == [b"0", b"1", b"2"]
            assert client.recv() == b"0"
        assert client.recv_many(2) == [b"0", b"1"]
        assert client.recv_many() == [b"2"]
        assert client.recv_many() == [b"3", b"4"]
