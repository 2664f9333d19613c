"""What goes wrong with a connection, as errors: the texts that a program reads.

Values in, an error or its text out; whether the connection fails is for who asks.
"""

from __future__ import annotations

import errno
from contextlib import suppress
from typing import Final

from ..errors import (
    ConnectionClosedError,
    FramingError,
    HandshakeError,
    NotSupportedError,
    PeerTimeoutError,
    TruncatedError,
    UnauthorizedError,
)
from ..framing import Decoder, FrameDecoder
from ..framing.refusals import incomplete
from ..wire import CloseCode, Control, Opcode
from ..wire.control import Close, MalformedBodyError, close_name
from .events import Phase

EXPECTED: Final = {
    Phase.SEALING: "the handshake is under way",
    Phase.SEALED_HELLO: "only HELLO may come first inside the seal",
    Phase.SEALED_WELCOME: "only WELCOME may come first inside the seal",
    Phase.WELCOME: "WELCOME has not come yet",
    Phase.JOINING: "which session it is has not been decided",
    Phase.FIRST: "only HELLO may come before messages",
    Phase.PACKETS: "this connection carries packets only",
    Phase.EXTENDED: "the introductions are over",
    Phase.ENDED: "the peer has already sent CLOSE",
    Phase.FAILED: "the connection has failed",
}
"""What a phase allows, for the error text of a frame that it does not."""

_UNREACHABLE: Final = frozenset({errno.ETIMEDOUT, errno.EHOSTUNREACH, errno.ENETUNREACH})
"""With which a connected socket ends once keepalive, or what was sent, is not acknowledged in time
(RFC 1122, sections 4.2.3.5 and 4.2.3.9)."""


def opcode_name(opcode: int) -> str:
    """Return what to call a control frame in an error text."""
    try:
        return f"a {Opcode(opcode).name} frame"
    except ValueError:
        return f"a control frame of opcode 0x{opcode:02x}"


def closed_early(*, silently: bool) -> str:
    """Return the text for an end before the introductions are over.

    :param silently: a server has not sent a byte, as one does that is full
    """
    if not silently:
        return "the peer closed during the handshake"
    return (
        "the server closed during the handshake without a word: check that it is a sealframe "
        "server; or it is full or being restarted, or a load balancer has no server for it"
    )


def packets_only(what: str, phase: Phase) -> NotSupportedError:
    """Return the error for what needs control frames where none may be sent."""
    verb = "needs" if what == "ping" else "need"
    if phase is Phase.FIRST:
        return NotSupportedError(
            f"{what} {verb} an extended client, and this one has not said yet whether it is: "
            "receive its first message before, or use security=..."
        )
    return NotSupportedError(
        f"this connection carries packets only; {what} {verb} security=... or extended=True"
    )


def no_link_yet(what: str) -> NotSupportedError:
    """Return the error for what needs a server, where a session has had no link yet."""
    verb = "needs" if what == "ping" else "need"
    return NotSupportedError(
        f"{what} {verb} a server that has answered, and none has yet: "
        "await conn.wait_connected() before"
    )


def socket_lost(cause: Exception | None, inside: str | None) -> ConnectionClosedError:
    """Return the error for a connection whose socket has failed.

    :param cause: what the system says
    :param inside: the text, where it ended inside a frame
    """
    why = because(cause)
    if isinstance(cause, OSError) and cause.errno in _UNREACHABLE:
        return PeerTimeoutError(f"the peer gave no sign of life, and the system gave it up{why}")
    return TruncatedError(inside or f"the connection was lost without a close{why}")


def cut_short(decoder: Decoder | FrameDecoder, number: int) -> str:
    """Return what to say of a stream of a foreign layout that ends inside a frame.

    :param number: of the frame, from 1 on
    """
    if isinstance(decoder, Decoder):
        # It does not count frames.
        return str(incomplete(decoder.pending, decoder.frame_size, number=number))
    try:
        decoder.finish()
    except FramingError as error:
        return str(error)
    return f"the stream ends inside frame {number}"


def because(cause: Exception | None) -> str:
    """Return what to put behind an error's text for the error that caused it."""
    return "" if cause is None else f": {cause}"


def refused(close: Close, *, sealed: bool) -> HandshakeError:
    """Return a client's error for CLOSE in place of WELCOME.

    :param sealed: whether the client encrypts
    """
    if close.code == CloseCode.SEALED and not sealed:
        return _sealed_server()
    if close.code == CloseCode.UNAUTHORIZED and sealed:
        text = "the server does not have this client's key among the authorised ones"
        return UnauthorizedError(text, code=close.code, reason=close.reason)
    detail = f": {close.reason}" if close.reason else ""
    text = f"the server refused the connection ({close_name(close.code)}{detail})"
    return HandshakeError(text, code=close.code, reason=close.reason)


def refused_packets(frame: Control, *, first: bool) -> ConnectionClosedError | None:
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
