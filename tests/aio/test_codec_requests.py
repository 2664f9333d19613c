"""Requests and answers that are objects: what goes wrong in a codec costs one request."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import pytest

import sealframe
from sealframe import (
    ClientOptions,
    CloseCode,
    Connection,
    DecodeError,
    EncodeError,
    MessageTooLargeError,
    NotSupportedError,
    RemoteError,
    RequestCancelledError,
    RequestTimeoutError,
    ServerOptions,
    Stream,
    WrongLoopError,
)
from sealframe.aio.connection import protocol_of
from sealframe.codecs import Codec, Json, Msgspec, Text
from sealframe.wire import MAX_CHUNK

from .ends import PATIENCE, TCP, Mode
from .scripted import until

ANY_LOOP = True

pytestmark = pytest.mark.usefixtures("no_leaks")

EXTENDED = Mode("extended")
MALFORMED = b"\xffsesame"
"""Not UTF-8, and neither JSON nor MessagePack; what it says is nobody's business."""

OnRequest = Callable[[Connection[Any, Any], Any], Awaitable[Any]]


@dataclass
class Question:
    text: str


@dataclass
class Answer:
    text: str
    length: int


class Raising:
    """Raises what it is told to, where it is told to."""

    def __init__(self, *, encoding: BaseException | None = None, decoding: Any = None) -> None:
        self.encoding = encoding
        self.decoding = decoding

    def encode(self, message: bytes) -> bytes:
        if self.encoding is not None:
            raise self.encoding
        return message

    def decode(self, message: bytes) -> bytes:
        if self.decoding is not None:
            raise self.decoding
        return message


class LostError(BaseException):
    """No Exception, so that nobody catches it by chance."""


class OwnDecodeError(DecodeError):
    """What a user's codec may raise."""


class Pair(NamedTuple):
    """Both ends of one connection."""

    client: Connection[Any, Any]
    accepted: Connection[Any, Any]


async def same(_: Connection[Any, Any], request: Any) -> Any:
    """Answer what was asked."""
    return request


@contextlib.asynccontextmanager
async def open_pair(
    codec: Codec[Any, Any] | None,
    client_codec: Codec[Any, Any] | None = None,
    *,
    mode: Mode = EXTENDED,
    on_request: OnRequest = same,
    client_on_request: OnRequest = same,
    on_stream: Callable[[Stream], Awaitable[None]] | None = None,
    options: ServerOptions | None = None,
    client_options: ClientOptions | None = None,
) -> AsyncIterator[Pair]:
    """Open a connection both of whose ends answer requests, and hand out both ends."""
    arrived: asyncio.Queue[Connection[Any, Any]] = asyncio.Queue()

    async def handler(conn: Connection[Any, Any]) -> None:
        arrived.put_nowait(conn)
        await conn.wait_closed()

    async with (
        asyncio.timeout(PATIENCE),
        sealframe.serve(
            handler,
            "127.0.0.1",
            0,
            **mode.server,
            codec=codec,
            on_request=on_request,
            on_stream=on_stream,
            options=options,
        ) as server,
        sealframe.connect(
            **TCP.target(server),
            **mode.client,
            codec=client_codec,
            on_request=client_on_request,
            options=client_options,
        ) as client,
    ):
        accepted = await arrived.get()
        yield Pair(client, accepted)
        await asyncio.gather(client.close(), accepted.close())


def complaints(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    """Return what was logged that someone should look at."""
    return [record for record in caplog.records if record.levelno > logging.INFO]


# Objects


@pytest.mark.parametrize(
    ("codec", "payloads"),
    [
        (Text(), ["", "grüß", "ß" * MAX_CHUNK]),
        (Json(), [None, "", {"a": [1, 2.5, True]}, ["x" * MAX_CHUNK]]),
        (Msgspec(Question), [Question("1"), Question("x" * MAX_CHUNK)]),
        (Msgspec(Question, "msgpack"), [Question("1"), Question("x" * MAX_CHUNK)]),
    ],
    ids=["Text", "Json", "Msgspec", "MessagePack"],
)
async def test_objects_go_both_ways(
    control_mode: Mode, codec: Codec[Any, Any], payloads: list[Any]
) -> None:
    async with open_pair(codec, codec, mode=control_mode) as ends:
        for end in ends:
            for payload in payloads:
                assert await end.request(payload) == payload
            answers = await asyncio.gather(*(end.request(payload) for payload in payloads))
            assert list(answers) == payloads


async def test_answers_may_have_another_type_than_questions(control_mode: Mode) -> None:
    async def measure(_: Connection[Answer, Question], question: Question) -> Answer:
        return Answer(question.text.upper(), len(question.text))

    async with open_pair(
        Msgspec(Question, send_type=Answer),
        Msgspec(Answer, "json", send_type=Question),
        mode=control_mode,
        on_request=measure,
    ) as (client, _):
        assert await client.request(Question("how long")) == Answer("HOW LONG", 8)


async def test_the_bytes_are_those_of_the_codec() -> None:
    async def answer(_: Connection[Any, Any], request: Any) -> Any:
        return {"asked": request}

    async with open_pair(Json(), on_request=answer) as (client, accepted):
        assert await client.request(b" [1] ") == b'{"asked":[1]}'
        assert await accepted.request("ü") == "ü"


async def test_large_objects_go_over_a_stream(control_mode: Mode) -> None:
    items = list(range(400_000))

    async def more(_: Connection[Any, Any], request: Any) -> Any:
        return [request, request]

    async with open_pair(Json(), Json(), mode=control_mode, on_request=more) as (client, _):
        assert await client.request(items) == [items, items]
        assert await client.request(1) == [1, 1]


async def test_no_answer() -> None:
    async def silent(_: Connection[Any, Any], request: Any) -> None:
        return None

    async with open_pair(None, on_request=silent) as (client, _):
        assert await client.request(b"x") == b""
    # With a codec, None is an object as others are.
    async with open_pair(Json(), on_request=silent) as (client, _):
        assert await client.request(b"[]") == b"null"
    async with open_pair(Msgspec(int | None, "msgpack"), on_request=silent) as (client, _):
        assert await client.request(b"\x05") == b"\xc0"
    async with open_pair(Text(), on_request=silent) as (client, _):
        with pytest.raises(RemoteError, match="a message is str here, not NoneType"):
            await client.request(b"x")


async def test_any_bytes_like_object_may_come_of_a_codec() -> None:
    async def parts(_: Connection[Any, Any], request: bytes) -> Any:
        return memoryview(request)[::2]

    codec = Raising()
    async with open_pair(codec, codec, on_request=parts) as (client, _):
        data = bytearray(b"abcdef")
        asked = asyncio.create_task(client.request(data))
        await asyncio.sleep(0)
        data[:] = b"......"
        answer = await asked
        assert (type(answer), answer) == (bytes, b"ace")
        with pytest.raises(EncodeError, match="a message is bytes, not str"):
            await client.request("text")


# What cannot be encoded


@pytest.mark.parametrize(
    ("codec", "wrong"),
    [(Text(), 5), (Json(), {1, 2}), (Msgspec(Question), object()), (Raising(), "text")],
    ids=lambda value: type(value).__name__,
)
async def test_what_cannot_be_encoded_is_not_asked(codec: Codec[Any, Any], wrong: Any) -> None:
    asked: list[object] = []

    async def note(_: Connection[Any, Any], request: Any) -> Any:
        asked.append(request)
        return b"noted"

    async with open_pair(None, codec, on_request=note, options=ServerOptions(max_requests=1)) as (
        client,
        _,
    ):
        with pytest.raises(EncodeError):
            await client.request(wrong)
        assert protocol_of(client).open_channels().requests.pending == {}
        right: Any = {Text: "a", Json: [], Msgspec: Question("?"), Raising: b"x"}[type(codec)]
        # The one place is free, and the peer has heard of one request alone.
        with contextlib.suppress(DecodeError):
            await client.request(right)
        assert len(asked) == 1


async def test_the_size_of_what_was_encoded_counts() -> None:
    options = ServerOptions(max_message_size=3)
    async with open_pair(Text(), Text(), options=options) as (client, _):
        with pytest.raises(MessageTooLargeError) as caught:
            await client.request("ßß")
        assert (caught.value.size, caught.value.limit) == (4, 3)
        assert await client.request("ß") == "ß"


async def test_an_answer_that_is_too_large_once_encoded() -> None:
    async def double(_: Connection[Any, Any], request: str) -> str:
        return request * 2

    options = ClientOptions(max_message_size=3)
    async with open_pair(Text(), Text(), on_request=double, client_options=options) as ends:
        with pytest.raises(RemoteError) as caught:
            await ends.client.request("ß")
        assert caught.value.type == "ReplyTooLarge"
        assert caught.value.message == "a message of 4 bytes is over the limit of 3 bytes"
        assert await ends.client.request("a") == "aa"


async def test_a_peer_that_keeps_to_no_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bodies in one frame are measured by whom they reach, too."""
    asked: list[str] = []

    async def double(_: Connection[Any, Any], request: str) -> str:
        asked.append(request)
        return request * 2

    async with open_pair(
        Text(),
        Text(),
        on_request=double,
        options=ServerOptions(max_message_size=3),
        client_options=ClientOptions(max_message_size=3),
    ) as (client, accepted):
        for end in (client, accepted):
            assert end.max_send_size == 3
            monkeypatch.setattr(protocol_of(end).machine, "send_limit", 100)
        with pytest.raises(RemoteError) as caught:
            await client.request("four")
        assert caught.value.type == "RequestTooLarge"
        with pytest.raises(RemoteError) as caught:
            await client.request("ab")
        assert caught.value.type == "ReplyTooLarge"
        assert asked == ["ab"]
        assert await client.request("a") == "aa"


@pytest.mark.parametrize(
    ("codec", "answer", "text"),
    [
        (Text(), 5, "a message is str here, not int"),
        (Json(), {1, 2}, "there is no JSON for this message: "),
        (Raising(), "text", "a message is bytes, not str"),
        (Raising(encoding=LookupError("not there")), b"", "cannot encode this message: not there"),
        (Raising(encoding=RemoteError("Own", "words")), b"", "cannot encode this message: Own"),
    ],
)
async def test_an_answer_that_cannot_be_encoded(
    codec: Codec[Any, Any], answer: object, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def wrong(_: Connection[Any, Any], request: Any) -> Any:
        return answer

    async with open_pair(codec, on_request=wrong) as (client, accepted):
        with pytest.raises(RemoteError) as caught:
            await client.request(b"1")
        assert caught.value.type == "EncodeError"
        assert text in caught.value.message
        assert not accepted.closed
        await client.send(b"2")
        await accepted.recv()
    # It is the program's own fault.
    (record,) = complaints(caplog)
    assert (record.name, record.levelno) == ("sealframe.requests", logging.ERROR)
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], EncodeError)


# What cannot be decoded


@pytest.mark.parametrize(
    ("codec", "text"),
    [
        (Text(), "the message is not UTF-8: see byte 0"),
        (Json(), "the message is not UTF-8: see byte 0"),
        (
            Msgspec(Question, "msgpack"),
            "the message is not as agreed: Expected `object`, got `int`",
        ),
        (Raising(decoding=ValueError("sesame")), "the message cannot be decoded: ValueError"),
        (Raising(decoding=RemoteError("sesame")), "the message cannot be decoded: RemoteError"),
        (Raising(decoding=OwnDecodeError("in its own words")), "in its own words"),
    ],
)
@pytest.mark.parametrize("padding", [0, MAX_CHUNK], ids=["small", "large"])
async def test_a_question_that_cannot_be_decoded(
    codec: Codec[Any, Any], text: str, padding: int, caplog: pytest.LogCaptureFixture
) -> None:
    asked: list[object] = []

    async def note(_: Connection[Any, Any], request: Any) -> None:
        asked.append(request)

    async with open_pair(codec, on_request=note) as (client, accepted):
        # More of them than places, so that each is given back.
        for _ in range(3):
            with pytest.raises(RemoteError) as caught:
                await client.request(MALFORMED + bytes(padding))
            assert (caught.value.type, caught.value.message) == ("DecodeError", text)
        assert "sesame" not in f"{caught.value} {caught.value!r}"
        # The connection goes on, both ways.
        await client.ping()
        await client.send(b"x")
        await until(lambda: len(protocol_of(accepted).receiver.queue) == 1)
        assert not accepted.closed
    assert asked == []
    assert complaints(caplog) == []
    assert "sesame" not in caplog.text


async def test_others_do_not_notice() -> None:
    async with open_pair(Text()) as (client, _):
        asked = [client.request(payload) for payload in (b"1", MALFORMED, b"2", MALFORMED)]
        first, second, third, fourth = await asyncio.gather(*asked, return_exceptions=True)
        assert (first, third) == (b"1", b"2")
        assert isinstance(second, RemoteError)
        assert isinstance(fourth, RemoteError)


async def test_an_answer_that_cannot_be_decoded(
    control_mode: Mode, caplog: pytest.LogCaptureFixture
) -> None:
    async def malformed(_: Connection[Any, Any], request: bytes) -> bytes:
        return MALFORMED if request == b"malformed" else request

    async with open_pair(None, Text(), mode=control_mode, on_request=malformed) as (client, _):
        with pytest.raises(
            DecodeError, match=r"(?m)^the message is not UTF-8: see byte 0$"
        ) as caught:
            await client.request("malformed")
        assert caught.value.message == MALFORMED
        assert caught.value.connection is client
        assert await client.request("fine") == "fine"
    assert complaints(caplog) == []


async def test_a_large_answer_that_cannot_be_decoded() -> None:
    async def malformed(_: Connection[Any, Any], request: bytes) -> bytes:
        return bytes(MAX_CHUNK) + MALFORMED if request == b"malformed" else request

    async with open_pair(None, Text(), on_request=malformed) as (client, _):
        with pytest.raises(DecodeError, match=f"see byte {MAX_CHUNK}"):
            await client.request("malformed")
        assert await client.request("fine") == "fine"


async def test_one_that_leaves_async_with_is_told_to_the_other_end(control_mode: Mode) -> None:
    codes: asyncio.Queue[int | None] = asyncio.Queue()

    async def handler(conn: Connection) -> None:
        with contextlib.suppress(sealframe.ConnectionClosedError):
            await conn.recv()
        codes.put_nowait(conn.close_code)

    async def malformed(_: Connection, request: bytes) -> bytes:
        return MALFORMED

    async with (
        asyncio.timeout(PATIENCE),
        sealframe.serve(
            handler, "127.0.0.1", 0, **control_mode.server, on_request=malformed
        ) as server,
    ):
        with pytest.raises(DecodeError):
            async with sealframe.connect(
                **TCP.target(server), **control_mode.client, codec=Text()
            ) as conn:
                await conn.request("what?")
        assert await codes.get() == CloseCode.MALFORMED


async def test_one_that_leaves_a_handler_costs_that_client_alone(
    control_mode: Mode, caplog: pytest.LogCaptureFixture
) -> None:
    async def ask(conn: Connection[str, str]) -> None:
        await conn.recv()
        await conn.send(await conn.request("what?"))

    async def malformed(_: Connection, request: bytes) -> bytes:
        return MALFORMED

    async with (
        asyncio.timeout(PATIENCE),
        sealframe.serve(ask, "127.0.0.1", 0, **control_mode.server, codec=Text()) as server,
        sealframe.connect(
            **TCP.target(server), **control_mode.client, on_request=malformed
        ) as client,
    ):
        await client.send(b"here")
        with pytest.raises(sealframe.ConnectionClosedError) as caught:
            await client.recv()
        assert caught.value.code == CloseCode.MALFORMED
    (record,) = complaints(caplog)
    assert (record.levelno, record.exc_info) == (logging.WARNING, None)


async def test_a_peer_that_answers_malformed_while_it_is_answered(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Its own fault: it is told so, and cannot fill the log."""

    async def ask_back(conn: Connection[Any, Any], request: str) -> Any:
        return await conn.request(request)

    async def malformed(_: Connection[Any, Any], request: bytes) -> bytes:
        return MALFORMED

    async def on_stream(stream: Stream) -> None:
        await stream.connection.request("what?")

    async with open_pair(
        Text(), on_request=ask_back, client_on_request=malformed, on_stream=on_stream
    ) as (client, _):
        with pytest.raises(RemoteError) as caught:
            await client.request(b"x")
        assert caught.value.type == "DecodeError"
        stream = await client.open_stream()
        with pytest.raises(sealframe.StreamResetError):
            await stream.read()
        await client.ping()
    assert complaints(caplog) == []


async def test_that_of_another_connection_is_the_programs_fault(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def malformed(_: Connection[Any, Any], request: bytes) -> bytes:
        return MALFORMED

    async with open_pair(None, Text(), on_request=malformed) as behind:

        async def forward(_: Connection[Any, Any], request: str) -> Any:
            return await behind.client.request(request)

        async def on_stream(stream: Stream) -> None:
            await behind.client.request("what?")

        async with open_pair(Text(), on_request=forward, on_stream=on_stream) as (client, _):
            with pytest.raises(RemoteError) as caught:
                await client.request(b"x")
            assert caught.value.type == "DecodeError"
            stream = await client.open_stream()
            with pytest.raises(sealframe.StreamResetError):
                await stream.read()
            await client.ping()
        await behind.client.ping()
    records = complaints(caplog)
    assert [record.name for record in records] == ["sealframe.requests", "sealframe.streams"]
    for record in records:
        assert record.exc_info is not None
        assert isinstance(record.exc_info[1], DecodeError)


# Cancellation, and what is no Exception


async def test_one_that_is_given_up_leaves_nothing() -> None:
    started = asyncio.Event()
    given_up: list[str] = []

    async def slow(_: Connection[Any, Any], request: str) -> str:
        if request == "fast":
            return request
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            given_up.append(request)
        raise AssertionError("it never ends by itself")

    options = ServerOptions(max_requests=1)
    async with open_pair(Text(), Text(), on_request=slow, options=options) as (client, _):
        asked = asyncio.create_task(client.request("cancelled"))
        await started.wait()
        # It waits for the one place, and gives it up.
        waiting = asyncio.create_task(client.request("waiting"))
        await asyncio.sleep(0)
        waiting.cancel()
        asked.cancel()
        await asyncio.wait([asked, waiting])
        assert asked.cancelled()
        assert waiting.cancelled()
        assert await client.request("fast") == "fast"
        with pytest.raises(RequestTimeoutError):
            await client.request("late", timeout=0.01)
        assert await client.request("fast") == "fast"
    assert given_up == ["cancelled", "late"]


@pytest.mark.parametrize(
    ("error", "expected"),
    [(LostError("lost"), RemoteError), (asyncio.CancelledError(), RequestCancelledError)],
    ids=["LostError", "CancelledError"],
)
@pytest.mark.parametrize("way", ["encoding", "decoding"])
async def test_a_codec_that_raises_what_is_no_exception(
    way: str, error: BaseException, expected: type[Exception], caplog: pytest.LogCaptureFixture
) -> None:
    codec = Raising(**{way: error})
    async with open_pair(codec) as (client, accepted):
        # Whoever asks has an answer all the same, and the place is free again.
        for _ in range(2):
            with pytest.raises(expected):
                await client.request(b"x")
        requests = protocol_of(accepted).open_channels().requests
        assert (requests.serving, requests.payload_bytes) == ({}, 0)
        logged = [record.exc_info[1] for record in caplog.records if record.exc_info]
        assert logged == ([error, error] if expected is RemoteError else [])
        with pytest.raises(type(error)):
            await accepted.request(b"x")
        setattr(codec, way, None)
        assert await client.request(b"x") == b"x"
        assert await accepted.request(b"x") == b"x"


# Codecs that use what uses them


async def test_a_codec_may_broadcast_and_send_its_client_away() -> None:
    """While it encodes: what comes of it is a clear error, and nobody hangs."""
    server: sealframe.Server[Any, Any]

    class Reentrant(Text):
        def encode(self, message: str, /) -> bytes:
            if message == "all":
                server.broadcast("broadcast")
            elif message == "kick":
                server.kick(*server.clients)
            return super().encode(message)

    asked: asyncio.Queue[object] = asyncio.Queue()

    async def handler(conn: Connection[Any, Any]) -> None:
        assert await conn.recv() == "here"
        assert await conn.request("all") == "all"
        with pytest.raises(sealframe.ConnectionClosed) as caught:
            await conn.request("kick")
        asked.put_nowait(caught.value)

    async with (
        asyncio.timeout(PATIENCE),
        sealframe.serve(handler, "127.0.0.1", 0, codec=Reentrant()) as server,
        sealframe.connect(
            **TCP.target(server), extended=True, codec=Text(), on_request=same
        ) as client,
    ):
        await client.send("here")
        assert await client.recv() == "broadcast"
        await asked.get()
        with pytest.raises(sealframe.ConnectionClosedError) as caught:
            await client.recv()
        assert caught.value.code == CloseCode.KICKED


# What is refused


async def test_where_only_packets_flow() -> None:
    async with open_pair(Text(), Text(), mode=Mode("packets")) as (client, accepted):
        for end in (client, accepted):
            with pytest.raises(NotSupportedError):
                await end.request("x")


async def test_another_thread_does_not_get_as_far_as_the_codec() -> None:
    async with open_pair(None, Raising(encoding=LostError())) as (client, _):

        async def ask() -> None:
            with pytest.raises(WrongLoopError):
                await client.request(b"x")

        await asyncio.to_thread(asyncio.run, ask())
