"""Why a connection is over, as a table."""

from __future__ import annotations

import pytest

from sealframe import (
    CloseCode,
    ConnectionClosed,
    ConnectionClosedError,
    ConnectionClosedOK,
    Disconnect,
    DisconnectKind,
    HandshakeTimeoutError,
    PeerTimeoutError,
    ProtocolError,
    SessionLostError,
    SlowPeerError,
    TruncatedError,
)
from sealframe.aio.disconnect import explain
from sealframe.wire.control import Close

K = DisconnectKind
C = CloseCode
OK, Broken = ConnectionClosedOK, ConnectionClosedError

ROWS: dict[str, tuple[ConnectionClosed, Close | None, bool, DisconnectKind, int | None, str]] = {
    # What was received last, how this end closed, whether all was clean; and what comes of it.
    "both in order": (OK("x", code=0), Close(), True, K.CLOSED, 0, ""),
    "in packets": (OK("x"), Close(), True, K.CLOSED, None, ""),
    "with a reason": (OK("x", code=0, reason="bye"), Close(), True, K.CLOSED, 0, "bye"),
    "the peer shuts down": (OK("x", code=1, reason="r"), Close(), True, K.GOING_AWAY, 1, "r"),
    "this end shuts down": (OK("x", code=0), Close(1, "r"), True, K.GOING_AWAY, 1, "r"),
    "the peer kicks": (Broken("x", code=11, reason="r"), Close(), False, K.KICKED, 11, "r"),
    "this end kicks": (Broken("x", code=11), Close(11, "r"), False, K.KICKED, 11, "r"),
    "kicked, then cut": (TruncatedError("cut"), Close(11), False, K.KICKED, 11, "cut"),
    "kicked, in vain": (PeerTimeoutError("late"), Close(11, "r"), False, K.KICKED, 11, "r"),
    "cut": (TruncatedError("cut"), None, False, K.LOST, None, "cut"),
    "cut while closing": (TruncatedError("cut"), Close(), False, K.LOST, None, "cut"),
    "cut after its end": (
        *(OK("x"), Close(), False, K.LOST, None),
        "the connection was lost before all was sent",
    ),
    "unknown": (Broken("?"), None, False, K.LOST, None, "?"),
    "silent": (PeerTimeoutError("silent"), None, False, K.TIMED_OUT, None, "silent"),
    "does not close": (PeerTimeoutError("late"), Close(), False, K.TIMED_OUT, None, "late"),
    "late handshake": (HandshakeTimeoutError("l"), None, False, K.TIMED_OUT, None, "l"),
    "idle": (PeerTimeoutError("i", code=9), Close(9, "idle"), False, K.TIMED_OUT, 9, "idle"),
    "slow": (SlowPeerError("slow"), None, False, K.SLOW, None, "slow"),
    "broke the rules": (ProtocolError("p", code=2), Close(), False, K.PROTOCOL, 2, "p"),
    "garbage": (ProtocolError("p"), Close(), False, K.PROTOCOL, None, "p"),
    "its session is lost": (SessionLostError("l", code=14), None, False, K.LOST, 14, "l"),
    "its session is elsewhere": (SessionLostError("s", code=15), None, False, K.LOST, 15, "s"),
    "a code of later": (Broken("x", code=999), Close(), False, K.CLOSED, 999, "x"),
}


@pytest.mark.parametrize("name", ROWS)
def test_what_comes_of_it(name: str) -> None:
    received, closed, clean, kind, code, text = ROWS[name]
    error = received if isinstance(received, ConnectionClosedError) else None
    assert explain(received, closed, clean=clean) == Disconnect(kind, code, text, error)


KIND_OF = {
    C.NORMAL: K.CLOSED,
    C.GOING_AWAY: K.GOING_AWAY,
    C.PROTOCOL: K.PROTOCOL,
    C.TOO_LARGE: K.PROTOCOL,
    C.VERSION: K.PROTOCOL,
    C.REFUSED: K.REFUSED,
    C.BUSY: K.REFUSED,
    C.PLAIN: K.REFUSED,
    C.HANDLER: K.HANDLER_FAILED,
    C.TIMEOUT: K.TIMED_OUT,
    C.SLOW: K.SLOW,
    C.KICKED: K.KICKED,
    C.UNAUTHORIZED: K.UNAUTHORIZED,
    C.MALFORMED: K.PROTOCOL,
    C.SESSION_LOST: K.LOST,
    C.SUPERSEDED: K.REFUSED,
    C.SEALED: K.REFUSED,
    C.NO_MESSAGES: K.PROTOCOL,
    C.SESSION_LOST: K.LOST,
    C.SUPERSEDED: K.LOST,
}


@pytest.mark.parametrize("code", CloseCode)
def test_each_code_means_the_same_whoever_sends_it(code: CloseCode) -> None:
    received = (Broken if code else OK)("x", code=code)
    assert explain(received, Close(), clean=not code).kind is KIND_OF[code]
    assert explain(OK("x", code=0), Close(code), clean=True).kind is KIND_OF[code]
