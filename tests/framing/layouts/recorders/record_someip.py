"""someip, which packs and parses packets: ``pip install someip==0.3.0``."""

from __future__ import annotations

from someip.header import SOMEIPHeader, SOMEIPMessageType

from .recording import Sent, package, save, stream


def main() -> None:
    """Packets, as the package's ``build`` makes them; its sockets are UDP, the packets the same."""
    by = package("someip")
    requests = [
        SOMEIPHeader(0x1234, 0x21, 0x11, 1, 1, SOMEIPMessageType.REQUEST, payload=b"speed"),
        SOMEIPHeader(0x1234, 0x22, 0x11, 2, 1, SOMEIPMessageType.REQUEST_NO_RETURN),
        SOMEIPHeader(0x1234, 0x23, 0x11, 3, 1, SOMEIPMessageType.REQUEST, payload=bytes(1500)),
    ]
    replies = [
        SOMEIPHeader(0x1234, 0x21, 0x11, 1, 1, SOMEIPMessageType.RESPONSE, payload=b"\x00\x2a"),
        SOMEIPHeader(0x1234, 0x8001, 0, 1, 1, SOMEIPMessageType.NOTIFICATION, payload=bytes(40)),
    ]
    save(
        "someip",
        "someip",
        __file__,
        [
            stream(Sent("client", [packet.build() for packet in requests]), by),
            stream(Sent("server", [packet.build() for packet in replies]), by),
        ],
    )


main()
