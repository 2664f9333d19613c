"""The encoder of cassandra-driver: ``pip install cassandra-driver==3.30.1``.

No server is in a package of Python or Debian: what a client sends is recorded alone. Segments
look alike in both directions, and the driver has both.
"""

from __future__ import annotations

import io
import struct

from cassandra import ConsistencyLevel
from cassandra.protocol import (
    BatchMessage,
    OptionsMessage,
    PrepareMessage,
    ProtocolHandler,
    QueryMessage,
    StartupMessage,
)
from cassandra.query import BatchType
from cassandra.segment import SegmentCodec

from .recording import Sent, package, save, stream

BY = package("cassandra-driver")


def size_of(data: bytes) -> int:
    """Section 2 of the specification: 9 bytes, the last 4 are the length of the body."""
    return 9 + int(struct.unpack_from(">I", data, 5)[0])


def segment_size_of(data: bytes) -> int:
    """Version 5, section 2.2: 17 bits of length, CRC24, payload, CRC32."""
    return 6 + (int.from_bytes(data[:3], "little") & 0x1FFFF) + 4


def compressed_size_of(data: bytes) -> int:
    """The same with a second length, of 17 bits too."""
    return 8 + (int.from_bytes(data[:5], "little") & 0x1FFFF) + 4


def requests(version: int) -> list[bytes]:
    """A session's first requests."""
    one = ConsistencyLevel.ONE
    messages = [
        OptionsMessage(),
        StartupMessage(cqlversion="3.4.6", options={"DRIVER_NAME": "recorder"}),
        QueryMessage("SELECT * FROM system.local", one),
        QueryMessage("SELECT name FROM parts WHERE id = 7", one, fetch_size=100),
        PrepareMessage("INSERT INTO parts (id, name) VALUES (?, ?)"),
        BatchMessage(BatchType.LOGGED, [(False, "DELETE FROM parts" * 40, [])], one),
    ]
    return [
        ProtocolHandler.encode_message(message, number, version, None, False)
        for number, message in enumerate(messages)
    ]


def in_segments(codec: SegmentCodec, envelopes: list[bytes]) -> list[bytes]:
    """Each in a segment, two in one, and one too large for a single segment."""
    written = []
    for payload in [*envelopes[2:5], envelopes[2] + envelopes[3], envelopes[5] * 190]:
        buffer = io.BytesIO()
        codec.encode(buffer, payload)
        written.append(buffer.getvalue())
    return written


def shrink(data: bytes) -> bytes:
    """Stand in for LZ4: the segment has a length before and one after it, whatever was done."""
    return len(data).to_bytes(4, "big") + data[: len(data) // 2]


def main() -> None:
    """Record envelopes of versions 4 and 5, and segments."""
    four = stream(Sent("client", requests(4)), BY, size_of)
    five = stream(Sent("client", requests(5)), BY, size_of)
    save("cassandra", "cassandra", __file__, [four, five])
    reads = in_segments(SegmentCodec(), requests(5))
    both = [stream(Sent(sender, reads), BY, segment_size_of) for sender in ("client", "server")]
    save("cassandra-v5", "cassandra-v5", __file__, both[:1])
    reads = in_segments(SegmentCodec(shrink, bytes), requests(5))[:4]
    one = stream(Sent("client", reads), BY, compressed_size_of)
    save("cassandra-v5-compressed", "cassandra-v5-compressed", __file__, [one])


main()
