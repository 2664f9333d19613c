"""One message to many clients, of whom some are slow."""

from __future__ import annotations

import asyncio
import logging

import pytest
from aio.ends import Family, Mode, dial, open_pair, start
from aio.scripted import dialled, until

from sealframe import ClientOptions, Connection, ConnectionClosedError, ServerOptions, SlowPeerError
from sealframe.aio.connection import protocol_of
from sealframe.aio.sender import Sender

EAGER = True

pytestmark = pytest.mark.usefixtures("no_leaks")

KIB = 1024


async def idle(conn: Connection) -> None:
    async for _ in conn:
        pass


def warnings(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    """Return what the server logged that someone should look at."""
    return [r for r in caplog.records if r.name == "sealframe.server" and r.levelno > logging.INFO]


async def test_everyone_gets_it(mode: Mode, family: Family) -> None:
    async with start(idle, mode, family) as server:
        conns = await asyncio.gather(*(dial(server, mode, family) for _ in range(5)))
        await until(lambda: len(server.clients) == 5)
        for data in (b"one", bytearray(b"two"), memoryview(b"three"), b""):
            assert server.broadcast(data) == 5
        for conn in conns:
            assert [await conn.recv() for _ in range(4)] == [b"one", b"two", b"three", b""]
            assert await conn.close()
        await until(lambda: not server.clients)
        assert server.broadcast(b"to nobody") == 0


async def test_tasks_that_wait_their_turn_to_send_make_no_client_slow(mode: Mode) -> None:
    """A task that was let in and has not run yet holds up other senders, and is no sign of
    a peer that reads too slowly."""
    sent = [b"%d" % number * 1000 for number in range(200)]

    async def handler(conn: Connection) -> None:
        async with asyncio.TaskGroup() as group:
            for part in (sent[:100], sent[100:]):
                group.create_task(send_all(conn, part))

    async def send_all(conn: Connection, messages: list[bytes]) -> None:
        for message in messages:
            await conn.send(message)

    options = ServerOptions(outbox_limit=32 * KIB)
    async with start(handler, mode, options=options) as server:
        async with dial(server, mode) as conn:
            queued = 0
            got: list[bytes] = []
            while len(got) - queued < len(sent):
                queued += server.broadcast(b"to all")
                got += await conn.recv_many()
            assert sorted(set(got)) == sorted({*sent, b"to all"})
            assert got.count(b"to all") == queued
            assert server.counters.dropped == 0


async def test_except_those_left_out(mode: Mode) -> None:
    names: dict[bytes, Connection] = {}

    async def handler(conn: Connection) -> None:
        names[await conn.recv()] = conn
        await idle(conn)

    async with start(handler, mode) as server:
        conns = {}
        for name in (b"a", b"b", b"c"):
            conns[name] = await dial(server, mode)
            await conns[name].send(name)
        await until(lambda: len(names) == 3)
        assert server.broadcast(b"not a", exclude=names[b"a"]) == 2
        assert server.broadcast(b"not b, c", exclude=[names[b"b"], names[b"c"]]) == 1
        assert server.broadcast(b"none", exclude=set(names.values())) == 0
        assert server.broadcast(b"all", exclude=[]) == 3
        received = {name: [await conn.recv()] for name, conn in conns.items()}
        for name in (b"a", b"b", b"c"):
            received[name].append(await conns[name].recv())
            await conns[name].close()
        assert received == {
            b"a": [b"not b, c", b"all"],
            b"b": [b"not a", b"all"],
            b"c": [b"not a", b"all"],
        }


@pytest.mark.parametrize("wrong", ["text", 7, None, ["list"]])
async def test_what_is_no_message(mode: Mode, wrong: object) -> None:
    async with open_pair(mode) as (client, _, server):
        with pytest.raises(TypeError, match="bytes"):
            server.broadcast(wrong)  # type: ignore[arg-type]
        assert server.broadcast(b"a message") == 1
        assert await client.recv() == b"a message"


async def test_a_message_over_the_limit_of_one_client() -> None:
    extended = Mode("extended")
    small = ClientOptions(max_message_size=10)
    async with start(idle, extended) as server:
        async with (
            dial(server, extended, options=small) as first,
            dial(server, extended) as second,
        ):
            await until(lambda: [c.max_send_size for c in server.clients.values()][:1] == [10])
            assert server.broadcast(bytes(11)) == 1
            assert server.broadcast(bytes(10)) == 2
            assert await first.recv() == bytes(10)
            assert await second.recv() == bytes(11)
        assert server.counters.dropped == 1


@pytest.mark.parametrize("policy", ["drop", "disconnect"])
async def test_a_slow_client_harms_nobody(
    mode: Mode, policy: str, caplog: pytest.LogCaptureFixture
) -> None:
    options = ServerOptions(
        outbox_limit=64 * KIB,
        slow_client=policy,  # type: ignore[arg-type]
    )
    errors: dict[str, BaseException] = {}

    async def handler(conn: Connection) -> None:
        try:
            await conn.recv()
        except ConnectionClosedError as error:
            errors[conn.id] = error
            raise

    async with start(handler, mode, options=options) as server:
        async with (
            dialled(server, mode, small_buffer=True) as peer,
            dial(server, mode) as fast,
        ):
            await until(lambda: len(server.clients) == 2)
            slow = next(iter(server.clients.values()))
            sent = 0
            while server.counters.dropped < 3 and len(server.clients) == 2:
                queued = server.broadcast(b"%08d" % sent + bytes(32 * KIB))
                assert 1 <= queued <= 2
                assert (await fast.recv())[:8] == b"%08d" % sent
                sent += 1
            assert fast.stats.messages_received == sent
            assert server.counters.dropped == slow.stats.dropped
            if policy == "drop":
                assert slow.stats.dropped == 3
                assert server.clients[slow.id] is slow
                # What was queued for it comes whole and in order, without the rest.
                received = []
                for _ in range(sent - 3):
                    frame = await peer.read()
                    assert isinstance(frame, bytes)
                    received.append(int(frame[:8]))
                assert received == sorted(set(received))
                assert server.broadcast(b"in time again") == 2
                assert await peer.read() == b"in time again"
                assert await fast.recv() == b"in time again"
            else:
                assert slow.stats.dropped == 1
                await until(lambda: len(server.clients) == 1)
                assert isinstance(errors[slow.id], SlowPeerError)
                (record,) = warnings(caplog)
                assert slow.id in record.getMessage()
                assert "slow" in record.getMessage()
                assert server.broadcast(b"to the other") == 1
                assert await fast.recv() == b"to the other"


async def test_those_of_one_turn_arrive_in_order_with_what_is_sent(mode: Mode) -> None:
    async with start(idle, mode) as server:
        conns = await asyncio.gather(*(dial(server, mode) for _ in range(3)))
        await until(lambda: len(server.clients) == 3)
        for number in range(0, 300, 3):
            assert server.broadcast(b"%d" % number) == 3
            for client in server.clients.values():
                await client.send(b"%d" % (number + 1))
            assert server.broadcast(b"%d" % (number + 2)) == 3
        for conn in conns:
            assert [int(await conn.recv()) for _ in range(300)] == list(range(300))
            assert await conn.close()


async def test_many_in_one_turn_make_no_client_slow(mode: Mode) -> None:
    """Their outboxes fill, but only because nothing was written yet; their windows have room."""
    options = ServerOptions(outbox_limit=10 * KIB, slow_client="disconnect")
    async with start(idle, mode, options=options) as server:
        conns = await asyncio.gather(*(dial(server, mode) for _ in range(3)))
        await until(lambda: len(server.clients) == 3)
        for number in range(20):
            assert server.broadcast(b"%08d" % number + bytes(4 * KIB)) == 3
        assert server.counters.dropped == 0
        for conn in conns:
            assert [int((await conn.recv())[:8]) for _ in range(20)] == list(range(20))
            assert await conn.close()


async def test_others_have_their_turn_between_the_writes() -> None:
    mode = Mode("packets")
    async with start(idle, mode) as server:
        conns = await asyncio.gather(*(dial(server, mode) for _ in range(100)))
        await until(lambda: len(server.clients) == 100)
        written = [client.stats for client in server.clients.values()]
        assert server.broadcast(b"first") == 100
        seen = set()
        while not all(stats.messages_sent for stats in written):
            seen.add(sum(stats.messages_sent for stats in written))
            await asyncio.sleep(0)
        assert len(seen) > 2, "all were written to in one turn"
        # What is broadcast meanwhile goes along.
        assert server.broadcast(b"second") == server.broadcast(b"third") == 100
        for conn in conns:
            assert [await conn.recv() for _ in range(3)] == [b"first", b"second", b"third"]
            assert await conn.close()


async def test_closing_keeps_what_was_just_broadcast(mode: Mode) -> None:
    # Where only packets flow, clients that stay are waited for in vain.
    async with start(idle, mode, options=ServerOptions(close_timeout=1)) as server:
        conns = await asyncio.gather(*(dial(server, mode) for _ in range(50)))
        await until(lambda: len(server.clients) == 50)
        assert server.broadcast(b"farewell") == 50
        await server.close()
        for conn in conns:
            assert await conn.recv() == b"farewell"
            await conn.close()


async def test_one_that_cannot_be_written_to_does_not_stop_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mode = Mode("packets")
    flush = Sender.flush

    async with start(idle, mode) as server:
        conns = await asyncio.gather(*(dial(server, mode) for _ in range(40)))
        await until(lambda: len(server.clients) == 40)
        broken = protocol_of(next(iter(server.clients.values()))).sender

        def fail_once(sender: Sender) -> None:
            if sender is broken:
                monkeypatch.undo()
                raise RuntimeError("of no matter to others")
            flush(sender)

        monkeypatch.setattr(Sender, "flush", fail_once)
        complaints: list[object] = []
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: complaints.append(context["exception"]))
        assert server.broadcast(b"one") == 40
        received = [asyncio.create_task(conn.recv()) for conn in conns]
        await until(lambda: sum(task.done() for task in received) == 39)
        assert len(complaints) == 1
        # Nor does it lose anything.
        assert server.broadcast(b"two") == 40
        await until(lambda: all(task.done() for task in received))
        assert {task.result() for task in received} == {b"one"}
        for conn in conns:
            assert await conn.recv() == b"two"
            assert await conn.close()
