"""What is published does not wait for the event loop, and what comes is taken in at once."""

from __future__ import annotations

import asyncio
import os
import select
import socket
import threading
import time

from aio.ends import PATIENCE

from sealframe.cluster.nats_writer import HIGH_WATER

from .links import Ear, ears
from .members import cluster_of, seen_by
from .nats_servers import NatsServer

ANY_LOOP = True


def socket_of(ear: Ear) -> socket.socket:
    """Return a copy of the socket to NATS."""
    client = ear.link._client
    assert client is not None
    writer = client._writer()
    assert writer is not None
    return socket.socket(fileno=os.dup(writer.get_extra_info("socket").fileno()))


def await_arrival(ear: Ear, message: bytes) -> None:
    """Return once a message is at the socket; NATS's own lines may be there before."""
    give_up = time.monotonic() + PATIENCE
    with socket_of(ear) as sock:
        while True:
            assert select.select([sock], [], [], PATIENCE)[0]
            if b" %d\r\n%b\r\n" % (len(message), message) in sock.recv(65536, socket.MSG_PEEK):
                return
            assert time.monotonic() < give_up
            time.sleep(0.001)


async def test_two_turns_from_one_server_to_the_other(nats_server: NatsServer) -> None:
    """None until it is written, and two from the socket to whoever takes it."""
    async with ears(nats_server.url, "a", "b") as (a, b):
        for number in range(5):
            message = b"%d" % number
            a.link.publish(b.subject, message)
            # The event loop stands still meanwhile.
            await_arrival(b, message)
            # This task comes first in each turn, and sees what was done in those before.
            for _ in range(3):
                await asyncio.sleep(0)
            assert b.messages[-1:] == [message]


async def test_nothing_overtakes_what_waits(nats_server: NatsServer) -> None:
    """While NATS hangs the socket is full at some time; then all that is published waits."""
    async with ears(nats_server.url, "a", "b") as (a, b):
        nats_server.stop()
        count = 0
        while a.link.queued < 2**20:
            a.link.publish(b.subject, b"%d " % count + bytes(100_000))
            count += 1
        nats_server.go_on()
        while a.link.queued > 2**19:
            # Also as soon as there is room at the socket: behind what was there before.
            a.link.publish(b.subject, b"%d " % count)
            count += 1
            await asyncio.sleep(0)
        await b.until(lambda: len(b.messages) == count)
        assert [int(message.split()[0]) for message in b.messages] == list(range(count))
        assert a.changes == [True]


async def test_an_answer_may_be_what_goes_over_the_mark(nats_server: NatsServer) -> None:
    async with ears(nats_server.url, "a", "b") as (a, b):
        writer = a.link._writer
        assert writer is not None
        # It has been full before, and has told of room.
        while writer.queued == 0:
            writer.publish(b.subject, bytes(100_000))
        await writer.idle()
        nats_server.stop()
        while writer.queued == 0:
            writer.publish(b.subject, bytes(100_000))
        writer.publish(b.subject, bytes(HIGH_WATER - writer.queued))
        await a.link.room()
        writer.answer(b.everybody, bytes(300))
        assert writer.queued == HIGH_WATER + 300
        room = asyncio.create_task(a.link.room())
        # A loop that stands still there goes on then, to the end of the wait.
        guard = threading.Timer(3, writer.drop)
        guard.start()
        for _ in range(3):
            await asyncio.sleep(0)
        guard.cancel()
        assert not room.done()
        nats_server.go_on()
        await room
        assert writer.queued <= HIGH_WATER // 2


async def test_a_probe_is_answered_before_what_waits(nats_server: NatsServer) -> None:
    async with ears(nats_server.url, "a", "b") as (a, b):
        nats_server.stop()
        count = 0
        while a.link.queued < 2**20:
            a.link.publish(b.subject, bytes(100_000))
            count += 1
        waiting = a.link.queued // 100_000
        assert a.link._writer is not None
        a.link._writer.answer(b.everybody, b"")
        before: list[int] = []
        b.link._on_presence = lambda _: before.append(len(b.messages))
        nats_server.go_on()
        await b.until(lambda: len(b.messages) == count)
        assert before == [count - waiting]


async def test_what_one_turn_sends_is_one_nats_message(nats_server: NatsServer) -> None:
    async with cluster_of(nats_server.url, 2) as (a, b):
        id, conn = await b.connect()
        await seen_by((a, b), id)
        node = a.cluster._node
        assert node is not None
        await a.cluster.send(id, b"first")
        assert await conn.recv() == b"first"
        stream = node.outgoing._destinations[b.cluster.server_id].stream
        number, before = stream.position
        for _ in range(1000):
            await a.cluster.send(id, bytes(128))
        for _ in range(1000):
            await conn.recv()
        assert stream.position == (number, before + 1)
        await conn.close()
