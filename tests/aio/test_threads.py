"""One object belongs to one event loop; two loops in two threads do not meet."""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any

import pytest
from loops import FACTORIES

from sealframe import ClientOptions, Connection, Server, ServerOptions, WrongLoopError

from .ends import PATIENCE, Mode, Pair, dial, open_pair, start
from .scripted import until
from .stepping import T

KIB = 1024


async def next_message(conn: Connection) -> bytes:
    async for message in conn:
        return message
    return b""


async def broadcast(server: Server) -> None:
    server.broadcast(b"never")


ON_A_CONNECTION: Mapping[str, Callable[[Connection], Coroutine[Any, Any, object]]] = {
    "send": lambda conn: conn.send(b"never"),
    "send_many": lambda conn: conn.send_many([b"never", b"never"]),
    "recv": lambda conn: conn.recv(),
    "recv_many": lambda conn: conn.recv_many(),
    "async for": next_message,
    "ping": lambda conn: conn.ping(),
    "close": lambda conn: conn.close(),
    "wait_closed": lambda conn: conn.wait_closed(),
}

ON_A_SERVER: Mapping[str, Callable[[Server], Coroutine[Any, Any, object]]] = {
    "broadcast": broadcast,
    "close": lambda server: server.close(),
    "wait_closed": lambda server: server.wait_closed(),
    "serve_forever": lambda server: server.serve_forever(),
}


async def in_another_loop(operation: Callable[[], Coroutine[Any, Any, object]]) -> None:
    """Run it in an event loop of another thread."""
    async with asyncio.timeout(PATIENCE):
        await asyncio.to_thread(lambda: asyncio.run(operation()))


async def without_a_loop(operation: Callable[[], Coroutine[Any, Any, object]]) -> None:
    """Run its first step by hand in a thread that has no event loop."""

    def step() -> None:
        coroutine = operation()
        try:
            coroutine.send(None)
        finally:
            coroutine.close()

    async with asyncio.timeout(PATIENCE):
        await asyncio.to_thread(step)


elsewhere = pytest.mark.parametrize("elsewhere", [in_another_loop, without_a_loop])
Elsewhere = Callable[[Callable[[], Coroutine[Any, Any, object]]], Awaitable[None]]


async def check_nothing_changed(pair: Pair) -> None:
    """Check that both ends have exactly the message that waits, and still work."""
    client, accepted, server = pair
    assert len(server.clients) == 1
    await accepted.send(b"further")
    await client.send(b"further")
    async with asyncio.timeout(PATIENCE):
        assert [await client.recv() for _ in range(2)] == [b"waiting", b"further"]
        assert await accepted.recv() == b"further"
    assert client.stats.messages_sent == 1
    assert accepted.stats.messages_sent == 2


@elsewhere
@pytest.mark.parametrize("name", ON_A_CONNECTION)
async def test_a_connection_refuses_calls_from_elsewhere(
    no_leaks: None, mode: Mode, elsewhere: Elsewhere, name: str
) -> None:
    async with open_pair(mode) as pair:
        await pair.accepted.send(b"waiting")
        await until(lambda: pair.client.stats.messages_received == 1)
        with pytest.raises(WrongLoopError, match="run_coroutine_threadsafe"):
            await elsewhere(lambda: ON_A_CONNECTION[name](pair.client))
        await check_nothing_changed(pair)


@elsewhere
@pytest.mark.parametrize("name", ON_A_SERVER)
async def test_a_server_refuses_calls_from_elsewhere(
    no_leaks: None, elsewhere: Elsewhere, name: str
) -> None:
    async with open_pair(Mode()) as pair:
        await pair.accepted.send(b"waiting")
        with pytest.raises(WrongLoopError, match="call_soon_threadsafe"):
            await elsewhere(lambda: ON_A_SERVER[name](pair.server))
        await check_nothing_changed(pair)


async def test_a_call_from_another_thread_can_be_handed_over(no_leaks: None) -> None:
    async with open_pair(Mode()) as (client, accepted, server):
        loop = asyncio.get_running_loop()

        def in_a_thread() -> bytes:
            asyncio.run_coroutine_threadsafe(client.send(b"question"), loop).result(PATIENCE)
            loop.call_soon_threadsafe(server.broadcast, b"answer")
            return asyncio.run_coroutine_threadsafe(client.recv(), loop).result(PATIENCE)

        assert await asyncio.to_thread(in_a_thread) == b"answer"
        assert await accepted.recv() == b"question"


@pytest.fixture(params=list(FACTORIES))
def new_loop(request: pytest.FixtureRequest) -> Callable[[], asyncio.AbstractEventLoop]:
    return FACTORIES[request.param]


def run_in_threads(
    new_loop: Callable[[], asyncio.AbstractEventLoop], programs: list[Coroutine[Any, Any, T]]
) -> list[T]:
    """Run each in a thread and an event loop of its own, all at once; return the results."""
    results: dict[int, T] = {}
    errors: list[BaseException] = []
    together = threading.Barrier(len(programs))

    def run(number: int) -> None:
        try:
            with asyncio.Runner(loop_factory=new_loop) as runner:
                together.wait(PATIENCE)
                results[number] = runner.run(programs[number])
        except BaseException as error:  # noqa: BLE001 - the test raises it
            errors.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(len(programs))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(3 * PATIENCE)
    if errors:
        raise errors[0]
    return [results[number] for number in range(len(programs))]


def made_up(seed: int, count: int) -> list[bytes]:
    """Return messages that no other seed gives, small and large by turns."""
    chance = random.Random(seed)
    sizes = [chance.choice((0, 1, 100, 5_000, 70_000, 300_000)) for _ in range(count)]
    return [bytes([seed]) + chance.randbytes(64) * (size // 64) for size in sizes]


async def echo(conn: Connection) -> None:
    async for message in conn:
        await conn.send(message)


async def echo_through_one_loop(mode: Mode, sent: list[bytes]) -> list[bytes]:
    """Send messages to a server in the same loop and return what comes back."""
    async with (
        asyncio.timeout(2 * PATIENCE),
        start(echo, mode) as server,
        dial(server, mode) as conn,
    ):
        sending = asyncio.create_task(conn.send_many(sent))
        got = [await conn.recv() for _ in sent]
        await sending
        return got


def test_two_loops_in_two_threads_do_not_mix_their_messages_up(
    mode: Mode, new_loop: Callable[[], asyncio.AbstractEventLoop]
) -> None:
    sent = [made_up(number, 300) for number in range(2)]
    got = run_in_threads(new_loop, [echo_through_one_loop(mode, messages) for messages in sent])
    assert got == sent


def test_a_connection_joins_loops_in_two_threads(
    mode: Mode, new_loop: Callable[[], asyncio.AbstractEventLoop]
) -> None:
    sent = [made_up(number, 200) for number in range(2)]
    ready = threading.Event()
    servers: list[Server] = []

    async def exchange(conn: Connection, messages: list[bytes], expected: int) -> list[bytes]:
        async with asyncio.timeout(2 * PATIENCE):
            sending = asyncio.create_task(conn.send_many(messages))
            got = [await conn.recv() for _ in range(expected)]
            await sending
            return got

    async def serve_one() -> list[bytes]:
        result: asyncio.Future[list[bytes]] = asyncio.get_running_loop().create_future()

        async def handler(conn: Connection) -> None:
            result.set_result(await exchange(conn, sent[0], len(sent[1])))
            await conn.close()

        async with start(handler, mode, options=ServerOptions(inbox_limit=64 * KIB)) as server:
            servers.append(server)
            ready.set()
            async with asyncio.timeout(2 * PATIENCE):
                return await result

    async def connect_once() -> list[bytes]:
        assert await asyncio.to_thread(ready.wait, PATIENCE)
        options = ClientOptions(inbox_limit=64 * KIB)
        async with dial(servers[0], mode, options=options) as conn:
            return await exchange(conn, sent[1], len(sent[0]))

    received = run_in_threads(new_loop, [serve_one(), connect_once()])
    assert received == [sent[1], sent[0]]
