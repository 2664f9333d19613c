"""sealframe's own head, which has control frames beside messages (docs/PROTOCOL.md, section 1).

A head is a 32-bit little-endian number. Its top bit is the control bit, the rest a length::

     31 30                                    0
    +--+---------------------------------------+----------------------------+
    | 0|              length                   |  message of length bytes   |
    +--+---------------------------------------+--------+-------------------+
    | 1|              length                   | opcode | body, length - 1  |
    +--+---------------------------------------+--------+-------------------+

The opcode counts as a part of the head: a decoder reads it before the body, because of an
opcode that is not implemented it keeps only the start of the body (section 3). That is why
the opcodes are listed in this layer; what they mean is the business of :mod:`sealframe.wire`.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

HEAD_SIZE: Final = 4
"""Bytes in a head."""
CONTROL_BIT: Final = 0x8000_0000
"""Set in the head of a control frame."""
LENGTH_MASK: Final = 0x7FFF_FFFF
"""The rest of the head: the length."""
MAX_LENGTH: Final = 0x7FFF_FFFF
"""The largest message that a head can declare, in bytes."""
MAX_CONTROL: Final = 65_536
"""Opcode and body of a control frame are 1 to this many bytes, for ever."""


class Opcode(IntEnum):
    """Control frame opcodes. The three top bits say how a receiver treats an unknown one."""

    HANDSHAKE = 0x41
    HELLO = 0x42
    WELCOME = 0x43
    CLOSE = 0x44
    GOAWAY = 0x85
    UNSUPPORTED = 0x86
    PING = 0x07
    PONG = 0x88
    ACK = 0x89
    CREDIT = 0x4A
    PAD = 0x8B
    REQUEST = 0x21
    REPLY = 0xA2
    FAILURE = 0xA3
    CANCEL = 0xA4
    STREAM_OPEN = 0x25
    STREAM_DATA = 0xA6
    STREAM_CREDIT = 0xA7
    STREAM_END = 0xA8
    STREAM_RESET = 0xA9


OPCODE_SKIP: Final = 0x80
"""Unknown opcode with this bit: skip it silently."""
OPCODE_CLOSE: Final = 0x40
"""Unknown opcode with this bit: close the connection."""
OPCODE_COUNTED: Final = 0x20
"""Counts among the frames received, understood or not."""

KNOWN_OPCODES: Final = frozenset(Opcode)
"""What this version implements; any other opcode is treated as unknown."""
UNKNOWN_BODY_KEPT: Final = 8
"""Bytes of an unknown control frame's body that are kept, for UNSUPPORTED."""
