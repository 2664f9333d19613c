"""What came in time counts, also where the event loop was held up past the time-out."""

from __future__ import annotations

import asyncio
import contextlib
import select
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator
from importlib.util import find_spec
from typing import Any

import pytest

import sealframe
from sealframe import ClientOptions, Connection, RequestTimeoutError, ServerOptions, sync
from sealframe.aio.connection import protocol_of
from sealframe.aio.time_limit import Expiry, TimeLimit
from sealframe.noise.credentials import Credentials
from sealframe.noise.records import RecordLayer
from sealframe.wire import Pattern

from .ends import PATIENCE, Mode, ModeName, open_pair, shared_key, start
from .scripted import Raw, until

pytestmark = pytest.mark.usefixtures("no_leaks")

SHORT = 0.02
LARGE = b"x" * 200_000


def wait(conn: sync.Connection[bytes, bytes]) -> None:
    """Handle a connection: do nothing before it ends."""
    conn.wait_closed()


def answer(_: object, payload: bytes) -> bytes:
    """Answer a request."""
    return LARGE if payload == b"large" else payload


@pytest.fixture(scope="module")
def servers() -> Iterator[dict[str, sync.Server[bytes, bytes]]]:
    """A server for each way to talk, whose event loop runs in another thread."""
    names: list[ModeName] = ["packets", "extended"]
    if find_spec("cryptography") is not None:
        names.append("sealed")
    with contextlib.ExitStack() as running:
        yield {
            name: running.enter_context(
                sync.serve(wait, "127.0.0.1", 0, **Mode(name).server, on_request=answer)
            )
            for name in names
        }


@pytest.fixture
def connecting(
    servers: dict[str, sync.Server[bytes, bytes]],
) -> Callable[..., sealframe.Connecting[bytes, bytes]]:
    """Return what connects to one of them: ``connecting(mode, close_timeout=...)``."""

    def connect(mode: Mode, **options: Any) -> sealframe.Connecting[bytes, bytes]:
        port = servers[mode.name].port
        return sealframe.connect("127.0.0.1", port, **mode.client, options=ClientOptions(**options))

    return connect


async def refuse(_: Connection) -> None:
    """Handle a connection that must not come about."""
    raise AssertionError


def block(seconds: float) -> None:
    """Hold the event loop up."""
    time.sleep(seconds)


def hold_up(conn: Connection) -> None:
    """Block the event loop until the answer waits in the socket, and past the time-out."""
    transport = protocol_of(conn).transport
    assert transport is not None
    assert select.select([transport.get_extra_info("socket").fileno()], [], [], PATIENCE)[0]
    time.sleep(3 * SHORT)


@contextlib.asynccontextmanager
async def slow_turns() -> AsyncIterator[None]:
    """Have every turn of the event loop take longer than the time-outs."""

    async def run() -> None:
        while True:
            block(2 * SHORT)
            await asyncio.sleep(0)

    slow = asyncio.create_task(run())
    try:
        yield
    finally:
        slow.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await slow


@pytest.mark.parametrize("payload", [b"small", b"large"])
async def test_a_request_gets_an_answer_that_is_here(
    connecting: Callable[..., Any], payload: bytes
) -> None:
    async with connecting(Mode("extended")) as conn:
        request = asyncio.create_task(conn.request(payload, timeout=SHORT))
        # It runs in the turn in which the request goes out.
        asyncio.get_running_loop().call_soon(hold_up, conn)
        assert await request == answer(conn, payload)


async def test_a_request_that_nobody_answers_times_out() -> None:
    async def never(_: Connection, __: bytes) -> bytes:
        await asyncio.get_running_loop().create_future()
        raise AssertionError

    async with open_pair(Mode("extended"), at_server={"on_request": never}) as pair:
        request = asyncio.create_task(pair.client.request(b"", timeout=SHORT))
        asyncio.get_running_loop().call_soon(time.sleep, 3 * SHORT)
        with pytest.raises(RequestTimeoutError):
            await request


async def test_a_connection_that_the_kernel_has_made_is_one() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        options = ClientOptions(connect_timeout=SHORT)
        connecting = sealframe.connect("127.0.0.1", port, options=options)

        async def connect() -> Connection:
            return await connecting

        task = asyncio.create_task(connect())
        async with asyncio.timeout(PATIENCE):
            await until(lambda: bool(select.select([listener], [], [], 0)[0]))
        block(3 * SHORT)
        conn = await task
        with listener.accept()[0]:
            pass
        await conn.close()


async def test_a_handshake_is_done_at_both_ends(mode: Mode) -> None:
    async with slow_turns():
        async with open_pair(
            mode,
            server_options=ServerOptions(handshake_timeout=SHORT),
            client_options=ClientOptions(handshake_timeout=SHORT),
        ):
            pass


async def test_who_drips_a_handshake_is_dropped_all_the_same() -> None:
    pytest.importorskip("cryptography")
    keys = Credentials(Pattern.NNPSK0, psk=shared_key().secret_bytes())
    (first,) = RecordLayer(initiator=True, credentials=keys).output
    options = ServerOptions(handshake_timeout=SHORT)
    async with (
        start(refuse, Mode("sealed"), options=options) as server,
        await Raw.dial(server.port) as raw,
    ):
        await until(lambda: server.counters.accepted == 1)
        async with slow_turns():
            dripped = 0
            while not server.counters.failed_handshakes:
                # The timer is as late as a turn is long, waits as long again, then a few turns.
                assert dripped < len(first) - 1, "it waited for the whole frame"
                with contextlib.suppress(ConnectionError):
                    await raw.send(first[dripped : dripped + 1])
                dripped += 1
                await asyncio.sleep(0)


async def test_a_close_that_is_answered_is_clean(
    connecting: Callable[..., Any], control_mode: Mode
) -> None:
    conn = await connecting(control_mode, close_timeout=SHORT)
    closing = asyncio.create_task(conn.close())
    asyncio.get_running_loop().call_soon(hold_up, conn)
    assert await closing


async def test_so_is_a_plain_one() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        conn = await sealframe.connect(
            "127.0.0.1", port, options=ClientOptions(close_timeout=SHORT)
        )
        with listener.accept()[0] as peer:

            def answer_late() -> None:
                peer.shutdown(socket.SHUT_WR)
                block(4 * SHORT)

            closing = asyncio.create_task(conn.close())
            # The two timers fire in this order, in one turn or in two.
            asyncio.get_running_loop().call_later(SHORT / 2, answer_late)
            assert await closing


async def test_a_peer_that_answers_is_alive(connecting: Callable[..., Any]) -> None:
    conn = await connecting(Mode("extended"), keepalive_interval=SHORT, keepalive_timeout=SHORT)
    async with slow_turns():
        for _ in range(20):
            await until(lambda: conn.latency is not None or conn.closed)
            await asyncio.sleep(0)
    assert not conn.closed
    assert conn.latency is not None
    await conn.close()


async def test_a_limit_ends_what_waits_too_long() -> None:
    with pytest.raises(TimeoutError):
        async with TimeLimit(SHORT) as limit:
            await asyncio.get_running_loop().create_future()
    assert limit.expired()


async def test_what_was_held_up_is_given_back_once() -> None:
    loop = asyncio.get_running_loop()
    called = loop.create_future()
    started = time.monotonic()
    Expiry(loop, SHORT, lambda: called.set_result(time.monotonic() - started))
    block(10 * SHORT)
    # Ten times its time late, it waits for its own time again.
    assert await called >= 11 * SHORT * 0.95
