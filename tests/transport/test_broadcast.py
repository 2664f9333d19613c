"""One message to many clients, of whom some are slow."""

from __future__ import annotations

import asyncio
import logging

import pytest

from sealframe import ClientOptions, Connection, ConnectionClosedError, ServerOptions, SlowPeerError

from .ends import Family, Mode, dial, open_pair, start
from .scripted import dialled, until

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
        assert server.stats.dropped == 1


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
            while server.stats.dropped < 3 and len(server.clients) == 2:
                queued = server.broadcast(b"%08d" % sent + bytes(32 * KIB))
                assert 1 <= queued <= 2
                assert (await fast.recv())[:8] == b"%08d" % sent
                sent += 1
            assert fast.stats.messages_received == sent
            assert server.stats.dropped == slow.stats.dropped
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
