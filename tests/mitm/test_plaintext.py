"""Plaintext before, with and after the handshake; a changed preamble; a forged CLOSE."""

from __future__ import annotations

import asyncio

import pytest
from aio.ends import PATIENCE

import sealframe
from sealframe import ClientOptions, CloseCode
from sealframe.wire import HEAD_SIZE, MAGIC, Opcode, control
from sealframe.wire.control import Close

from .credentials import CONTEXT
from .holder import HELLO, VERSION, WELCOME, message
from .middle import Tapped, Way, adding, carry, replacing
from .scene import BEFORE_WELCOME, Scene, harm_at

PLAINTEXT = {
    "a message": message(b"rm -rf /"),
    "an empty message": message(b""),
    "a message as long as a record": message(bytes(60)),
    "HELLO": HELLO,
    "WELCOME": WELCOME,
    "PING": control.frame(Opcode.PING, b"12345678"),
    "PAD": control.frame(Opcode.PAD, bytes(40)),
    "GOAWAY": control.frame(Opcode.GOAWAY, Close(CloseCode.GOING_AWAY, "restart").encode()),
    "CLOSE": control.frame(Opcode.CLOSE, Close().encode()),
    "an unknown frame that is skipped": control.frame(0x9F, b"?"),
    "HTTP": b"HTTP/1.1 200 OK\r\n\r\n",
}

EMPTY_HANDSHAKE = control.frame(Opcode.HANDSHAKE, MAGIC)


@pytest.mark.parametrize("way", Way)
async def test_plaintext_before_each_frame(attacked: Scene, way: Way) -> None:
    """Of the handshake, HELLO or WELCOME, the first messages."""
    credentials = attacked.credentials
    for at in range(credentials.handshakes(way) + 3):
        for data in (*PLAINTEXT.values(), EMPTY_HANDSHAKE):
            script = adding(way, at, before=data)
            await attacked.suffer(script, harm_at(credentials, way, at))


@pytest.mark.parametrize("way", Way)
async def test_plaintext_in_one_packet_with_the_handshake(attacked: Scene, way: Way) -> None:
    """Behind it, so that it may be read before the answer to it was sent."""
    for at in range(attacked.credentials.handshakes(way)):
        for data in (*PLAINTEXT.values(), EMPTY_HANDSHAKE):
            await attacked.suffer(adding(way, at, behind=data), BEFORE_WELCOME)


class TestPreamble:
    """What a client asks for stands in the clear, and in the prologue."""

    @pytest.mark.parametrize(
        ("place", "values", "reply"),
        [
            (HEAD_SIZE + 1, b"Se\0\xff", b""),
            (HEAD_SIZE + 8, b"n\0\xff", b""),
            (HEAD_SIZE + 9, b"\0\x02\xff", VERSION),
            (HEAD_SIZE + 10, b"\0\x04\xff", VERSION),
        ],
        ids=["magic", "end of the magic", "version", "pattern"],
    )
    async def test_changed(self, attacked: Scene, place: int, values: bytes, reply: bytes) -> None:
        for value in values:

            def script(
                tapped: Tapped, way: Way, number: int, frame: bytes, value: int = value
            ) -> bytes:
                if (way, number) != (Way.UP, 0) or frame[place] == value:
                    return frame
                tapped.faults += 1
                return frame[:place] + bytes((value,)) + frame[place + 1 :]

            if attacked.credentials.preamble[place - HEAD_SIZE - 1] == value:
                continue
            tapped, visit = await attacked.suffer(script, BEFORE_WELCOME)
            assert tapped.faults == 1
            assert tapped.sent(Way.DOWN) == reply
            assert visit.error is not None
            assert visit.error.code == (CloseCode.VERSION if reply else None)


def forged_close(code: int) -> bytes:
    """Return what a server in trouble would send in the clear."""
    return control.frame(Opcode.CLOSE, Close(code, "go away").encode())


class TestForgedClose:
    @pytest.mark.parametrize("at", [0, 1, 2])
    async def test_one_that_has_been_connected_comes_again(self, attacked: Scene, at: int) -> None:
        """In place of message 2, of WELCOME and of an answer; with each code there is."""
        codes = [*CloseCode, 4711]
        rounds = iter(codes)
        code: int | None = None

        def script(tapped: Tapped, way: Way, number: int, frame: bytes) -> bytes:
            nonlocal code
            if (way, number) != (Way.DOWN, at):
                return frame
            if code is None and len(attacked.middle.connections) == 1:
                return frame
            code = next(rounds, None)
            if code is None:
                attacked.middle.script = carry
                return frame
            tapped.finish(Way.UP)
            tapped.write(way, forged_close(code))
            return b""

        attacked.middle.script = script
        done = 0
        async with asyncio.timeout(PATIENCE):
            async for conn in sealframe.connect(
                **attacked.middle.address,
                security=attacked.credentials.client,
                context=CONTEXT,
                options=ClientOptions(backoff_initial=0.001, backoff_maximum=0.001),
            ):
                assert conn.sealed
                try:
                    await conn.send(b"question 0")
                    assert await conn.recv() == b"answer to question 0"
                except sealframe.ConnectionClosedError:
                    assert at == 2
                    continue
                await attacked.exchange()
                done += 1
                if done == 2:
                    break
        assert code is None
        connections = attacked.middle.connections
        # Before and after the forgeries, and once for each.
        assert len(connections) == len(codes) + 2
        for tapped in connections:
            assert tapped.sent(Way.UP)[HEAD_SIZE:].startswith(bytes((Opcode.HANDSHAKE,)) + MAGIC)

    async def test_one_that_has_not_been_connected_is_told(self, attacked: Scene) -> None:
        for code in CloseCode:
            script = replacing(Way.DOWN, 0, forged_close(code))
            tapped, visit = await attacked.suffer(script, BEFORE_WELCOME)
            assert visit.error is not None
            assert visit.error.code == code
            assert len(tapped.seen[Way.UP]) == 1
