"""Byte streams beside messages: both directions, many at once, and every way to end."""

from __future__ import annotations

import asyncio
import gc
import weakref
from typing import Any

import pytest

from sealframe import (
    ClientOptions,
    Connection,
    ConnectionClosed,
    NotSupportedError,
    ServerOptions,
    Stream,
    StreamError,
    StreamResetError,
)
from sealframe.aio.connection import protocol_of
from sealframe.aio.stream import endpoint_of
from sealframe.aio.stream_endpoint import StreamEndpoint

from .ends import PATIENCE, Mode, open_pair
from .scripted import until
from .stepping import Attempt, Moment, every_step

EAGER = True

pytestmark = pytest.mark.usefixtures("no_leaks")

KIB = 1024
MIB = 1024 * KIB


def pattern(size: int, seed: int = 0) -> bytes:
    """Return bytes that show what is missing or in another order."""
    return b"".join((seed + n).to_bytes(4, "big") for n in range(size // 4 + 1))[:size]


class Arrivals:
    """An ``on_stream`` that hands streams to the test, and returns when told."""

    def __init__(self) -> None:
        self.streams: asyncio.Queue[Stream] = asyncio.Queue()
        self.leave = asyncio.Event()

    async def __call__(self, stream: Stream) -> None:
        self.streams.put_nowait(stream)
        del stream
        await self.leave.wait()

    async def next(self) -> Stream:
        async with asyncio.timeout(PATIENCE):
            return await self.streams.get()


async def echo(stream: Stream) -> None:
    async with stream:
        async for chunk in stream:
            await stream.write(chunk)


def is_clean(conn: Connection) -> bool:
    """Return whether nothing is left of any stream at this end."""
    channels, multiplexer = protocol_of(conn).channels, protocol_of(conn).machine.multiplexer
    if channels is not None and (channels.streams.endpoints or channels.streams.serving):
        return False
    return not (
        multiplexer.streams
        or multiplexer.ready
        or multiplexer.open_local
        or multiplexer.open_peer
        or multiplexer.over
    )


async def become_clean(*conns: Connection) -> None:
    await until(lambda: all(map(is_clean, conns)))


class TestBytes:
    @pytest.mark.parametrize("size", [0, 1, 61_440, 61_441, 65_536, 65_537, 3 * MIB])
    async def test_there_and_back(self, control_mode: Mode, size: int) -> None:
        data = pattern(size)
        async with open_pair(control_mode, at_server={"on_stream": echo}) as (client, accepted, _):
            async with asyncio.timeout(PATIENCE), await client.open_stream(b"what for") as stream:
                await stream.write(data)
                await stream.end()
                assert await stream.read() == data
                assert await stream.read() == await stream.read(5) == b""
            await become_clean(client, accepted)

    async def test_the_server_opens_too(self, control_mode: Mode) -> None:
        async with open_pair(
            control_mode, at_client={"on_stream": echo}, at_server={"on_stream": echo}
        ) as (client, accepted, _):
            for conn in (accepted, client, accepted):
                async with asyncio.timeout(PATIENCE), await conn.open_stream() as stream:
                    await stream.write(b"there and back")
                    await stream.end()
                    assert await stream.read() == b"there and back"
            await become_clean(client, accepted)

    async def test_both_directions_at_once(self, control_mode: Mode) -> None:
        arrivals = Arrivals()
        data = pattern(4 * MIB)
        async with open_pair(control_mode, at_server={"on_stream": arrivals}) as (client, other, _):
            ours = await client.open_stream(b"\x00 metadata")
            theirs = await arrivals.next()
            assert theirs.metadata == b"\x00 metadata"
            assert theirs.connection is other
            assert ours.connection is client

            async def write(stream: Stream) -> None:
                for start in range(0, len(data), 100_000):
                    await stream.write(data[start : start + 100_000])
                await stream.end()

            async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as group:
                group.create_task(write(ours))
                group.create_task(write(theirs))
                at_ours = group.create_task(ours.read())
                at_theirs = group.create_task(theirs.read())
            assert at_ours.result() == at_theirs.result() == data
            arrivals.leave.set()
            await become_clean(client, other)

    async def test_read_returns_what_there_is_up_to_n(self, control_mode: Mode) -> None:
        arrivals = Arrivals()
        async with open_pair(control_mode, at_server={"on_stream": arrivals}) as (client, _, _):
            ours = await client.open_stream()
            theirs = await arrivals.next()
            assert await theirs.read(0) == b""
            reading = asyncio.create_task(theirs.read(4))
            await asyncio.sleep(0)
            assert not reading.done()
            await ours.write(bytearray(b"0123456789"))
            assert await reading == b"0123"
            assert await theirs.read(4) == b"4567"
            assert await theirs.read(4) == b"89"
            await ours.write(memoryview(b"last"))
            await ours.end()
            await ours.end()
            async with asyncio.timeout(PATIENCE):
                assert [chunk async for chunk in theirs] == [b"last"]
            arrivals.leave.set()

    async def test_what_is_no_bytes_is_refused(self, control_mode: Mode) -> None:
        async with open_pair(control_mode, at_server={"on_stream": echo}) as (client, _, _):
            wrong: Any
            for wrong in ("text", 5, None):
                with pytest.raises(TypeError, match="bytes"):
                    await client.open_stream(wrong)
            with pytest.raises(ValueError, match="4096"):
                await client.open_stream(bytes(4097))
            async with await client.open_stream(bytes(4096)) as stream:
                for wrong in ("text", 5, None):
                    with pytest.raises(TypeError, match="bytes"):
                        await stream.write(wrong)
                with pytest.raises(ValueError, match="code"):
                    stream.reset(1)
                with pytest.raises(TypeError, match="reason"):
                    stream.reset(0, b"bytes")  # type: ignore[arg-type]

    async def test_tiny_pieces_take_little_memory(self, control_mode: Mode) -> None:
        arrivals = Arrivals()
        async with open_pair(control_mode, at_server={"on_stream": arrivals}) as (client, _, _):
            ours = await client.open_stream()
            theirs = await arrivals.next()
            for _ in range(5000):
                await ours.write(b"x")
                await asyncio.sleep(0)
            await until(lambda: endpoint_of(theirs).buffered == 5000)
            assert len(endpoint_of(theirs).chunks) <= 2
            assert await theirs.read(5000) == b"x" * 5000
            arrivals.leave.set()


class TestMany:
    async def test_at_once_and_beside_messages(self, control_mode: Mode) -> None:
        data = [pattern(200_000, seed) for seed in range(60)]
        async with open_pair(
            control_mode, at_server={"on_stream": echo}, at_client={"on_stream": echo}
        ) as (client, accepted, _):

            async def one(conn: Connection, number: int) -> None:
                async with await conn.open_stream() as stream, asyncio.TaskGroup() as group:

                    async def write() -> None:
                        await stream.write(data[number])
                        await stream.end()

                    group.create_task(write())
                    assert await stream.read() == data[number]

            async with asyncio.timeout(3 * PATIENCE), asyncio.TaskGroup() as group:
                for number in range(len(data)):
                    group.create_task(one(client, number))
                    group.create_task(one(accepted, number))
                for number in range(100):
                    await client.send(b"%d" % number)
                    assert await accepted.recv() == b"%d" % number
                    await client.ping()
            await become_clean(client, accepted)

    async def test_a_small_one_passes_a_large_one(self, control_mode: Mode) -> None:
        async with open_pair(control_mode, at_server={"on_stream": echo}) as (client, accepted, _):
            async with await client.open_stream() as large:
                await large.write(bytes(8 * MIB))
                reading = asyncio.create_task(large.read())
                async with asyncio.timeout(PATIENCE), await client.open_stream() as small:
                    await small.write(b"quick")
                    await small.end()
                    assert await small.read() == b"quick"
                assert not reading.done()
                await large.end()
                assert await reading == bytes(8 * MIB)
            await become_clean(client, accepted)

    async def test_a_slow_reader_stops_its_stream_and_nothing_else(
        self, control_mode: Mode
    ) -> None:
        arrivals = Arrivals()
        options = ServerOptions(stream_window=100_000)
        async with open_pair(
            control_mode, server_options=options, at_server={"on_stream": arrivals}
        ) as (client, accepted, _):
            slow, quick = await client.open_stream(), await client.open_stream()
            unread, read = await arrivals.next(), await arrivals.next()
            written = 0
            enough = False

            async def fill() -> None:
                nonlocal written
                while not enough:
                    await slow.write(bytes(10_000))
                    written += 10_000

            filling = asyncio.create_task(fill())
            await until(
                lambda: (
                    not endpoint_of(slow).is_writable and endpoint_of(unread).buffered >= 100_000
                )
            )
            assert endpoint_of(unread).buffered == 100_000
            assert written <= 100_000 + 256 * KIB + 10_000
            async with asyncio.timeout(PATIENCE):
                for number in range(50):
                    await quick.write(pattern(30_000, number))
                    got = b""
                    while len(got) < 30_000:
                        got += await read.read(30_000)
                    assert got == pattern(30_000, number)
                    await client.send(b"message")
                    assert await accepted.recv() == b"message"
                    await accepted.ping()
            assert not filling.done()
            assert endpoint_of(unread).buffered == 100_000
            enough = True
            got_size = 0
            async with asyncio.timeout(PATIENCE):
                while got_size < written or not filling.done():
                    got_size += len(await unread.read(7_000))
            assert got_size == written
            slow.reset()
            quick.reset()
            arrivals.leave.set()
            await become_clean(client, accepted)

    async def test_those_who_write_to_one_stream_wait_their_turn(self, control_mode: Mode) -> None:
        arrivals = Arrivals()
        async with open_pair(control_mode, at_server={"on_stream": arrivals}) as (client, _, _):
            ours = await client.open_stream()
            theirs = await arrivals.next()
            writers = [asyncio.create_task(ours.write(bytes(300_000))) for _ in range(10)]
            await until(lambda: endpoint_of(theirs).buffered == 256 * KIB)
            assert sum(task.done() for task in writers) < 10
            assert (
                protocol_of(client).machine.multiplexer.queued(endpoint_of(ours).number)
                < 256 * KIB + 300_000
            )
            size = 0
            async with asyncio.timeout(PATIENCE):
                while size < 3_000_000:
                    size += len(await theirs.read(50_000))
                await asyncio.gather(*writers)
            arrivals.leave.set()


async def test_a_chunk_is_not_copied(control_mode: Mode) -> None:
    arrivals = Arrivals()
    async with open_pair(control_mode, at_server={"on_stream": arrivals}) as (client, _, _):
        ours = await client.open_stream()
        theirs = await arrivals.next()
        await ours.write(pattern(3000))
        await ours.end()
        with pytest.raises(ValueError, match="n is 0; use a whole number from 1 up"):
            await theirs.read_chunk(0)
        first = await theirs.read_chunk(1000)
        assert isinstance(first, memoryview)
        assert bytes(first) + await theirs.read() == pattern(3000)
        assert await theirs.read_chunk() == b""
        arrivals.leave.set()


class TestReadingAll:
    async def test_more_than_a_window(self, control_mode: Mode) -> None:
        arrivals = Arrivals()
        data = pattern(3 * MIB)
        options = ServerOptions(stream_window=64 * KIB)
        async with open_pair(
            control_mode, server_options=options, at_server={"on_stream": arrivals}
        ) as (client, accepted, _):
            ours = await client.open_stream()
            theirs = await arrivals.next()
            reading = asyncio.create_task(theirs.read())
            async with asyncio.timeout(PATIENCE):
                for start in range(0, len(data), 50_000):
                    await ours.write(data[start : start + 50_000])
                await until(lambda: endpoint_of(theirs).buffered > MIB)
                # What a cancelled one waited for is still there.
                reading.cancel()
                await asyncio.wait([reading])
                first = await theirs.read(1000)
                again = asyncio.create_task(theirs.read())
                await asyncio.sleep(0)
                await ours.end()
                assert first + await again == data
            arrivals.leave.set()
            await become_clean(client, accepted)

    async def test_after_a_cancelled_one_the_window_holds_again(self, control_mode: Mode) -> None:
        arrivals = Arrivals()
        # With this inbox_limit the window does not grow while all is taken.
        options = ServerOptions(stream_window=64 * KIB, inbox_limit=64 * KIB)
        async with open_pair(
            control_mode, server_options=options, at_server={"on_stream": arrivals}
        ) as (client, _, _):
            ours = await client.open_stream()
            theirs = await arrivals.next()
            await ours.write(pattern(MIB))
            reading = asyncio.create_task(theirs.read())
            await until(lambda: endpoint_of(theirs).buffered >= 300_000)
            reading.cancel()
            await asyncio.wait([reading])
            await client.ping()
            assert endpoint_of(theirs).buffered <= 300_000 + 3 * 64 * KIB + 61_440
            got = b""
            async with asyncio.timeout(PATIENCE):
                while len(got) < MIB:
                    got += await theirs.read(10_000)
            assert got == pattern(MIB)
            arrivals.leave.set()


async def read_to_the_end(stream: Stream) -> None:
    """Read what comes, and drop it."""
    while await stream.read(2**20):
        pass


class TestEnds:
    async def test_reset_reaches_both_directions_of_the_other_end(self, control_mode: Mode) -> None:
        arrivals = Arrivals()
        async with open_pair(control_mode, at_server={"on_stream": arrivals}) as (client, other, _):
            ours = await client.open_stream()
            theirs = await arrivals.next()
            await ours.write(b"before")
            ours.reset(77, "no more of it")
            ours.reset(78)
            async with asyncio.timeout(PATIENCE):
                with pytest.raises(StreamResetError, match="no more of it") as caught:
                    while True:
                        await theirs.read(100)
            assert caught.value.code == 77
            assert caught.value.reason == "no more of it"
            with pytest.raises(StreamResetError):
                await theirs.write(b"x")
            with pytest.raises(StreamResetError):
                await theirs.end()
            with pytest.raises(StreamError, match="this end has reset"):
                await ours.read()
            with pytest.raises(StreamError, match="this end has reset"):
                await ours.write(b"x")
            arrivals.leave.set()
            await become_clean(client, other)

    async def test_a_reset_is_not_overtaken_by_the_close(self, control_mode: Mode) -> None:
        arrivals = Arrivals()
        async with open_pair(control_mode, at_server={"on_stream": arrivals}) as (client, _, _):
            ours = await client.open_stream()
            theirs = await arrivals.next()
            told = asyncio.create_task(read_to_the_end(theirs))
            # So that the socket takes no more for now.
            for _ in range(8):
                await ours.write(bytes(2**20))
            ours.reset(77)
            closing = asyncio.create_task(client.close())
            with pytest.raises(StreamResetError):
                await told
            arrivals.leave.set()
            assert await closing

    async def test_nothing_is_written_after_the_end(self, control_mode: Mode) -> None:
        async with open_pair(control_mode, at_server={"on_stream": echo}) as (client, _, _):
            stream = await client.open_stream()
            await stream.end()
            with pytest.raises(StreamError, match="this end has ended"):
                await stream.write(b"x")
            assert await stream.read() == b""

    async def test_async_with_resets_on_an_exception(self, control_mode: Mode) -> None:
        arrivals = Arrivals()
        async with open_pair(control_mode, at_server={"on_stream": arrivals}) as (client, other, _):
            with pytest.raises(ZeroDivisionError):
                async with await client.open_stream() as ours:
                    await ours.write(b"half of it")
                    raise ZeroDivisionError
            theirs = await arrivals.next()
            async with asyncio.timeout(PATIENCE):
                with pytest.raises(StreamResetError) as caught:
                    await theirs.read()
            assert caught.value.code == 0
            arrivals.leave.set()
            await become_clean(client, other)

    async def test_on_stream_may_return_early(self, control_mode: Mode) -> None:
        """What it wrote is sent, and whoever writes to it is told that nobody reads."""

        async def brief(stream: Stream) -> None:
            await stream.write(pattern(500_000))

        async with open_pair(control_mode, at_server={"on_stream": brief}) as (client, other, _):
            stream = await client.open_stream()
            async with asyncio.timeout(PATIENCE):
                assert await stream.read() == pattern(500_000)
                with pytest.raises(StreamError):
                    while True:
                        await stream.write(bytes(100_000))
            await become_clean(client, other)

    async def test_on_stream_that_raises_resets(
        self, control_mode: Mode, caplog: pytest.LogCaptureFixture
    ) -> None:
        async def broken(stream: Stream) -> None:
            await stream.read(1)
            raise ZeroDivisionError

        async with open_pair(control_mode, at_server={"on_stream": broken}) as (client, other, _):
            stream = await client.open_stream()
            await stream.write(b"go")
            async with asyncio.timeout(PATIENCE):
                with pytest.raises(StreamResetError, match="the program failed") as caught:
                    await stream.read()
            assert caught.value.code == 3
            await become_clean(client, other)
        assert [r.name for r in caplog.records if r.levelname == "ERROR"] == ["sealframe.streams"]

    async def test_on_stream_that_is_cancelled_resets(self, control_mode: Mode) -> None:
        tasks: list[asyncio.Task[Any] | None] = []

        async def waits(stream: Stream) -> None:
            tasks.append(asyncio.current_task())
            await stream.read()

        async with open_pair(control_mode, at_server={"on_stream": waits}) as (client, other, _):
            stream = await client.open_stream()
            await until(lambda: bool(tasks))
            (task,) = tasks
            assert task is not None
            task.cancel()
            async with asyncio.timeout(PATIENCE):
                with pytest.raises(StreamResetError):
                    await stream.read()
            await become_clean(client, other)

    async def test_what_came_before_the_connection_ended_stays(self, control_mode: Mode) -> None:
        arrivals = Arrivals()
        async with open_pair(control_mode, at_server={"on_stream": arrivals}) as (client, _, _):
            ended, open_ = await client.open_stream(), await client.open_stream()
            await ended.write(b"whole")
            await ended.end()
            await open_.write(b"part")
            whole, part = await arrivals.next(), await arrivals.next()
            async with asyncio.timeout(PATIENCE):
                await client.close()
                assert await whole.read() == b"whole"
                with pytest.raises(ConnectionClosed):
                    await part.read()
                assert await part.read(100) == b"part"
                with pytest.raises(ConnectionClosed):
                    await part.read(100)
                with pytest.raises(ConnectionClosed):
                    await part.write(b"x")
            for stream in (ended, open_):
                with pytest.raises(ConnectionClosed):
                    await stream.write(b"x")
            arrivals.leave.set()

    @pytest.mark.parametrize("size", [10, 200_000, 5 * MIB])
    async def test_close_sends_what_was_written(self, control_mode: Mode, size: int) -> None:
        got: list[bytes] = []

        async def read(stream: Stream) -> None:
            got.append(await stream.read())

        data = pattern(size)
        async with open_pair(control_mode, at_server={"on_stream": read}) as (client, _, _):
            for _ in range(2):
                stream = await client.open_stream()
                await stream.write(data)
                await stream.end()
            async with asyncio.timeout(PATIENCE):
                assert await client.close() is True
            await until(lambda: len(got) == 2)
        assert got == [data, data]

    async def test_close_ends_at_the_time_limit_if_nobody_reads(self, control_mode: Mode) -> None:
        arrivals = Arrivals()
        options = ClientOptions(close_timeout=0.1)
        async with open_pair(
            control_mode, client_options=options, at_server={"on_stream": arrivals}
        ) as (client, _, _):
            stream = await client.open_stream()
            await stream.write(bytes(5 * MIB))
            await arrivals.next()
            async with asyncio.timeout(PATIENCE):
                assert await client.close() is False
            arrivals.leave.set()


class TestSlots:
    async def test_the_peers_limit_is_kept_to(self, control_mode: Mode) -> None:
        running = most = 0
        go = asyncio.Event()

        async def counted(stream: Stream) -> None:
            nonlocal running, most
            running += 1
            most = max(most, running)
            await go.wait()
            await stream.read()
            running -= 1

        options = ServerOptions(max_streams=3)
        async with open_pair(
            control_mode, server_options=options, at_server={"on_stream": counted}
        ) as (client, accepted, _):

            async def one() -> None:
                async with await client.open_stream() as stream:
                    await stream.end()
                    await stream.read()

            tasks = [asyncio.create_task(one()) for _ in range(10)]
            await until(lambda: running == 3)
            await client.ping()
            assert running == 3
            go.set()
            async with asyncio.timeout(PATIENCE):
                await asyncio.gather(*tasks)
            assert most == 3
            await become_clean(client, accepted)

    @pytest.mark.parametrize("moment", Moment)
    async def test_who_is_cancelled_in_the_queue_lets_the_next_in(
        self, control_mode: Mode, moment: Moment
    ) -> None:
        options = ServerOptions(max_streams=1)
        async with open_pair(
            control_mode, server_options=options, at_server={"on_stream": echo}
        ) as (client, accepted, _):
            for step in every_step():
                first = await client.open_stream()
                attempt = Attempt(client.open_stream(), step, moment)
                await attempt.started()
                next_ = asyncio.create_task(client.open_stream())
                await asyncio.sleep(0)
                await first.end()
                if not await attempt.was_cancelled():
                    (await attempt.task).reset()
                async with asyncio.timeout(PATIENCE):
                    async with await next_ as stream:
                        await stream.end()
                        assert await stream.read() == b""
                    await become_clean(client, accepted)
                if not attempt.reached:
                    break
            assert not len(protocol_of(client).open_channels().streams.limiter)

    async def test_who_waits_learns_of_the_end(self, control_mode: Mode) -> None:
        arrivals = Arrivals()
        options = ServerOptions(max_streams=1)
        async with open_pair(
            control_mode, server_options=options, at_server={"on_stream": arrivals}
        ) as (client, accepted, _):
            await client.open_stream()
            waiting = [asyncio.create_task(client.open_stream()) for _ in range(3)]
            await asyncio.sleep(0)
            async with asyncio.timeout(PATIENCE):
                closing = asyncio.create_task(accepted.close())
                for task in waiting:
                    with pytest.raises(ConnectionClosed):
                        await task
                # A server that has closed has nobody who reads.
                with pytest.raises(ConnectionClosed):
                    await client.open_stream()
                with pytest.raises(ConnectionClosed):
                    await client.send(b"too late")
                await client.close()
                assert await closing is True
            arrivals.leave.set()

    async def test_none_without_on_stream(self, control_mode: Mode) -> None:
        async with open_pair(control_mode) as (client, accepted, _):
            for conn in (client, accepted):
                with pytest.raises(NotSupportedError, match="on_stream"):
                    await conn.open_stream()

    async def test_none_where_packets_flow(self) -> None:
        async with open_pair(
            Mode("packets"), at_server={"on_stream": echo}, at_client={"on_stream": echo}
        ) as (client, accepted, _):
            await client.send(b"a message")
            await accepted.recv()
            for conn in (client, accepted):
                with pytest.raises(NotSupportedError, match="extended=True"):
                    await conn.open_stream()


def endpoints() -> list[StreamEndpoint]:
    """Return all that are there, those of earlier tests too."""
    return [found for found in gc.get_objects() if type(found) is StreamEndpoint]


async def test_nothing_is_left_of_streams_that_are_over(control_mode: Mode) -> None:
    earlier = endpoints()
    seen: list[weakref.ref[Stream]] = []

    async def noted(stream: Stream) -> None:
        seen.append(weakref.ref(stream))
        await echo(stream)

    async with open_pair(control_mode, at_server={"on_stream": noted}) as (client, accepted, _):
        for number in range(20):
            stream = await client.open_stream()
            seen.append(weakref.ref(stream))
            await stream.write(bytes(1000))
            if number % 3 == 0:
                stream.reset()
            else:
                await stream.end()
                await stream.read()
        del stream
        await become_clean(client, accepted)
        gc.collect()
        assert [ref for ref in seen if ref() is not None] == []
        assert [left for left in endpoints() if not any(left is one for one in earlier)] == []


async def test_what_comes_in_one_read_leaves_nothing_behind(control_mode: Mode) -> None:
    """Streams that are opened and ended before their first byte is looked at."""
    async with open_pair(control_mode, at_server={"on_stream": echo}) as (client, accepted, _):
        protocol_of(client).pause_writing()
        streams = [await client.open_stream() for _ in range(20)]
        for stream in streams:
            await stream.write(b"all at once")
            await stream.end()
        protocol_of(client).resume_writing()
        async with asyncio.timeout(PATIENCE):
            for stream in streams:
                assert await stream.read() == b"all at once"
        await become_clean(client, accepted)
