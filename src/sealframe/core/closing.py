"""The close of a connection as a table: ``(state, event) -> (state, actions)``.

A connection is two directions that end apart, as in TCP. CLOSE with code 0 (FIN, where only
packets flow) ends one of them; any other code, a fault and an abort end both. This module knows
no socket and no clock: whoever owns the connection feeds it what happened and performs the
actions in their order. docs/PROTOCOL.md, section 5, has the rules of the wire.

How to read :data:`TABLE`: a row is a state, with the events that count there. An event that is
not in a row changes nothing. An action may itself cause an event (``FLUSH`` that leaves nothing
unsent causes ``ALL_SENT``), so the state changes before the first action is performed.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import Final, TypeAlias


class _Key(Enum):
    """Enum's own hash is that of the name, in Python; tables are looked up at each step."""

    __hash__ = object.__hash__


class CloseState(_Key):
    """How far the end of a connection is."""

    HANDSHAKE = auto()
    """Messages may not flow yet."""
    OPEN = auto()
    """Nobody has ended anything."""
    GOING_AWAY = auto()
    """GOAWAY was sent: what is under way is finished, no further message is taken in."""
    PEER_CLOSED = auto()
    """The peer sends no more; this end still may."""
    GOING_AWAY_PEER_CLOSED = auto()
    """Both of these."""
    DRAINING = auto()
    """This end closes: what was accepted is sent, and the peer is still read."""
    DRAINING_PEER_CLOSED = auto()
    """The same, and the peer sends no more."""
    CLOSE_SENT = auto()
    """CLOSE, or FIN where only packets flow, is out; the peer's is not here yet."""
    AWAITING_END = auto()
    """Client of a session: both CLOSE frames are out. The server ends the link once it has all;
    where the link is cut before, the next one tells the rest."""
    FAILED = auto()
    """A fault: the answer and FIN are out, and input is discarded until the peer's FIN, so that
    the kernel does not destroy the answer with a reset."""
    DISCONNECTING = auto()
    """The socket is being closed or aborted."""
    CLOSED = auto()
    """The socket is gone."""


class CloseEvent(_Key):
    """What happens to a connection, as far as its end is concerned."""

    ESTABLISHED = auto()
    """Messages may flow."""
    CLOSE = auto()
    """This end closes with code 0; what the peer still sends is kept."""
    CLOSE_DISCARDING = auto()
    """This end closes with GOING_AWAY: what the peer sends from now on is discarded."""
    GO_AWAY = auto()
    """This end announces its close."""
    DISCONNECT = auto()
    """This end ends both directions for the program at once, as where it puts the peer out."""
    PEER_CLOSE = auto()
    """CLOSE with code 0 came from a client, or its FIN where only packets flow."""
    SERVER_CLOSE = auto()
    """The same from a server: its handler has returned, so that nobody reads there any more."""
    SESSION_CLOSE = auto()
    """The same from the server of a session, whose end of the link is waited for."""
    PEER_DISCONNECT = auto()
    """CLOSE with another code came: the peer reads no more, too."""
    PEER_FIN = auto()
    """The stream ended, after a CLOSE or after a fault."""
    ALL_SENT = auto()
    """Nothing that was accepted is unsent."""
    ALL_GIVEN = auto()
    """The same at the client of a session whose server has closed: the link has got it all."""
    NEXT_LINK = auto()
    """The client of a session has another link, over which the server says its CLOSE again."""
    NEW_NUMBERING = auto()
    """The client of a session counts anew, with a server to which no CLOSE was said, and that has
    said none."""
    FAULT = auto()
    """The peer broke the protocol, and is answered."""
    FAULT_UNANSWERED = auto()
    """It did, and nobody would read an answer."""
    ABORT = auto()
    """A time-out, or the program gives the connection up."""
    LOST = auto()
    """The socket is gone."""


class CloseAction(_Key):
    """What the owner of the connection does."""

    DISCARD = auto()
    """Drop the messages that come from now on."""
    END_MESSAGES = auto()
    """``recv`` ends; streams and requests go on."""
    END_RECEIVING = auto()
    """Nothing of the peer reaches the program any more."""
    END_SENDING = auto()
    """The program can send nothing more."""
    DROP_QUEUE = auto()
    """Forget what was accepted and is not sent."""
    LIFT_CREDIT = auto()
    """Send without credit: a peer that ended gives none, and reads on whatever comes."""
    STOP_KEEPALIVE = auto()
    ARM_TIMER = auto()
    """Abort after ``close_timeout``; during the handshake its own, absolute deadline stands."""
    RESUME_READING = auto()
    """Read on, unless the peer is held back for a program that takes messages: unread input would
    make the kernel answer with a reset and destroy what was sent before."""
    UPDATE_WINDOW = auto()
    """Give credit, where all that comes is discarded whatever is queued: it must come, too."""
    ANNOUNCE = auto()
    """Queue GOAWAY, where the peer understands it."""
    FLUSH = auto()
    SEND_CLOSE = auto()
    """Write CLOSE, or FIN where only packets flow, after everything else."""
    SEND_FIN = auto()
    CLOSE_IF_IDLE = auto()
    """Close if the program has no more to do with the connection."""
    CLOSE_SOCKET = auto()
    """Close the socket once the transport has written what it holds."""
    ABORT_SOCKET = auto()
    STOP_TIMERS = auto()


_S = CloseState
_E = CloseEvent
_A = CloseAction
Transition: TypeAlias = tuple[CloseState, tuple[CloseAction, ...]]

_END_BOTH: Final = (_A.END_RECEIVING, _A.END_SENDING)
_READ_ON: Final = (_A.RESUME_READING, _A.UPDATE_WINDOW)
_DRAIN: Final = (_A.END_SENDING, _A.STOP_KEEPALIVE, _A.ARM_TIMER, *_READ_ON, _A.FLUSH)
_DISCONNECT: Final = (_A.DISCARD, _A.END_RECEIVING, *_DRAIN)
_ANNOUNCE: Final = (_A.DISCARD, _A.ANNOUNCE, *_READ_ON, _A.FLUSH, _A.END_MESSAGES)
_GO_AWAY: Final = (*_ANNOUNCE, _A.CLOSE_IF_IDLE)
_PEER_CLOSE: Final = (_A.STOP_KEEPALIVE, _A.LIFT_CREDIT, _A.END_RECEIVING, _A.FLUSH)
_SERVER_CLOSE: Final = (_A.STOP_KEEPALIVE, _A.LIFT_CREDIT, _A.END_RECEIVING, *_DRAIN)
_SESSION_CLOSE: Final = (_A.LIFT_CREDIT, *_DRAIN)
_PEER_DISCONNECT: Final = (_A.STOP_KEEPALIVE, _A.LIFT_CREDIT, *_END_BOTH, _A.DROP_QUEUE)
_FAIL: Final = (_A.DISCARD, *_END_BOTH, _A.DROP_QUEUE, _A.ARM_TIMER, _A.FLUSH)
_ABORT: Final = (*_END_BOTH, _A.DROP_QUEUE, _A.ABORT_SOCKET)
_LOSE: Final = (_A.STOP_KEEPALIVE, _A.STOP_TIMERS, _A.DROP_QUEUE, *_END_BOTH)

# What holds in each state in which the socket is open.
_ANYWHERE: Final[dict[CloseEvent, Transition]] = {
    _E.FAULT: (_S.FAILED, (*_FAIL, _A.SEND_FIN, _A.RESUME_READING)),
    _E.FAULT_UNANSWERED: (_S.DISCONNECTING, (*_FAIL, _A.CLOSE_SOCKET)),
    _E.ABORT: (_S.DISCONNECTING, _ABORT),
    _E.LOST: (_S.CLOSED, _LOSE),
}


def _closable(
    going_away: CloseState, peer_closed: CloseState, draining: CloseState
) -> dict[CloseEvent, Transition]:
    """Return the row of a state in which this end has not closed yet."""
    return {
        **_ANYWHERE,
        _E.CLOSE: (draining, _DRAIN),
        _E.CLOSE_DISCARDING: (draining, (_A.DISCARD, *_DRAIN)),
        _E.DISCONNECT: (draining, _DISCONNECT),
        _E.GO_AWAY: (going_away, _GO_AWAY),
        _E.PEER_CLOSE: (peer_closed, (*_PEER_CLOSE, _A.CLOSE_IF_IDLE)),
        _E.SERVER_CLOSE: (_S.DRAINING_PEER_CLOSED, _SERVER_CLOSE),
        _E.SESSION_CLOSE: (_S.DRAINING_PEER_CLOSED, _SESSION_CLOSE),
        _E.PEER_DISCONNECT: (_S.DRAINING_PEER_CLOSED, (*_PEER_DISCONNECT, *_DRAIN)),
    }


_OPEN_ROW: Final = _closable(_S.GOING_AWAY, _S.PEER_CLOSED, _S.DRAINING)
_DRAINING_ROW: Final = {
    **_ANYWHERE,
    _E.DISCONNECT: (_S.DRAINING, (_A.DISCARD, *_END_BOTH)),
    _E.GO_AWAY: (_S.DRAINING, _GO_AWAY),
    _E.PEER_CLOSE: (_S.DRAINING_PEER_CLOSED, _PEER_CLOSE),
    _E.SERVER_CLOSE: (_S.DRAINING_PEER_CLOSED, _PEER_CLOSE),
    _E.SESSION_CLOSE: (_S.DRAINING_PEER_CLOSED, (_A.LIFT_CREDIT, _A.FLUSH)),
    _E.PEER_DISCONNECT: (_S.DRAINING_PEER_CLOSED, (*_PEER_DISCONNECT, _A.FLUSH)),
    _E.ALL_SENT: (_S.CLOSE_SENT, (_A.SEND_CLOSE,)),
}

TABLE: Final[dict[CloseState, dict[CloseEvent, Transition]]] = {
    _S.HANDSHAKE: {
        **_OPEN_ROW,
        _E.ESTABLISHED: (_S.OPEN, ()),
        # Nobody waits for the end of what has not begun.
        _E.GO_AWAY: (_S.DISCONNECTING, _ABORT),
    },
    _S.OPEN: _OPEN_ROW,
    _S.GOING_AWAY: _closable(_S.GOING_AWAY, _S.GOING_AWAY_PEER_CLOSED, _S.DRAINING),
    _S.PEER_CLOSED: _closable(_S.GOING_AWAY_PEER_CLOSED, _S.PEER_CLOSED, _S.DRAINING_PEER_CLOSED),
    _S.GOING_AWAY_PEER_CLOSED: _closable(
        _S.GOING_AWAY_PEER_CLOSED, _S.GOING_AWAY_PEER_CLOSED, _S.DRAINING_PEER_CLOSED
    ),
    _S.DRAINING: _DRAINING_ROW,
    _S.DRAINING_PEER_CLOSED: {
        **_DRAINING_ROW,
        _E.DISCONNECT: (_S.DRAINING_PEER_CLOSED, (_A.DISCARD, *_END_BOTH)),
        _E.GO_AWAY: (_S.DRAINING_PEER_CLOSED, _GO_AWAY),
        # Both CLOSE frames are out: nobody waits for a FIN.
        _E.ALL_SENT: (_S.DISCONNECTING, (_A.SEND_CLOSE, _A.CLOSE_SOCKET)),
        _E.ALL_GIVEN: (_S.AWAITING_END, (_A.SEND_CLOSE,)),
        _E.NEXT_LINK: (_S.DRAINING, ()),
        _E.NEW_NUMBERING: (_S.DRAINING, ()),
    },
    _S.CLOSE_SENT: {
        **_ANYWHERE,
        _E.DISCONNECT: (_S.CLOSE_SENT, (_A.DISCARD, *_END_BOTH)),
        _E.GO_AWAY: (_S.CLOSE_SENT, (_A.DISCARD, _A.RESUME_READING, _A.END_MESSAGES)),
        _E.PEER_CLOSE: (_S.DISCONNECTING, (*_PEER_CLOSE, _A.CLOSE_SOCKET)),
        _E.SERVER_CLOSE: (_S.DISCONNECTING, (*_PEER_CLOSE, _A.CLOSE_SOCKET)),
        _E.SESSION_CLOSE: (_S.AWAITING_END, ()),
        _E.NEW_NUMBERING: (_S.DRAINING, ()),
        _E.PEER_DISCONNECT: (_S.DISCONNECTING, (*_PEER_DISCONNECT, _A.FLUSH, _A.CLOSE_SOCKET)),
    },
    _S.AWAITING_END: {
        **_ANYWHERE,
        _E.DISCONNECT: (_S.AWAITING_END, (_A.DISCARD, *_END_BOTH)),
        _E.PEER_FIN: (_S.DISCONNECTING, (_A.CLOSE_SOCKET,)),
        _E.NEXT_LINK: (_S.CLOSE_SENT, ()),
        _E.NEW_NUMBERING: (_S.DRAINING, ()),
    },
    _S.FAILED: {
        _E.FAULT_UNANSWERED: (_S.DISCONNECTING, (_A.CLOSE_SOCKET,)),
        _E.PEER_FIN: (_S.DISCONNECTING, (_A.CLOSE_SOCKET,)),
        _E.ABORT: (_S.DISCONNECTING, _ABORT),
        _E.LOST: (_S.CLOSED, _LOSE),
    },
    _S.DISCONNECTING: {
        # A peer that reads nothing keeps the transport from writing what it holds.
        _E.ABORT: (_S.DISCONNECTING, _ABORT),
        _E.LOST: (_S.CLOSED, _LOSE),
    },
    _S.CLOSED: {},
}

CLOSING: Final = frozenset(
    {
        _S.DRAINING,
        _S.DRAINING_PEER_CLOSED,
        _S.CLOSE_SENT,
        _S.AWAITING_END,
        _S.FAILED,
        _S.DISCONNECTING,
    }
)
"""States in which this end has begun to close, and the socket is still there."""
WRITE_CLOSED: Final = frozenset(
    {_S.CLOSE_SENT, _S.AWAITING_END, _S.FAILED, _S.DISCONNECTING, _S.CLOSED}
)
"""States in which this end's last frame is out, or never will be."""


def transition(state: CloseState, event: CloseEvent) -> Transition:
    """Return the next state and what is to be done, in this order."""
    return TABLE[state].get(event, (state, ()))
