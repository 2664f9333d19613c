"""Parts of programs that the guides show run too, in a program around them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from documents import program_with, read

import sealframe
from sealframe import Connection, Server, ServerOptions, Sessions

CLIENT = read("docs/guides/client.md")


def part(page: str, text: str, port: int = 0) -> dict[str, Any]:
    """Run the one part of a page that has a text; return what it defines."""
    space: dict[str, Any] = {}
    exec(program_with(page, text).replace("1234", str(port)), space)
    return space


@asynccontextmanager
async def greeting(**options: Any) -> AsyncIterator[Server]:
    """Run a server that says hello to whoever comes."""

    async def handler(conn: Connection) -> None:
        await conn.send(b"hello")
        async for _ in conn:
            pass

    async def answer(conn: Connection, payload: bytes) -> bytes:
        return b"well"

    async with sealframe.serve(handler, "127.0.0.1", 0, on_request=answer, **options) as server:
        yield server


async def shows(wanted: str, capsys: pytest.CaptureFixture[str], running: Any) -> None:
    """Run something until all of this was printed."""
    task = asyncio.ensure_future(running)
    shown = ""
    async with asyncio.timeout(20):
        while any(word not in shown for word in wanted.split()):
            shown += capsys.readouterr().out
            assert not task.done(), task.exception()
            await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize(
    ("text", "wanted"), [("print(message)", "b'hello'"), ("TaskGroup", "b'hello' b'well'")]
)
async def test_a_client_that_stays(
    text: str, wanted: str, capsys: pytest.CaptureFixture[str]
) -> None:
    stay_connected = part(CLIENT, text)["stay_connected"]
    async with greeting() as server:
        await shows(wanted, capsys, stay_connected("127.0.0.1", server.port))


async def test_what_is_fatal(port: int) -> None:
    """There is no server, and that ends it."""
    with pytest.raises(sealframe.ConnectError):
        await part(CLIENT, "is_fatal=is_fatal", port)["main"]()


async def test_how_a_connection_ended() -> None:
    consume = part(read("docs/guides/errors.md"), "async def consume")["consume"]
    got: asyncio.Queue[bytes] = asyncio.Queue()
    async with greeting() as server:
        async with sealframe.connect("127.0.0.1", server.port, extended=True) as conn:
            running = asyncio.ensure_future(consume(conn, got.put_nowait))
            assert await got.get() == b"hello"
            await server.close()
            assert await running is True


async def test_a_server_that_tells_the_time(port: int) -> None:
    main = part(read("docs/guides/server.md"), "time.time()", port)["main"]
    running = asyncio.ensure_future(main())
    async for conn in sealframe.connect("127.0.0.1", port):
        assert float(await conn.recv()) > 1e9
        await conn.close()
        break
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


async def test_readings_over_a_session() -> None:
    pytest.importorskip("cryptography", reason="cryptography is not installed")
    report = part(read("docs/guides/sessions.md"), "async def report")["report"]
    key = sealframe.SharedKey.generate()
    got: asyncio.Queue[bytes] = asyncio.Queue()

    async def handler(conn: Connection) -> None:
        async for message in conn:
            await got.put(message)

    async def reading() -> bytes:
        await asyncio.sleep(0.01)
        return b"20.5"

    options = ServerOptions(close_timeout=1)
    async with sealframe.serve(
        handler, "127.0.0.1", 0, security=key, sessions=Sessions(keep=1), options=options
    ) as server:
        running = asyncio.ensure_future(report("127.0.0.1", server.port, key, reading))
        async with asyncio.timeout(20):
            assert [await got.get() for _ in range(3)] == [b"20.5"] * 3
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
