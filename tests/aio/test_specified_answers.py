"""What docs/PROTOCOL.md says an end answers on the wire, where no other test looks at the bytes."""

from __future__ import annotations

import asyncio
import struct

import pytest

from sealframe import Connection, ConnectionClosedError, ProtocolError
from sealframe.aio.connection import protocol_of
from sealframe.wire import CloseCode, Control, FailureCode, Opcode, StreamKind, control
from sealframe.wire.control import Close, Hello

from .ends import PATIENCE, Api, Mode, Services, receive
from .scripted import Peer, Role, close_frame, facing, message

ANY_LOOP = True

pytestmark = pytest.mark.usefixtures("no_leaks")

LIMIT = 1000
HELLO = Hello(max_requests=8, max_streams=8)


async def answer(_: Connection, payload: bytes) -> bytes:
    return payload


SERVING: Services = {"on_request": answer}


async def failure(peer: Peer) -> int:
    """Return the code of the next FAILURE."""
    return (await peer.read_opcode(Opcode.FAILURE))[8]


class TestARequestOverTheLimit:
    """Section 9: it is answered, and the connection goes on."""

    async def test_in_one_frame(self, control_mode: Mode, role: Role) -> None:
        async with facing(
            role, control_mode, hello=HELLO, serving=SERVING, max_message_size=LIMIT
        ) as (_, peer):
            over = control.frame(Opcode.REQUEST, bytes(8) + bytes(LIMIT + 1))
            exact = control.frame(Opcode.REQUEST, struct.pack("<Q", 1) + bytes(LIMIT))
            await peer.write(over + exact)
            assert await failure(peer) == FailureCode.TOO_LARGE
            assert len(await peer.read_opcode(Opcode.REPLY)) == 8 + LIMIT

    async def test_on_a_stream(self, control_mode: Mode, role: Role) -> None:
        number = struct.pack("<Q", 0 if role == "server" else 1)
        async with facing(
            role, control_mode, hello=HELLO, serving=SERVING, max_message_size=LIMIT
        ) as (_, peer):
            opened = number + struct.pack("<BI", StreamKind.REQUEST, 0) + bytes(8)
            body = control.frame(Opcode.STREAM_OPEN, opened)
            body += control.frame(Opcode.STREAM_DATA, number + bytes(LIMIT + 1))
            await peer.write(body)
            seen: dict[int, bytes] = {}
            while len(seen) < 2:
                frame = await peer.read()
                assert isinstance(frame, Control)
                if frame.opcode in (Opcode.STREAM_RESET, Opcode.FAILURE):
                    seen[frame.opcode] = frame.body
            assert seen[Opcode.STREAM_RESET][8:10] == b"\x10\0"
            assert seen[Opcode.FAILURE][8] == FailureCode.TOO_LARGE
            await peer.write(control.frame(Opcode.REQUEST, struct.pack("<Q", 1) + b"?"))
            assert (await peer.read_opcode(Opcode.REPLY))[8:] == b"?"


class TestAfterAnError:
    """Sections 5 and 12: the stream of who found it ends at once, and is read on."""

    async def test_who_found_it_ends_its_stream(
        self, control_mode: Mode, role: Role, api: Api
    ) -> None:
        async with facing(role, control_mode, api=api) as (conn, peer):
            await peer.write(control.frame(Opcode.PING, bytes(9)))
            assert (await peer.read_close()).code == CloseCode.PROTOCOL
            # This peer has closed nothing yet.
            assert await peer.read() is None
            assert protocol_of(conn).transport is not None
            await peer.write(message(bytes(100_000)))
            with pytest.raises(ProtocolError):
                await receive(conn)

    async def test_who_is_told_answers_and_closes(
        self, control_mode: Mode, role: Role, api: Api
    ) -> None:
        """The end of the stream behind CLOSE is no truncation."""
        async with facing(role, control_mode, api=api) as (conn, peer):
            await peer.write(close_frame(CloseCode.PROTOCOL, "because"))
            peer.raw.finish()
            async with asyncio.timeout(PATIENCE):
                with pytest.raises(ConnectionClosedError, match="because") as caught:
                    await receive(conn)
                assert caught.value.code == CloseCode.PROTOCOL
                assert await peer.read_close() == Close(CloseCode.NORMAL, frames_received=0)
                assert await peer.read() is None
                await conn.wait_closed()
