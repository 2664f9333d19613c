"""What a protocol machine sends: messages and control frames in, buffers for the socket out.

The half of :class:`.protocol.ProtocolMachine` that knows nothing of what the peer may send: what is
received changes its :attr:`~SendingHalf.phase` and queues answers here. No sockets, no clock.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Final, cast

from .. import wire
from ..errors import MessageTooLargeError, MessageTooSmallError, NotSupportedError
from ..framing import FrameEncoder, FrameLayout, Framing, Sender
from ..noise.records import RecordLayer
from ..wire import CloseCode, Opcode, control
from ..wire.control import Close
from .control_output import ControlOutput
from .events import Phase
from .faults import no_link_yet, packets_only
from .framed_output import FramedOutput
from .introductions import Introductions
from .multiplexer import Multiplexer
from .retention import cost_of_packed
from .session import Session
from .trace import Trace, trace_messages, trace_sent

SENDING: Final = Framing(control=True, maximum=wire.MAX_LENGTH)
"""The native layout; what is sent is bounded by the peer's limit, not by our own."""

TURN: Final = 16 * 1024
"""Bytes of streams that are framed and sealed in one go: what a request waits for on a slow link,
at 20 Mbit/s 7 ms."""
LARGE_TURN: Final = 2 * wire.MAX_CHUNK
"""The same on a fast link, where each go has a cost of its own."""

_SHARED: Final = 4096
"""Bytes of streams up to which a record may have them behind something else. A record opens once
all of it is here, so what overtakes a stream gets records of its own."""

_EXTENDED: Final = Phase.EXTENDED

_NO_OUTPUT: Final = ControlOutput()
"""In place of one that was not made; it stays empty."""


class SendingHalf:
    """What one end of a connection sends.

    :param client: whether this end connected
    :param phase: what the peer may send first
    :param introductions: what both ends say of themselves
    :param framing: a foreign layout, messages only; None for sealframe's own
    :param records: the sealed layer, None for plain
    """

    __slots__ = (
        "client",
        "encoder",
        "extended",
        "frames_received",
        "introductions",
        "layout",
        "opened",
        "output",
        "phase",
        "records",
        "send_limit",
        "send_minimum",
        "session",
        "trace",
        "write_closed",
    )

    def __init__(
        self,
        *,
        client: bool,
        phase: Phase,
        introductions: Introductions,
        framing: FrameLayout | None,
        records: RecordLayer | None,
        trace: Trace | None,
    ) -> None:
        self.client = client
        self.phase = phase
        """What the peer may send now."""
        self.introductions = introductions
        """What both ends say of themselves."""
        self.encoder: FrameEncoder | FramedOutput = SENDING.encoder
        """What makes frames of messages, or joins frames that were made when they were accepted."""
        self.layout = framing
        """The foreign layout, None for sealframe's own."""
        self.records = records
        """The sealed layer, None for plain."""
        self.trace = trace
        """Logs frames, where somebody reads them."""
        self.opened: Multiplexer | None = None
        """The streams and requests, once there were any."""
        self.session: Session | None = None
        """What goes over several links, of which this is one; None for none."""
        self.output: ControlOutput | None = None
        """Control frames that wait to be written, once there were any."""
        self.extended = False
        """Whether control frames may be sent."""
        self.write_closed = False
        """Whether FIN has ended this end's direction, or is about to: nothing more is written."""
        self.frames_received = 0
        """Message frames and counted control frames so far, which ACK and CLOSE tell."""
        self.send_limit = introductions.local.max_frame
        """The largest message that may be sent, in bytes."""
        self.send_minimum = 0
        """The smallest message that may be sent, in bytes."""
        if framing is not None:
            self._send_foreign(framing, "client" if client else "server")

    def _send_foreign(self, layout: FrameLayout, sender: Sender) -> None:
        self.send_limit = min(self.send_limit, layout.maximum)
        self.send_minimum = layout.minimum
        if layout.size_decides:
            self.encoder = layout.new_encoder(sender=sender)
        else:
            self.encoder = FramedOutput(partial(layout.new_encoder, sender=sender))
        preamble = layout.preamble(sender)
        if preamble:
            self.make_output().add_plaintext(preamble)

    def check_size(self, size: int) -> None:
        """Refuse a message that cannot be sent.

        :raises MessageTooLargeError: it is over :attr:`send_limit`
        :raises MessageTooSmallError: it is below :attr:`send_minimum`
        """
        if size > self.send_limit:
            raise MessageTooLargeError(size, self.send_limit)
        if size < self.send_minimum:
            raise MessageTooSmallError(size, self.send_minimum)

    @property
    def has_output(self) -> bool:
        """Whether :meth:`take_output` has something beside messages."""
        if self.write_closed:
            return False
        if self.output is not None and self.output.pending:
            return True
        if self.opened is not None and self.multiplexing and self.opened.has_output:
            return True
        if self.session is not None and self.session.retention.resending:
            return True
        return self.records is not None and bool(self.records.output)

    def take_output(self, messages: list[bytes], turn: int = TURN) -> list[bytes]:
        """Return the buffers to write now, framed and sealed, ``messages`` among them.

        Call it in wire order and write all that it returns. Of what goes over streams
        it is a part, so that messages and streams take turns.

        :param messages: each at most :attr:`send_limit` bytes; the frames of the
            whole list go out together
        :param turn: bytes of streams, about
        """
        if self.write_closed:
            return []
        records = self.records
        if self.trace is not None:
            framed = isinstance(self.encoder, FramedOutput)
            trace_messages(self.trace, messages, "frame" if framed else "message")
        if not self.has_output and (records is None or records.established):
            buffers = self.encoder.pack(messages)
            if self.session is not None:
                cost = cost_of_packed(len(messages), buffers)
                self.session.retention.keep_messages(messages, cost)
            return buffers if records is None else records.seal(*buffers)
        output = _NO_OUTPUT if self.output is None else self.output
        buffers = output.take_plaintext()
        if records is not None:
            buffers += records.output
            records.output = ()
            if not records.established:
                return buffers
        before = output.take()
        session = self.session
        # An idle connection keeps none: the next frame makes another.
        self.output = None
        packed = self.encoder.pack(messages) if messages else []
        streams: list[bytes] = []
        again: list[bytes] = []
        if session is not None and session.retention.resending:
            again = self._take_kept(session, turn)
            self._hold_back(session, output)
        elif self.opened is not None and self.multiplexing:
            # A request overtakes the messages that wait.
            urgent = self.opened.take_all_urgent()
            before += urgent
            # Parts of what the program wrote, which are written and sealed as bytes are.
            if session is None or session.data_room > 0:
                streams = cast("list[bytes]", self.opened.take(turn))
            else:
                streams = cast("list[bytes]", self.opened.take_without_data())
            if session is not None:
                cost = cost_of_packed(len(messages), packed)
                session.keep(urgent, messages, cost, streams)
        elif session is not None:
            session.retention.keep_messages(messages, cost_of_packed(len(messages), packed))
        last = output.take_close()
        if self.trace is not None:
            trace_sent(self.trace, [*before, *streams, *last])
        before += again
        first = before + packed
        last = streams + last
        if records is None:
            return buffers + first + last
        if first and sum(map(len, streams)) > _SHARED:
            return buffers + records.seal(*first) + records.seal(*last)
        return buffers + records.seal(*first, *last)

    def _hold_back(self, session: Session, output: ControlOutput) -> None:
        """Have an orderly CLOSE wait for a further write: it goes behind what is sent again."""
        close = output.close
        if close is None:
            return
        if close.code == CloseCode.NORMAL and session.retention.resending:
            output.forget_close()
            self.make_output().end(close)
        else:
            # More may have come, and been acknowledged, since it was queued.
            received = session.told = session.acknowledgeable(self.frames_received)
            output.end(replace(close, frames_received=received))

    def _take_kept(self, session: Session, turn: int) -> list[bytes]:
        """Return, framed, the next of what the link before was given and the peer has not got."""
        buffers: list[bytes] = []
        for batch in session.retention.take(turn):
            frames = [cast("bytes", buffer) for frame in batch.frames for buffer in frame]
            if self.trace is not None:
                trace_messages(self.trace, batch.messages)
                trace_sent(self.trace, frames)
            buffers += self.encoder.pack(batch.messages) + frames
        return buffers

    def acknowledge(self) -> None:
        """Queue ACK for what came, if there is anything new to tell (section 12)."""
        session = self.session
        if session is not None and self.phase is not Phase.FAILED:
            number = session.acknowledge(self.frames_received)
            if number is not None:
                self.make_output().acknowledge(number)

    def ping(self, body: bytes) -> None:
        """Queue a PING.

        :param body: at most 8 bytes, which PONG brings back
        :raises NotSupportedError: only packets are spoken here
        """
        if not self.extended:
            raise self._not_extended("ping")
        self.queue(control.frame(Opcode.PING, body))

    def _not_extended(self, what: str) -> NotSupportedError:
        if self.session is not None:
            return no_link_yet(what)
        return packets_only(what, self.phase)

    @property
    def window(self) -> int:
        """Cost of the messages that the peer may send before it gets CREDIT."""
        return self.introductions.local.window or 0

    @property
    def windowed(self) -> bool:
        """Whether both ends give each other CREDIT for messages."""
        return self.introductions.windowed

    def give_credit(self, increment: int) -> None:
        """Let the peer send messages of that cost more."""
        self.make_output().credit(increment)
        # In one write: each wakes both ends, which costs more than what is in it.
        self.acknowledge()

    @property
    def multiplexer(self) -> Multiplexer:
        """The streams and requests.

        :raises NotSupportedError: only packets are spoken here
        """
        if self.opened is None:
            local, peer = self.introductions.local, self.introductions.peer
            if not self.extended or peer is None:
                raise self._not_extended("streams and requests")
            self.opened = Multiplexer(client=self.client, local=local, peer=peer)
        return self.opened

    @property
    def unsent(self) -> bool:
        """Whether something accepted for a stream or request is not written yet."""
        session, multiplexer = self.session, self.opened
        if session is not None and session.waits(self.phase is Phase.ENDED and self.client):
            return True
        return multiplexer is not None and self.multiplexing and multiplexer.unsent

    @property
    def multiplexing(self) -> bool:
        """Whether there may be streams and requests: the CLOSE of either end ends them all."""
        return self.extended and self.phase is _EXTENDED

    def go_away(self, close: Close) -> None:
        """Queue a GOAWAY, where the peer understands it."""
        if self.extended:
            if self.session is None:
                close = replace(close, retry_after=None)
            self.queue(control.frame(Opcode.GOAWAY, close.encode()))

    def close(self, close: Close, discarded: int = 0) -> bool:
        """Queue our CLOSE, which goes after everything else, and stop answering.

        :param discarded: messages that came and were thrown away
        :return: whether there is one: where only packets flow, FIN says it
        """
        if not self.extended:
            # A CLOSE that waits to be written still goes out.
            self.write_closed = self.output is None or self.output.close is None
            return False
        self.queue_close(close, discarded=discarded)
        self.extended = False
        return True

    def end_output(self) -> None:
        """FIN goes out: have nothing more to say."""
        self.write_closed = True

    def make_output(self) -> ControlOutput:
        """Return where control frames wait to be written."""
        if self.output is None:
            self.output = ControlOutput()
        return self.output

    def queue(self, frame: bytes) -> None:
        """Queue a whole control frame."""
        self.make_output().add(frame)

    def queue_close(self, close: Close, *, size: int = 0, discarded: int = 0) -> None:
        """Queue CLOSE.

        :param size: of its body, in bytes, if it would be shorter
        :param discarded: messages that came and were thrown away
        """
        received, retry_after = self.frames_received, None
        if self.session is not None:
            received = self.session.told = self.session.acknowledgeable(received)
            retry_after = close.retry_after
        said = Close(close.code, close.reason, received, discarded, retry_after)
        self.make_output().end(said, size=size)
