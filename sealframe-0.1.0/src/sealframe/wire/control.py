"""Control frames as bytes: heads, bodies and the type-length-value fields in them.

Everything here is pure: bytes in, values out. docs/PROTOCOL.md has the tables: section 3 the
frames, section 4 HELLO, WELCOME and their fields, section 5 CLOSE.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from struct import Struct
from typing import Final, NoReturn

from .. import wire
from . import CloseCode, Opcode, Tlv


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


def encode_tlvs(fields: Mapping[int, bytes]) -> bytes:
    """Return the fields in ascending order of type."""
    head = _TLV_HEAD.pack
    return b"".join([head(kind, len(value)) + value for kind, value in sorted(fields.items())])


def decode_tlvs(data: bytes) -> dict[int, bytes]:
    """Return ``{type: value}``; unknown types are left out.

    :raises MalformedBodyError: cut short, not ascending, doubled, or unknown and critical
    """
    fields: dict[int, bytes] = {}
    position, previous = 0, -1
    while position < len(data):
        if len(data) - position < _TLV_HEAD.size:
            raise MalformedBodyError("a field's head is cut short")
        kind, length = _TLV_HEAD.unpack_from(data, position)
        position += _TLV_HEAD.size
        if len(data) - position < length:
            raise MalformedBodyError(f"field {kind} is cut short")
        if kind <= previous:
            raise MalformedBodyError(f"field {kind} is doubled or out of order")
        previous = kind
        if kind in _KNOWN_TLVS:
            fields[kind] = data[position : position + length]
        elif kind & wire.TLV_CRITICAL:
            raise MalformedBodyError(f"field {kind} is critical and not known here")
        position += length
    return fields


_KNOWN_TLVS: Final = frozenset(int(kind) for kind in Tlv)
_TLV_HEAD: Final = Struct("<HH")
"""Type and length of a field."""


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
    max_streams: int = 0
    """How many streams of the other end the sender of this takes at a time."""
    max_requests: int = 0
    """How many requests of the other end the sender of this takes at a time."""

    def __reduce__(self) -> NoReturn:
        raise TypeError("Hello may hold a secret and cannot be pickled or copied")

    def encode(self) -> bytes:
        """Return the body: magic, version, fields."""
        fields = {int(Tlv.MAX_FRAME): self.max_frame.to_bytes(4, "little")}
        if self.software:
            fields[Tlv.SOFTWARE] = self.software.encode()
        if self.client_id:
            fields[Tlv.CLIENT_ID] = self.client_id.encode()
        if self.invitation:
            fields[Tlv.INVITATION] = self.invitation
        if self.window is not None:
            fields[Tlv.WINDOW] = self.window.to_bytes(4, "little")
        if self.max_streams:
            fields[Tlv.MAX_STREAMS] = self.max_streams.to_bytes(4, "little")
        if self.max_requests:
            fields[Tlv.MAX_REQUESTS] = self.max_requests.to_bytes(4, "little")
        return wire.MAGIC + bytes((wire.VERSION,)) + encode_tlvs(fields)

    @classmethod
    def decode(cls, body: bytes) -> Hello:
        """Parse a HELLO or WELCOME body.

        :raises MalformedBodyError: too long, no magic, another version, or bad fields
        """
        if len(body) > wire.MAX_HELLO:
            raise MalformedBodyError(f"{len(body)} bytes are over {wire.MAX_HELLO}")
        if body[:8] != wire.MAGIC:
            raise MalformedBodyError("the magic is missing")
        if body[8:9] != bytes((wire.VERSION,)):
            raise MalformedBodyError("it is of another protocol version")
        fields = decode_tlvs(body[9:])
        max_frame = _number(fields, Tlv.MAX_FRAME, least=1)
        client_id = fields.get(Tlv.CLIENT_ID)
        if client_id is not None and not 1 <= len(client_id) <= wire.MAX_CLIENT_ID:
            raise MalformedBodyError("the client id is not 1 to 32 bytes")
        invitation = fields.get(Tlv.INVITATION, b"")
        if len(invitation) not in (0, wire.INVITATION_SIZE):
            raise MalformedBodyError(f"the invitation is not {wire.INVITATION_SIZE} bytes")
        return cls(
            max_frame=wire.MAX_LENGTH if max_frame is None else max_frame,
            software=printable(fields.get(Tlv.SOFTWARE, b"")),
            client_id=printable(client_id or b""),
            invitation=invitation,
            window=_number(fields, Tlv.WINDOW, least=1),
            max_streams=_number(fields, Tlv.MAX_STREAMS) or 0,
            max_requests=_number(fields, Tlv.MAX_REQUESTS) or 0,
        )


@dataclass(frozen=True, slots=True)
class Close:
    """The body of CLOSE (docs/PROTOCOL.md section 5) and of GOAWAY (section 3)."""

    code: int = CloseCode.NORMAL
    reason: str = ""
    frames_received: int | None = None
    """In CLOSE: message frames and counted control frames received until then."""

    def encode(self, *, size: int = 0) -> bytes:
        """Return the body; a reason over 255 bytes of UTF-8 is cut at a character.

        :param size: padding makes the body that long, if it is at least 4 bytes shorter
        """
        whole = self.reason.encode(errors="replace")
        reason = whole[: wire.MAX_REASON].decode(errors="ignore").encode()
        fields = {}
        if self.frames_received is not None:
            fields[int(Tlv.FRAMES_RECEIVED)] = self.frames_received.to_bytes(8, "little")
        start = int(self.code).to_bytes(2, "little") + bytes((len(reason),)) + reason
        body = start + encode_tlvs(fields)
        if len(body) + 4 <= size:
            fields[int(Tlv.PADDING)] = bytes(size - len(body) - 4)
            body = start + encode_tlvs(fields)
        return body

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
        return cls(
            code=int.from_bytes(body[:2], "little"),
            reason=printable(body[3 : 3 + body[2]]),
            frames_received=None if received is None else int.from_bytes(received, "little"),
        )


def unsupported(opcode: int, body: bytes) -> bytes:
    """Return the UNSUPPORTED frame that answers a frame of that opcode (section 3)."""
    return frame(Opcode.UNSUPPORTED, bytes((opcode,)) + body[: wire.UNKNOWN_BODY_KEPT])


def close_name(code: int) -> str:
    """Return a close code's name for people, ``code 77`` where it has none."""
    try:
        return CloseCode(code).name
    except ValueError:
        return f"code {code}"


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
