"""What both ends of one connection said: frames out of bytes, sealed or plain.

A connection is sealframe's if its client begins with HANDSHAKE or HELLO and the magic. HANDSHAKE
frames go by, whatever their number and sizes are; the first message frame of a direction is its
record 0 (docs/PROTOCOL.md, section 6), under the key that a key log has for it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from enum import Enum, auto
from typing import Final, NamedTuple

from ... import DecryptionError
from ...noise import CipherState
from ...wire import HEAD_SIZE, MAGIC, Opcode
from ..captures.following import Sender
from .cutting import BrokenFramesError, Cutter, Piece
from .key_lines import NAME_SIZE, Keys

_PREAMBLE: Final = len(MAGIC) + 2
"""Magic, version and pattern, in front of the first Noise message."""
_START: Final = HEAD_SIZE + 1 + len(MAGIC)
"""Bytes by which a connection is known."""
_UNSEALED: Final = frozenset({Opcode.HANDSHAKE, Opcode.CLOSE})
"""What a sealed end sends outside the records, before its first."""
_EARLY: Final = 1024 * 1024
"""Bytes of a server that are held before its client has spoken."""


class Kind(Enum):
    """What a connection is."""

    UNKNOWN = auto()
    """Its client has not said enough yet."""
    FOREIGN = auto()
    """None of sealframe, or one of packets alone, which nothing tells apart."""
    EXTENDED = auto()
    """Control frames and messages, in the clear."""
    SEALED = auto()


class Frame(NamedTuple):
    """One frame that an end sent."""

    sender: Sender
    time: float
    """When its last byte was captured, in seconds since 1970."""
    piece: Piece
    sealed: bool
    """Whether it came in a record."""


class _Way:
    """One direction of a connection."""

    def __init__(self) -> None:
        self.outer = Cutter()
        """Handshake and records, or plain frames."""
        self.inner = Cutter()
        """What is in the records."""
        self.cipher: CipherState | None = None
        self.closed = False
        """Whether CLOSE was read, after which no message comes (docs/PROTOCOL.md, section 5)."""
        self.fault = ""
        """Why nothing more of it can be read; empty where it goes on."""

    def frame(self, sender: Sender, time: float, piece: Piece, *, sealed: bool) -> Frame:
        """Return a frame of it; note whether it is CLOSE."""
        self.closed |= piece.is_control and piece.opcode == Opcode.CLOSE
        return Frame(sender, time, piece, sealed)


class Dialogue:
    """Both directions of one connection.

    :param key_log: keys by the names of connections
    """

    def __init__(self, key_log: Mapping[bytes, Sequence[Keys]]) -> None:
        self.kind = Kind.UNKNOWN
        self.pattern = 0
        """The number of the handshake; 0 where there is none."""
        self._key_log = key_log
        self._keys: Sequence[Keys] = ()
        self._ways: dict[Sender, _Way] = {"client": _Way(), "server": _Way()}
        self._start = b""
        self._early: list[tuple[bytes, float]] = []
        self._early_size = 0

    @property
    def faults(self) -> list[str]:
        """Why not all of it could be read, a sentence each; a reason for both ends once."""
        # As a dictionary: what concerns both ends is said once.
        found: dict[str, None] = {}
        for sender, way in self._ways.items():
            pending = way.outer.pending or way.inner.pending
            if way.fault:
                found[way.fault.replace("{sender}", sender)] = None
            elif pending:
                found[
                    f"the last {pending:,} bytes of the {sender} are no whole "
                    f"{'record' if way.outer.pending and way.cipher else 'frame'}: "
                    "the capture or the connection ended in the middle of it"
                ] = None
        return list(found)

    def may_go_on(self, sender: Sender) -> bool:
        """Return whether that end may have sent more: there is no CLOSE and no fault."""
        way = self._ways[sender]
        return not (way.closed or way.fault or way.outer.pending or way.inner.pending)

    def take(self, sender: Sender, data: bytes, time: float) -> Iterator[Frame]:
        """Take the next bytes of an end; yield the frames that are whole now."""
        if self.kind is Kind.FOREIGN:
            return
        if self.kind is not Kind.UNKNOWN:
            yield from self._read(sender, data, time)
            return
        if sender == "server":
            self._early.append((data, time))
            self._early_size += len(data)
            if self._early_size > _EARLY:
                # A capture may have many such connections.
                self.kind = Kind.FOREIGN
                self._early.clear()
            return
        self._start += data
        self.kind = _kind(self._start)
        if self.kind is Kind.FOREIGN:
            self._early.clear()
        elif self.kind is not Kind.UNKNOWN:
            early, self._early = self._early, []
            for part, then in early:
                yield from self._read("server", part, then)
            yield from self._read("client", self._start, time)

    def _read(self, sender: Sender, data: bytes, time: float) -> Iterator[Frame]:
        way = self._ways[sender]
        if way.fault:
            return
        try:
            for piece in way.outer.feed(data):
                if self.kind is Kind.EXTENDED:
                    yield way.frame(sender, time, piece, sealed=False)
                elif piece.is_control:
                    if way.cipher is not None or piece.opcode not in _UNSEALED:
                        way.fault = (
                            "the {sender} sent a control frame outside its records, which no end "
                            "believes: somebody on the way wrote it, or the capture is damaged"
                        )
                        return
                    self._note_handshake(sender, piece)
                    yield way.frame(sender, time, piece, sealed=False)
                else:
                    plaintext = self._open(sender, way, piece.body)
                    if plaintext is None:
                        return
                    for inner in way.inner.feed(plaintext):
                        yield way.frame(sender, time, inner, sealed=True)
        except BrokenFramesError as error:
            way.fault = f"what the {{sender}} sent cannot be read any further: {error}"

    def _note_handshake(self, sender: Sender, piece: Piece) -> None:
        if not self.pattern and sender == "client" and piece.opcode == Opcode.HANDSHAKE:
            body = piece.body
            self.pattern = int.from_bytes(body[_PREAMBLE - 1 : _PREAMBLE], "little")
            self._keys = self._key_log.get(body[_PREAMBLE : _PREAMBLE + NAME_SIZE], ())

    def _open(self, sender: Sender, way: _Way, record: bytes) -> bytes | None:
        """Return the plaintext of a record; None, and note the fault, if it does not open."""
        if not self._keys:
            way.fault = (
                "the key log has no line for this connection"
                if self._key_log
                else "it is sealed: give its key log with --keylog FILE"
            )
            return None
        if way.cipher is not None:
            try:
                return way.cipher.open_record(record)
            except DecryptionError:
                way.fault = (
                    f"record {way.cipher.nonce:,} of the {{sender}} does not open: it was changed, "
                    "or what was captured before it is not what was sent"
                )
                return None
        for keys in self._keys:
            cipher = CipherState(keys.client if sender == "client" else keys.server)
            try:
                plaintext = cipher.open_record(record)
            except DecryptionError:
                continue
            way.cipher = cipher
            return plaintext
        way.fault = (
            "record 0 of the {sender} does not open with the keys that the key log has for "
            "this connection"
        )
        return None


def _kind(start: bytes) -> Kind:
    head, opcode, magic = start[:HEAD_SIZE], start[HEAD_SIZE : HEAD_SIZE + 1], start[5:_START]
    if len(head) == HEAD_SIZE and not head[3] & 0x80:
        return Kind.FOREIGN
    if opcode and opcode[0] not in (Opcode.HANDSHAKE, Opcode.HELLO):
        return Kind.FOREIGN
    if not MAGIC.startswith(magic):
        return Kind.FOREIGN
    if len(start) < _START:
        return Kind.UNKNOWN
    return Kind.SEALED if opcode[0] == Opcode.HANDSHAKE else Kind.EXTENDED
