"""The state machine of one connection: bytes in, messages out, and the reverse.

Theory of operation. The owner reads into :meth:`get_buffer`, tells :meth:`buffer_updated`, takes
the messages it returns, then looks at :attr:`events` and :attr:`has_output`. What may arrive when,
and what comes next, is the table of :mod:`.rules`; each entry has a function of
:mod:`.hello_frames` or :mod:`.control_frames`, which takes in one kind of frame. What is sent goes
through :mod:`.sending`. Nothing here raises for what a peer did: a fault becomes a :class:`Failed`
event, after the messages that came before it. No sockets, no clock, no event loop.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from functools import lru_cache
from typing import Final

from .. import wire
from ..errors import (
    ConnectionClosedError,
    FrameTooLargeError,
    FramingError,
    HandshakeError,
    PeerTimeoutError,
    ProtocolError,
    TruncatedError,
)
from ..framing import Decoder, FrameDecoder, FrameLayout, Framing
from ..noise.records import RecordLayer
from ..wire import CloseCode, Control, Opcode, control
from ..wire.control import Close
from ..wire.sniffing import diagnose, diagnose_foreign
from .events import ESTABLISHED, UNANNOUNCED, Ended, Event, Failed, Phase
from .faults import (
    EXPECTED,
    because,
    closed_early,
    cut_short,
    opcode_name,
    refused_packets,
    socket_lost,
)
from .introductions import Identify, Introductions, PeerIdentity, introduction
from .joining import PendingLink, announce, welcome_size
from .rules import MESSAGE, RULES, UNKNOWN
from .sending import SENDING, SendingHalf
from .trace import Trace, trace_received

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


class ProtocolMachine(SendingHalf):
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

    __slots__ = ("decoder", "events", "joining", "unsupported", "work_items")

    def __init__(
        self,
        *,
        client: bool,
        max_message_size: int,
        framing: FrameLayout | None = None,
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
        writers: bytes = b"",
        takes_sessions: bool = False,
        trace: Trace | None = None,
    ) -> None:
        local = introduction(max_message_size, software, window, max_streams, max_requests)
        if invitation or session:
            local = replace(local, invitation=invitation, session=session, writers=writers)
        super().__init__(
            client=client,
            phase=_first_phase(client=client, framing=framing, records=records, extended=extended),
            introductions=Introductions(local, client_id, identify),
            framing=framing,
            records=records,
            trace=trace,
        )
        self.decoder: Decoder | FrameDecoder
        """What cuts the peer's stream into frames."""
        if framing is None:
            self.decoder = _receiving(max_message_size).decoder()
        else:
            self.decoder = framing.decoder(sender="server" if client else "client")
        self.joining = PendingLink() if session or takes_sessions else None
        """What is known until a session is joined; None where there can be none."""
        self.unsupported: set[int] | None = None
        """Unknown opcodes that UNSUPPORTED has answered."""
        self.events: list[Event] | tuple[()] = ()
        """What happened beside messages; the owner empties it."""
        self.work_items = 0
        """Records, frames and fields of the last read that were handled one by one, and one
        more; 0 if there were none, and neither events nor output can have come of it."""
        # A session that comes back is not to be taken for a new client first.
        if self.phase is _PACKETS or (self.phase is Phase.FIRST and not takes_sessions):
            self.emit(UNANNOUNCED)
        elif self.phase is _WELCOME:
            self.queue(self.introductions.hello())

    @property
    def sealed(self) -> bool:
        """Whether this end encrypts."""
        return self.records is not None

    @property
    def post_quantum(self) -> bool:
        """Whether the keys of a sealed connection come of ML-KEM-768 too."""
        return self.records is not None and self.records.post_quantum

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
            self.fail(self.records.end())
        elif self.phase in (
            Phase.SEALED_HELLO,
            Phase.SEALED_WELCOME,
            Phase.WELCOME,
            Phase.JOINING,
        ):
            silent = self.client and self.records is None and not self.decoder.prefix
            self.fail(HandshakeError(self.explain(closed_early(silently=silent))))
        elif self._pending:
            self.fail(TruncatedError(self.explain(self._truncation("ended"))))
        elif self.phase is Phase.EXTENDED:
            self.fail(
                TruncatedError(
                    "the peer's stream ended without a CLOSE: it crashed, or the link was cut"
                )
            )
        else:
            announce(self)
            self.phase = Phase.ENDED
            self.emit(Ended(None, unanswered))

    def receive_loss(self, cause: Exception | None) -> None:
        """Take in that the socket is gone, with the error it gave."""
        self._return_buffer()
        if self.phase in (Phase.ENDED, Phase.FAILED):
            return
        self._settle_for_packets()
        error: ConnectionClosedError
        if self.phase in ESTABLISHED:
            inside = self.explain(self._truncation("was reset")) if self._pending else None
            error = socket_lost(cause, inside)
        else:
            text = f"the connection was lost during the handshake{because(cause)}"
            error = HandshakeError(self.explain(text))
        error.__cause__ = cause
        self.fail(error)

    def expire(self) -> None:
        """Take in that the time for the handshake is up."""
        if self.phase is Phase.SEALING:
            assert self.records is not None
            self.records.refuse_silent()

    def _settle_for_packets(self) -> bool:
        """Hand out what came of a server that ended without WELCOME; return whether it did so.

        A plain server that closes before it has read HELLO knows of packets only (section 2).
        """
        if self.phase is not Phase.WELCOME or not self.frames_received:
            return False
        self.phase = Phase.PACKETS
        self.emit(UNANNOUNCED)
        return True

    def _return_buffer(self) -> None:
        # Event loops ask for a buffer and then find the end.
        if self.records is not None:
            self.records.return_buffer()
        elif self.phase is not Phase.FAILED:
            with suppress(ValueError):  # none is exported
                self.decoder.buffer_updated(0)

    # What the owner finds

    def lose(self) -> None:
        """The socket is gone."""
        if self.records is not None:
            self.records.abandon()

    def leave(self) -> None:
        """The link of a session is cut off: nothing of it counts any more, a frame that is cut
        short neither. What has come is of the session."""
        assert self.session is not None
        self.session.received = self.frames_received
        self.decoder = SENDING.decoder()
        if self.records is not None:
            self.records.forget_input()

    def note_dropped(self, messages: int) -> None:
        """The program never takes so many of the last messages that came (section 12)."""
        if self.session is not None:
            self.session.drop(messages, self.frames_received)

    def note_discarded(self) -> None:
        """A message that came was thrown away: a session acknowledges no more (section 12)."""
        if self.session is not None:
            self.session.frozen = True

    def fail_protocol(self, text: str) -> None:
        """Fail because the peer broke a rule that only the owner can see broken."""
        self.fail(ProtocolError(text, code=CloseCode.PROTOCOL), CloseCode.PROTOCOL)

    def give_up(self, error: PeerTimeoutError) -> None:
        """Fail because the peer gives no sign of life, and tell it so, in case it was only slow."""
        self.fail(error, CloseCode.TIMEOUT)

    def refuse_messages(self) -> None:
        """Fail because the client sent a message, and nothing here takes any."""
        text = "the client sent a message, and this server takes none"
        if self.records is None and self.introductions.peer is None:
            # To a client of packets the end of the stream alone would look like a close in order.
            refusal = control.frame(Opcode.CLOSE, Close(CloseCode.NO_MESSAGES, text).encode())
            self.make_output().add_plaintext(refusal)
        if self.phase is not _FAILED:
            # What came behind that message, its CLOSE for one, counts no more.
            self.events = ()
        self.fail(ProtocolError(text, code=CloseCode.NO_MESSAGES), CloseCode.NO_MESSAGES)

    # What comes of frames

    def emit(self, event: Event) -> None:
        """Tell the owner."""
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
        # What is sealed is framed natively.
        assert isinstance(decoder, Decoder)
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
                    self.fail_forbidden("a first record that is not HELLO alone")
                messages += self.receive_frames(frames)
        if layer.failure is not None:
            # Nothing goes out after a record that does not open.
            if self.output is not None:
                self.output.forget_close()
            self.fail(layer.failure)
        return messages

    def receive_fault(self, fault: FramingError) -> list[bytes]:
        if self.trace is not None:
            trace_received(self.trace, fault.frames)
        messages = self.receive_frames(fault.frames)
        if self.phase is _JOINING:
            assert self.joining is not None
            self.joining.hold_fault(fault)
        else:
            self.fail_framing(fault)
        return messages

    def fail_framing(self, fault: FramingError) -> None:
        if self.phase is not _FAILED:
            code = CloseCode.PROTOCOL
            if isinstance(fault, FrameTooLargeError):
                code = CloseCode.TOO_LARGE
            error = self.fault(self.explain(str(fault)), code)
            error.__cause__ = fault
            self.fail(error, code)

    def receive_frames(self, frames: list[bytes | Control]) -> list[bytes]:
        self.work_items += len(frames)
        messages: list[bytes] = []
        for frame in frames:
            phase = self.phase
            if phase is _JOINING:
                assert self.joining is not None
                # A client decides before it reads on, and much may be sent again behind WELCOME.
                if not self.joining.hold(frame) and not self.client:
                    self.fail_forbidden("so much behind HELLO")
                    break
                continue
            row = RULES[phase]
            if isinstance(frame, bytes):
                if phase is Phase.FIRST:
                    announce(self)
                if MESSAGE not in row:
                    self.fail_forbidden("a message")
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
                self.fail_unexpected(frame)
                break
            if frame.opcode & wire.OPCODE_COUNTED:
                self.frames_received += 1
            take, following = rule
            take(self, frame)
            if self.phase is phase:
                self.phase = following
            if self.phase is Phase.FAILED:
                break
        return messages

    def fail(self, error: ConnectionClosedError, code: int | None = None) -> None:
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
            self.queue_close(Close(code), size=welcome_size(self))
        elif code is not None and told:
            self.queue_close(Close(code, str(error)))
        # A session whose link has failed goes on over the next one.
        self.extended = self.session is not None and code is None
        self.emit(Failed(error))

    def fail_unexpected(self, frame: Control) -> None:
        error = None
        if self.client and self.phase is _PACKETS:
            error = refused_packets(frame, first=not self.frames_received)
        if error is not None:
            self.fail(error)
        else:
            self.fail_forbidden(opcode_name(frame.opcode))

    def fail_forbidden(self, what: str) -> None:
        text = f"{what} is not allowed here ({EXPECTED[self.phase]})"
        self.fail(self.fault(self.explain(text), CloseCode.PROTOCOL), CloseCode.PROTOCOL)

    def fault(self, text: str, code: CloseCode) -> ConnectionClosedError:
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
        if self.layout is not None:
            text = cut_short(self.decoder, self.frames_received + 1)
            return text if how == "ended" else f"the peer's stream {how}: {text}"
        of = f"{self.decoder.pending} of its {size} bytes" if size else "a part of its head"
        return f"the peer's stream {how} inside a frame: only {of} came"

    def explain(self, text: str) -> str:
        """Add to an error's text what the first bytes say about the peer, if they do."""
        introduced = self.introductions.peer is not None
        if introduced or self.frames_received or self.records is not None:
            return text
        decoder, layout = self.decoder, self.layout
        if layout is None:
            diagnosis = diagnose(decoder.prefix)
        else:
            diagnosis = diagnose_foreign(
                decoder.prefix, layout, received=decoder.pending, frame_size=decoder.frame_size
            )
        return f"{text} ({diagnosis})" if diagnosis else text

    @property
    def refusal(self) -> Close | None:
        """The CLOSE that came in place of WELCOME of a session."""
        return None if self.joining is None else self.joining.refusal

    @property
    def hello_answered(self) -> bool:
        """Whether the server has answered HELLO with a session: WELCOME came, or that CLOSE."""
        return self.joining is not None and self.joining.hello_answered

    @property
    def answers_fault(self) -> bool:
        """Whether the fault is the peer's, so that the session is over, and not the link's. The
        CLOSE that says so may be written before the owner asks."""
        return not self.extended


def _first_phase(
    *, client: bool, framing: FrameLayout | None, records: RecordLayer | None, extended: bool
) -> Phase:
    if records is not None:
        return Phase.SEALING
    if framing is not None or (client and not extended):
        return Phase.PACKETS
    return Phase.WELCOME if client else Phase.FIRST


@lru_cache(maxsize=16)
def _receiving(maximum: int) -> Framing:
    return Framing(control=True, maximum=maximum)
