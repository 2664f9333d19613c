"""Connections in any layout: limits, refusals, preambles, and ends inside a frame."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

import sealframe
from sealframe import (
    ClientOptions,
    ConfigurationError,
    Connection,
    ConnectionClosedError,
    Framing,
    MessageFormatError,
    MessageTooLargeError,
    MessageTooSmallError,
    ProtocolError,
    SealframeError,
    SendQueueFullError,
    ServerOptions,
    TruncatedError,
)
from sealframe.aio.connection import protocol_of
from sealframe.aio.framed_send_queue import FramedSendQueue
from sealframe.aio.send_queue import SendQueue
from sealframe.framing import (
    INT32_BE,
    Delimited,
    Digits,
    FrameLayout,
    HeaderLines,
    Sized,
    WithPreamble,
)

from .ends import PATIENCE, Api, Mode, collect, open_pair, take
from .greeted_lines import GreetedLines, NewlineError
from .scripted import Raw, listening, until

pytestmark = pytest.mark.usefixtures("no_leaks")

LINES = GreetedLines()
MODBUS = Framing(offset=4, width=2, byteorder="big", strip=0, minimum=8, maximum=260)


def speaking(layout: FrameLayout) -> Mode:
    """Return the way to talk in that layout."""
    return Mode(framing=layout)


# Preambles


async def test_each_end_sends_its_preamble_and_checks_that_of_the_other(api: Api) -> None:
    async with open_pair(speaking(LINES), api=api) as (client, accepted, _):
        await client.send(b"to the server")
        await accepted.send(b"to the client")
        assert await take(accepted, 1) == [b"to the server"]
        assert await take(client, 1) == [b"to the client"]
        assert await client.close()
        assert await collect(accepted) == []


async def test_a_preamble_waits_for_no_message() -> None:
    async with asyncio.timeout(PATIENCE):
        async with listening() as listener:
            conn = await sealframe.connect("127.0.0.1", listener.port, framing=LINES)
            async with await listener.accept() as raw:
                assert await raw.receive_exactly(5) == b"HELO\n"
                await raw.send(b"220 \nhi\n")
                assert await conn.recv() == b"hi"
                raw.finish()
                assert await conn.close()
                assert await raw.receive_to_end() == b""

        async def handler(conn: Connection) -> None:
            await conn.wait_closed()

        async with (
            sealframe.serve(handler, "127.0.0.1", 0, framing=LINES) as server,
            await Raw.dial(server.port) as raw,
        ):
            assert await raw.receive_exactly(5) == b"220 \n"
            raw.finish()
            assert await raw.receive_to_end() == b""


async def test_a_preamble_goes_before_what_a_handler_sends_at_once() -> None:
    async def handler(conn: Connection) -> None:
        await conn.send(b"welcome")

    async with asyncio.timeout(PATIENCE):
        async with (
            sealframe.serve(handler, "127.0.0.1", 0, framing=LINES) as server,
            await Raw.dial(server.port) as raw,
        ):
            assert await raw.receive_to_end() == b"220 \nwelcome\n"


async def test_a_wrong_preamble_ends_the_connection(caplog: pytest.LogCaptureFixture) -> None:
    async def handler(conn: Connection) -> None:
        with pytest.raises(ProtocolError, match=r"the stream begins with b'EHLO'"):
            await conn.recv()

    async with asyncio.timeout(PATIENCE):
        async with (
            sealframe.serve(handler, "127.0.0.1", 0, framing=LINES) as server,
            await Raw.dial(server.port) as raw,
        ):
            await raw.send(b"EHLO\nmore\n")
            assert await raw.receive_to_end() == b"220 \n"
            raw.close()
            await until(lambda: not server.clients)
    [record] = [record for record in caplog.records if record.levelno > logging.INFO]
    assert "the stream begins with b'EHLO'" in record.getMessage()
    assert "\n" not in record.getMessage()


# What the layout refuses


async def test_what_the_layout_refuses_raises_where_it_is_sent() -> None:
    async with open_pair(speaking(LINES)) as (client, accepted, server):
        await client.send(b"one")
        with pytest.raises(NewlineError):
            await client.send(b"two\nlines")
        with pytest.raises(NewlineError):
            client.send_nowait(b"two\nlines")
        with pytest.raises(NewlineError):
            await client.send_many([b"never", b"two\nlines", b"neither"])
        with pytest.raises(NewlineError):
            server.broadcast(b"two\nlines")
        with pytest.raises(TypeError):
            await client.send("text")  # type: ignore[arg-type]
        client.send_nowait(bytearray(b"two"))
        await client.send_many([b"three", memoryview(b"four")])
        assert server.broadcast(b"to all") == 1
        assert await take(accepted, 4) == [b"one", b"two", b"three", b"four"]
        assert await take(client, 1) == [b"to all"]
        assert client.stats.messages_sent == 4
        assert client.stats.bytes_sent == len(b"HELO\none\ntwo\nthree\nfour\n")


@pytest.mark.parametrize("several", [False, True], ids=["one", "several"])
async def test_a_refusal_of_what_waited_for_room_lets_the_next_in(several: bool) -> None:
    options = ClientOptions(outbox_limit=1000, close_timeout=0.5)
    async with asyncio.timeout(PATIENCE), listening() as listener:
        # In lock-step, so that the queue is full until the peer says something.
        conn = await sealframe.connect(
            "127.0.0.1", listener.port, framing=LINES, pipelining=False, options=options
        )
        async with await listener.accept() as raw:
            await conn.send_many([b"x" * 500] * 3)
            with pytest.raises(SendQueueFullError):
                conn.send_nowait(b"y")
            refused = conn.send_many([b"c", b"d\ne"]) if several else conn.send(b"a\nb")
            waiting = [asyncio.ensure_future(refused), asyncio.ensure_future(conn.send(b"next"))]
            assert await raw.receive_exactly(5 + 501) == b"HELO\n" + b"x" * 500 + b"\n"
            assert not any(task.done() for task in waiting)
            await raw.send(b"220 \nroom\n")
            outcomes = await asyncio.gather(*waiting, return_exceptions=True)
            assert [type(outcome) for outcome in outcomes] == [NewlineError, type(None)]
            for line in (b"x" * 500, b"x" * 500, b"next"):
                assert await raw.receive_exactly(len(line) + 1) == line + b"\n"
                await raw.send(b"more\n")
        await conn.close()


async def test_a_first_message_of_its_own_layout_is_still_to_come_after_a_refusal() -> None:
    layout = WithPreamble(Delimited(b"\n"), client=Framing(width=1))
    async with open_pair(speaking(layout)) as (client, accepted, server):
        # The first of them alone would have been accepted.
        with pytest.raises(MessageFormatError):
            await client.send_many([b"a\nb", b"c\nd"])
        with pytest.raises(MessageTooLargeError):
            await client.send(bytes(256))
        await client.send_many([b"a\nb", bytes(256)])
        assert await take(accepted, 2) == [b"a\nb", bytes(256)]
        with pytest.raises(MessageFormatError):
            await client.send(b"a\nb")
        assert client.stats.bytes_sent == 1 + 3 + 257
        assert server.broadcast(b"x") == 1
        assert await take(client, 1) == [b"x"]


async def test_sizes_that_the_other_end_alone_may_send_first_are_refused_at_once() -> None:
    layout = WithPreamble(
        Framing(width=2, minimum=2, maximum=10), server=Framing(width=4, minimum=0, maximum=1000)
    )
    async with open_pair(speaking(layout)) as (client, accepted, _):
        await client.send(b"first")
        # What follows in a turn is written at its end, when nobody could be told.
        with pytest.raises(MessageTooLargeError):
            await client.send(bytes(11))
        with pytest.raises(MessageTooSmallError):
            await client.send(b"1")
        await client.send(b"last")
        assert await take(accepted, 2) == [b"first", b"last"]
        await accepted.send(bytes(1000))
        assert await take(client, 1) == [bytes(1000)]


async def test_a_broadcast_that_cannot_be_the_first_message_of_a_client_is_dropped_for_it() -> None:
    layout = WithPreamble(Delimited(b"\n"), server=Framing(width=1))
    async with open_pair(speaking(layout)) as (client, accepted, server):
        assert server.broadcast(bytes(256)) == 0
        assert (accepted.stats.dropped, server.counters.dropped) == (1, 1)
        assert server.broadcast(b"hello") == 1
        assert server.broadcast(bytes(256)) == 1
        assert await take(client, 2) == [b"hello", bytes(256)]


def size_of(head: bytes) -> int | None:
    """Return the size of a frame whose first byte tells it."""
    return head[0] + 1 if head else None


@pytest.mark.parametrize(
    ("layout", "good", "refused"),
    [
        pytest.param(
            Framing(offset=2, width=2, byteorder="big", strip=0, magic=b"\xca\xfe"),
            b"\xca\xfe\0\2hi",
            b"\xca\xfe\0",
            id="magic",
        ),
        pytest.param(Framing(width=2, unit=4), b"12345678", b"123456", id="unit"),
        pytest.param(Sized(size_of, head=1), b"\2hi", b"\2his", id="size by a function"),
        pytest.param(Delimited(b"\r\n"), b"a line", b"a\r\nline", id="delimiter"),
        pytest.param(HeaderLines(maximum=8), b"{}", b"123456789", id="header lines"),
        pytest.param(
            WithPreamble(Framing(width=1), client=b"CLIENT", server=b"SERVER"),
            b"hello",
            bytes(256),
            id="preamble",
        ),
        pytest.param(
            Framing(length=Digits(until=b":"), trailer=b",", maximum=99),
            b"hi",
            bytes(100),
            id="netstring",
        ),
    ],
)
async def test_every_kind_of_layout_refuses_where_it_is_sent_and_goes_on(
    layout: FrameLayout, good: bytes, refused: bytes
) -> None:
    async with open_pair(speaking(layout)) as (client, accepted, server):
        for _ in range(2):
            with pytest.raises(SealframeError):
                await client.send(refused)
            with pytest.raises(SealframeError):
                client.send_nowait(refused)
            with pytest.raises(SealframeError):
                await client.send_many([good, refused])
            with pytest.raises(SealframeError):
                server.broadcast(refused)
            await client.send_many([good] * 3)
            assert await take(accepted, 3) == [good] * 3
            assert server.broadcast(good) == 1
            assert await take(client, 1) == [good]
        assert (client.stats.messages_sent, accepted.stats.messages_sent) == (6, 2)
        assert await client.close()


async def test_what_is_refused_for_its_size_alone_is_framed_as_ever() -> None:
    """The fast path is that of sealframe's own packets."""
    layout = WithPreamble(Framing(width=1), client=b"CLIENT", server=b"SERVER")
    for plain in (INT32_BE, MODBUS, layout):
        async with open_pair(speaking(plain)) as (client, _, _):
            assert type(protocol_of(client).sender.queue) is SendQueue
    async with open_pair(speaking(LINES)) as (client, _, _):
        assert type(protocol_of(client).sender.queue) is FramedSendQueue


@pytest.mark.parametrize(
    ("layout", "refused", "error", "accepted"),
    [
        pytest.param(LINES.limited(8), b"123456789", MessageTooLargeError, b"12345678", id="lines"),
        pytest.param(MODBUS, bytes(261), MessageTooLargeError, bytes(260), id="too large"),
        pytest.param(MODBUS, bytes(7), MessageTooSmallError, bytes(8), id="too small"),
    ],
)
async def test_sizes_are_those_of_the_layout(
    layout: FrameLayout, refused: bytes, error: type[Exception], accepted: bytes
) -> None:
    async with open_pair(speaking(layout)) as (client, end, server):
        assert client.max_send_size == layout.maximum
        with pytest.raises(error):
            await client.send(refused)
        with pytest.raises(error):
            client.send_nowait(refused)
        with pytest.raises(error):
            await client.send_many([accepted, refused])
        with pytest.raises(error):
            server.broadcast(refused)
        await client.send(accepted)
        assert len((await take(end, 1))[0]) == len(accepted)
        assert not end.closed


async def test_max_message_size_narrows_any_layout() -> None:
    options = ServerOptions(max_message_size=4)
    async with open_pair(speaking(LINES), server_options=options) as (client, accepted, _):
        await client.send(b"1234")
        assert await accepted.recv() == b"1234"
        with pytest.raises(MessageTooLargeError):
            await accepted.send(b"12345")
        await client.send(b"12345")
        with pytest.raises(ProtocolError, match="a line of more than 4 bytes"):
            await accepted.recv()


async def test_large_messages_and_many_small_ones_go_out_in_order() -> None:
    messages = [b"x" * size for size in (0, 1, 70_000, 2, 3, 200_000, 65_535, 65_536, 4)] * 3
    async with open_pair(speaking(LINES)) as (client, accepted, _):
        sending = asyncio.ensure_future(client.send_many(messages))
        assert await take(accepted, len(messages)) == messages
        await sending


# Ends


@pytest.mark.parametrize("reset", [False, True], ids=["FIN", "RST"])
@pytest.mark.parametrize(
    ("layout", "sent", "text"),
    [
        pytest.param(
            INT32_BE,
            b"\0\0\0\x03one\0\0\0\x08four",
            "the stream ends inside frame 2: 8 of its 12 bytes came, 4 are missing",
            id="in the body",
        ),
        pytest.param(
            INT32_BE,
            b"\0\0\0\x03one\0\0\0\x03two\0\0",
            "the stream ends inside frame 3: 2 bytes of it came, which do not tell its size",
            id="in the head",
        ),
        pytest.param(
            LINES,
            b"HELO\none\ntwo\nthr",
            "the stream ends inside frame 3: 3 bytes of it came, which do not tell its size",
            id="lines",
        ),
    ],
)
async def test_an_end_inside_a_frame_tells_which_and_what_is_missing(
    layout: FrameLayout, sent: bytes, text: str, reset: bool
) -> None:
    seen: asyncio.Queue[BaseException] = asyncio.Queue()

    async def handler(conn: Connection) -> None:
        try:
            async for _ in conn:
                pass
        except ConnectionClosedError as error:
            seen.put_nowait(error)

    async with asyncio.timeout(PATIENCE):
        async with (
            sealframe.serve(handler, "127.0.0.1", 0, framing=layout) as server,
            await Raw.dial(server.port) as raw,
        ):
            await raw.send(sent)
            await until(lambda: any(c.stats.bytes_received for c in server.clients.values()))
            if reset:
                raw.reset()
            else:
                raw.finish()
            error = await seen.get()
    assert isinstance(error, TruncatedError)
    assert str(error) == (f"the peer's stream was reset: {text}" if reset else text)


async def test_a_client_whose_server_says_nothing_is_not_told_of_keys() -> None:
    async with asyncio.timeout(PATIENCE), listening() as listener:
        conn = await sealframe.connect("127.0.0.1", listener.port, framing=INT32_BE)
        async with await listener.accept() as raw:
            raw.finish()
            with pytest.raises(sealframe.ConnectionClosedOK) as caught:
                await conn.recv()
            assert str(caught.value) == "the peer closed the connection"
            await conn.close()


# What is not to be


class NoLayout:
    """Has what a layout has, and is none."""

    minimum = maximum = 1


@pytest.mark.parametrize(
    "framing", ["modbus-tcp", NoLayout(), Framing, 4], ids=["name", "other", "class", "number"]
)
def test_what_is_no_layout_is_refused(framing: Any) -> None:
    with pytest.raises(ConfigurationError, match="use a layout, such as INT32_BE"):
        sealframe.connect("127.0.0.1", 1, framing=framing)
    with pytest.raises(ConfigurationError, match="use a layout, such as INT32_BE"):
        sealframe.serve(print, "127.0.0.1", 0, framing=framing)  # type: ignore[arg-type]


def test_a_layout_that_max_message_size_leaves_nothing_of_is_refused() -> None:
    with pytest.raises(ConfigurationError):
        sealframe.connect("127.0.0.1", 1, framing=MODBUS, options=ClientOptions(max_message_size=7))
