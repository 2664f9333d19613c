"""python-osc: ``pip install python-osc==1.10.2``."""

from __future__ import annotations

from pythonosc.tcp_client import SimpleTCPClient

from .recording import Tap, package, save, stream
from .sink import Sink


def size_of(data: bytes) -> int:
    """Big-endian, it does not count itself."""
    return 4 + int.from_bytes(data[:4], "big")


def main() -> None:
    """Messages to a mixer."""
    sink = Sink()
    tap = Tap(sink.address)
    with SimpleTCPClient("127.0.0.1", tap.port, mode="1.0") as client:
        for number in range(8):
            kind = "fader" if number % 2 else "name"
            address = f"/mixer/channel/{number}/{kind}"
            client.send_message(address, [number, 0.5 * number, "label " * (number % 4)])
    sink.wait()
    sent = tap.connections[0].client
    save("osc-tcp", "osc-tcp", __file__, [stream(sent, package("python-osc"), size_of)])


main()
