"""The close of a connection, performed: feeds the table of :mod:`sealframe.core.closing`.

Every way in which a connection ends comes through here: the program's ``close()``, the server
that goes away or puts a client out, the peer's CLOSE and FIN, faults, time-outs, the loss of the
socket. Each is one event of the table; its actions are the methods in ``_PERFORM``.

Longer than other modules, because each event and each action has its method here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Final

from ..core.closing import CLOSING, WRITE_CLOSED, CloseAction, CloseEvent, CloseState, transition
from ..errors import ConnectionClosed, ConnectionClosedError, ConnectionClosedOK, PeerTimeoutError
from ..wire import CloseCode
from ..wire.control import Close, close_name
from .caller import current_caller
from .time_limit import Expiry
from .writing import end_writing

if TYPE_CHECKING:
    from .connection_protocol import ConnectionProtocol

_HANDSHAKE: Final = CloseState.HANDSHAKE
_OPEN: Final = CloseState.OPEN
_CLOSED: Final = CloseState.CLOSED

_MAY_GO_ON: Final = frozenset(
    {
        _OPEN,
        CloseState.PEER_CLOSED,
        CloseState.DRAINING,
        CloseState.DRAINING_PEER_CLOSED,
        CloseState.CLOSE_SENT,
        CloseState.AWAITING_END,
    }
)
"""States in which something is still to be said over the next link of a session, or to be heard. A
server that goes away waits for nobody."""

_CHECKS: Final = 10
"""How many times within ``close_timeout`` is looked whether the program still takes messages."""


class Closer:
    """The state of one connection's end.

    :param protocol: the connection
    """

    __slots__ = (
        "_announced",
        "_handler_waits",
        "_lossy",
        "_protocol",
        "_timer",
        "_waiters",
        "close_sent",
        "handler",
        "peer_announced",
        "peer_close",
        "state",
    )

    def __init__(self, protocol: ConnectionProtocol) -> None:
        self._protocol = protocol
        self.state = _HANDSHAKE
        self.close_sent: Close | None = None
        """How this end closes, or would, None if it was not asked to."""
        self.peer_close: Close | None = None
        """The peer's CLOSE, None where there was none."""
        self.peer_announced: Close | None = None
        """The peer's GOAWAY, None where there was none."""
        self.handler: asyncio.Task[None] | None = None
        """The task that serves the connection, where it has one."""
        self._handler_waits = False
        # What GOAWAY said; the close that follows it says the same.
        self._announced: Close | None = None
        self._lossy = False
        self._timer: Expiry | None = None
        # In order, so that they are woken in order; any one is removed in constant time.
        self._waiters: dict[asyncio.Future[None], None] | None = None

    # What the state means

    @property
    def handshaking(self) -> bool:
        """Whether messages may not flow yet."""
        return self.state is _HANDSHAKE

    @property
    def closing(self) -> bool:
        """Whether this end has begun to close, and the socket is still there."""
        return self.state is not _OPEN and self.state in CLOSING

    @property
    def draining(self) -> bool:
        """Whether this end closes once all is sent."""
        state = self.state
        return state is CloseState.DRAINING or state is CloseState.DRAINING_PEER_CLOSED

    @property
    def going_away(self) -> bool:
        """Whether this end announced its close."""
        return self._announced is not None

    @property
    def peer_leaving(self) -> bool:
        """Whether the peer announced its close, or nothing of it reaches the program any more."""
        return self.peer_announced is not None or self._protocol.receiver.over

    @property
    def write_closed(self) -> bool:
        """Whether this end's last frame is out, or never will be."""
        return self.state is not _OPEN and self.state in WRITE_CLOSED

    @property
    def awaiting_end(self) -> bool:
        """Whether this is the client of a session, and waits for the end of the link alone."""
        return self.state is CloseState.AWAITING_END

    @property
    def done(self) -> bool:
        """Whether both ends have closed with code 0, and the socket is only to be closed."""
        closes = (self.close_sent, self.peer_close)
        return self.state is CloseState.DISCONNECTING and all(
            close is not None and close.code == CloseCode.NORMAL for close in closes
        )

    @property
    def closed(self) -> bool:
        """Whether the socket is gone."""
        return self.state is _CLOSED

    @property
    def clean(self) -> bool:
        """Whether both ends closed in order and nothing was left unsent."""
        error = self._protocol.receiver.error
        return self.closed and not self._lossy and isinstance(error, ConnectionClosedOK)

    @property
    def handler_waits(self) -> bool:
        """Whether the handler waits for the end of its own connection, and does nothing else."""
        return self._handler_waits

    @property
    def timer_runs(self) -> bool:
        """Whether there is a time-out for the handshake or the close."""
        return self._timer is not None

    # Events

    def start_handshake_timer(self, seconds: float, expired: Callable[[], None]) -> None:
        """Bound the handshake by one absolute deadline."""
        self._timer = Expiry(self._protocol.loop, seconds, expired)

    def established(self) -> bool:
        """Messages may flow; return whether they might not before."""
        if self.state is not _HANDSHAKE:
            return False
        self._stop_timers()
        self._feed(CloseEvent.ESTABLISHED)
        return True

    def close(self, close: Close) -> None:
        """Close; the rest happens by itself, within ``close_timeout`` at most.

        :param close: GOING_AWAY also discards what the peer sends from now on; a code other than
            that and 0 puts the peer out
        """
        if self.state is _CLOSED:
            return
        orderly = close.code in (CloseCode.NORMAL, CloseCode.GOING_AWAY)
        if not orderly and not self.closing:
            text = f"this end has closed the connection ({close_name(close.code)})"
            self.put_out(ConnectionClosedOK(text, code=close.code, reason=close.reason), close)
            return
        if self._announced is not None and orderly:
            close = self._announced
        self.close_sent = self.close_sent or close
        discards = close.code != CloseCode.NORMAL
        error = ConnectionClosedOK("this end has closed the connection", code=close.code)
        if self.handler is not None and self.handler.done():
            # Nobody is left who would take messages.
            self._protocol.receive_for_nobody()
        self._feed(CloseEvent.CLOSE_DISCARDING if discards else CloseEvent.CLOSE, error)

    def disconnect(self, error: ConnectionClosed, close: Close) -> None:
        """End both directions for the program at once, and tell the peer why.

        What came before can still be received.

        :param error: what sending and receiving raise
        """
        if self.state is not _CLOSED:
            self.close_sent = self.close_sent or close
            self._feed(CloseEvent.DISCONNECT, error)
            if self._protocol.detached:
                # Nobody is there to be told.
                self._lossy = True
                self._feed(CloseEvent.ABORT, error)

    def put_out(self, error: ConnectionClosed, close: Close, *, drop_unsent: bool = False) -> None:
        """Disconnect, and let nothing more of the peer reach the program, not even what came
        before: no message, no request, nothing of a stream or a file. This counts for a
        connection that is closed already, too.

        :param error: what sending and receiving raise
        :param drop_unsent: also forget what was accepted for the peer and is not sent
        """
        error = self._protocol.end_error(error, sends_on=not drop_unsent)
        if drop_unsent:
            self._drop_queue()
        self._protocol.discard_received(error)
        self.disconnect(error, close)

    def go_away(self, close: Close) -> None:
        """Announce the close, and take no further message in; a connection in its handshake is
        dropped.

        What its handler and others are at can be finished, and sent. It closes as soon as
        all of them are done, or wait for nothing else.
        """
        if self.state is _HANDSHAKE:
            self._lossy = True
            error: ConnectionClosed
            error = ConnectionClosedError("the server closed during the handshake")
        else:
            self._announced = close
            text = "this end is shutting down"
            error = ConnectionClosedOK(text, code=close.code, reason=close.reason)
        self._feed(CloseEvent.GO_AWAY, error)

    def repeat_announcement(self) -> None:
        """Send GOAWAY to a client that can read it only now."""
        if self._announced is not None:
            self._protocol.machine.go_away(self._announced)

    def abort(self, error: ConnectionClosedError) -> None:
        """Drop the connection at once."""
        self._lossy = True
        self._feed(CloseEvent.ABORT, error)

    def peer_closed(self, close: Close | None, *, unanswered: bool = False) -> None:
        """CLOSE came, or FIN (None) where only packets flow.

        :param unanswered: whether FIN came in place of WELCOME
        """
        if close is None:
            text = self._protocol.describe_fin(unanswered=unanswered)
            self._peer_ended(ConnectionClosedOK(text))
            return
        self.peer_close = close
        over = close.code not in (CloseCode.NORMAL, CloseCode.GOING_AWAY)
        text = f"the peer closed the connection ({close_name(close.code)})"
        text += f": {close.reason}" if close.reason else ""
        if close.messages_discarded:
            over = self._lossy = True
            text += f"; messages that it threw away: {close.messages_discarded}"
        error: ConnectionClosed
        if over:
            error = self._protocol.ended(text, code=close.code, reason=close.reason)
        else:
            error = ConnectionClosedOK(text, code=close.code, reason=close.reason)
        if close.code == CloseCode.NORMAL:
            self._peer_ended(error)
        else:
            self.close_sent = self.close_sent or self._announced or Close()
            self._feed(CloseEvent.PEER_DISCONNECT, error)

    def _peer_ended(self, error: ConnectionClosed) -> None:
        protocol = self._protocol
        if not protocol.machine.client:
            self._feed(CloseEvent.PEER_CLOSE, error)
            return
        if protocol.machine.session is not None:
            self.close_sent = self.close_sent or Close()
            if isinstance(error, ConnectionClosedError) or protocol.sender.all_acknowledged:
                # Else the end of the link tells whether the server had got all.
                self._end_receiving(error)
            self._feed(CloseEvent.SESSION_CLOSE, error)
            return
        if not self.closing:
            # What the server had not got when it closed is sent all the same, but no success.
            self.close_sent = self.close_sent or Close()
            received = None if self.peer_close is None else self.peer_close.frames_received
            missing = received is not None and received < protocol.sent_count
            self._lossy = self._lossy or missing or not protocol.sender.all_sent
        self._feed(CloseEvent.SERVER_CLOSE, error)

    def peer_fin(self) -> None:
        """The peer's stream ended."""
        self._feed(CloseEvent.PEER_FIN)

    def all_sent(self) -> None:
        """Nothing that was accepted is unsent."""
        close = self.peer_close
        waits = (
            self._protocol.machine.session is not None
            and self._protocol.machine.client
            and close is not None
            and close.code == CloseCode.NORMAL
        )
        self._feed(CloseEvent.ALL_GIVEN if waits else CloseEvent.ALL_SENT)

    def fail(self, error: ConnectionClosedError, *, answered: bool) -> None:
        """The peer broke the protocol.

        :param answered: whether the peer reads what this end has to say of it
        """
        self._lossy = True
        self.close_sent = self.close_sent or Close()
        self._feed(CloseEvent.FAULT if answered else CloseEvent.FAULT_UNANSWERED, error)

    def forget(self) -> None:
        """Another connection protocol has taken the socket over: nothing happens here any more."""
        self._stop_timers()
        self.state = _CLOSED

    def begin_numbering(self) -> None:
        """A session begins to count anew: the new server has heard no CLOSE and said none, and
        may not have all that the one before had got."""
        self.peer_close = None
        self._feed(CloseEvent.NEW_NUMBERING)

    def take_link(self) -> None:
        """A session has its next link: say again what the one before may not have told."""
        self.peer_announced = None
        if self._protocol.machine.client:
            self._feed(CloseEvent.NEXT_LINK)
        if self.state is CloseState.CLOSE_SENT:
            assert self.close_sent is not None
            self._protocol.machine.close(self.close_sent, self.discarded)
        else:
            self.repeat_announcement()

    @property
    def ended_with(self) -> int | None:
        """The code with which this ended: that of a fault or of who was put out, else of the
        peer's CLOSE, else of this end's; None where there was none."""
        error = self._protocol.receiver.error
        if isinstance(error, ConnectionClosedError) and error.code is not None:
            return error.code
        close = self.peer_close or self.close_sent
        return None if close is None else close.code

    @property
    def may_go_on(self) -> bool:
        """Whether a session in this state goes on without a link, to be taken up by the next."""
        state = self.state
        for close in (self.close_sent, self.peer_close, self._announced):
            if close is not None and close.code != CloseCode.NORMAL:
                return False
        return state in _MAY_GO_ON

    def lost(self, error: ConnectionClosed, *, lossy: bool) -> None:
        """The socket is gone.

        :param lossy: whether something was left unsent, or the peer did not end in order
        """
        self._lossy = self._lossy or lossy
        self._feed(CloseEvent.LOST, error)
        for waiter in self._waiters or ():
            if not waiter.done():
                waiter.set_result(None)
        self._waiters = None

    def _feed(self, event: CloseEvent, error: ConnectionClosed | None = None) -> None:
        before = self.state
        if isinstance(error, ConnectionClosedError):
            sends_on = event is CloseEvent.DISCONNECT
            error = self._protocol.end_error(error, sends_on=sends_on)
        self.state, actions = transition(before, event)
        trace = self._protocol.trace
        if trace is not None and (actions or self.state is not before):
            why = "" if error is None else f" ({error})"
            trace("%s: %s -> %s%s", event.name, before.name, self.state.name, why)
        for action in actions:
            _PERFORM[action](self, error)

    # Actions

    def _end_receiving(self, error: ConnectionClosed | None) -> None:
        assert error is not None
        self._protocol.end_receiving(error)

    def _end_sending(self, error: ConnectionClosed | None) -> None:
        assert error is not None
        self._protocol.end_sending(error)

    def _end_messages(self, error: ConnectionClosed | None) -> None:
        assert error is not None
        self._protocol.receiver.end_messages(error)

    def _discard(self, _: object) -> None:
        self._protocol.receiver.discard()

    def _drop_queue(self, _: object = None) -> None:
        if self._protocol.sender.drop_queue():
            self._lossy = True

    def _lift_credit(self, _: object) -> None:
        if self._protocol.sender.lift_credit():
            self._lossy = True

    def _stop_keepalive(self, _: object) -> None:
        protocol = self._protocol
        if protocol.machine.session is not None and self.state is CloseState.DRAINING:
            # What a dead link has swallowed goes over the next one, once it is noticed.
            return
        if protocol.keepalive is not None:
            protocol.keepalive.stop()

    def _arm_timer(self, _: object) -> None:
        protocol = self._protocol
        if self._timer is None and (protocol.transport is not None or protocol.detached):
            self._set_timer(_CHECKS)

    def _set_timer(self, checks: int) -> None:
        delay = self._protocol.options.close_timeout / _CHECKS
        taken = self._protocol.receiver.taken_messages
        self._timer = Expiry(self._protocol.loop, delay, partial(self._check, checks - 1, taken))

    def _check(self, checks: int, taken: int) -> None:
        receiver = self._protocol.receiver
        if checks:
            if receiver.taken_messages == taken:
                receiver.stop_holding_back()
            self._set_timer(checks)
            return
        timeout = self._protocol.options.close_timeout
        self.abort(PeerTimeoutError(f"the peer did not close within close_timeout, {timeout:g} s"))

    def _stop_timers(self, _: object = None) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _resume_reading(self, _: object) -> None:
        self._protocol.receiver.read_on()

    def _update_window(self, _: object) -> None:
        self._protocol.receiver.update_window()

    def _announce(self, _: object) -> None:
        self.repeat_announcement()

    def _flush(self, _: object) -> None:
        self._protocol.sender.flush()

    def _send_close(self, _: object) -> None:
        protocol = self._protocol
        assert self.close_sent is not None
        protocol.end_credit()
        if protocol.machine.close(self.close_sent, self.discarded):
            protocol.sender.flush()
        else:
            self._send_fin()

    @property
    def discarded(self) -> int:
        """How many messages of the peer the program has not got, and never will; of a
        session, those of them that are acknowledged."""
        protocol = self._protocol
        nobody = self.handler is not None and self.handler.done()
        return protocol.discarded + (protocol.unread if nobody else 0)

    def _send_fin(self, _: object = None) -> None:
        protocol = self._protocol
        # The program may still take what has come, which gives no credit any more.
        protocol.end_credit()
        protocol.machine.end_output()
        if protocol.transport is not None:
            end_writing(protocol.transport)

    def close_if_idle(self, _: object = None) -> None:
        """Close if the program has no more to do with the connection, now that it is ending."""
        if self._announced is not None:
            # A handler that waits for the end of its own connection would wait for itself.
            done = self._handler_waits or (self.handler is not None and self.handler.done())
            if (done or self._protocol.receiver.all_called) and not self._protocol.busy:
                self.close(self._announced)
        elif self._protocol.receiver.over and (
            self._handler_waits or self._protocol.receiver.all_called
        ):
            self.close(Close())

    def _close_socket(self, _: object) -> None:
        if self._protocol.transport is not None:
            self._protocol.transport.close()
        else:
            self._protocol.end_detached()

    def _abort_socket(self, _: object) -> None:
        if self._protocol.transport is not None:
            self._protocol.transport.abort()
        else:
            self._protocol.end_detached()

    # From the program

    async def wait_closed(self) -> None:
        """Wait until the socket is gone."""
        if self.closed:
            return
        waiter = self._protocol.loop.create_future()
        if self._waiters is None:
            self._waiters = {}
        self._waiters[waiter] = None
        is_handler = self.handler is not None and current_caller() is self.handler
        if is_handler:
            self._handler_waits = True
            self.close_if_idle()
        try:
            await waiter
        except asyncio.CancelledError:
            if self._waiters is not None:
                del self._waiters[waiter]
            raise
        finally:
            if is_handler:
                self._handler_waits = False


_PERFORM: Final[dict[CloseAction, Callable[[Closer, ConnectionClosed | None], None]]] = {
    CloseAction.DISCARD: Closer._discard,
    CloseAction.END_MESSAGES: Closer._end_messages,
    CloseAction.END_RECEIVING: Closer._end_receiving,
    CloseAction.END_SENDING: Closer._end_sending,
    CloseAction.DROP_QUEUE: Closer._drop_queue,
    CloseAction.LIFT_CREDIT: Closer._lift_credit,
    CloseAction.STOP_KEEPALIVE: Closer._stop_keepalive,
    CloseAction.ARM_TIMER: Closer._arm_timer,
    CloseAction.RESUME_READING: Closer._resume_reading,
    CloseAction.UPDATE_WINDOW: Closer._update_window,
    CloseAction.ANNOUNCE: Closer._announce,
    CloseAction.FLUSH: Closer._flush,
    CloseAction.SEND_CLOSE: Closer._send_close,
    CloseAction.SEND_FIN: Closer._send_fin,
    CloseAction.CLOSE_IF_IDLE: Closer.close_if_idle,
    CloseAction.CLOSE_SOCKET: Closer._close_socket,
    CloseAction.ABORT_SOCKET: Closer._abort_socket,
    CloseAction.STOP_TIMERS: Closer._stop_timers,
}
"""What each action of the table is here."""
