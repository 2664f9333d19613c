"""A flood on one connection lets the others have their turns, with a handler and with callbacks."""

from __future__ import annotations

import asyncio
import socket

import pytest

import sealframe

from .scripted import until

KIB = 1024
MIB = 1024 * KIB
SIZE = 4 * KIB
COUNT = 4096
MOST = 3 * MIB // 2
"""Bytes that are taken in between two turns: a receive queue or 32 of the first, small reads; and
one large read."""


def flood(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port)) as sock:
        frame = SIZE.to_bytes(4, "little") + bytes(SIZE)
        for _ in range(COUNT // 64):
            sock.sendall(frame * 64)
        sock.shutdown(socket.SHUT_WR)
        sock.recv(1)


@pytest.mark.parametrize("calls_back", [False, True])
async def test_others_have_a_turn_while_one_floods(calls_back: bool) -> None:
    came = 0

    def take(conn: sealframe.Connection, message: bytes) -> None:
        nonlocal came
        # About what a small message costs to handle: the flood is ahead of it.
        came += bool(sum(message[:1000]) == 0)

    async def handler(conn: sealframe.Connection) -> None:
        async for message in conn:
            take(conn, message)

    if calls_back:
        serving = sealframe.serve(None, "127.0.0.1", 0, on_message=take)
    else:
        serving = sealframe.serve(handler, "127.0.0.1", 0)
    async with serving as server:
        flooding = asyncio.create_task(asyncio.to_thread(flood, server.port))
        await until(lambda: bool(server.clients))
        (conn,) = server.clients.values()
        most = before = 0
        while came < COUNT:
            await asyncio.sleep(0)
            received = conn.stats.bytes_received
            most = max(most, received - before)
            before = received
        assert most <= MOST
        await flooding
