"""What the program does in the middle of a write, a read or a first step: from a finalizer, from
``on_message``, from ``on_request``."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

import sealframe
from sealframe.aio.connection import protocol_of
from sealframe.core.protocol import ProtocolMachine
from sealframe.noise.cipher import CipherState
from sealframe.wire import MESSAGE_OVERHEAD

from .ends import PATIENCE

pytestmark = pytest.mark.usefixtures("no_leaks")


@asynccontextmanager
async def recording(
    receive: Callable[[bytes], object], key: sealframe.SharedKey | None, *, extended: bool = False
) -> AsyncIterator[sealframe.Connection]:
    """A connection to a server that hands on what it receives."""

    async def handler(conn: sealframe.Connection) -> None:
        async for message in conn:
            receive(message)

    async with (
        sealframe.serve(handler, "127.0.0.1", 0, security=key) as server,
        sealframe.connect("127.0.0.1", server.port, security=key, extended=extended) as conn,
    ):
        yield conn


@pytest.mark.parametrize("many", [False, True], ids=["one a turn", "two a turn"])
async def test_what_a_finalizer_sends_while_this_seals_comes_after(
    many: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rekey, every 4,096 records, is where Python code runs between a nonce and its record."""
    key, received = sealframe.SharedKey.generate(), list[bytes]()
    sent = [b"%d" % number for number in range(4200)]

    async with recording(received.append, key) as conn:
        records = protocol_of(conn).machine.records
        assert records is not None
        rekey, finalized = CipherState.rekey, 0

        def finalize(self: CipherState) -> None:
            nonlocal finalized
            if self is records.sender:
                finalized += 1
                conn.send_nowait(b"finalizer")
            rekey(self)

        monkeypatch.setattr(CipherState, "rekey", finalize)
        for message in sent:
            await conn.send(message)
            if many:
                await conn.send(b"more")
            await asyncio.sleep(0)
        assert await conn.close()
    assert finalized
    assert received.count(b"finalizer") == finalized
    assert [each for each in received if each not in (b"finalizer", b"more")] == sent


class Garbage:
    """In a cycle: a collection finalizes it."""

    def __init__(self, finalizer: Callable[[], object]) -> None:
        self.myself, self.finalizer = self, finalizer

    def __del__(self) -> None:
        self.finalizer()


@pytest.mark.parametrize("extended", [False, True], ids=["plain", "extended"])
async def test_what_a_finalizer_sends_while_a_full_queue_is_taken_is_not_lost(
    extended: bool,
) -> None:
    """128 KiB are written before the turn is over, in several parts."""
    received, sent = list[bytes](), list[bytes]()
    turns: asyncio.Queue[None] = asyncio.Queue()

    async def handler(conn: sealframe.Connection) -> None:
        async for message in conn:
            received.append(message)
            if b"last" in message:
                turns.put_nowait(None)

    async with (
        sealframe.serve(handler, "127.0.0.1", 0) as server,
        sealframe.connect("127.0.0.1", server.port, extended=extended) as conn,
    ):
        queue = protocol_of(conn).sender.queue

        def send(message: bytes) -> None:
            sent.append(message)
            conn.send_nowait(message)

        thresholds = gc.get_threshold()
        for turn in range(8):
            gc.collect()
            gc.disable()
            try:
                number = 0
                while queue.queued_bytes + 1066 < 128 * 1024:
                    send(b"%d %03d" % (turn, number) + bytes(997))
                    number += 1
                # Lists that are at hand are no new objects.
                kept = [list[bytes]() for _ in range(500)]
                Garbage(lambda: send(b"finalizer"))
                last = b"%d last" % turn + bytes(1500)
                sent.append(last)
                nowait = conn.send_nowait
                gc.set_threshold(1, 1000, 1000)
                gc.enable()
                nowait(last)
                gc.set_threshold(*thresholds)
                del kept
            finally:
                gc.set_threshold(*thresholds)
                gc.enable()
            async with asyncio.timeout(PATIENCE):
                await turns.get()
        gc.collect()
        assert await conn.close()
    assert sent.count(b"finalizer") == 8
    # Credit counts each once.
    assert protocol_of(conn).sender.sent_cost == sum(map(len, sent)) + MESSAGE_OVERHEAD * len(sent)
    assert sorted(received) == sorted(sent)
    others = [message for message in received if message != b"finalizer"]
    assert others == [message for message in sent if message != b"finalizer"]


@pytest.fixture
def finalize_in_output(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], object]], None]:
    """Return what has a finalizer run once, where the next write is framed and sealed."""
    take_output, waiting = ProtocolMachine.take_output, list[Callable[[], object]]()

    def collect(self: ProtocolMachine, *args: object) -> list[bytes]:
        if waiting:
            Garbage(waiting.pop())
            gc.collect()
        return take_output(self, *args)  # type: ignore[arg-type]  # as it came

    monkeypatch.setattr(ProtocolMachine, "take_output", collect)
    return waiting.append


@pytest.mark.parametrize("sealed", [False, True], ids=["plain", "sealed"])
async def test_what_a_finalizer_sends_while_a_batch_is_written_comes_after(
    sealed: bool, finalize_in_output: Callable[[Callable[[], object]], None]
) -> None:
    key, received = sealframe.SharedKey.generate() if sealed else None, list[bytes]()
    messages = [b"%03d" % number + bytes(1000) for number in range(400)]

    async with recording(received.append, key) as conn:
        conn.send_nowait(b"first")
        conn.send_nowait(b"second")
        finalize_in_output(lambda: conn.send_nowait(b"finalizer"))
        await conn.send_many(messages)
        assert await conn.close()
    received.remove(b"finalizer")
    assert received == [b"first", b"second", *messages]


@pytest.mark.parametrize("sealed", [False, True], ids=["plain", "sealed"])
async def test_a_finalizer_that_closes_in_the_middle_of_a_write_loses_nothing(
    sealed: bool, finalize_in_output: Callable[[Callable[[], object]], None]
) -> None:
    key, received = sealframe.SharedKey.generate() if sealed else None, list[bytes]()
    messages = [b"%03d" % number + bytes(1000) for number in range(100)]

    async with recording(received.append, key) as conn:
        closing = conn.close()
        finalize_in_output(lambda: closing.send(None))
        await conn.send_many(messages)
        closing.close()
        assert await conn.close()
    assert received == messages


@pytest.mark.parametrize("sealed", [False, True], ids=["plain", "sealed"])
async def test_a_finalizer_that_closes_while_one_message_is_written_loses_nothing(
    sealed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It goes past the queue, so nothing waits there: only a rekey, or what frames it, shows."""
    key, received = sealframe.SharedKey.generate() if sealed else None, list[bytes]()

    async with recording(received.append, key, extended=True) as conn:
        machine = protocol_of(conn).machine
        closing, closed = conn.close(), list[object]()
        sender = None if machine.records is None else machine.records.sender
        rekey = CipherState.rekey

        def close_and_rekey(self: CipherState) -> None:
            if self is sender and not closed:
                closed.append(closing.send(None))
            rekey(self)

        class Encoder:
            def encode(self, message: bytes) -> bytes:
                closed.append(closing.send(None))
                return encoder.encode(message)

            def __getattr__(self, name: str) -> object:
                return getattr(encoder, name)

        encoder = machine.encoder
        count = 0
        if sealed:
            monkeypatch.setattr(CipherState, "rekey", close_and_rekey)
        else:
            machine.encoder = Encoder()  # type: ignore[assignment]  # all that it does
        while not closed:
            conn.send_nowait(b"%d" % count)
            count += 1
            await asyncio.sleep(0)
        machine.encoder = encoder
        closing.close()
        assert await conn.close()
    assert received == [b"%d" % number for number in range(count)]


async def test_what_a_finalizer_acknowledges_while_close_is_written_comes_after(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In a session that acknowledges what is taken, to ask for the next message says ACK."""
    key, take_output = sealframe.SharedKey.generate(), ProtocolMachine.take_output
    closing, asked = list[ProtocolMachine](), list[object]()

    async def handler(conn: sealframe.Connection) -> None:
        await conn.recv()
        closing.append(protocol_of(conn).machine)
        finalizing.append(lambda: asked.append(conn.recv().send(None)))
        await conn.close()

    finalizing = list[Callable[[], object]]()

    def collect(self: ProtocolMachine, *args: object) -> list[bytes]:
        buffers = take_output(self, *args)  # type: ignore[arg-type]  # as it came
        if self in closing and not self.extended and finalizing:
            Garbage(finalizing.pop())
            gc.collect()
        return buffers

    monkeypatch.setattr(ProtocolMachine, "take_output", collect)
    sessions = sealframe.Sessions(acknowledge="taken")
    async with (
        sealframe.serve(handler, "127.0.0.1", 0, security=key, sessions=sessions) as server,
        sealframe.connect("127.0.0.1", server.port, security=key, session=True) as conn,
    ):
        await conn.send(b"one")
        async with asyncio.timeout(PATIENCE):
            assert [message async for message in conn] == []
            assert await conn.close()
    # A record before its time does not open, and costs the link.
    assert (len(asked), protocol_of(conn).links) == (1, 1)


async def test_no_session_keeps_a_message_that_could_not_be_framed() -> None:
    """For want of memory, say: it was not accepted, and the next link must not send it."""
    received = list[bytes]()

    async def handler(conn: sealframe.Connection) -> None:
        async for message in conn:
            received.append(message)

    class Encoder:
        def encode(self, message: bytes) -> bytes:
            raise MemoryError

        def __getattr__(self, name: str) -> object:
            return getattr(encoder, name)

    # A message too many is waited for until then.
    options = sealframe.ClientOptions(close_timeout=3)
    async with (
        sealframe.serve(handler, "127.0.0.1", 0, sessions=sealframe.Sessions()) as server,
        sealframe.connect("127.0.0.1", server.port, session=True, options=options) as conn,
    ):
        await conn.ping()
        machine = protocol_of(conn).machine
        encoder = machine.encoder
        machine.encoder = Encoder()  # type: ignore[assignment]  # all that it does
        with pytest.raises(MemoryError):
            conn.send_nowait(b"lost")
        machine.encoder = encoder
        assert machine.session is not None
        assert machine.session.retention.cost == 0
        await conn.send(b"sent")
        assert await conn.close()
    assert received == [b"sent"]


async def test_on_message_gets_what_comes_after_the_own_close() -> None:
    received = list[bytes]()

    async def handler(conn: sealframe.Connection) -> None:
        await conn.recv()
        for number in range(5):
            await conn.send(b"%d" % number)

    def on_message(conn: sealframe.Connection, message: bytes) -> None:
        received.append(message)

    async with sealframe.serve(handler, "127.0.0.1", 0) as server:
        conn = await sealframe.connect(
            "127.0.0.1", server.port, extended=True, on_message=on_message
        )
        await conn.send(b"go")
        assert await conn.close()
    assert received == [b"0", b"1", b"2", b"3", b"4"]
    assert conn.stats.discarded == 0


async def test_a_request_whose_first_step_ends_the_connection_is_cancelled() -> None:
    ended = asyncio.get_running_loop().create_future()

    async def on_request(conn: sealframe.Connection, payload: bytes) -> bytes:
        if payload == b"kick":
            server.kick(conn.id)
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                ended.set_result("cancelled")
                raise
        return payload

    async with sealframe.serve(None, "127.0.0.1", 0, on_request=on_request) as server:
        conn = await sealframe.connect("127.0.0.1", server.port, extended=True)
        # So that its first step is taken at once, also where that needs a spare task.
        for _ in range(3):
            await conn.request(b"first")
            await asyncio.sleep(0)
        with pytest.raises(sealframe.ConnectionClosed):
            await conn.request(b"kick")
        async with asyncio.timeout(PATIENCE):
            assert await ended == "cancelled"
        await conn.close()


async def test_a_recv_that_was_closed_takes_no_wake_up() -> None:
    async def handler(conn: sealframe.Connection) -> None:
        # It does not end: the end of the connection wakes all.
        async for _ in conn:
            await conn.send(b"answer")

    async with (
        sealframe.serve(handler, "127.0.0.1", 0) as server,
        sealframe.connect("127.0.0.1", server.port) as conn,
    ):
        abandoned = conn.recv()
        abandoned.send(None)
        abandoned.close()
        async with asyncio.timeout(PATIENCE):
            receiving = asyncio.create_task(conn.recv())
            await asyncio.sleep(0)
            await conn.send(b"ask")
            assert await receiving == b"answer"


@pytest.mark.parametrize("woken", [False, True], ids=["waiting", "woken"])
async def test_a_recv_that_was_dropped_takes_no_wake_up(woken: bool) -> None:
    """Nobody closes it: it goes with its last reference."""

    async def handler(conn: sealframe.Connection) -> None:
        # It does not end: the end of the connection wakes all.
        async for _ in conn:
            await conn.send(b"answer")

    async with (
        sealframe.serve(handler, "127.0.0.1", 0) as server,
        sealframe.connect("127.0.0.1", server.port) as conn,
    ):
        dropped = conn.recv()
        woken_up = dropped.send(None)
        receiving = asyncio.create_task(conn.recv())
        await asyncio.sleep(0)
        await conn.send(b"ask")
        if woken:
            await asyncio.wait([woken_up], timeout=PATIENCE)
        del dropped
        async with asyncio.timeout(PATIENCE):
            assert await receiving == b"answer"
