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

from ..core.budget import Budget
from .callables import refuse_awaitable
from .intake import FAIR_SHARE
from .receiver import Receiver

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
_DIRECT: Final = Calls.DIRECT
_QUEUED: Final = Calls.QUEUED
_OVER: Final = Calls.OVER


class CallbackReceiver(Receiver):
    """What is taken in on one connection, and handed to the program's ``on_message``."""

    __slots__ = ("_calls",)

    def __init__(self, protocol: ConnectionProtocol, budget: Budget) -> None:
        super().__init__(protocol, budget)
        self._calls = Calls.NOT_YET

    @property
    def _function(self) -> OnBytes:
        on_message = self.protocol.on_message
        assert on_message is not None
        return on_message

    @property
    def calls_back(self) -> bool:
        return self._calls is not Calls.NOT_YET

    @property
    def all_called(self) -> bool:
        return self._calls is _DIRECT or self._calls is _OVER

    def start_calls(self, conn: Any) -> None:
        """Hand over what comes from now on, and in the next turn what is queued already."""
        self.conn = conn
        if self._calls is _OVER:
            return
        self._enter(_DIRECT)
        if len(self.queue) or self.over:
            self._enter(_QUEUED)
            self.protocol.loop.call_soon(self._go_on)

    # From the event loop, see ReceivePath.deliver()

    def deliver_slow_path(self, messages: list[bytes]) -> None:
        """Queue what comes once this end has begun to close; it is handed over from there."""
        super().deliver_slow_path(messages)
        if self._calls is _DIRECT and len(self.queue):
            self._enter(_QUEUED)
            self.protocol.loop.call_soon(self._go_on)

    def hold_back(self, messages: list[bytes]) -> None:
        """Queue what is not called now, or drop it where nothing is called any more."""
        if self._calls is _OVER:
            self.count_discarded(len(messages))
        else:
            self.queue.extend(messages)
            self._enter(_QUEUED)
            self.protocol.sender.queue.wait_for_turn(self._go_on)

    def fail_call(self, error: BaseException, left: int) -> None:
        """End the connection: ``on_message`` raised an exception.

        :param left: how many messages of this read it was not called with
        """
        self.discard()
        self.drop_queue(left)
        self.protocol.fail_callback(error)
        if isinstance(error, KeyboardInterrupt | SystemExit):
            # These end the event loop, here as in a task.
            raise error

    def must_stop(self) -> bool:
        """Return whether nothing is to be called now: it is over, or the send queue is full."""
        # Once nothing more can be sent, nothing is held back either.
        return self._calls is _OVER or self.protocol.sender.queue.holds_back

    def _enter(self, calls: Calls) -> None:
        self._calls = calls
        self.on_message = self._function if calls is _DIRECT else None

    def _go_on(self) -> None:
        """Call ``on_message`` with what is queued, as far as a turn of the event loop goes."""
        if self._calls is not _QUEUED:
            return
        queue, send_queue = self.queue, self.protocol.sender.queue
        count = 0
        try:
            while len(queue) and count < FAIR_SHARE and not self.must_stop():
                count += 1
                result = self._function(self.conn, queue.pop())
                if result is not None:
                    refuse_awaitable("on_message", result)
        except BaseException as error:  # noqa: BLE001 - it ends this connection alone
            self.fail_call(error, 0)
        if self._calls is _QUEUED:
            if not len(queue):
                self._enter(_DIRECT)
            elif send_queue.holds_back:
                send_queue.wait_for_turn(self._go_on)
            else:
                self.protocol.loop.call_soon(self._go_on)
        self.after_pop()
        if self.all_called:
            self.protocol.close_if_idle()

    # The end

    def drop_queue(self, more: int = 0) -> None:
        super().drop_queue(more)
        self._enter(_OVER)

    def finish(self) -> None:
        while self._calls is _QUEUED:
            self._go_on()
