"""The next link of a session: taken over from the donor that has made it.

docs/PROTOCOL.md, section 12. What both ends have counted decides what is sent again, and what the
peer is told of credit decides what it may send; the rest of the connection goes on as it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ..core import joining
from ..core.channel_frames import ViolationError
from ..core.session import Session
from ..errors import ConnectionClosedError
from ..wire import CloseCode
from ..wire.control import Hello, SessionHello, SessionWelcome
from .link_change import LinkChange

if TYPE_CHECKING:
    from .absence import Absence
    from .connection_protocol import ConnectionProtocol
    from .session_protocol import SessionProtocol

_REPLACED: Final = "the client has come back over another connection"


class LinkSwitch:
    """Takes one connection from link to link.

    :ivar links: how many links there were, the present one included; 0 where a session was begun
        without one and has had none yet
    """

    __slots__ = ("_credit_told", "_protocol", "links")

    def __init__(self, protocol: SessionProtocol) -> None:
        self._protocol = protocol
        self.links = 1
        # Of the credit for messages, what HELLO or WELCOME of the present link said; all of it,
        # once no more is given.
        self._credit_told = 0

    # Credit for messages

    def first_credit(self) -> int:
        """Return the credit for messages with which a numbering begins; the peer is told it."""
        self._credit_told = self._protocol.machine.window
        return self._credit_told

    def credit(self) -> int:
        """Return all credit for messages that was given in this session; the peer is told it."""
        window = self._protocol.receiver.window
        if window is not None:
            self._credit_told = window.granted
        return self._credit_told

    # The next link

    def begin_detached(self, session: Session) -> None:
        """Client: begin a session without a link, as if it had lost one now."""
        protocol = self._protocol
        self.links = 0
        protocol.begin_absence()
        self.first_credit()
        joining.await_link(protocol.machine, session)
        protocol.closer.established()

    def resume(
        self,
        donor: ConnectionProtocol,
        peer: SessionHello | SessionWelcome,
        *,
        keep: int | None = None,
    ) -> float:
        """Go on over the link that another protocol has made.

        :param peer: what the peer's HELLO or WELCOME says of the session
        :param keep: on a server, the seconds that WELCOME tells
        :return: for how many seconds there was no link
        :raises ViolationError: the peer's counts contradict those of this end
        """
        protocol = self._protocol
        session, sender = protocol.session, protocol.sender
        assert session is not None
        replaced = protocol.transport is not None
        protocol.cut_off()
        if peer.numbering == session.numbering:
            sender.check_credit(peer.credit)
        session.resume(peer)
        without = self._without_link
        addresses = donor.remote_address, donor.local_address
        # Else the peer has read no WELCOME of this numbering, which begins for it.
        goes_on = peer.numbering == session.numbering
        welcome = None
        if keep is not None:
            welcome = session.welcome(
                keep=keep,
                credit=self.credit() if goes_on else self.first_credit(),
                taken=0 if goes_on else session.taken,
            )
        machine, transport = donor.surrender()
        joining.join(machine, session, welcome=welcome, before=protocol.machine)
        protocol.stats.add(donor.stats)
        absence = protocol.use_link(machine, transport, addresses)
        sender.take_link(peer.credit if goes_on else 0)
        window = protocol.receiver.window
        if window is not None and window.granted > self._credit_told:
            machine.give_credit(window.granted - self._credit_told)
        self._go_on(absence, without, replaced=replaced)
        return without

    def begin_anew(self, donor: ConnectionProtocol, hello: Hello, welcome: SessionWelcome) -> float:
        """Client: go on over the link that another protocol has made, with a server that has lost
        its memory. Messages that it has not taken are sent again; the rest cannot go on.

        :return: for how many seconds there was no link
        :raises ViolationError: what the server has taken contradicts what this end knows, or a
            message can never arrive there
        """
        protocol = self._protocol
        session, queue = protocol.session, protocol.sender.queue
        assert session is not None
        waiting = queue.take(queue.queued_bytes)
        try:
            waiting = session.begin_anew(welcome, waiting)
        finally:
            queue.extend(waiting)
        for place, message in enumerate(waiting, start=welcome.taken + 1):
            if len(message) > hello.max_frame:
                raise ViolationError(
                    f"message {place} of it has {len(message):,} bytes, and the server takes "
                    f"{hello.max_frame:,} now"
                )
        without = self._without_link
        addresses = donor.remote_address, donor.local_address
        if protocol.channels is not None:
            protocol.channels.end(_begun_anew())
            protocol.channels = None
        protocol.receiver.return_borrowed()
        machine, transport = donor.surrender()
        joining.join(machine, session)
        if hello.client_id:
            protocol.rename(hello.client_id)
        protocol.stats.add(donor.stats)
        protocol.sender.renew()
        protocol.closer.begin_numbering()
        absence = protocol.use_link(machine, transport, addresses)
        self.first_credit()
        protocol.handle_events()
        self._go_on(absence, without)
        return without

    @property
    def _without_link(self) -> float:
        absence = self._protocol.absence
        assert absence is not None
        return absence.duration

    def _go_on(self, absence: Absence, without: float, *, replaced: bool = False) -> None:
        protocol = self._protocol
        transport = protocol.transport
        self.links += 1
        if protocol.pings is not None:
            protocol.pings.begin_link()
            # Its answer counts for all that went over earlier links.
            protocol.queue_ping()
        protocol.closer.take_link()
        absence.end()
        if replaced:
            protocol.tell_link(LinkChange.lost(ConnectionClosedError(_REPLACED)))
        protocol.tell_link(LinkChange.resumed(without))
        # The program sends in on_link, and may find that this link is lost too.
        if protocol.transport is transport:
            protocol.take_in_held()


def _begun_anew() -> ConnectionClosedError:
    return ConnectionClosedError(
        "another server goes on with the session, or the server was started again or has lost it: "
        "what was under way of streams and requests cannot go on; the connection does",
        code=CloseCode.SESSION_LOST,
    )
