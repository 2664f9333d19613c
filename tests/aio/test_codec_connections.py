"""Objects in place of bytes: what goes wrong in a codec costs one message, or one client."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import pytest

import sealframe
from sealframe import (
    ClientOptions,
    CloseCode,
    ConfigurationError,
    Connection,
    ConnectionClosedError,
    ConnectionClosedOK,
    DecodeError,
    EncodeError,
    MessageTooLargeError,
    Server,
    ServerOptions,
    WrongLoopError,
)
from sealframe.aio.connection import protocol_of
from sealframe.codecs import Codec, Json, Msgspec, Text
from sealframe.framing import INT32_BE

from .ends import PATIENCE, TCP, Mode
from .scripted import Raw, until

ANY_LOOP = True

pytestmark = pytest.mark.usefixtures("no_leaks")

PACKETS = Mode("packets")
MALFORMED = b"\xffsesame"
"""Not UTF-8, and neither JSON nor a number; what it says is nobody's business."""


@dataclass
class Point:
    x: int
    y: int


class Numbers:
    """A codec of a user's own, with whatever exceptions come of it."""

    def encode(self, message: int) -> bytes:
        return b"%d" % message

    def decode(self, message: bytes) -> int:
        return int(message)


class Pair(NamedTuple):
    """Both ends of one connection, and a client of bytes on the same server."""

    client: Connection[Any, Any]
    accepted: Connection[Any, Any]
    server: Server[Any, Any]


@contextlib.asynccontextmanager
async def open_pair(
    codec: Codec[Any, Any] | None,
    mode: Mode = PACKETS,
    *,
    client_codec: Codec[Any, Any] | None = None,
    client_options: ClientOptions | None = None,
) -> AsyncIterator[Pair]:
    """Open a connection and hand out both ends; the client's codec is None unless given."""
    arrived: asyncio.Queue[Connection[Any, Any]] = asyncio.Queue()

    async def handler(conn: Connection[Any, Any]) -> None:
        arrived.put_nowait(conn)
        await conn.wait_closed()

    async with (
        asyncio.timeout(PATIENCE),
        sealframe.serve(handler, "127.0.0.1", 0, **mode.server, codec=codec) as server,
        dial(server, mode, client_codec, client_options) as client,
    ):
        accepted = await arrived.get()
        yield Pair(client, accepted, server)
        await asyncio.gather(client.close(), accepted.close())


def dial(
    server: Server[Any, Any],
    mode: Mode,
    codec: Codec[Any, Any] | None = None,
    options: ClientOptions | None = None,
) -> sealframe.Connecting[Any, Any]:
    """Connect to that server."""
    return sealframe.connect(**TCP.target(server), **mode.client, codec=codec, options=options)


def serve(
    handler: Callable[[Connection[Any, Any]], Awaitable[None]],
    mode: Mode,
    codec: Codec[Any, Any] | None,
) -> sealframe.Serving[Any, Any]:
    """Serve on loopback."""
    return sealframe.serve(handler, "127.0.0.1", 0, **mode.server, codec=codec)


def warnings(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    """Return what the server logged that someone should look at."""
    return [r for r in caplog.records if r.name == "sealframe.server" and r.levelno > logging.INFO]


# Objects


@pytest.mark.parametrize(
    ("codec", "messages"),
    [
        (Text(), ["", "grüß", "x" * 100_000]),
        (Json(), [None, "", {"a": [1, 2.5, True]}, []]),
        (Msgspec(Point), [Point(1, -2), Point(0, 0)]),
        (Msgspec(Point, "msgpack"), [Point(1, -2), Point(0, 0)]),
        (Numbers(), [0, 1, -(10**50)]),
    ],
    ids=["Text", "Json", "Msgspec", "MessagePack", "Numbers"],
)
async def test_objects_go_both_ways(
    mode: Mode, codec: Codec[Any, Any], messages: list[Any]
) -> None:
    async with open_pair(codec, mode, client_codec=codec) as (client, accepted, server):
        for sender, receiver in ((client, accepted), (accepted, client)):
            for message in messages:
                await sender.send(message)
            assert [await receiver.recv() for _ in messages] == messages
            await sender.send_many(iter(messages))
            received: list[Any] = []
            while len(received) < len(messages):
                received += await receiver.recv_many()
            assert received == messages
        for message in messages:
            assert server.broadcast(message) == 1
        closing = asyncio.create_task(accepted.close())
        assert [message async for message in client] == messages
        with pytest.raises(ConnectionClosedOK):
            await client.recv()
        await client.close()
        assert await closing


async def test_the_bytes_are_those_of_the_codec(mode: Mode) -> None:
    async with open_pair(Json(), mode) as (client, accepted, server):
        await accepted.send({"a": 1})
        server.broadcast([2])
        assert [await client.recv(), await client.recv()] == [b'{"a":1}', b"[2]"]
        await client.send(b" [3] ")
        assert await accepted.recv() == [3]


async def test_groups_have_the_codec_of_their_server() -> None:
    async with open_pair(Json()) as (client, accepted, server):
        accepted.join("room")
        assert server.group("room").broadcast({"a": 1}) == 1
        with pytest.raises(EncodeError):
            server.groups["room"].broadcast(object())
        assert await client.recv() == b'{"a":1}'


async def test_a_foreign_framing() -> None:
    mode = Mode(framing=INT32_BE)
    async with open_pair(Text(), mode, client_codec=Text()) as (client, accepted, _):
        await client.send_many(["", "grüß"])
        assert [await accepted.recv(), await accepted.recv()] == ["", "grüß"]


async def test_each_connection_of_a_reconnecting_client_has_the_codec() -> None:
    async def echo(conn: Connection[str, str]) -> None:
        async for text in conn:
            await conn.send(text.upper())

    options = ClientOptions(backoff_initial=0.01)
    async with serve(echo, PACKETS, Text()) as server:
        echoed: list[str] = []
        async for conn in dial(server, PACKETS, Text(), options):
            await conn.send("again")
            echoed.append(await conn.recv())
            if len(echoed) == 2:
                break
        assert echoed == ["AGAIN", "AGAIN"]


async def test_connections_without_a_codec_are_what_they_were() -> None:
    async with open_pair(None) as (client, accepted, _):
        assert type(client) is type(accepted) is Connection
        codec = protocol_of(client).handlers.codec
        assert codec.encode(bytearray(b"x")) == codec.decode(b"x", client) == b"x"
    async with open_pair(Text(), client_codec=Text()) as (client, _, _):
        assert isinstance(client, Connection)
        codec = protocol_of(client).handlers.codec
        assert codec.encode("ü") == "ü".encode()
        assert codec.decode("ü".encode(), client) == "ü"
        assert not hasattr(client, "__dict__")


async def test_recv_many_keeps_to_its_limit() -> None:
    async with open_pair(Numbers()) as (client, accepted, _):
        await client.send_many([b"%d" % number for number in range(10)])
        await until(lambda: len(protocol_of(accepted).receiver.queue) == 10)
        assert await accepted.recv_many(3) == [0, 1, 2]
        assert await accepted.recv_many(1) == [3]
        assert await accepted.recv_many() == [4, 5, 6, 7, 8, 9]
        for wrong in (0, -1):
            with pytest.raises(ValueError, match="from 1 up"):
                await accepted.recv_many(wrong)


async def test_all_waiting_tasks_get_something() -> None:
    async with open_pair(Numbers()) as (client, accepted, _):
        tasks = [asyncio.create_task(accepted.recv()) for _ in range(3)]
        many = asyncio.create_task(accepted.recv_many(2))
        await asyncio.sleep(0)
        await client.send_many([b"0", b"1", b"2", b"3", b"4"])
        assert [await task for task in tasks] == [0, 1, 2]
        assert await many == [3, 4]


async def test_reading_goes_on_after_recv_many() -> None:
    """What fills the inbox is taken note of."""
    options = ClientOptions(inbox_limit=1000)
    # More than one read takes.
    texts = [f"{number:1000}" for number in range(2000)]
    async with open_pair(Text(), client_codec=Text(), client_options=options) as pair:
        await pair.accepted.send_many(texts)
        await until(lambda: protocol_of(pair.client).receiver.paused)
        received: list[str] = []
        while len(received) < len(texts):
            received += await pair.client.recv_many()
        assert received == texts


# What cannot be encoded


class Broken:
    """Encodes what it is told to, or raises it."""

    def encode(self, message: Any) -> Any:
        if isinstance(message, Exception):
            raise message
        return message

    def decode(self, message: bytes) -> bytes:
        return message


@pytest.mark.parametrize(
    ("codec", "wrong", "text"),
    [
        (Text(), b"bytes", "is str here"),
        (Json(), {1, 2}, "there is no JSON"),
        (Msgspec(Point), object(), "msgspec cannot encode"),
        (Numbers(), "text", "the codec cannot encode this message: .*%d "),
        (Broken(), LookupError("by itself"), "cannot encode this message: by itself"),
        (Broken(), EncodeError("in its own words"), "^in its own words"),
        (Broken(), "no bytes", "a message is bytes, not str"),
        (Broken(), None, "not NoneType"),
    ],
    ids=lambda value: type(value).__name__,
)
async def test_what_cannot_be_encoded_is_not_sent(
    mode: Mode, codec: Codec[Any, Any], wrong: Any, text: str
) -> None:
    right: Any = {Text: "a", Json: [], Msgspec: Point(1, 2), Numbers: 5, Broken: b"x"}[type(codec)]
    async with open_pair(codec, mode, client_codec=codec) as (client, accepted, server):
        with pytest.raises(EncodeError, match=text):
            await accepted.send(wrong)
        with pytest.raises(EncodeError, match=text):
            await accepted.send_many([right, wrong, right])
        with pytest.raises(EncodeError, match=text):
            server.broadcast(wrong)
        assert accepted.stats.messages_sent == 0
        await accepted.send(right)
        assert await client.recv() == right


async def test_any_bytes_like_object_may_come_of_a_codec() -> None:
    async with open_pair(Broken()) as (client, accepted, _):
        await accepted.send_many([bytearray(b"a"), memoryview(b"bc")[1:]])
        assert [await client.recv(), await client.recv()] == [b"a", b"c"]


@pytest.mark.parametrize("wrong", ["text", b"bytes"])
async def test_send_many_refuses_one_message(wrong: Any) -> None:
    async with open_pair(Text()) as (_, accepted, _):
        with pytest.raises(TypeError, match="send takes one message"):
            await accepted.send_many(wrong)


async def test_the_size_of_what_was_encoded_counts() -> None:
    async def handler(conn: Connection[str, str]) -> None:
        with pytest.raises(MessageTooLargeError):
            await conn.send("ßß")
        await conn.send("ß")

    options = ServerOptions(max_message_size=3)
    async with sealframe.serve(handler, "127.0.0.1", 0, codec=Text(), options=options) as server:
        with pytest.raises(MessageTooLargeError) as caught:
            server.broadcast("ßß")
        assert (caught.value.size, caught.value.limit) == (4, 3)
        async with dial(server, PACKETS, Text()) as conn:
            assert await conn.recv() == "ß"


async def test_a_cancelled_send_sent_nothing_and_one_that_waits_sends_what_was_there() -> None:
    options = ClientOptions(outbox_limit=1)
    async with open_pair(None, client_codec=Json(), client_options=options) as pair:
        protocol_of(pair.client).pause_writing()
        message = ["before"]
        await pair.client.send(message)
        cancelled = asyncio.create_task(pair.client.send("never"))
        many = asyncio.create_task(pair.client.send_many(["never", "never"]))
        waiting = asyncio.create_task(pair.client.send(message))
        await asyncio.sleep(0)
        message[:] = ["after"]
        # What cannot be encoded is refused without waiting.
        with pytest.raises(EncodeError):
            await pair.client.send(object())
        cancelled.cancel()
        many.cancel()
        await asyncio.wait([cancelled, many])
        assert cancelled.cancelled()
        assert many.cancelled()
        protocol_of(pair.client).resume_writing()
        await waiting
        assert [await pair.accepted.recv() for _ in range(2)] == [b'["before"]'] * 2
        assert pair.client.stats.messages_sent == 2


# What cannot be decoded


async def test_a_malformed_message_costs_itself_alone(mode: Mode) -> None:
    async with open_pair(Numbers(), mode) as (client, accepted, _):
        await client.send_many([b"1", MALFORMED, b"2"])
        assert await accepted.recv() == 1
        with pytest.raises(
            DecodeError, match=r"(?m)^the message cannot be decoded: ValueError$"
        ) as c:
            await accepted.recv()
        assert c.value.message == MALFORMED
        assert c.value.connection is accepted
        assert isinstance(c.value.__cause__, ValueError)
        assert "sesame" not in f"{c.value} {c.value!r}"
        assert await accepted.recv() == 2
        await client.send(b"3")
        assert await accepted.recv() == 3
        assert not accepted.closed


async def test_the_same_in_an_iteration(mode: Mode) -> None:
    async with open_pair(Text(), mode) as (client, accepted, _):
        await client.send_many([b"1", MALFORMED, b"2", MALFORMED, MALFORMED, b"3"])
        received: list[str | None] = []
        errors: list[DecodeError] = []
        messages = aiter(accepted)
        for _ in range(6):
            try:
                received.append(await anext(messages))
            except DecodeError as error:
                errors.append(error)
                received.append(None)
        assert received == ["1", None, "2", None, None, "3"]
        assert {str(error) for error in errors} == {"the message is not UTF-8: see byte 0"}
        assert {error.message for error in errors} == {MALFORMED}
        assert {error.connection for error in errors} == {accepted}
        closing = asyncio.create_task(client.close())
        assert [message async for message in accepted] == []
        await accepted.close()
        assert await closing


async def test_recv_many_stops_before_it(mode: Mode) -> None:
    async with open_pair(Numbers(), mode) as (client, accepted, _):
        await client.send_many([b"1", b"2", MALFORMED, MALFORMED, b"3"])
        await until(lambda: len(protocol_of(accepted).receiver.queue) == 5)
        assert await accepted.recv_many() == [1, 2]
        for _ in range(2):
            with pytest.raises(DecodeError):
                await accepted.recv_many()
        assert await accepted.recv_many() == [3]


async def test_recv_many_leaves_it_to_who_waits() -> None:
    async with open_pair(Numbers()) as (client, accepted, _):
        many = asyncio.create_task(accepted.recv_many())
        await asyncio.sleep(0)
        waiting = asyncio.create_task(accepted.recv())
        await asyncio.sleep(0)
        await client.send_many([b"1", b"2", MALFORMED])
        assert await many == [1, 2]
        with pytest.raises(DecodeError):
            await waiting


async def test_a_cancelled_recv_loses_nothing() -> None:
    async with open_pair(Numbers()) as (client, accepted, _):
        for receive in (accepted.recv, accepted.recv_many, lambda: anext(aiter(accepted))):
            task = asyncio.ensure_future(receive())
            await asyncio.sleep(0)
            await client.send(b"1")
            await until(lambda: len(protocol_of(accepted).receiver.queue) == 1)
            assert not task.done()
            task.cancel()
            await asyncio.wait([task])
            assert task.cancelled()
            assert await accepted.recv() == 1


async def test_what_came_before_the_end_is_still_decoded(mode: Mode) -> None:
    async with open_pair(Numbers(), mode) as (client, accepted, _):
        await client.send_many([b"1", MALFORMED, b"2"])
        closing = asyncio.create_task(client.close())
        assert await accepted.recv() == 1
        with pytest.raises(DecodeError):
            await accepted.recv()
        assert await accepted.recv() == 2
        with pytest.raises(ConnectionClosedOK):
            await accepted.recv()
        await accepted.close()
        assert await closing


async def test_a_handler_that_lets_it_pass_costs_that_client_alone(
    mode: Mode, caplog: pytest.LogCaptureFixture
) -> None:
    async def echo(conn: Connection[str, str]) -> None:
        async for text in conn:
            await conn.send(text)

    async with serve(echo, mode, Text()) as server:
        async with dial(server, mode) as other, dial(server, mode) as conn:
            await conn.send_many([b"first", MALFORMED, b"never"])
            assert await conn.recv() == b"first"
            if mode.has_control:
                with pytest.raises(ConnectionClosedError, match="MALFORMED") as caught:
                    await conn.recv()
                assert caught.value.code == CloseCode.MALFORMED
                assert caught.value.reason == "the message is not UTF-8: see byte 0"
                with pytest.raises(ConnectionClosedError) as caught:
                    await conn.send(b"more")
                assert caught.value.code == CloseCode.MALFORMED
            else:
                with pytest.raises(ConnectionClosedOK):
                    await conn.recv()
            await other.send(b"still served")
            assert await other.recv() == b"still served"
    (record,) = warnings(caplog)
    assert record.levelno == logging.WARNING
    assert re.match(r"client \w+-2 at 127\.0\.0\.1:", record.getMessage())
    assert record.getMessage().endswith(": the message is not UTF-8: see byte 0")
    assert record.exc_info is None
    assert "sesame" not in caplog.text


async def test_many_of_them_do_not_fill_the_log(caplog: pytest.LogCaptureFixture) -> None:
    async def take(conn: Connection[str, str]) -> None:
        async for _ in conn:
            pass

    async with serve(take, PACKETS, Text()) as server:
        for _ in range(30):
            async with dial(server, PACKETS) as conn:
                await conn.send(MALFORMED)
                with pytest.raises(ConnectionClosedOK):
                    await conn.recv()
    assert len(warnings(caplog)) == 20


async def test_one_that_left_meanwhile_is_logged_too(caplog: pytest.LogCaptureFixture) -> None:
    gone = asyncio.Event()

    async def late(conn: Connection[str, str]) -> None:
        await gone.wait()
        await conn.recv()

    async with serve(late, PACKETS, Text()) as server:
        async with dial(server, PACKETS) as conn:
            await conn.send(MALFORMED)
            await until(lambda: len(server.clients) == 1)
            (accepted,) = server.clients.values()
            await until(lambda: len(protocol_of(accepted).receiver.queue) == 1)
            protocol_of(accepted).closer.abort(ConnectionClosedError("gone"))
            await accepted.wait_closed()
        gone.set()
        await until(lambda: protocol_of(accepted).closer.handler is None)
    assert "not UTF-8" in warnings(caplog)[-1].getMessage()


async def test_that_of_another_connection_is_the_handlers_fault(
    control_mode: Mode, caplog: pytest.LogCaptureFixture
) -> None:
    async def malformed(conn: Connection) -> None:
        await conn.send(MALFORMED)
        await conn.wait_closed()

    async with serve(malformed, control_mode, None) as behind:

        async def forward(conn: Connection[str, str]) -> None:
            async with dial(behind, control_mode, Text()) as upstream:
                await conn.send(await upstream.recv())

        async with serve(forward, control_mode, Text()) as server:
            async with dial(server, control_mode) as client:
                with pytest.raises(ConnectionClosedError) as caught:
                    await client.recv()
                assert caught.value.code == CloseCode.HANDLER
                assert caught.value.reason == "the handler failed"
    (record,) = (record for record in warnings(caplog) if record.levelno == logging.ERROR)
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], DecodeError)


async def test_a_handler_may_catch_it(control_mode: Mode, caplog: pytest.LogCaptureFixture) -> None:
    async def patient(conn: Connection[str, str]) -> None:
        while True:
            try:
                await conn.send(await conn.recv())
            except DecodeError as error:
                await conn.send(f"no: {error}")

    async with serve(patient, control_mode, Text()) as server:
        async with dial(server, control_mode, Broken()) as client:
            await client.send_many([b"1", MALFORMED, b"2"])
            assert await client.recv() == b"1"
            assert (await client.recv()).startswith(b"no: the message is not UTF-8")
            assert await client.recv() == b"2"
    assert warnings(caplog) == []


@pytest.mark.parametrize("way", ["connecting", "connection", "in a loop"])
async def test_one_that_leaves_async_with_is_told_to_the_server(
    control_mode: Mode, way: str
) -> None:
    async with open_pair(None, control_mode) as (_, _, server):

        async def talk() -> None:
            if way == "connecting":
                async with dial(server, control_mode, Text()) as conn:
                    await provoke(conn)
            elif way == "connection":
                async with await dial(server, control_mode, Text()) as conn:
                    await provoke(conn)
            else:
                async for again in dial(server, control_mode, Text()):
                    async with again as conn:
                        await provoke(conn)

        told: list[Connection[Any, Any]] = []

        async def provoke(conn: Connection[Any, Any]) -> None:
            told.append(server.clients[conn.id])
            await told[0].send(MALFORMED)
            await conn.recv()

        with pytest.raises(DecodeError):
            await talk()
        for fails in (told[0].recv, lambda: told[0].send(b"more")):
            with pytest.raises(ConnectionClosedError) as caught:
                await fails()
            assert caught.value.code == CloseCode.MALFORMED
            assert caught.value.reason == "the message is not UTF-8: see byte 0"


@pytest.mark.parametrize("error", [LookupError(), DecodeError("of another connection"), None])
async def test_anything_else_is_an_ordinary_close(
    control_mode: Mode, error: Exception | None
) -> None:
    codes: asyncio.Queue[int | None] = asyncio.Queue()

    async def handler(conn: Connection) -> None:
        async for _ in conn:
            pass
        codes.put_nowait(conn.close_code)

    async with serve(handler, control_mode, None) as server:
        with contextlib.suppress(LookupError, DecodeError):
            async with dial(server, control_mode, Text()):
                if error is not None:
                    raise error
        assert await codes.get() == CloseCode.NORMAL


# What is refused


@pytest.mark.parametrize("wrong", [Json, "utf-8", 5, object()])
def test_what_is_no_codec(wrong: Any) -> None:
    async def handler(conn: Connection) -> None: ...

    with pytest.raises(ConfigurationError, match="codec is an object"):
        sealframe.serve(handler, "127.0.0.1", 0, codec=wrong)
    with pytest.raises(ConfigurationError, match="codec is an object"):
        sealframe.connect("127.0.0.1", 1, codec=wrong)


async def test_another_thread_does_not_get_as_far_as_the_codec() -> None:
    class Untouched:
        def encode(self, message: object) -> bytes:
            raise AssertionError("called in another thread")

        def decode(self, message: bytes) -> object:
            raise AssertionError("called in another thread")

    async with open_pair(Untouched()) as (client, accepted, _):
        await client.send(b"x")
        await until(lambda: len(protocol_of(accepted).receiver.queue) == 1)

        async def use() -> None:
            for wrong in (
                accepted.send("x"),
                accepted.send_many(["x"]),
                accepted.recv(),
                accepted.recv_many(),
            ):
                with pytest.raises(WrongLoopError):
                    await wrong
            with pytest.raises(WrongLoopError):
                aiter(accepted)

        await asyncio.to_thread(asyncio.run, use())
        assert len(protocol_of(accepted).receiver.queue) == 1


async def test_raw_bytes_from_a_peer_that_knows_no_sealframe() -> None:
    received: asyncio.Queue[object] = asyncio.Queue()

    async def handler(conn: Connection[Any, Any]) -> None:
        async for message in conn:
            received.put_nowait(message)

    async with serve(handler, PACKETS, Json()) as server:
        async with await Raw.dial(server.port) as peer:
            await peer.send(b"\x03\0\0\0[1]\x00\0\0\0")
            assert await received.get() == [1]
            # An empty message is no JSON.
            assert await peer.receive() == b""
