"""c104 (lib60870), controlling and controlled station: ``pip install c104==2.2.1``."""

from __future__ import annotations

import time

import c104

from .recording import Tap, free_port, package, save, stream


def size_of(data: bytes) -> int:
    """IEC 60870-5-104, 5: start byte, then one byte of length."""
    return 2 + data[1]


def main() -> None:
    """Start data transfer, interrogate, command."""
    port = free_port()
    server = c104.Server(ip="127.0.0.1", port=port)
    station = server.add_station(common_address=47)
    for number in range(40):
        point = station.add_point(io_address=11 + number, type=c104.Type.M_ME_NC_1)
        point.value = 12.5 + number
    station.add_point(io_address=100, type=c104.Type.C_RC_TA_1)
    server.start()
    time.sleep(0.5)
    tap = Tap(("127.0.0.1", port))
    client = c104.Client()
    link = client.add_connection(ip="127.0.0.1", port=tap.port, init=c104.Init.INTERROGATION)
    link.add_station(common_address=47)
    client.start()
    time.sleep(3)
    link.interrogation(common_address=47)
    link.test(common_address=47)
    time.sleep(1)
    client.stop()
    server.stop()
    by = package("c104")
    connection = tap.connections[0]
    save(
        "iec-104",
        "iec-104",
        __file__,
        [stream(connection.client, by, size_of), stream(connection.server, by, size_of)],
    )


main()
