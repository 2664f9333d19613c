"""``on_message``: called as messages come in, in order, held back and ended as handlers are."""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

import sealframe
from sealframe import (
    ClientOptions,
    CloseCode,
    ConfigurationError,
    Connection,
    ConnectionClosed,
    ConnectionClosedError,
    Disconnect,
    DisconnectKind,
    MessageTooLargeError,
    NotSupportedError,
    SendQueueFullError,
    ServerOptions,
    ShutdownReport,
    WrongLoopError,
)
from sealframe.aio.connection import protocol_of
from sealframe.server.server import registry_of

from .ends import PATIENCE, TCP, Mode, is_held_back, open_pair
from .scripted import dialled, message, until

EAGER = True

pytestmark = pytest.mark.usefixtures("no_leaks")

KIB = 1024


def echo(conn: Connection, data: bytes) -> None:
    conn.send_nowait(data)


def serve(
    mode: Mode, on_message: Callable[[Any, Any], object], **more: Any
) -> sealframe.Serving[Any, Any]:
    """Serve on loopback."""
    return sealframe.serve(on_message=on_message, **TCP.listen, **mode.server, **more)


def dial(
    server: sealframe.Server[Any, Any], mode: Mode, **more: Any
) -> sealframe.Connecting[Any, Any]:
    """Connect to it."""
    return sealframe.connect(**TCP.target(server), **mode.client, **more)


class Log:
    """An ``on_message`` that keeps what it gets."""

    def __init__(self) -> None:
        self.got: list[Any] = []

    def __call__(self, conn: Connection, data: Any) -> None:
        self.got.append(data)


# What is called


async def test_each_message_is_called_in_order_at_both_ends(mode: Mode) -> None:
    sent = [b"%d" % number for number in range(500)]
    back = Log()
    async with serve(mode, echo) as server, dial(server, mode, on_message=back) as conn:
        assert list(server.clients) == [conn.id] or not mode.has_control
        for data in sent:
            conn.send_nowait(data)
        await until(lambda: len(back.got) == len(sent))
    assert back.got == sent


async def test_there_is_no_task_for_a_client(mode: Mode) -> None:
    before = len(asyncio.all_tasks())
    async with serve(mode, echo) as server, dial(server, mode, on_message=Log()):
        await until(lambda: len(server.clients) == 1)
        assert len(asyncio.all_tasks()) == before


async def test_nor_where_no_messages_are_taken(control_mode: Mode) -> None:
    async def on_request(conn: Connection, payload: bytes) -> bytes:
        return payload

    before = len(asyncio.all_tasks())
    serving = sealframe.serve(None, **TCP.listen, **control_mode.server, on_request=on_request)
    async with serving as server, dial(server, control_mode) as conn:
        assert await conn.request(b"answered") == b"answered"
        await until(lambda: len(asyncio.all_tasks()) == before)


async def test_in_every_form_of_connect(mode: Mode) -> None:
    back = Log()
    async with serve(mode, echo) as server:
        conn = await dial(server, mode, on_message=back)
        conn.send_nowait(b"1")
        await until(lambda: back.got == [b"1"])
        await conn.close()
        async for conn in dial(server, mode, on_message=back):
            conn.send_nowait(b"2")
            await until(lambda: back.got == [b"1", b"2"])
            break
        await until(lambda: not server.clients)


async def test_with_a_foreign_framing() -> None:
    mode = Mode(framing=sealframe.framing.INT32_BE)
    back = Log()
    async with serve(mode, echo) as server, dial(server, mode, on_message=back) as conn:
        conn.send_nowait(b"a line")
        await until(lambda: back.got == [b"a line"])


async def test_on_connect_comes_first_and_on_disconnect_last(mode: Mode) -> None:
    told: list[object] = []

    def on_message(conn: Connection, data: bytes) -> None:
        told.append(data)

    def on_disconnect(conn: Connection, reason: Disconnect) -> None:
        told.append(reason.kind)

    hooks = {"on_connect": lambda conn: told.append("connected"), "on_disconnect": on_disconnect}
    async with serve(mode, on_message, **hooks) as server:
        async with dial(server, mode) as conn:
            await conn.send_many([b"1", b"2"])
        await until(lambda: len(told) == 4)
    assert told == ["connected", b"1", b"2", DisconnectKind.CLOSED]


async def test_beside_requests_and_streams(control_mode: Mode) -> None:
    async def on_request(conn: Connection, payload: bytes) -> bytes:
        conn.send_nowait(b"asked " + payload)
        return payload.upper()

    async def on_stream(stream: sealframe.Stream) -> None:
        await stream.write(b"stream")

    back = Log()
    services = {"on_request": on_request, "on_stream": on_stream}
    async with (
        serve(control_mode, echo, **services) as server,
        dial(server, control_mode, on_message=back) as conn,
    ):
        conn.send_nowait(b"message")
        assert await conn.request(b"request") == b"REQUEST"
        async with await conn.open_stream() as stream:
            assert await stream.read() == b"stream"
        await until(lambda: back.got == [b"message", b"asked request"])


async def test_with_a_codec(control_mode: Mode) -> None:
    codec, back = sealframe.codecs.Json(), Log()

    def on_message(conn: Connection[Any, Any], data: Any) -> None:
        conn.send_nowait({"got": data})

    async with (
        serve(control_mode, on_message, codec=codec) as server,
        dial(server, control_mode, on_message=back, codec=codec) as conn,
    ):
        conn.send_nowait([1, 2])
        await until(lambda: back.got == [{"got": [1, 2]}])
        with pytest.raises(NotSupportedError, match="go to on_message"):
            await conn.recv()
        with pytest.raises(sealframe.EncodeError):
            conn.send_nowait(object())


async def test_what_cannot_be_decoded_ends_the_connection(
    control_mode: Mode, caplog: pytest.LogCaptureFixture
) -> None:
    log = Log()
    codec = sealframe.codecs.Json()
    async with (
        serve(control_mode, log, codec=codec) as server,
        dial(server, control_mode) as conn,
    ):
        await conn.send_many([b"1", b"{", b"2"])
        with pytest.raises(ConnectionClosedError) as caught:
            await conn.recv()
    assert caught.value.code == CloseCode.MALFORMED
    assert log.got == [1]
    assert [record.exc_info for record in caplog.records if record.exc_info] == []


async def test_what_a_client_cannot_decode_ends_its_connection(
    control_mode: Mode, caplog: pytest.LogCaptureFixture
) -> None:
    log = Log()
    codec = sealframe.codecs.Json()
    async with (
        serve(control_mode, echo) as server,
        dial(server, control_mode, on_message=log, codec=codec) as conn,
    ):
        (accepted,) = server.clients.values()
        accepted.send_nowait(b"{")
        await conn.wait_closed()
        assert accepted.close_code == CloseCode.MALFORMED
        with pytest.raises(ConnectionClosedError, match="on_message failed") as caught:
            conn.send_nowait(1)
    assert isinstance(caught.value.__cause__, sealframe.DecodeError)


# Back-pressure


async def test_it_is_not_called_while_the_send_queue_is_full(mode: Mode) -> None:
    sent = [b"%04d" % number for number in range(1000)]
    log = Log()

    def on_message(conn: Connection, data: bytes) -> None:
        log(conn, data)
        conn.send_nowait(data)

    options = ServerOptions(inbox_limit=4 * KIB, outbox_limit=10 * 68)
    async with serve(mode, on_message, options=options) as server, dial(server, mode) as conn:
        await until(lambda: len(server.clients) == 1)
        (accepted,) = server.clients.values()
        protocol_of(accepted).pause_writing()
        sending = asyncio.create_task(conn.send_many(sent))
        await until(lambda: is_held_back(accepted))
        assert log.got == sent[:10]
        protocol = protocol_of(accepted)
        assert protocol.sender.queue.queued_bytes == 10 * 68
        protocol.resume_writing()
        async with asyncio.timeout(PATIENCE):
            assert [await conn.recv() for _ in sent] == sent
            await sending
        assert log.got == sent
        assert not is_held_back(accepted)


async def test_what_the_program_sends_elsewhere_holds_it_back_too(mode: Mode) -> None:
    """And it queues behind tasks that wait for room, and gets its turn among them."""
    log = Log()

    def on_message(conn: Connection, data: bytes) -> None:
        log(conn, data)
        conn.send_nowait(data)

    options = ServerOptions(outbox_limit=1000)
    async with serve(mode, on_message, options=options) as server, dial(server, mode) as conn:
        await until(lambda: len(server.clients) == 1)
        (accepted,) = server.clients.values()
        protocol = protocol_of(accepted)
        protocol.pause_writing()
        await accepted.send(bytes(1000))

        async def send_on() -> None:
            for _ in range(20):
                await accepted.send(bytes(1000))

        sending = asyncio.create_task(send_on())
        await until(lambda: protocol.sender.queue.full)
        await conn.send_many([b"1", b"2", b"3"])
        await until(lambda: accepted.stats.messages_received == 3)
        assert log.got == []
        protocol.resume_writing()
        got: list[bytes] = []
        async with asyncio.timeout(PATIENCE):
            while len(got) < 24:
                got.append(await conn.recv())
            await sending
        assert [data for data in got if len(data) == 1] == [b"1", b"2", b"3"]
        # Not only after all that the other task sends.
        assert got[-1] == bytes(1000)


async def test_nothing_is_called_past_what_waits(mode: Mode) -> None:
    log = Log()

    def on_message(conn: Connection, data: bytes) -> None:
        log(conn, data)
        if data != b"last":
            conn.send_nowait(bytes(100))

    options = ServerOptions(outbox_limit=100)
    async with serve(mode, on_message, options=options) as server, dial(server, mode) as conn:
        await until(lambda: len(server.clients) == 1)
        (accepted,) = server.clients.values()
        protocol = protocol_of(accepted)
        protocol.pause_writing()
        await conn.send_many([b"1", b"2"])
        await until(lambda: accepted.stats.messages_received == 2)
        assert log.got == [b"1"]
        # There is room again, and before the next turn of the event loop another one comes.
        assert protocol.sender.drop_queue()
        protocol.receiver.deliver([b"last"])
        assert log.got == [b"1"]
        protocol.resume_writing()
        await until(lambda: len(log.got) == 3)
        assert log.got == [b"1", b"2", b"last"]
        # It was delivered by hand, so a client that counts would be wrong about it.
        await conn.close()


# send_nowait


async def test_send_nowait_accepts_as_long_as_there_is_room(mode: Mode) -> None:
    options = ClientOptions(outbox_limit=1000)
    async with open_pair(mode, client_options=options) as (conn, accepted, _):
        protocol_of(conn).pause_writing()
        for _ in range(10):
            conn.send_nowait(bytearray(36))
        with pytest.raises(SendQueueFullError, match=r"1000 bytes.*await send\(\)") as caught:
            conn.send_nowait(bytes(36))
        assert caught.value.limit == 1000
        waiting = asyncio.create_task(conn.send(b"waits"))
        await asyncio.sleep(0)
        protocol_of(conn).resume_writing()
        await waiting
        conn.send_nowait(b"last")
        async with asyncio.timeout(PATIENCE):
            got = [await accepted.recv() for _ in range(12)]
        assert got == [bytes(36)] * 10 + [b"waits", b"last"]


async def test_send_nowait_queues_behind_those_that_wait(mode: Mode) -> None:
    """Also where there is room again, and their tasks have only not run yet."""
    options = ClientOptions(outbox_limit=1000)
    async with open_pair(mode, client_options=options) as (conn, accepted, _):
        protocol_of(conn).pause_writing()
        conn.send_nowait(bytes(1000))
        waiting = asyncio.create_task(conn.send(b"first"))
        await asyncio.sleep(0)
        protocol = protocol_of(conn)
        protocol.sender.write_paused = False
        protocol.sender.flush()
        assert not protocol.sender.queue.over_limit
        with pytest.raises(SendQueueFullError):
            conn.send_nowait(b"would pass it")
        await waiting
        conn.send_nowait(b"second")
        async with asyncio.timeout(PATIENCE):
            got = [await accepted.recv() for _ in range(3)]
        assert got == [bytes(1000), b"first", b"second"]


async def test_send_nowait_raises_what_send_raises(mode: Mode) -> None:
    options = ServerOptions(max_message_size=1000)
    async with open_pair(
        mode, server_options=options, client_options=ClientOptions(max_message_size=1000)
    ) as (conn, accepted, _):
        with pytest.raises(TypeError, match="str"):
            conn.send_nowait("text")  # type: ignore[arg-type]
        with pytest.raises(MessageTooLargeError):
            conn.send_nowait(bytes(1001))
        with pytest.raises(WrongLoopError):
            await asyncio.to_thread(conn.send_nowait, b"")
        await conn.close()
        with pytest.raises(ConnectionClosed):
            conn.send_nowait(b"")
        assert accepted.stats.messages_received == 0


async def test_the_first_of_a_turn_is_written_at_once(mode: Mode) -> None:
    async with open_pair(mode) as (conn, accepted, _):
        await asyncio.sleep(0)
        conn.send_nowait(b"1")
        assert conn.stats.messages_sent == 1
        conn.send_nowait(b"2")
        conn.send_nowait(b"3")
        assert conn.stats.messages_sent == 1
        await until(lambda: conn.stats.messages_sent == 3)
        assert [await accepted.recv() for _ in range(3)] == [b"1", b"2", b"3"]


# What it raises


class OddError(Exception):
    pass


def failing_at(data: bytes, log: Log, error: BaseException) -> Callable[[Connection, bytes], None]:
    def on_message(conn: Connection, got: bytes) -> None:
        log(conn, got)
        if got == data:
            raise error

    return on_message


@pytest.mark.parametrize("error", [OddError("odd"), asyncio.CancelledError(), GeneratorExit()])
async def test_what_it_raises_ends_that_client_alone(
    mode: Mode, caplog: pytest.LogCaptureFixture, error: BaseException
) -> None:
    log = Log()
    async with (
        serve(mode, failing_at(b"2", log, error)) as server,
        dial(server, mode) as other,
        dial(server, mode) as conn,
    ):
        await conn.send_many([b"1", b"2", b"3"])
        with pytest.raises(ConnectionClosed) as caught:
            await conn.recv()
        if mode.has_control:
            assert caught.value.code == CloseCode.HANDLER
        assert log.got == [b"1", b"2"]
        await conn.close()
        await other.send(b"still")
        await until(lambda: len(log.got) == 3)
        assert server.stats()["discarded"] >= 1
    (record,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert record.name == "sealframe.server"
    assert "on_message of client" in record.getMessage()
    assert record.exc_info is not None
    assert record.exc_info[1] is error


async def test_a_crowd_of_failures_does_not_fill_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    mode = Mode()
    async with serve(mode, failing_at(b"x", Log(), OddError())) as server:
        for _ in range(30):
            async with dial(server, mode) as conn:
                await conn.send(b"x")
        await until(lambda: not registry_of(server).connections)
    errors = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert len(errors) == 20


async def test_nothing_is_called_after_a_failure_that_followed_a_wait(mode: Mode) -> None:
    log = Log()

    def on_message(conn: Connection, data: bytes) -> None:
        log(conn, data)
        if data == b"2":
            raise OddError
        conn.send_nowait(bytes(100))

    options = ServerOptions(outbox_limit=100)
    async with serve(mode, on_message, options=options) as server, dial(server, mode) as conn:
        await until(lambda: len(server.clients) == 1)
        (accepted,) = server.clients.values()
        protocol_of(accepted).pause_writing()
        await conn.send_many([b"1", b"2", b"3"])
        await until(lambda: accepted.stats.messages_received == 3)
        protocol_of(accepted).resume_writing()
        await until(lambda: protocol_of(accepted).closer.closing)
        # Where only packets flow, the server waits for this.
        await conn.close()
        await accepted.wait_closed()
    assert log.got == [b"1", b"2"]


async def test_a_failure_at_a_client_is_its_error(
    mode: Mode, caplog: pytest.LogCaptureFixture
) -> None:
    log = Log()
    error = OddError("odd")
    async with serve(mode, echo) as server:
        async with dial(server, mode, on_message=failing_at(b"2", log, error)) as conn:
            await conn.send_many([b"1", b"2", b"3"])
            await conn.wait_closed()
            with pytest.raises(
                ConnectionClosedError, match=r"on_message failed.*OddError"
            ) as caught:
                await conn.send(b"4")
            assert caught.value.__cause__ is error
            assert caught.value.code == CloseCode.HANDLER
        await until(lambda: not server.clients)
    assert log.got == [b"1", b"2"]
    (record,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert record.name == "sealframe.client"


async def test_a_coroutine_that_nobody_awaits_is_a_failure(
    mode: Mode, caplog: pytest.LogCaptureFixture
) -> None:
    async with (
        serve(mode, lambda conn, data: conn.send(data)) as server,
        dial(server, mode) as conn,
    ):
        await conn.send(b"1")
        with pytest.raises(ConnectionClosed):
            await conn.recv()
    assert "which nobody awaits" in caplog.text


async def test_a_task_that_it_starts_goes_on_by_itself(mode: Mode) -> None:
    async with (
        serve(mode, lambda conn, data: asyncio.ensure_future(conn.send(data))) as server,
        dial(server, mode) as conn,
    ):
        await conn.send(b"1")
        assert await conn.recv() == b"1"


async def test_a_call_that_meets_the_end_of_its_connection_is_no_failure(
    control_mode: Mode, caplog: pytest.LogCaptureFixture
) -> None:
    async with (
        serve(control_mode, echo) as server,
        dialled(server, control_mode) as peer,
    ):
        await until(lambda: len(server.clients) == 1)
        (accepted,) = server.clients.values()
        closing = asyncio.create_task(accepted.close())
        await until(lambda: protocol_of(accepted).sender.error is not None)
        await peer.write(message(b"crossed the CLOSE"))
        await peer.say_end()
        await closing
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


# An async function


class Slow:
    """An async ``on_message``: each call waits until it may go on."""

    def __init__(self) -> None:
        self.began: list[bytes] = []
        self.done: list[bytes] = []
        self.go_on = asyncio.Event()

    async def __call__(self, conn: Connection, data: bytes) -> None:
        self.began.append(data)
        await self.go_on.wait()
        await conn.send(data)
        self.done.append(data)


def as_is(slow: Slow) -> Callable[[Any, Any], Awaitable[None]]:
    async def on_message(conn: Connection, data: bytes) -> None:
        await slow(conn, data)

    return on_message


@pytest.mark.parametrize("kind", [as_is, lambda slow: slow, functools.partial])
async def test_an_async_function_is_awaited_with_each_in_order(
    mode: Mode, kind: Callable[[Slow], Any]
) -> None:
    slow, back = Slow(), Log()
    async with (
        serve(mode, kind(slow)) as server,
        dial(server, mode, on_message=back) as conn,
    ):
        await conn.send_many([b"1", b"2", b"3"])
        await until(lambda: slow.began == [b"1"])
        for _ in range(5):
            await asyncio.sleep(0)
        assert slow.began == [b"1"]
        slow.go_on.set()
        await until(lambda: len(back.got) == 3)
    assert back.got == slow.done == [b"1", b"2", b"3"]


async def test_close_waits_for_an_async_function_of_a_client(mode: Mode) -> None:
    slow = Slow()
    async with serve(mode, echo) as server:
        conn = await dial(server, mode, on_message=slow)
        with pytest.raises(NotSupportedError):
            aiter(conn)
        conn.send_nowait(b"1")
        await until(lambda: slow.began == [b"1"])
        closing = asyncio.create_task(conn.close())
        await until(lambda: conn.closed)
        await asyncio.sleep(0)
        assert not closing.done()
        slow.go_on.set()
        await closing
    # It met the end of its own connection.
    assert slow.done == []


async def test_an_async_function_that_does_not_end_is_cancelled(
    mode: Mode, caplog: pytest.LogCaptureFixture
) -> None:
    slow = Slow()
    async with serve(mode, echo) as server:
        options = ClientOptions(close_timeout=0.2)
        conn = await dial(server, mode, on_message=slow, options=options)
        conn.send_nowait(b"1")
        await until(lambda: slow.began == [b"1"])
        await conn.close()
    assert "did not end in time" in caplog.text


async def test_an_async_function_may_close_its_connection(mode: Mode) -> None:
    async def on_message(conn: Connection, data: bytes) -> None:
        await conn.close()

    async with serve(mode, echo) as server:
        conn = await dial(server, mode, on_message=on_message)
        conn.send_nowait(b"1")
        await conn.wait_closed()


@pytest.mark.parametrize("end", ["server", "client"])
async def test_what_an_async_function_raises(
    mode: Mode, end: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def on_message(conn: Connection, data: bytes) -> None:
        raise OddError(data.decode())

    here, there = (on_message, echo) if end == "server" else (echo, on_message)
    async with serve(mode, here) as server, dial(server, mode, on_message=there) as conn:
        conn.send_nowait(b"1")
        await conn.wait_closed()
        if end == "client":
            with pytest.raises(ConnectionClosedError, match="OddError: 1"):
                await conn.send(b"2")
    (record,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert record.name == f"sealframe.{end}"


# The end


@pytest.mark.parametrize("how", ["server", "client"])
async def test_it_closes_when_the_peer_has_closed(mode: Mode, how: str) -> None:
    log = Log()
    async with serve(mode, log) as server, dial(server, mode, on_message=log) as conn:
        await until(lambda: len(server.clients) == 1)
        (accepted,) = server.clients.values()
        one, other = (accepted, conn) if how == "server" else (conn, accepted)
        one.send_nowait(b"last")
        assert await one.close()
        async with asyncio.timeout(PATIENCE):
            await other.wait_closed()
        assert log.got == [b"last"]
        assert await other.close()


async def test_what_waits_is_called_after_the_peer_has_closed(mode: Mode) -> None:
    log, reasons = Log(), []

    def on_message(conn: Connection, data: bytes) -> None:
        log(conn, data)
        conn.send_nowait(bytes(1000))

    def on_disconnect(conn: Connection, reason: Disconnect) -> None:
        reasons.append(list(log.got))

    options = ServerOptions(outbox_limit=1000)
    async with serve(mode, on_message, options=options, on_disconnect=on_disconnect) as server:
        conn = await dial(server, mode)
        await until(lambda: len(server.clients) == 1)
        (accepted,) = server.clients.values()
        protocol_of(accepted).pause_writing()
        await conn.send_many([b"1", b"2", b"3"])
        closing = asyncio.create_task(conn.close())
        await until(lambda: protocol_of(accepted).receiver.over)
        assert log.got == [b"1"]
        assert not accepted.closed
        protocol_of(accepted).resume_writing()
        async with asyncio.timeout(PATIENCE):
            assert [await conn.recv() for _ in range(3)] == [bytes(1000)] * 3
            await closing
        await until(lambda: len(reasons) == 1)
    assert reasons == [[b"1", b"2", b"3"]]


async def test_what_waits_is_called_though_the_socket_is_gone(mode: Mode) -> None:
    log, kinds = Log(), []

    def on_message(conn: Connection, data: bytes) -> None:
        log(conn, data)
        if data == b"1":
            conn.send_nowait(bytes(1000))

    def on_disconnect(conn: Connection, reason: Disconnect) -> None:
        kinds.append(reason.kind)
        assert log.got == [b"1", b"2", b"3"]

    options = ServerOptions(outbox_limit=1000)
    serving = serve(mode, on_message, options=options, on_disconnect=on_disconnect)
    async with serving as server, dialled(server, mode) as peer:
        await until(lambda: len(server.clients) == 1)
        (accepted,) = server.clients.values()
        protocol_of(accepted).pause_writing()
        await peer.write(message(b"1") + message(b"2") + message(b"3"))
        await until(lambda: accepted.stats.messages_received == 3)
        assert log.got == [b"1"]
        peer.raw.reset()
        await until(lambda: kinds == [DisconnectKind.LOST])


async def test_a_server_that_closes_lets_go_of_idle_clients(mode: Mode) -> None:
    async with serve(mode, echo) as server, dial(server, mode, on_message=Log()) as conn:
        await until(lambda: len(server.clients) == 1)
        async with asyncio.timeout(PATIENCE):
            assert await server.close() == ShutdownReport(1, 0, 0, 0)
        await conn.wait_closed()


async def test_a_server_that_closes_waits_for_what_is_held_back(control_mode: Mode) -> None:
    log = Log()

    def on_message(conn: Connection, data: bytes) -> None:
        log(conn, data)
        conn.send_nowait(bytes(1000))

    options = ServerOptions(outbox_limit=1000)
    async with (
        serve(control_mode, on_message, options=options) as server,
        dial(server, control_mode) as conn,
    ):
        await until(lambda: len(server.clients) == 1)
        (accepted,) = server.clients.values()
        protocol_of(accepted).pause_writing()
        await conn.send_many([b"1", b"2", b"3"])
        await until(lambda: accepted.stats.messages_received == 3)
        closing = asyncio.create_task(server.close(timeout=PATIENCE))
        await until(lambda: protocol_of(accepted).going_away)
        assert log.got == [b"1"]
        protocol_of(accepted).resume_writing()
        await until(lambda: conn.stats.messages_received == 3)
        await conn.close()
        assert await closing == ShutdownReport(1, 0, 0, 0)
    assert log.got == [b"1", b"2", b"3"]


async def test_and_no_longer_than_it_may(control_mode: Mode) -> None:
    log = Log()

    def on_message(conn: Connection, data: bytes) -> None:
        log(conn, data)
        conn.send_nowait(bytes(1000))

    options = ServerOptions(outbox_limit=1000, close_timeout=0.1)
    async with (
        serve(control_mode, on_message, options=options) as server,
        dial(server, control_mode) as conn,
    ):
        await until(lambda: len(server.clients) == 1)
        (accepted,) = server.clients.values()
        protocol_of(accepted).pause_writing()
        await conn.send_many([b"1", b"2", b"3"])
        await until(lambda: accepted.stats.messages_received == 3)
        report = await server.close(timeout=0.0)
        assert report == ShutdownReport(1, 0, 1, 2)
    assert log.got == [b"1"]


async def test_a_client_that_is_put_out_in_its_own_call(control_mode: Mode) -> None:
    """Nothing that came in the same read is called any more."""
    log = Log()

    def on_message(conn: Connection, data: bytes) -> None:
        log(conn, data)
        if data == b"1":
            server.kick(conn.id, "enough")

    async with serve(control_mode, on_message) as server, dial(server, control_mode) as conn:
        await conn.send_many([b"1", b"2"])
        with pytest.raises(ConnectionClosedError, match="enough"):
            await conn.recv()
    assert log.got == [b"1"]


# What it excludes


async def test_nothing_is_left_to_be_received(mode: Mode) -> None:
    async with serve(mode, echo) as server, dial(server, mode, on_message=Log()) as conn:
        for receive in (conn.recv, conn.recv_many):
            with pytest.raises(NotSupportedError, match="go to on_message"):
                await receive()
        with pytest.raises(NotSupportedError, match="go to on_message"):
            async for _ in conn:
                pass


async def test_a_handler_beside_it_is_refused() -> None:
    async def handler(conn: Connection) -> None:
        pass

    with pytest.raises(ConfigurationError, match="give one of them"):
        sealframe.serve(handler, "127.0.0.1", 0, on_message=echo)


@pytest.mark.parametrize("end", [sealframe.serve, sealframe.connect])
async def test_what_cannot_be_called_is_refused(end: Callable[..., Any]) -> None:
    with pytest.raises(ConfigurationError, match="on_message is 5"):
        end(host="127.0.0.1", port=1, on_message=5)
