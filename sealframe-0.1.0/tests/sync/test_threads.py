"""Objects that any thread may use, except one whose event loop they would stop."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping

import pytest
from aio.ends import PATIENCE, Mode

from sealframe import ServerOptions, WrongLoopError, sync
from sealframe.sync.loop_thread import shared

from .ends import dial, echo, in_thread, open_pair, start, until

COUNT = 200


def test_threads_that_send_on_one_connection(mode: Mode) -> None:
    with open_pair(mode) as (client, accepted, _):

        def send(number: int) -> None:
            for count in range(COUNT):
                client.send(b"%d %d" % (number, count))

        threads = [in_thread(send, number) for number in range(5)]
        got = [accepted.recv(timeout=PATIENCE) for _ in range(5 * COUNT)]
        for thread in threads:
            thread.join(PATIENCE)
    for number in range(5):
        # Each thread's own messages are in order.
        own = [message for message in got if message.startswith(b"%d " % number)]
        assert own == [b"%d %d" % (number, count) for count in range(COUNT)]


def test_threads_that_receive_on_one_connection(mode: Mode) -> None:
    with open_pair(mode) as (client, accepted, _):
        got: list[bytes] = []
        threads = [in_thread(lambda: got.extend(client)) for _ in range(3)]
        sent = [b"%d" % number for number in range(COUNT)]
        accepted.send_many(sent)
        until(lambda: len(got) == COUNT)
        closing = in_thread(accepted.close)
        for thread in threads:
            thread.join(PATIENCE)
        client.close()
        closing.join(PATIENCE)
        assert Counter(got) == Counter(sent)


def test_clients_in_threads_and_broadcasts_beside(mode: Mode) -> None:
    with start(echo, mode) as server:
        done: list[int] = []

        def client(number: int) -> None:
            with dial(server, mode) as conn:
                for count in range(COUNT):
                    conn.send(b"%d" % count)
                echoed = 0
                while echoed < COUNT:
                    echoed += conn.recv(timeout=PATIENCE) != b"news"
            done.append(number)

        threads = [in_thread(client, number) for number in range(4)]
        while any(thread.is_alive() for thread in threads):
            server.broadcast(b"news")
            for conn in server.clients.values():
                assert conn.stats.dropped == 0
        assert sorted(done) == [0, 1, 2, 3]


ON_A_CONNECTION: Mapping[str, Callable[[sync.Connection], object]] = {
    "send": lambda conn: conn.send(b"never"),
    "send_many": lambda conn: conn.send_many([b"never"]),
    "recv": lambda conn: conn.recv(),
    "recv_many": lambda conn: conn.recv_many(),
    "for": lambda conn: next(iter(conn)),
    "ping": lambda conn: conn.ping(),
    "request": lambda conn: conn.request(b"never"),
    "open_stream": lambda conn: conn.open_stream(),
    "join": lambda conn: conn.join("room"),
    "leave": lambda conn: conn.leave("room"),
    "groups": lambda conn: conn.groups,
    "state": lambda conn: conn.state,
    "close": lambda conn: conn.close(),
    "wait_closed": lambda conn: conn.wait_closed(),
}

ON_A_SERVER: Mapping[str, Callable[[sync.Server], object]] = {
    "broadcast": lambda server: server.broadcast(b"never"),
    "clients": lambda server: server.clients,
    "groups": lambda server: server.groups,
    "group": lambda server: len(server.group("room")),
    "stats": lambda server: server.stats(),
    "kick": lambda server: server.kick("1"),
    "close": lambda server: server.close(),
    "wait_closed": lambda server: server.wait_closed(),
    "serve_forever": lambda server: server.serve_forever(),
}


async def within_a_loop(function: Callable[[], object]) -> None:
    function()


@pytest.mark.parametrize("name", ON_A_CONNECTION)
def test_a_connection_stops_no_event_loop(name: str) -> None:
    with open_pair(Mode()) as (client, accepted, _):
        accepted.send(b"waiting")
        until(lambda: client.stats.messages_received == 1)
        with pytest.raises(WrongLoopError, match="in another thread"):
            asyncio.run(within_a_loop(lambda: ON_A_CONNECTION[name](client)))
        assert client.stats.messages_sent == 0
        assert client.recv() == b"waiting"


@pytest.mark.parametrize("name", ON_A_SERVER)
def test_a_server_stops_no_event_loop(name: str) -> None:
    with open_pair(Mode(), server_options=ServerOptions()) as (client, accepted, server):
        with pytest.raises(WrongLoopError, match="in another thread"):
            asyncio.run(within_a_loop(lambda: ON_A_SERVER[name](server)))
        accepted.send(b"still open")
        assert client.recv() == b"still open"


async def test_nor_do_connect_and_serve() -> None:
    with pytest.raises(WrongLoopError, match=r"sealframe\.connect"):
        sync.connect("127.0.0.1", 1)
    with pytest.raises(WrongLoopError, match=r"sealframe\.serve"):
        sync.serve(echo, "127.0.0.1", 0)


def test_nor_the_one_behind_it_all() -> None:
    """A function that it calls cannot wait for what it does itself."""
    with open_pair(Mode()) as (client, _, _):
        with pytest.raises(WrongLoopError):
            shared().call(client.recv)
