"""Real servers and clients against a peer in Python, whose Noise is noiseprotocol."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from .links import PATTERNS, Handler, Keys, Report, connect, exchange, fail, serve

pytest.importorskip("noise", reason="the noiseprotocol package is not installed")

from .echo_peer import EchoPeer

if TYPE_CHECKING:
    from pathlib import Path

every_pattern = pytest.mark.parametrize("pattern", PATTERNS)


@every_pattern
async def test_python_connects(pattern: str) -> None:
    keys = Keys(pattern)
    handler = Handler(exchange)
    async with serve(keys, handler) as server:
        streams = await asyncio.open_connection("127.0.0.1", server.port)
        report = await EchoPeer(*streams, keys, client=True).run()
        report.check(await handler.done, keys, served=True)
    report.check_exchange()


@every_pattern
async def test_python_listens(pattern: str, tmp_path: Path) -> None:
    keys = Keys(pattern)
    done: asyncio.Future[Report] = asyncio.get_running_loop().create_future()

    async def serve_one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            done.set_result(await EchoPeer(reader, writer, keys, client=False).run())
        except BaseException as error:
            fail(done, error)
            raise

    listener = await asyncio.start_server(serve_one, "127.0.0.1", 0)
    async with listener:
        port = listener.sockets[0].getsockname()[1]
        async with connect(keys, port, tmp_path / "known") as conn:
            assert conn.id == "py-1"
            await exchange(conn)
        report = await done
    report.check(conn, keys, served=False)
    report.check_exchange()
