"""A connection that outlives its sockets: one end of a session, over one link after the other.

docs/PROTOCOL.md, section 12, has the rules, :mod:`sealframe.core.session` the counts. A *link* is
a transport and the protocol machine of it. Each new one is made by a protocol of its own, the
*donor*, which shakes hands and then gives the link away: to itself where the session begins, else
to the protocol that has had the session from its beginning, with its queues, streams and requests.

Longer than other modules: what overrides a method of :class:`ConnectionProtocol` for one session
stands beside what it needs of the others.
"""

from __future__ import annotations

import asyncio
import os
from typing import Any, Final

from ..core import joining
from ..core.channel_frames import ViolationError
from ..core.closing import CloseState
from ..core.events import Phase
from ..core.protocol import ProtocolMachine
from ..core.session import Session
from ..core.taking import Taking
from ..errors import (
    ConnectionClosed,
    ConnectionClosedError,
    ConnectionClosedOK,
    NonceExhaustedError,
    NotSupportedError,
    PeerTimeoutError,
    SessionLostError,
    SlowPeerError,
    TruncatedError,
)
from ..wire import CloseCode
from ..wire.control import Close, Hello, SessionHello, SessionWelcome, close_name
from .connection_protocol import ConnectionProtocol, not_written
from .link_change import LinkChange
from .peer_handlers import OnBytes

ACK_DELAY: Final = 0.025
"""Seconds after a frame at which it is acknowledged at the latest."""

SILENCE: Final = 1.0
"""Seconds after which a plain client that has said nothing is served, as one of packets."""

# To look it up in its class, at each read, takes longer than to compare it.
_OPEN: Final = CloseState.OPEN
_DISCARD: Final = bytearray(64 * 1024)
_OVER: Final = ConnectionClosedError("the session is over")
_REPLACED: Final = "the client has come back over another connection"


class SessionProtocol(ConnectionProtocol):
    """What the event loop calls, on an end that has sessions."""

    __slots__ = ("_credit_told", "_links", "_lost_at", "_telling", "_timer", "_waiters")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # Until there is a session, for a client that says nothing; then for ACK.
        self._timer: asyncio.TimerHandle | None = None
        # Of the credit for messages, what HELLO or WELCOME of the present link said; all of it,
        # once no more is given.
        self._credit_told = 0
        # Those who wait for a link. In order; any one is removed in constant time.
        self._waiters: dict[asyncio.Future[None], None] | None = None
        # When the link was lost, by the event loop's clock.
        self._lost_at = 0.0
        # Set where the owner is about to be told that more waits, while there is no link.
        self._telling: asyncio.Handle | None = None
        self._links = 1

    @property
    def session(self) -> Session | None:
        """The counts, once it is known which session this is."""
        return self.machine.session

    @property
    def sent_count(self) -> int:
        """How many frames the peer has to have received once it has all."""
        session = self.session
        return super().sent_count if session is None else session.retention.given

    @property
    def messages_of_session(self) -> int:
        """On a server, how many messages of the client have come in all numberings together."""
        assert self.session is not None
        return self.session.taken + self.stats.messages_received

    @property
    def detached(self) -> bool:
        """Whether this is a session without a link, which may get another one."""
        return self.session is not None and self.transport is None and not self.closer.closed

    @property
    def links(self) -> int:
        """How many links there were, the present one included; 0 where a session was begun without
        one and has had none yet."""
        return self._links

    # Beginning

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start: the socket is open."""
        super().connection_made(transport)
        if self.machine.phase is Phase.FIRST:
            self._timer = self.loop.call_later(SILENCE, self._announce)

    def _announce(self) -> None:
        self._timer = None
        if self.transport is not None:
            joining.announce(self.machine)
            self.handle_events()
            self.sender.flush()

    def begin(self, session: Session, welcome: SessionWelcome | None = None) -> None:
        """Begin a session with the link that this protocol has.

        :param welcome: on a server, field 4 of WELCOME
        """
        self._stop_timer()
        self.first_credit()
        joining.join(self.machine, session, welcome=welcome)
        self.handle_events()
        self._release()

    def surrender(self) -> tuple[ProtocolMachine, asyncio.Transport]:
        """Give the open socket and what was read from it to the session."""
        self._stop_timer()
        return super().surrender()

    def refuse(self, close: Close, error: ConnectionClosedError) -> None:
        """Carry no session on over the link that this protocol has.

        :param close: goes to the peer in place of WELCOME
        """
        joining.refuse(self.machine, close, error)
        self.handle_events()

    def fail_protocol(self, text: str) -> None:
        """The peer broke a rule for sessions."""
        self.machine.fail_protocol(text)
        self.handle_events()

    def first_credit(self) -> int:
        """Return the credit for messages with which a numbering begins; the peer is told it."""
        self._credit_told = self.machine.window
        return self._credit_told

    def credit(self) -> int:
        """Return all credit for messages that was given in this session; the peer is told it."""
        window = self.receiver.window
        if window is not None:
            self._credit_told = window.granted
        return self._credit_told

    def end_credit(self) -> None:
        """Give no credit for messages any more: this end says CLOSE."""
        # The peer is told on each further link how much it was.
        self.credit()
        super().end_credit()

    def _release(self) -> None:
        messages = joining.release(self.machine)
        if messages:
            self.receiver.deliver(messages)
        self.handle_events()
        self.sender.flush()
        self._count(0)

    # Acknowledging

    def buffer_updated(self, nbytes: int) -> None:
        """Take in the bytes of one read."""
        super().buffer_updated(nbytes)
        if self.machine.session is not None:
            self._count(nbytes)

    def _count(self, nbytes: int) -> None:
        machine = self.machine
        session = machine.session
        if session is None or self.transport is None:
            return
        received = machine.frames_received
        if session.taking is not None and not session.frozen:
            session.taking.receive(self.stats.messages_received, received)
        due = session.read(nbytes, received)
        # As long as the timer runs, most reads need no more.
        if due or self._timer is None or self.closer.state is not _OPEN:
            self._acknowledge_soon(due=due)

    def _acknowledge_soon(self, *, due: bool) -> None:
        session, machine = self.session, self.machine
        if session is None or self.transport is None:
            return
        if due or self.closer.closing:
            self._send_ack()
        elif (
            self._timer is None and session.acknowledgeable(machine.frames_received) != session.told
        ):
            self._timer = self.loop.call_later(ACK_DELAY, self._acknowledge)

    def _acknowledge(self) -> None:
        self._timer = None
        if self.transport is not None:
            self._send_ack()

    def _send_ack(self) -> None:
        if self.closer.state is not CloseState.DISCONNECTING:
            self.machine.acknowledge()
            self.sender.flush()

    # What the program takes, where only that is acknowledged

    @property
    def taking(self) -> Taking:
        """What the program has taken.

        :raises NotSupportedError: messages are not counted here
        """
        session = self.session
        if session is None or session.taking is None:
            raise NotSupportedError(
                "the messages of this client have no numbers: have it connect with session=..."
            )
        return session.taking

    def note_taken(self, count: int, nbytes: int) -> None:
        """The program has got messages.

        :param nbytes: of these together
        """
        session = self.session
        if session is not None:
            session.take(count, nbytes)

    def finish_taken(self) -> None:
        """The program asks for the next message: those that it has got are finished."""
        session = self.session
        if session is not None and session.taking is not None:
            session.taking.finish()
            self.acknowledge_taken()

    def acknowledge_taken(self) -> None:
        """More may be acknowledged of what the program has taken."""
        session = self.session
        if session is not None:
            self._acknowledge_soon(due=session.take(0, 0))

    @property
    def on_message(self) -> OnBytes | None:
        """What is called with each message."""
        on_message = self.handlers.on_message
        session = self.session
        if on_message is None or session is None or session.taking is None:
            return on_message
        return self._call_counted

    def _call_counted(self, conn: Any, message: bytes) -> object:
        on_message = self.handlers.on_message
        assert on_message is not None
        self.note_taken(1, len(message))
        result = on_message(conn, message)
        self.finish_taken()
        return result

    # Losing a link

    def eof_received(self) -> bool:
        """Take in the peer's FIN."""
        if self._may_go_on and not self._ended_in_order:
            text = "the peer's stream ended without a CLOSE: it crashed, or the link was cut"
            self.lose_link(TruncatedError(text))
            return True
        if self._let_go:
            self._part()
            return True
        return super().eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is gone."""
        if self._may_go_on:
            why = f": {exc}" if exc is not None else ""
            error = TruncatedError(f"the connection was lost without a close{why}")
            error.__cause__ = exc
            self.lose_link(error)
        elif self._let_go:
            self._part()
        else:
            self._stop_timer()
            # What has arrived before has arrived, even if the socket did not end in order.
            done = self.closer.done and self.session is not None and self.sender.all_acknowledged
            super().connection_lost(None if done else exc)

    @property
    def _ended_in_order(self) -> bool:
        """Whether the end of the link is what the client of a session waits for: nothing that it
        has sent is without an answer."""
        close = self.closer.peer_close
        if close is None or not self.closer.awaiting_end:
            return False
        return self.sender.all_acknowledged or close.messages_discarded > 0

    @property
    def _let_go(self) -> bool:
        """Whether a server has said that it goes away: its client drops the link without a word,
        and looks for the next one (docs/PROTOCOL.md, section 12)."""
        close = self.closer.close_sent
        return (
            self.session is not None
            and not self.machine.client
            and self.closer.state is CloseState.CLOSE_SENT
            and close is not None
            and close.code == CloseCode.GOING_AWAY
        )

    def _part(self) -> None:
        self.cut_off()
        self.closer.peer_closed(Close(CloseCode.GOING_AWAY))
        if not self.closer.closed:
            self.finish(self.receiver.error or _OVER, lossy=not self.sender.all_sent)

    def socket_failed(self, number: int) -> None:
        """A write past the transport found that the socket has failed."""
        if self._may_go_on:
            cause = OSError(number, os.strerror(number))
            lost = TruncatedError(f"the connection was lost without a close: {cause}")
            lost.__cause__ = cause
            self.lose_link(lost)
        else:
            super().socket_failed(number)

    def output_failed(self, error: Exception, messages: int) -> None:
        """What was to be sent could not be framed or sealed: all that is kept goes over the next
        link, which has a key of its own."""
        if self.session is None:
            super().output_failed(error, messages)
        elif self._may_go_on and isinstance(error, NonceExhaustedError):
            self.lose_link(not_written(error))
        else:
            # It is not known whether that was kept.
            self.closer.abort(not_written(error))

    def fail(self, error: ConnectionClosedError, *, at_fin: bool = False) -> None:
        """The peer broke the protocol, or the link is at fault."""
        if self._may_go_on and not self.machine.answers_fault:
            self.lose_link(error)
        elif self.session is None:
            super().fail(error, at_fin=at_fin)
        else:
            lost = self.lost(str(error), code=error.code)
            lost.__cause__ = error
            super().fail(lost, at_fin=at_fin)

    def give_up(self, error: PeerTimeoutError) -> None:
        """The peer gives no sign of life: drop the link."""
        if self._may_go_on:
            self.lose_link(error)
        else:
            super().give_up(error)

    def peer_closed(self, close: Close | None, *, unanswered: bool) -> None:
        """CLOSE came: a server that goes away ends the link of a client, and no more."""
        going = close is not None and close.code == CloseCode.GOING_AWAY
        if going and self.machine.client and self._may_go_on:
            assert close is not None
            # It may say when to come back.
            self.closer.peer_announced = close
            text = f"the peer closed the connection ({close_name(close.code)})"
            text += f": {close.reason}" if close.reason else ""
            self.lose_link(ConnectionClosedError(text, code=close.code, reason=close.reason))
        else:
            # Where this end waits for nothing else, nothing is written after this.
            self._count(0)
            super().peer_closed(close, unanswered=unanswered)

    def receive_for_nobody(self) -> None:
        """This end closes, and nobody is left who would take messages: acknowledge none of those
        that still come."""
        if self.session is None:
            super().receive_for_nobody()
        else:
            self.receiver.discard()

    @property
    def discarded(self) -> int:
        """How many messages CLOSE says that this end has thrown away."""
        return super().discarded if self.session is None else self.session.dropped

    @property
    def unread(self) -> int:
        """How many messages wait for the program that are acknowledged."""
        session = self.session
        # What the program has not taken is not acknowledged, where only that is.
        return 0 if session is not None and session.taking is not None else super().unread

    @property
    def _may_go_on(self) -> bool:
        return self.session is not None and self.closer.may_go_on

    def lose_link(self, error: ConnectionClosedError) -> None:
        """Cut the link off: no byte of it is taken in any more, and nothing is written to it.

        :param error: why
        """
        if self.transport is None:
            # It is cut off already: a write failed, and the same read had a fault behind it.
            return
        if self.trace is not None:
            self.trace("link lost: %s", error)
        self.cut_off()
        assert self._owner is not None
        # Before the owner, which may have to end the session.
        self._owner.on_link_changed(self, LinkChange.lost(error))
        self._owner.on_link_lost(self, error)

    def cut_off(self) -> None:
        """Drop the link, if there is one, without a word to the peer."""
        transport = self.transport
        if transport is None:
            return
        self._addresses = self.look_up_addresses()
        self._lost_at = self.loop.time()
        self.machine.leave()
        self.transport = None
        self.sender.lose_link()
        self._stop_timer()
        if self.keepalive is not None:
            self.keepalive.stop()
        # What the event loop has read, or reads yet, must not come here, nor the loss of a socket
        # that failed in this turn: by then there may be the next link.
        transport.set_protocol(_Deaf())
        if not transport.is_closing():
            transport.abort()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # Getting the next one

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
        session = self.session
        assert session is not None
        replaced = self.transport is not None
        self.cut_off()
        if peer.numbering == session.numbering:
            self.sender.check_credit(peer.credit)
        session.resume(peer)
        without = self.loop.time() - self._lost_at
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
        joining.join(machine, session, welcome=welcome, before=self.machine)
        self.stats.add(donor.stats)
        self._addresses = addresses
        self._use(machine, transport)
        self.sender.take_link(peer.credit if goes_on else 0)
        window = self.receiver.window
        if window is not None and window.granted > self._credit_told:
            machine.give_credit(window.granted - self._credit_told)
        self._go_on(without, replaced=replaced)
        return without

    def begin_anew(self, donor: ConnectionProtocol, hello: Hello, welcome: SessionWelcome) -> float:
        """Client: go on over the link that another protocol has made, with a server that has lost
        its memory. Messages that it has not taken are sent again; the rest cannot go on.

        :return: for how many seconds there was no link
        :raises ViolationError: what the server has taken contradicts what this end knows, or a
            message can never arrive there
        """
        session, queue = self.session, self.sender.queue
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
        without = self.loop.time() - self._lost_at
        addresses = donor.remote_address, donor.local_address
        if self.channels is not None:
            self.channels.end(_begun_anew())
            self.channels = None
        self.receiver.return_borrowed()
        machine, transport = donor.surrender()
        joining.join(machine, session)
        if hello.client_id:
            self.rename(hello.client_id)
        self.stats.add(donor.stats)
        self._addresses = addresses
        self.sender.renew()
        self.closer.begin_numbering()
        self._use(machine, transport)
        self.first_credit()
        self.handle_events()
        self._go_on(without)
        return without

    def _use(self, machine: ProtocolMachine, transport: asyncio.Transport) -> None:
        machine.trace = self.trace
        self.machine, self.transport = machine, transport
        transport.set_protocol(self)
        self.receiver.take_link(transport)
        if self.keepalive is not None and not self.closer.write_closed:
            self.keepalive.restart()
            self.keepalive.start()

    def _go_on(self, without: float, *, replaced: bool = False) -> None:
        transport = self.transport
        self._links += 1
        if self.pings is not None:
            self.pings.begin_link()
            # Its answer counts for all that went over earlier links.
            self.queue_ping()
        self.closer.take_link()
        self._wake()
        assert self._owner is not None
        if replaced:
            self._owner.on_link_changed(self, LinkChange.lost(ConnectionClosedError(_REPLACED)))
        self._owner.on_link_changed(self, LinkChange.resumed(without))
        # The program sends in on_link, and may find that this link is lost too.
        if self.transport is transport:
            self._release()

    def queue_ping(self) -> bytes:
        """Have PING go out with what is written next; return its body.

        Without a link none is queued: the next one begins with a PING, and its answer counts for
        all before it.
        """
        if self.pings is None or not self._links or not self.detached:
            return super().queue_ping()
        return self.pings.next_body()

    def begin_detached(self, session: Session) -> None:
        """Client: begin a session without a link, as if it had lost one now."""
        self._links = 0
        self._lost_at = self.loop.time()
        self.first_credit()
        joining.await_link(self.machine, session)
        self.closer.established()

    async def wait_attached(self) -> None:
        """Wait for a link, where there is none.

        :raises ConnectionClosed: there will be none
        """
        while self.detached:
            waiter = self.loop.create_future()
            if self._waiters is None:
                self._waiters = {}
            self._waiters[waiter] = None
            try:
                await waiter
            except asyncio.CancelledError:
                if self._waiters is not None:
                    self._waiters.pop(waiter, None)
                raise
        await super().wait_attached()

    def _wake(self) -> None:
        waiters, self._waiters = self._waiters, None
        for waiter in waiters or ():
            if not waiter.done():
                waiter.set_result(None)

    # The end

    def ended(self, text: str, *, code: int | None, reason: str) -> ConnectionClosedError:
        """Return the error of a session that the peer has ended, not in order."""
        if self.session is None:
            return super().ended(text, code=code, reason=reason)
        return self.lost(text, code=code, reason=reason)

    def lost(self, text: str, *, code: int | None = None, reason: str = "") -> SessionLostError:
        """Return the error of a session that is over: what has arrived, and what has not."""
        lost = SessionLostError(text, code=code, reason=reason)
        self._count_fates(lost)
        return lost

    def _count_fates(self, lost: SessionLostError) -> None:
        assert self.session is not None
        # What was dropped of the send queue was accepted too.
        queued = len(self.sender.queue) + self.stats.unsent
        arrived, lost.unknown, lost.unsent = self.session.fates(queued)
        # A server that goes away throws away what its handlers have not taken: with the session's
        # last link it has said how much.
        close = self.closer.peer_close or self.closer.peer_announced
        discarded = 0 if close is None else min(close.messages_discarded, arrived)
        lost.arrived, lost.discarded = arrived - discarded, discarded

    def end_error(self, error: ConnectionClosed, *, sends_on: bool) -> ConnectionClosed:
        """Return what the program is told where this is why the session ends: one kind of error,
        with the counts.

        :param sends_on: whether what was accepted is still sent, and so may arrive
        """
        session = self.session
        if session is None or not isinstance(error, ConnectionClosedError):
            return error
        if isinstance(error, SessionLostError) or session.lasts:
            return error
        code = CloseCode.SLOW if isinstance(error, SlowPeerError) else error.code
        lost = self.lost(str(error), code=code, reason=error.reason)
        lost.__cause__ = error
        if sends_on and self.transport is not None:
            dropped = self.stats.unsent
            lost.unknown, lost.unsent = lost.unknown + lost.unsent - dropped, dropped
        return lost

    def drop(self) -> None:
        """The client asks for a further link, and the close is too far on for one: end."""
        self.cut_off()
        if not self.closer.closed:
            self.finish(self.receiver.error or _OVER, lossy=not self.sender.all_sent)

    def end_session(self, error: ConnectionClosedError) -> None:
        """There will be no further link: the session is over."""
        if not self.closer.closed:
            self.finish(error, lossy=True)

    def end_answered(self, close: Close) -> None:
        """There is no link, and the server says that the session ended before: its CLOSE was lost
        with the last one.

        :param close: that CLOSE
        """
        assert self.session is not None
        retention = self.session.retention
        received = close.frames_received or 0
        if retention.acknowledged <= received <= retention.given:
            retention.rewind(received)
            retention.acknowledge(received)
        if close.code == CloseCode.NORMAL:
            self.closer.peer_closed(close)
        else:
            self.closer.peer_close = close
            text = f"the session is over: the server has ended it ({close_name(close.code)})"
            self.end_session(self.lost(text, code=close.code))
        if not self.closer.closed:
            lossy = not self.sender.all_sent or not self.sender.all_acknowledged
            self.finish(self.receiver.error or _OVER, lossy=lossy)

    def queued_detached(self) -> None:
        """Something waits to be sent, and there is no link."""
        if self._telling is None and self.detached:
            # Once for all that is queued in this turn.
            self._telling = self.loop.call_soon(self._tell_queued)

    def _tell_queued(self) -> None:
        self._telling = None
        if self.detached and self._owner is not None:
            self._owner.on_queued(self)

    def end_detached(self) -> None:
        """The close has come to its end, and there is no link."""
        if self.detached:
            # Not within a transition of the close, which goes on after this.
            self.loop.call_soon(self._end_detached)

    def _end_detached(self) -> None:
        if self.detached:
            error: ConnectionClosed = self.receiver.error or _OVER
            self.finish(error, lossy=True)

    def finish(self, error: ConnectionClosed, *, lossy: bool) -> None:
        """End: there will be no further link."""
        self._stop_timer()
        session = self.session
        if session is not None:
            error = self._verdict(error)
            lossy = lossy or not session.complete
        super().finish(error, lossy=lossy)
        if isinstance(error, SessionLostError):
            # It says more than that the server has closed.
            self.sender.error = error
        self._wake()

    def _verdict(self, error: ConnectionClosed) -> ConnectionClosed:
        """Return the error of a session that is over, now that it is known what has arrived.

        :param error: what is known of the last link
        """
        told, close = self.receiver.error, self.closer.peer_close
        if told is None and close is not None and close.code == CloseCode.NORMAL:
            # A server has closed, and had not got all by then.
            text = f"the peer closed the connection ({close_name(close.code)})"
            text += f": {close.reason}" if close.reason else ""
            if self.sender.all_acknowledged:
                return ConnectionClosedOK(text, code=close.code, reason=close.reason)
            text += "; not all that was sent has arrived"
            return self.lost(text, code=close.code, reason=close.reason)
        if isinstance(told, SessionLostError):
            self._count_fates(told)
            return told
        if isinstance(told, ConnectionClosedOK) and self._ended_unacknowledged:
            # The peer's end was in order, and this end's was not.
            text = "the peer closed the connection, and has not taken all that was sent after that"
            self.receiver.error = error = self.lost(text)
        return error

    @property
    def _ended_unacknowledged(self) -> bool:
        """Whether both ends have closed with code 0, and not all that was sent is known to have
        arrived; what an outbox keeps is sent by the next start."""
        session = self.session
        assert session is not None
        if session.lasts or (self.sender.all_acknowledged and not self.stats.unsent):
            return False
        closes = (self.closer.close_sent, self.closer.peer_close)
        return all(close is not None and close.code == CloseCode.NORMAL for close in closes)


def _begun_anew() -> ConnectionClosedError:
    return ConnectionClosedError(
        "the server was started again, or has lost the session: what was under way of streams and "
        "requests cannot go on; the connection does",
        code=CloseCode.SESSION_LOST,
    )


class _Deaf(asyncio.BufferedProtocol):
    """In place of the protocol of a link that was cut off."""

    def get_buffer(self, sizehint: int) -> bytearray:
        """Return where it goes, for nobody."""
        return _DISCARD

    def buffer_updated(self, nbytes: int) -> None:
        """Ignore it."""
