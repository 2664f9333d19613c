"""Which errors no further attempt to connect cures."""

from __future__ import annotations

from ..errors import (
    ConnectError,
    ConnectionClosed,
    HandshakeError,
    ServerKeyChangedError,
    SessionLostError,
    UnauthorizedError,
    UnknownServerError,
)
from ..wire import RETRY_CODES


def is_fatal(error: Exception) -> bool:
    """Return whether trying again cannot help: wrong key, wrong kind of server.

    A server that is not there, is busy, or vanished meanwhile may come back. One
    that merely closes, as a server of another kind may, looks the same.
    """
    if isinstance(error, UnknownServerError | ServerKeyChangedError | SessionLostError):
        return True
    if isinstance(error, HandshakeError):
        return error.code is not None and error.code not in RETRY_CODES
    return not isinstance(error, ConnectError | ConnectionClosed)


def is_hopeless(error: Exception) -> bool:
    """Return whether the session of an outbox does not begin without a link after this: the server
    was there, and has ended the link for a reason that stays."""
    if is_fatal(error):
        return True
    code = error.code if isinstance(error, ConnectionClosed) else None
    return code is not None and code not in RETRY_CODES


def is_proven(error: Exception) -> bool:
    """Return whether an error is final after a first success, which has shown that key and server
    are right: a later refusal, unless it came in a record, may be forged."""
    return isinstance(error, UnauthorizedError | SessionLostError)
