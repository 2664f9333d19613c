"""pymodbus."""

from __future__ import annotations

import asyncio

from pymodbus.client import AsyncModbusTcpClient
from pymodbus.datastore import ModbusDeviceContext, ModbusSequentialDataBlock, ModbusServerContext
from pymodbus.server import ModbusTcpServer


async def main() -> None:
    """Read what is there, write, read it back; as much as a frame takes."""
    block = ModbusSequentialDataBlock(1, list(range(300)))
    device = ModbusDeviceContext(di=block, co=block, hr=block, ir=block)
    context = ModbusServerContext(devices=device, single=True)
    server = ModbusTcpServer(context, address=("127.0.0.1", 0))
    await server.serve_forever(background=True)
    print(server.transport.sockets[0].getsockname()[1], flush=True)
    client = AsyncModbusTcpClient("127.0.0.1", port=int(await asyncio.to_thread(input)))
    assert await client.connect()
    read = await client.read_holding_registers(10, count=125, device_id=1)
    assert read.registers == list(range(10, 135))
    assert not (await client.write_registers(20, [7] * 123, device_id=1)).isError()
    read = await client.read_holding_registers(19, count=3, device_id=1)
    assert read.registers == [19, 7, 7]
    assert (await client.read_holding_registers(65_000, count=2, device_id=1)).isError()
    client.close()
    await server.shutdown()


if __name__ == "__main__":
    asyncio.run(main())
