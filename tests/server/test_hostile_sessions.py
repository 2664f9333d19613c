"""Clients that abuse sessions: what they cost is bounded, and only they suffer."""

from __future__ import annotations

import pytest
from aio.ends import Mode
from aio.scripted import message, until

from sealframe import Connection
from sealframe.server.server import registry_of
from sealframe.wire import MAX_WINDOW, CloseCode, Opcode, control
from sealframe.wire.control import Close

from .thief import WINDOW, Thief, session_of, site, the_client

ANY_LOOP = True

pytestmark = pytest.mark.usefixtures("no_leaks")


class TestCounts:
    """What a client says of frames is compared with what it got and said before."""

    @pytest.mark.parametrize(
        "wrong",
        [
            {"received": 3},
            {"received": 2**64 - 1},
            {"received": 0, "acknowledged": 0},
            {"received": 2, "acknowledged": 0},
            {"received": 2, "acknowledged": 1, "credit": 2**63 + WINDOW},
            {"received": 2, "acknowledged": 1, "credit": WINDOW + MAX_WINDOW + 1},
            {"numbering": 77, "received": 2, "acknowledged": 1},
            {"numbering": 0},
        ],
        ids=str,
    )
    async def test_in_hello(self, control_mode: Mode, wrong: dict[str, int]) -> None:
        async with site(control_mode) as (server, thief):
            peer = await thief.join()
            conn = the_client(server)
            await peer.write(message(b"1") + message(b"2"))
            assert [await peer.read_message() for _ in range(2)] == [b"1", b"2"]
            await peer.write(control.ack(1))
            await until(lambda: session_of(conn).retention.acknowledged == 1)
            peer.raw.close()
            assert (await thief.is_refused(**wrong)).code == CloseCode.SESSION_LOST
            await until(lambda: conn.closed)
            assert (await thief.is_refused()).code == CloseCode.SESSION_LOST

    @pytest.mark.parametrize(
        "frame",
        [
            control.ack(3),
            control.ack(2**64 - 1),
            control.ack(2) + control.ack(1),
            control.frame(Opcode.ACK, bytes(7)),
            control.frame(Opcode.ACK, bytes(9)),
            control.frame(Opcode.ACK, bytes(60_000)),
            control.frame(Opcode.CREDIT, (0).to_bytes(4, "little")),
            control.frame(Opcode.CREDIT, MAX_WINDOW.to_bytes(4, "little")) * 2,
            control.frame(Opcode.CREDIT, bytes(8)),
            control.frame(Opcode.CLOSE, Close(0, "", 3).encode()),
            b"\xff\xff\xff\x7f",
            b"\x01\x00\x00\x80\x7e",
        ],
        ids=lambda frame: frame[:12].hex(),
    )
    async def test_in_frames_that_end_the_session(self, control_mode: Mode, frame: bytes) -> None:
        """Such a frame would come again over each link."""
        async with site(control_mode) as (server, thief):
            peer = await thief.join()
            conn = the_client(server)
            await peer.write(message(b"1") + message(b"2"))
            assert [await peer.read_message() for _ in range(2)] == [b"1", b"2"]
            await peer.write(frame)
            code = Close.decode(await peer.read_opcode(Opcode.CLOSE)).code
            assert code in (CloseCode.PROTOCOL, CloseCode.TOO_LARGE)
            peer.raw.close()
            await until(lambda: conn.closed)
            # Its CLOSE may have been lost with the link: the next says the same.
            assert (await thief.is_refused(received=2)).code == code

    async def test_a_million_acks(self, control_mode: Mode) -> None:
        async with site(control_mode) as (server, thief):
            peer, other = await thief.join(), await Thief(server, control_mode).join()
            await peer.write(message(b"1"))
            assert await peer.read_message() == b"1"
            for _ in range(50):
                await peer.write(control.ack(1) * 2000)
                await other.write(message(b"2"))
                assert await other.read_message() == b"2"
            await peer.write(message(b"3"))
            assert await peer.read_message() == b"3"
            peer.raw.close()
            other.raw.close()


class TestTheEnd:
    async def test_a_close_with_a_code_is_the_end_also_without_acks(
        self, control_mode: Mode
    ) -> None:
        async with site(control_mode, close_timeout=60.0) as (server, thief):
            peer = await thief.join()
            conn = the_client(server)
            await peer.write(message(b"1"))
            assert await peer.read_message() == b"1"
            await peer.write(control.frame(Opcode.CLOSE, Close(CloseCode.HANDLER).encode()))
            await until(lambda: conn.closed)
            peer.raw.close()
            assert (await thief.is_refused()).code == CloseCode.HANDLER

    async def test_what_the_client_did_not_get_is_no_success(self, control_mode: Mode) -> None:
        """The handler has returned, and nobody came for what it had sent."""

        async def handler(conn: Connection) -> None:
            await conn.send(b"1")

        async with site(control_mode, handler, close_timeout=0.05) as (server, thief):
            peer = await thief.join()
            assert await peer.read_message() == b"1"
            peer.raw.close()
            await until(lambda: not registry_of(server).connections)
            assert (await thief.is_refused()).code == CloseCode.SESSION_LOST
