"""The layouts that have a name."""

from __future__ import annotations

from typing import Final

from .layout import Framing

PACKET: Final = Framing()
"""``{int32 length, little-endian}{data}``, sealframe's default.

Spoken by programs that write ``BitConverter.GetBytes(length)`` or
``struct.pack("<i", length)`` before their data.
"""

NATIVE: Final = Framing(control=True)
"""The packet, with control frames marked by the top bit (docs/PROTOCOL.md)."""

INT32_BE: Final = Framing(byteorder="big")
"""``{int32 length, big-endian}{data}``, network byte order.

Spoken by Erlang ``{packet, 4}``, Twisted ``Int32StringReceiver``, Java
``DataOutputStream.writeInt`` and ``struct.pack("!i", length)``.
"""

UINT16_BE: Final = Framing(width=2, byteorder="big")
"""``{uint16 length, big-endian}{data}``, at most 65,535 bytes.

Spoken by Erlang ``{packet, 2}``, Twisted ``Int16StringReceiver``, Java
``DataOutputStream.writeShort`` and DNS over TCP (RFC 1035, section 4.2.2).
"""

UINT16_LE: Final = Framing(width=2)
"""``{uint16 length, little-endian}{data}``, at most 65,535 bytes."""

PROTOBUF_DELIMITED: Final = Framing(varint=True)
"""``{varint length}{data}``, as Protocol Buffers' ``writeDelimitedTo`` writes it."""

CATALOGUE: Final = (PACKET, NATIVE, INT32_BE, UINT16_BE, UINT16_LE, PROTOBUF_DELIMITED)
"""All of them."""
