#!/bin/sh
# pyroute2: in 9P2000 client and server agree on msize in the first exchange, the largest message
# in bytes, its head included; neither sends a larger one afterwards (intro(5), version(5)). The
# server of pyroute2 agrees to 8,192 and announces an iounit of 8,192 for an opened file: the
# largest read that is answered in one message (open(5)), which leaves no room for the 11 bytes of
# the answer's head. A client that reads as much as it was told it may gets a message of 8,203.
#
# Seen with pyroute2 0.9.7 on CPython 3.11; this prints what it sees, and fails where that changes.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check pyroute2==0.9.7
cat > "$folder/program.py" <<'PROGRAM'
import asyncio
import importlib.metadata
import socket
import struct
import sys

from pyroute2 import Plan9ServerSocket

TVERSION, TATTACH, TWALK, TOPEN, TREAD = 100, 104, 110, 112, 116
MSIZE = 8192


def text(value):
    return struct.pack("<H", len(value)) + value.encode()


async def ask(stream, kind, tag, body):
    """Send a message; return the size of the answer on the wire, and what follows its head."""
    reader, writer = stream
    writer.write(struct.pack("<IBH", 7 + len(body), kind, tag) + body)
    (size,) = struct.unpack("<I", await reader.readexactly(4))
    answer = await reader.readexactly(size - 4)
    assert answer[0] == kind + 1, answer
    return size, answer[3:]


async def main():
    print(f"pyroute2 {importlib.metadata.version('pyroute2')}, CPython {sys.version.split()[0]}")
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = free.getsockname()
    server = Plan9ServerSocket(address=address)
    server.filesystem.create("file").data.write(bytes(20_000))
    running = await server.async_run()
    stream = await asyncio.open_connection(*address)
    _, answer = await ask(stream, TVERSION, 0xFFFF, struct.pack("<I", MSIZE) + text("9P2000"))
    (msize,) = struct.unpack_from("<I", answer)
    await ask(stream, TATTACH, 1, struct.pack("<II", 0, 0xFFFFFFFF) + text("user") + text(""))
    await ask(stream, TWALK, 2, struct.pack("<IIH", 0, 1, 1) + text("file"))
    _, answer = await ask(stream, TOPEN, 3, struct.pack("<IB", 1, 0))
    (iounit,) = struct.unpack_from("<I", answer, 13)
    size, _ = await ask(stream, TREAD, 4, struct.pack("<IQI", 1, 0, iounit))
    print(f"agreed msize {msize}, iounit of the file {iounit}")
    print(f"a read of {iounit} bytes is answered by a message of {size} bytes")
    stream[1].close()
    running.cancel()
    if (msize, iounit, size) != (8192, 8192, 8203):
        sys.exit("this is not what was seen before")


asyncio.run(main())
PROGRAM
"$folder/venv/bin/python" "$folder/program.py"
