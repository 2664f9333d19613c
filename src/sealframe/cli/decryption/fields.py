"""What a frame says, field by field (docs/PROTOCOL.md, sections 3 to 12)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from functools import partial
from typing import Final, TypeAlias

from ...wire import (
    MAGIC,
    CloseCode,
    FailureCode,
    Opcode,
    Pattern,
    ResetCode,
    StreamKind,
    Tlv,
)
from ...wire.control import MalformedBodyError, SessionHello, SessionWelcome
from .cutting import Piece

Value: TypeAlias = int | str | bytes
Fields: TypeAlias = dict[str, Value]
_Session: TypeAlias = type[SessionHello] | type[SessionWelcome]


def frame_name(piece: Piece) -> str:
    """Return what a frame is called: ``message``, or its opcode's name."""
    return opcode_name(piece.opcode) if piece.is_control else "message"


def opcode_name(number: int) -> str:
    """Return the name of an opcode, ``opcode 0x20`` where it has none."""
    try:
        return Opcode(number).name
    except ValueError:
        return f"opcode 0x{number:02x}"


def pattern_name(number: int) -> str:
    """Return the name and the number of a handshake's pattern."""
    return _named(Pattern, number)


def frame_fields(piece: Piece) -> Fields:
    """Return the fields of a frame; ``payload`` is what the program said.

    A body that breaks the protocol has the field ``malformed``, with what is wrong.
    """
    if not piece.is_control:
        return {"payload": piece.body}
    body = _Body(piece.body)
    found: Fields = {}
    try:
        _READERS.get(piece.opcode, _opaque)(body, found)
        if body.rest:
            found["surplus"] = body.take_rest()
    except MalformedBodyError as error:
        found["malformed"] = str(error)
    return found


class _Body:
    """The body of a control frame, taken from the front."""

    def __init__(self, data: bytes) -> None:
        self.rest = data

    def take(self, size: int) -> bytes:
        if len(self.rest) < size:
            raise MalformedBodyError("it is cut short")
        taken, self.rest = self.rest[:size], self.rest[size:]
        return taken

    def take_rest(self) -> bytes:
        return self.take(len(self.rest))

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size), "little")

    def text(self, size: int) -> str:
        return _text(self.take(size))


def _text(data: bytes) -> str:
    return data.decode(errors="backslashreplace")


def _named(kind: Callable[[int], object], number: int) -> str:
    try:
        return f"{getattr(kind(number), 'name', number)}({number})"
    except ValueError:
        return str(number)


def _opaque(body: _Body, found: Fields) -> None:
    if body.rest:
        found["body"] = body.take_rest()


def _handshake(body: _Body, found: Fields) -> None:
    if body.rest.startswith(MAGIC):
        body.take(len(MAGIC))
        found["version"] = body.number(1)
        found["pattern"] = _named(Pattern, body.number(1))
    found["noise"] = body.take_rest()


def _hello(session: _Session, body: _Body, found: Fields) -> None:
    if body.take(len(MAGIC)) != MAGIC:
        raise MalformedBodyError("the magic is missing")
    found["version"] = body.number(1)
    _tlvs(body, found, session)


def _tlvs(body: _Body, found: Fields, session: _Session = SessionHello) -> None:
    while body.rest:
        kind, length = body.number(2), body.number(2)
        value = body.take(length)
        try:
            tlv = Tlv(kind)
        except ValueError:
            found[f"field 0x{kind:04x}"] = value
            continue
        if tlv in (Tlv.SOFTWARE, Tlv.CLIENT_ID):
            found[tlv.name.lower()] = _text(value)
        elif tlv is Tlv.SESSION:
            _session(session.decode(value), found)
        elif tlv is Tlv.INVITATION:
            # Whoever reads this may not be who is invited.
            found["invitation"] = f"{len(value)} bytes, secret"
        elif tlv is Tlv.PADDING:
            found["padding"] = len(value)
        elif len(value) in (4, 8):
            found[tlv.name.lower()] = int.from_bytes(value, "little")
        else:
            found[tlv.name.lower()] = value


def _session(session: SessionHello | SessionWelcome, found: Fields) -> None:
    for name in (field.name for field in fields(session)):
        part = getattr(session, name)
        # Whoever has the token takes the session over. What is no number is in another field.
        if name == "token":
            found["session.token"] = "secret"
        elif isinstance(part, int):
            found[f"session.{name}"] = int(part)


def _close(body: _Body, found: Fields) -> None:
    found["code"] = _named(CloseCode, body.number(2))
    reason = body.text(body.number(1))
    if reason:
        found["reason"] = reason
    _tlvs(body, found)


def _unsupported(body: _Body, found: Fields) -> None:
    found["of"] = opcode_name(body.number(1))
    _opaque(body, found)


def _pad(body: _Body, found: Fields) -> None:
    found["padding"] = len(body.take_rest())


def _ack(body: _Body, found: Fields) -> None:
    found["number"] = body.number(8)


def _credit(body: _Body, found: Fields) -> None:
    found["increment"] = body.number(4)


def _stream(body: _Body, found: Fields) -> None:
    found["stream"] = body.number(8)


def _stream_open(body: _Body, found: Fields) -> None:
    _stream(body, found)
    found["kind"] = _named(StreamKind, body.number(1))
    found["window"] = body.number(4)
    found["metadata"] = body.take_rest()


def _stream_data(body: _Body, found: Fields) -> None:
    _stream(body, found)
    found["payload"] = body.take_rest()


def _stream_credit(body: _Body, found: Fields) -> None:
    _stream(body, found)
    _credit(body, found)


def _stream_reset(body: _Body, found: Fields) -> None:
    _stream(body, found)
    found["code"] = _named(ResetCode, body.number(2))
    if body.rest:
        found["reason"] = _text(body.take_rest())


def _request(body: _Body, found: Fields) -> None:
    found["request"] = body.number(8)


def _asked(body: _Body, found: Fields) -> None:
    _request(body, found)
    found["payload"] = body.take_rest()


def _failure(body: _Body, found: Fields) -> None:
    _request(body, found)
    found["code"] = _named(FailureCode, body.number(1))
    found["type"] = body.text(body.number(1))
    found["text"] = _text(body.take_rest())


_READERS: Final[dict[int, Callable[[_Body, Fields], None]]] = {
    Opcode.HANDSHAKE: _handshake,
    Opcode.HELLO: partial(_hello, SessionHello),
    Opcode.WELCOME: partial(_hello, SessionWelcome),
    Opcode.CLOSE: _close,
    Opcode.GOAWAY: _close,
    Opcode.UNSUPPORTED: _unsupported,
    Opcode.PAD: _pad,
    Opcode.ACK: _ack,
    Opcode.CREDIT: _credit,
    Opcode.REQUEST: _asked,
    Opcode.REPLY: _asked,
    Opcode.FAILURE: _failure,
    Opcode.CANCEL: _request,
    Opcode.STREAM_OPEN: _stream_open,
    Opcode.STREAM_DATA: _stream_data,
    Opcode.STREAM_CREDIT: _stream_credit,
    Opcode.STREAM_END: _stream,
    Opcode.STREAM_RESET: _stream_reset,
}
