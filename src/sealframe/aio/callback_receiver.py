"""The receiving half of a connection whose messages go to ``on_message``.

Messages go ``deliver() -> on_message``, within the read that brought them, and wait in the receive
queue only while they have to: until the program has the connection, and while the connection's
own send queue is full. What waits there is flow control as with ``recv``: no credit is given for
it, and reading pauses once the queue is full. Nothing is called past what waits, so the order is
kept.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import TYPE_CHECKING, Any, Final

from ..core.closing import CloseState
from ..wire import MESSAGE_OVERHEAD
from .callables import refuse_awaitable
from .receive_queue import Budget
from .receiver import FAIR_SHARE, Intake, Receiver
from .send_queue import SendQueue

if TYPE_CHECKING:
    from .connection_protocol import ConnectionProtocol
    from .peer_handlers import OnBytes


class Calls(Enum):
    """How messages get to ``on_message``."""

    NOT_YET = auto()
    """Not at all: the program does not have the connection yet. They are queued."""
    DIRECT = auto()
    """At once. Nothing is queued."""
    QUEUED = auto()
    """From the queue, in a later turn of the event loop that is on its way."""
    OVER = auto()
    """No more: it failed, or what had come was dropped."""


# To look these up in their class, for each read, takes longer than to compare them.
_OPEN: Final = CloseState.OPEN
_DELIVER: Final = Intake.DELIVER
_DIRECT: Final = Calls.DIRECT
_QUEUED: Final = Calls.QUEUED
_OVER: Final = Calls.OVER


class CallbackReceiver(Receiver):
    """What is taken in on one connection, and handed to a function of the program.

    :param on_message: called with what programs see of the connection, and each message
    """

    __slots__ = ("_calls", "_conn", "_on_message", "_send_queue")

    def __init__(
        self,
        protocol: ConnectionProtocol,
        budget: Budget,
        on_message: OnBytes,
        send_queue: SendQueue,
    ) -> None:
        super().__init__(protocol, budget)
        self._calls = Calls.NOT_YET
        self._conn: Any = None
        self._on_message = on_message
        self._send_queue = send_queue

    @property
    def calls_back(self) -> bool:
        return self._calls is not Calls.NOT_YET

    @property
    def all_called(self) -> bool:
        return self._calls is _DIRECT or self._calls is _OVER

    def start_calls(self, conn: Any) -> None:
        """Hand over what comes from now on, and in the next turn what is queued already."""
        self._conn = conn
        if self._calls is _OVER:
            return
        self._calls = _DIRECT
        if len(self.queue) or self.over:
            self._calls = _QUEUED
            self._protocol.loop.call_soon(self._go_on)

    # From the event loop

    def deliver(self, messages: list[bytes]) -> None:
        if self._calls is not _DIRECT or self.intake is not _DELIVER:
            super().deliver(messages)
            return
        self._protocol.stats.messages_received += len(messages)
        window = self.window
        if window is not None:
            last = len(messages[-1]) + MESSAGE_OVERHEAD
            cost = sum(map(len, messages)) + len(messages) * MESSAGE_OVERHEAD
            if not window.charge(cost, last):
                self.fail_uncredited()
                return
        self.call_back(messages)
        # What was called is taken; what was not is in the queue by now.
        if window is not None:
            taken = window.received - self.queue.queued_bytes
            if taken >= window.next_grant or self._protocol.closer.state is not _OPEN:
                self.update_window()
        elif len(self.queue):
            self.pause_if_full()

    def call_back(self, messages: list[bytes]) -> None:
        """Call ``on_message`` with each of these; queue the rest once the send queue is full."""
        on_message, conn, send_queue = self._on_message, self._conn, self._send_queue
        count = 0
        try:
            for message in messages:
                if send_queue.queued_bytes >= send_queue.high_water and self._must_stop():
                    break
                count += 1
                result = on_message(conn, message)
                if result is not None:
                    refuse_awaitable("on_message", result)
            else:
                return
        except BaseException as error:  # noqa: BLE001 - it ends this connection alone
            self._fail(error, len(messages) - count)
            return
        if self._calls is _OVER:
            self._protocol.stats.discarded += len(messages) - count
        else:
            self.queue.extend(messages[count:])
            self._calls = _QUEUED
            send_queue.wait_for_turn(self._go_on)

    def _must_stop(self) -> bool:
        # Once nothing more can be sent, nothing is held back either.
        return self._calls is _OVER or self._send_queue.holds_back

    def _go_on(self) -> None:
        """Call ``on_message`` with what is queued, as far as a turn of the event loop goes."""
        if self._calls is not _QUEUED:
            return
        queue, send_queue = self.queue, self._send_queue
        count = 0
        try:
            while len(queue) and count < FAIR_SHARE and not self._must_stop():
                count += 1
                result = self._on_message(self._conn, queue.pop())
                if result is not None:
                    refuse_awaitable("on_message", result)
        except BaseException as error:  # noqa: BLE001 - it ends this connection alone
            self._fail(error, 0)
        if self._calls is _QUEUED:
            if not len(queue):
                self._calls = _DIRECT
            elif send_queue.holds_back:
                send_queue.wait_for_turn(self._go_on)
            else:
                self._protocol.loop.call_soon(self._go_on)
        self.after_pop()
        if self.all_called:
            self._protocol.close_if_idle()

    def _fail(self, error: BaseException, left: int) -> None:
        self.discard()
        self.drop_queue()
        self._protocol.stats.discarded += left
        self._protocol.fail_callback(error)
        if isinstance(error, KeyboardInterrupt | SystemExit):
            # These end the event loop, here as in a task.
            raise error

    # The end

    def drop_queue(self) -> None:
        super().drop_queue()
        self._calls = _OVER

    def finish(self) -> None:
        while self._calls is _QUEUED:
            self._go_on()
