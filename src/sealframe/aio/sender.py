"""The sending half of a connection: the queue, credit of the peer, and when is written.

Messages go ``send() -> send queue -> flush() -> protocol machine -> transport``. The first write
of a turn of the event loop happens at once, which keeps a request quick; what follows it goes
together, at the end of the turn or when 128 KiB wait.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ..core.channel_frames import ViolationError
from ..core.closing import CloseState
from ..core.events import Phase
from ..core.framed_output import FramedOutput
from ..core.sending import LARGE_TURN, TURN
from ..errors import ConnectionClosed
from ..wire import MAX_WINDOW, MESSAGE_OVERHEAD
from .fast_path import SendPath
from .framed_send_queue import FramedSendQueue
from .send_queue import SendQueue
from .socket_options import WIDEN_INTERVAL, widen
from .writing import NO_SOCKET, write_buffers

if TYPE_CHECKING:
    from .connection_protocol import ConnectionProtocol

# To look it up in its class, for each write, takes longer than to compare it.
_OPEN: Final = CloseState.OPEN

_BATCH_SIZE: Final = 60 * 1024
"""Cost that is framed and sealed in one go; of messages up to 4 KiB it fills one record, where a
little more would take two. For much more the system would give fresh memory each time, which costs
more than the calls that it saves; and on a slow link a batch is what a request waits for."""
_LARGE_BATCH: Final = 256 * 1024
"""The same for large messages on a link that takes it within :data:`_FAST`: each batch has a cost
of its own."""
_LARGE_MESSAGE: Final = 32 * 1024
"""Cost of a message, on average, that is large."""
_FAST: Final = 0.003
"""Seconds within which a fast link is ready for the next batch. An event loop's clock may count
whole milliseconds."""
HELLO_TIME: Final = 0.1
"""Seconds after the accept of a plain client within which a server that is done with it, and has
sent it nothing, waits for its first frame. If that is HELLO, the client learns why; FIN alone would
look to it like a server of another kind."""


class Sender(SendPath):
    """What is given out on one connection.

    :param protocol: the connection
    :param limit: queued bytes from which senders wait
    """

    __slots__ = ("_large_batch", "_paused_at", "_widened_at", "broadcast_pending", "error")

    def __init__(self, protocol: ConnectionProtocol, limit: int) -> None:
        self.protocol = protocol
        encoder = protocol.machine.encoder
        if isinstance(encoder, FramedOutput):
            self.queue = FramedSendQueue(limit, encoder.frame)
        else:
            self.queue = SendQueue(limit)
        self.error: ConnectionClosed | None = None
        """Why nothing more can be sent, None while it can."""
        self.sent_cost = 0
        self.credit_limit = None
        self.write_paused = False
        self.written = False
        self.writing = False
        self.socket = None
        # The batch of large messages, by how long the transport was full the last time.
        self._large_batch = _BATCH_SIZE
        self._paused_at = 0.0
        self._widened_at = 0.0
        self.broadcast_pending = False
        """Whether what was broadcast to it is about to be written."""

    # From the program

    def check_loop(self) -> None:
        """Refuse a call from another thread or event loop.

        :raises WrongLoopError: it is one
        """
        self.protocol.check_loop()

    def check_size(self, size: int) -> None:
        """Refuse a message that cannot be sent.

        :raises MessageTooLargeError: it is over the limit
        :raises MessageTooSmallError: it is below the minimum of the framing
        """
        self.protocol.machine.check_size(size)

    def end_turn(self) -> None:
        """Write what was put into the queue in this turn of the event loop."""
        self.queue.scheduled = False
        self.written = False
        if len(self.queue) or self.protocol.machine.has_output:
            self.flush()

    # Writing

    def flush(self) -> None:
        """Write what may be written now."""
        protocol = self.protocol
        transport = protocol.transport
        if transport is None:
            protocol.queued_detached()
            return
        if self.writing:
            # A finalizer closes, say: what it has to write comes after what is being written.
            protocol.loop.call_soon(self.flush)
            return
        queue, machine, stats, closer = (
            self.queue,
            protocol.machine,
            protocol.stats,
            protocol.closer,
        )
        self.writing = True
        try:
            # PONGs wait as messages do: a peer that sends PINGs and reads nothing would
            # fill the memory with answers. Only what ends the connection goes out in any case:
            # CLOSE, and in a session what is sent again before it.
            while not self.write_paused or closer.write_closed:
                if transport.is_closing():
                    # A write has failed: the next link of a session gets the rest, and asyncio
                    # would warn of each.
                    break
                messages = self._take_messages() if len(queue) else []
                if not messages and not machine.has_output:
                    break
                try:
                    buffers = machine.take_output(messages, self.stream_turn)
                except Exception as error:  # noqa: BLE001 - nothing may follow without it
                    protocol.output_failed(error, len(messages))
                    break
                if not buffers:
                    break
                stats.bytes_sent += write_buffers(transport, buffers)
                if messages:
                    stats.messages_sent += len(messages)
                    if protocol.keepalive is not None:
                        protocol.keepalive.sent()
        finally:
            self.writing = False
        limit = self.credit_limit
        session = machine.session
        queue.paused = (
            self.write_paused
            or (limit is not None and self.sent_cost >= limit)
            or (session is not None and session.room <= 0)
        )
        queue.wake()
        if protocol.channels is not None:
            protocol.channels.wrote()
        if closer.state is not _OPEN and closer.draining and self.all_sent:
            left = self._time_for_hello()
            if left > 0:
                protocol.loop.call_later(left, self.flush)
            else:
                closer.all_sent()

    def _time_for_hello(self) -> float:
        """Return for how many seconds FIN may still wait for HELLO: docs/PROTOCOL.md, section 2."""
        protocol = self.protocol
        if (
            protocol.machine.phase is not Phase.FIRST
            or protocol.closer.state is not CloseState.DRAINING
            or protocol.stats.bytes_sent
        ):
            return 0.0
        # FIN is the close in order: the time-out of the close must not come before it.
        seconds = min(HELLO_TIME, protocol.options.close_timeout / 2)
        return protocol.since + seconds - protocol.loop.time()

    @property
    def batch_size(self) -> int:
        """Cost of what is framed and sealed in one go, now."""
        queue = self.queue
        large = queue.queued_bytes >= len(queue) * _LARGE_MESSAGE
        return self._large_batch if large else _BATCH_SIZE

    @property
    def stream_turn(self) -> int:
        """Bytes of streams that are framed and sealed in one go, now."""
        return LARGE_TURN if self._large_batch == _LARGE_BATCH else TURN

    def _take_messages(self) -> list[bytes]:
        queue, size = self.queue, self.batch_size
        session = self.protocol.machine.session
        if session is not None:
            size = min(size, session.offer())
            if size <= 0:
                return []
        if self.credit_limit is not None and self.credit_limit - self.sent_cost < size:
            size = self.credit_limit - self.sent_cost
            if size <= 0:
                return []
        waiting = len(queue)
        before = queue.queued_bytes
        messages = queue.take(size)
        cost = before - queue.queued_bytes
        if len(queue) + len(messages) != waiting:
            # A finalizer has sent meanwhile: what that costs is not of these.
            cost = sum(map(len, messages)) + MESSAGE_OVERHEAD * len(messages)
        self.sent_cost += cost
        return messages

    @property
    def all_sent(self) -> bool:
        """Whether nothing that was accepted is unsent."""
        return not len(self.queue) and not self.protocol.machine.unsent

    @property
    def all_acknowledged(self) -> bool:
        """Of a session: whether the peer has acknowledged all that was accepted."""
        session = self.protocol.machine.session
        assert session is not None
        return not len(self.queue) and not session.retention.cost and session.complete

    def pause_writing(self) -> None:
        """Hold everything back: the transport's buffer is full."""
        self.write_paused = True
        self.queue.paused = True
        self._paused_at = self.protocol.loop.time()

    def resume_writing(self) -> None:
        """Write on."""
        self.write_paused = False
        protocol = self.protocol
        now = protocol.loop.time()
        self._large_batch = _LARGE_BATCH if now - self._paused_at < _FAST else _BATCH_SIZE
        if now - self._widened_at >= WIDEN_INTERVAL and protocol.transport is not None:
            self._widened_at = now
            widen(protocol.transport.get_extra_info("socket"))
        # Not from within: asyncio's transport calls connection_lost() twice if it
        # is closed here.
        protocol.loop.call_soon(self.flush)

    # Credit: docs/PROTOCOL.md, section 7

    @property
    def credit(self) -> int | None:
        """Cost of the messages that the peer still takes, None where it sets no limit. The
        last message may pass it, so it can be negative."""
        return None if self.credit_limit is None else self.credit_limit - self.sent_cost

    def limit_credit(self, window: int) -> None:
        """Take in how much the peer takes, counted from the start of the connection."""
        self.credit_limit = window

    def lift_credit(self) -> bool:
        """The peer has ended: send without credit from now on.

        :return: whether something that was accepted is dropped in place of that
        """
        self.credit_limit = None
        return False

    def add_credit(self, increment: int) -> None:
        """Take in CREDIT."""
        if self.credit_limit is None:
            return
        self.credit_limit += increment
        credit = self.credit_limit - self.sent_cost
        if credit > MAX_WINDOW:
            self.protocol.machine.fail_protocol(f"the peer gave credit of {credit} for messages")
            self.protocol.handle_events()
        else:
            self.flush()

    # Sessions: docs/PROTOCOL.md, section 12

    def lose_link(self) -> None:
        """There is no link for now: nothing is written, and what is accepted waits."""
        self.socket = NO_SOCKET
        self.write_paused = False

    def check_credit(self, credit: int) -> None:
        """Refuse what the peer says that it takes, where no CREDIT could have given it.

        :param credit: all, from the start of the session
        :raises ViolationError: it is too much
        """
        if self.credit_limit is not None and credit - self.sent_cost > MAX_WINDOW:
            raise ViolationError(f"the peer gave credit of {credit} for messages")

    def take_link(self, credit: int) -> None:
        """Write to the next link.

        :param credit: all that the peer takes, from the start of the session
        """
        self.socket = None
        self.written = False
        if self.credit_limit is not None:
            self.credit_limit = max(self.credit_limit, credit)

    def renew(self) -> None:
        """Write to a link with which a numbering begins: no message has cost credit yet."""
        self.socket = None
        self.written = False
        self.sent_cost = 0
        self.credit_limit = None

    # The end

    def end(self, error: ConnectionClosed) -> bool:
        """Accept nothing more; return whether it was still accepted."""
        if self.error is not None:
            return False
        self.error = error
        self.queue.close()
        return True

    def drop_queue(self) -> bool:
        """Forget what was accepted and is not sent; return whether there was any."""
        session = self.protocol.machine.session
        if session is not None:
            session.abandon()
        dropped = self.queue.clear()
        self.protocol.stats.unsent += dropped
        return dropped > 0
