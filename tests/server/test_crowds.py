"""Crowds at the door: who comes in, who has to go for it, and who does not notice."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import socket
import tracemalloc
from collections.abc import Iterator
from typing import Final

import pytest
from aio.ends import PATIENCE, TCP, Family, Mode, dial, is_held_back, start
from aio.scripted import Peer, Raw, until

from sealframe import Connection, ConnectionClosed, HandshakeError, Server, ServerOptions
from sealframe.aio.connection import protocol_of
from sealframe.core.budget import FIRST_WINDOW
from sealframe.server.rate_limit_key import rate_limit_key
from sealframe.server.server import registry_of
from sealframe.wire import Opcode, control
from sealframe.wire.control import Hello

try:
    import resource
except ImportError:
    resource = None  # type: ignore[assignment]

pytestmark = pytest.mark.usefixtures("no_leaks")

KIB: Final = 1024
MIB: Final = 1024 * KIB

_READ_SIZE: Final = 256 * KIB
"""Bytes that one read takes in at most, as long as messages are small."""


async def echo(conn: Connection) -> None:
    async for data in conn:
        await conn.send(data)


async def check_alive(conn: Connection) -> None:
    """Exchange a message both ways."""
    async with asyncio.timeout(PATIENCE):
        await conn.send(b"alive?")
        assert await conn.recv() == b"alive?"


def newcomer(server: Server, family: Family = TCP, *, host: str = "127.0.0.1") -> socket.socket:
    """Connect without a word and without a turn of the event loop.

    :param host: the address to come from, one of this machine
    """
    if family.path is not None:
        sock = socket.socket(socket.AF_UNIX)
        sock.connect(str(family.path))
    else:
        sock = socket.socket(socket.AF_INET6 if family.name == "tcp6" else socket.AF_INET)
        if family.name == "tcp4":
            sock.bind((host, 0))
        sock.connect(("::1" if family.name == "tcp6" else "127.0.0.1", server.port))
    sock.setblocking(False)
    return sock


def another_loopback() -> str:
    """Return a second address of this machine, or skip the test."""
    with socket.socket(socket.AF_INET) as probe:
        try:
            probe.bind(("127.0.0.2", 0))
        except OSError:
            pytest.skip("127.0.0.2 is no address of this machine")
    return "127.0.0.2"


@contextlib.contextmanager
def closing_all() -> Iterator[list[socket.socket]]:
    """Close the sockets that the test puts into the list."""
    sockets: list[socket.socket] = []
    try:
        yield sockets
    finally:
        for sock in sockets:
            sock.close()


async def silent_crowd(
    server: Server, sockets: list[socket.socket], count: int, host: str = "127.0.0.1"
) -> None:
    """Open connections that say nothing, and wait until the server has seen them."""
    before = server.counters.accepted
    for number in range(count):
        sockets.append(newcomer(server, host=host))
        if number % 64 == 63:
            await until(lambda seen=before + number + 1: server.counters.accepted >= seen)  # type: ignore[misc]
    await until(lambda: server.counters.accepted >= before + count)


def outcome(sock: socket.socket) -> bytes | None:
    """Return what a silent one was told, None while it is connected."""
    try:
        return sock.recv(1000)
    except BlockingIOError:
        return None
    except ConnectionResetError:
        return b""


def all_aborts_done(server: Server) -> bool:
    """Return whether the sockets of all dropped connections are gone."""
    return len(registry_of(server).connections) == len(registry_of(server).admission)


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [r.getMessage() for r in caplog.records if r.name == "sealframe.server"]


class TestPending:
    async def test_silent_sockets_do_not_lock_others_out(
        self, sealed: Mode, family: Family, caplog: pytest.LogCaptureFixture
    ) -> None:
        """They drop one another; not a byte is said to them, and one line to the log."""
        options = ServerOptions(max_pending_per_address=5, handshake_timeout=60)
        with closing_all() as crowd:
            async with start(echo, sealed, family, options) as server:
                registry = registry_of(server)
                crowd += [newcomer(server, family) for _ in range(30)]
                await until(lambda: server.counters.accepted == 30)
                await until(lambda: len(registry.connections) == 5)
                async with dial(server, sealed, family) as conn:
                    await check_alive(conn)
                    assert registry.admission.pending == 4
                assert server.counters.dropped_handshakes == 26
                assert server.counters.failed_handshakes == 0
                assert server.counters.turned_away == 0
                fates = [outcome(sock) for sock in crowd]
                assert sorted(fates, key=repr) == [None] * 4 + [b""] * 26
                (line,) = lines(caplog)
                assert "too many are pending" in line
                caplog.clear()

    async def test_the_established_stay_when_all_are_dropped(self, sealed: Mode) -> None:
        options = ServerOptions(max_connections=6, max_pending=2)
        with closing_all() as crowd:
            async with start(echo, sealed, options=options) as server:
                registry = registry_of(server)
                async with dial(server, sealed) as one, dial(server, sealed) as other:
                    await silent_crowd(server, crowd, 100)
                    assert registry.admission.pending == 2
                    await check_alive(one)
                    await check_alive(other)

    async def test_a_full_server_drops_a_pending_one_first(self, sealed: Mode) -> None:
        options = ServerOptions(max_connections=3)
        with closing_all() as crowd:
            async with start(echo, sealed, options=options) as server:
                await silent_crowd(server, crowd, 3)
                async with contextlib.AsyncExitStack() as stack:
                    for _ in range(3):
                        conn = await stack.enter_async_context(dial(server, sealed))
                        await check_alive(conn)
                    assert server.counters.dropped_handshakes == 3
                    assert server.counters.turned_away == 0
                    with pytest.raises(HandshakeError, match="limit of connections"):
                        await dial(server, sealed)
                    assert server.counters.turned_away == 1

    async def test_a_flood_from_one_address_spares_another(self, sealed: Mode) -> None:
        options = ServerOptions(max_pending_per_address=3)
        elsewhere = another_loopback()
        with closing_all() as crowd:
            async with start(echo, sealed, options=options) as server:
                registry = registry_of(server)
                async with await Raw.dial(server.port) as raw:
                    peer = Peer(raw, sealed, client=True)
                    await peer.shake_hands()
                    await silent_crowd(server, crowd, 100, elsewhere)
                    assert registry.admission.pending == 4
                    assert server.counters.dropped_handshakes == 97
                    # Half-way before, it gets in now.
                    await peer.write(control.frame(Opcode.HELLO, Hello().encode()))
                    await until(lambda: len(server.clients) == 1)

    async def test_dropped_just_as_it_becomes_established(self, sealed: Mode) -> None:
        """HELLO and the newcomer come in the same tick, whichever is first: the one is
        either a client, and stays one, or is gone without a trace."""
        options = ServerOptions(max_pending=1)
        fates = set()
        for _ in range(10):
            async with start(echo, sealed, options=options) as server:
                registry = registry_of(server)
                async with await Raw.dial(server.port) as raw:
                    peer = Peer(raw, sealed, client=True)
                    await peer.shake_hands()
                    assert peer.records is not None
                    hello = control.frame(Opcode.HELLO, Hello().encode())
                    raw.sock.send(b"".join(peer.records.seal(hello)))
                    with newcomer(server):
                        await until(lambda: server.counters.accepted == 2)
                        await until(lambda: registry_of(server).admission.pending == 1)
                        dropped = server.counters.dropped_handshakes
                        assert len(registry.admission) == 2 - dropped
                        await until(lambda: all_aborts_done(server))
                        assert len(server.clients) == len(registry.handlers) == 1 - dropped
                        if dropped:
                            # Nothing of a WELCOME.
                            assert await raw.receive_to_end() == b""
                        fates.add(dropped)
        assert fates <= {0, 1}

    async def test_nobody_is_dropped_where_nobody_shakes_hands(self) -> None:
        plain = Mode("packets")
        options = ServerOptions(max_pending=1, max_pending_per_address=1)
        async with start(echo, plain, options=options) as server:
            with closing_all() as crowd:
                await silent_crowd(server, crowd, 10)
                assert len(server.clients) == 10
                assert server.counters.dropped_handshakes == 0

    async def test_many_honest_clients_at_once(self, sealed: Mode) -> None:
        count = 200
        async with start(echo, sealed) as server:
            opened = await asyncio.gather(*(dial(server, sealed) for _ in range(count)))
            await until(lambda: len(server.clients) == count)
            assert server.counters.dropped_handshakes == 0
            await asyncio.gather(*(conn.close() for conn in opened))


async def test_a_crowd_waits_in_the_kernel() -> None:
    """A server that is busy for a moment takes in all who came meanwhile."""
    async with start(echo, Mode("packets")) as server:
        with closing_all() as crowd:
            for _ in range(100):
                crowd.append(socket.create_connection(("127.0.0.1", server.port), PATIENCE))
            await until(lambda: server.counters.accepted == 100)


class TestRate:
    OPTIONS = ServerOptions(connection_rate=0.001, connection_burst=3)

    async def test_beyond_it_newcomers_are_closed_at_once(
        self, mode: Mode, family: Family, caplog: pytest.LogCaptureFixture
    ) -> None:
        async with start(echo, mode, family, self.OPTIONS) as server:
            registry = registry_of(server)
            with closing_all() as crowd:
                async with dial(server, mode, family) as conn:
                    crowd += [newcomer(server, family) for _ in range(20)]
                    await until(lambda: server.counters.too_fast == 18)
                    assert server.counters.accepted == len(registry.admission) == 3
                    await check_alive(conn)
                    fates = [outcome(sock) for sock in crowd[2:]]
                    assert fates == [b""] * 18
                (line,) = lines(caplog)
                assert "connection_rate" in line

    async def test_each_address_has_its_own(self) -> None:
        plain, elsewhere = Mode("packets"), another_loopback()
        async with start(echo, plain, options=self.OPTIONS) as server:
            with closing_all() as crowd:
                crowd += [newcomer(server, host=elsewhere) for _ in range(10)]
                await until(lambda: server.counters.too_fast == 7)
                async with dial(server, plain) as conn:
                    await check_alive(conn)

    async def test_a_client_that_tries_again_gets_in(self) -> None:
        plain = Mode("packets")
        options = ServerOptions(connection_rate=2, connection_burst=1)
        async with start(echo, plain, options=options) as server:
            async with dial(server, plain) as one:
                await check_alive(one)
                async with asyncio.timeout(PATIENCE):
                    while server.counters.accepted < 2:
                        with contextlib.suppress(ConnectionClosed):
                            async with dial(server, plain) as other:
                                await check_alive(other)
                assert server.counters.too_fast > 0


class TestBookkeeping:
    async def test_connections_reset_before_anyone_looked(self, sealed: Mode) -> None:
        async with start(echo, sealed) as server:
            registry = registry_of(server)
            for _ in range(5):
                for _ in range(20):
                    Raw(newcomer(server)).reset()
                await asyncio.sleep(0)
            async with dial(server, sealed) as conn:
                await check_alive(conn)
                await until(lambda: len(registry.connections) == len(registry.admission) == 1)
                assert registry.admission.pending == 0
            await until(lambda: len(registry.admission) == 0)

    async def test_a_server_that_closes_in_a_flood(
        self, mode: Mode, caplog: pytest.LogCaptureFixture
    ) -> None:
        options = ServerOptions(max_pending=20, max_connections=40, close_timeout=0.5)
        with closing_all() as crowd:
            server = await start(echo, mode, options=options)
            registry = registry_of(server)
            port = server.port
            await silent_crowd(server, crowd, 30)
            closing = asyncio.ensure_future(server.close())
            # Some come before the listening socket is closed, some in the same tick.
            with contextlib.suppress(OSError):
                while len(crowd) < 1000 and not closing.done():
                    crowd.append(socket.create_connection(("127.0.0.1", port)))
                    await asyncio.sleep(0)
            for sock in crowd:
                sock.close()
            async with asyncio.timeout(PATIENCE):
                await closing
            await until(lambda: not registry.connections)
            assert len(registry.admission) == registry.admission.pending == 0
            assert not registry.handlers
            assert not server.clients
            if mode.sealed:
                (line,) = lines(caplog)
                assert "too many are pending" in line
            gc.collect()

    @pytest.mark.parametrize("ticks", range(5))
    async def test_one_that_comes_while_the_server_closes(self, mode: Mode, ticks: int) -> None:
        """It was accepted a few ticks before, and may not have been handed over yet."""
        options = ServerOptions(handshake_timeout=60, close_timeout=0.2)
        server = await start(echo, mode, options=options)
        registry = registry_of(server)
        with newcomer(server):
            for _ in range(ticks):
                await asyncio.sleep(0)
            async with asyncio.timeout(PATIENCE):
                await server.close()
            for _ in range(5):
                await asyncio.sleep(0)
            assert len(registry.connections) == len(registry.admission) == len(server.clients) == 0
            gc.collect()

    async def test_what_counts_as_one_address(self, family: Family) -> None:
        """Two connections from here have the same, and there is one for every family."""
        seen = []

        async def handler(conn: Connection) -> None:
            transport = protocol_of(conn).transport
            assert transport is not None
            seen.append(rate_limit_key(transport))

        async with start(handler, Mode("packets"), family) as server:
            with newcomer(server, family), newcomer(server, family):
                await until(lambda: len(seen) == 2)
        assert seen[0] == seen[1]
        if family.name == "unix" and not hasattr(socket, "SO_PEERCRED"):
            assert seen[0] is None
        else:
            kinds = {"tcp4": bytes([127, 0, 0, 1]), "tcp6": bytes(8)}
            assert seen[0] == (kinds[family.name] if family.path is None else os.getuid())


class TestThousands:
    async def test_of_silent_handshakes(self, sealed: Mode) -> None:
        """Live clients go on, and afterwards the memory is as it was before."""
        count = 1000
        if resource is not None:
            free = resource.getrlimit(resource.RLIMIT_NOFILE)[0] - 200
            count = min(count, free // 2)
        pending = count // 4
        options = ServerOptions(max_pending_per_address=pending, handshake_timeout=60)
        async with start(echo, sealed, options=options) as server:
            registry = registry_of(server)
            async with dial(server, sealed) as one, dial(server, sealed) as other:
                rounds = 0

                async def exchange() -> None:
                    nonlocal rounds
                    while True:
                        await check_alive(one)
                        await check_alive(other)
                        rounds += 1

                async def flood(count: int) -> None:
                    with closing_all() as crowd:
                        await silent_crowd(server, crowd, count)
                        assert registry.admission.pending == pending
                    await until(lambda: len(registry.connections) == 2)

                tracemalloc.start()
                try:
                    # The first one makes what is kept for good: caches, tables.
                    await flood(count)
                    gc.collect()
                    before, _ = tracemalloc.get_traced_memory()
                    exchanging = asyncio.ensure_future(exchange())
                    await flood(count)
                    exchanging.cancel()
                    await asyncio.wait([exchanging])
                    gc.collect()
                    after, _ = tracemalloc.get_traced_memory()
                finally:
                    tracemalloc.stop()
                assert rounds > count // 128
                assert after - before < 256 * KIB
                assert server.counters.dropped_handshakes == 2 * (count - pending)
                assert len(server.clients) == 2


class TestInboxBudget:
    COUNT = 8
    OPTIONS = ServerOptions(inbox_limit=8 * MIB, inbox_budget=8 * MIB)
    MESSAGES = [bytes(16 * KIB)] * 192  # 3 MiB

    async def test_all_together_stay_within_it(self, mode: Mode) -> None:
        """Handlers do not read while 24 MiB are sent; once they do, nothing is missing."""
        go, received = asyncio.Event(), [0]

        async def handler(conn: Connection) -> None:
            await go.wait()
            async for message in conn:
                assert message == self.MESSAGES[0]
                received[0] += 1

        async with (
            start(handler, mode, options=self.OPTIONS) as server,
            contextlib.AsyncExitStack() as stack,
        ):
            clients = [
                await stack.enter_async_context(dial(server, mode)) for _ in range(self.COUNT)
            ]
            await until(lambda: len(server.clients) == self.COUNT)
            senders = [asyncio.ensure_future(c.send_many(self.MESSAGES)) for c in clients]
            conns = list(server.clients.values())
            most = self.OPTIONS.inbox_budget + self.COUNT * _READ_SIZE
            async with asyncio.timeout(PATIENCE):
                while not all(map(is_held_back, conns)):
                    assert (
                        sum(protocol_of(conn).receiver.queue.queued_bytes for conn in conns) <= most
                    )
                    await asyncio.sleep(0)
            held = sum(protocol_of(conn).receiver.queue.queued_bytes for conn in conns)
            # A window grows only while its messages are taken.
            windows = mode.has_control
            least = self.COUNT * FIRST_WINDOW if windows else self.OPTIONS.inbox_budget
            assert least <= held <= (2 * least if windows else most)
            go.set()
            await asyncio.gather(*senders)
            await until(lambda: received[0] == self.COUNT * len(self.MESSAGES))

    async def test_a_share_less_than_one_message(self, mode: Mode) -> None:
        options = ServerOptions(inbox_budget=1)
        async with start(echo, mode, options=options) as server:
            async with dial(server, mode) as one, dial(server, mode) as other:
                for conn in (one, other):
                    sending = asyncio.ensure_future(conn.send_many([bytes(1000)] * 300))
                    for _ in range(300):
                        async with asyncio.timeout(PATIENCE):
                            assert await conn.recv() == bytes(1000)
                    await sending

    async def test_who_leaves_gives_the_share_back(self, mode: Mode) -> None:
        async with start(echo, mode, options=self.OPTIONS) as server:
            registry = registry_of(server)
            async with dial(server, mode):
                async with dial(server, mode):
                    await until(lambda: registry.budget.quota == 4 * MIB)
                await until(lambda: registry.budget.quota == 8 * MIB)
            await until(lambda: not registry.handlers)
            assert registry.budget.members == 0

    async def test_unread_messages_of_a_client_that_left_still_count(self) -> None:
        """Or whoever fills an inbox, leaves and comes again would fill the memory."""
        plain, go = Mode("packets"), asyncio.Event()

        async def handler(conn: Connection) -> None:
            await go.wait()

        async with start(handler, plain, options=self.OPTIONS) as server:
            registry = registry_of(server)
            for visits in range(1, 4):
                async with await Raw.dial(server.port) as raw:
                    await until(lambda: bool(server.clients))
                    raw.reset()
                await until(lambda: not server.clients)
                assert registry.budget.quota == 8 * MIB // visits
            go.set()
            await until(lambda: registry.budget.quota == 8 * MIB)

    async def test_pending_handshakes_take_no_share(self, sealed: Mode) -> None:
        with closing_all() as crowd:
            async with start(echo, sealed, options=self.OPTIONS) as server:
                registry = registry_of(server)
                await silent_crowd(server, crowd, 20)
                assert registry.budget.quota == 8 * MIB
