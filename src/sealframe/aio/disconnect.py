"""Why a connection is over: from the close codes of both ends and the receive error.

This end's code comes first, unless it is NORMAL; then the peer's code; then the class of the
error; then whether all was sent.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

from ..errors import (
    ConnectionClosed,
    ConnectionClosedError,
    PeerTimeoutError,
    ProtocolError,
    SessionLostError,
    SlowPeerError,
)
from ..wire import CloseCode
from ..wire.control import Close


class DisconnectKind(Enum):
    """What ended a connection, whichever end said so."""

    CLOSED = "closed"
    """In order. Where only packets flow a peer cannot say more than this."""
    LOST = "lost"
    """The network connection was cut or reset, or ended before all was sent; of a session, none
    came in its place in time."""
    TIMED_OUT = "timed out"
    """The peer was silent for too long, or did not close in time."""
    GOING_AWAY = "going away"
    """An end shuts down and may come back."""
    KICKED = "kicked"
    """The server put the client out, as :meth:`Server.kick` does."""
    REFUSED = "refused"
    """An end does not want this connection."""
    UNAUTHORIZED = "unauthorized"
    """The client's key is not let in any more."""
    SLOW = "slow"
    """An end did not read fast enough."""
    PROTOCOL = "protocol"
    """An end sent what the other does not accept."""
    HANDLER_FAILED = "handler failed"
    """The server's handler raised."""


@dataclass(frozen=True)
class Disconnect:
    """Why a connection is over."""

    kind: DisconnectKind
    code: int | None
    """The close code (:class:`sealframe.CloseCode`) that tells why, this end's own
    where this end had a reason to close; None where there was none."""
    text: str
    """The reason that came with that code, or else what went wrong; may be empty."""
    error: ConnectionClosedError | None
    """What receiving raises, None where the peer closed in order."""


_KIND_OF: Final[dict[int, DisconnectKind]] = {
    CloseCode.NORMAL: DisconnectKind.CLOSED,
    CloseCode.GOING_AWAY: DisconnectKind.GOING_AWAY,
    CloseCode.PROTOCOL: DisconnectKind.PROTOCOL,
    CloseCode.TOO_LARGE: DisconnectKind.PROTOCOL,
    CloseCode.VERSION: DisconnectKind.PROTOCOL,
    CloseCode.REFUSED: DisconnectKind.REFUSED,
    CloseCode.BUSY: DisconnectKind.REFUSED,
    CloseCode.PLAIN: DisconnectKind.REFUSED,
    CloseCode.HANDLER: DisconnectKind.HANDLER_FAILED,
    CloseCode.TIMEOUT: DisconnectKind.TIMED_OUT,
    CloseCode.SLOW: DisconnectKind.SLOW,
    CloseCode.KICKED: DisconnectKind.KICKED,
    CloseCode.UNAUTHORIZED: DisconnectKind.UNAUTHORIZED,
    CloseCode.MALFORMED: DisconnectKind.PROTOCOL,
    CloseCode.SESSION_LOST: DisconnectKind.LOST,
    CloseCode.SUPERSEDED: DisconnectKind.LOST,
    CloseCode.SEALED: DisconnectKind.REFUSED,
    CloseCode.NO_MESSAGES: DisconnectKind.PROTOCOL,
}


def explain(received: ConnectionClosed, closed: Close | None, *, clean: bool) -> Disconnect:
    """Return why a connection is over.

    :param received: why nothing more was received
    :param closed: how this end closed, None if it did not
    :param clean: whether both ends closed in order, with nothing left unsent
    """
    error = received if isinstance(received, ConnectionClosedError) else None
    if closed is not None and closed.code != CloseCode.NORMAL:
        # This end gave a reason to close. What the peer did afterwards is its answer to it.
        text = closed.reason or (str(error) if error is not None else "")
        return Disconnect(_kind_of(closed.code), closed.code, text, error)
    code, text = received.code, received.reason
    if error is not None:
        text = text or str(error)
    kind = DisconnectKind.CLOSED
    if code is not None and code != CloseCode.NORMAL:
        kind = _kind_of(code)
    elif error is not None:
        kind = _kind_by_class(error)
    elif not clean:
        kind, text = DisconnectKind.LOST, "the connection was lost before all was sent"
    return Disconnect(kind, code, text, error)


def _kind_of(code: int) -> DisconnectKind:
    # A code of a later version: some end meant to close.
    return _KIND_OF.get(code, DisconnectKind.CLOSED)


def _kind_by_class(error: ConnectionClosedError) -> DisconnectKind:
    # What has ended a session is the cause of its error.
    match error.__cause__ if isinstance(error, SessionLostError) else error:
        case PeerTimeoutError():
            return DisconnectKind.TIMED_OUT
        case SlowPeerError():
            return DisconnectKind.SLOW
        case ProtocolError():
            return DisconnectKind.PROTOCOL
    return DisconnectKind.LOST
