"""python-snap7, client and server: ``pip install python-snap7==3.3.0``."""

from __future__ import annotations

import struct
import time

import snap7
from snap7.type import SrvArea

from .recording import Tap, free_port, package, save, stream


def size_of(data: bytes) -> int:
    """RFC 1006, section 6: version 3, reserved, the length of all."""
    return int(struct.unpack_from(">H", data, 2)[0])


def main() -> None:
    """Connect, write and read a data block, more than one PDU takes."""
    port = free_port()
    server = snap7.server.Server(log=False)
    server.register_area(SrvArea.DB, 1, bytearray(2000))
    server.start_to("127.0.0.1", port)
    time.sleep(0.5)
    tap = Tap(("127.0.0.1", port))
    client = snap7.client.Client()
    client.connect("127.0.0.1", 0, 1, tap.port)
    client.db_write(1, 0, bytearray(b"hello"))
    client.db_read(1, 0, 5)
    client.db_read(1, 0, 900)
    client.get_cpu_state()
    client.disconnect()
    server.stop()
    by = package("python-snap7")
    connection = tap.connections[0]
    save(
        "tpkt",
        "tpkt",
        __file__,
        [stream(connection.client, by, size_of), stream(connection.server, by, size_of)],
    )


main()
