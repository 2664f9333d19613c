"""pymodbus, client and server: ``pip install pymodbus==3.16.1``."""

from __future__ import annotations

import asyncio
import struct

from pymodbus.client import AsyncModbusTcpClient
from pymodbus.datastore import ModbusDeviceContext, ModbusSequentialDataBlock, ModbusServerContext
from pymodbus.server import ModbusTcpServer

from .recording import Tap, package, save, stream


def size_of(data: bytes) -> int:
    """The MBAP header: the length at bytes 4 and 5 counts what follows it."""
    return 6 + int(struct.unpack_from(">H", data, 4)[0])


async def main() -> None:
    """Read and write, small and large."""
    block = ModbusSequentialDataBlock(1, list(range(300)))
    device = ModbusDeviceContext(di=block, co=block, hr=block, ir=block)
    server = ModbusTcpServer(
        ModbusServerContext(devices=device, single=True), address=("127.0.0.1", 0)
    )
    await server.serve_forever(background=True)
    port = server.transport.sockets[0].getsockname()[1]
    tap = Tap(("127.0.0.1", port))
    client = AsyncModbusTcpClient("127.0.0.1", port=tap.port)
    await client.connect()
    await client.read_holding_registers(1, count=2, device_id=1)
    await client.read_holding_registers(0, count=125, device_id=1)
    await client.write_registers(10, [1, 2, 3], device_id=1)
    await client.write_registers(10, list(range(123)), device_id=7)
    await client.read_coils(3, count=9, device_id=255)
    await client.read_holding_registers(65_000, count=2, device_id=1)
    client.close()
    await server.shutdown()
    by = package("pymodbus")
    [connection] = tap.connections
    save(
        "modbus-tcp",
        "modbus-tcp",
        __file__,
        [stream(connection.client, by, size_of), stream(connection.server, by, size_of)],
    )


asyncio.run(main())
