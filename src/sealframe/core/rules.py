"""What may arrive when, and what comes next: docs/PROTOCOL.md, section 11, as a table.

A row is a phase; what is not in it is fatal there. An entry names the method of
:class:`.protocol.ProtocolMachine` that takes the frame, and the phase that follows if all is well
with it. A frame that is not all right leads to ``FAILED`` from everywhere.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from ..wire import Opcode
from .events import Phase
from .multiplexer import OPCODES

MESSAGE: Final = -1
"""A message, in place of an opcode."""
UNKNOWN: Final = -2
"""An opcode that this version does not know."""


class Rule(NamedTuple):
    """What to do with a frame."""

    method: str
    """Of the machine."""
    next: Phase
    """Where the connection is then."""


_HELLO: Final = Rule("on_hello", Phase.EXTENDED)
_WELCOME: Final = Rule("on_welcome", Phase.EXTENDED)
_REFUSAL: Final = Rule("on_refusal", Phase.FAILED)

RULES: Final[dict[Phase, dict[int, Rule]]] = {
    Phase.SEALING: {},
    Phase.SEALED_HELLO: {Opcode.HELLO: _HELLO},
    Phase.SEALED_WELCOME: {Opcode.WELCOME: _WELCOME, Opcode.CLOSE: _REFUSAL},
    Phase.WELCOME: {
        MESSAGE: Rule("on_message", Phase.WELCOME),
        Opcode.WELCOME: _WELCOME,
        Opcode.CLOSE: _REFUSAL,
    },
    Phase.JOINING: {},
    Phase.FIRST: {
        MESSAGE: Rule("on_message", Phase.PACKETS),
        Opcode.HELLO: _HELLO,
        Opcode.HANDSHAKE: Rule("on_plain_handshake", Phase.FAILED),
    },
    Phase.PACKETS: {MESSAGE: Rule("on_message", Phase.PACKETS)},
    Phase.EXTENDED: {
        MESSAGE: Rule("on_message", Phase.EXTENDED),
        Opcode.CLOSE: Rule("on_close", Phase.ENDED),
        Opcode.GOAWAY: Rule("on_go_away", Phase.EXTENDED),
        Opcode.UNSUPPORTED: Rule("on_ignored", Phase.EXTENDED),
        Opcode.PING: Rule("on_ping", Phase.EXTENDED),
        Opcode.PONG: Rule("on_pong", Phase.EXTENDED),
        Opcode.PAD: Rule("on_ignored", Phase.EXTENDED),
        Opcode.ACK: Rule("on_ack", Phase.EXTENDED),
        Opcode.CREDIT: Rule("on_credit", Phase.EXTENDED),
        **dict.fromkeys(OPCODES, Rule("on_multiplexed", Phase.EXTENDED)),
        UNKNOWN: Rule("on_unknown", Phase.EXTENDED),
    },
    Phase.ENDED: {
        # Of a session: whose direction ended early still acknowledges the other's.
        Opcode.ACK: Rule("on_ack", Phase.ENDED),
        Opcode.PONG: Rule("on_late_pong", Phase.ENDED),
    },
    Phase.FAILED: {},
}

ESTABLISHED: Final = frozenset({Phase.FIRST, Phase.PACKETS, Phase.EXTENDED, Phase.ENDED})
"""Phases in which messages may flow, or could until now."""

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


def opcode_name(opcode: int) -> str:
    """Return what to call a control frame in an error text."""
    try:
        return f"a {Opcode(opcode).name} frame"
    except ValueError:
        return f"a control frame of opcode 0x{opcode:02x}"
