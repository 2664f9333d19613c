"""The blocking server: a thread for each client, and calls from any thread."""

from __future__ import annotations

import contextvars
import functools
import logging
import queue
import threading
from collections.abc import Callable

import pytest
from aio.ends import PATIENCE, Mode

from sealframe import (
    CloseCode,
    ConfigurationError,
    ConnectionClosed,
    ConnectionClosedError,
    ListenError,
    MessageTooLargeError,
    ServerOptions,
    sync,
)

from .ends import dial, echo, in_thread, open_pair, start, until


def test_each_handler_has_a_thread_of_its_own(mode: Mode) -> None:
    together = threading.Barrier(3)
    threads: set[threading.Thread] = set()
    names: set[tuple[str, str]] = set()

    def handler(conn: sync.Connection) -> None:
        thread = threading.current_thread()
        assert thread.daemon
        threads.add(thread)
        names.add((conn.id, thread.name))
        together.wait(PATIENCE)
        conn.send(b"all here")

    with start(handler, mode) as server:
        conns = [dial(server, mode) for _ in range(3)]
        for conn in conns:
            assert conn.recv(timeout=PATIENCE) == b"all here"
            conn.close()
    assert len(threads) == 3
    assert len(names) == 3
    assert all(name == f"sealframe {client}" for client, name in names)


def test_the_registry_has_the_connections_that_handlers_got(mode: Mode) -> None:
    with open_pair(mode) as (client, accepted, server):
        before = server.clients
        assert before == {accepted.id: accepted}
        with dial(server, mode):
            until(lambda: len(server.clients) == 2)
            # A copy: who iterates is not disturbed.
            assert len(before) == 1
        closing = in_thread(accepted.close)
        client.close()
        closing.join(PATIENCE)
        until(lambda: not server.clients)


def test_broadcast(mode: Mode) -> None:
    options = ServerOptions(max_message_size=100)
    with open_pair(mode, server_options=options) as (first, accepted, server):
        with dial(server, mode) as second:
            until(lambda: len(server.clients) == 2)
            assert server.broadcast(b"to all") == 2
            assert server.broadcast(b"to the second", exclude=accepted) == 1
            assert server.broadcast(b"to nobody", exclude=server.clients.values()) == 0
            assert first.recv(timeout=PATIENCE) == b"to all"
            assert [second.recv(), second.recv()] == [b"to all", b"to the second"]
            with pytest.raises(TypeError, match="exclude takes connections"):
                server.broadcast(b"x", exclude=["1"])  # type: ignore[list-item]
            with pytest.raises(MessageTooLargeError):
                server.broadcast(bytes(101))
            assert server.counters.accepted == 2


class PanicError(BaseException):
    """As extension modules raise it."""


def test_a_handler_that_returns_closes_and_one_that_raises_is_logged(
    control_mode: Mode, caplog: pytest.LogCaptureFixture
) -> None:
    def handler(conn: sync.Connection) -> None:
        match conn.recv():
            case b"raise":
                raise LookupError("no such thing")
            case b"stop":
                next(iter(()))
            case b"exit":
                # It would end this thread alone, which nobody means.
                raise SystemExit(1)
            case b"panic":
                raise PanicError("lost")

    with start(handler, control_mode) as server:
        for said, code in (
            (b"return", CloseCode.NORMAL),
            (b"raise", CloseCode.HANDLER),
            (b"stop", CloseCode.HANDLER),
            (b"exit", CloseCode.HANDLER),
            (b"panic", CloseCode.HANDLER),
        ):
            with dial(server, control_mode) as conn:
                conn.send(said)
                if code == CloseCode.NORMAL:
                    assert list(conn) == []
                else:
                    with pytest.raises(ConnectionClosedError, match="the handler failed"):
                        conn.recv(timeout=PATIENCE)
                assert conn.close_code == code
    errors = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert [str(record.exc_info[1]) for record in errors if record.exc_info] == [
        "no such thing",
        "the function raised StopIteration: ",
        "the function raised SystemExit: 1",
        "the function raised PanicError: lost",
    ]


def test_a_handler_may_let_the_end_of_its_connection_pass(
    mode: Mode, caplog: pytest.LogCaptureFixture
) -> None:
    def handler(conn: sync.Connection) -> None:
        while True:
            conn.recv()

    with start(handler, mode) as server:
        with dial(server, mode) as conn:
            conn.send(b"hello")
        until(lambda: not server.clients)
    assert [record for record in caplog.records if record.levelno == logging.ERROR] == []


def test_no_more_threads_than_connections() -> None:
    """Not even where handlers outlive their connections."""
    running: queue.Queue[str] = queue.Queue()
    go_on = threading.Event()

    def handler(conn: sync.Connection) -> None:
        running.put(conn.id)
        assert list(conn) == []
        conn.close()
        go_on.wait(PATIENCE)

    options = ServerOptions(max_connections=1)
    with start(handler, Mode(), options) as server:
        dial(server, Mode()).close()
        first = running.get(timeout=PATIENCE)
        with dial(server, Mode()):
            until(lambda: bool(server.clients.keys() - {first}))
            assert running.empty()
            go_on.set()
            assert running.get(timeout=PATIENCE) != first


def test_closing_ends_the_handlers(control_mode: Mode) -> None:
    ended = threading.Event()

    def handler(conn: sync.Connection) -> None:
        assert list(conn) == []
        ended.set()

    server = start(handler, control_mode)
    conn = dial(server, control_mode)
    until(lambda: len(server.clients) == 1)
    closing = in_thread(lambda: server.close("until tomorrow"))
    assert list(conn) == []
    assert (conn.close_code, conn.close_reason) == (CloseCode.GOING_AWAY, "until tomorrow")
    closing.join(PATIENCE)
    assert ended.is_set()
    conn.close()


def test_a_handler_that_does_not_return_is_left_to_itself() -> None:
    go_on, done = threading.Event(), threading.Event()

    def handler(conn: sync.Connection) -> None:
        go_on.wait(PATIENCE)
        with pytest.raises(ConnectionClosed):
            conn.send(b"too late")
        done.set()

    server = start(handler, Mode(), ServerOptions(close_timeout=0.05))
    with dial(server, Mode()):
        until(lambda: len(server.clients) == 1)
        server.close()
        assert not done.is_set()
        go_on.set()
        assert done.wait(PATIENCE)


def test_a_handler_may_close_the_server(control_mode: Mode) -> None:
    closed = threading.Event()
    server: sync.Server

    def handler(conn: sync.Connection) -> None:
        assert conn.recv() == b"close"
        server.close("a client says so")
        closed.set()

    # Were it waited for, it would take this long.
    with start(handler, control_mode, ServerOptions(close_timeout=6 * PATIENCE)) as server:
        waiting = in_thread(server.serve_forever)
        with dial(server, control_mode) as conn:
            conn.send(b"close")
            assert list(conn) == []
            assert conn.close_code == CloseCode.GOING_AWAY
        assert closed.wait(PATIENCE)
        waiting.join(PATIENCE)
        assert not waiting.is_alive()


def test_a_handler_has_the_context_of_who_serves() -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable")
    variable.set("set before")
    with start(lambda conn: conn.send(variable.get().encode()), Mode()) as server:
        with dial(server, Mode()) as conn:
            assert conn.recv(timeout=PATIENCE) == b"set before"


def test_what_is_no_handler() -> None:
    async def asynchronous(conn: sync.Connection) -> None:
        await conn  # type: ignore[misc]

    wrong: Callable[[sync.Connection], object]
    for wrong in (asynchronous, functools.partial(asynchronous)):
        with pytest.raises(ConfigurationError, match=r"sealframe\.serve"):
            sync.serve(wrong, "127.0.0.1", 0)
    with pytest.raises(ConfigurationError, match="give a handler"):
        sync.serve(None, "127.0.0.1", 0)


def test_the_same_errors() -> None:
    with start(echo, Mode()) as server:
        with pytest.raises(ListenError):
            sync.serve(echo, "127.0.0.1", server.port)
        with pytest.raises(ConfigurationError):
            sync.serve(echo, "127.0.0.1", 0, options={"max_connections": 1})  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="reason is text"):
            server.close(b"x")  # type: ignore[arg-type]
        assert repr(server) == f"<sync.Server 127.0.0.1:{server.port}, 0 clients>"
        assert server.addresses == [("127.0.0.1", server.port)]
