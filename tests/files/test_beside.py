"""What else goes over a connection meanwhile, and the memory that a transfer takes."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest
from aio.ends import Mode, shared_key

import sealframe
from sealframe import Connection, Inbox
from sealframe.aio.connection import protocol_of
from sealframe.files.incoming import PIECE
from sealframe.options import MIB

from .pair import PATIENCE, bytes_in, open_pair, until

BIG = 256 * MIB
AHEAD = 3 * MIB // 2
"""Bytes that may arrive before a message beside what the kernel holds already: a read of the event
loop, which counts as a whole and may be 1 MiB under uvloop, and what is written in a turn."""
FLAT = 24 * MIB


def held_by_the_kernel(sender: Connection, receiver: Connection) -> int:
    """Return the bytes that are in the buffers of both sockets, those twice that are in both."""
    import fcntl
    import termios

    held = 0
    for conn, request in ((sender, termios.TIOCOUTQ), (receiver, termios.FIONREAD)):
        transport = protocol_of(conn).transport
        assert transport is not None
        answer = fcntl.ioctl(transport.get_extra_info("socket").fileno(), request, bytes(4))
        held += int.from_bytes(answer, sys.byteorder)
    return held


@pytest.mark.skipif(sys.platform != "linux", reason="others do not tell what a socket holds")
async def test_a_message_waits_for_little_of_a_large_file(
    mode: Mode, source: Path, inbox: Inbox
) -> None:
    """Bounded in bytes that arrive before it, however slow the machine is.

    What the kernel holds when the message is sent is none of ours and is left out. Nearly all of
    that is in the receiving socket: its buffer grows as far as net.ipv4.tcp_rmem lets, 6 to
    32 MiB, when the receiving end comes to read late; 7.4 of 7.6 MiB were seen there on a busy
    machine. The sending one holds 1 MiB.
    """
    with (source / "a").open("wb") as file:
        file.truncate(BIG)
    ahead: list[int] = []
    sent_at = held = 0
    arrived = asyncio.Event()

    async def handler(conn: Connection) -> None:
        async for _ in conn:
            ahead.append(conn.stats.bytes_received - sent_at - held)
            arrived.set()

    serving = sealframe.serve(handler, "127.0.0.1", 0, files=inbox, **mode.server)
    async with asyncio.timeout(PATIENCE), serving as server:
        async with sealframe.connect("127.0.0.1", server.port, **mode.client) as conn:
            sending = asyncio.create_task(conn.send_file(source / "a"))
            await until(lambda: bytes_in(inbox.store.directory) > 0)
            (accepted,) = server.clients.values()
            while not sending.done() and len(ahead) < 50:
                arrived.clear()
                sent_at, held = accepted.stats.bytes_received, held_by_the_kernel(conn, accepted)
                await conn.send(b"x")
                await arrived.wait()
            await sending
    assert len(ahead) > 10
    assert max(ahead) < AHEAD


async def test_a_request_is_answered_during_a_transfer(
    mode: Mode, source: Path, inbox: Inbox
) -> None:
    (source / "a").write_bytes(bytes(20 * PIECE))
    async with open_pair(mode, inbox) as pair:
        sending = asyncio.create_task(pair.client.send_file(source / "a"))
        await until(lambda: bytes_in(inbox.store.directory) > 0)
        assert not sending.done()
        await pair.client.ping()
        await sending


MEASURE = """
import asyncio, resource, sys
import sealframe
from sealframe import Inbox, SharedKey

async def handler(conn):
    async for _ in conn:
        pass

async def main(small, big, root, key):
    security = SharedKey.load(key) if key else None
    serving = sealframe.serve(
        handler, "127.0.0.1", 0, files=Inbox(root, keep_free=0), security=security
    )
    async with serving as server:
        connecting = sealframe.connect(
            "127.0.0.1", server.port, extended=not key, security=security
        )
        async with connecting as conn:
            await asyncio.gather(*(conn.send_file(small, name=f"s{n}") for n in range(4)))
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            await conn.send_file(big)
            print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024)

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="others count memory otherwise")
def test_memory_does_not_grow_with_the_file(
    mode: Mode, source: Path, root: Path, tmp_path: Path
) -> None:
    """Of both ends together, over what four small transfers took."""
    (source / "small").write_bytes(os.urandom(PIECE))
    with (source / "big").open("wb") as file:
        file.truncate(BIG)
    key = ""
    if mode.sealed:
        shared_key().save(tmp_path / "key")
        key = str(tmp_path / "key")
    command = [sys.executable, "-c", MEASURE, str(source / "small"), str(source / "big")]
    done = subprocess.run(
        [*command, str(root), key], stdout=subprocess.PIPE, check=True, text=True, timeout=60
    )
    assert int(done.stdout) < FLAT
