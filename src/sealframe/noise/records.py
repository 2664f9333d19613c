"""The sealed layer: a Noise handshake, then records. Bytes in, bytes out.

docs/PROTOCOL.md, "Sealed connections", is the specification. What the peer
sends goes through :meth:`RecordLayer.buffer_updated`; the records in it come out of
:meth:`RecordLayer.records` and are opened, one after the other, into the decoder of the
extended protocol. What we send goes through :meth:`RecordLayer.seal`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from enum import Enum, auto
from struct import Struct
from typing import Final, cast

from .. import wire
from ..errors import (
    ConnectionClosedError,
    DecryptionError,
    FramingError,
    HandshakeError,
    NonceExhaustedError,
    ProtocolError,
)
from ..framing import Decoder, Framing
from ..wire import CloseCode, Control, Opcode, Pattern, control
from ..wire.sniffing import diagnose
from .cipher import CipherState
from .credentials import Credentials
from .handshake import Handshake

_SCRATCH: Final = 256 * 1024
"""Bytes that are read at once where records may come."""
_SMALL: Final = 32 * 1024
"""A record shorter than this is copied once more: that costs less than to seal or open
it in place."""

_NOISE_LENGTHS = {
    Pattern.NNPSK0: (48, 48),
    Pattern.XK: (48, 48, 64),
    Pattern.XX: (32, 96, 64),
}
"""Exact bytes of each Noise message; the payloads are empty."""

_PREAMBLE_SIZE = len(wire.MAGIC) + 2
_MAX_PLAIN_CLOSE = 3 + wire.MAX_REASON

_HEAD: Final = Struct("<I")
_OVERHEAD: Final = wire.HEAD_SIZE + wire.TAG_SIZE

_LARGEST_FIRST: Final = wire.MAX_UNAUTHENTICATED - wire.HEAD_SIZE
"""The longest first record of a client, which has proved nothing before."""

_REFUSED = control.frame(Opcode.CLOSE, control.Close(CloseCode.REFUSED).encode())
_VERSION = control.frame(Opcode.CLOSE, control.Close(CloseCode.VERSION).encode())
BUSY_REPLY = control.frame(Opcode.CLOSE, control.Close(CloseCode.BUSY).encode())
"""What an overloaded server answers, before and instead of any handshake."""

_HINTS = {
    CloseCode.REFUSED: "the peer refused the handshake: check the key and the context at both ends",
    CloseCode.VERSION: "the server does not take this kind of handshake: it expects a shared key "
    "or an identity, whichever this is not, or it does not show its own key to clients that have "
    "not got it, or one end is too old",
    CloseCode.BUSY: "the server is at its limit of connections: try again later",
    CloseCode.PLAIN: "the server is not sealed: start it with a key, or connect without one",
}


_spare: list[bytearray] = []
"""One scratch buffer that no connection holds: each needs it only during a read."""


class _Phase(Enum):
    HANDSHAKE = auto()
    FIRST_RECORD = auto()
    RECORDS = auto()
    FAILED = auto()


# To look these up in their class, at each record, takes longer than to compare them.
_FIRST_RECORD: Final = _Phase.FIRST_RECORD
_RECORDS: Final = _Phase.RECORDS


class RecordLayer:
    """One sealed connection, seen from one end, from its first byte to its last.

    :param initiator: whether this is the client's end
    :param credentials: our keys, and the patterns that we take
    :param context: the responder's name; both ends must give the same
    :param judge: for a client that learns the server's public key on the way: given
        its 32 bytes before the client shows its own, it returns an error to stop
    """

    __slots__ = (
        "_behind",
        "_context",
        "_credentials",
        "_first",
        "_fresh",
        "_handshake",
        "_held",
        "_initiator",
        "_judge",
        "_lengths",
        "_lent",
        "_messages_done",
        "_phase",
        "_receiver",
        "_sender",
        "channel_binding",
        "failure",
        "output",
        "peer_key",
    )

    def __init__(
        self,
        *,
        initiator: bool,
        credentials: Credentials,
        context: bytes = b"",
        judge: Callable[[bytes], ConnectionClosedError | None] | None = None,
    ) -> None:
        self._initiator = initiator
        self._credentials: Credentials | None = credentials
        self._context = context
        self._judge = judge
        self._lengths: tuple[int, ...] = ()
        self._handshake: Handshake | None = None
        self._messages_done = 0
        self._phase = _Phase.HANDSHAKE
        self._held = bytearray()
        self._lent: bytearray | None = None
        self._fresh: memoryview | None = None
        self._behind = 0
        self._sender: CipherState | None = None
        self._receiver: CipherState | None = None
        self._first = b""
        self.output: list[bytes] = []
        """Handshake frames, or the plaintext refusal, for the wire as they are."""
        self.failure: ConnectionClosedError | None = None
        """Why nothing more can be received; set once."""
        self.channel_binding = b""
        """The handshake hash, the same at both ends and different each time."""
        self.peer_key = b""
        """The peer's proven public key, 32 bytes; empty where the pattern has none."""
        if initiator:
            (pattern,) = credentials.patterns
            self._begin(credentials, pattern)
            self._write_handshake(_preamble(pattern))

    @property
    def established(self) -> bool:
        """Whether both keys exist, so that :meth:`seal` may be called."""
        return self._sender is not None

    @property
    def pending(self) -> int:
        """Bytes of an unfinished outer frame."""
        return len(self._held)

    def get_buffer(self) -> memoryview:
        """Return where the next bytes from the socket go."""
        lent = self._lent
        if lent is None:
            handshaking = self._receiver is None
            lent = bytearray(wire.MAX_UNAUTHENTICATED) if handshaking else _take_scratch()
            self._lent = lent
        return memoryview(lent)

    def take_single(self, nbytes: int) -> bytes | None:
        """Return the small record of which the ``nbytes`` of the buffer consist, if they are
        just that, as in a dialogue; otherwise nothing has happened."""
        lent = self._lent
        if lent is None or self._held or self._phase is not _RECORDS:
            return None
        size = nbytes - wire.HEAD_SIZE
        if not wire.MIN_RECORD <= size < _SMALL or _HEAD.unpack_from(lent)[0] != size:
            return None
        record = bytes(memoryview(lent)[wire.HEAD_SIZE : nbytes])
        self.return_buffer()
        return record

    def buffer_updated(self, nbytes: int) -> None:
        """Take in ``nbytes`` of the buffer and go on with the handshake.

        Each time, go through :meth:`records` then.
        """
        assert self._lent is not None
        if self._receiver is None:
            data, self._lent = memoryview(self._lent)[:nbytes], None
            self.feed(data)
        else:
            self._fresh = memoryview(self._lent)[:nbytes]

    def feed(self, data: bytes | memoryview) -> None:
        """Do the same with bytes that are already here."""
        if self._receiver is not None or self.failure is not None:
            self._fresh = memoryview(data)
            return
        if len(self._first) < 8:
            self._first += data[: 8 - len(self._first)]
        self._held += data
        while self._phase is _Phase.HANDSHAKE and (found := self._next_frame()) is not None:
            self._receive_handshake(*found)
        if self._phase in (_Phase.FIRST_RECORD, _Phase.RECORDS):
            self._first = b""
            self._fresh, self._held = memoryview(self._held), bytearray()

    def records(self) -> Iterator[bytes | memoryview]:
        """Yield the records that are whole now, still sealed; open each before the next.

        On any fault :attr:`failure` is set, what came before it has been yielded, and
        nothing after it ever is. Open them even if nobody wants them any more: a record
        that is not authentic also settles what may still be answered.
        """
        fresh, self._fresh = self._fresh, None
        if fresh is None:
            return
        first = self._phase is _FIRST_RECORD
        largest = _LARGEST_FIRST if first else wire.MAX_RECORD
        place, end = 0, len(fresh)
        try:
            if self._held:
                place = self._complete(fresh, largest)
                if place > end:
                    return
                self._behind = end - place
                held, self._held = self._held, bytearray()
                record = memoryview(held)[wire.HEAD_SIZE :]
                yield record
                record.release()
            while (body := place + wire.HEAD_SIZE) <= end and self.failure is None:
                size: int = _HEAD.unpack_from(fresh, place)[0]
                if not wire.MIN_RECORD <= size <= largest:
                    _refuse_size(fresh[place:body].tobytes(), largest)
                after = body + size
                if after > end:
                    break
                self._behind = end - after
                if size < _SMALL:
                    yield fresh[body:after].tobytes()
                else:
                    record = fresh[body:after]
                    yield record
                    # Who keeps an error keeps its frames, but not what they looked at.
                    record.release()
                place = after
            if place < end and self.failure is None:
                self._held += fresh[place:]
        except FramingError as fault:
            self._fail_record(fault)
        finally:
            fresh.release()
            self.return_buffer()

    def return_buffer(self) -> None:
        """Take back what :meth:`get_buffer` lent: nothing will come in it."""
        lent, self._lent = self._lent, None
        if lent is not None and not _spare and len(lent) == _SCRATCH:
            _spare.append(lent)

    def open(self, record: bytes | memoryview) -> bytes:
        """Return the plaintext of the record; nothing, and :attr:`failure`, if it has none."""
        receiver = self._receiver
        assert receiver is not None
        try:
            plaintext = receiver.open(record)
            _rekey_if_due(receiver)
        except (DecryptionError, NonceExhaustedError) as error:
            self._fail_record(error)
            return b""
        if self._phase is _FIRST_RECORD:
            if self._behind:
                self._fail(HandshakeError("the client sent more before it was welcomed"))
                return b""
            self._phase = _Phase.RECORDS
        return plaintext

    def open_into(self, record: bytes | memoryview, decoder: Decoder) -> list[bytes | Control]:
        """Give the record's plaintext to ``decoder``; return the frames that are now whole.

        A large one is opened where the decoder wants it, which saves a copy or two.

        :raises FramingError: the decoder's, for what it found in a record that is authentic
        """
        if len(record) < _SMALL:
            return decoder.feed(self.open(record))
        size = len(record) - wire.TAG_SIZE
        receiver = self._receiver
        assert receiver is not None
        lent = decoder.get_buffer()
        if len(lent) < size:
            # The rest of one message, and the record goes on behind it.
            decoder.buffer_updated(0)
            return decoder.feed(self.open(record))
        with lent[:size] as place:
            try:
                receiver.open_into(record, place)
                _rekey_if_due(receiver)
            except (DecryptionError, NonceExhaustedError) as error:
                self._fail_record(error)
                size = 0
        return decoder.buffer_updated(size)

    def seal(self, *plaintexts: bytes) -> list[bytes]:
        """Return the records that carry the joined ``plaintexts``, each with its head.

        Call it in wire order and write what it returns: each call uses up nonces.

        :raises NonceExhaustedError: after 2^64 - 1 records
        """
        sender = self._sender
        assert sender is not None
        pieces = _cut_up(plaintexts)
        if not pieces:
            return []
        if len(pieces) == 1 and len(pieces[0]) < _SMALL:
            record = sender.seal(pieces[0])
            _rekey_if_due(sender)
            return [_HEAD.pack(len(record)) + record]
        # One piece of memory for all of them, written once.
        buffer = bytearray(sum(map(len, pieces)) + len(pieces) * _OVERHEAD)
        start = 0
        with memoryview(buffer) as view:
            for piece in pieces:
                body = start + wire.HEAD_SIZE
                end = body + len(piece) + wire.TAG_SIZE
                _HEAD.pack_into(buffer, start, end - body)
                sender.seal_into(piece, view[body:end])
                _rekey_if_due(sender)
                start = end
        # Nobody writes to it any more.
        return [cast("bytes", buffer)]

    def end(self) -> ConnectionClosedError:
        """Return the error for a stream that ends before the handshake did."""
        if self._initiator:
            text = "the server closed during the handshake: check that it is sealed"
        else:
            text = "the client closed during the handshake"
        return HandshakeError(_with(text, diagnose(self._first)))

    # Handshake

    def _next_frame(self) -> tuple[int, bytes] | None:
        """Take one whole handshake-phase frame from what is held, as (opcode, body)."""
        held = self._held
        if len(held) < wire.HEAD_SIZE:
            return None
        head = int.from_bytes(held[: wire.HEAD_SIZE], "little")
        size = head & wire.LENGTH_MASK
        if not head & wire.CONTROL_BIT:
            self._fail_unsealed()
            return None
        if not 1 <= size <= wire.MAX_CONTROL:
            self._fail_handshake("a handshake frame has the wrong length")
            return None
        if size > 1 + max(_MAX_PLAIN_CLOSE, self._expected_size()):
            # Its start is enough to say what is wrong with it, and all that is held:
            # message 1 of a later pattern may be longer than what may be held.
            size = 1 + _PREAMBLE_SIZE
        if len(held) < wire.HEAD_SIZE + size:
            return None
        body = bytes(held[wire.HEAD_SIZE + 1 : wire.HEAD_SIZE + size])
        opcode = held[wire.HEAD_SIZE]
        del held[: wire.HEAD_SIZE + size]
        return opcode, body

    def _expected_size(self) -> int:
        """Return the size of the next body; of the first, the largest that may be."""
        if self._credentials is None:
            return self._lengths[self._messages_done]
        return _PREAMBLE_SIZE + max(_NOISE_LENGTHS[p][0] for p in self._credentials.patterns)

    def _begin(self, credentials: Credentials, pattern: Pattern) -> None:
        context = len(self._context).to_bytes(2, "little") + self._context
        self._lengths = _NOISE_LENGTHS[pattern]
        self._handshake = credentials.handshake(
            pattern, initiator=self._initiator, prologue=_preamble(pattern) + context
        )
        self._credentials = None

    def _receive_handshake(self, opcode: int, body: bytes) -> None:
        if opcode == Opcode.CLOSE:
            self._receive_refusal(body)
        elif opcode != Opcode.HANDSHAKE:
            self._fail_unsealed()
        elif self._credentials is not None:
            self._receive_first(self._credentials, body)
        else:
            self._read_handshake(body)

    def _receive_first(self, credentials: Credentials, body: bytes) -> None:
        patterns = {_preamble(pattern): pattern for pattern in credentials.patterns}
        pattern = patterns.get(body[:_PREAMBLE_SIZE])
        if not body.startswith(wire.MAGIC):
            self._fail_handshake("the magic of the sealed protocol is missing")
        elif pattern is None:
            self.output.append(_VERSION)
            self._fail_handshake(
                "the peer asks for another version or pattern: does it have another kind of key?",
                CloseCode.VERSION,
            )
        else:
            self._begin(credentials, pattern)
            self._read_handshake(body[_PREAMBLE_SIZE:])

    def _read_handshake(self, noise: bytes) -> None:
        assert self._handshake is not None
        if len(noise) != self._lengths[self._messages_done]:
            self._refuse("a handshake message has the wrong length")
            return
        try:
            self._handshake.read_message(noise)
            self._messages_done += 1
            if self._handshake.finished:
                self._finish_handshake()
            elif (objection := self._objection()) is not None:
                self.output.append(_REFUSED)
                self._fail(objection)
            else:
                # A bad public key in what was just read shows only here.
                self._write_handshake()
        except HandshakeError:
            self._refuse(
                "the peer has another key, or the context differs: check both at both ends"
            )

    def _objection(self) -> ConnectionClosedError | None:
        """Return why a client must not go on with this server, once its key is known."""
        assert self._handshake is not None
        key = self._handshake.remote_static
        return self._judge(key) if self._judge is not None and key is not None else None

    def _refuse(self, text: str) -> None:
        self.output.append(_REFUSED)
        self._fail_handshake(text, CloseCode.REFUSED)

    def _write_handshake(self, preamble: bytes = b"") -> None:
        assert self._handshake is not None
        body = preamble + self._handshake.write_message()
        self.output.append(control.frame(Opcode.HANDSHAKE, body))
        self._messages_done += 1
        if self._handshake.finished:
            self._finish_handshake()

    def _finish_handshake(self) -> None:
        assert self._handshake is not None
        self._sender, self._receiver = self._handshake.split()
        self.channel_binding = self._handshake.hash
        self.peer_key = self._handshake.remote_static or b""
        self._handshake = self._judge = None
        self._context = b""
        self._phase = _Phase.RECORDS if self._initiator else _Phase.FIRST_RECORD

    def _receive_refusal(self, body: bytes) -> None:
        try:
            close = control.Close.decode(body)
        except control.MalformedBodyError as error:
            self._fail_handshake(f"the peer's CLOSE is malformed: {error}")
            return
        name = control.close_name(close.code)
        hint = _HINTS.get(close.code, f"the peer closed during the handshake ({name})")  # type: ignore[call-overload]
        self._fail(HandshakeError(hint, code=close.code, reason=close.reason))

    def _fail_unsealed(self) -> None:
        text = (
            "the server does not answer as a sealed one: start it with a key, "
            "or connect without one"
            if self._initiator
            else "a client that is not sealed connected to a sealed server: give it the key"
        )
        self._fail_handshake(_with(text, diagnose(self._first)))

    def _fail_handshake(self, text: str, code: CloseCode = CloseCode.PROTOCOL) -> None:
        self._fail(HandshakeError(text, code=code))

    def _fail(self, error: ConnectionClosedError) -> None:
        self._phase = _Phase.FAILED
        self._held = bytearray()
        self._handshake = self._credentials = self._judge = None
        self.failure = error

    # Records

    def _complete(self, fresh: memoryview, largest: int) -> int:
        """Add to the record of which a part is held; return where in ``fresh`` it ends."""
        held = self._held
        place = max(wire.HEAD_SIZE - len(held), 0)
        held += fresh[:place]
        if len(held) < wire.HEAD_SIZE:
            return len(fresh) + 1
        size: int = _HEAD.unpack_from(held)[0]
        if not wire.MIN_RECORD <= size <= largest:
            _refuse_size(held[: wire.HEAD_SIZE], largest)
        after = place + wire.HEAD_SIZE + size - len(held)
        held += fresh[place:after]
        return after

    def _fail_record(self, cause: Exception) -> None:
        # Until its first record opened, the peer has proved nothing.
        assert self._receiver is not None
        first = self._receiver.nonce == 0
        kind = HandshakeError if first else ProtocolError
        failure = kind(f"the sealed stream is broken: {cause}")
        failure.__cause__ = cause
        self._fail(failure)


def _preamble(pattern: Pattern) -> bytes:
    return wire.MAGIC + bytes((wire.VERSION, pattern))


def _with(text: str, diagnosis: str) -> str:
    return f"{text} ({diagnosis})" if diagnosis else text


def _take_scratch() -> bytearray:
    try:
        return _spare.pop()
    except IndexError:
        return bytearray(_SCRATCH)


def _rekey_if_due(cipher: CipherState) -> None:
    if cipher.nonce % wire.REKEY_INTERVAL == 0:
        cipher.rekey()


def _refuse_size(head: bytes | bytearray, largest: int) -> None:
    """Raise the error for a length that no record has; the codec has the words for it."""
    Framing(minimum=wire.MIN_RECORD, maximum=largest).decoder().feed(head)


def _cut_up(plaintexts: Sequence[bytes]) -> Sequence[bytes | memoryview]:
    """Return what goes into each record, so that they are few and little is copied.

    The short record of a long plaintext is its first: there it shares a record with
    the small ones before it, the head of a large message for example.
    """
    if len(plaintexts) == 1 and 0 < len(plaintexts[0]) <= wire.MAX_RECORD_PLAINTEXT:
        return plaintexts
    pieces: list[bytes | memoryview] = []
    lead = b""
    for plaintext in plaintexts:
        size = len(plaintext)
        rest = size % wire.MAX_RECORD_PLAINTEXT
        if len(lead) + rest > wire.MAX_RECORD_PLAINTEXT:
            pieces.append(lead)
            lead = b""
        if rest == size:
            lead += plaintext
            continue
        view = memoryview(plaintext)
        if lead:
            pieces.append(lead + view[:rest])
            lead = b""
        elif rest:
            pieces.append(view[:rest])
        starts = range(rest, size, wire.MAX_RECORD_PLAINTEXT)
        pieces += [view[start : start + wire.MAX_RECORD_PLAINTEXT] for start in starts]
    if lead:
        pieces.append(lead)
    return pieces
