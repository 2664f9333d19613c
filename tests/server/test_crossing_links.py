"""What comes of an old link of a session while the next one is made."""

from __future__ import annotations

import pytest
from aio.ends import Mode
from aio.scripted import message, until

from sealframe import Connection
from sealframe.aio.connection import protocol_of
from sealframe.wire import CloseCode, Opcode, control
from sealframe.wire.control import Close, SessionWelcome

from .thief import Thief, hello, site, the_client

pytestmark = pytest.mark.usefixtures("no_leaks")


class TestLinksThatCross:
    async def test_a_reset_in_the_turn_in_which_the_next_link_comes(
        self, control_mode: Mode
    ) -> None:
        """The loss of the old socket is told after the next link is there, and is not its own."""
        async with site(control_mode) as (server, _):
            for _ in range(10):
                thief = Thief(server, control_mode)
                old = await thief.join()
                new = await thief.dial()
                frames = hello(thief.hello())
                data = frames if new.records is None else b"".join(new.records.seal(frames))
                # The event loop finds both when it looks next.
                old.raw.reset()
                new.raw.sock.send(data)
                assert isinstance(await thief.answer(new), SessionWelcome)
                await new.write(message(b"still there"))
                assert await new.read_message() == b"still there"
                new.raw.close()

    async def test_a_late_hello_does_not_end_a_session_that_closes(
        self, control_mode: Mode
    ) -> None:
        async def handler(conn: Connection) -> None:
            await conn.recv()

        async with site(control_mode, handler) as (server, thief):
            peer = await thief.join()
            conn = the_client(server)
            await peer.write(message(b"go"))
            await peer.read_opcode(Opcode.CLOSE)
            assert (await thief.is_refused(link=1)).code == CloseCode.SUPERSEDED
            assert not conn.closed
            await peer.write(control.frame(Opcode.CLOSE, Close(0, "", 0).encode()))
            await until(lambda: conn.closed)
            assert protocol_of(conn).closer.clean
            peer.raw.close()
