"""A connection that outlives its sockets: one end of a session, over one link after the other.

docs/PROTOCOL.md, section 12, has the rules, :mod:`sealframe.core.session` the counts. A *link* is
a transport and the protocol machine of it. Each new one is made by a protocol of its own, the
*donor*, which shakes hands and then gives the link away: to itself where the session begins, else
to the protocol that has had the session from its beginning, with its queues, streams and requests.

What a session adds to the parts of a connection:

- :class:`.acknowledger.Acknowledger`: what is acknowledged, and when
- :class:`.link_switch.LinkSwitch`: the next link, taken over from a donor
- :class:`.absence.Absence`: while there is no link
- :mod:`.session_end`: what the program is told at the end
"""

from __future__ import annotations

import asyncio
import os
from typing import Any, Final

from ..core import joining
from ..core.closing import CloseState
from ..core.events import Phase
from ..core.protocol import ProtocolMachine
from ..core.session import Session
from ..errors import (
    ConnectionClosed,
    ConnectionClosedError,
    NonceExhaustedError,
    PeerTimeoutError,
    SessionLostError,
    SlowPeerError,
    TruncatedError,
)
from ..wire import CloseCode
from ..wire.control import Close, SessionWelcome, close_name
from . import session_end
from .absence import Absence
from .acknowledger import Acknowledger
from .addresses import Address
from .connection_protocol import ConnectionProtocol, not_written
from .link_change import LinkChange
from .link_switch import LinkSwitch
from .peer_handlers import OnBytes

SILENCE: Final = 1.0
"""Seconds after which a plain client that has said nothing is served, as one of packets."""

_DISCARD: Final = bytearray(64 * 1024)
_OVER: Final = ConnectionClosedError("the session is over")


class SessionProtocol(ConnectionProtocol):
    """What the event loop calls, on an end that has sessions."""

    __slots__ = ("_silence", "absence", "acknowledger", "switch")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.acknowledger = Acknowledger(self)
        self.switch = LinkSwitch(self)
        self.absence: Absence | None = None
        """While this is a session without a link, which may get another one."""
        # Until there is a session, for a client that says nothing.
        self._silence: asyncio.TimerHandle | None = None

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
        return self.absence is not None

    @property
    def links(self) -> int:
        """How many links there were, the present one included; 0 where a session was begun without
        one and has had none yet."""
        return self.switch.links

    # Beginning

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start: the socket is open."""
        super().connection_made(transport)
        if self.machine.phase is Phase.FIRST:
            self._silence = self.loop.call_later(SILENCE, self._announce)

    def _announce(self) -> None:
        self._silence = None
        if self.transport is not None:
            joining.announce(self.machine)
            self.handle_events()
            self.sender.flush()

    def begin(self, session: Session, welcome: SessionWelcome | None = None) -> None:
        """Begin a session with the link that this protocol has.

        :param welcome: on a server, field 4 of WELCOME
        """
        self._await_no_hello()
        self.switch.first_credit()
        joining.join(self.machine, session, welcome=welcome)
        self.handle_events()
        self.take_in_held()

    def surrender(self) -> tuple[ProtocolMachine, asyncio.Transport]:
        """Give the open socket and what was read from it to the session."""
        self._await_no_hello()
        return super().surrender()

    def _await_no_hello(self) -> None:
        if self._silence is not None:
            self._silence.cancel()
            self._silence = None

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

    def end_credit(self) -> None:
        """Give no credit for messages any more: this end says CLOSE."""
        # The peer is told on each further link how much it was.
        self.switch.credit()
        super().end_credit()

    def take_in_held(self) -> None:
        """Take in what came behind the HELLO or WELCOME of the present link."""
        messages = joining.release(self.machine)
        if messages:
            self.receiver.deliver(messages)
        self.handle_events()
        self.sender.flush()
        self.acknowledger.count(0)

    # While it goes on

    def buffer_updated(self, nbytes: int) -> None:
        """Take in the bytes of one read."""
        super().buffer_updated(nbytes)
        if self.machine.session is not None:
            self.acknowledger.count(nbytes)

    @property
    def on_message(self) -> OnBytes | None:
        """What is called with each message."""
        on_message = self.handlers.on_message
        session = self.session
        if on_message is None or session is None or session.taking is None:
            return on_message
        return self.acknowledger.call_counted

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
            text = session_end.describe(close)
            self.lose_link(ConnectionClosedError(text, code=close.code, reason=close.reason))
        else:
            # Where this end waits for nothing else, nothing is written after this.
            self.acknowledger.count(0)
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
        # Before the owner, which may have to end the session.
        self.tell_link(LinkChange.lost(error))
        assert self._owner is not None
        self._owner.on_link_lost(self, error)

    def tell_link(self, change: LinkChange) -> None:
        """Tell the owner that a link was lost, or that there is another."""
        assert self._owner is not None
        self._owner.on_link_changed(self, change)

    def cut_off(self) -> None:
        """Drop the link, if there is one, without a word to the peer."""
        transport = self.transport
        if transport is None:
            return
        self._addresses = self.look_up_addresses()
        self.machine.leave()
        self.transport = None
        self.begin_absence()
        self.sender.lose_link()
        self.acknowledger.stop()
        if self.keepalive is not None:
            self.keepalive.stop()
        # What the event loop has read, or reads yet, must not come here, nor the loss of a socket
        # that failed in this turn: by then there may be the next link.
        transport.set_protocol(_Deaf())
        if not transport.is_closing():
            transport.abort()

    # Between two links

    def begin_absence(self) -> None:
        """There is no link from now on; the next one ends that, or the end of the session."""
        self.absence = Absence(self.loop, self._tell_queued)

    def use_link(
        self,
        machine: ProtocolMachine,
        transport: asyncio.Transport,
        addresses: tuple[Address, Address],
    ) -> Absence:
        """Read from and write to the next link; return the absence that is over with it.

        :param addresses: the peer's and that of this end
        """
        absence, self.absence = self.absence, None
        assert absence is not None
        machine.trace = self.trace
        self.machine, self.transport, self._addresses = machine, transport, addresses
        transport.set_protocol(self)
        self.receiver.take_link(transport)
        if self.keepalive is not None and not self.closer.write_closed:
            self.keepalive.restart()
            self.keepalive.start()
        return absence

    def queue_ping(self) -> bytes:
        """Have PING go out with what is written next; return its body.

        Without a link none is queued: the next one begins with a PING, and its answer counts for
        all before it.
        """
        if self.pings is None or not self.links or not self.detached:
            return super().queue_ping()
        return self.pings.next_body()

    async def wait_attached(self) -> None:
        """Wait for a link, where there is none.

        :raises ConnectionClosed: there will be none
        """
        while self.absence is not None:
            await self.absence.wait()
        await super().wait_attached()

    def queued_detached(self) -> None:
        """Something waits to be sent, and there is no link."""
        if self.absence is not None:
            self.absence.note_queued()

    def _tell_queued(self) -> None:
        if self.detached and self._owner is not None:
            self._owner.on_queued(self)

    # The end

    def ended(self, text: str, *, code: int | None, reason: str) -> ConnectionClosedError:
        """Return the error of a session that the peer has ended, not in order."""
        if self.session is None:
            return super().ended(text, code=code, reason=reason)
        return self.lost(text, code=code, reason=reason)

    def lost(self, text: str, *, code: int | None = None, reason: str = "") -> SessionLostError:
        """Return the error of a session that is over: what has arrived, and what has not."""
        return session_end.lost_error(self, text, code=code, reason=reason)

    def end_error(self, error: ConnectionClosed, *, sends_on: bool) -> ConnectionClosed:
        """Return what the program is told where this is why the session ends: one kind of error,
        with the counts.

        :param sends_on: whether what was accepted is still sent, and so may arrive
        """
        return session_end.counted_error(self, error, sends_on=sends_on)

    def put_out_slow(self, error: SlowPeerError) -> None:
        """The peer reads too slowly: drop the link, and what came and was not taken. The client is
        told how much that is, where it would have to guess."""
        if self.session is not None:
            self.discard_received(self.end_error(error, sends_on=False))
        super().put_out_slow(error)

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
        self._await_no_hello()
        self.acknowledger.stop()
        absence, self.absence = self.absence, None
        session = self.session
        if session is not None:
            error = session_end.final_error(self, error)
            lossy = lossy or not session.complete
        super().finish(error, lossy=lossy)
        if isinstance(error, SessionLostError):
            # It says more than that the server has closed.
            self.sender.error = error
        if absence is not None:
            absence.end()


class _Deaf(asyncio.BufferedProtocol):
    """In place of the protocol of a link that was cut off."""

    def get_buffer(self, sizehint: int) -> bytearray:
        """Return where it goes, for nobody."""
        return _DISCARD

    def buffer_updated(self, nbytes: int) -> None:
        """Ignore it."""
