"""Requests between programs without asyncio: each is answered in a thread of its own."""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
from typing import Any

import pytest
from aio.ends import PATIENCE, Mode

from sealframe import (
    ClientOptions,
    ConfigurationError,
    NotSupportedError,
    RemoteError,
    RequestTimeoutError,
    ServerOptions,
    sync,
)
from sealframe.codecs import Json

from .ends import dial, echo, in_thread, open_pair, start, until


def reverse(conn: sync.Connection, payload: bytes) -> bytes:
    """Answer with the payload backwards."""
    return payload[::-1]


def test_what_the_thread_returns_is_the_answer(control_mode: Mode) -> None:
    seen: list[tuple[sync.Connection, bool]] = []

    def on_request(conn: sync.Connection, payload: bytes) -> bytearray | None:
        seen.append((conn, threading.current_thread().daemon))
        return bytearray(payload[::-1]) if payload else None

    with open_pair(control_mode, on_request=on_request) as (client, accepted, _):
        assert client.request(b"abc") == b"cba"
        assert client.request(b"", timeout=PATIENCE) == b""
        large = bytes(range(256)) * 1000
        assert client.request(large, timeout=PATIENCE) == large[::-1]
        assert seen == [(accepted, True)] * 3


def test_a_client_answers_too(control_mode: Mode) -> None:
    def handler(conn: sync.Connection) -> None:
        conn.send(conn.request(b"abc", timeout=PATIENCE))

    with start(handler, control_mode) as server:
        with dial(server, control_mode, on_request=reverse) as conn:
            assert conn.recv(timeout=PATIENCE) == b"cba"
        for again in sync.reconnect(
            "127.0.0.1", server.port, **control_mode.client, on_request=reverse
        ):
            assert again.recv(timeout=PATIENCE) == b"cba"
            break


def test_what_it_raises_reaches_the_other_end(
    control_mode: Mode, caplog: pytest.LogCaptureFixture
) -> None:
    def on_request(conn: sync.Connection, payload: bytes) -> bytes:
        match payload:
            case b"own":
                raise RemoteError("Busy", "come back later")
            case b"exit":
                raise SystemExit(1)
            case b"stop":
                next(iter(()))
        raise LookupError("no such thing")

    with start(echo, control_mode, on_request=on_request) as server:
        with dial(server, control_mode) as conn:
            for payload, kind in (
                (b"own", "Busy"),
                (b"exit", "RuntimeError"),
                (b"stop", "RuntimeError"),
                (b"other", "LookupError"),
            ):
                with pytest.raises(RemoteError) as caught:
                    conn.request(payload, timeout=PATIENCE)
                assert caught.value.type == kind
    assert len([record for record in caplog.records if record.levelno == logging.ERROR]) == 3


def test_a_handler_and_its_requests_have_threads_of_their_own(control_mode: Mode) -> None:
    """With one thread for both, the handler would wait for the answer of itself."""

    def handler(conn: sync.Connection) -> None:
        conn.send(conn.request(b"from the handler", timeout=PATIENCE))

    def answer(conn: sync.Connection, payload: bytes) -> bytes:
        return payload + conn.request(b", by the client", timeout=PATIENCE)

    options = ServerOptions(max_connections=1)
    with start(handler, control_mode, options, on_request=lambda conn, payload: payload) as server:
        with dial(server, control_mode, on_request=answer) as conn:
            assert conn.recv(timeout=PATIENCE) == b"from the handler, by the client"


def test_no_more_threads_than_the_options_allow(control_mode: Mode) -> None:
    """Not even where those of requests that were given up still run."""
    running: queue.Queue[bytes] = queue.Queue()
    go_on = threading.Event()

    def on_request(conn: sync.Connection, payload: bytes) -> None:
        running.put(payload)
        go_on.wait(PATIENCE)

    options = ServerOptions(max_connections=1)
    with open_pair(control_mode, server_options=options, on_request=on_request) as pair:
        with pytest.raises(RequestTimeoutError):
            pair.client.request(b"given up", timeout=0.02)
        assert running.get(timeout=PATIENCE) == b"given up"
        answers: queue.Queue[bytes] = queue.Queue()
        asking = in_thread(lambda: answers.put(pair.client.request(b"next", timeout=PATIENCE)))
        # Its turn comes when it is there, and the thread of the first one is not over.
        pair.client.ping(timeout=PATIENCE)
        assert running.empty()
        go_on.set()
        assert running.get(timeout=PATIENCE) == b"next"
        assert answers.get(timeout=PATIENCE) == b""
        asking.join(PATIENCE)


def test_objects_with_a_codec(control_mode: Mode) -> None:
    def on_request(conn: sync.Connection[Any, Any], request: Any) -> Any:
        return {"sum": sum(request)}

    def handler(conn: sync.Connection[Any, Any]) -> None:
        for message in conn:
            conn.send([message])

    codec = Json()
    with (
        start(handler, control_mode, on_request=on_request, codec=codec) as server,
        dial(server, control_mode, codec=codec) as conn,
    ):
        request: Any = [1, 2, 3]
        answer: Any = conn.request(request, timeout=PATIENCE)
        assert answer == {"sum": 6}
        conn.send(request)
        conn.send_many([request] * 2)
        received: Any = conn.recv(timeout=PATIENCE)
        assert received == [request]
        until(lambda: conn.stats.messages_received == 3)
        many: Any = conn.recv_many(timeout=PATIENCE)
        assert many == [[request]] * 2


def test_what_is_no_function_for_it() -> None:
    async def asynchronous(conn: object, payload: object = None) -> None:
        await asyncio.sleep(0)

    for name in ("on_request", "on_stream", "on_connect", "on_disconnect", "on_link"):
        for wrong in (asynchronous, "function"):
            with pytest.raises(ConfigurationError, match=f"{name} is a function that is not async"):
                sync.serve(echo, "127.0.0.1", 0, **{name: wrong})  # type: ignore[arg-type]
            with pytest.raises(ConfigurationError, match=name):
                sync.connect("127.0.0.1", 1, **{name: wrong})  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="ClientOptions"):
        sync.connect("127.0.0.1", 1, options=ServerOptions())  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="ServerOptions"):
        start(echo, Mode(), options=ClientOptions())  # type: ignore[arg-type]


def test_where_nobody_answers(mode: Mode) -> None:
    with open_pair(mode) as (client, _, _):
        with pytest.raises(NotSupportedError):
            client.request(b"anybody?")
        with pytest.raises(NotSupportedError):
            client.open_stream()
