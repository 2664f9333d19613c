"""Control frames as bytes: heads, bodies and the type-length-value fields in them.

Everything here is pure: bytes in, values out. docs/PROTOCOL.md has the tables: section 3 the
frames, section 4 HELLO, WELCOME and their fields, section 5 CLOSE, section 12 sessions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from struct import Struct
from typing import Final, NoReturn

from .. import wire
from . import CloseCode, Opcode, Tlv
from .writers import Writers


class MalformedBodyError(ValueError):
    """A control frame's body does not parse; the text says where."""


def frame(opcode: int, body: bytes = b"") -> bytes:
    """Return a whole control frame.

    :param body: at most 65,535 bytes
    """
    size = 1 + len(body)
    if size > wire.MAX_CONTROL:
        raise ValueError(f"a control frame of {size} bytes is over {wire.MAX_CONTROL}")
    return (size | wire.CONTROL_BIT).to_bytes(4, "little") + bytes((opcode,)) + body


def _tlv(kind: int, value: bytes) -> bytes:
    """Return one field."""
    return _TLV_HEAD.pack(kind, len(value)) + value


def decode_tlvs(data: bytes) -> dict[int, bytes]:
    """Return ``{type: value}``; unknown types are left out.

    :raises MalformedBodyError: cut short, not ascending, doubled, or unknown and critical
    """
    fields: dict[int, bytes] = {}
    place, previous, size = 0, -1, len(data)
    while place < size:
        value = place + _TLV_HEAD.size
        if value > size:
            raise MalformedBodyError("a field's head is cut short")
        kind, length = _TLV_HEAD.unpack_from(data, place)
        place = value + length
        if place > size:
            raise MalformedBodyError(f"field {kind} is cut short")
        if kind <= previous:
            raise MalformedBodyError(f"field {kind} is doubled or out of order")
        previous = kind
        if kind in _KNOWN_TLVS:
            fields[kind] = data[value:place]
        elif kind & wire.TLV_CRITICAL:
            raise MalformedBodyError(f"field {kind} is critical and not known here")
    return fields


_CLOSE_NAMES: Final = {int(code): code.name for code in CloseCode}
_KNOWN_TLVS: Final = frozenset(int(kind) for kind in Tlv)
_TLV_HEAD: Final = Struct("<HH")
"""Type and length of a field."""
_CLOSE_START: Final = Struct("<HB")
"""Code of a CLOSE, and length of its reason."""
_TLV_NUMBER: Final = Struct("<HHI")
"""A field with a number: its type, the length 4, the number."""
_SESSION_HELLO: Final = Struct("<16sIIQQQQII")
_SESSION_WELCOME: Final = Struct("<QQQQQIII")
_KNOWN: Final = 1
"""The only flag of the session field in HELLO."""
_HELLO_START: Final = wire.MAGIC + bytes((wire.VERSION,))
"""What HELLO and WELCOME begin with."""


@dataclass(frozen=True, slots=True)
class Hello:
    """The body of HELLO and WELCOME (docs/PROTOCOL.md section 4)."""

    max_frame: int = wire.MAX_LENGTH
    """The largest message the sender of this accepts, in bytes."""
    software: str = ""
    client_id: str = ""
    """In WELCOME: the id that the server lists the client under."""
    invitation: bytes = field(default=b"", repr=False)
    """In HELLO: the token of an invitation, which is a secret."""
    window: int | None = None
    """Cost of the messages that the other end may send before it gets CREDIT (section 7);
    None if the sender of this does not know CREDIT."""
    session: bytes = field(default=b"", repr=False)
    """:class:`SessionHello` or :class:`SessionWelcome` as bytes; empty if there is none. In HELLO
    a secret is among them."""
    writers: bytes = b""
    """With a session, in HELLO: :class:`~sealframe.wire.writers.Writers` as bytes. In WELCOME: the
    writer of the last message that was taken. Empty if nothing is said."""
    max_streams: int = 0
    """How many streams of the other end the sender of this takes at a time."""
    max_requests: int = 0
    """How many requests of the other end the sender of this takes at a time."""

    def __reduce__(self) -> NoReturn:
        raise TypeError("Hello may hold a secret and cannot be pickled or copied")

    def encode(self, *, client_id: str = "") -> bytes:
        """Return the body: magic, version, fields.

        :param client_id: what a server calls the client, in place of the attribute
        """
        # Written out, in ascending order of type: each connection has two of these.
        number, name = _TLV_NUMBER.pack, client_id or self.client_id
        body = _HELLO_START + number(Tlv.MAX_FRAME, 4, self.max_frame)
        if self.window is not None:
            body += number(Tlv.WINDOW, 4, self.window)
        if self.session:
            body += _tlv(Tlv.SESSION, self.session)
        if self.software:
            body += _tlv(Tlv.SOFTWARE, self.software.encode())
        if name:
            body += _tlv(Tlv.CLIENT_ID, name.encode())
        if self.invitation:
            body += _tlv(Tlv.INVITATION, self.invitation)
        if self.max_streams:
            body += number(Tlv.MAX_STREAMS, 4, self.max_streams)
        if self.max_requests:
            body += number(Tlv.MAX_REQUESTS, 4, self.max_requests)
        if self.writers:
            body += _tlv(Tlv.WRITERS, self.writers)
        return body

    @classmethod
    def decode(cls, body: bytes) -> Hello:
        """Parse a HELLO or WELCOME body.

        :raises MalformedBodyError: too long, no magic, another version, or bad fields
        """
        if len(body) > wire.MAX_HELLO:
            raise MalformedBodyError(f"{len(body)} bytes are over {wire.MAX_HELLO}")
        if not body.startswith(_HELLO_START):
            if body[:8] != wire.MAGIC:
                raise MalformedBodyError("the magic is missing")
            raise MalformedBodyError("it is of another protocol version")
        fields = decode_tlvs(body[9:])
        max_frame = _number(fields, Tlv.MAX_FRAME, least=1)
        client_id = fields.get(Tlv.CLIENT_ID)
        if client_id is not None and not 1 <= len(client_id) <= wire.MAX_CLIENT_ID:
            raise MalformedBodyError("the client id is not 1 to 32 bytes")
        invitation = fields.get(Tlv.INVITATION, b"")
        if len(invitation) not in (0, wire.INVITATION_SIZE):
            raise MalformedBodyError(f"the invitation is not {wire.INVITATION_SIZE} bytes")
        session = fields.get(Tlv.SESSION)
        if session is not None and len(session) not in _SESSION_SIZES:
            raise MalformedBodyError(
                f"the session is neither {wire.SESSION_HELLO_SIZE} bytes, as in HELLO, "
                f"nor {wire.SESSION_WELCOME_SIZE}, as in WELCOME"
            )
        writers = fields.get(Tlv.WRITERS)
        if writers is not None and len(writers) not in _WRITERS_SIZES:
            raise MalformedBodyError(f"the writers of the session are {len(writers)} bytes")
        return cls(
            max_frame=wire.MAX_LENGTH if max_frame is None else max_frame,
            software=printable(fields.get(Tlv.SOFTWARE, b"")),
            client_id=printable(client_id or b""),
            invitation=invitation,
            window=_number(fields, Tlv.WINDOW, least=1),
            session=session or b"",
            writers=writers or b"",
            max_streams=_number(fields, Tlv.MAX_STREAMS) or 0,
            max_requests=_number(fields, Tlv.MAX_REQUESTS) or 0,
        )


@dataclass(frozen=True, slots=True)
class SessionHello:
    """Field 4 of HELLO: the session that a client begins or goes on with (section 12)."""

    token: bytes = field(repr=False)
    """16 random bytes, by which the server knows the session: a secret."""
    start: int
    """How often the client's program has begun the session anew; from 1."""
    link: int
    """Grows with each HELLO within one start; from 1."""
    numbering: int
    """That of the last WELCOME which this start has read, 0 if it has read none."""
    received: int
    """Frames that the client has received in that numbering."""
    acknowledged: int
    """Of these, how many need not be sent again."""
    credit: int
    """Cost of all messages that the client has given credit for in that numbering."""
    ack_by: int
    """Bytes of the client's own frames after which it wants them acknowledged; from 1,024."""
    known: bool = False
    """Whether a WELCOME of this session was read once, by this start or an earlier one."""
    writers: Writers | None = None
    """Field 14, which begins with this start; None where the client has no file."""

    def __reduce__(self) -> NoReturn:
        raise TypeError("SessionHello holds a secret and cannot be pickled or copied")

    def encode(self) -> bytes:
        """Return the 64 bytes of the field."""
        return _SESSION_HELLO.pack(
            self.token,
            self.start,
            self.link,
            self.numbering,
            self.received,
            self.acknowledged,
            self.credit,
            self.ack_by,
            _KNOWN if self.known else 0,
        )

    @classmethod
    def decode(cls, value: bytes, writers: bytes = b"") -> SessionHello:
        """Parse the field.

        :param writers: field 14, empty if there is none
        :raises MalformedBodyError: of another length, or a number that may not be there
        """
        if len(value) != wire.SESSION_HELLO_SIZE:
            raise MalformedBodyError(
                f"the session of HELLO is {len(value)} bytes, not {wire.SESSION_HELLO_SIZE}"
            )
        *numbers, flags = _SESSION_HELLO.unpack(value)
        hello = cls(*numbers)
        if not any(hello.token):
            raise MalformedBodyError("the token of the session is zero")
        if not hello.start or not hello.link:
            raise MalformedBodyError("start and link of a session begin with 1")
        if flags & ~_KNOWN:
            raise MalformedBodyError(f"the flags of the session, 0x{flags:x}, are not known here")
        _check_counts(hello)
        if writers:
            try:
                hello = replace(hello, writers=Writers.decode(writers))
            except ValueError as error:
                raise MalformedBodyError(f"the writers of the session: {error}") from None
        return replace(hello, known=True) if flags else hello


@dataclass(frozen=True, slots=True)
class SessionWelcome:
    """Field 4 of WELCOME: how the session goes on, or that it begins (section 12)."""

    numbering: int
    """That of HELLO if the session goes on, another one if it begins; not 0."""
    received: int
    """Frames that the server has received in it."""
    acknowledged: int
    """Of these, how many need not be sent again."""
    credit: int
    """Cost of all messages that the server has given credit for in it."""
    taken: int
    """Where a numbering begins: messages of this session that are taken for good."""
    keep: int
    """Seconds for which the server keeps a session without a link."""
    ack_by: int
    """Bytes of the server's own frames after which it wants them acknowledged; from 1,024."""
    before: int = 0
    """Where a numbering begins on a plain link: frames that the server sent before WELCOME."""
    writer: bytes = b""
    """Field 14, where HELLO has one: where a numbering begins, which start the last of the messages
    is from that are taken; eight zeros where that is not known."""

    def encode(self) -> bytes:
        """Return the 52 bytes of the field."""
        return _SESSION_WELCOME.pack(
            self.numbering,
            self.received,
            self.acknowledged,
            self.credit,
            self.taken,
            self.keep,
            self.ack_by,
            self.before,
        )

    @classmethod
    def decode(cls, value: bytes, writer: bytes = b"") -> SessionWelcome:
        """Parse the field.

        :param writer: field 14, empty if there is none
        :raises MalformedBodyError: of another length, or a number that may not be there
        """
        if len(value) != wire.SESSION_WELCOME_SIZE:
            raise MalformedBodyError(
                f"the session of WELCOME is {len(value)} bytes, not {wire.SESSION_WELCOME_SIZE}"
            )
        if len(writer) not in (0, wire.WRITER_SIZE):
            raise MalformedBodyError(f"the writer of the session is {len(writer)} bytes")
        welcome = cls(*_SESSION_WELCOME.unpack(value))
        if not welcome.numbering:
            raise MalformedBodyError("the numbering of the session is 0")
        _check_counts(welcome)
        return replace(welcome, writer=writer) if writer else welcome


_WRITERS_SIZES: Final = range(wire.WRITER_SIZE, wire.WRITER_SIZE * (wire.MAX_WRITERS + 1), 8)
_SESSION_SIZES: Final = frozenset({wire.SESSION_HELLO_SIZE, wire.SESSION_WELCOME_SIZE})


def _check_counts(session: SessionHello | SessionWelcome) -> None:
    taken = session.taken if isinstance(session, SessionWelcome) else 0
    # What is acknowledged is not more than what was received.
    counts = {"received": session.received, "credit": session.credit, "taken": taken}
    for name, count in counts.items():
        if count > wire.MAX_COUNT:
            raise MalformedBodyError(f"{name} of the session, {count}, is over 2^63")
    if session.acknowledged > session.received:
        raise MalformedBodyError(
            f"{session.acknowledged} frames of the session are acknowledged, "
            f"and only {session.received} received"
        )
    if session.ack_by < wire.MIN_ACK_BY:
        raise MalformedBodyError(
            f"ack_by of the session, {session.ack_by} bytes, is below {wire.MIN_ACK_BY}"
        )


@dataclass(frozen=True, slots=True)
class Close:
    """The body of CLOSE (docs/PROTOCOL.md section 5) and of GOAWAY (section 3)."""

    code: int = CloseCode.NORMAL
    reason: str = ""
    frames_received: int | None = None
    """In CLOSE: message frames and counted control frames received until then."""
    messages_discarded: int = 0
    """In CLOSE: messages received and thrown away, since nobody takes them any more."""
    retry_after: int | None = None
    """In both, to an end with a session: milliseconds before which it is not to come back, below
    2^32; None does not say."""

    def encode(self, *, size: int = 0) -> bytes:
        """Return the body; a reason over 255 bytes of UTF-8 is cut at a character.

        :param size: padding makes the body that long, in place of the fields where both find no
            room; at least 7, and the reason has to leave room for it
        """
        reason, fields = b"", b""
        if self.reason:
            whole = self.reason.encode(errors="replace")
            reason = whole[: wire.MAX_REASON].decode(errors="ignore").encode()
        if self.frames_received is not None:
            fields = _tlv(Tlv.FRAMES_RECEIVED, self.frames_received.to_bytes(8, "little"))
        if self.retry_after is not None:
            fields += _TLV_NUMBER.pack(Tlv.RETRY_AFTER, 4, self.retry_after)
        if self.messages_discarded:
            fields += _tlv(Tlv.MESSAGES_DISCARDED, self.messages_discarded.to_bytes(8, "little"))
        start = _CLOSE_START.pack(self.code, len(reason)) + reason
        if not size:
            return start + fields
        if len(start) + _TLV_HEAD.size + len(fields) > size:
            fields = b""
        # Types ascend, and that of padding is the lower one.
        padding = size - len(start) - _TLV_HEAD.size - len(fields)
        return start + _tlv(Tlv.PADDING, bytes(padding)) + fields

    @classmethod
    def decode(cls, body: bytes) -> Close:
        """Parse a CLOSE or GOAWAY body.

        :raises MalformedBodyError: it is cut short or its fields are bad
        """
        if len(body) < 3 or len(body) < 3 + body[2]:
            raise MalformedBodyError("it is cut short")
        fields = decode_tlvs(body[3 + body[2] :])
        received = fields.get(Tlv.FRAMES_RECEIVED)
        if received is not None and len(received) != 8:
            raise MalformedBodyError("frames_received is not 8 bytes")
        discarded = fields.get(Tlv.MESSAGES_DISCARDED, bytes(8))
        if len(discarded) != 8:
            raise MalformedBodyError("messages_discarded is not 8 bytes")
        retry_after = fields.get(Tlv.RETRY_AFTER)
        if retry_after is not None and len(retry_after) != 4:
            raise MalformedBodyError("retry_after is not 4 bytes")
        return cls(
            code=int.from_bytes(body[:2], "little"),
            reason=printable(body[3 : 3 + body[2]]),
            frames_received=None if received is None else int.from_bytes(received, "little"),
            messages_discarded=int.from_bytes(discarded, "little"),
            retry_after=None if retry_after is None else int.from_bytes(retry_after, "little"),
        )


def unsupported(opcode: int, body: bytes) -> bytes:
    """Return the UNSUPPORTED frame that answers a frame of that opcode (section 3)."""
    return frame(Opcode.UNSUPPORTED, bytes((opcode,)) + body[: wire.UNKNOWN_BODY_KEPT])


def ack(number: int) -> bytes:
    """Return the ACK frame for all frames of the other end up to that number (section 12)."""
    return frame(Opcode.ACK, number.to_bytes(8, "little"))


def parse_ack(body: bytes) -> int:
    """Return the number of an ACK.

    :raises MalformedBodyError: it is not 8 bytes, or over 2^63
    """
    if len(body) != 8:
        raise MalformedBodyError(f"ACK is {len(body)} bytes, not 8")
    number = int.from_bytes(body, "little")
    if number > wire.MAX_COUNT:
        raise MalformedBodyError(f"ACK of frame {number} is over 2^63")
    return number


def close_name(code: int) -> str:
    """Return a close code's name for people, ``code 77`` where it has none."""
    return _CLOSE_NAMES.get(code) or f"code {code}"


def _number(fields: Mapping[int, bytes], kind: Tlv, *, least: int = 0) -> int | None:
    value = fields.get(kind)
    if value is None:
        return None
    number = int.from_bytes(value, "little")
    if len(value) != 4 or not least <= number <= wire.MAX_LENGTH:
        raise MalformedBodyError(f"{kind.name.lower()} is not a number from {least} to 2^31 - 1")
    return number


def printable(data: bytes) -> str:
    """Decode text that a peer chose, so that it is safe to print on one line."""
    text = data.decode(errors="replace")
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)
