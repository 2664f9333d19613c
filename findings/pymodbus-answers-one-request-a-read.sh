#!/bin/sh
# pymodbus: of several requests that arrive together its TCP server answers the first and says
# nothing to the others, not even later. Modbus/TCP has a transaction identifier so that a client
# may have several requests open; the messaging implementation guide V1.0b recommends that a server
# takes 1 to 16 at a time, and has it answer "server busy" (exception 6) to those beyond. Here what
# follows the first frame of a read is thrown away, and the client waits until its time-out.
#
# Seen with pymodbus 3.16.1 on CPython 3.11; this prints what it sees, and fails where that changes.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check pymodbus==3.16.1
cat > "$folder/program.py" <<'PROGRAM'
import asyncio
import struct
import sys

import pymodbus
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice


def read_register(transaction):
    """One holding register of unit 1: function 3."""
    return struct.pack(">HHHBBHH", transaction, 0, 6, 1, 3, transaction, 1)


async def answers(reader, count):
    """The transaction identifiers of the answers that come, each within a second."""
    found = []
    try:
        while len(found) < count:
            head = await asyncio.wait_for(reader.readexactly(6), 1)
            transaction, _, length = struct.unpack(">HHH", head)
            await reader.readexactly(length)
            found.append(transaction)
    except TimeoutError:
        pass
    return found


async def main():
    values = SimData(0, values=list(range(100)), datatype=DataType.REGISTERS)
    server = ModbusTcpServer(SimDevice(1, simdata=[values]), address=("127.0.0.1", 0))
    await server.listen()
    port = server.transport.sockets[0].getsockname()[1]
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    apart = []
    for transaction in (1, 2, 3):
        writer.write(read_register(transaction))
        apart += await answers(reader, 1)
    writer.write(b"".join(map(read_register, (4, 5, 6))))
    together = await answers(reader, 3)
    writer.write(read_register(7))
    after = await answers(reader, 4)
    writer.close()
    await server.shutdown()
    print(f"pymodbus {pymodbus.__version__}, CPython {sys.version.split()[0]}")
    print(f"requests 1, 2, 3, each after the answer before: answered {apart}")
    print(f"requests 4, 5, 6 in one write: answered {together}")
    print(f"request 7 after that: answered {after}")
    if (apart, together, after) != ([1, 2, 3], [4], [7]):
        sys.exit("this is not what was seen before")


asyncio.run(main())
PROGRAM
"$folder/venv/bin/python" "$folder/program.py"
