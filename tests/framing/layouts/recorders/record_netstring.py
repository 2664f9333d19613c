"""Twisted, and pynetstring: ``pip install Twisted==26.10.0 pynetstring==0.5``."""

from __future__ import annotations

import pynetstring
from twisted.internet.testing import StringTransport
from twisted.protocols.basic import Int16StringReceiver, Int32StringReceiver, NetstringReceiver

from .recording import Sent, package, save, stream


def netstring_size_of(data: bytes) -> int:
    """Digits, a colon, so many bytes, a comma."""
    colon = data.index(b":")
    return colon + 1 + int(data[:colon]) + 1


def int32_size_of(data: bytes) -> int:
    """Big-endian, it does not count itself."""
    return 4 + int.from_bytes(data[:4], "big")


def int16_size_of(data: bytes) -> int:
    """The same of 2 bytes."""
    return 2 + int.from_bytes(data[:2], "big")


STRINGS = [b"bolt", b"", b"12:", b",", b"n" * 300]


def by_twisted(receiver: type[NetstringReceiver | Int16StringReceiver]) -> Sent:
    """What sendString writes."""
    protocol = receiver()
    transport = StringTransport()
    protocol.makeConnection(transport)
    for string in [*STRINGS, b"x" * 2000]:
        protocol.sendString(string)
    return Sent("server", [transport.value()])


def main() -> None:
    """Write the same strings in each."""
    twisted = package("Twisted")
    other = Sent("client", [pynetstring.encode(string) for string in STRINGS])
    streams = [
        stream(by_twisted(NetstringReceiver), twisted, netstring_size_of),
        stream(other, package("pynetstring"), netstring_size_of),
    ]
    save("netstring", "netstring", __file__, streams)
    for name, receiver, size_of in (
        ("twisted-int32", Int32StringReceiver, int32_size_of),
        ("twisted-int16", Int16StringReceiver, int16_size_of),
    ):
        save(name, name, __file__, [stream(by_twisted(receiver), twisted, size_of)])


main()
