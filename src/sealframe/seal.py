"""The sealed layer: a Noise handshake, then records. Bytes in, bytes out.

docs/PROTOCOL.md, "Sealed connections", is the specification. What the peer
sends goes through :meth:`Seal.buffer_updated` and comes out as plaintext of the
extended protocol; what we send goes through :meth:`Seal.seal`.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum, auto
from typing import cast

from . import control, wire
from .cipher import CipherState
from .credentials import Credentials
from .diagnosis import diagnose
from .errors import (
    ConnectionClosedError,
    DecryptionError,
    FramingError,
    HandshakeError,
    NonceExhaustedError,
    ProtocolError,
)
from .framing import Decoder, Framing
from .handshake import Handshake
from .wire import CloseCode, Control, Opcode, Pattern

_NOISE_LENGTHS = {
    Pattern.NNPSK0: (48, 48),
    Pattern.XK: (48, 48, 64),
    Pattern.XX: (32, 96, 64),
}
"""Exact bytes of each Noise message; the payloads are empty."""

_PREAMBLE_SIZE = len(wire.MAGIC) + 2
_MAX_PLAIN_CLOSE = 3 + wire.MAX_REASON

_RECORDS = Framing(minimum=wire.MIN_RECORD, maximum=wire.MAX_RECORD)
_FIRST_RECORD = Framing(minimum=wire.MIN_RECORD, maximum=wire.MAX_UNAUTHENTICATED - wire.HEAD_SIZE)

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


class _Phase(Enum):
    HANDSHAKE = auto()
    FIRST_RECORD = auto()
    RECORDS = auto()
    FAILED = auto()


class Seal:
    """One sealed connection, seen from one end, from its first byte to its last.

    :param initiator: whether this is the client's end
    :param credentials: our keys, and the patterns that we take
    :param context: the responder's name; both ends must give the same
    :param judge: for a client that learns the server's public key on the way: given
        its 32 bytes before the client shows its own, it returns an error to stop
    """

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
        self._decoder: Decoder | None = None
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
        return len(self._held) if self._decoder is None else self._decoder.pending

    def get_buffer(self) -> bytearray | memoryview:
        """Return where the next bytes from the socket go."""
        if self._decoder is not None:
            return self._decoder.get_buffer()
        self._lent = bytearray(wire.MAX_UNAUTHENTICATED)
        return self._lent

    def buffer_updated(self, nbytes: int) -> list[bytes]:
        """Take in ``nbytes`` of the buffer; return the plaintext, record by record.

        On any fault :attr:`failure` is set, what was authentic before it is
        returned, and nothing after it ever is.
        """
        decoder = self._decoder
        if decoder is not None:
            return self._receive_records(decoder, lambda: decoder.buffer_updated(nbytes))
        assert self._lent is not None
        data, self._lent = bytes(self._lent[:nbytes]), None
        return self.feed(data)

    def feed(self, data: bytes) -> list[bytes]:
        """Do the same with bytes that are already here."""
        decoder = self._decoder
        if decoder is not None:
            return self._receive_records(decoder, lambda: decoder.feed(data))
        if len(self._first) < 8:
            self._first += data[: 8 - len(self._first)]
        self._held += data
        while self._phase is _Phase.HANDSHAKE and (found := self._next_frame()) is not None:
            self._receive_handshake(*found)
        if self._phase in (_Phase.FIRST_RECORD, _Phase.RECORDS):
            first = self._phase is _Phase.FIRST_RECORD
            self._decoder = (_FIRST_RECORD if first else _RECORDS).decoder()
            rest, self._held = bytes(self._held), bytearray()
            return self.feed(rest) if rest else []
        return []

    def seal(self, plaintext: bytes) -> list[bytes]:
        """Return the records that carry ``plaintext``, each with its head.

        Call it in wire order and write what it returns: each call uses up nonces.

        :raises NonceExhaustedError: after 2^64 - 1 records
        """
        sender = self._sender
        assert sender is not None
        records = []
        view = memoryview(plaintext)
        for start in range(0, len(view), wire.MAX_RECORD_PLAINTEXT):
            record = sender.seal(view[start : start + wire.MAX_RECORD_PLAINTEXT])
            records.append(len(record).to_bytes(4, "little") + record)
            if sender.nonce % wire.REKEY_INTERVAL == 0:
                sender.rekey()
        return records

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
        self._handshake = None
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
        self._held.clear()
        self._handshake = self._credentials = None
        self.failure = error

    # Records

    def _receive_records(
        self, decoder: Decoder, decode: Callable[[], list[bytes | Control]]
    ) -> list[bytes]:
        if self._phase is _Phase.FAILED:
            return []
        fault: FramingError | None = None
        try:
            frames = decode()
        except FramingError as error:
            fault = error
            frames = error.frames
        # The layout of records knows no control frames.
        records = cast("list[bytes]", frames)
        first = self._phase is _Phase.FIRST_RECORD
        plaintexts = self._open(records[:1] if first else records)
        if first and plaintexts:
            if len(records) > 1 or decoder.pending or fault is not None:
                self._fail(HandshakeError("the client sent more before it was welcomed"))
                return []
            self._phase = _Phase.RECORDS
            self._decoder = _RECORDS.decoder()
        elif fault is not None and self.failure is None:
            self._fail_record(fault)
        return plaintexts

    def _open(self, records: list[bytes]) -> list[bytes]:
        receiver = self._receiver
        assert receiver is not None
        plaintexts = []
        try:
            for record in records:
                plaintexts.append(receiver.open(record))
                if receiver.nonce % wire.REKEY_INTERVAL == 0:
                    receiver.rekey()
        except (DecryptionError, NonceExhaustedError) as error:
            self._fail_record(error)
        return plaintexts

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
