"""The receiving half of a connection: the queue, flow control towards the peer, pausing.

Messages go ``deliver() -> receive queue -> recv``. What bounds the queue depends on the peer: one
that knows CREDIT gets a window (docs/PROTOCOL.md, section 7) and reading never pauses; for any
other, reading pauses while the queue is full and TCP holds the peer back.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from ..core.budget import Budget
from ..core.growth import Growing, Growth
from ..core.window import Window
from ..errors import ConnectionClosed, ConnectionClosedError, HandshakeError
from ..wire import MESSAGE_OVERHEAD
from .fast_path import ReceivePath
from .intake import PILE, SMALL_READS, Intake, Pause
from .pings import number_of
from .receive_queue import ReceiveQueue

if TYPE_CHECKING:
    from .connection_protocol import ConnectionProtocol

# To look these up in their class, for each read, takes longer than to compare them.
_DELIVER: Final = Intake.DELIVER
_FILL: Final = Intake.FILL
_NO_PAUSE: Final = Pause.NONE


class Receiver(ReceivePath):
    """What is taken in on one connection.

    :param protocol: the connection
    :param budget: what the receive queues of a server share
    """

    __slots__ = ("_growth", "_pause", "error")

    def __init__(self, protocol: ConnectionProtocol, budget: Budget) -> None:
        self.protocol = protocol
        self._pause = _NO_PAUSE
        self.queue = ReceiveQueue(budget)
        self.error: ConnectionClosed | None = None
        """Why nothing more will come, None while it may."""
        self.intake = _DELIVER
        self.window = None
        self.on_message = None
        self.conn = None
        # By how much windows have grown, once one was used.
        self._growth: Growth | None = None
        self.small_reads = SMALL_READS

    # Where messages go to on_message: aio/callback_receiver.py

    @property
    def calls_back(self) -> bool:
        """Whether messages go to ``on_message``, which nobody has to wait for."""
        return False

    @property
    def all_called(self) -> bool:
        """Whether they do, and none of them waits."""
        return False

    def start_calls(self, conn: Any) -> None:
        """The program has the connection: call ``on_message``, where there is one.

        :param conn: what programs see of it
        """

    def finish(self) -> None:
        """The socket is gone: call ``on_message`` with what is left."""

    # From the event loop

    def deliver_slow_path(self, messages: list[bytes]) -> None:
        """Queue messages that came, or drop them where nobody wants them any more."""
        protocol, queue = self.protocol, self.queue
        closer = protocol.closer
        if self.intake is _FILL and queue.full:
            # All that follow go too, even if there is room again: no gap stays hidden.
            text = "what came during the close was discarded: nobody took messages any more"
            self.end_messages(ConnectionClosedError(text))
        if self.intake is not _DELIVER and self.intake is not _FILL:
            self._discard(messages)
            return
        protocol.stats.messages_received += len(messages)
        before, last = queue.queued_bytes, len(messages[-1]) + MESSAGE_OVERHEAD
        queue.extend(messages)
        if self.window is not None:
            self._charge(self.window, queue.queued_bytes - before, last)
            if queue.queued_bytes >= PILE:
                self.yield_turn()
        elif queue.full:
            if closer.handshaking:
                self._check_handshake()
            else:
                self.pause_if_full()

    def _discard(self, messages: list[bytes]) -> None:
        self.count_discarded(len(messages))
        if self.window is not None:
            last = len(messages[-1]) + MESSAGE_OVERHEAD
            cost = sum(map(len, messages)) + len(messages) * MESSAGE_OVERHEAD
            self._charge(self.window, cost, last)

    def _check_handshake(self) -> None:
        # An extended client reads on until WELCOME, which may stand behind many messages.
        options = self.protocol.options
        if self.queue.queued_bytes > options.pause_limit + options.max_message_size:
            self.protocol.fail(
                HandshakeError(
                    "the server sent inbox_limit and more, and no WELCOME: "
                    "connect without extended=True, or raise inbox_limit"
                )
            )

    def give_others_a_turn(self) -> None:
        """Yield to other connections after a read of more than :data:`~.intake.FAIR_SHARE`."""
        # One more than that: the read itself is counted after this.
        self.small_reads = SMALL_READS + 1
        self.yield_turn()

    def yield_turn(self) -> None:
        """Let others run before more is read."""
        # uvloop reads on while there is more, up to 32 times: one peer's tiny frames
        # would hold up all the others for seconds.
        if self.protocol.transport is not None and Pause.YIELD not in self._pause:
            self._add_pause(Pause.YIELD)
            self.protocol.loop.call_soon(self._remove_pause, Pause.YIELD)

    # Flow control

    def open_window(self, window: Window) -> None:
        """Count what the peer sends against a window from now on."""
        # What came before, or in one read with the hello, waits in the queue, and counts.
        self.window = window
        if len(self.queue):
            self.update_window()

    def _charge(self, window: Window, cost: int, last: int) -> None:
        if window.charge(cost, last):
            self.update_window()
        else:
            self._fail_uncredited()

    def deny(self, messages: list[bytes]) -> None:
        """Fail: the peer sent messages of which some had no credit; they wait for ``recv``."""
        if self.on_message is None:
            self.queue.extend(messages)
        self._fail_uncredited()

    def _fail_uncredited(self) -> None:
        self.protocol.machine.fail_protocol("the peer sent messages for which it had no credit")
        self.protocol.handle_events()

    def update_window(self) -> None:
        """Send CREDIT for what was taken, once it is worth a frame."""
        window, queue, protocol = self.window, self.queue, self.protocol
        if window is None:
            return
        size = queue.budget.window + window.borrowed
        # What is discarded, or would be, must come all the same.
        due = window.update(size, queue.queued_bytes if self.intake is _DELIVER else 0)
        if due:
            protocol.machine.give_credit(due)
            if protocol.trace is not None:
                protocol.trace("window update: the peer may send %d more", due)
            self.measure(self, due)
            protocol.sender.flush()
        queue.set_low_water(window.low_water)

    @property
    def taken(self) -> int:
        """The cost of all messages that came and wait no more."""
        return 0 if self.window is None else self.window.received - self.queue.queued_bytes

    def measure(self, measured: Growing, grant: int) -> None:
        """Find out how wide a window has to be: a grant for it is about to be written."""
        protocol = self.protocol
        if not protocol.machine.extended:
            return
        if self._growth is None:
            budget = self.queue.budget
            self._growth = Growth(budget, protocol.options.window_limit - budget.window)
        if self._growth.begin(measured, grant):
            self._growth.ping = number_of(protocol.queue_ping())

    def ponged(self, number: int) -> None:
        """PONG came for this PING and all before it."""
        if self._growth is not None and number >= self._growth.ping:
            self._growth.end()

    def release(self, measured: Growing) -> None:
        """Give back what a window has grown by: it is used no more."""
        if self._growth is not None:
            self._growth.release(measured)

    def return_borrowed(self) -> None:
        """Give back what all windows have grown by: others take their place."""
        if self._growth is not None:
            self.queue.budget.take_back(self._growth.borrowed)
            self._growth = None

    @property
    def borrowed(self) -> int:
        """By how much the windows of this connection have grown."""
        return 0 if self._growth is None else self._growth.borrowed

    # Pausing

    @property
    def paused(self) -> bool:
        """Whether reading is paused because the queue is full."""
        return Pause.FULL in self._pause

    def pause_if_full(self) -> None:
        """Pause reading while the queue is full."""
        # Where nothing is delivered any more reading never pauses: unread input would make
        # the kernel answer with RST and destroy what was sent before.
        if self.queue.full and self.intake is _DELIVER and not self.paused:
            self.queue.on_reading_paused()
            self._add_pause(Pause.FULL)
            if self.protocol.trace is not None:
                self.protocol.trace("reading paused: the receive queue is full")

    def resume(self) -> None:
        """Read on, where a full queue had paused it."""
        if self.paused:
            self.queue.on_reading_resumed()
            if self.protocol.keepalive is not None:
                self.protocol.keepalive.restart()
            self._remove_pause(Pause.FULL)
            if self.protocol.trace is not None:
                self.protocol.trace("reading resumed")

    def _add_pause(self, reason: Pause) -> None:
        assert self.protocol.transport is not None
        self._pause |= reason
        self.protocol.transport.pause_reading()

    def _remove_pause(self, reason: Pause) -> None:
        self._pause &= ~reason
        if not self._pause and self.protocol.transport is not None:
            self.protocol.transport.resume_reading()

    def take_link(self, transport: asyncio.Transport) -> None:
        """Read from the next link of a session."""
        self.small_reads = SMALL_READS
        if self._pause:
            transport.pause_reading()

    # From the program

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The event loop that the connection belongs to."""
        return self.protocol.loop

    def check_loop(self) -> None:
        """Refuse a call from another thread or event loop.

        :raises WrongLoopError: it is one
        """
        self.protocol.check_loop()

    def after_pop(self) -> None:
        """Resume reading, send credit and wake the next task, as far as each is due."""
        if self.paused and self.queue.drained:
            self.resume()
        window, queue = self.window, self.queue
        if window is not None and window.received - queue.queued_bytes >= window.next_grant:
            self.update_window()
        if len(queue):
            queue.wake()

    # The end

    @property
    def taken_messages(self) -> int:
        """How many messages the program has taken."""
        return self.protocol.stats.messages_received - len(self.queue)

    def stop_holding_back(self) -> None:
        """This end closes, and the program takes no messages: drop what finds no room."""
        if len(self.queue) and self.intake is _DELIVER:
            self.intake = _FILL
            self.resume()
            self.update_window()

    def read_on(self) -> None:
        """Read on, where nothing is delivered any more."""
        if self.intake is not _DELIVER:
            self.resume()

    @property
    def over(self) -> bool:
        """Whether nothing reaches the program any more."""
        return self.intake is Intake.OVER

    def discard(self) -> None:
        """Drop the messages that come from now on."""
        if self.intake is _DELIVER or self.intake is _FILL:
            self.intake = Intake.DISCARD

    def drop_queue(self, more: int = 0) -> None:
        """Forget the messages that the program has not taken.

        :param more: how many have come behind them, and are not in the queue
        """
        messages = self.queue.clear() + more
        self.protocol.machine.note_dropped(messages)
        self.count_discarded(messages)

    def count_discarded(self, messages: int) -> None:
        """Count messages that came, and that the program never gets."""
        if messages:
            self.protocol.stats.discarded += messages
            self.protocol.machine.note_discarded()

    def put_out(self, error: ConnectionClosed) -> None:
        """Drop what the program has not taken: receiving raises the error at once.

        It takes the place of a proper end, which would say that all was received.
        """
        self.drop_queue()
        if not isinstance(self.error, ConnectionClosedError):
            self.error = error
            self.queue.wake_all()

    def end_messages(self, error: ConnectionClosed) -> None:
        """End ``recv`` once the queue is empty; streams and requests go on."""
        if self.error is None:
            self.error = error
            self.queue.wake_all()
        if self.intake is not Intake.OVER:
            self.intake = Intake.ENDED

    def end(self, error: ConnectionClosed) -> bool:
        """End everything that is received; return whether it was not over before."""
        self.end_messages(error)
        news = self.intake is not Intake.OVER
        self.intake = Intake.OVER
        return news
