"""The handshake of a sealed connection: frames in, frames out (docs/PROTOCOL.md, section 6).

Theory of operation. Before there are keys, each end writes HANDSHAKE frames with one Noise
message each; the first also has the preamble::

    +--------+------+----------------+---------+---------+---------------+
    |  head  | 0x41 |    "sealfram"  | version | pattern | Noise message |
    +--------+------+----------------+---------+---------+---------------+
     4 bytes  opcode  magic            1 byte    1 byte    exact length

A client has one pattern and writes its first message when the driver is made. A server has a set
of patterns and learns from the preamble which one to take. From then on both read and write in
turn, until the last message gives two ciphers and the handshake hash. :attr:`HandshakeDriver.stage`
says how far that is::

    PREAMBLE --first frame--> MESSAGES --last message--> DONE
        |                        |
        +------- any fault ------+--> FAILED

What is answered to a fault depends on bytes that anyone can see ("Failures" in section 6):
CLOSE(SEALED) to a client that begins with a message or HELLO, or says nothing at all; nothing to
other bytes without the magic; CLOSE(VERSION) to an unknown pattern, and the same CLOSE(REFUSED) to
everything that has to do with keys.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum, auto
from struct import Struct
from typing import Final, NamedTuple

from .. import wire
from ..errors import ConnectionClosedError, HandshakeError
from ..wire import CloseCode, Opcode, Pattern, control
from ..wire.sniffing import begins_sealed, diagnose
from . import kem
from .cipher import CipherState
from .credentials import Credentials
from .handshake import Handshake

_NOISE_LENGTHS: Final = {
    Pattern.NNPSK0: (48, 48),
    Pattern.XK: (48, 48, 64),
    Pattern.XX: (32, 96, 64),
    Pattern.NNHFS_PSK0: (1248, 1152),
    Pattern.XKHFS: (1248, 1152, 64),
    Pattern.XXHFS: (1216, 1200, 64),
}
"""Exact bytes of each Noise message; the payloads are empty."""

_HEAD: Final = Struct("<I")
_PREAMBLES: Final = {pattern: wire.MAGIC + bytes((wire.VERSION, pattern)) for pattern in Pattern}
"""What stands before the first Noise message of each pattern."""
_PATTERNS: Final = {preamble: pattern for pattern, preamble in _PREAMBLES.items()}
_PREAMBLE_SIZE: Final = len(wire.MAGIC) + 2
_MAX_PLAIN_CLOSE: Final = 3 + wire.MAX_REASON
_SNIFFED: Final = 8
"""Bytes of the stream's start that are kept, to name a wrong peer."""

_REFUSED: Final = control.frame(Opcode.CLOSE, control.Close(CloseCode.REFUSED).encode())
_VERSION: Final = control.frame(Opcode.CLOSE, control.Close(CloseCode.VERSION).encode())
_SEALED: Final = control.frame(Opcode.CLOSE, control.Close(CloseCode.SEALED).encode())
"""For a client without a key. One that knows only packets reads an impossible length, where the
end of the stream alone would look like a close in order."""
BUSY_REPLY: Final = control.frame(Opcode.CLOSE, control.Close(CloseCode.BUSY).encode())
"""What an overloaded server answers, before and instead of any handshake."""

_NOT_TAKEN: Final = "the server does not take this kind of handshake: "
_OTHER_KIND: Final = (
    "it expects a shared key or an identity, whichever this is not, or it does not show its own "
    "key to clients that have not got it, or one end is too old"
)
_XX_REFUSED: Final = (
    "the peer refused the handshake: check the context at both ends; or a handshake message was "
    "changed on its way"
)
"""What a client is told: the server has no key of it beforehand that could be wrong."""
_XX_OBJECTED: Final = (
    "the peer refused the handshake: the client does not accept this server's key (has it "
    "changed?), or the context differs, or a handshake message was changed on its way"
)
"""What a server is told: the client learns its key from message 2, and may know another one."""
_HYBRID_HINT: Final = (
    "; or it has no post-quantum handshake: if its owner says so, give post_quantum=False"
)
_CLASSIC_HINT: Final = "it takes post-quantum handshakes alone: leave post_quantum=False away; or "
_HINTS: Final[dict[int, str]] = {
    CloseCode.REFUSED: "the peer refused the handshake: check the key and the context at both ends",
    CloseCode.VERSION: _NOT_TAKEN + _OTHER_KIND,
    CloseCode.BUSY: "the server is at its limit of connections: try again later",
    CloseCode.PLAIN: "the server is not sealed: start it with a key, or connect without one",
}
"""What a plaintext CLOSE may mean. Anyone on the way can forge it: these are hints for people."""
_ANOTHER: Final = "the peer asks for another version or pattern: does it have another kind of key?"
_LEARNS_KEYS: Final = (Pattern.XX, Pattern.XXHFS)
"""Patterns whose ends know no key of the other beforehand."""
_OTHER_KEY: Final = "the peer has another key, or the context differs: check both at both ends"
_OTHER_CONTEXT: Final = (
    "the context differs, or a handshake message was changed on its way: check the context at "
    "both ends"
)
_NOT_VALID: Final = "a handshake message is malformed, or was changed on its way"
_CLASSIC: Final = (
    "the client asks for a handshake that is not post-quantum, and this server takes no other: "
    "let the client leave post_quantum=False away"
)
_NO_KEM: Final = (
    "the client asks for a post-quantum handshake, and the cryptography installed here has no "
    "ML-KEM-768: run: pip install --upgrade cryptography, or let the client give "
    "post_quantum=False"
)


def may_be_plaintext_close(data: bytes) -> bool:
    """Return whether a CLOSE outside the records begins so, by its head and more."""
    head: int = _HEAD.unpack_from(data)[0]
    fits = 1 <= head & wire.LENGTH_MASK <= 1 + _MAX_PLAIN_CLOSE
    opcode = data[wire.HEAD_SIZE : wire.HEAD_SIZE + 1]
    return bool(head & wire.CONTROL_BIT) and fits and opcode in (b"", bytes((Opcode.CLOSE,)))


def plaintext_refusal(
    body: bytes, pattern: Pattern | None, *, initiator: bool | None = None
) -> HandshakeError:
    """Return the error for a CLOSE that came outside the records.

    :param pattern: of the handshake, where it is known
    :param initiator: which end reads it in place of a handshake message; None: it came in place
        of the first record, and so the pattern was taken, and the server's key accepted
    """
    try:
        close = control.Close.decode(body)
    except control.MalformedBodyError as error:
        text = f"the peer's CLOSE is malformed: {error}"
        return HandshakeError(text, code=CloseCode.PROTOCOL)
    name = control.close_name(close.code)
    hint = _HINTS.get(close.code, f"the peer closed during the handshake ({name})")
    if close.code == CloseCode.REFUSED and pattern in _LEARNS_KEYS:
        hint = _XX_OBJECTED if initiator is False else _XX_REFUSED
    if initiator and pattern is not None and close.code == CloseCode.VERSION:
        # What the client may have to change stands first where it is the likely cause.
        classic = _NOT_TAKEN + _CLASSIC_HINT + _OTHER_KIND
        hint = hint + _HYBRID_HINT if pattern.post_quantum else classic
    return HandshakeError(hint, code=close.code, reason=close.reason)


class HandshakeStage(Enum):
    """How far a handshake has come."""

    PREAMBLE = auto()
    """A server that does not know the pattern yet."""
    MESSAGES = auto()
    """The pattern is settled; Noise messages go both ways."""
    DONE = auto()
    """:attr:`HandshakeDriver.result` is there."""
    FAILED = auto()
    """:attr:`HandshakeDriver.failure` is there."""


class HandshakeResult(NamedTuple):
    """What both ends have after the last message."""

    sender: CipherState
    """For what this end sends."""
    receiver: CipherState
    """For what it receives."""
    channel_binding: bytes
    """The handshake hash, 32 bytes (Noise, section 11.2)."""
    peer_key: bytes
    """The peer's proven public key, 32 bytes; empty where the pattern has none."""
    pattern: Pattern
    """That of the handshake."""


KeyLogger = Callable[[bytes, bytes, bytes], None]
"""Takes the name of a connection and the keys of its records, the client's first."""
_NAME_SIZE: Final = 32
"""Bytes of the first Noise message that name a connection: the client's ephemeral key."""


class HandshakeDriver:
    """One end of a handshake.

    :param initiator: whether this is the client's end
    :param credentials: our keys, and the patterns that we take
    :param context: the responder's name; both ends must give the same
    :param verify_server_key: for a client that learns the server's public key on the way:
        given its 32 bytes before the client shows its own, it returns an error to stop
    :param trace: called with one line of text for each step: the number, size and pattern
        of a message, and what a failure came of; never with contents, keys or names
    :param key_log: called at the end, where the user wants to read the records in a capture
    """

    __slots__ = (
        "_context",
        "_credentials",
        "_first",
        "_key_log",
        "_messages_done",
        "_name",
        "_noise",
        "_pattern",
        "_trace",
        "_verify_server_key",
        "failure",
        "initiator",
        "output",
        "received",
        "result",
        "stage",
    )

    def __init__(
        self,
        *,
        initiator: bool,
        credentials: Credentials,
        context: bytes,
        verify_server_key: Callable[[bytes], ConnectionClosedError | None] | None,
        trace: Callable[[str], None] | None,
        key_log: KeyLogger | None = None,
    ) -> None:
        self.initiator = initiator
        self._context = context
        self._verify_server_key = verify_server_key
        self._trace = trace
        self._key_log = key_log
        self._name = b""
        self._credentials: Credentials | None = credentials
        self._pattern: Pattern | None = None
        self._noise: Handshake | None = None
        self._messages_done = 0
        self._first = b""
        self.stage = HandshakeStage.PREAMBLE
        self.output: list[bytes] = []
        """Handshake frames, or the plaintext refusal, for the wire as they are."""
        self.received = bytearray()
        """An unfinished frame; after the last message, what came behind it."""
        self.result: HandshakeResult | None = None
        self.failure: ConnectionClosedError | None = None
        if initiator:
            (pattern,) = credentials.patterns
            self._begin(credentials, pattern)
            self._write_message(_PREAMBLES[pattern])

    def receive(self, data: bytes | memoryview) -> None:
        """Take the next bytes of the stream, and go on as far as they reach."""
        if len(self._first) < _SNIFFED:
            self._first += data[: _SNIFFED - len(self._first)]
        self.received += data
        while self.stage in (HandshakeStage.PREAMBLE, HandshakeStage.MESSAGES):
            frame = self._next_frame()
            if frame is None:
                break
            self._receive_frame(*frame)

    def end(self) -> ConnectionClosedError:
        """Return the error for a stream that ends before the handshake did."""
        if self.initiator:
            text = (
                "the server closed during the handshake: check that it is sealed; or it is being "
                "restarted, or a load balancer has no server for it"
            )
        else:
            text = "the client closed during the handshake"
        return HandshakeError(self._with_diagnosis(text))

    def refuse_silent(self) -> None:
        """Answer a client that has said nothing in time: it may be one that only listens."""
        if not self.initiator and not self._first:
            self.output.append(_SEALED)

    # Frames

    def _next_frame(self) -> tuple[int, bytes] | None:
        """Take one whole frame from what was received, as (opcode, body)."""
        received = self.received
        if len(received) < wire.HEAD_SIZE:
            return None
        head: int = _HEAD.unpack_from(received)[0]
        size = head & wire.LENGTH_MASK
        if not head & wire.CONTROL_BIT:
            self._fail_unsealed(answered=True)
            return None
        if not 1 <= size <= wire.MAX_CONTROL:
            self._fail_handshake("a handshake frame has the wrong length")
            return None
        if size > 1 + max(_MAX_PLAIN_CLOSE, self._expected_size()):
            # Its start is enough to say what is wrong with it, and all that is held:
            # message 1 of a later pattern may be longer than what may be held.
            size = 1 + _PREAMBLE_SIZE
        if len(received) < wire.HEAD_SIZE + size:
            return None
        body = bytes(received[wire.HEAD_SIZE + 1 : wire.HEAD_SIZE + size])
        opcode = received[wire.HEAD_SIZE]
        del received[: wire.HEAD_SIZE + size]
        return opcode, body

    def _expected_size(self) -> int:
        """Return the size of the next body; of the first, the largest that may be."""
        if self._credentials is None:
            return self._next_length()
        return _PREAMBLE_SIZE + max(_NOISE_LENGTHS[p][0] for p in self._credentials.patterns)

    def _next_length(self) -> int:
        """Return the exact size of the next Noise message."""
        assert self._pattern is not None
        return _NOISE_LENGTHS[self._pattern][self._messages_done]

    def _receive_frame(self, opcode: int, body: bytes) -> None:
        if opcode == Opcode.CLOSE:
            self._receive_close(body)
        elif opcode != Opcode.HANDSHAKE:
            self._fail_unsealed(answered=opcode == Opcode.HELLO)
        elif self._credentials is not None:
            self._receive_first(self._credentials, body)
        else:
            self._read_message(body)

    def _receive_first(self, credentials: Credentials, body: bytes) -> None:
        """Server: the preamble settles the pattern; the first message stands behind it."""
        pattern = _PATTERNS.get(body[:_PREAMBLE_SIZE])
        if not body.startswith(wire.MAGIC):
            self._fail_handshake("the magic of the sealed protocol is missing")
        elif pattern is None or pattern not in credentials.patterns:
            self.output.append(_VERSION)
            insists = all(kind.post_quantum for kind in credentials.patterns)
            classic = pattern is not None and not pattern.post_quantum
            self._fail_handshake(_CLASSIC if classic and insists else _ANOTHER, CloseCode.VERSION)
        elif pattern.post_quantum and not kem.is_available():
            self.output.append(_VERSION)
            self._fail_handshake(_NO_KEM, CloseCode.VERSION)
        else:
            self._begin(credentials, pattern)
            self._name = body[_PREAMBLE_SIZE:][:_NAME_SIZE]
            self._read_message(body[_PREAMBLE_SIZE:])

    def _receive_close(self, body: bytes) -> None:
        code = int.from_bytes(body[:2], "little")
        self._tell(f"received CLOSE({control.close_name(code)}) in plaintext")
        self._fail(plaintext_refusal(body, self._pattern, initiator=self.initiator))

    # Noise messages

    def _begin(self, credentials: Credentials, pattern: Pattern) -> None:
        """Settle the pattern. The prologue (Noise, section 6) is the preamble and the context."""
        context = len(self._context).to_bytes(2, "little") + self._context
        self._noise = credentials.handshake(
            pattern, initiator=self.initiator, prologue=_PREAMBLES[pattern] + context
        )
        self._pattern = pattern
        self._credentials = None
        self.stage = HandshakeStage.MESSAGES

    def _write_message(self, preamble: bytes = b"") -> None:
        assert self._noise is not None
        message = self._noise.write_message()
        self._name = self._name or message[:_NAME_SIZE]
        self.output.append(control.frame(Opcode.HANDSHAKE, preamble + message))
        self._count_message("wrote", len(message))
        if self._noise.finished:
            self._finish()

    def _read_message(self, message: bytes) -> None:
        assert self._noise is not None
        if len(message) != self._next_length():
            self._refuse("a handshake message has the wrong length")
            return
        before = self._messages_done
        try:
            self._noise.read_message(message)
            self._count_message("read", len(message))
            if self._noise.finished:
                self._finish()
            elif (objection := self._objection()) is not None:
                self.output.append(_REFUSED)
                self._tell("the server's key is not accepted")
                self._fail(objection)
            else:
                # A bad public key in what was just read shows only here.
                self._write_message()
        except HandshakeError:
            self._refuse(self._why_not_valid(first=before == 0))

    def _why_not_valid(self, *, first: bool) -> str:
        """Return what a message that is not valid is likely to come of.

        Keys and context are in the first message that proves something: of XX the second, which
        the client reads, and of the others the first.
        """
        if self._pattern in _LEARNS_KEYS:
            return _OTHER_CONTEXT if self.initiator else _NOT_VALID
        return _OTHER_KEY if first else _NOT_VALID

    def _objection(self) -> ConnectionClosedError | None:
        """Return why a client must not go on with this server, once its key is known."""
        assert self._noise is not None
        key, verify = self._noise.remote_static, self._verify_server_key
        return verify(key) if verify is not None and key is not None else None

    def _finish(self) -> None:
        assert self._noise is not None
        assert self._pattern is not None
        sender, receiver = self._noise.split()
        if self._key_log is not None:
            client, server = (sender, receiver) if self.initiator else (receiver, sender)
            self._key_log(self._name, client.secret_bytes(), server.secret_bytes())
        self.result = HandshakeResult(
            sender,
            receiver,
            self._noise.hash,
            self._noise.remote_static or b"",
            self._pattern,
        )
        self._let_go()
        self.stage = HandshakeStage.DONE
        self._tell(
            "the handshake is finished, "
            + ("post-quantum" if self._pattern.post_quantum else "without post-quantum")
        )

    # Failures

    def _refuse(self, text: str) -> None:
        self.output.append(_REFUSED)
        self._fail_handshake(text, CloseCode.REFUSED)

    def _fail_unsealed(self, *, answered: bool) -> None:
        if answered and self.stage is HandshakeStage.PREAMBLE:
            self.output.append(_SEALED)
        text = (
            "the server does not answer as a sealed one: start it with a key, "
            "or connect without one"
            if self.initiator
            else "a client that is not sealed connected to a sealed server: give it the key"
        )
        self._tell("the peer does not speak the sealed protocol")
        self._fail(HandshakeError(self._with_diagnosis(text), code=CloseCode.PROTOCOL))

    def _fail_handshake(self, text: str, code: CloseCode = CloseCode.PROTOCOL) -> None:
        self._tell(f"{code.name}: {text}")
        self._fail(HandshakeError(text, code=code))

    def _fail(self, error: ConnectionClosedError) -> None:
        self._let_go()
        self.stage = HandshakeStage.FAILED
        self.received = bytearray()
        self.failure = error

    def abandon(self) -> None:
        """The connection is over before the handshake: drop the keys, whoever keeps an error."""
        self._let_go()

    def _let_go(self) -> None:
        """Drop keys, and what leads to them."""
        self._noise = self._credentials = self._verify_server_key = None

    def _with_diagnosis(self, text: str) -> str:
        # Who begins as a sealed peer does is the right one: at most the link was cut.
        diagnosis = "" if begins_sealed(self._first) else diagnose(self._first)
        return f"{text} ({diagnosis})" if diagnosis else text

    # For the log

    def _count_message(self, verb: str, size: int) -> None:
        self._messages_done += 1
        if self._trace is not None:
            assert self._pattern is not None
            self._tell(
                f"{verb} message {self._messages_done} of {self._pattern.name}, {size} bytes"
            )

    def _tell(self, step: str) -> None:
        if self._trace is not None:
            self._trace(step)
