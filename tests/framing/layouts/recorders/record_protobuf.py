"""Protocol Buffers' own delimited messages: ``pip install protobuf==7.36.2``."""

from __future__ import annotations

import io

from google.protobuf import proto, wrappers_pb2

from .recording import Sent, package, save, stream


def size_of(data: bytes) -> int:
    """A varint, and so many bytes."""
    place, size = 0, 0
    while True:
        size |= (data[place] & 0x7F) << 7 * place
        place += 1
        if not data[place - 1] & 0x80:
            return place + size


def main() -> None:
    """Write messages of several sizes."""
    file = io.BytesIO()
    for length in (0, 4, 124, 126, 300, 17_000):
        proto.serialize_length_prefixed(wrappers_pb2.BytesValue(value=b"x" * length), file)
    sent = Sent("client", [file.getvalue()])
    one = stream(sent, package("protobuf"), size_of)
    save("protobuf-delimited", "protobuf-delimited", __file__, [one])


main()
