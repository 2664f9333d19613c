"""A blocking server that is closed lets its threads finish, and leaves those that do not."""

from __future__ import annotations

import threading

import pytest
from aio.ends import PATIENCE, Mode

from sealframe import (
    CloseCode,
    ConnectionClosed,
    ConnectionClosedError,
    DecodeError,
    ServerOptions,
    sync,
)
from sealframe.codecs import Text

from .ends import dial, in_thread, open_pair, start, until


def test_a_handler_reads_to_the_end_and_sends_on(control_mode: Mode) -> None:
    def handler(conn: sync.Connection) -> None:
        assert list(conn) == []
        conn.send(b"goodbye")

    with start(handler, control_mode, ServerOptions(close_timeout=6 * PATIENCE)) as server:
        with dial(server, control_mode) as conn:
            until(lambda: len(server.clients) == 1)
            closing = in_thread(server.close, "until tomorrow")
            assert list(conn) == [b"goodbye"]
            assert conn.close_reason == "until tomorrow"
            assert conn.close_code == CloseCode.GOING_AWAY
        closing.join(PATIENCE)
        report = server.close()
        assert (report.clients, report.cancelled, report.unsent) == (1, 0, 0)


def test_a_handler_that_waits_for_the_end_of_its_connection_is_done(mode: Mode) -> None:
    options = ServerOptions(close_timeout=6 * PATIENCE)
    waiting = threading.Event()

    def handler(conn: sync.Connection) -> None:
        waiting.set()
        conn.wait_closed()

    with start(handler, mode, options) as server:
        with dial(server, mode) as conn:
            assert waiting.wait(PATIENCE)
            closing = in_thread(server.close)
            assert list(conn) == []
        closing.join(PATIENCE)
        assert not closing.is_alive()


def test_what_still_waits_after_the_time_gets_a_closed_connection(control_mode: Mode) -> None:
    raised: list[BaseException] = []
    asked = threading.Event()

    def handler(conn: sync.Connection) -> None:
        try:
            conn.request(b"never answered")
        except ConnectionClosed as error:
            raised.append(error)

    def on_request(conn: sync.Connection, payload: bytes) -> None:
        asked.set()
        until(lambda: conn.closed)

    with start(handler, control_mode) as server:
        with dial(server, control_mode, on_request=on_request):
            assert asked.wait(PATIENCE)
            report = server.close(timeout=0.05)
            assert report.cancelled == 1
            until(lambda: bool(raised))
    with pytest.raises(ValueError, match="timeout is -1"):
        server.close(timeout=-1)


def test_a_request_may_close_the_server(control_mode: Mode) -> None:
    """It is not waited for, since it waits itself."""
    closed = threading.Event()
    server: sync.Server

    def on_request(conn: sync.Connection, payload: bytes) -> None:
        server.close("a client says so")
        closed.set()

    options = ServerOptions(close_timeout=6 * PATIENCE)
    with open_pair(control_mode, server_options=options, on_request=on_request) as pair:
        server = pair.server
        with pytest.raises(ConnectionClosed):
            pair.client.request(b"close", timeout=PATIENCE)
        pair.client.close()
        assert closed.wait(PATIENCE)


def test_a_message_that_cannot_be_decoded(control_mode: Mode) -> None:
    """Whoever lets the error pass has closed with the code for it, at both ends."""
    seen: list[object] = []

    def handler(conn: sync.Connection[str, str]) -> None:
        try:
            conn.recv()
        except DecodeError as error:
            seen.append(error.connection is conn)
            raise

    with sync.serve(handler, "127.0.0.1", 0, **control_mode.server, codec=Text()) as server:
        with dial(server, control_mode) as conn:
            conn.send(b"\xff")
            with pytest.raises(ConnectionClosedError):
                conn.recv(timeout=PATIENCE)
            assert conn.close_code == CloseCode.MALFORMED
    assert seen == [True]

    codes: list[int | None] = []

    def send_wrong(conn: sync.Connection) -> None:
        conn.send(b"\xff")
        conn.wait_closed()
        codes.append(conn.close_code)

    with start(send_wrong, control_mode) as plain:
        with pytest.raises(DecodeError), dial(plain, control_mode, codec=Text()) as text:
            text.recv(timeout=PATIENCE)
        until(lambda: codes == [CloseCode.MALFORMED])
