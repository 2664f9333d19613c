"""A session of a program without asyncio: one connection over many links."""

from __future__ import annotations

import queue
import socket
import threading
from collections.abc import Iterator

import pytest
from aio.ends import PATIENCE, Mode

from sealframe import (
    ClientOptions,
    ConnectionClosed,
    LinkChange,
    SessionLostError,
    Sessions,
    WaitTimeoutError,
    sync,
)
from sealframe.aio.connection import protocol_of
from sealframe.sync.connection import unwrap

from .ends import dial, echo, start, until

OPTIONS = ClientOptions(backoff_initial=0.001, backoff_maximum=0.01)


class Road:
    """What a client connects through: opens sockets as long as it is open."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.open.set()
        self.target = 0

    def connect(self) -> socket.socket:
        """Return a socket that is connected to the server."""
        assert self.open.wait(PATIENCE)
        return socket.create_connection(("127.0.0.1", self.target))

    def lose_link(self, conn: sync.Connection) -> None:
        """Cut the link; no other comes in its place before this is open again."""
        self.open.clear()
        protocol = protocol_of(unwrap(conn))
        assert protocol.transport is not None
        protocol.loop.call_soon_threadsafe(protocol.transport.abort)
        until(lambda: not conn.connected)


@pytest.fixture
def road() -> Iterator[Road]:
    road = Road()
    yield road
    road.open.set()


def test_it_goes_on(control_mode: Mode, road: Road) -> None:
    told: queue.Queue[tuple[sync.Connection, LinkChange, bool]] = queue.Queue()

    def on_link(conn: sync.Connection, change: LinkChange) -> None:
        told.put((conn, change, threading.current_thread().daemon))

    with start(echo, control_mode, sessions=Sessions(), on_link=on_link) as server:
        road.target = server.port
        with dial(
            server, control_mode, OPTIONS, session=True, sock=road.connect, on_link=on_link
        ) as conn:
            conn.wait_connected(timeout=PATIENCE)
            (accepted,) = server.clients.values()
            for number in range(2):
                message = b"%d" % number
                road.lose_link(conn)
                with pytest.raises(WaitTimeoutError):
                    conn.wait_connected(timeout=0.01)
                assert "<sync.Connection" in repr(conn)
                assert " detached " in repr(conn)
                until(lambda: not accepted.connected)
                conn.send(message)
                road.open.set()
                conn.wait_connected(timeout=PATIENCE)
                assert conn.connected
                assert conn.recv(timeout=PATIENCE) == message
                calls = [told.get(timeout=PATIENCE) for _ in range(4)]
                for end in (conn, accepted):
                    changes = [change for who, change, _ in calls if who is end]
                    assert [change.connected for change in changes] == [False, True]
                assert all(daemon for _, _, daemon in calls)
            assert server.stats()["clients"][conn.id]["links"] == 3
            assert server.counters.sessions_resumed == 2
    assert told.empty()
    assert not conn.connected
    with pytest.raises(ConnectionClosed):
        conn.wait_connected(timeout=PATIENCE)


def test_a_kick_is_told_with_counts(road: Road) -> None:
    mode = Mode("extended")
    with start(echo, mode, sessions=Sessions()) as server:
        road.target = server.port
        with dial(server, mode, OPTIONS, session=True, sock=road.connect) as conn:
            conn.send(b"arrives")
            assert conn.recv(timeout=PATIENCE) == b"arrives"
            server.kick(conn.id, "enough")
            with pytest.raises(SessionLostError, match="enough") as caught:
                conn.recv(timeout=PATIENCE)
            error = caught.value
            assert (error.arrived, error.discarded, error.unknown, error.unsent) == (1, 0, 0, 0)
            assert not conn.close()


def test_it_is_lost(road: Road) -> None:
    mode = Mode("extended")
    with start(echo, mode, sessions=Sessions(max_detached=0)) as server:
        road.target = server.port
        with dial(server, mode, OPTIONS, session=True, sock=road.connect) as conn:
            conn.send(b"arrives")
            assert conn.recv(timeout=PATIENCE) == b"arrives"
            road.lose_link(conn)
            until(lambda: server.counters.sessions_lost == 1)
            conn.send(b"does not")
            road.open.set()
            with pytest.raises(SessionLostError) as caught:
                conn.wait_connected(timeout=PATIENCE)
            error = caught.value
            assert (error.arrived + error.unknown, error.unsent) == (1, 1)
