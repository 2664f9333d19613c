"""A sealframe client and a pymodbus server, which takes one request at a time."""

from __future__ import annotations

import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

import sealframe
from sealframe.framing.layouts import MODBUS_TCP

pymodbus_server = pytest.importorskip(
    "pymodbus.server", reason="pymodbus is not installed: pip install --group interop"
)


@asynccontextmanager
async def device() -> AsyncIterator[int]:
    """Run a server whose register N has the value N; the result is its port."""
    from pymodbus.simulator import DataType, SimData, SimDevice

    registers = SimDevice(
        1, simdata=[SimData(0, values=list(range(300)), datatype=DataType.REGISTERS)]
    )
    server = pymodbus_server.ModbusTcpServer(registers, address=("127.0.0.1", 0))
    await server.serve_forever(background=True)
    try:
        yield server.transport.sockets[0].getsockname()[1]
    finally:
        await server.shutdown()


def read(transaction: int, address: int, count: int) -> bytes:
    """A request to read registers of unit 1; sealframe fills in the length."""
    return struct.pack(">HHHBBHH", transaction, 0, 0, 1, 3, address, count)


async def test_several_sends_in_a_row_are_all_answered() -> None:
    """One at a time: pymodbus answers only the first request of each read."""
    async with (
        device() as port,
        sealframe.connect("127.0.0.1", port, framing=MODBUS_TCP, pipelining=False) as conn,
    ):
        for transaction in range(1, 6):
            await conn.send(read(transaction, 10 * transaction, 2))
        for transaction in range(1, 6):
            answer = await conn.recv()
            place = 10 * transaction
            assert answer == struct.pack(">HHHBBBHH", transaction, 0, 7, 1, 3, 4, place, place + 1)


async def test_the_largest_answer() -> None:
    async with device() as port, sealframe.connect("127.0.0.1", port, framing=MODBUS_TCP) as conn:
        await conn.send(read(1, 100, 125))
        answer = await conn.recv()
        assert len(answer) == 259
        assert struct.unpack_from(">125H", answer, 9) == tuple(range(100, 225))
