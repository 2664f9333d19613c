"""Messages that come together with the server's WELCOME, or before it, count as all others do."""

from __future__ import annotations

import asyncio

import pytest

import sealframe
from sealframe import ClientOptions, Connection
from sealframe.wire import MESSAGE_OVERHEAD, Control, Opcode, control
from sealframe.wire.control import Hello

from .ends import PATIENCE, Mode
from .scripted import Peer, listening, message

pytestmark = pytest.mark.usefixtures("no_leaks")

SIZE = 1000
WINDOW = 10 * SIZE


async def connect(port: int, mode: Mode) -> Connection:
    options = ClientOptions(inbox_limit=WINDOW)
    return await sealframe.connect("127.0.0.1", port, **mode.client, options=options)


@pytest.mark.parametrize("count", [7, 20])
@pytest.mark.parametrize("early", [0, 5, 20])
async def test_their_credit_is_given_back(control_mode: Mode, early: int, count: int) -> None:
    """Otherwise a server whose first messages came with WELCOME could never send again."""
    if early and control_mode.sealed:
        pytest.skip("a sealed server says WELCOME first")
    early = min(early, count)
    messages = message(bytes(SIZE))
    welcome = control.frame(Opcode.WELCOME, Hello(client_id="scripted", window=2**20).encode())
    async with asyncio.timeout(PATIENCE), listening() as listener:
        dialling = asyncio.create_task(connect(listener.port, control_mode))
        peer = Peer(await listener.accept(), control_mode, client=False)
        if control_mode.sealed:
            await peer.shake_hands()
        hello = await peer.read()
        assert isinstance(hello, Control)
        window = Hello.decode(hello.body).window
        assert window == WINDOW
        await peer.write(messages * early + welcome + messages * (count - early))
        conn = await dialling
        for _ in range(count):
            await conn.recv()
        given = 0
        while given < count * (SIZE + MESSAGE_OVERHEAD) - WINDOW // 2:
            given += int.from_bytes(await peer.read_opcode(Opcode.CREDIT), "little")
        assert given <= count * (SIZE + MESSAGE_OVERHEAD)
        await peer.say_end()
        await conn.close()
        peer.raw.close()
