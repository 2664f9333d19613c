"""pymavlink, which packs packets: ``pip install pymavlink==2.4.50``."""

from __future__ import annotations

from pymavlink.dialects.v20 import common

from .recording import Sent, package, save, stream


class Writer:
    """What pymavlink writes to: it writes a packet at a time."""

    def __init__(self) -> None:
        self.sent = Sent("server")

    def write(self, data: bytes) -> None:
        """Keep a packet."""
        self.sent.reads.append(bytes(data))


def main() -> None:
    """Packets of a vehicle, of both versions."""
    writer = Writer()
    link = common.MAVLink(writer, srcSystem=1, srcComponent=1)
    for number in range(4):
        link.heartbeat_send(2, 3, 81, 0, 4)
        link.attitude_send(100 * number, 0.1 * number, 0.2, 0.3, 0.4, 0.5, 0.6)
        link.statustext_send(6, b"text " * number)
    link.heartbeat_send(2, 3, 81, 0, 4, force_mavlink1=True)
    save("mavlink", "mavlink", __file__, [stream(writer.sent, package("pymavlink"))])


main()
