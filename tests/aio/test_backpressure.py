"""A slow reader stops the sender; what waits in between is bounded, and nothing is lost.

The cost of a message in a queue is its length plus 64, so that empty ones count too.
"""

from __future__ import annotations

import asyncio
import tracemalloc
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

import sealframe
from sealframe import ClientOptions, Connection, HandshakeError, PeerTimeoutError, ServerOptions
from sealframe.aio.connection import protocol_of
from sealframe.wire import MESSAGE_OVERHEAD

from .ends import PATIENCE, Api, Family, Mode, dial, is_held_back, open_pair, start, take
from .scripted import Peer, Role, facing, listening, message, until

EAGER = True

pytestmark = pytest.mark.usefixtures("no_leaks")

KIB = 1024
MIB = 1024 * KIB

ONE_READ = 256 * KIB
"""The most that comes in at once."""
ONE_BATCH = 256 * KIB
"""The most that is framed and handed to the transport at once, if messages are small."""
TRANSPORT = 64 * KIB
"""What an event loop buffers before it says that it is full."""

roles = pytest.mark.parametrize("role", ["client", "server"])


async def visit_the_selector() -> None:
    """Return after the event loop has looked at its sockets, and at those that wait twice."""
    async with open_pair(Mode()) as (client, accepted, _):
        for _ in range(2):
            await client.send(b"there")
            assert await take(accepted, 1) == [b"there"]
            await accepted.send(b"and back")
            assert await take(client, 1) == [b"and back"]


# The send queue


@pytest.mark.parametrize(("size", "accepted_at_once"), [(0, 16), (1, 16), (36, 10), (936, 1)])
async def test_the_outbox_takes_messages_until_their_cost_reaches_the_limit(
    mode: Mode, size: int, accepted_at_once: int, api: Api
) -> None:
    options = ClientOptions(outbox_limit=1000)
    async with open_pair(mode, api=api, client_options=options) as (client, accepted, _):
        protocol_of(client).pause_writing()
        tasks = [asyncio.create_task(client.send(bytes(size))) for _ in range(20)]
        for _ in range(3):
            await asyncio.sleep(0)
        assert [task.done() for task in tasks] == [
            number < accepted_at_once for number in range(20)
        ]
        protocol_of(client).resume_writing()
        async with asyncio.timeout(PATIENCE):
            await asyncio.gather(*tasks)
        assert await take(accepted, 20) == [bytes(size)] * 20


async def test_send_many_passes_the_limit_once(mode: Mode, api: Api) -> None:
    sent = [b"%d" % number for number in range(100)]
    options = ClientOptions(outbox_limit=1000)
    async with open_pair(mode, api=api, client_options=options) as (client, accepted, _):
        protocol_of(client).pause_writing()
        await client.send(b"not full yet")
        async with asyncio.timeout(PATIENCE):
            await client.send_many(sent)
        waiting = [
            asyncio.create_task(client.send_many(sent)),
            asyncio.create_task(client.send(b"last")),
        ]
        for _ in range(3):
            await asyncio.sleep(0)
        assert not any(task.done() for task in waiting)
        protocol_of(client).resume_writing()
        async with asyncio.timeout(PATIENCE):
            await asyncio.gather(*waiting)
        assert await take(accepted, 202) == [b"not full yet", *sent, *sent, b"last"]


async def test_who_waits_longest_is_let_in_first(mode: Mode, api: Api) -> None:
    options = ClientOptions(outbox_limit=100)
    async with open_pair(mode, api=api, client_options=options) as (client, accepted, _):
        protocol_of(client).pause_writing()
        await client.send(bytes(100))
        entered: list[int] = []

        async def send(number: int) -> None:
            if number % 3:
                await client.send(b"%d" % number)
            else:
                await client.send_many([b"%d" % number])
            entered.append(number)

        tasks = [asyncio.create_task(send(number)) for number in range(30)]
        await asyncio.sleep(0)
        protocol_of(client).resume_writing()
        # They come when there is room already, and still behind those who wait.
        tasks += [asyncio.create_task(send(number)) for number in range(30, 40)]
        async with asyncio.timeout(PATIENCE):
            await asyncio.gather(*tasks)
        assert entered == list(range(40))
        assert await take(accepted, 41) == [bytes(100), *(b"%d" % n for n in range(40))]


@roles
async def test_a_peer_that_does_not_read_stops_the_sender(mode: Mode, role: Role, api: Api) -> None:
    limit, size = 100 * KIB, 16 * KIB
    async with facing(role, mode, api=api, small_buffer=True, outbox_limit=limit) as (conn, peer):
        sent: list[bytes] = []
        enough = False

        async def send() -> None:
            while not enough:
                data = b"%d " % len(sent) + bytes(size)
                await conn.send(data)
                sent.append(data)

        sending = asyncio.create_task(send())
        protocol, transport = protocol_of(conn), protocol_of(conn).transport
        assert transport is not None
        await until(lambda: protocol.sender.queue.full and transport.get_write_buffer_size() > 0)
        for _ in range(100):
            await asyncio.sleep(0)
            assert protocol.sender.queue.queued_bytes < limit + 2 * size
            assert transport.get_write_buffer_size() < TRANSPORT + ONE_BATCH + 2 * size
        # What the kernel takes depends on the machine; its buffers are a few MiB.
        assert len(sent) * size < 16 * MIB
        assert not sending.done()
        enough = True
        got: list[object] = []
        async with asyncio.timeout(PATIENCE):
            while len(got) < len(sent) or not sending.done():
                got.append(await peer.read())
        assert got == sent


# The inbox


async def test_a_full_inbox_holds_the_sender_back_until_enough_is_taken(mode: Mode) -> None:
    """Half of it where reading pauses, a quarter where the sender has a window."""
    options = ServerOptions(inbox_limit=10 * MESSAGE_OVERHEAD)
    async with open_pair(mode, server_options=options) as (client, accepted, _):
        await client.send_many([b""] * 9)
        await until(lambda: accepted.stats.messages_received == 9)
        assert not is_held_back(accepted)
        await client.send(b"")
        await until(lambda: is_held_back(accepted))
        await client.send_many([b"later"] * 5)
        await visit_the_selector()
        assert accepted.stats.messages_received == 10
        enough = 5 if protocol_of(accepted).receiver.window is None else 3
        assert await take(accepted, enough - 1) == [b""] * (enough - 1)
        assert is_held_back(accepted)
        assert await take(accepted, 1) == [b""]
        assert not is_held_back(accepted)
        assert await take(accepted, 15 - enough) == [b""] * (10 - enough) + [b"later"] * 5


async def connect(port: int, mode: Mode, **limits: Any) -> Connection:
    return await sealframe.connect(
        "127.0.0.1",
        port,
        **mode.client,
        options=ClientOptions(**limits),
    )


async def with_recv(conn: Connection) -> list[bytes]:
    return [await conn.recv()]


async def with_recv_many(conn: Connection) -> list[bytes]:
    return await conn.recv_many()


async def with_limited_recv_many(conn: Connection) -> list[bytes]:
    return await conn.recv_many(2)


async def with_async_for(conn: Connection) -> list[bytes]:
    got = []
    async for data in conn:
        got.append(data)
        if len(got) == 10:
            break
    return got


@pytest.mark.parametrize(
    "receive", [with_recv, with_recv_many, with_limited_recv_many, with_async_for]
)
async def test_reading_goes_on_however_messages_are_taken(
    mode: Mode, receive: Callable[[Connection], Coroutine[Any, Any, list[bytes]]]
) -> None:
    sent = [b"%d " % number + bytes(KIB) for number in range(1000)]
    async with open_pair(
        mode,
        server_options=ServerOptions(inbox_limit=4 * KIB),
        client_options=ClientOptions(outbox_limit=4 * KIB),
    ) as (client, accepted, _):

        async def send() -> None:
            for data in sent:
                await client.send(data)

        pauses = 0
        got: list[bytes] = []
        async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as group:
            group.create_task(send())
            while len(got) < len(sent):
                if len(got) % 100 == 0:
                    await until(lambda: is_held_back(accepted))
                    pauses += 1
                got += await receive(accepted)
        assert got == sent
        assert pauses > 0


@roles
async def test_a_flood_of_empty_messages_is_bounded(role: Role) -> None:
    limit, count = 64 * KIB, 300_000
    async with facing(role, Mode(), inbox_limit=limit) as (conn, peer):
        async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as group:
            group.create_task(peer.raw.send(message(b"") * count))
            left = count
            while left:
                await until(
                    lambda: (
                        protocol_of(conn).receiver.paused or conn.stats.messages_received == count
                    )
                )
                waiting = len(protocol_of(conn).receiver.queue)
                assert waiting <= limit // MESSAGE_OVERHEAD + ONE_READ // 4
                assert protocol_of(conn).receiver.queue.queued_bytes == waiting * MESSAGE_OVERHEAD
                got = await conn.recv_many()
                assert not any(got)
                left -= len(got)
        assert conn.stats.messages_received == count


async def test_a_connection_that_is_paused_for_want_of_windows_is_not_taken_for_dead_or_idle(
    mode: Mode,
) -> None:
    async with facing(
        "server", mode, inbox_limit=MESSAGE_OVERHEAD, keepalive_interval=20.0, idle_timeout=30.0
    ) as (conn, peer):
        protocol, keepalive = protocol_of(conn), protocol_of(conn).keepalive
        assert keepalive is not None

        def let_time_pass() -> None:
            keepalive.clocks.last_received -= 1000
            keepalive.clocks.last_message -= 1000
            keepalive.check()

        await peer.write(message(b"1"))
        await until(lambda: protocol.receiver.paused)
        for _ in range(5):
            let_time_pass()
        await visit_the_selector()
        assert not protocol.closer.closing
        await conn.send(b"alive")
        assert await peer.read() == b"alive"
        assert await take(conn, 1) == [b"1"]
        # Once it reads again, time counts.
        assert not protocol.receiver.paused
        let_time_pass()
        with pytest.raises(PeerTimeoutError):
            await take(conn, 1)


async def test_welcome_may_stand_behind_more_messages_than_the_inbox_holds() -> None:
    mode = Mode("extended")
    sent = [b"%d " % number + bytes(KIB) for number in range(1000)]
    async with listening() as listener:
        connecting = asyncio.create_task(connect(listener.port, mode, inbox_limit=4 * KIB))
        async with await listener.accept() as raw:
            peer = Peer(raw, mode, client=False)
            await peer.write(b"".join(map(message, sent)))
            await peer.introduce()
            async with asyncio.timeout(PATIENCE):
                conn = await connecting
            # Now that it is connected, it stops reading.
            assert is_held_back(conn)
            assert await take(conn, len(sent)) == sent
            await conn.send(b"works")
            assert await peer.read() == b"works"
            closing = asyncio.create_task(conn.close())
            await peer.await_end()
            await peer.say_end()
            await closing


async def test_messages_without_end_before_welcome_are_refused() -> None:
    async with listening() as listener:
        connecting = asyncio.create_task(connect(listener.port, Mode("extended")))
        async with await listener.accept() as raw:

            async def flood() -> None:
                while True:
                    await raw.send(message(bytes(60 * KIB)) * 100)

            async with asyncio.timeout(PATIENCE):
                with pytest.raises(ConnectionError):
                    await flood()
                with pytest.raises(HandshakeError, match="no WELCOME"):
                    await connecting


# From end to end


async def test_memory_stays_bounded_whatever_passes_through(mode: Mode, family: Family) -> None:
    limit, size, count = 128 * KIB, 16 * KIB, 512
    async with open_pair(
        mode,
        family,
        server_options=ServerOptions(inbox_limit=limit),
        client_options=ClientOptions(outbox_limit=limit),
    ) as (client, accepted, _):

        async def send() -> None:
            for number in range(count):
                await client.send(bytes([number % 256]) * size)

        highest = 0
        tracemalloc.start()
        try:
            async with asyncio.timeout(2 * PATIENCE), asyncio.TaskGroup() as group:
                group.create_task(send())
                for number in range(count):
                    data = await accepted.recv()
                    assert data[0] == data[-1] == number % 256
                    assert len(data) == size
                    highest = max(
                        highest,
                        protocol_of(accepted).receiver.queue.queued_bytes,
                        protocol_of(client).sender.queue.queued_bytes,
                    )
                    await asyncio.sleep(0)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert highest < limit + ONE_READ + 2 * size
        # 8 MiB have passed through.
        assert peak < 4 * MIB


async def test_two_that_send_more_than_fits_and_read_do_not_block_each_other(mode: Mode) -> None:
    sent = [bytes([number]) * 64 * KIB for number in range(128)]
    limit = 64 * KIB
    async with open_pair(
        mode,
        server_options=ServerOptions(inbox_limit=limit, outbox_limit=limit),
        client_options=ClientOptions(inbox_limit=limit, outbox_limit=limit),
    ) as (client, accepted, _):

        async def send(conn: Connection) -> None:
            for data in sent:
                await conn.send(data)

        async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as group:
            group.create_task(send(client))
            group.create_task(send(accepted))
            at_client = group.create_task(take(client, len(sent)))
            at_server = group.create_task(take(accepted, len(sent)))
        assert at_client.result() == sent
        assert at_server.result() == sent


async def test_an_echo_stops_reading_from_one_who_does_not_read_the_answers(mode: Mode) -> None:
    limit, size = 32 * KIB, 16 * KIB

    async def echo(conn: Connection) -> None:
        async for data in conn:
            await conn.send(data)

    async with (
        start(echo, mode, options=ServerOptions(inbox_limit=limit, outbox_limit=limit)) as server,
        dial(server, mode, options=ClientOptions(inbox_limit=limit, outbox_limit=limit)) as client,
    ):
        await until(lambda: bool(server.clients))
        (accepted,) = server.clients.values()
        sent = 0
        enough = False

        async def send() -> None:
            nonlocal sent
            while not enough:
                await client.send(b"%07d" % sent + bytes(size))
                sent += 1

        sending = asyncio.create_task(send())
        await until(
            lambda: (
                all(
                    is_held_back(conn) and protocol_of(conn).sender.queue.full
                    for conn in (client, accepted)
                )
                and not sending.done()
            )
        )
        # Two outboxes, two inboxes and the kernel's buffers, each way.
        assert sent * size < 32 * MIB
        enough = True
        async with asyncio.timeout(PATIENCE):
            got = 0
            while got < sent or not sending.done():
                assert (await client.recv())[:7] == b"%07d" % got
                got += 1


async def test_one_who_does_not_read_holds_up_nobody_else(mode: Mode) -> None:
    async def handler(conn: Connection) -> None:
        async for data in conn:
            for _ in range(int(data)):
                await conn.send(bytes(64 * KIB))

    options = ServerOptions(outbox_limit=64 * KIB)
    async with (
        start(handler, mode, options=options) as server,
        dial(server, mode, options=ClientOptions(inbox_limit=64 * KIB)) as slow,
        dial(server, mode) as quick,
    ):
        await slow.send(b"1000")
        await until(lambda: is_held_back(slow))
        await until(lambda: any(protocol_of(c).sender.queue.full for c in server.clients.values()))
        for _ in range(50):
            await quick.send(b"1")
            assert await take(quick, 1) == [bytes(64 * KIB)]
        assert is_held_back(slow)
        assert await take(slow, 1000) == [bytes(64 * KIB)] * 1000
