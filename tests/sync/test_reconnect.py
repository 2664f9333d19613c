"""``for conn in reconnect(...)``: what ``async for conn in connect(...)`` does."""

from __future__ import annotations

import asyncio
import threading

import pytest
from aio.ends import PATIENCE, Mode

from sealframe import (
    ClientOptions,
    ConfigurationError,
    ConnectError,
    ConnectionClosed,
    HandshakeError,
    SharedKey,
    WrongLoopError,
    sync,
)

from .ends import echo, start, until

QUICK = ClientOptions(backoff_initial=0.001, backoff_maximum=0.002)


def again(server: sync.Server, mode: Mode) -> sync.Reconnecting:
    return sync.reconnect("127.0.0.1", server.port, **mode.client, options=QUICK)


def test_each_round_has_a_connection_of_its_own(mode: Mode) -> None:
    conns: list[sync.Connection] = []
    with start(echo, mode) as server:
        for conn in again(server, mode):
            assert all(earlier.closed for earlier in conns)
            conns.append(conn)
            conn.send(b"hello")
            assert conn.recv(timeout=PATIENCE) == b"hello"
            if len(conns) == 3:
                break
        # Left by break, it is closed too.
        assert conns[-1].closed
        until(lambda: not server.clients)


def test_it_comes_back_to_a_server_that_closed_and_was_started_again(port: int) -> None:
    mode = Mode()
    server = sync.serve(echo, "127.0.0.1", port)
    rounds = 0
    try:
        for conn in again(server, mode):
            rounds += 1
            try:
                conn.send(b"hello")
                assert conn.recv(timeout=PATIENCE) == b"hello"
                if rounds == 2:
                    break
                # Who iterates notices, and closes in turn: that is what it waits for.
                threading.Thread(target=server.close).start()
                assert list(conn) == []
            except ConnectionClosed:
                continue
            finally:
                if rounds == 1:
                    conn.close()
                    server.wait_closed(timeout=PATIENCE)
                    server = sync.serve(echo, "127.0.0.1", port)
    finally:
        server.close()
    assert rounds == 2


def test_an_error_in_the_body_closes_it(mode: Mode) -> None:
    conns: list[sync.Connection] = []

    def leave() -> None:
        for conn in again(server, mode):
            conns.append(conn)
            raise LookupError

    with start(echo, mode) as server:
        with pytest.raises(LookupError):
            leave()
        assert conns[0].closed


def test_a_wrong_key_is_not_tried_again(sealed: Mode) -> None:
    with start(echo, sealed) as server:
        wrong = sync.reconnect("127.0.0.1", server.port, security=SharedKey.generate())
        with pytest.raises(HandshakeError):
            next(iter(wrong))


def test_is_fatal_decides(port: int) -> None:
    seen: list[Exception] = []

    def third(error: Exception) -> bool:
        seen.append(error)
        return len(seen) == 3

    with pytest.raises(ConnectError):
        next(iter(sync.reconnect("127.0.0.1", port, options=QUICK, is_fatal=third)))
    assert len(seen) == 3


def test_is_fatal_may_end_the_program(port: int) -> None:
    """And not the event loop, on which others depend."""

    def leave(_: Exception) -> bool:
        raise SystemExit(3)

    with pytest.raises(SystemExit) as caught:
        next(iter(sync.reconnect("127.0.0.1", port, is_fatal=leave)))
    assert caught.value.code == 3
    with start(echo, Mode()) as server:
        for conn in again(server, Mode()):
            conn.send(b"hello")
            assert conn.recv(timeout=PATIENCE) == b"hello"
            break


def test_what_cannot_work_is_refused_at_the_call() -> None:
    with pytest.raises(ConfigurationError):
        sync.reconnect("127.0.0.1")


async def test_where_an_event_loop_runs() -> None:
    with pytest.raises(WrongLoopError, match="with await"):
        next(iter(sync.reconnect("127.0.0.1", 1)))


async def test_a_loop_left_where_an_event_loop_runs_closes_its_connection() -> None:
    server = await asyncio.to_thread(start, echo, Mode())
    rounds = iter(again(server, Mode()))
    conn = await asyncio.to_thread(next, rounds)
    del rounds
    await asyncio.to_thread(conn.wait_closed, timeout=PATIENCE)
    await asyncio.to_thread(server.close)
