"""What the program is told when a session is over: how many of its messages have arrived.

docs/PROTOCOL.md, section 12. Each function takes the connection as it is at that moment.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import (
    ConnectionClosed,
    ConnectionClosedError,
    ConnectionClosedOK,
    SessionLostError,
    SlowPeerError,
)
from ..wire import CloseCode
from ..wire.control import Close, close_name

if TYPE_CHECKING:
    from .session_protocol import SessionProtocol


def describe(close: Close) -> str:
    """Return what the peer's CLOSE says."""
    text = f"the peer closed the connection ({close_name(close.code)})"
    return text + (f": {close.reason}" if close.reason else "")


def lost_error(
    protocol: SessionProtocol, text: str, *, code: int | None, reason: str
) -> SessionLostError:
    """Return the error of a session that is over: what has arrived, and what has not."""
    lost = SessionLostError(text, code=code, reason=reason)
    _count_fates(protocol, lost)
    return lost


def _count_fates(protocol: SessionProtocol, lost: SessionLostError) -> None:
    session, closer = protocol.session, protocol.closer
    assert session is not None
    # What was dropped of the send queue was accepted too.
    queued = len(protocol.sender.queue) + protocol.stats.unsent
    arrived, lost.unknown, lost.unsent = session.fates(queued)
    # A server that goes away throws away what its handlers have not taken: with the session's
    # last link it has said how much.
    close = closer.peer_close or closer.peer_announced
    discarded = 0 if close is None else min(close.messages_discarded, arrived)
    lost.arrived, lost.discarded = arrived - discarded, discarded


def counted_error(
    protocol: SessionProtocol, error: ConnectionClosed, *, sends_on: bool
) -> ConnectionClosed:
    """Return what the program is told where this is why the session ends: one kind of error, with
    the counts.

    :param sends_on: whether what was accepted is still sent, and so may arrive
    """
    session = protocol.session
    if session is None or not isinstance(error, ConnectionClosedError):
        return error
    if isinstance(error, SessionLostError) or session.lasts:
        return error
    code = CloseCode.SLOW if isinstance(error, SlowPeerError) else error.code
    lost = lost_error(protocol, str(error), code=code, reason=error.reason)
    lost.__cause__ = error
    if sends_on and protocol.transport is not None:
        dropped = protocol.stats.unsent
        lost.unknown, lost.unsent = lost.unknown + lost.unsent - dropped, dropped
    return lost


def final_error(protocol: SessionProtocol, error: ConnectionClosed) -> ConnectionClosed:
    """Return the error of a session that is over, now that it is known what has arrived. What
    ``recv`` raises is brought up to date.

    :param error: what is known of the last link
    """
    told, close = protocol.receiver.error, protocol.closer.peer_close
    if told is None and close is not None and close.code == CloseCode.NORMAL:
        # A server has closed, and had not got all by then.
        text = describe(close)
        if protocol.sender.all_acknowledged:
            return ConnectionClosedOK(text, code=close.code, reason=close.reason)
        text += "; not all that was sent has arrived"
        return lost_error(protocol, text, code=close.code, reason=close.reason)
    if isinstance(told, SessionLostError):
        _count_fates(protocol, told)
        return told
    if isinstance(told, ConnectionClosedOK) and _ended_unacknowledged(protocol):
        # The peer's end was in order, and this end's was not.
        text = "the peer closed the connection, and has not taken all that was sent after that"
        protocol.receiver.error = error = lost_error(protocol, text, code=None, reason="")
    return error


def _ended_unacknowledged(protocol: SessionProtocol) -> bool:
    """Return whether both ends have closed with code 0, and not all that was sent is known to have
    arrived; what an outbox keeps is sent by the next start."""
    session, closer = protocol.session, protocol.closer
    assert session is not None
    if session.lasts or (protocol.sender.all_acknowledged and not protocol.stats.unsent):
        return False
    closes = (closer.close_sent, closer.peer_close)
    return all(close is not None and close.code == CloseCode.NORMAL for close in closes)
