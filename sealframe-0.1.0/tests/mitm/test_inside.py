"""One who holds the key and breaks the protocol inside the seal."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aio.ends import PATIENCE
from aio.scripted import listening

import sealframe
from sealframe import (
    CloseCode,
    ConnectionClosed,
    ConnectionClosedError,
    HandshakeError,
    ProtocolError,
)
from sealframe.wire import CONTROL_BIT, HEAD_SIZE, MAX_LENGTH, Control, Opcode, control
from sealframe.wire.control import Close, Hello

from .credentials import CONTEXT, Credentials
from .holder import HELLO, WELCOME, Holder, dialled, message
from .scene import QUESTIONS, Harm, Scene, answer

HANDSHAKE = control.frame(Opcode.HANDSHAKE, b"sealfram\x01\x01" + bytes(48))
CLOSE = control.frame(Opcode.CLOSE, Close().encode())
TWO_GIB = MAX_LENGTH.to_bytes(HEAD_SIZE, "little")
FIRST = message(QUESTIONS[0])

FORBIDDEN = {
    "HANDSHAKE": (HANDSHAKE, CloseCode.PROTOCOL),
    "HELLO": (HELLO, CloseCode.PROTOCOL),
    "WELCOME": (WELCOME, CloseCode.PROTOCOL),
    "2 GiB": (TWO_GIB + bytes(1000), CloseCode.TOO_LARGE),
    "a control frame without an opcode": (
        CONTROL_BIT.to_bytes(HEAD_SIZE, "little"),
        CloseCode.PROTOCOL,
    ),
    "a control frame over 65,536": (
        (65_537 | CONTROL_BIT).to_bytes(HEAD_SIZE, "little"),
        CloseCode.TOO_LARGE,
    ),
    "a long PING": (control.frame(Opcode.PING, bytes(9)), CloseCode.PROTOCOL),
    "a CLOSE without a code": (control.frame(Opcode.CLOSE), CloseCode.PROTOCOL),
    "unknown, bit 6": (control.frame(0x5F, b"?"), CloseCode.PROTOCOL),
    "unknown, bits 6 and 5": (control.frame(0x7F, b"?"), CloseCode.PROTOCOL),
    "unknown, bits 7 and 6": (control.frame(0xDF, b"?"), CloseCode.PROTOCOL),
    "unknown, all bits": (control.frame(0xFF), CloseCode.PROTOCOL),
}
"""Frames that end a connection, with the code that tells their sender so."""

BROKEN = Harm(ConnectionClosedError, ProtocolError, welcomed=True, questions=1)
NOT_INTRODUCED = Harm(HandshakeError, HandshakeError)


@asynccontextmanager
async def client_of(attacked: Scene, *, introduced: bool = True) -> AsyncIterator[Holder]:
    """Connect a scripted client that holds the key."""
    async with dialled(attacked.address) as raw:
        holder = Holder(raw, attacked.credentials, client=True)
        if introduced:
            await holder.introduce()
        else:
            await holder.shake_hands()
        yield holder


async def check_told(holder: Holder, code: CloseCode) -> None:
    """Check that what comes last is CLOSE with that code, and the end of the stream."""
    last = (await holder.read_to_end())[-1]
    assert isinstance(last, Control)
    assert last.opcode == Opcode.CLOSE
    assert Close.decode(last.body).code == code


@pytest.mark.parametrize("together", [False, True])
class TestAClient:
    async def test_sends_what_is_forbidden(self, attacked: Scene, together: bool) -> None:
        """What came before it is delivered, what comes after it is not."""
        for data, code in FORBIDDEN.values():
            first_error, first_call = attacked.begin()
            async with client_of(attacked) as holder:
                if together:
                    await holder.write(FIRST + data + message(b"too late"))
                else:
                    await holder.write(FIRST, data, message(b"too late"))
                await check_told(holder, code)
                holder.raw.close()
                await attacked.check_left_alone(BROKEN, first_error, first_call)

    async def test_does_not_begin_with_hello_alone(self, attacked: Scene, together: bool) -> None:
        for data in (
            FIRST,
            WELCOME,
            HANDSHAKE,
            CLOSE,
            control.frame(Opcode.PING),
            HELLO + FIRST,
            HELLO + HELLO,
            HELLO + b"\x01",
            HELLO[:-1],
            control.frame(Opcode.HELLO, b"sealfran" + Hello().encode()[8:]),
            control.frame(Opcode.HELLO, b"sealfram\x02"),
            TWO_GIB,
            b"",
        ):
            first_error, first_call = attacked.begin()
            async with client_of(attacked, introduced=False) as holder:
                if together:
                    # In one record, or in two that come together.
                    await holder.write(data, FIRST)
                else:
                    await holder.write(data)
                holder.raw.finish()
                await holder.raw.receive_to_end()
                await attacked.check_left_alone(NOT_INTRODUCED, first_error, first_call)


async def test_a_client_does_not_wait_for_welcome(attacked: Scene) -> None:
    """What follows HELLO in the same read would be under limits that it does not know."""
    for plaintext in (FIRST, control.frame(Opcode.PING), CLOSE, b""):
        first_error, first_call = attacked.begin()
        async with client_of(attacked, introduced=False) as holder:
            await holder.write(HELLO, plaintext)
            assert await holder.raw.receive_to_end() == b""
            holder.raw.close()
            await attacked.check_left_alone(NOT_INTRODUCED, first_error, first_call)


async def test_a_client_sends_an_empty_record(attacked: Scene) -> None:
    """It is authentic, and forbidden all the same; like a record that does not open it
    gets no answer."""
    first_error, first_call = attacked.begin()
    async with client_of(attacked) as holder:
        await holder.write(FIRST, b"", message(b"too late"))
        replies = await holder.read_to_end()
        assert replies in ([], [answer(QUESTIONS[0])])
        holder.raw.close()
        await attacked.check_left_alone(BROKEN, first_error, first_call)


async def test_a_client_sends_after_its_close(attacked: Scene) -> None:
    """All before CLOSE is delivered, so the handler ends as after any CLOSE."""
    for late in (message(b"too late"), control.frame(Opcode.PING), control.frame(0x9F), CLOSE):
        first_error, first_call = attacked.begin()
        async with client_of(attacked) as holder:
            await holder.write(FIRST + CLOSE + late)
            await check_told(holder, CloseCode.PROTOCOL)
            holder.raw.close()
            await attacked.check_left_clean(first_error, first_call, [QUESTIONS[0]])


async def test_a_client_sends_frames_of_unknown_kinds(attacked: Scene) -> None:
    """Those that may be skipped do no harm; those that must be answered are, once each."""
    first_error, first_call = attacked.begin()
    async with client_of(attacked) as holder:
        for opcode in (0x9F, 0xBF, 0x1F, 0x3F, 0x1F, 0x20):
            await holder.write(control.frame(opcode, b"0123456789"))
        await holder.write_all(control.frame(0x80, bytes(65_535)) * 20)
        await holder.write(FIRST + CLOSE)
        frames = await holder.read_to_end()
        unsupported = [
            Control(Opcode.UNSUPPORTED, bytes((opcode,)) + b"01234567")
            for opcode in (0x1F, 0x3F, 0x20)
        ]
        assert [frame for frame in frames if isinstance(frame, Control)][:-1] == unsupported
        assert [frame for frame in frames if isinstance(frame, bytes)] == [answer(QUESTIONS[0])]
        holder.raw.close()
        await attacked.check_left_clean(first_error, first_call, [QUESTIONS[0]])


async def test_a_client_floods_the_server_with_pings(attacked: Scene) -> None:
    """The others are served meanwhile, answers are dropped for newer ones, the last one comes."""
    pings = b"".join(control.frame(Opcode.PING, b"%08d" % number) for number in range(20_000))
    first_error, first_call = attacked.begin()
    async with client_of(attacked) as holder:
        flood = asyncio.create_task(holder.write_all(pings))
        while not flood.done():
            async with asyncio.timeout(PATIENCE):
                await attacked.exchange()
        await flood
        await holder.write(CLOSE)
        frames = await holder.read_to_end()
        assert len(frames) < 1000
        assert Control(Opcode.PONG, b"00019999") in frames
        holder.raw.close()
        await attacked.check_left_clean(first_error, first_call, [])


class TestAServer:
    """The same towards a client."""

    async def test_sends_what_is_forbidden(self, credentials: Credentials, no_leaks: None) -> None:
        for data, code in FORBIDDEN.values():
            async with listening() as listener:
                visiting = asyncio.create_task(_visit(credentials, listener.port))
                async with await listener.accept() as raw:
                    holder = Holder(raw, credentials, client=False)
                    await holder.introduce()
                    await holder.write(FIRST, data, message(b"too late"))
                    await check_told(holder, code)
                    raw.close()
                    messages, error = await visiting
            assert messages == [QUESTIONS[0]]
            assert type(error) is ProtocolError

    async def test_sends_an_empty_record(self, credentials: Credentials, no_leaks: None) -> None:
        async with listening() as listener:
            visiting = asyncio.create_task(_visit(credentials, listener.port))
            async with await listener.accept() as raw:
                holder = Holder(raw, credentials, client=False)
                await holder.introduce()
                await holder.write(FIRST, b"", message(b"too late"))
                assert await holder.read_to_end() == []
                messages, error = await visiting
        assert messages == [QUESTIONS[0]]
        assert type(error) is ProtocolError

    async def test_does_not_welcome(self, credentials: Credentials, no_leaks: None) -> None:
        malformed = control.frame(Opcode.CLOSE)
        for data in (
            FIRST,
            HELLO,
            HANDSHAKE,
            control.frame(Opcode.PING),
            TWO_GIB,
            malformed,
            b"",
        ):
            async with listening() as listener:
                visiting = asyncio.create_task(_visit(credentials, listener.port))
                async with await listener.accept() as raw:
                    holder = Holder(raw, credentials, client=False)
                    await holder.shake_hands()
                    await holder.write(data)
                    raw.finish()
                    await raw.receive_to_end()
                    messages, error = await visiting
            assert messages == []
            assert type(error) is HandshakeError, data


async def _visit(credentials: Credentials, port: int) -> tuple[list[bytes], ConnectionClosed]:
    """Connect, and return what came and how it ended."""
    messages: list[bytes] = []
    try:
        async with sealframe.connect(
            "127.0.0.1", port, security=credentials.client, context=CONTEXT
        ) as conn:
            async for data in conn:
                messages.append(data)  # noqa: PERF401 - those before an error count
    except ConnectionClosed as error:
        return messages, error
    raise AssertionError("it ended quietly")
