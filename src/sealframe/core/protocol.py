"""The state machine of one connection: bytes in, messages out, and the reverse.

Theory of operation. The owner reads into :meth:`get_buffer`, tells :meth:`buffer_updated`, takes
the messages it returns, then looks at :attr:`events` and :attr:`has_output`. What may arrive when,
and what comes next, is the table of :mod:`.rules`; each entry names one of the methods ``on_...``
below. Nothing here raises for what a peer did: a fault becomes a :class:`Failed` event, after the
messages that came before it. No sockets, no clock, no event loop.

Longer than other modules, because each kind of frame has its method here.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from functools import lru_cache
from typing import Final, TypeAlias, cast

from .. import wire
from ..errors import (
    ConnectionClosedError,
    FrameTooLargeError,
    FramingError,
    HandshakeError,
    MessageTooLargeError,
    MessageTooSmallError,
    NotSupportedError,
    PeerTimeoutError,
    ProtocolError,
    TruncatedError,
    UnauthorizedError,
)
from ..framing import Decoder, Framing
from ..noise.records import RecordLayer
from ..wire import CloseCode, Control, Opcode, control
from ..wire.control import Close, Hello, MalformedBodyError, SessionWelcome
from ..wire.sniffing import diagnose
from .control_output import ControlOutput
from .events import (
    Acknowledged,
    Credited,
    Ended,
    Established,
    Event,
    Failed,
    GoingAway,
    Joining,
    Phase,
    Ponged,
)
from .introductions import (
    Identify,
    Introductions,
    PeerIdentity,
    UnreadableIntroductionError,
    introduction,
)
from .multiplexer import Multiplexer, ViolationError
from .rules import ESTABLISHED, EXPECTED, MESSAGE, RULES, UNKNOWN, opcode_name
from .session import PendingLink, Session
from .trace import Trace, trace_messages, trace_received, trace_sent

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

_DISCARD: Final = bytearray(64 * 1024)
"""Where the bytes of failed connections go, all of them: nobody reads it."""

# To look these up in their class, at each read, takes longer than to compare them.
_PACKETS: Final = Phase.PACKETS
_EXTENDED: Final = Phase.EXTENDED
_FAILED: Final = Phase.FAILED
_SEALED_HELLO: Final = Phase.SEALED_HELLO
_WELCOME: Final = Phase.WELCOME
_JOINING: Final = Phase.JOINING

_TOLD: Final = frozenset({Phase.SEALED_HELLO, Phase.SEALED_WELCOME, Phase.JOINING})
"""Phases before the end of the introductions in which a peer is known to read CLOSE."""

_UNREACHABLE: Final = frozenset({errno.ETIMEDOUT, errno.EHOSTUNREACH, errno.ENETUNREACH})
"""With which a connected socket ends once keepalive, or what was sent, is not acknowledged in time
(RFC 1122, sections 4.2.3.5 and 4.2.3.9)."""

_UNANNOUNCED: Final = Established(Hello())
"""Packets may flow, and the peer has said nothing of itself."""


class ProtocolMachine:
    """One end of a connection.

    :param client: whether this end connected
    :param max_message_size: the largest message accepted, in bytes
    :param framing: a foreign layout, messages only, whose maximum is not over
        ``max_message_size``; None for sealframe's own
    :param records: the sealed layer, None for plain
    :param extended: for a plain client, ask for control frames
    :param client_id: on a server, the id that WELCOME tells the client
    :param invitation: on a client, the token that HELLO shows to the server
    :param window: cost of the messages that the peer may send before it gets CREDIT;
        None gives none, and knows of none
    :param max_streams: how many streams of the peer this end takes at a time
    :param max_requests: the same of requests
    :param identify: given the key that the peer has proved and, on a server, the token
        that it showed, returns who that is, or the error that refuses it with
        ``CloseCode.UNAUTHORIZED``
    :param session: on a client, field 4 of HELLO, empty for no session
    :param takes_sessions: on a server, whether it keeps sessions
    """

    __slots__ = (
        "_answered",
        "_write_closed",
        "client",
        "decoder",
        "encoder",
        "events",
        "extended",
        "frames_received",
        "introductions",
        "joining",
        "opened",
        "output",
        "phase",
        "records",
        "send_limit",
        "send_minimum",
        "session",
        "trace",
        "work_items",
    )

    def __init__(
        self,
        *,
        client: bool,
        max_message_size: int,
        framing: Framing | None = None,
        records: RecordLayer | None = None,
        extended: bool = False,
        client_id: str = "",
        software: str = "",
        invitation: bytes = b"",
        window: int | None = None,
        max_streams: int = 0,
        max_requests: int = 0,
        identify: Identify | None = None,
        session: bytes = b"",
        takes_sessions: bool = False,
        trace: Trace | None = None,
    ) -> None:
        self.client = client
        self.trace = trace
        """Logs frames, where somebody reads them."""
        sending = framing or SENDING
        self.encoder = sending.encoder
        self.decoder: Decoder = _receiving(framing, max_message_size).decoder()
        self.records = records
        """The sealed layer, None for plain."""
        local = introduction(max_message_size, software, window, max_streams, max_requests)
        if invitation or session:
            local = replace(local, invitation=invitation, session=session)
        self.introductions = Introductions(local, client_id, identify)
        """What both ends say of themselves."""
        self.opened: Multiplexer | None = None
        """The streams and requests, once there were any."""
        self.session: Session | None = None
        """What goes over several links, of which this is one; None for none."""
        self.joining = PendingLink() if session or takes_sessions else None
        """What is known until a session is joined; None where there can be none."""
        self.output: ControlOutput | None = None
        """Control frames that wait to be written, once there were any."""
        self._write_closed = False
        # Unknown opcodes that UNSUPPORTED has answered.
        self._answered: set[int] | None = None
        self.events: list[Event] | tuple[()] = ()
        """What happened beside messages; the owner empties it."""
        self.extended = False
        """Whether control frames may be sent."""
        self.work_items = 0
        """Records, frames and fields of the last read that were handled one by one, and one
        more; 0 if there were none, and neither events nor output can have come of it."""
        self.frames_received = 0
        """Message frames and counted control frames so far."""
        self.send_limit = min(max_message_size, sending.layout.maximum)
        """The largest message that may be sent, in bytes."""
        self.send_minimum = 0 if framing is None else framing.layout.minimum
        """The smallest message that may be sent, in bytes."""
        if records is not None:
            self.phase = Phase.SEALING
        elif framing is not None or (client and not extended):
            self.phase = Phase.PACKETS
            self._emit(_UNANNOUNCED)
        elif client:
            self.phase = Phase.WELCOME
            self.queue(self.introductions.hello())
        else:
            self.phase = Phase.FIRST
            # A session that comes back is not to be taken for a new client first.
            if not takes_sessions:
                self._emit(_UNANNOUNCED)

    @property
    def sealed(self) -> bool:
        """Whether this end encrypts."""
        return self.records is not None

    @property
    def peer(self) -> PeerIdentity | None:
        """Who is at the other end, as it proved, where it has an identity."""
        return self.introductions.identity

    @property
    def channel_binding(self) -> bytes:
        """The handshake hash of a sealed connection, else empty."""
        return b"" if self.records is None else self.records.channel_binding

    # Receiving

    def get_buffer(self) -> bytearray | memoryview:
        """Return where the next bytes from the socket go."""
        if self.phase is _FAILED:
            return _DISCARD
        return self.decoder.get_buffer() if self.records is None else self.records.get_buffer()

    def buffer_updated(self, nbytes: int) -> list[bytes]:
        """Take in ``nbytes`` of the buffer; return the messages that are whole now."""
        self.work_items = 1
        if self.phase is _FAILED:
            return []
        if self.records is None:
            decoder = self.decoder
            try:
                frames = decoder.buffer_updated(nbytes)
            except FramingError as fault:
                return self.receive_fault(fault)
            if self.trace is not None:
                trace_received(self.trace, frames)
            if not decoder.saw_control and (self.phase is _PACKETS or self.phase is _EXTENDED):
                self.frames_received += len(frames)
                self.work_items = 0
                return frames  # type: ignore[return-value]  # no Control among them
            return self.receive_frames(frames)
        return self._receive_sealed(self.records, nbytes)

    def receive_eof(self) -> None:
        """Take in the end of the peer's stream."""
        self._return_buffer()
        if self.phase in (Phase.ENDED, Phase.FAILED):
            return
        unanswered = self._settle_for_packets()
        if self.phase is Phase.SEALING:
            assert self.records is not None
            self._fail(self.records.end())
        elif self.phase in (
            Phase.SEALED_HELLO,
            Phase.SEALED_WELCOME,
            Phase.WELCOME,
            Phase.JOINING,
        ):
            self._fail(HandshakeError(self.explain("the peer closed during the handshake")))
        elif self._pending:
            self._fail(TruncatedError(self.explain(self._truncation("ended"))))
        elif self.phase is Phase.EXTENDED:
            self._fail(
                TruncatedError(
                    "the peer's stream ended without a CLOSE: it crashed, or the link was cut"
                )
            )
        else:
            self.announce()
            self.phase = Phase.ENDED
            self._emit(Ended(None, unanswered))

    def receive_loss(self, cause: Exception | None) -> None:
        """Take in that the socket is gone, with the error it gave."""
        self._return_buffer()
        if self.phase in (Phase.ENDED, Phase.FAILED):
            return
        self._settle_for_packets()
        why = f": {cause}" if cause is not None else ""
        error: ConnectionClosedError
        if self.phase in ESTABLISHED:
            if isinstance(cause, OSError) and cause.errno in _UNREACHABLE:
                error = PeerTimeoutError(
                    f"the peer gave no sign of life, and the system gave it up{why}"
                )
            elif self._pending:
                error = TruncatedError(self.explain(self._truncation("was reset")))
            else:
                error = TruncatedError(f"the connection was lost without a close{why}")
        else:
            error = HandshakeError(
                self.explain(f"the connection was lost during the handshake{why}")
            )
        error.__cause__ = cause
        self._fail(error)

    def expire(self) -> None:
        """Take in that the time for the handshake is up."""
        if self.phase is Phase.SEALING:
            assert self.records is not None
            self.records.refuse_silent()

    def announce(self) -> None:
        """Server that keeps sessions: a client that has not said HELLO yet may get messages."""
        if self.joining is not None and self.phase is Phase.FIRST and not self.joining.announced:
            self.joining.announced = True
            self._emit(_UNANNOUNCED)

    def _settle_for_packets(self) -> bool:
        """Hand out what came of a server that ended without WELCOME; return whether it did so.

        A plain server that closes before it has read HELLO knows of packets only (section 2).
        """
        if self.phase is not Phase.WELCOME or not self.frames_received:
            return False
        self.phase = Phase.PACKETS
        self._emit(_UNANNOUNCED)
        return True

    def _return_buffer(self) -> None:
        # Event loops ask for a buffer and then find the end.
        if self.records is not None:
            self.records.return_buffer()
        elif self.phase is not Phase.FAILED:
            with suppress(ValueError):  # none is exported
                self.decoder.buffer_updated(0)

    # Sending

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
        if self._write_closed:
            return False
        if self.output is not None and self.output.pending:
            return True
        if self.opened is not None and self._multiplexing and self.opened.has_output:
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
        if self._write_closed:
            return []
        records = self.records
        if self.trace is not None:
            trace_messages(self.trace, messages)
        if not self.has_output and (records is None or records.established):
            if self.session is not None:
                self.session.retention.keep_messages(messages)
            buffers = self.encoder.pack(messages)
            return buffers if records is None else records.seal(*buffers)
        output = _NO_OUTPUT if self.output is None else self.output
        buffers = output.take_plaintext()
        if records is not None:
            buffers += records.output
            records.output = ()
            if not records.established:
                return buffers
        before, last = output.take()
        session = self.session
        # An idle connection keeps none: the next frame makes another.
        self.output = None
        streams: list[bytes] = []
        again: list[bytes] = []
        if session is not None and session.retention.resending:
            again = self._take_kept(session, turn)
        elif self.opened is not None and self._multiplexing:
            # A request overtakes the messages that wait.
            urgent = self.opened.take_all_urgent()
            before += urgent
            # Parts of what the program wrote, which are written and sealed as bytes are.
            if session is None or session.room > 0:
                streams = cast("list[bytes]", self.opened.take(turn))
            else:
                streams = cast("list[bytes]", self.opened.take_without_data())
            if session is not None:
                session.keep(urgent, messages, streams)
        elif session is not None:
            session.retention.keep_messages(messages)
        if self.trace is not None:
            trace_sent(self.trace, [*before, *streams, *last])
        before += again
        first = before + self.encoder.pack(messages) if messages else before
        last = streams + last
        if records is None:
            return buffers + first + last
        if first and sum(map(len, streams)) > _SHARED:
            return buffers + records.seal(*first) + records.seal(*last)
        return buffers + records.seal(*first, *last)

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

    def forget_input(self) -> None:
        """Let go of a frame that is cut short: the link is cut off, and nothing more comes."""
        self.decoder = SENDING.decoder()
        if self.records is not None:
            self.records.forget_input()

    def acknowledge(self) -> None:
        """Queue ACK for what came, if there is anything new to tell (section 12)."""
        session = self.session
        if session is not None and self.phase is not _FAILED:
            number = session.acknowledge(self.frames_received)
            if number is not None:
                self.queue(control.ack(number))

    def note_discarded(self) -> None:
        """A message that came was thrown away: a session acknowledges no more (section 12)."""
        if self.session is not None:
            self.session.frozen = True

    def ping(self, body: bytes) -> None:
        """Queue a PING.

        :param body: at most 8 bytes, which PONG brings back
        :raises NotSupportedError: only packets are spoken here
        """
        if not self.extended:
            raise self._packets_only("ping")
        self.queue(control.frame(Opcode.PING, body))

    def _packets_only(self, what: str) -> NotSupportedError:
        verb = "needs" if what == "ping" else "need"
        if self.phase is Phase.FIRST:
            return NotSupportedError(
                f"{what} {verb} an extended client, and this one has not said yet whether it is: "
                "receive its first message before, or use security=..."
            )
        return NotSupportedError(
            f"this connection carries packets only; {what} {verb} security=... or extended=True"
        )

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
        self._make_output().credit(increment)

    @property
    def multiplexer(self) -> Multiplexer:
        """The streams and requests.

        :raises NotSupportedError: only packets are spoken here
        """
        if self.opened is None:
            local, peer = self.introductions.local, self.introductions.peer
            if not self.extended or peer is None:
                raise self._packets_only("streams and requests")
            self.opened = Multiplexer(client=self.client, local=local, peer=peer)
        return self.opened

    @property
    def unsent(self) -> bool:
        """Whether something accepted for a stream or request is not written yet."""
        session, multiplexer = self.session, self.opened
        if session is not None and session.waits(self.phase is Phase.ENDED and self.client):
            return True
        return multiplexer is not None and self._multiplexing and multiplexer.unsent

    @property
    def _multiplexing(self) -> bool:
        # The CLOSE of either end ends all streams and requests.
        return self.extended and self.phase is _EXTENDED

    def fail_protocol(self, text: str) -> None:
        """Fail because the peer broke a rule that only the owner can see broken."""
        self._fail(ProtocolError(text, code=CloseCode.PROTOCOL), CloseCode.PROTOCOL)

    def give_up(self, error: PeerTimeoutError) -> None:
        """Fail because the peer gives no sign of life, and tell it so, in case it was only slow."""
        self._fail(error, CloseCode.TIMEOUT)

    def refuse_messages(self) -> None:
        """Fail because the client sent a message, and nothing here takes any."""
        text = "the client sent a message, and this server takes none"
        if self.records is None and self.introductions.peer is None:
            # To a client of packets the end of the stream alone would look like a close in order.
            refusal = control.frame(Opcode.CLOSE, Close(CloseCode.NO_MESSAGES, text).encode())
            self._make_output().add_plaintext(refusal)
        if self.phase is not _FAILED:
            # What came behind that message, its CLOSE for one, counts no more.
            self.events = ()
        self._fail(ProtocolError(text, code=CloseCode.NO_MESSAGES), CloseCode.NO_MESSAGES)

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
            self._write_closed = self.output is None or self.output.close is None
            return False
        self._queue_close(close, discarded=discarded)
        self.extended = False
        return True

    # Inside: output

    def _make_output(self) -> ControlOutput:
        if self.output is None:
            self.output = ControlOutput()
        return self.output

    def queue(self, frame: bytes) -> None:
        """Queue a whole control frame."""
        self._make_output().add(frame)

    def _queue_close(self, close: Close, *, size: int = 0, discarded: int = 0) -> None:
        received, retry_after = self.frames_received, None
        if self.session is not None:
            received = self.session.acknowledgeable(received)
            retry_after = close.retry_after
        body = Close(close.code, close.reason, received, discarded, retry_after)
        self._make_output().end(control.frame(Opcode.CLOSE, body.encode(size=size)))

    # Inside: input

    def _emit(self, event: Event) -> None:
        # No list for the many connections on which nothing but messages come.
        if isinstance(self.events, list):
            self.events.append(event)
        else:
            self.events = [event]

    def _receive_sealed(self, layer: RecordLayer, nbytes: int) -> list[bytes]:
        records: Iterable[bytes | memoryview]
        single = layer.take_single(nbytes)
        if single is None:
            layer.buffer_updated(nbytes)
            records = layer.records()
        else:
            records = (single,)
        if self.phase is Phase.SEALING and layer.established:
            self.phase = Phase.SEALED_WELCOME if self.client else Phase.SEALED_HELLO
            if self.client:
                self.queue(self.introductions.hello())
        decoder = self.decoder
        messages: list[bytes] = []
        for record in records:
            self.work_items += 1
            if self.phase is _FAILED:
                layer.open(record)
                continue
            first = self.phase is _SEALED_HELLO
            try:
                frames = layer.open_into(record, decoder)
            except FramingError as fault:
                messages += self.receive_fault(fault)
                continue
            if self.trace is not None:
                trace_received(self.trace, frames)
            if self.phase is _EXTENDED and not decoder.saw_control:
                self.frames_received += len(frames)
                messages += frames  # type: ignore[arg-type]  # no Control among them
            elif layer.failure is None:
                if first and (len(frames) != 1 or decoder.pending):
                    self._fail_forbidden("a first record that is not HELLO alone")
                messages += self.receive_frames(frames)
        if layer.failure is not None:
            # Nothing goes out after a record that does not open.
            if self.output is not None:
                self.output.forget_close()
            self._fail(layer.failure)
        return messages

    def receive_fault(self, fault: FramingError) -> list[bytes]:
        if self.trace is not None:
            trace_received(self.trace, fault.frames)
        messages = self.receive_frames(fault.frames)
        if self.phase is _JOINING:
            assert self.joining is not None
            self.joining.fault = fault
        else:
            self._fail_framing(fault)
        return messages

    def _fail_framing(self, fault: FramingError) -> None:
        if self.phase is not _FAILED:
            code = CloseCode.PROTOCOL
            if isinstance(fault, FrameTooLargeError):
                code = CloseCode.TOO_LARGE
            error = self._fault(self.explain(str(fault)), code)
            error.__cause__ = fault
            self._fail(error, code)

    def receive_frames(self, frames: list[bytes | Control]) -> list[bytes]:
        self.work_items += len(frames)
        messages: list[bytes] = []
        for frame in frames:
            phase = self.phase
            if phase is _JOINING:
                assert self.joining is not None
                # A client decides before it reads on, and much may be sent again behind WELCOME.
                if not self.joining.hold(frame) and not self.client:
                    self._fail_forbidden("so much behind HELLO")
                    break
                continue
            row = _METHODS[phase]
            if isinstance(frame, bytes):
                if phase is Phase.FIRST:
                    self.announce()
                if MESSAGE not in row:
                    self._fail_forbidden("a message")
                    break
                if phase is _WELCOME and self.joining is not None:
                    # It is of no session.
                    continue
                self.phase = row[MESSAGE][1]
                self.frames_received += 1
                messages.append(frame)
                continue
            known = frame.opcode in wire.KNOWN_OPCODES
            rule = row.get(frame.opcode if known else UNKNOWN)
            if rule is None:
                self._fail_unexpected(frame)
                break
            if frame.opcode & wire.OPCODE_COUNTED:
                self.frames_received += 1
            method, following = rule
            method(self, frame)
            if self.phase is phase:
                self.phase = following
            if self.phase is Phase.FAILED:
                break
        return messages

    def _fail(self, error: ConnectionClosedError, code: int | None = None) -> None:
        if self.phase is Phase.FAILED:
            return
        # What was opened came from a holder of the key, who reads CLOSE.
        told = self.extended or self.phase in _TOLD
        if self.phase is _JOINING:
            # Behind HELLO or WELCOME came a record that does not open: nothing came of either.
            self.events = ()
        self.phase = Phase.FAILED
        if self.output is not None:
            self.output.clear()
        if code == CloseCode.UNAUTHORIZED:
            # Of the size of WELCOME, so that nobody on the way sees which it was.
            self._queue_close(Close(code), size=len(self._welcome()))
        elif code is not None and told:
            self._queue_close(Close(code, str(error)))
        # A session whose link has failed goes on over the next one.
        self.extended = self.session is not None and code is None
        self._emit(Failed(error))

    def _fail_unexpected(self, frame: Control) -> None:
        error = None
        if self.client and self.phase is _PACKETS:
            error = _refusal(frame, first=not self.frames_received)
        if error is not None:
            self._fail(error)
        else:
            self._fail_forbidden(opcode_name(frame.opcode))

    def _fail_forbidden(self, what: str) -> None:
        text = f"{what} is not allowed here ({EXPECTED[self.phase]})"
        self._fail(self._fault(self.explain(text), CloseCode.PROTOCOL), CloseCode.PROTOCOL)

    def _fault(self, text: str, code: CloseCode) -> ConnectionClosedError:
        """Return the error for a peer that broke the protocol in this phase."""
        kind = ProtocolError if self.phase in ESTABLISHED else HandshakeError
        return kind(text, code=code)

    @property
    def _pending(self) -> int:
        inner = self.decoder.pending
        return inner if self.records is None else inner + self.records.pending

    def _truncation(self, how: str) -> str:
        size = self.decoder.frame_size
        if self.records is not None and self.records.pending:
            return f"the peer's stream {how} inside a sealed record"
        of = f"{self.decoder.pending} of its {size} bytes" if size else "a part of its head"
        return f"the peer's stream {how} inside a frame: only {of} came"

    def explain(self, text: str) -> str:
        """Add to an error's text what the first bytes say about the peer, if they do."""
        if self.frames_received or self.records is not None:
            return text
        diagnosis = diagnose(self.decoder.prefix)
        return f"{text} ({diagnosis})" if diagnosis else text

    # Rules: one method per kind of control frame

    def on_message(self, frame: Control) -> None:
        """Stands in the rows where messages may come; they are delivered without it."""

    def on_hello(self, frame: Control) -> None:
        """Server: a client introduces itself."""
        hello = self._read_introduction(frame)
        if hello is None:
            return
        if self._write_closed:
            # It crossed our FIN, after which nothing can be answered.
            self.phase = Phase.PACKETS
            return
        if self.joining is not None and hello.session:
            self.joining.hello = hello
            if self._check_identity(hello.invitation):
                self.phase = _JOINING
                self._emit(Joining(hello))
            return
        self.joining = None
        if self._check_identity(hello.invitation):
            self.queue(control.frame(Opcode.WELCOME, self.introductions.welcome()))
            self._establish(hello)

    def on_welcome(self, frame: Control) -> None:
        """Client: the server introduces itself."""
        if self.joining is not None:
            self.joining.answered = True
        hello = self._read_introduction(frame)
        if hello is None or not self._check_identity(b""):
            return
        if self.joining is None:
            self._establish(hello)
        elif hello.session:
            self.joining.hello = hello
            self.phase = _JOINING
            self._emit(Joining(hello))
        else:
            self.extended = True
            code = CloseCode.NORMAL
            text = "the server keeps no sessions: start it with sessions=..., or connect without"
            self._fail(HandshakeError(text, code=code), code)

    # Sessions: section 12

    def join(
        self,
        session: Session,
        *,
        welcome: SessionWelcome | None = None,
        before: ProtocolMachine | None = None,
    ) -> None:
        """Carry a session on from here; what came behind HELLO or WELCOME is still held.

        :param welcome: on a server, field 4 of the WELCOME that is queued now
        :param before: the machine of the link before, whose streams, requests and limits go on;
            None where the session begins
        """
        assert self.phase is _JOINING
        assert self.joining is not None
        assert self.joining.hello is not None
        hello = self.joining.hello
        if before is None:
            peer = self.introductions.settle(hello)
        else:
            self.introductions, self.opened = before.introductions, before.opened
            assert self.introductions.peer is not None
            peer = self.introductions.peer
        if welcome is not None:
            body = self.introductions.welcome(welcome.encode())
            self.queue(control.frame(Opcode.WELCOME, body))
        self.session = session
        self.frames_received = session.received
        self.send_limit = peer.max_frame
        self.extended = True
        self.phase = Phase.EXTENDED
        if before is None:
            self._emit(Established(hello))

    def leave(self) -> None:
        """The link is cut off: nothing of it counts any more. What has come is of the session."""
        assert self.session is not None
        self.session.received = self.frames_received

    def release(self) -> list[bytes]:
        """Take in what was held since the HELLO or WELCOME, a fault among it; return the messages
        among it."""
        assert self.joining is not None
        held, fault = self.joining.held, self.joining.fault
        self.joining = None
        messages = self.receive_frames(held)
        if fault is not None:
            self._fail_framing(fault)
        return messages

    def check_again(self) -> bool:
        """Server: return whether the client is still let in, after a wait; refuse it if not."""
        assert self.joining is not None
        assert self.joining.hello is not None
        return self._check_identity(self.joining.hello.invitation)

    def refuse(self, close: Close, error: ConnectionClosedError) -> None:
        """Answer CLOSE in place of WELCOME, as long as that would be.

        :param close: with field 8 where it is that of a session that is over
        """
        if self.phase is _JOINING:
            self.phase = Phase.FAILED
            body = close.encode(size=len(self._welcome()))
            self._make_output().end(control.frame(Opcode.CLOSE, body))
            self._emit(Failed(error))

    def _welcome(self) -> bytes:
        """Return a body as long as that of the WELCOME that the peer would get."""
        asked = self.joining is not None and self.joining.hello is not None
        return self.introductions.welcome(bytes(wire.SESSION_WELCOME_SIZE) if asked else b"")

    @property
    def refusal(self) -> Close | None:
        """The CLOSE that came in place of WELCOME of a session."""
        return None if self.joining is None else self.joining.refusal

    @property
    def hello_answered(self) -> bool:
        """Whether the server has answered HELLO with a session: WELCOME came, or that CLOSE."""
        return self.joining is not None and self.joining.answered

    @property
    def answers_fault(self) -> bool:
        """Whether the fault is the peer's, so that the session is over, and not the link's. The
        CLOSE that says so may be written before the owner asks."""
        return not self.extended

    def _establish(self, hello: Hello) -> None:
        self.extended = True
        # Its numbers are those of many connections; each of this HELLO takes 32 bytes more.
        peer = self.introductions.settle(hello)
        self.send_limit = peer.max_frame
        self._emit(Established(hello))

    def _check_identity(self, invitation: bytes) -> bool:
        key = b"" if self.records is None else self.records.peer_key
        refused = self.introductions.check_identity(key, invitation)
        if refused is not None:
            self._fail(refused, CloseCode.UNAUTHORIZED)
        return refused is None

    def _read_introduction(self, frame: Control) -> Hello | None:
        try:
            return self.introductions.read(frame.body)
        except UnreadableIntroductionError as error:
            text = self.explain(f"{opcode_name(frame.opcode)} is malformed: {error}")
            self.extended = error.reads_control
            self._fail(HandshakeError(text, code=error.code), error.code)
            return None

    def on_plain_handshake(self, frame: Control) -> None:
        """Server without a key: a client asks for a sealed connection."""
        if frame.body.startswith(wire.MAGIC):
            refusal = control.frame(Opcode.CLOSE, Close(CloseCode.PLAIN).encode())
            self._make_output().add_plaintext(refusal)
        self._fail(
            HandshakeError(
                "a client asked for a sealed connection and this server is plain: "
                "give the server the key, or the client none",
                code=CloseCode.PLAIN,
            )
        )

    def on_refusal(self, frame: Control) -> None:
        """Client: CLOSE in place of WELCOME."""
        close = self._decode_close(frame)
        if close is None:
            return
        if self.joining is not None:
            self.joining.answered = True
            self.joining.refusal = close
        if close.code == CloseCode.SEALED and not self.sealed:
            self._fail(_sealed_server())
        elif close.code == CloseCode.UNAUTHORIZED and self.sealed:
            text = "the server does not have this client's key among the authorised ones"
            self._fail(UnauthorizedError(text, code=close.code, reason=close.reason))
        else:
            name = control.close_name(close.code)
            detail = f": {close.reason}" if close.reason else ""
            self._fail(
                HandshakeError(
                    f"the server refused the connection ({name}{detail})",
                    code=close.code,
                    reason=close.reason,
                )
            )

    def on_close(self, frame: Control) -> None:
        close = self._decode_close(frame)
        if close is None:
            return
        session = self.session
        if session is not None and close.frames_received is not None:
            # It acknowledges as ACK does.
            try:
                session.retention.receive_ack(close.frames_received)
            except ViolationError as error:
                self.fail_protocol(f"CLOSE breaks the rules: {error}")
                return
        self._emit(Ended(close))

    def on_go_away(self, frame: Control) -> None:
        close = self._decode_close(frame)
        if close is not None:
            self._emit(GoingAway(close))

    def _decode_close(self, frame: Control) -> Close | None:
        # Its fields, of 4 bytes or more each, are handled one by one too.
        self.work_items += len(frame.body) // 4
        try:
            return Close.decode(frame.body)
        except MalformedBodyError as error:
            text = f"{opcode_name(frame.opcode)} is malformed: {error}"
            self._fail(self._fault(text, CloseCode.PROTOCOL), CloseCode.PROTOCOL)
            return None

    def on_ping(self, frame: Control) -> None:
        if len(frame.body) > wire.MAX_PING:
            text = f"a PING of {len(frame.body)} bytes is over {wire.MAX_PING}"
            self._fail(ProtocolError(text, code=CloseCode.PROTOCOL), CloseCode.PROTOCOL)
        elif self.extended:
            self._make_output().pong(frame.body)

    def on_pong(self, frame: Control) -> None:
        self._emit(Ponged(frame.body[: wire.MAX_PING]))

    def on_late_pong(self, frame: Control) -> None:
        """The peer has ended; in a session it still answers, and acknowledges."""
        if self.session is None:
            self._fail_unexpected(frame)
        else:
            self.on_pong(frame)

    def on_ack(self, frame: Control) -> None:
        session = self.session
        if session is None:
            # Nothing is kept to be sent again, so nothing comes of it.
            if self.phase is Phase.ENDED:
                self._fail_unexpected(frame)
            return
        try:
            session.retention.receive_ack(control.parse_ack(frame.body))
        except (MalformedBodyError, ViolationError) as error:
            self.fail_protocol(f"ACK breaks the rules: {error}")
        else:
            self._emit(Acknowledged())

    def on_credit(self, frame: Control) -> None:
        increment = int.from_bytes(frame.body, "little")
        if len(frame.body) != 4 or not 1 <= increment <= wire.MAX_WINDOW:
            self.fail_protocol("CREDIT is not a number from 1 to 2^31 - 1")
        elif self.windowed:
            self._emit(Credited(increment))

    def on_multiplexed(self, frame: Control) -> None:
        if not self.extended:
            # This end has sent CLOSE, and so ended all streams and requests.
            return
        try:
            event = self.multiplexer.receive(frame)
        except ViolationError as error:
            self.fail_protocol(f"{opcode_name(frame.opcode)} breaks the rules: {error}")
        else:
            if event is not None:
                self._emit(event)

    def on_ignored(self, frame: Control) -> None:
        pass

    def on_unknown(self, frame: Control) -> None:
        if frame.opcode & wire.OPCODE_CLOSE:
            text = f"the peer sent {opcode_name(frame.opcode)}, which must be understood"
            self._fail(ProtocolError(text, code=CloseCode.PROTOCOL), CloseCode.PROTOCOL)
        elif not frame.opcode & wire.OPCODE_SKIP and self.extended:
            if self._answered is None:
                self._answered = set()
            if frame.opcode not in self._answered:
                self._answered.add(frame.opcode)
                self.queue(control.unsupported(frame.opcode, frame.body))


@lru_cache(maxsize=16)
def _receiving(framing: Framing | None, maximum: int) -> Framing:
    return framing or Framing(control=True, maximum=maximum)


def _refusal(frame: Control, *, first: bool) -> ConnectionClosedError | None:
    """Return the error for a CLOSE that a client of packets may get; None for another frame.

    :param first: whether it is the first frame of the server
    """
    if frame.opcode != Opcode.CLOSE:
        return None
    with suppress(MalformedBodyError):
        close = Close.decode(frame.body)
        if close.code == CloseCode.SEALED and first:
            return _sealed_server()
        if close.code == CloseCode.NO_MESSAGES:
            text = f"the peer closed the connection (NO_MESSAGES): {close.reason}"
            return ConnectionClosedError(text, code=close.code, reason=close.reason)
    return None


def _sealed_server() -> HandshakeError:
    text = "the server is sealed and this client is not: give it the key (security=...)"
    return HandshakeError(text, code=CloseCode.SEALED)


_Method: TypeAlias = Callable[[ProtocolMachine, Control], None]

_METHODS: Final[dict[Phase, dict[int, tuple[_Method, Phase]]]] = {
    phase: {
        opcode: (getattr(ProtocolMachine, rule.method), rule.next) for opcode, rule in row.items()
    }
    for phase, row in RULES.items()
}
"""The table of :mod:`.rules`, looked up once."""
_NO_OUTPUT: Final = ControlOutput()
"""In place of one that was not made; it stays empty."""
