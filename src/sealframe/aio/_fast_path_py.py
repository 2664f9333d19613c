"""What a connection does for every read and for every message: the pure-Python backend, equal to
``sealframe.aio._fast_path``.

A read of messages alone and a message that can be written at once go the fast path, which is
here. It looks at the state of the connection each time, and keeps none of its own; whatever is out
of the ordinary goes the slow path, which the subclasses have:
:mod:`~sealframe.aio.connection_protocol`, :mod:`~sealframe.aio.receiver` and
:mod:`~sealframe.aio.sender`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ..core.closing import CloseState
from ..core.events import Phase
from ..framing import Decoder
from ..noise.records import SMALL_RECORD
from ..wire import HEAD_SIZE, MESSAGE_OVERHEAD
from .callables import refuse_awaitable
from .intake import FAIR_SHARE, PILE, SMALL_READ, Intake

if TYPE_CHECKING:
    import asyncio

    from ..core.protocol import ProtocolMachine
    from ..core.trace import Trace
    from ..core.window import Window
    from .channels import Channels
    from .closer import Closer
    from .connection_protocol import ConnectionProtocol
    from .keepalive_timer import KeepaliveTimer
    from .peer_handlers import OnBytes
    from .receive_queue import ReceiveQueue
    from .receiver import Receiver
    from .send_queue import SendQueue
    from .sender import Sender
    from .stats import Stats

__all__ = ["Counters", "ReadPath", "ReceivePath", "SendPath"]

_FAILED: Final = Phase.FAILED
_EXTENDED: Final = Phase.EXTENDED
_PACKETS: Final = Phase.PACKETS
_OPEN: Final = CloseState.OPEN
_DELIVER: Final = Intake.DELIVER


class Counters:
    """Numbers that only grow."""

    __slots__ = (
        "bytes_received",
        "bytes_sent",
        "discarded",
        "dropped",
        "messages_received",
        "messages_sent",
        "unsent",
    )

    def __init__(self) -> None:
        self.messages_received = 0
        self.messages_sent = 0
        self.bytes_received = 0
        self.bytes_sent = 0
        self.dropped = 0
        self.discarded = 0
        self.unsent = 0


class ReadPath:
    """What the event loop calls for each read.

    :ivar machine: the protocol, sans-IO
    :ivar transport: None before there is a socket, and once it is gone
    :ivar channels: the streams and requests, once there were any
    :ivar keepalive: signs of life, where any time is kept; made once it is established
    :ivar trace: logs lines at DEBUG; None where nobody reads them
    :ivar since: when it was established, by the event loop's clock
    """

    __slots__ = (
        "channels",
        "closer",
        "keepalive",
        "loop",
        "machine",
        "receiver",
        "sender",
        "since",
        "stats",
        "trace",
        "transport",
    )

    loop: asyncio.AbstractEventLoop
    machine: ProtocolMachine
    transport: asyncio.Transport | None
    closer: Closer
    keepalive: KeepaliveTimer | None
    channels: Channels | None
    trace: Trace | None
    since: float
    stats: Stats
    receiver: Receiver
    sender: Sender

    def get_buffer(self, sizehint: int) -> bytearray | memoryview:
        """Return where the next bytes go."""
        machine = self.machine
        buffer: bytearray | memoryview
        decoder = machine.decoder
        if machine.records is None and machine.phase is not _FAILED and type(decoder) is Decoder:
            buffer = decoder.lend_buffer()
        else:
            buffer = machine.get_buffer()
        return memoryview(buffer)[:SMALL_READ] if self.receiver.small_reads else buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Take in the bytes of one read."""
        machine, receiver = self.machine, self.receiver
        message = None
        if self.trace is None and machine.records is None:
            phase = machine.phase
            decoder = machine.decoder
            # Decoders of other layouts have no such method.
            if (phase is _PACKETS or phase is _EXTENDED) and type(decoder) is Decoder:
                message = decoder.take_single(nbytes)
        if message is None:
            messages = machine.buffer_updated(nbytes)
        else:
            machine.frames_received += 1
            machine.work_items = 0
            messages = [message]
        self.stats.bytes_received += nbytes
        # What comes in may be answered, and nothing of this turn was written yet.
        self.sender.written = False
        keepalive = self.keepalive
        if keepalive is not None:
            clocks = keepalive.clocks
            if clocks.probed_at is None and not keepalive.idle:
                # All that clocks.received() would do then.
                clocks.last_received = self.loop.time()
            elif clocks.received(self.loop.time(), machine.frames_received):
                keepalive.answered()
        if messages:
            receiver.deliver(messages)
        if machine.work_items:
            if machine.events:
                self.handle_events()
            if machine.has_output:
                self.sender.flush()
            if machine.work_items > FAIR_SHARE:
                receiver.give_others_a_turn()
        if nbytes >= PILE and receiver.on_message is not None:
            # Nothing piles up, but there is more to read, and others wait.
            receiver.yield_turn()
        if receiver.small_reads:
            receiver.small_reads -= 1

    def flush_soon(self) -> None:
        """Write what streams and requests have to say, now or at the end of this turn."""
        self.sender.flush_soon()

    def socket_failed(self, number: int) -> None:
        """End the connection: a write to its socket failed; for the subclass.

        :param number: errno
        """
        raise NotImplementedError

    def output_failed(self, error: Exception, messages: int) -> None:
        """End the connection: what was to be sent cannot be; for the subclass.

        :param messages: how many of it were taken from the queue, or never came there
        """
        raise NotImplementedError

    def handle_events(self, *, at_fin: bool = False) -> None:
        """Take in what the machine has to tell; for the subclass."""
        raise NotImplementedError


class ReceivePath:
    """What takes the messages in.

    :ivar queue: those that wait for the program
    :ivar on_message: called at once with ``conn`` and each message, in place of the queue; None
        where messages are queued, if only for now. Nothing is called while the send queue of
        the same connection is full.
    :ivar window: what the peer may still send, None where it knows no CREDIT
    :ivar small_reads: how many of the next reads are small: thousands of tiny frames, and no
        more, then hold up the other connections at a time
    """

    __slots__ = (
        "conn",
        "intake",
        "on_message",
        "protocol",
        "queue",
        "small_reads",
        "window",
    )

    protocol: ConnectionProtocol
    queue: ReceiveQueue
    on_message: OnBytes | None
    conn: Any
    intake: Intake
    window: Window | None
    small_reads: int

    def deliver(self, messages: list[bytes]) -> None:
        """Hand over or queue messages that came, or drop them where nobody wants them any more."""
        protocol, queue, window = self.protocol, self.queue, self.window
        if self.intake is not _DELIVER or protocol.closer.state is not _OPEN:
            self.deliver_slow_path(messages)
            return
        protocol.stats.messages_received += len(messages)
        if window is not None and not window.charge(
            sum(map(len, messages)) + len(messages) * MESSAGE_OVERHEAD,
            len(messages[-1]) + MESSAGE_OVERHEAD,
        ):
            self.deny(messages)
            return
        if self.on_message is None:
            queue.extend(messages)
        else:
            self.call_back(messages)
        queued = queue.queued_bytes
        if window is None:
            if queued >= queue.budget.quota:
                self.pause_if_full()
            return
        # What was called is taken; what was not is in the queue by now.
        low_water = window.received - window.next_grant
        if queued <= low_water:
            self.update_window()
        elif self.on_message is None:
            queue.set_low_water(low_water)
        if queued >= PILE:
            self.yield_turn()

    def call_back(self, messages: list[bytes]) -> None:
        """Call ``on_message`` with each of these; queue the rest once the send queue is full."""
        on_message, conn, send_queue = self.on_message, self.conn, self.protocol.sender.queue
        assert on_message is not None
        count = 0
        try:
            for message in messages:
                if send_queue.queued_bytes >= send_queue.high_water and self.must_stop():
                    break
                count += 1
                result = on_message(conn, message)
                if result is not None:
                    refuse_awaitable("on_message", result)
            else:
                return
        except BaseException as error:  # noqa: BLE001 - it ends this connection alone
            self.fail_call(error, len(messages) - count)
        else:
            self.hold_back(messages[count:])

    def deliver_slow_path(self, messages: list[bytes]) -> None:
        """The same, in any state; for the subclass."""
        raise NotImplementedError

    def must_stop(self) -> bool:
        """Return whether ``on_message`` is not to be called now; for the subclass."""
        raise NotImplementedError

    def hold_back(self, messages: list[bytes]) -> None:
        """Queue what ``on_message`` is not called with now; for the subclass."""
        raise NotImplementedError

    def fail_call(self, error: BaseException, left: int) -> None:
        """Fail: ``on_message`` raised an exception; for the subclass."""
        raise NotImplementedError

    def pause_if_full(self) -> None:
        """Pause reading while the queue is full; for the subclass."""
        raise NotImplementedError

    def update_window(self) -> None:
        """Send CREDIT for what was taken, once it is worth a frame; for the subclass."""
        raise NotImplementedError

    def deny(self, messages: list[bytes]) -> None:
        """Fail: the peer sent messages without credit; for the subclass."""
        raise NotImplementedError

    def yield_turn(self) -> None:
        """Let others run before more is read; for the subclass."""
        raise NotImplementedError


class SendPath:
    """What gives the messages out.

    :ivar queue: those that wait to be written
    :ivar credit_limit: cost of all messages that the peer takes, None where it sets no limit
    :ivar sent_cost: cost of all that were written. Both count from the start of the
        connection, as QUIC's do (RFC 9000, section 4.1).
    :ivar write_paused: whether the transport's buffer is full
    :ivar written: whether something was written in this turn of the event loop
    :ivar writing: whether a write is under way, from the take to the transport: what a finalizer
        sends meanwhile must not overtake it, nor what it closes
    :ivar socket: what the compiled backend writes to, where the transport has nothing to write
        before, and would otherwise write only in a later turn of the event loop; None until a
        connection proves to be busy, and :data:`~.writing.NO_SOCKET` where it must not
    """

    __slots__ = (
        "credit_limit",
        "protocol",
        "queue",
        "sent_cost",
        "socket",
        "write_paused",
        "writing",
        "written",
    )

    protocol: ConnectionProtocol
    queue: SendQueue
    credit_limit: int | None
    sent_cost: int
    write_paused: bool
    written: bool
    writing: bool
    socket: int | None

    def flush_soon(self) -> None:
        """Messages were put into the queue: write them now, or at the end of this turn."""
        queue = self.queue
        if not queue.due:
            return
        if not queue.paused and not self.writing and (not self.written or queue.scheduled):
            self.written = True
            self.flush()
        elif not queue.scheduled:
            # It costs as much as to write a small message, so not for the first.
            queue.scheduled = True
            self.protocol.loop.call_soon(self.end_turn)

    def flush(self) -> None:
        """Write what may be written now; for the subclass."""
        raise NotImplementedError

    def end_turn(self) -> None:
        """Write at the end of this turn of the event loop; for the subclass."""
        raise NotImplementedError

    def write_now(self, message: bytes) -> bool:
        """Write one small message past the queue; return False, and do nothing, where it has to
        wait, or where something else is to be written too.

        The queue calls it: nothing waits there, no write is scheduled, and it is not paused.

        :param message: of a size that may be sent
        """
        protocol, size = self.protocol, len(message)
        if self.written or self.writing or self.write_paused or size >= SMALL_RECORD - HEAD_SIZE:
            return False
        limit = self.credit_limit
        if limit is not None and self.sent_cost >= limit:
            return False
        transport, machine = protocol.transport, protocol.machine
        if transport is None or protocol.closer.state is not _OPEN or protocol.trace is not None:
            return False
        records = machine.records
        # On a plain connection without either of these, nothing else waits to be written.
        if (
            machine.output is not None or machine.opened is not None or records is not None
        ) and machine.has_output:
            return False
        session = machine.session
        # There is no room while what the link before has lost is sent again. Where a write has
        # failed, the next link gets the rest.
        if session is not None and (session.room <= 0 or transport.is_closing()):
            return False
        self.written = self.writing = True
        try:
            data = machine.encoder.encode(message)
            if session is not None:
                session.retention.keep_messages([message], size + MESSAGE_OVERHEAD)
            if records is not None:
                assert records.sender is not None
                try:
                    record = records.sender.seal_record(data)
                except Exception as error:  # noqa: BLE001 - nothing may follow without it
                    protocol.output_failed(error, 1)
                    return True
                data = len(record).to_bytes(HEAD_SIZE, "little") + record
            transport.write(data)
        finally:
            self.writing = False
        stats = protocol.stats
        stats.bytes_sent += len(data)
        stats.messages_sent += 1
        self.sent_cost += size + MESSAGE_OVERHEAD
        if limit is not None and self.sent_cost >= limit:
            self.queue.paused = True
        keepalive = protocol.keepalive
        if keepalive is not None and keepalive.idle:
            keepalive.sent()
        return True
