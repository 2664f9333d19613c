"""pyads, client (Beckhoff's ADS library) and its test server: ``pip install pyads==3.6.0``."""

from __future__ import annotations

import struct
import time

import pyads
from pyads.testserver import AdsTestServer, AdvancedHandler, PLCVariable

from .recording import Tap, free_port, package, save, stream


def size_of(data: bytes) -> int:
    """Two reserved bytes, four of length."""
    return 6 + int(struct.unpack_from("<I", data, 2)[0])


def main() -> None:
    """Read, write, read state, by the ADS library's own port."""
    port = free_port()
    handler = AdvancedHandler()
    handler.add_variable(
        PLCVariable("value", 7, ads_type=pyads.constants.ADST_INT32, symbol_type="DINT")
    )
    server = AdsTestServer(handler=handler, ip_address="127.0.0.1", port=port, logging=False)
    server.start()
    time.sleep(1)
    tap = Tap(("127.0.0.1", port), port=48898)
    plc = pyads.Connection("127.0.0.1.1.1", pyads.PORT_SPS1, "127.0.0.1")
    plc.open()
    plc.read_device_info()
    plc.read_state()
    plc.read_by_name("value", pyads.PLCTYPE_DINT)
    plc.write_by_name("value", 42, pyads.PLCTYPE_DINT)
    plc.close()
    server.stop()
    by = package("pyads")
    connection = tap.connections[0]
    save(
        "ams",
        "ams",
        __file__,
        [stream(connection.client, by, size_of), stream(connection.server, by, size_of)],
    )


main()
