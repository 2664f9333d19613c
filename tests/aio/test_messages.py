"""Messages arrive whole, once and in order, in every way to talk and over every kind of socket."""

from __future__ import annotations

import array
import asyncio
import struct
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest

import sealframe
from sealframe import (
    ClientOptions,
    ConfigurationError,
    Connection,
    ConnectionClosed,
    ConnectionClosedOK,
    Framing,
    MessageTooLargeError,
    NotSupportedError,
    ServerOptions,
)
from sealframe.aio.connection import protocol_of
from sealframe.framing import INT32_BE, PROTOBUF_DELIMITED, UINT16_BE
from sealframe.wire import MAX_RECORD_PLAINTEXT, Opcode
from sealframe.wire.control import Hello, frame

from .ends import PATIENCE, Api, Family, Mode, dial, open_pair, start, take
from .scripted import Raw, message, until

EAGER = True

pytestmark = pytest.mark.usefixtures("no_leaks")

KIB = 1024
MIB = 1024 * KIB

PACKETS = Mode("packets")
RECORD = MAX_RECORD_PLAINTEXT - 4
"""The largest message that fits into one sealed record with its head."""


async def check_both_ways(client: Connection, accepted: Connection) -> None:
    """Check that the connection works and that nothing else is on its way."""
    await client.send(b"to the server")
    await accepted.send(b"to the client")
    assert await take(accepted, 1) == [b"to the server"]
    assert await take(client, 1) == [b"to the client"]


# What a message may be


@pytest.mark.parametrize(
    "size",
    [
        *(0, 1, 2, 63, 64, 127, 128, 1023, 1024, 4096),
        *(RECORD - 1, RECORD, RECORD + 1, 64 * KIB - 1, 64 * KIB, 64 * KIB + 1),
        *(256 * KIB, MIB, 5 * MIB + 3),
    ],
)
async def test_a_message_of_any_size_arrives_as_it_was(mode: Mode, size: int, api: Api) -> None:
    pattern = bytes(range(251))
    message = (pattern * (size // len(pattern) + 1))[:size]
    async with open_pair(mode, api=api) as (client, accepted, _):
        for sender, receiver in ((client, accepted), (accepted, client)):
            await sender.send(message)
            await sender.send(b"further")
            got = await take(receiver, 2)
            assert type(got[0]) is bytes
            assert got[0] == message
            assert got[1] == b"further"


async def test_messages_go_both_ways_over_every_kind_of_socket(
    mode: Mode, family: Family, api: Api
) -> None:
    sizes = (0, 1, 100, 70_000, 300_000)
    there = [b"t" * size for size in sizes]
    back = [b"b" * size for size in sizes]
    async with open_pair(mode, family, api=api) as (client, accepted, _):
        async with asyncio.timeout(PATIENCE):
            await asyncio.gather(client.send_many(there), accepted.send_many(back))
            assert await take(accepted, len(there)) == there
            assert await take(client, len(back)) == back


class Bytes(bytes):
    """A subclass that is not exactly bytes."""


@pytest.mark.parametrize(
    ("given", "arrives"),
    [
        (b"", b""),
        (bytearray(), b""),
        (memoryview(b""), b""),
        (b"bytes", b"bytes"),
        (Bytes(b"subclass"), b"subclass"),
        (bytearray(b"bytearray"), b"bytearray"),
        (memoryview(b"view"), b"view"),
        (memoryview(bytearray(b"writable view")), b"writable view"),
        (memoryview(b"abcdefgh")[2:5], b"cde"),
        (memoryview(b"abcdefgh")[::2], b"aceg"),
        (memoryview(b"abcdefgh")[::-1], b"hgfedcba"),
        (memoryview(b"abcdefgh").cast("H"), b"abcdefgh"),
        (memoryview(b"abcdef").cast("B", [2, 3]), b"abcdef"),
        (memoryview(array.array("d", [1.5, -2.0])), struct.pack("2d", 1.5, -2.0)),
    ],
    ids=lambda value: "",
)
async def test_any_bytes_like_object_is_a_message(
    mode: Mode, given: bytes | bytearray | memoryview, arrives: bytes, api: Api
) -> None:
    async with open_pair(mode, api=api) as (client, accepted, server):
        await client.send(given)
        await client.send_many([given, given])
        got = await take(accepted, 3)
        assert got == [arrives] * 3
        assert {type(message) for message in got} == {bytes}
        assert server.broadcast(given) == 1
        assert await take(client, 1) == [arrives]


async def test_a_message_is_what_it_was_when_it_was_sent(mode: Mode, api: Api) -> None:
    options = ClientOptions(outbox_limit=1)
    async with open_pair(mode, api=api, client_options=options) as (client, accepted, _):
        message = bytearray(b"before")
        protocol_of(client).pause_writing()
        await client.send(message)
        waiting = asyncio.create_task(client.send(message))
        together = asyncio.create_task(client.send_many([message, memoryview(message)]))
        await asyncio.sleep(0)
        message[:] = b"after!"
        protocol_of(client).resume_writing()
        async with asyncio.timeout(PATIENCE):
            await asyncio.gather(waiting, together)
        assert await take(accepted, 4) == [b"before"] * 4


# What is refused


@pytest.mark.parametrize("wrong", ["text", "", 5, 0, None, [1], [b"x"], object(), 1.5])
async def test_what_is_not_bytes_like_is_refused(mode: Mode, wrong: Any) -> None:
    async with open_pair(mode) as (client, accepted, server):
        with pytest.raises(TypeError, match="a message is"):
            await client.send(wrong)
        with pytest.raises(TypeError, match="a message is"):
            await client.send_many([b"never", wrong, b"never"])
        with pytest.raises(TypeError, match="a message is"):
            server.broadcast(wrong)
        assert client.stats.messages_sent == accepted.stats.messages_sent == 0
        await check_both_ways(client, accepted)


async def test_text_is_refused_with_advice() -> None:
    async with open_pair(PACKETS) as (client, _, _):
        with pytest.raises(TypeError, match=r"encode it first, for example text\.encode\(\)"):
            await client.send("text")  # type: ignore[arg-type]


@pytest.mark.parametrize("wrong", [b"one message", bytearray(b"one"), memoryview(b"one"), "text"])
async def test_send_many_refuses_one_message(wrong: Any) -> None:
    async with open_pair(PACKETS) as (client, accepted, _):
        with pytest.raises(TypeError, match="send takes one message"):
            await client.send_many(wrong)
        await check_both_ways(client, accepted)


async def test_send_many_takes_any_iterable_and_none_at_all(mode: Mode) -> None:
    async with open_pair(mode) as (client, accepted, _):
        await client.send_many([])
        await client.send_many(iter(()))
        await client.send_many(b"%d" % number for number in range(3))
        await client.send_many({b"key": 1})
        assert await take(accepted, 4) == [b"0", b"1", b"2", b"key"]
        assert client.stats.messages_sent == 4


async def test_send_many_sends_nothing_if_the_iterable_fails(mode: Mode) -> None:
    def failing() -> Any:
        yield b"never"
        raise ZeroDivisionError

    async with open_pair(mode) as (client, accepted, _):
        with pytest.raises(ZeroDivisionError):
            await client.send_many(failing())
        assert client.stats.messages_sent == 0
        await check_both_ways(client, accepted)


async def test_too_large_a_message_is_refused_at_the_sender(mode: Mode) -> None:
    # Where only packets flow an end knows its own limit alone.
    limit = 1000
    async with open_pair(
        mode,
        client_options=ClientOptions(max_message_size=limit) if not mode.has_control else None,
        server_options=ServerOptions(max_message_size=limit),
    ) as (client, accepted, _):
        assert client.max_send_size == limit
        with pytest.raises(MessageTooLargeError) as caught:
            await client.send(bytes(limit + 1))
        assert (caught.value.size, caught.value.limit) == (limit + 1, limit)
        assert "1001 bytes" in str(caught.value)
        with pytest.raises(MessageTooLargeError):
            await client.send_many([b"never", bytes(limit + 2)])
        await client.send(bytes(limit))
        assert await take(accepted, 1) == [bytes(limit)]
        assert client.stats.messages_sent == 1
        await check_both_ways(client, accepted)


async def test_each_end_keeps_to_the_limit_of_the_other(mode: Mode, api: Api) -> None:
    if not mode.has_control:
        pytest.skip("where only packets flow the ends do not tell each other")
    async with open_pair(
        mode,
        api=api,
        client_options=ClientOptions(max_message_size=100),
        server_options=ServerOptions(max_message_size=200),
    ) as (client, accepted, _):
        await until(lambda: accepted.max_send_size == 100)
        assert client.max_send_size == 200
        for sender, receiver, limit in ((client, accepted, 200), (accepted, client, 100)):
            await sender.send(bytes(limit))
            assert await take(receiver, 1) == [bytes(limit)]
            with pytest.raises(MessageTooLargeError):
                await sender.send(bytes(limit + 1))


# Order


async def test_messages_of_many_senders_keep_their_order(mode: Mode, api: Api) -> None:
    options = ClientOptions(outbox_limit=2000)
    async with open_pair(mode, api=api, client_options=options) as (client, accepted, _):

        async def send(name: int) -> None:
            for number in range(0, 60, 3):
                await client.send(b"%d %d" % (name, number))
                await client.send_many(b"%d %d" % (name, number + more) for more in (1, 2))

        async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as group:
            for name in range(20):
                group.create_task(send(name))
            got = await take(accepted, 20 * 60)
        for name in range(20):
            mine = [message for message in got if message.startswith(b"%d " % name)]
            assert mine == [b"%d %d" % (name, number) for number in range(60)]


@pytest.mark.parametrize("size", [0, 10, 1000])
async def test_a_burst_arrives_whole_and_in_order(mode: Mode, size: int) -> None:
    sent = [b"%d " % number + bytes(size) for number in range(5000)]
    async with open_pair(mode) as (client, accepted, _):

        async def send() -> None:
            for message in sent[:2500]:
                await client.send(message)
            await client.send_many(sent[2500:])

        async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as group:
            group.create_task(send())
            got: list[bytes] = []
            while len(got) < len(sent):
                got += await accepted.recv_many()
        assert got == sent


async def test_small_and_large_messages_mix(mode: Mode, api: Api) -> None:
    sent = [bytes([number]) * (3 if number % 3 else 100_000) for number in range(100)]
    async with (
        open_pair(mode, api=api) as (client, accepted, _),
        asyncio.timeout(PATIENCE),
        asyncio.TaskGroup() as group,
    ):
        group.create_task(client.send_many(sent))
        assert await take(accepted, len(sent)) == sent


async def test_questions_and_answers(mode: Mode) -> None:
    async with open_pair(mode) as (client, accepted, _):

        async def answer() -> None:
            async for message in accepted:
                await accepted.send(b"re: " + message)

        answering = asyncio.create_task(answer())
        async with asyncio.timeout(PATIENCE):
            for number in range(300):
                await client.send(b"%d" % number)
                assert await client.recv() == b"re: %d" % number
            closing = asyncio.create_task(client.close())
            await answering
            await accepted.close()
            assert await closing


async def test_many_messages_through_many_rekeys() -> None:
    pytest.importorskip("cryptography", reason="cryptography is not installed")
    # A record per message: the keys are replaced every 4096 records.
    count = 10_000
    async with open_pair(Mode("sealed")) as (client, accepted, _):

        async def send() -> None:
            for number in range(count):
                await client.send(b"%d" % number)
                await asyncio.sleep(0)

        async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as group:
            group.create_task(send())
            got = await take(accepted, count)
        assert got == [b"%d" % number for number in range(count)]


# Receiving


async def test_several_receivers_share_the_messages(mode: Mode) -> None:
    sent = [b"%d" % number for number in range(300)]
    async with open_pair(mode) as (client, accepted, _):
        got: list[list[bytes]] = [[] for _ in range(6)]

        async def iterate(mine: list[bytes]) -> None:
            async for message in accepted:
                mine.append(message)
                await asyncio.sleep(0)

        async def receive(mine: list[bytes]) -> None:
            while True:
                try:
                    mine.append(await accepted.recv())
                except ConnectionClosedOK:
                    break
                await asyncio.sleep(0)

        async def receive_many(mine: list[bytes]) -> None:
            while True:
                try:
                    mine += await accepted.recv_many(2)
                except ConnectionClosedOK:
                    break
                await asyncio.sleep(0)

        async with asyncio.timeout(PATIENCE):
            async with asyncio.TaskGroup() as group:
                for number, kind in enumerate((iterate, receive, receive_many) * 2):
                    group.create_task(kind(got[number]))
                for first in range(0, 300, 30):
                    await client.send_many(sent[first : first + 30])
                    await asyncio.sleep(0)
                closing = asyncio.create_task(client.close())
            await accepted.close()
            assert await closing
        assert sorted(message for mine in got for message in mine) == sorted(sent)
        for mine in got:
            assert [int(message) for message in mine] == sorted(int(message) for message in mine)
            assert mine


async def test_recv_many_takes_what_there_is_up_to_its_limit(mode: Mode) -> None:
    sent = [b"%d" % number for number in range(10)]
    async with open_pair(mode) as (client, accepted, _):
        await client.send_many(sent)
        await until(lambda: accepted.stats.messages_received == 10)
        assert await accepted.recv_many(1) == sent[:1]
        assert await accepted.recv_many(3) == sent[1:4]
        assert await accepted.recv() == sent[4]
        assert await accepted.recv_many(5) == sent[5:]
        await client.send_many(sent)
        await until(lambda: accepted.stats.messages_received == 20)
        assert await accepted.recv_many(100) == sent
        await client.send_many(sent)
        await until(lambda: accepted.stats.messages_received == 30)
        assert await accepted.recv_many() == sent
        waiting = asyncio.create_task(accepted.recv_many(5))
        await asyncio.sleep(0)
        assert not waiting.done()
        await client.send(b"one")
        async with asyncio.timeout(PATIENCE):
            assert await waiting == [b"one"]


async def test_a_limit_that_is_no_whole_number_loses_nothing() -> None:
    async with open_pair(PACKETS) as (client, accepted, _):
        waiting = asyncio.create_task(accepted.recv_many(2.5))  # type: ignore[arg-type]
        await asyncio.sleep(0)
        await client.send_many([b"1", b"2"])
        with pytest.raises(TypeError, match="'float' object cannot be interpreted as an integer"):
            await waiting
        assert await take(accepted, 2) == [b"1", b"2"]


@pytest.mark.parametrize("limit", [0, -1])
async def test_recv_many_refuses_an_impossible_limit(limit: int) -> None:
    async with open_pair(PACKETS) as (client, accepted, _):
        await client.send(b"message")
        with pytest.raises(ValueError, match="use None or a whole number from 1 up"):
            await accepted.recv_many(limit)
        assert await take(accepted, 1) == [b"message"]


async def test_what_came_before_the_end_stays_readable(mode: Mode) -> None:
    async with open_pair(mode) as (client, accepted, _):
        await client.send_many(b"%d" % number for number in range(6))
        closing = asyncio.create_task(client.close())
        # First the client: a server that closes before it has read what came is no success to it.
        await asyncio.sleep(0)
        await accepted.close()
        async with asyncio.timeout(PATIENCE):
            assert await closing
        assert await accepted.recv() == b"0"
        assert await accepted.recv_many(2) == [b"1", b"2"]
        assert [message async for message in accepted] == [b"3", b"4", b"5"]
        # The end stays the end.
        for _ in range(2):
            with pytest.raises(ConnectionClosedOK):
                await accepted.recv()
            with pytest.raises(ConnectionClosedOK):
                await accepted.recv_many()
            assert [message async for message in accepted] == []
            with pytest.raises(ConnectionClosed):
                await accepted.send(b"never")
            with pytest.raises(ConnectionClosed):
                await accepted.send_many([b"never"])


async def test_those_who_wait_learn_of_the_end(mode: Mode) -> None:
    async with open_pair(mode) as (client, accepted, _):

        async def iterate() -> list[bytes]:
            return [message async for message in accepted]

        tasks: list[asyncio.Task[Any]] = [
            asyncio.create_task(operation)
            for operation in (accepted.recv(), accepted.recv_many(), iterate(), accepted.recv())
        ]
        await asyncio.sleep(0)
        await client.send(b"for the first")
        closing = asyncio.create_task(client.close())
        async with asyncio.timeout(PATIENCE):
            results = await asyncio.gather(*tasks, return_exceptions=True)
            await accepted.close()
            await closing
        assert results[0] == b"for the first"
        assert isinstance(results[1], ConnectionClosedOK)
        assert results[2] == []
        assert isinstance(results[3], ConnectionClosedOK)
        assert results[1] is not results[3]


async def test_a_hello_that_crosses_the_end_of_a_plain_server_does_no_harm() -> None:
    ended: asyncio.Queue[Connection] = asyncio.Queue()

    async def greet(conn: Connection) -> None:
        await conn.send(b"hello and goodbye")
        ended.put_nowait(conn)

    async with start(greet, PACKETS) as server, await Raw.dial(server.port) as raw:
        assert await raw.receive_to_end() == message(b"hello and goodbye")
        await raw.send(frame(Opcode.HELLO, Hello().encode()))
        raw.finish()
        conn = await ended.get()
        async with asyncio.timeout(PATIENCE):
            assert await conn.close()
        with pytest.raises(ConnectionClosedOK):
            await conn.recv()
        assert await raw.receive() == b""


# What a connection says of itself


async def test_ids_are_short_unique_and_never_used_again(mode: Mode) -> None:
    seen: list[str] = []
    async with start(lambda conn: conn.wait_closed(), mode) as server:
        for _ in range(3):
            clients = [await dial(server, mode) for _ in range(10)]
            await until(lambda: len(server.clients) == 10)
            assert {conn.id for conn in server.clients.values()} == set(server.clients)
            if mode.has_control:
                assert {conn.id for conn in clients} == set(server.clients)
            seen += server.clients
            assert len({conn.id for conn in clients}) == 10
            async with asyncio.timeout(PATIENCE):
                await asyncio.gather(
                    *(conn.close() for conn in (*clients, *server.clients.values()))
                )
            await until(lambda: not server.clients)
    assert len(set(seen)) == 30
    assert all(0 < len(id) <= 32 for id in seen)


async def test_ids_of_two_servers_differ() -> None:
    async with open_pair(PACKETS) as first, open_pair(PACKETS) as second:
        assert first.accepted.id != second.accepted.id
        assert first.client.id != second.client.id


async def test_stats_of_packets_count_every_byte() -> None:
    async with open_pair(PACKETS) as (client, accepted, _):
        await client.send(b"12345")
        await client.send_many([b"", b"1"])
        await take(accepted, 3)
        sent, received = client.stats, accepted.stats
        assert sent.messages_sent == received.messages_received == 3
        assert sent.bytes_sent == received.bytes_received == 3 * 4 + 6
        assert sent.messages_received == received.messages_sent == 0
        assert sent.bytes_received == received.bytes_sent == 0
        assert sent.dropped == sent.discarded == sent.unsent == 0


async def test_stats_of_both_ends_agree(mode: Mode, api: Api) -> None:
    async with open_pair(mode, api=api) as (client, accepted, _):
        before = client.stats.bytes_sent
        await client.send_many([b"1", bytes(100_000), b""])
        await accepted.send(b"1")
        await take(accepted, 3)
        await take(client, 1)
        await until(lambda: accepted.stats.bytes_received == client.stats.bytes_sent)
        await until(lambda: client.stats.bytes_received == accepted.stats.bytes_sent)
        assert client.stats.messages_sent == accepted.stats.messages_received == 3
        assert accepted.stats.messages_sent == client.stats.messages_received == 1
        assert client.stats.bytes_sent - before >= 100_001 + 3 * 4
        assert (before == 0) == (mode.name == "packets")


async def test_both_ends_know_their_addresses(mode: Mode, family: Family) -> None:
    async with open_pair(mode, family) as (client, accepted, server):
        if family.path is not None:
            assert server.addresses == [str(family.path)]
            assert client.remote_address == str(family.path)
            assert accepted.local_address == str(family.path)
            assert client.local_address is None
            assert accepted.remote_address is None
            with pytest.raises(ConfigurationError):
                _ = server.port
            return
        host = "::1" if family.name == "tcp6" else "127.0.0.1"
        assert server.addresses == [(host, server.port)]
        assert client.remote_address == accepted.local_address == (host, server.port)
        assert client.local_address == accepted.remote_address
        assert isinstance(client.local_address, tuple)
        assert client.local_address[0] == host
        shown = f"[::1]:{server.port}" if family.name == "tcp6" else f"127.0.0.1:{server.port}"
        assert shown in repr(client)


async def test_the_channel_binding_is_the_same_at_both_ends_and_new_each_time(mode: Mode) -> None:
    seen = set()
    for _ in range(3):
        async with open_pair(mode) as (client, accepted, _):
            assert client.sealed == accepted.sealed == mode.sealed
            assert client.channel_binding == accepted.channel_binding
            seen.add(client.channel_binding)
    if mode.sealed:
        assert {len(binding) for binding in seen} == {32}
        assert len(seen) == 3
    else:
        assert seen == {b""}


async def test_a_repr_shows_the_state_and_no_content(mode: Mode) -> None:
    async with open_pair(mode) as (client, accepted, server):
        await client.send(b"sensitive")
        await until(lambda: accepted.stats.messages_received == 1)
        for conn in (client, accepted):
            assert conn.id in repr(conn)
            assert " open " in repr(conn)
            assert "sensitive" not in repr(conn)
        assert "1 clients" in repr(server)
        async with asyncio.timeout(PATIENCE):
            await asyncio.gather(client.close(), accepted.close())
        assert " closed " in repr(client)


# Packets and foreign framings, as others speak them


def encode_varint(number: int) -> bytes:
    encoded = bytearray()
    while number > 127:
        encoded.append(number & 127 | 128)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


async def read_varint(reader: asyncio.StreamReader) -> int:
    number = shift = 0
    while True:
        (byte,) = await reader.readexactly(1)
        number |= (byte & 127) << shift
        if byte < 128:
            return number
        shift += 7


class Foreign:
    """A framing, and the same written by hand over asyncio's own streams."""

    def __init__(
        self,
        framing: Framing | None,
        encode: Callable[[int], bytes],
        read: Callable[[asyncio.StreamReader], Coroutine[Any, Any, int]],
        maximum: int,
    ) -> None:
        self.mode = Mode("packets", framing)
        self._encode = encode
        self._read = read
        self.maximum = maximum

    def write(self, writer: asyncio.StreamWriter, message: bytes) -> None:
        writer.write(self._encode(len(message)) + message)

    async def read(self, reader: asyncio.StreamReader) -> bytes:
        return await reader.readexactly(await self._read(reader))


def packed(layout: str) -> tuple[Callable[[int], bytes], Any]:
    """Return how ``struct`` writes and reads a length."""

    async def read(reader: asyncio.StreamReader) -> int:
        number: int = struct.unpack(layout, await reader.readexactly(struct.calcsize(layout)))[0]
        return number

    return (lambda number: struct.pack(layout, number)), read


FOREIGN = {
    "packets": Foreign(None, *packed("<i"), maximum=16 * MIB),
    "int32-be": Foreign(INT32_BE, *packed(">i"), maximum=16 * MIB),
    "uint16-be": Foreign(UINT16_BE, *packed(">H"), maximum=65_535),
    "protobuf": Foreign(PROTOBUF_DELIMITED, encode_varint, read_varint, maximum=16 * MIB),
}
SIZES = (0, 1, 5, 127, 128, 300, 16_383, 16_384, 65_535, 65_536, 200_000, 2 * MIB + 1)


@pytest.fixture(params=FOREIGN)
def foreign(request: pytest.FixtureRequest) -> Foreign:
    return FOREIGN[request.param]


@pytest.fixture
def messages(foreign: Foreign) -> list[bytes]:
    return [bytes([size % 251]) * size for size in SIZES if size <= foreign.maximum]


async def test_a_framing_works_at_both_ends(foreign: Foreign, messages: list[bytes]) -> None:
    async with open_pair(foreign.mode) as (client, accepted, _):
        for sender, receiver in ((client, accepted), (accepted, client)):
            async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as group:
                group.create_task(sender.send_many(messages))
                assert await take(receiver, len(messages)) == messages
        assert client.max_send_size == foreign.maximum
        with pytest.raises(MessageTooLargeError):
            await client.send(bytes(foreign.maximum + 1))
        with pytest.raises(NotSupportedError):
            await client.ping()
        await check_both_ways(client, accepted)


@asynccontextmanager
async def streams(port: int) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """Connect with asyncio's own streams."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield reader, writer
    finally:
        writer.close()
        await writer.wait_closed()


async def test_a_stream_client_talks_to_our_server(foreign: Foreign, messages: list[bytes]) -> None:
    got: list[bytes] = []

    async def handler(conn: Connection) -> None:
        async for message in conn:
            got.append(message)
            await conn.send(message)

    async with (
        asyncio.timeout(PATIENCE),
        start(handler, foreign.mode) as server,
        streams(server.port) as (reader, writer),
    ):
        for message in messages:
            foreign.write(writer, message)
            assert await foreign.read(reader) == message
        # All at once, and in small pieces.
        for message in messages[:4]:
            foreign.write(writer, message)
        for message in messages[:4]:
            assert await foreign.read(reader) == message
        writer.write_eof()
        assert await reader.read() == b""
    assert got == messages + messages[:4]


async def test_our_client_talks_to_a_stream_server(foreign: Foreign, messages: list[bytes]) -> None:
    unfinished: list[bytes] = []

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                foreign.write(writer, await foreign.read(reader))
                await writer.drain()
        except asyncio.IncompleteReadError as error:
            unfinished.append(error.partial)
        finally:
            writer.close()
            await writer.wait_closed()

    server = await asyncio.start_server(handler, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with asyncio.timeout(PATIENCE):
        async with sealframe.connect("127.0.0.1", port, **foreign.mode.client) as conn:
            for message in messages:
                await conn.send(message)
                assert await conn.recv() == message
            assert await conn.close()
        server.close()
        await server.wait_closed()
    assert unfinished == [b""]
