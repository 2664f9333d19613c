"""What may arrive when, and what comes next: docs/PROTOCOL.md, section 11, as a table.

A row is a phase; what is not in it is fatal there. An entry has the function that takes the frame,
and the phase that follows if all is well with it. A frame that is not all right leads to ``FAILED``
from everywhere.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, NamedTuple

from ..wire import Control, Opcode
from . import control_frames, hello_frames
from .events import Phase
from .multiplexer import OPCODES

if TYPE_CHECKING:
    from .protocol import ProtocolMachine

MESSAGE: Final = -1
"""A message, in place of an opcode."""
UNKNOWN: Final = -2
"""An opcode that this version does not know."""


class Rule(NamedTuple):
    """What to do with a frame."""

    take: Callable[[ProtocolMachine, Control], None]
    """What takes it in; a message is delivered without it."""
    next: Phase
    """Where the connection is then."""


_HELLO: Final = Rule(hello_frames.on_hello, Phase.EXTENDED)
_WELCOME: Final = Rule(hello_frames.on_welcome, Phase.EXTENDED)
_REFUSAL: Final = Rule(hello_frames.on_refusal, Phase.FAILED)

RULES: Final[dict[Phase, dict[int, Rule]]] = {
    Phase.SEALING: {},
    Phase.SEALED_HELLO: {Opcode.HELLO: _HELLO},
    Phase.SEALED_WELCOME: {Opcode.WELCOME: _WELCOME, Opcode.CLOSE: _REFUSAL},
    Phase.WELCOME: {
        MESSAGE: Rule(control_frames.on_message, Phase.WELCOME),
        Opcode.WELCOME: _WELCOME,
        Opcode.CLOSE: _REFUSAL,
    },
    Phase.JOINING: {},
    Phase.FIRST: {
        MESSAGE: Rule(control_frames.on_message, Phase.PACKETS),
        Opcode.HELLO: _HELLO,
        Opcode.HANDSHAKE: Rule(hello_frames.on_plain_handshake, Phase.FAILED),
    },
    Phase.PACKETS: {MESSAGE: Rule(control_frames.on_message, Phase.PACKETS)},
    Phase.EXTENDED: {
        MESSAGE: Rule(control_frames.on_message, Phase.EXTENDED),
        Opcode.CLOSE: Rule(control_frames.on_close, Phase.ENDED),
        Opcode.GOAWAY: Rule(control_frames.on_go_away, Phase.EXTENDED),
        Opcode.UNSUPPORTED: Rule(control_frames.on_ignored, Phase.EXTENDED),
        Opcode.PING: Rule(control_frames.on_ping, Phase.EXTENDED),
        Opcode.PONG: Rule(control_frames.on_pong, Phase.EXTENDED),
        Opcode.PAD: Rule(control_frames.on_ignored, Phase.EXTENDED),
        Opcode.ACK: Rule(control_frames.on_ack, Phase.EXTENDED),
        Opcode.CREDIT: Rule(control_frames.on_credit, Phase.EXTENDED),
        **dict.fromkeys(OPCODES, Rule(control_frames.on_multiplexed, Phase.EXTENDED)),
        UNKNOWN: Rule(control_frames.on_unknown, Phase.EXTENDED),
    },
    Phase.ENDED: {
        # Of a session: whose direction ended early still acknowledges the other's.
        Opcode.ACK: Rule(control_frames.on_ack, Phase.ENDED),
        Opcode.PONG: Rule(control_frames.on_late_pong, Phase.ENDED),
    },
    Phase.FAILED: {},
}
