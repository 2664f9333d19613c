"""Peers of a session that say in HELLO and WELCOME what a test tells them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sealframe import Server
from sealframe.wire import MESSAGE_OVERHEAD, SESSION_TOKEN_SIZE, Control, Opcode, control
from sealframe.wire.control import Hello, SessionHello, SessionWelcome

from .ends import Mode
from .scripted import Peer, Raw, ScriptedListener

WINDOW = 65536
"""Cost of the messages that a scripted peer takes at first."""
TOKEN = bytes(range(1, SESSION_TOKEN_SIZE + 1))
EXTENDED = Mode("extended")


def cost(*messages: bytes) -> int:
    """Return what messages count in a window."""
    return sum(len(message) + MESSAGE_OVERHEAD for message in messages)


def ack(number: int) -> bytes:
    """Return an ACK."""
    return control.ack(number)


@dataclass
class SessionServer:
    """A scripted server that has one client, on one link after the other."""

    listener: ScriptedListener
    mode: Mode = EXTENDED

    async def accept(self, **settings: Any) -> tuple[Peer, SessionHello]:
        """Take the next link, up to its HELLO.

        :param settings: of the peer, which :meth:`welcome` says
        """
        peer = Peer(await self.listener.accept(), self.mode, client=False)
        if self.mode.sealed:
            await peer.shake_hands()
        frame = await peer.read()
        assert isinstance(frame, Control)
        assert frame.opcode == Opcode.HELLO
        return peer, SessionHello.decode(Hello.decode(frame.body).session)


async def welcome(
    peer: Peer,
    numbering: int,
    *,
    received: int = 0,
    acknowledged: int = 0,
    credit: int = WINDOW,
    taken: int = 0,
    ack_by: int = 65536,
    **settings: Any,
) -> None:
    """Say WELCOME.

    :param settings: fields of :class:`Hello`
    """
    session = SessionWelcome(
        numbering=numbering,
        received=received,
        acknowledged=acknowledged,
        credit=credit,
        taken=taken,
        keep=60,
        ack_by=ack_by,
        before=0,
    )
    settings.setdefault("max_streams", 8)
    settings.setdefault("max_requests", 8)
    settings.setdefault("window", credit)
    body = Hello(session=session.encode(), **settings).encode()
    await peer.write(control.frame(Opcode.WELCOME, body))


async def say_hello(
    server: Server[Any, Any],
    *,
    token: bytes = TOKEN,
    start: int = 1,
    link: int = 1,
    numbering: int = 0,
    received: int = 0,
    acknowledged: int = 0,
    credit: int = WINDOW,
    ack_by: int = 65536,
    known: bool = False,
    mode: Mode = EXTENDED,
    writers: bytes = b"",
) -> Peer:
    """Connect a scripted client, and say HELLO with a session.

    :param writers: field 14 of HELLO
    """
    peer = Peer(await Raw.dial(server.port), mode, client=True)
    if mode.sealed:
        await peer.shake_hands()
    session = SessionHello(
        token=token,
        start=start,
        link=link,
        numbering=numbering,
        received=received,
        acknowledged=acknowledged,
        credit=credit,
        ack_by=ack_by,
        known=known,
    )
    hello = Hello(
        session=session.encode(), window=WINDOW, max_streams=8, max_requests=8, writers=writers
    )
    await peer.write(control.frame(Opcode.HELLO, hello.encode()))
    return peer


async def read_welcome(peer: Peer) -> SessionWelcome:
    """Return what WELCOME says of the session."""
    frame = await peer.read()
    assert isinstance(frame, Control), frame
    assert frame.opcode == Opcode.WELCOME, frame
    peer.welcome = Hello.decode(frame.body)
    return SessionWelcome.decode(peer.welcome.session)


async def read_message(peer: Peer) -> bytes:
    """Return the next message; skip control frames."""
    while True:
        frame = await peer.read()
        assert frame is not None, "the stream ended without a message"
        if isinstance(frame, bytes):
            return frame


async def gone(peer: Peer) -> int:
    """Return the code of the CLOSE in place of WELCOME."""
    close = await peer.read_close()
    peer.raw.close()
    return close.code
