"""One attempt to make the next link of a session: the owner of a donor, and what became of it.

docs/PROTOCOL.md, section 12: which ends of an attempt cost the link alone, and which the session.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, TypeAlias

from ..aio.connection_owner import ConnectionOwner
from ..aio.connection_protocol import ConnectionProtocol
from ..aio.session_protocol import SessionProtocol
from ..core.channel_frames import ViolationError
from ..core.protocol import ProtocolMachine
from ..errors import ConnectionClosedError, HandshakeError
from ..trust.known_servers import ServerVerifier
from ..wire import CloseCode
from ..wire.control import Close, Hello, MalformedBodyError, SessionWelcome

_COMES_BACK: Final = frozenset({CloseCode.GOING_AWAY, CloseCode.BUSY})
"""With these a server only puts off."""
_FROM_ANYONE: Final = frozenset(
    {CloseCode.VERSION, CloseCode.REFUSED, CloseCode.PLAIN, CloseCode.SEALED}
)
"""What whatever stands there for the moment may say on a plain link, as a proxy of another kind."""


class OtherServerError(HandshakeError):
    """The server there has another key than the one with which the session began."""


class NextLink(ConnectionOwner):
    """The owner of a donor, until it has given its link away. No program sees a donor.

    :param protocol: the session
    :param attached: called when it takes the link over, with WELCOME's field 4 and the key that the
        server has proved
    """

    __slots__ = (
        "_attached",
        "_protocol",
        "done",
        "ended",
        "error",
        "refusal",
        "refused",
        "server_key",
    )

    def __init__(
        self, protocol: SessionProtocol, attached: Callable[[SessionWelcome, bytes], None]
    ) -> None:
        self._protocol = protocol
        self._attached = attached
        self.error: Exception
        """Why there is no link; not there before that."""
        self.ended: Close | None = None
        """How the session ended, where this server remembers it, and how much it had got."""
        self.done: asyncio.Future[float | None] = protocol.loop.create_future()
        """For how long there was no link; None where the session is over. It fails where there
        is no link."""
        self.refused = False
        """Whether this server never carries the session on, however often it is asked."""
        self.refusal: Close | None = None
        """The CLOSE that came in place of WELCOME."""
        self.server_key = b""
        """The key that the server has proved, where it has one."""

    @property
    def retry_after(self) -> int | None:
        """Milliseconds before which the server does not want to be asked again."""
        return None if self.refusal is None else self.refusal.retry_after

    def on_joining(self, protocol: ConnectionProtocol, hello: Hello) -> None:
        """The server knows the session: go on."""
        assert isinstance(protocol, SessionProtocol)
        session = self._protocol
        if not session.detached or not session.closer.may_go_on:
            # It was given up, or has a link: the server is not to wait for this one.
            self._finish(None)
            return
        assert session.session is not None
        code = CloseCode.PROTOCOL
        try:
            welcome = read_welcome(hello)
            code = CloseCode.SESSION_LOST
            # What came behind WELCOME is taken in at once, and may end the link.
            self._attached(welcome, _key_of(protocol.machine))
            if welcome.numbering == session.session.numbering:
                without = session.switch.resume(protocol, welcome)
            else:
                without = session.switch.begin_anew(protocol, hello, welcome)
        except (MalformedBodyError, ViolationError) as fault:
            text = f"the session cannot go on: {fault}"
            error = session.lost(text, code=code)
            # The answer to this failure is not one to another attempt.
            self._finish(None)
            protocol.refuse(Close(code), HandshakeError(text, code=code))
            session.end_session(error)
        else:
            self._finish(without)

    def on_failed(self, protocol: ConnectionProtocol, error: ConnectionClosedError) -> None:
        """There is no link; the server may say that the session is over."""
        if self.done.done():
            return
        machine = protocol.machine
        refusal = self.refusal = machine.refusal
        self.error = error
        self.server_key = _key_of(machine)
        # Before its first link it was another start of the program that has closed the session.
        begun = self._protocol.links > 0
        if begun and refusal is not None and refusal.code == CloseCode.NORMAL:
            if self._can_be(refusal.frames_received):
                self.ended = refusal
            # On a plain link whoever stands there may say what cannot be.
            self.refused = self.ended is not None or machine.sealed
        else:
            self.refused = isinstance(error, OtherServerError) or _is_final(machine, error)
            if begun and refusal is not None and self._can_be(refusal.frames_received):
                self.ended = refusal
        self.done.set_exception(error.fresh())

    def _can_be(self, received: int | None) -> bool:
        """Return whether a server that has the session can have received so many frames."""
        session = self._protocol.session
        assert session is not None
        retention = session.retention
        return received is not None and retention.acknowledged <= received <= retention.given

    def _finish(self, without: float | None) -> None:
        if not self.done.done():
            self.done.set_result(without)


def read_welcome(hello: Hello) -> SessionWelcome:
    """Return field 4 of WELCOME.

    :raises MalformedBodyError: of another form; or messages that came before it count, which this
        end has thrown away
    """
    welcome = SessionWelcome.decode(hello.session, hello.writers)
    if welcome.before:
        raise MalformedBodyError(
            f"{welcome.before} messages that came before it are to count, and none can here"
        )
    return welcome


def _key_of(machine: ProtocolMachine) -> bytes:
    return b"" if machine.records is None else machine.records.peer_key


def _is_final(machine: ProtocolMachine, error: ConnectionClosedError) -> bool:
    """Return whether the server has answered HELLO, and so that no further attempt helps."""
    refusal, code = machine.refusal, error.code
    if refusal is not None and refusal.frames_received is not None:
        # It remembers how the session ended.
        return True
    if not machine.hello_answered or code is None or code in _COMES_BACK:
        return False
    return machine.sealed or code not in _FROM_ANYONE


VerifyServerKey: TypeAlias = Callable[[bytes], HandshakeError | None]
"""Given the key that the server shows, returns why it is not the right one."""


def verify_same_key(verifier: ServerVerifier, server_key: bytes, name: str) -> VerifyServerKey:
    """Return what verifies the server's key for a further link of a session.

    :param server_key: with which the session began; empty where it has not begun
    :param name: of the server that is asked
    """
    if not server_key:
        return verifier.verify_server_key

    def verify(offered: bytes) -> HandshakeError | None:
        error = verifier.verify_server_key(offered)
        if error is None and offered != server_key:
            text = f"{name} has another key than the server with which the session began"
            return OtherServerError(text)
        return error

    return verify
