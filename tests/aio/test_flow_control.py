"""Windows for messages: who may send how much, and what goes past a full inbox."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from sealframe import ClientOptions, Connection, ConnectionClosed, ProtocolError, ServerOptions
from sealframe.aio.connection import protocol_of
from sealframe.aio.tasks import start_task
from sealframe.wire import MAX_WINDOW, MESSAGE_OVERHEAD, CloseCode, Opcode, control
from sealframe.wire.control import Hello

from .ends import PATIENCE, Mode, Services, dial, is_held_back, open_pair, start
from .scripted import Role, facing, message, until

pytestmark = pytest.mark.usefixtures("no_leaks")

KIB = 1024
MIB = 1024 * KIB

WINDOW = Hello(window=MAX_WINDOW)
"""What a peer says of itself that takes whatever comes."""


async def echo(_: Connection, payload: bytes) -> bytes:
    return payload


ECHO: Services = {"on_request": echo}


def credit(increment: int) -> bytes:
    """Return a CREDIT frame."""
    return control.frame(Opcode.CREDIT, increment.to_bytes(4, "little"))


async def flood(conn: Connection, size: int = 10 * KIB) -> None:
    """Send without end."""
    while True:
        await conn.send(bytes(size))


class TestPastAFullInbox:
    @pytest.mark.parametrize("receiver", ["client", "server"])
    async def test_answers_come(self, control_mode: Mode, receiver: str) -> None:
        """Whoever awaits an answer, and reads no messages meanwhile, gets it."""
        limits: dict[str, Any] = {"inbox_limit": 50_000, "keepalive_interval": None}
        async with open_pair(
            control_mode,
            server_options=ServerOptions(**limits),
            client_options=ClientOptions(**limits),
            at_server=ECHO,
            at_client=ECHO,
        ) as (client, accepted, _):
            conn, peer = (client, accepted) if receiver == "client" else (accepted, client)
            flooding = asyncio.create_task(flood(peer))
            await until(lambda: is_held_back(conn))
            async with asyncio.timeout(PATIENCE):
                for size in (0, 10, 300_000):
                    assert await conn.request(bytes(size)) == bytes(size)
                    assert await peer.request(bytes(size)) == bytes(size)
                    await conn.ping()
                    await peer.ping()
            assert protocol_of(conn).receiver.queue.full
            assert (
                protocol_of(conn).receiver.queue.queued_bytes < 50_000 + 10 * KIB + MESSAGE_OVERHEAD
            )
            assert not protocol_of(conn).receiver.paused
            flooding.cancel()
            await asyncio.wait([flooding])

    async def test_a_peer_that_is_probed_answers(self, control_mode: Mode) -> None:
        """It lives, though its program takes no messages."""
        quick: dict[str, Any] = {"keepalive_interval": 0.02, "keepalive_timeout": PATIENCE}
        async with open_pair(
            control_mode,
            server_options=ServerOptions(inbox_limit=1000, **quick),
            client_options=ClientOptions(**quick),
        ) as (client, accepted, _):
            flooding = asyncio.create_task(flood(client))
            await until(lambda: is_held_back(accepted))
            protocol_of(client).pings = None
            await until(lambda: client.latency is not None)
            assert is_held_back(accepted)
            flooding.cancel()
            await asyncio.wait([flooding])

    async def test_the_peers_close_comes(self, control_mode: Mode) -> None:
        async with open_pair(control_mode, server_options=ServerOptions(inbox_limit=1)) as (
            client,
            accepted,
            _,
        ):
            await client.send(b"fills it")
            await until(lambda: is_held_back(accepted))
            async with asyncio.timeout(PATIENCE):
                closing = asyncio.create_task(client.close(CloseCode.GOING_AWAY, "good-bye"))
                await accepted.wait_closed()
                await closing
            assert accepted.close_reason == "good-bye"
            assert await accepted.recv() == b"fills it"


class TestCredit:
    @pytest.mark.parametrize("limit", [1, 100, 70_000])
    @pytest.mark.parametrize("size", [0, 10, 100_000])
    async def test_of_any_window_and_size(self, control_mode: Mode, limit: int, size: int) -> None:
        sent = [b"%03d" % number + bytes(size) for number in range(100)]
        options: dict[str, Any] = {"inbox_limit": limit}
        async with open_pair(
            control_mode,
            server_options=ServerOptions(**options),
            client_options=ClientOptions(**options),
        ) as (client, accepted, _):

            async def send(conn: Connection) -> None:
                for data in sent:
                    await conn.send(data)

            async def receive(conn: Connection) -> list[bytes]:
                got: list[bytes] = []
                while len(got) < len(sent):
                    got.append(await conn.recv())
                    assert (
                        protocol_of(conn).receiver.queue.queued_bytes
                        < limit + size + 3 + MESSAGE_OVERHEAD
                    )
                return got

            async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as group:
                for conn in (client, accepted):
                    group.create_task(send(conn))
                tasks = [group.create_task(receive(conn)) for conn in (client, accepted)]
            assert [task.result() for task in tasks] == [sent, sent]

    async def test_nothing_is_sent_without_it(self, control_mode: Mode, role: Role) -> None:
        hello = Hello(window=2 * (MESSAGE_OVERHEAD + 1) - 1)
        async with facing(role, control_mode, hello=hello) as (conn, peer):
            for number in range(5):
                await conn.send(b"%d" % number)
            pinging = start_task(conn.ping)
            # The second begins with the last of the credit; the third waits.
            assert await peer.read() == b"0"
            assert await peer.read() == b"1"
            body = await peer.read_opcode(Opcode.PING)
            await peer.write(control.frame(Opcode.PONG, body))
            await pinging
            assert not peer.raw.has_input()
            await peer.write(credit(1 + MESSAGE_OVERHEAD + 2))
            assert await peer.read() == b"2"
            assert await peer.read() == b"3"
            closing = asyncio.create_task(conn.close())
            await asyncio.sleep(0)
            assert len(protocol_of(conn).sender.queue) == 1
            # A peer that has closed gives no more credit, and reads on all the same.
            await peer.say_end()
            assert [f for f in await peer.await_end() if isinstance(f, bytes)] == [b"4"]
            assert await closing is True

    async def test_a_close_waits_for_credit_and_for_no_longer_than_it_may(
        self, control_mode: Mode, role: Role
    ) -> None:
        async with facing(role, control_mode, hello=Hello(window=1), close_timeout=0.1) as (
            conn,
            peer,
        ):
            await conn.send(b"goes")
            await conn.send(b"waits")
            assert await peer.read() == b"goes"
            async with asyncio.timeout(PATIENCE):
                assert await conn.close() is False
            assert conn.stats.unsent == 1

    async def test_two_that_close_with_full_inboxes_end(self, control_mode: Mode) -> None:
        """Each still wants to send; what finds no room is discarded and counted."""
        limits: dict[str, Any] = {"inbox_limit": 1000, "outbox_limit": 4 * MIB, "close_timeout": 5}
        async with open_pair(
            control_mode,
            server_options=ServerOptions(**limits),
            client_options=ClientOptions(**limits),
        ) as (client, accepted, _):
            for conn in (client, accepted):
                await conn.send_many([bytes(100)] * 5000)
            await until(lambda: is_held_back(client) and is_held_back(accepted))
            async with asyncio.timeout(PATIENCE):
                assert not any(await asyncio.gather(client.close(), accepted.close()))
            for conn in (client, accepted):
                assert conn.stats.messages_received + conn.stats.discarded == 5000
                assert conn.stats.unsent == 0

    async def test_who_ignores_the_window_is_disconnected(
        self, control_mode: Mode, role: Role
    ) -> None:
        async with facing(role, control_mode, hello=WINDOW, inbox_limit=1000) as (conn, peer):
            # One may pass what is left, a further one may not.
            await peer.write(message(bytes(1000)))
            await until(lambda: is_held_back(conn))
            assert protocol_of(conn).receiver.error is None
            await peer.write(message(b"one more"))
            close = await peer.read_opcode(Opcode.CLOSE)
            assert control.Close.decode(close).code == CloseCode.PROTOCOL
            peer.raw.close()
            async with asyncio.timeout(PATIENCE):
                await conn.wait_closed()
                assert len(await conn.recv_many()) <= 2
                with pytest.raises(ProtocolError, match="no credit"):
                    await conn.recv()

    async def test_what_came_of_it_can_be_taken_and_gives_no_credit(
        self, control_mode: Mode, role: Role
    ) -> None:
        """CLOSE and FIN are out: nothing is written after them."""
        sent = [b"%d" % number for number in range(40)]
        async with facing(role, control_mode, hello=WINDOW, inbox_limit=1000) as (conn, peer):
            # As many as it has credit for; once they are taken, credit is due.
            await peer.write(b"".join(map(message, sent[:15])))
            await until(lambda: conn.stats.messages_received == 15)
            await peer.write(b"".join(map(message, sent[15:])))
            await until(lambda: protocol_of(conn).closer.write_closed)
            frames = await peer.read_to_end()
            async with asyncio.timeout(PATIENCE):
                got = [await conn.recv() for _ in sent]
            assert got == sent
            with pytest.raises(ProtocolError, match="no credit"):
                await conn.recv()
            assert len(frames) == 1

    async def test_nor_does_the_log_tell_of_credit(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.DEBUG, "sealframe")
        async with facing("server", Mode("extended"), hello=WINDOW, inbox_limit=1000) as made:
            conn, peer = made
            await peer.write(message(bytes(1000)) + message(b"one more"))
            assert await peer.read_opcode(Opcode.CLOSE)
            assert await conn.recv_many(1) == [bytes(1000)]
            assert await peer.read_to_end() == []
        assert "window update" not in caplog.text

    async def test_a_flood_in_one_piece_is_cut_off(self, control_mode: Mode, role: Role) -> None:
        async with facing(role, control_mode, hello=WINDOW, inbox_limit=1000) as (conn, peer):
            await peer.write(message(b"") * 2000)
            async with asyncio.timeout(PATIENCE):
                await until(lambda: protocol_of(conn).receiver.error is not None)
            assert isinstance(protocol_of(conn).receiver.error, ProtocolError)
            assert protocol_of(conn).receiver.queue.queued_bytes <= 2000 * MESSAGE_OVERHEAD

    @pytest.mark.parametrize(
        "frames",
        [credit(0), credit(MAX_WINDOW), credit(1 << 31), control.frame(Opcode.CREDIT, b"abc")],
        ids=["none", "too much in all", "too much", "malformed"],
    )
    async def test_what_is_no_credit_is_refused(
        self, control_mode: Mode, role: Role, frames: bytes
    ) -> None:
        async with facing(role, control_mode, hello=Hello(window=1000)) as (conn, peer):
            await peer.write(frames)
            async with asyncio.timeout(PATIENCE):
                with pytest.raises(ProtocolError):
                    await conn.recv()
            close = await peer.read_opcode(Opcode.CLOSE)
            assert control.Close.decode(close).code == CloseCode.PROTOCOL

    async def test_it_does_not_pile_up_for_one_who_reads_nothing(
        self, control_mode: Mode, role: Role
    ) -> None:
        async with facing(role, control_mode, hello=WINDOW, inbox_limit=1) as (conn, peer):
            protocol_of(conn).pause_writing()
            for number in range(50):
                await peer.write(message(b"%d" % number))
                assert await conn.recv() == b"%d" % number
            output = protocol_of(conn).machine.output
            assert output is None or output.frames <= 1
            protocol_of(conn).resume_writing()
            increment = int.from_bytes(await peer.read_opcode(Opcode.CREDIT), "little")
            assert increment >= 50 * MESSAGE_OVERHEAD


class TestAnOlderPeer:
    """One that announces no window: TCP alone holds it back."""

    async def test_all_comes_through(self, control_mode: Mode, role: Role) -> None:
        sent = [b"%d" % number + bytes(1000) for number in range(300)]
        async with facing(role, control_mode, inbox_limit=1000) as (conn, peer):
            writing = asyncio.create_task(peer.write(b"".join(map(message, sent))))
            await until(lambda: protocol_of(conn).receiver.paused)
            async with asyncio.timeout(PATIENCE):
                assert [await conn.recv() for _ in sent] == sent
                await writing
                await conn.send_many(sent)
                got: list[bytes] = []
                while len(got) < len(sent):
                    frame = await peer.read()
                    assert isinstance(frame, bytes), "CREDIT is nothing to one who knows of none"
                    got.append(frame)
            assert got == sent
            await peer.write(credit(5))
            await peer.write(message(b"ignores credit"))
            assert await conn.recv() == b"ignores credit"


class TestBroadcasts:
    async def test_one_without_credit_counts_as_slow_and_holds_up_nobody(
        self, control_mode: Mode
    ) -> None:
        options = ServerOptions(outbox_limit=50_000, slow_client="drop")

        async def handler(conn: Connection) -> None:
            await conn.wait_closed()

        async with (
            start(handler, control_mode, options=options) as server,
            dial(server, control_mode, options=ClientOptions(inbox_limit=1000)) as slow,
            dial(server, control_mode) as quick,
        ):
            await slow.ping()
            await quick.ping()
            async with asyncio.timeout(PATIENCE):
                for number in range(200):
                    server.broadcast(b"%03d" % number + bytes(1000))
                    assert (await quick.recv())[:3] == b"%03d" % number
            assert protocol_of(slow).receiver.queue.queued_bytes < 1000 + 1003 + MESSAGE_OVERHEAD
            dropped = server.counters.dropped
            assert dropped > 100
            got: list[bytes] = []
            async with asyncio.timeout(PATIENCE):
                while len(got) < 200 - dropped:
                    got += await slow.recv_many()
            assert [data[:3] for data in got] == [b"%03d" % n for n in range(len(got))]

    async def test_or_is_disconnected(self, control_mode: Mode) -> None:
        async def handler(conn: Connection) -> None:
            await conn.wait_closed()

        async with (
            start(handler, control_mode, options=ServerOptions(outbox_limit=10_000)) as server,
            dial(server, control_mode, options=ClientOptions(inbox_limit=1000)) as slow,
        ):
            await slow.ping()
            async with asyncio.timeout(PATIENCE):
                while server.clients:
                    server.broadcast(bytes(1000))
                    await asyncio.sleep(0)
                with pytest.raises(ConnectionClosed):
                    while True:
                        await slow.recv()
