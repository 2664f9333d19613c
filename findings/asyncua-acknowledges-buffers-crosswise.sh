#!/bin/sh
# asyncua: in OPC UA over TCP the client's HEL says how large a chunk it can receive and how large
# a chunk it will send; the server's ACK answers with its own two sizes, and what the server will
# send shall not be over what the client can receive (OPC 10000-6, section 7.1.2.4, table of the
# Acknowledge message), nor what it receives over what the client sends. asyncua's server holds
# each size to the wrong one of the client: a client that can receive 8,192 bytes is told that
# chunks of 65,535 will come, and one that sends 8,192 that 65,535 can be taken.
#
# Seen with asyncua 2.1.0 on CPython 3.11; this prints what it sees, and fails where that changes.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check asyncua==2.1.0
cat > "$folder/program.py" <<'PROGRAM'
import asyncio
import importlib.metadata
import logging
import socket
import struct
import sys

from asyncua import Server

logging.disable(logging.CRITICAL)


async def hello(port, receives, sends):
    """Say HEL with these two sizes; return those of ACK."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    url = b"opc.tcp://127.0.0.1/"
    body = struct.pack("<5I", 0, receives, sends, 0, 0) + struct.pack("<i", len(url)) + url
    writer.write(b"HELF" + struct.pack("<I", 8 + len(body)) + body)
    kind, size = struct.unpack("<4sI", await reader.readexactly(8))
    assert kind == b"ACKF", kind
    _, receives, sends, *_ = struct.unpack("<5I", await reader.readexactly(size - 8))
    writer.close()
    return receives, sends


async def main():
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    server = Server()
    await server.init()
    server.set_endpoint(f"opc.tcp://127.0.0.1:{port}/")
    print(f"asyncua {importlib.metadata.version('asyncua')}, CPython {sys.version.split()[0]}")
    seen = []
    async with server:
        for receives, sends in ((8192, 65535), (65535, 8192)):
            answer = await hello(port, receives, sends)
            seen.append(answer)
            print(f"the client receives {receives} and sends {sends} bytes a chunk;")
            print(f"    the server says: it receives {answer[0]} and sends {answer[1]}")
    if seen != [(8192, 65535), (65535, 8192)]:
        sys.exit("this is not what was seen before")


asyncio.run(main())
PROGRAM
"$folder/venv/bin/python" "$folder/program.py"
