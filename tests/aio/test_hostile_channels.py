"""Peers that abuse streams and requests: what they cost is bounded, and only they suffer."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import struct
import tracemalloc
from collections.abc import AsyncIterator
from typing import Any

import pytest

from sealframe import (
    Connection,
    ProtocolError,
    RemoteError,
    Server,
    ServerOptions,
    Stream,
    StreamResetError,
    serve,
)
from sealframe.aio.connection import protocol_of
from sealframe.wire import MAX_CHUNK, MAX_WINDOW, CloseCode, Control, Opcode, control
from sealframe.wire.control import Close, Hello

from .ends import PATIENCE, Mode, Services, dial, open_pair
from .scripted import Peer, Raw, until

ANY_LOOP = True

pytestmark = pytest.mark.usefixtures("no_leaks")

KIB = 1024
MIB = 1024 * KIB

HELLO = Hello(window=MAX_WINDOW, max_streams=1000, max_requests=1000)


def open_(number: int, *, kind: int = 0, window: int = 0, metadata: bytes = b"") -> bytes:
    return control.frame(Opcode.STREAM_OPEN, struct.pack("<QBI", number, kind, window) + metadata)


def data(number: int, chunk: bytes) -> bytes:
    return control.frame(Opcode.STREAM_DATA, struct.pack("<Q", number) + chunk)


def credit(number: int, increment: int) -> bytes:
    return control.frame(Opcode.STREAM_CREDIT, struct.pack("<QI", number, increment))


def end(number: int) -> bytes:
    return control.frame(Opcode.STREAM_END, struct.pack("<Q", number))


def reset(number: int) -> bytes:
    return control.frame(Opcode.STREAM_RESET, struct.pack("<QH", number, 0))


def request(number: int, payload: bytes = b"") -> bytes:
    return control.frame(Opcode.REQUEST, struct.pack("<Q", number) + payload)


def cancel(number: int) -> bytes:
    return control.frame(Opcode.CANCEL, struct.pack("<Q", number))


class Site:
    """A server, a hostile peer of it, and a client that must not notice.

    Streams are read to their end, requests answered at once; ``go`` holds both back.
    """

    def __init__(self, server: Server, hostile: Peer, client: Connection) -> None:
        self.server = server
        self.hostile = hostile
        self.client = client

    @property
    def victim(self) -> Connection:
        """The server's end of the hostile peer's connection."""
        (conn,) = (c for c in self.server.clients.values() if c.id != self.client.id)
        return conn

    async def check_the_other(self) -> None:
        async with asyncio.timeout(PATIENCE):
            assert await self.client.request(b"how are you") == b"how are you"
            async with await self.client.open_stream() as stream:
                await stream.write(b"fine")
                await stream.end()
                assert await stream.read() == b"4"

    async def write(self, frames: bytes) -> None:
        """Send them, and wait until they were read."""
        conn = self.victim
        before = conn.stats.bytes_received
        await self.hostile.write(frames)
        await until(lambda: conn.closed or conn.stats.bytes_received >= before + len(frames))

    async def is_put_out(self) -> None:
        """Wait for a CLOSE that says PROTOCOL."""
        body = await self.hostile.read_opcode(Opcode.CLOSE)
        assert Close.decode(body).code == CloseCode.PROTOCOL


@contextlib.asynccontextmanager
async def site(
    mode: Mode, *, go: asyncio.Event | None = None, small_buffer: bool = False, **limits: Any
) -> AsyncIterator[Site]:
    async def handler(conn: Connection) -> None:
        await conn.wait_closed()

    async def on_stream(stream: Stream) -> None:
        if go is not None:
            await go.wait()
        await stream.write(b"%d" % len(await stream.read()))

    async def on_request(conn: Connection, payload: bytes) -> bytes:
        if go is not None:
            await go.wait()
        return payload

    options = ServerOptions(**{"close_timeout": 1.0, "keepalive_interval": None, **limits})
    async with serve(
        handler,
        "127.0.0.1",
        0,
        **mode.server,
        options=options,
        on_stream=on_stream,
        on_request=on_request,
    ) as server:
        async with dial(server, mode) as client:
            async with await Raw.dial(server.port, small_buffer=small_buffer) as raw:
                peer = Peer(raw, mode, client=True)
                await peer.introduce(HELLO)
                await until(lambda: len(server.clients) == 2)
                yield Site(server, peer, client)
                raw.reset()
            if go is not None:
                go.set()


@contextlib.contextmanager
def grows_less_than(limit: int) -> Any:
    gc.collect()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        yield
        gc.collect()
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < limit, f"it grew by {after - before} bytes"


class TestFloods:
    async def test_of_streams_over_the_limit(self, control_mode: Mode) -> None:
        async with site(control_mode, go=asyncio.Event(), max_streams=10) as at:
            await at.hostile.write(b"".join(open_(2 * n) for n in range(11)))
            await at.is_put_out()

    async def test_of_requests_over_the_limit(self, control_mode: Mode) -> None:
        async with site(control_mode, go=asyncio.Event(), max_requests=10) as at:
            await at.hostile.write(b"".join(request(n) for n in range(11)))
            await at.is_put_out()

    async def test_of_streams_that_are_reset_at_once(self, control_mode: Mode) -> None:
        """Whatever serves them runs on, so only so many run; no answer is ever read."""
        go = asyncio.Event()
        async with site(control_mode, go=go, max_streams=10) as at:
            protocol_of(at.victim).pause_writing()
            await at.write(b"".join(open_(2 * n) + reset(2 * n) for n in range(100)))
            streams = protocol_of(at.victim).open_channels().streams
            with grows_less_than(100 * KIB):
                for first in range(100, 5000, 100):
                    numbers = range(2 * first, 2 * first + 200, 2)
                    await at.write(b"".join(open_(n) + reset(n) for n in numbers))
            assert len(streams.serving) <= 10
            assert len(streams.endpoints) <= 10
            assert len(streams.queue) <= 10
            protocol_of(at.victim).resume_writing()
            go.set()
            await until(lambda: not streams.serving)

    async def test_of_streams_of_unknown_kinds(self, control_mode: Mode) -> None:
        async with site(control_mode, max_streams=10) as at:
            protocol_of(at.victim).pause_writing()
            with grows_less_than(100 * KIB):
                for first in range(0, 5000, 100):
                    numbers = range(2 * first, 2 * first + 200, 2)
                    await at.write(b"".join(open_(n, kind=99) + reset(n) for n in numbers))
            assert not protocol_of(at.victim).open_channels().streams.endpoints
            protocol_of(at.victim).resume_writing()

    async def test_of_requests_that_are_withdrawn_at_once(self, control_mode: Mode) -> None:
        """Each with a part of its body, which nobody collects any more."""
        async with site(control_mode, max_requests=10) as at:
            conn = at.victim

            async def read() -> None:
                while await at.hostile.read() is not None:
                    pass

            reading = asyncio.create_task(read())
            body = bytes(30_000)
            with grows_less_than(3 * MIB):
                for n in range(300):
                    number = struct.pack("<Q", n)
                    frames = open_(2 * n, kind=1, metadata=number) + data(2 * n, body) + cancel(n)
                    await at.write(frames)
                    await until(
                        lambda: not protocol_of(conn).machine.multiplexer.requests.peer_pending
                    )
            channels = protocol_of(conn).open_channels()
            assert not channels.streams.endpoints
            assert not channels.requests.serving
            assert not protocol_of(conn).machine.multiplexer.streams
            reading.cancel()
            await asyncio.wait([reading])

    async def test_of_requests_whose_answers_are_not_read(self, control_mode: Mode) -> None:
        async with site(control_mode, small_buffer=True, max_requests=10) as at:
            conn = at.victim
            with contextlib.suppress(ConnectionError, TimeoutError):
                for n in range(1000):
                    await at.hostile.write(request(n, bytes(MAX_CHUNK)))
                    if protocol_of(conn).sender.write_paused:
                        break
            # What is answered and not written yet counts, so at most ten more.
            await at.check_the_other()
            assert sum(map(len, protocol_of(conn).machine.multiplexer.urgent)) <= 11 * (
                MAX_CHUNK + 20
            )


async def test_failures_on_demand_do_not_fill_the_log(
    control_mode: Mode, caplog: pytest.LogCaptureFixture
) -> None:
    """Each traceback is some kilobytes, and what brings it about a few bytes."""

    async def fail(*_: object) -> None:
        raise KeyError("sent on purpose")

    services: Services = {"on_stream": fail, "on_request": fail}
    async with open_pair(control_mode, at_server=services) as pair:
        for _ in range(30):
            with pytest.raises(RemoteError):
                await pair.client.request(b"")
            stream = await pair.client.open_stream()
            with pytest.raises(StreamResetError):
                await stream.read()
    assert len([record for record in caplog.records if record.exc_info]) == 20


class TestMemory:
    async def test_of_data_in_single_bytes(self, control_mode: Mode) -> None:
        count = 8192
        go = asyncio.Event()
        async with site(control_mode, go=go) as at:
            await at.write(open_(0))
            with grows_less_than(count * 8):
                for _ in range(8):
                    await at.write(data(0, b"x") * (count // 8))
            (endpoint,) = protocol_of(at.victim).open_channels().streams.endpoints.values()
            assert endpoint.buffered == count
            go.set()
            await at.check_the_other()

    async def test_of_the_body_of_a_request_in_single_bytes(self) -> None:
        """Each comes by itself, while somebody waits for it."""
        count = 2000
        # Of sealed records, this suite itself remembers the nonces.
        async with site(Mode("extended")) as at:
            await at.write(open_(0, kind=1, metadata=bytes(8)))
            with grows_less_than(count * 16):
                for _ in range(count):
                    await at.write(data(0, b"x"))
                    await asyncio.sleep(0)
            await at.hostile.write(end(0))
            assert await at.hostile.read_opcode(Opcode.REPLY) == bytes(8) + b"x" * count
            await at.check_the_other()

    async def test_of_the_bodies_of_many_requests(self) -> None:
        """They are collected one after the other, and only while there is room."""
        go, begun, count = asyncio.Event(), list[int](), 20
        size = MIB + MIB // 2

        async def on_request(conn: Connection, payload: bytes) -> bytes:
            begun.append(len(payload))
            await go.wait()
            return b"%d" % len(payload)

        services: Services = {"on_request": on_request}
        options = ServerOptions(inbox_limit=2 * MIB)
        async with open_pair(Mode("extended"), server_options=options, at_server=services) as pair:
            body = bytes(size)
            asking = [asyncio.create_task(pair.client.request(body)) for _ in range(count)]
            await until(lambda: len(begun) == 2)
            for _ in range(20):
                await pair.client.ping()
            assert len(begun) == 2
            # What waits stays within the first windows of its streams.
            assert pair.accepted.stats.bytes_received < 2 * size + count * 100 * KIB
            go.set()
            assert await asyncio.gather(*asking) == [b"%d" % size] * count

    async def test_of_data_without_credit(self, control_mode: Mode) -> None:
        limits: dict[str, Any] = {"stream_window": 100_000}
        async with site(control_mode, go=asyncio.Event(), **limits) as at:
            await at.hostile.write(open_(0) + data(0, bytes(50_000)) + data(0, bytes(50_001)))
            await at.is_put_out()

    async def test_of_a_stream_whose_end_nobody_reads(self, control_mode: Mode) -> None:
        """What serves it has returned, and the peer neither reads nor grants nor resets."""
        go = asyncio.Event()
        go.set()
        async with site(control_mode, go=go, small_buffer=True, max_streams=2) as at:
            await at.write(open_(0) + end(0) + open_(2) + end(2))
            await until(lambda: not protocol_of(at.victim).open_channels().streams.serving)
            await at.hostile.write(open_(4))
            # The answer had no credit, so both are open still.
            await at.is_put_out()


class TestNonsense:
    @pytest.mark.parametrize(
        "frames",
        [
            open_(2),
            open_(1),
            open_(0) + open_(0),
            open_(0, window=MAX_WINDOW + 1),
            open_(0, metadata=bytes(4097)),
            open_(0, kind=1, metadata=b"short"),
            open_(0, kind=2, metadata=bytes(8)),
            open_(0, window=5) + credit(0, MAX_WINDOW),
            open_(0) + credit(0, 0),
            open_(0) + end(0) + data(0, b"x"),
            open_(0) + data(0, b""),
            data(0, b"x"),
            end(5),
            credit(1, 1),
            reset(1),
            request(1),
            cancel(0),
            control.frame(Opcode.REPLY, bytes(8)),
            control.frame(Opcode.FAILURE, bytes(10)),
            control.frame(Opcode.STREAM_DATA, b"short"),
        ],
    )
    async def test_ends_in_a_protocol_error(self, control_mode: Mode, frames: bytes) -> None:
        async with site(control_mode) as at:
            victim = at.victim
            # What follows it in the same read starts nothing.
            await at.hostile.write(frames + open_(0) + request(0))
            await at.is_put_out()
            assert isinstance(protocol_of(victim).receiver.error, ProtocolError)
            await at.check_the_other()

    async def test_after_an_overflow_of_credit_nothing_is_served(self, control_mode: Mode) -> None:
        """It is seen late, when what follows it was looked at."""
        too_much = control.frame(Opcode.CREDIT, MAX_WINDOW.to_bytes(4, "little"))
        async with site(control_mode, go=asyncio.Event()) as at:
            victim = at.victim
            await at.hostile.write(too_much + open_(0) + request(0))
            await at.is_put_out()
            channels = protocol_of(victim).channels
            assert channels is None or not channels.streams.endpoints


class TestLastWords:
    """What comes together with the end of the connection."""

    async def test_a_stream_is_still_served(self, control_mode: Mode) -> None:
        got: list[bytes] = []

        async def handler(conn: Connection) -> None:
            await conn.wait_closed()

        async def on_stream(stream: Stream) -> None:
            got.append(await stream.read())

        async def on_request(conn: Connection, payload: bytes) -> None:
            got.append(payload)

        async with serve(
            handler,
            "127.0.0.1",
            0,
            **control_mode.server,
            on_stream=on_stream,
            on_request=on_request,
        ) as server:
            async with await Raw.dial(server.port) as raw:
                peer = Peer(raw, control_mode, client=True)
                await peer.introduce(HELLO)
                close = control.frame(Opcode.CLOSE, Close(0, "", 4).encode())
                await peer.write(open_(0) + data(0, b"my last words") + end(0) + request(0) + close)
                frames = await peer.read_to_end()
                opcodes = [frame.opcode for frame in frames if isinstance(frame, Control)]
                assert Opcode.CLOSE in opcodes
                await until(lambda: b"my last words" in got)
