"""What a program without asyncio does when connections come and go, in threads."""

from __future__ import annotations

import threading

import pytest
from aio.ends import PATIENCE, Mode

from sealframe import Disconnect, DisconnectKind, ServerOptions, WaitTimeoutError, sync

from .ends import dial, echo, open_pair, start, until


def test_a_connection_is_greeted_before_the_program_gets_it(mode: Mode) -> None:
    """As by a function that is no coroutine, where there is no thread."""
    gone: list[tuple[object, str, DisconnectKind]] = []

    def on_connect(conn: sync.Connection) -> None:
        assert threading.current_thread().daemon
        conn.state.name = f"greeted {conn.id}"

    def on_disconnect(conn: sync.Connection, reason: Disconnect) -> None:
        assert conn.closed
        gone.append((conn, conn.state.name, reason.kind))

    def handler(conn: sync.Connection) -> None:
        conn.send(conn.state.name.encode())
        assert list(conn) == []

    with start(handler, mode, on_connect=on_connect, on_disconnect=on_disconnect) as server:
        conn = dial(server, mode, on_connect=on_connect, on_disconnect=on_disconnect)
        assert conn.state.name == f"greeted {conn.id}"
        assert conn.recv(timeout=PATIENCE).startswith(b"greeted ")
        conn.close()
        # It waits for the hook.
        assert (conn, conn.state.name, DisconnectKind.CLOSED) in gone
    assert len(gone) == 2


def test_each_round_of_a_loop_is_greeted(mode: Mode) -> None:
    with start(echo, mode) as server:
        for conn in sync.reconnect(
            "127.0.0.1",
            server.port,
            **mode.client,
            on_connect=lambda conn: setattr(conn.state, "seen", True),
        ):
            assert conn.state.seen
            break


def test_a_greeting_that_takes_too_long(mode: Mode) -> None:
    go_on = threading.Event()
    with start(echo, mode) as server:
        with pytest.raises(WaitTimeoutError):
            sync.connect(
                "127.0.0.1",
                server.port,
                **mode.client,
                on_connect=lambda _: go_on.wait(PATIENCE),
                timeout=0.1,
            )
        go_on.set()
        until(lambda: not server.clients)


def test_a_hook_may_close_its_connection_and_wait_for_that(mode: Mode) -> None:
    """It does not wait for itself, which would take close_timeout."""
    closed: list[str] = []

    def on_connect(conn: sync.Connection) -> None:
        conn.close()
        closed.append("on_connect")

    def on_disconnect(conn: sync.Connection, reason: Disconnect) -> None:
        conn.close()
        conn.wait_closed()
        closed.append("on_disconnect")

    options = ServerOptions(close_timeout=6 * PATIENCE)
    with start(
        lambda conn: None, mode, options, on_connect=on_connect, on_disconnect=on_disconnect
    ) as server:
        with dial(server, mode) as conn:
            assert list(conn) == []
        until(lambda: closed == ["on_connect", "on_disconnect"])


def test_what_a_hook_raises_is_logged(mode: Mode, caplog: pytest.LogCaptureFixture) -> None:
    def on_connect(conn: sync.Connection) -> None:
        raise LookupError("no such thing")

    with start(echo, mode, on_connect=on_connect) as server, dial(server, mode) as conn:
        conn.send(b"still served")
        assert conn.recv(timeout=PATIENCE) == b"still served"
    assert "no such thing" in caplog.text


def test_a_kick_is_told_to_the_hook(control_mode: Mode) -> None:
    reasons: list[Disconnect] = []
    with open_pair(control_mode, on_disconnect=lambda conn, reason: reasons.append(reason)) as pair:
        pair.server.kick(pair.accepted.id, "please do not come back")
        until(lambda: bool(reasons))
        assert reasons[0].kind is DisconnectKind.KICKED
        assert reasons[0].text == "please do not come back"
        assert pair.client.close_reason == "please do not come back"
