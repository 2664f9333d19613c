"""What one end of a session acknowledges to the other, and when: ACK and its timer.

docs/PROTOCOL.md, section 12; the counts are those of :mod:`sealframe.core.session`. Where only what
the program takes is acknowledged, whoever hands messages to the program tells it here.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from ..core.closing import CloseState
from ..core.taking import Taking
from ..errors import NotSupportedError

if TYPE_CHECKING:
    from .session_protocol import SessionProtocol

ACK_DELAY: Final = 0.025
"""Seconds after a frame at which it is acknowledged at the latest."""

# To look it up in its class, at each read, takes longer than to compare it.
_OPEN: Final = CloseState.OPEN


class Acknowledger:
    """That of one connection; it has nothing to say while there is no session, or no link."""

    __slots__ = ("_protocol", "_timer")

    def __init__(self, protocol: SessionProtocol) -> None:
        self._protocol = protocol
        self._timer: asyncio.TimerHandle | None = None

    def count(self, nbytes: int) -> None:
        """Count what a read has brought; acknowledge it now, or within :data:`ACK_DELAY`.

        :param nbytes: bytes of the link
        """
        protocol = self._protocol
        machine = protocol.machine
        session = machine.session
        if session is None or protocol.transport is None:
            return
        received = machine.frames_received
        if session.taking is not None and not session.frozen:
            session.taking.receive(protocol.stats.messages_received, received)
        due = session.read(nbytes, received)
        # As long as the timer runs, most reads need no more.
        if due or self._timer is None or protocol.closer.state is not _OPEN:
            self._acknowledge_soon(due=due)

    def stop(self) -> None:
        """There is no link, or no session any more: acknowledge nothing."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _acknowledge_soon(self, *, due: bool) -> None:
        protocol = self._protocol
        machine = protocol.machine
        session = machine.session
        if session is None or protocol.transport is None:
            return
        if due or protocol.closer.closing:
            self._send()
        elif (
            self._timer is None and session.acknowledgeable(machine.frames_received) != session.told
        ):
            self._timer = protocol.loop.call_later(ACK_DELAY, self._expire)

    def _expire(self) -> None:
        self._timer = None
        if self._protocol.transport is not None:
            self._send()

    def _send(self) -> None:
        protocol = self._protocol
        if protocol.closer.state is not CloseState.DISCONNECTING:
            protocol.machine.acknowledge()
            protocol.sender.flush()

    # What the program takes, where only that is acknowledged

    @property
    def taking(self) -> Taking:
        """What the program has taken.

        :raises NotSupportedError: messages are not counted here
        """
        session = self._protocol.session
        if session is None or session.taking is None:
            raise NotSupportedError(
                "the messages of this client have no numbers: have it connect with session=..."
            )
        return session.taking

    def note_taken(self, count: int, nbytes: int) -> None:
        """The program has got messages.

        :param nbytes: of these together
        """
        session = self._protocol.machine.session
        if session is not None:
            session.take(count, nbytes)

    def finish_taken(self) -> None:
        """The program asks for the next message: those that it has got are finished."""
        session = self._protocol.machine.session
        if session is not None and session.taking is not None:
            session.taking.finish()
            self.acknowledge_taken()

    def acknowledge_taken(self) -> None:
        """More may be acknowledged of what the program has taken."""
        session = self._protocol.machine.session
        if session is not None:
            self._acknowledge_soon(due=session.take(0, 0))

    def call_counted(self, conn: Any, message: bytes) -> object:
        """Call ``on_message``: the program takes a message, and has finished it at once."""
        on_message = self._protocol.handlers.on_message
        assert on_message is not None
        self.note_taken(1, len(message))
        result = on_message(conn, message)
        self.finish_taken()
        return result
